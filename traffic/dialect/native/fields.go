package native

import (
	"strconv"
	"time"
	"unsafe"

	"github.com/palladium-guard/palladium"
	"github.com/palladium-guard/palladium/traffic/dialect"
)

// null takes a null if one is next.
func (d *Decoder) null() (bool, error) {
	if d.s.space() != 'n' {
		return false, nil
	}
	return true, d.s.word("null")
}

// text takes a string, or a null, which empties it.
func (d *Decoder) text(field string, into *string) (err error) {
	if d.s.space() == '"' {
		*into, err = d.s.str()
		return err
	}
	*into = ""
	return d.nullOr(field, "a string")
}

// nullOr takes a null; anything else is a wrong type. The field's name may alias the line, so it is copied.
func (d *Decoder) nullOr(field, want string) error {
	if ok, err := d.null(); ok {
		return err
	}
	if d.s.i >= len(d.s.b) {
		return d.s.fail("no value")
	}
	return dialect.WrongType(field, want)
}

// texts takes an array of strings and reuses the slice.
func (d *Decoder) texts(field string, into *[]string) error {
	*into = (*into)[:0]
	if d.s.space() != '[' {
		return d.nullOr(field, "an array of strings")
	}
	more, err := d.s.open('[', ']', 1)
	for more && err == nil {
		if d.s.space() != '"' {
			return dialect.WrongType(field, "an array of strings")
		}
		var v string
		if v, err = d.s.str(); err != nil {
			return err
		}
		*into = append(*into, v)
		more, err = d.s.next(']')
	}
	return err
}

func (d *Decoder) time(field string, into *time.Time) error {
	*into = time.Time{}
	if d.s.space() != '"' {
		return d.nullOr(field, "an RFC 3339 time")
	}
	v, err := d.s.str()
	if err != nil {
		return err
	}
	t, ok := dialect.ParseTime(v)
	if !ok || t.IsZero() {
		return dialect.WrongTime(field)
	}
	*into = t
	return nil
}

// raw takes a number and returns its spelling, nil for null.
func (d *Decoder) raw(field, want string) ([]byte, error) {
	if c := d.s.space(); c == '-' || c-'0' <= 9 {
		return d.s.number()
	}
	return nil, d.nullOr(field, want)
}

// real takes a number and reports whether there was one.
func (d *Decoder) real(field string, into *float64) (bool, error) {
	*into = 0
	raw, err := d.raw(field, "a number")
	if err != nil || raw == nil {
		return false, err
	}
	v, ok := float(raw)
	if !ok {
		return false, dialect.WrongType(field, "a number")
	}
	*into = v
	return true, nil
}

// whole takes an integer between low and high and reports whether there was one.
func (d *Decoder) whole(field string, low, high int64, into *int64) (bool, error) {
	*into = 0
	raw, err := d.raw(field, "an integer")
	if err != nil || raw == nil {
		return false, err
	}
	v, ok := integer(raw)
	if !ok || v < low || v > high {
		return false, dialect.WrongType(field, "an integer between "+strconv.FormatInt(low, 10)+" and "+strconv.FormatInt(high, 10))
	}
	*into = v
	return true, nil
}

// flag takes a boolean and reports whether there was one.
func (d *Decoder) flag(field string, into *bool) (bool, error) {
	*into = false
	switch d.s.space() {
	case 't':
		*into = true
		return true, d.s.word("true")
	case 'f':
		return true, d.s.word("false")
	}
	return false, d.nullOr(field, "true or false")
}

func (d *Decoder) client(c *palladium.Client) error {
	*c = palladium.Client{}
	s := &d.s
	if s.space() != '{' {
		return d.nullOr("client", "an object")
	}
	more, err := s.open('{', '}', 1)
	for more && err == nil {
		var key string
		if key, err = s.key(); err != nil {
			return err
		}
		switch key {
		case "ip":
			err = d.text("client.ip", &c.IP)
		case "asn":
			var n int64
			_, err = d.whole("client.asn", 0, 1<<32-1, &n)
			c.ASN = uint32(n)
		case "country":
			err = d.text("client.country", &c.Country)
		case "user_agent":
			err = d.text("client.user_agent", &c.UserAgent)
		case "tls":
			err = d.text("client.tls", &c.TLS)
		case "headers":
			err = d.text("client.headers", &c.Headers)
		case "device":
			err = d.text("client.device", &c.Device)
		default:
			err = s.skip(2)
		}
		if err != nil {
			return err
		}
		more, err = s.next('}')
	}
	return err
}

