package record

import (
	"strconv"
	"time"
	"unicode/utf8"

	"github.com/palladium-guard/palladium"
)

// object appends the members of a JSON object; empty values are left out.
type object struct {
	b    []byte
	some bool
}

func (o *object) key(name string) {
	if o.some {
		o.b = append(o.b, ',')
	}
	o.some = true
	o.b = append(o.b, '"')
	o.b = append(o.b, name...)
	o.b = append(o.b, '"', ':')
}

func (o *object) text(name, v string) {
	if v != "" {
		o.key(name)
		o.b = quote(o.b, v)
	}
}

func (o *object) int(name string, v int64) {
	if v != 0 {
		o.always(name, v)
	}
}

func (o *object) always(name string, v int64) {
	o.key(name)
	o.b = strconv.AppendInt(o.b, v, 10)
}

func (o *object) float(name string, v float64) {
	o.key(name)
	o.b = strconv.AppendFloat(o.b, v, 'g', 6, 64)
}

func (o *object) bool(name string, v bool) {
	o.key(name)
	o.b = strconv.AppendBool(o.b, v)
}

func (o *object) time(name string, t time.Time) {
	if !t.IsZero() {
		o.key(name)
		o.b = append(o.b, '"')
		o.b = t.UTC().AppendFormat(o.b, "2006-01-02T15:04:05.000Z07:00")
		o.b = append(o.b, '"')
	}
}

func (o *object) texts(name string, list []string) {
	if len(list) == 0 {
		return
	}
	o.key(name)
	for i, v := range list {
		o.b = append(o.b, "[,"[min(i, 1)])
		o.b = quote(o.b, v)
	}
	o.b = append(o.b, ']')
}

// inner opens an object as a member; close ends it and takes it back when it stayed empty.
func (o *object) inner(name string, fill func(*object)) {
	at, some := len(o.b), o.some
	o.key(name)
	start := len(o.b)
	in := object{b: append(o.b, '{')}
	fill(&in)
	if len(in.b) == start+1 {
		o.b, o.some = in.b[:at], some
		return
	}
	o.b = append(in.b, '}')
}

// quote appends s as a JSON string. Invalid UTF-8 becomes the replacement character.
func quote(b []byte, s string) []byte {
	const digits = "0123456789abcdef"
	b = append(b, '"')
	for i := 0; i < len(s); {
		plain := i
		for i < len(s) && s[i] >= ' ' && s[i] < utf8.RuneSelf && s[i] != '"' && s[i] != '\\' {
			i++
		}
		b = append(b, s[plain:i]...)
		if i == len(s) {
			break
		}
		c := s[i]
		switch {
		case c == '"' || c == '\\':
			b = append(b, '\\', c)
		case c == '\n':
			b = append(b, '\\', 'n')
		case c < ' ':
			b = append(b, '\\', 'u', '0', '0', digits[c>>4], digits[c&15])
		default:
			r, n := utf8.DecodeRuneInString(s[i:])
			b = utf8.AppendRune(b, r)
			i += n
			continue
		}
		i++
	}
	return append(b, '"')
}

// AppendAccount appends a as one line of the traffic format.
func AppendAccount(b []byte, a *palladium.Account) []byte {
	o := object{b: append(b, '{')}
	o.text("kind", "account")
	o.text("account", a.ID)
	o.time("created", a.Created)
	o.text("organization", a.Organization)
	o.text("plan", a.Plan)
	o.text("email_domain", a.EmailDomain)
	o.text("email_shape", a.EmailShape)
	o.text("payment", a.Payment)
	o.text("bin", a.BIN)
	o.text("phone_prefix", a.PhonePrefix)
	o.text("device", a.Device)
	o.text("signup_ip", a.SignupIP)
	o.texts("verified", a.Verified)
	o.text("relation", string(a.Relation))
	return append(o.b, '}', '\n')
}

// AppendExchange appends e as one line of the traffic format.
func AppendExchange(b []byte, e *palladium.Exchange) []byte {
	o := object{b: append(b, '{')}
	o.text("kind", "exchange")
	o.text("id", e.ID)
	o.time("time", e.Time)
	o.text("account", e.Account)
	o.text("credential", e.Credential)
	o.inner("client", func(o *object) {
		o.text("ip", e.Client.IP)
		o.int("asn", int64(e.Client.ASN))
		o.text("country", e.Client.Country)
		o.text("user_agent", e.Client.UserAgent)
		o.text("tls", e.Client.TLS)
		o.text("headers", e.Client.Headers)
		o.text("device", e.Client.Device)
	})
	o.text("api", e.API)
	o.text("model", e.Model)
	o.text("system", e.System)
	o.key("messages")
	o.b = append(o.b, '[')
	for i, m := range e.Messages {
		if i > 0 {
			o.b = append(o.b, ',')
		}
		in := object{b: append(o.b, '{')}
		in.text("role", m.Role)
		if m.Digest != "" {
			in.text("digest", m.Digest)
		} else {
			in.key("text")
			in.b = quote(in.b, m.Text)
		}
		o.b = append(in.b, '}')
	}
	o.b = append(o.b, ']')
	o.inner("params", func(o *object) { params(o, &e.Params) })
	o.texts("tools", e.Tools)
	o.inner("outcome", func(o *object) {
		o.int("status", int64(e.Outcome.Status))
		o.text("finish", e.Outcome.Finish)
		o.int("ms", int64(e.Outcome.MS))
		o.int("ttft_ms", int64(e.Outcome.TTFTMS))
	})
	if e.Usage != (palladium.Usage{}) {
		o.inner("usage", func(o *object) {
			o.always("input", e.Usage.Input)
			o.always("output", e.Usage.Output)
			o.int("reasoning", e.Usage.Reasoning)
			o.int("cached", e.Usage.Cached)
		})
	}
	o.text("output", e.Output)
	return append(o.b, '}', '\n')
}

// params appends the parameters that were sent.
func params(o *object, p *palladium.Params) {
	has := func(bit palladium.ParamSet) bool { return p.Has&bit != 0 }
	if has(palladium.HasTemperature) {
		o.float("temperature", p.Temperature)
	}
	if has(palladium.HasTopP) {
		o.float("top_p", p.TopP)
	}
	if has(palladium.HasMaxTokens) {
		o.always("max_tokens", int64(p.MaxTokens))
	}
	if has(palladium.HasN) {
		o.always("n", int64(p.N))
	}
	if has(palladium.HasLogprobs) {
		o.bool("logprobs", p.Logprobs)
	}
	if has(palladium.HasTopLogprobs) {
		o.always("top_logprobs", int64(p.TopLogprobs))
	}
	if has(palladium.HasLogitBias) {
		o.inner("logit_bias", func(o *object) {
			for _, t := range p.LogitBias {
				o.float(strconv.FormatUint(uint64(t.Token), 10), t.Bias)
			}
		})
	}
	if has(palladium.HasSeed) {
		o.always("seed", p.Seed)
	}
	if has(palladium.HasReasoning) {
		o.text("reasoning", p.Reasoning)
	}
	if has(palladium.HasStream) {
		o.bool("stream", p.Stream)
	}
	if has(palladium.HasStop) {
		o.texts("stop", p.Stop)
	}
}