func (d *Decoder) messages(into *[]palladium.Message) error {
	*into = (*into)[:0]
	s := &d.s
	if s.space() != '[' {
		return d.nullOr("messages", "an array")
	}
	more, err := s.open('[', ']', 1)
	for more && err == nil {
		var m palladium.Message
		if err = d.message(&m); err != nil {
			return err
		}
		*into = append(*into, m)
		more, err = s.next(']')
	}
	return err
}

func (d *Decoder) message(m *palladium.Message) error {
	s := &d.s
	if s.space() != '{' {
		return dialect.WrongType("messages", "an array of objects")
	}
	more, err := s.open('{', '}', 2)
	for more && err == nil {
		var key string
		if key, err = s.key(); err != nil {
			return err
		}
		switch key {
		case "role":
			err = d.text("messages.role", &m.Role)
		case "text":
			err = d.text("messages.text", &m.Text)
		case "digest":
			err = d.text("messages.digest", &m.Digest)
		default:
			err = s.skip(3)
		}
		if err != nil {
			return err
		}
		more, err = s.next('}')
	}
	return err
}

func (d *Decoder) outcome(o *palladium.Outcome) error {
	*o = palladium.Outcome{}
	s := &d.s
	if s.space() != '{' {
		return d.nullOr("outcome", "an object")
	}
	more, err := s.open('{', '}', 1)
	for more && err == nil {
		var key string
		if key, err = s.key(); err != nil {
			return err
		}
		switch key {
		case "status":
			var n int64
			_, err = d.whole("outcome.status", 0, 1<<31-1, &n)
			o.Status = int(n)
		case "finish":
			err = d.text("outcome.finish", &o.Finish)
		case "ms":
			_, err = d.real("outcome.ms", &o.MS)
		case "ttft_ms":
			_, err = d.real("outcome.ttft_ms", &o.TTFTMS)
		default:
			err = s.skip(2)
		}
		if err != nil {
			return err
		}
		more, err = s.next('}')
	}
	return err
}

func (d *Decoder) usage(u *palladium.Usage) error {
	*u = palladium.Usage{}
	s := &d.s
	if s.space() != '{' {
		return d.nullOr("usage", "an object")
	}
	const most = 1 << 53
	more, err := s.open('{', '}', 1)
	for more && err == nil {
		var key string
		if key, err = s.key(); err != nil {
			return err
		}
		switch key {
		case "input":
			_, err = d.whole("usage.input", 0, most, &u.Input)
		case "output":
			_, err = d.whole("usage.output", 0, most, &u.Output)
		case "reasoning":
			_, err = d.whole("usage.reasoning", 0, most, &u.Reasoning)
		case "cached":
			_, err = d.whole("usage.cached", 0, most, &u.Cached)
		default:
			err = s.skip(2)
		}
		if err != nil {
			return err
		}
		more, err = s.next('}')
	}
	return err
}

func (d *Decoder) params(p *palladium.Params) error {
	stop, bias := p.Stop[:0], p.LogitBias[:0]
	*p = palladium.Params{Stop: stop, LogitBias: bias}
	s := &d.s
	if s.space() != '{' {
		return d.nullOr("params", "an object")
	}
	more, err := s.open('{', '}', 1)
	for more && err == nil {
		var key string
		if key, err = s.key(); err != nil {
			return err
		}
		var bit palladium.ParamSet
		has := false
		if bit, has, err = d.param(key, p); err != nil {
			return err
		}
		if has {
			p.Has |= bit
		} else {
			p.Has &^= bit
		}
		more, err = s.next('}')
	}
	return err
}

// param takes the value of one parameter. It returns the parameter's bit, none for an unknown one, and whether the
// parameter was given.
func (d *Decoder) param(key string, p *palladium.Params) (bit palladium.ParamSet, has bool, err error) {
	const low, high = -1 << 31, 1<<31 - 1
	var n int64
	switch key {
	case "temperature":
		has, err = d.real("params.temperature", &p.Temperature)
		return palladium.HasTemperature, has, err
	case "top_p":
		has, err = d.real("params.top_p", &p.TopP)
		return palladium.HasTopP, has, err
	case "max_tokens":
		has, err = d.whole("params.max_tokens", low, high, &n)
		p.MaxTokens = int(n)
		return palladium.HasMaxTokens, has, err
	case "n":
		has, err = d.whole("params.n", low, high, &n)
		p.N = int(n)
		return palladium.HasN, has, err
	case "logprobs":
		has, err = d.logprobs(p)
		return palladium.HasLogprobs, has, err
	case "top_logprobs":
		has, err = d.whole("params.top_logprobs", low, high, &n)
		p.TopLogprobs = int(n)
		return palladium.HasTopLogprobs, has, err
	case "logit_bias":
		has, err = d.bias(p)
		return palladium.HasLogitBias, has, err
	case "seed":
		has, err = d.whole("params.seed", -1<<63, 1<<63-1, &p.Seed)
		return palladium.HasSeed, has, err
	case "reasoning":
		has, err = d.reasoning(p)
		return palladium.HasReasoning, has, err
	case "stream":
		has, err = d.flag("params.stream", &p.Stream)
		return palladium.HasStream, has, err
	case "stop":
		has, err = d.stop(p)
		return palladium.HasStop, has, err
	}
	return 0, false, d.s.skip(2)
}

// logprobs takes true or false, or the number that openai.completions has in its place.
func (d *Decoder) logprobs(p *palladium.Params) (bool, error) {
	if c := d.s.space(); c-'0' > 9 {
		return d.flag("params.logprobs", &p.Logprobs)
	}
	var n int64
	has, err := d.whole("params.logprobs", 0, 1<<31-1, &n)
	p.Logprobs = has
	if p.Has&palladium.HasTopLogprobs == 0 && has {
		p.TopLogprobs = int(n)
		p.Has |= palladium.HasTopLogprobs
	}
	return has, err
}

// bias takes {token id: bias}. A null bias is no bias.
func (d *Decoder) bias(p *palladium.Params) (bool, error) {
	p.LogitBias = p.LogitBias[:0]
	s := &d.s
	if s.space() != '{' {
		return false, d.nullOr("params.logit_bias", "an object")
	}
	more, err := s.open('{', '}', 2)
	for more && err == nil {
		var key string
		if key, err = s.key(); err != nil {
			return true, err
		}
		token, ok := tokenID(key)
		if !ok {
			return true, dialect.WrongType("params.logit_bias", "token ids as keys")
		}
		b := palladium.TokenBias{Token: token}
		has := false
		if has, err = d.real("params.logit_bias", &b.Bias); err != nil {
			return true, err
		}
		if has {
			p.LogitBias = append(p.LogitBias, b)
		}
		more, err = s.next('}')
	}
	return true, err
}

func tokenID(s string) (uint32, bool) {
	if s == "" || len(s) > 10 {
		return 0, false
	}
	n := uint64(0)
	for i := range len(s) {
		if s[i]-'0' > 9 {
			return 0, false
		}
		n = n*10 + uint64(s[i]-'0')
	}
	return uint32(n), n < 1<<32
}

// reasoning takes a string as it is, and any other value but null in its JSON spelling.
func (d *Decoder) reasoning(p *palladium.Params) (bool, error) {
	s := &d.s
	p.Reasoning = ""
	switch s.space() {
	case '"':
		return true, d.text("params.reasoning", &p.Reasoning)
	case 'n':
		return false, s.word("null")
	}
	start := s.i
	if err := s.skip(2); err != nil {
		return false, err
	}
	raw := s.b[start:s.i]
	p.Reasoning = unsafe.String(unsafe.SliceData(raw), len(raw))
	return true, nil
}

// stop takes one string or an array of them.
func (d *Decoder) stop(p *palladium.Params) (bool, error) {
	switch d.s.space() {
	case '"':
		v, err := d.s.str()
		p.Stop = append(p.Stop[:0], v)
		return true, err
	case '[':
		return true, d.texts("params.stop", &p.Stop)
	}
	p.Stop = p.Stop[:0]
	return false, d.nullOr("params.stop", "a string or an array of strings")
}
