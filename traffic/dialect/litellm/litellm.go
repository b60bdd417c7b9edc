// Package litellm reads the standard logging payload of the LiteLLM proxy: one JSON object a line, as its object
// stores and queues are given it (docs.litellm.ai, "StandardLoggingPayload Specification"). A line may also hold an
// array of payloads, or an object with the payload under "standard_logging_object", itself under "kwargs" or not; and
// rows of the proxy's table of spend logs, which name the same things request_id, user and user_api_key.
//
// The account is the key's user; where the key belongs to no one person (no user, or the proxy's default user) it
// is the end user that the request names; else the hash of the key. An end user is named by the client: operators
// whose clients are not their own applications should give every key a user.
package litellm

import (
	"bytes"
	"strings"
	"time"

	"github.com/valyala/fastjson"

	"github.com/palladium-guard/palladium"
	"github.com/palladium-guard/palladium/traffic/dialect"
)

// Format describes the format. It has no account records.
func Format() dialect.Format {
	return dialect.Format{Name: "litellm", Sniff: Sniff, New: func() dialect.Decoder { return new(Decoder) }}
}

// Sniff reports whether line has the fields that every payload has.
func Sniff(line []byte) bool {
	return bytes.Contains(line, []byte(`"call_type"`)) && bytes.Contains(line, []byte(`"startTime"`))
}

// Decoder reads payloads.
type Decoder struct {
	p   fastjson.Parser
	rec dialect.Record
}

// Decode implements dialect.Decoder. Required are "id", "startTime" and something to name the account by. Optional
// fields of a shape that is not known are left out.
func (d *Decoder) Decode(line []byte, emit func(*dialect.Record) error) error {
	v, err := dialect.Parse(&d.p, line)
	if err != nil {
		return err
	}
	payloads := []*fastjson.Value{v}
	if v.Type() == fastjson.TypeArray {
		payloads = v.GetArray()
	}
	var left []error
	for _, p := range payloads {
		if p.Type() != fastjson.TypeObject {
			left = append(left, dialect.WrongType("(whole line)", "an object or an array of objects"))
			continue
		}
		for _, inner := range []*fastjson.Value{p.Get("standard_logging_object"), p.Get("kwargs", "standard_logging_object")} {
			if inner != nil && inner.Type() == fastjson.TypeObject {
				p = inner
				break
			}
		}
		if err := d.payload(p); err != nil {
			left = append(left, err)
			continue
		}
		if err := emit(&d.rec); err != nil {
			return err
		}
	}
	return dialect.Left(left)
}

func (d *Decoder) payload(v *fastjson.Value) error {
	d.rec.Kind = dialect.KindExchange
	e := &d.rec.Exchange
	e.Reset()
	if e.ID = first(v.Get("id"), v.Get("request_id")); e.ID == "" {
		return dialect.Missing("id")
	}
	start, err := clock(v, "startTime")
	if err != nil {
		return err
	}
	e.Time = time.UnixMilli(start).UTC()
	meta := v.Get("metadata")
	e.Credential = first(meta.Get("user_api_key_hash"), meta.Get("user_api_key"))
	if e.Account = account(v, meta); e.Account == "" {
		return dialect.Missing("metadata.user_api_key_hash")
	}
	e.API = api(dialect.Text(v.Get("call_type")))
	e.Model = first(v.Get("model_group"), v.Get("model"))
	client(&e.Client, v, meta)
	params := v.Get("model_parameters")
	dialect.Parameters(&e.Params, params)
	if s := v.Get("stream"); s != nil && e.Params.Has&palladium.HasStream == 0 {
		dialect.Flag(&e.Params, palladium.HasStream, &e.Params.Stream, s)
	}
	e.Tools = dialect.Tools(e.Tools, params)
	conversation(e, v.Get("messages"), params)
	outcome(e, v, start)
	usage(&e.Usage, v, meta)
	return nil
}

// clock reads a Unix time, or one that was written as text, and returns Unix milliseconds.
func clock(v *fastjson.Value, field string) (int64, error) {
	t := v.Get(field)
	if t == nil || t.Type() == fastjson.TypeNull {
		return 0, dialect.Missing(field)
	}
	if s, ok := dialect.Number(t); ok {
		if ms, ok := dialect.UnixMilli(s); ok {
			return ms, nil
		}
		return 0, dialect.WrongType(field, "Unix seconds")
	}
	s := dialect.Text(t)
	if at, ok := dialect.ParseTime(s); ok {
		return at.UnixMilli(), nil
	}
	// How Python prints a time; without a zone, the proxy's clock is taken to be UTC.
	for _, layout := range []string{"2006-01-02 15:04:05", "2006-01-02 15:04:05Z07:00"} {
		if at, err := time.Parse(layout, strings.Replace(s, "T", " ", 1)); err == nil {
			return at.UnixMilli(), nil
		}
	}
	return 0, dialect.WrongType(field, "Unix seconds")
}

// account names who is billed; see the package comment.
func account(v, meta *fastjson.Value) string {
	for _, u := range []*fastjson.Value{meta.Get("user_api_key_user_id"), v.Get("user")} {
		if user := dialect.Text(u); user != "" && user != "default_user_id" {
			return user
		}
	}
	return first(v.Get("end_user"), meta.Get("user_api_key_end_user_id"), meta.Get("user_api_key_hash"), meta.Get("user_api_key"))
}

// first returns the first string that is not empty.
func first(vs ...*fastjson.Value) string {
	for _, v := range vs {
		if s := dialect.Text(v); s != "" {
			return s
		}
	}
	return ""
}

// api translates LiteLLM's call types to the contract's names. The leading a marks an asynchronous call of the proxy.
func api(call string) string {
	switch call {
	case "completion", "acompletion":
		return "openai.chat"
	case "text_completion", "atext_completion":
		return "openai.completions"
	case "embedding", "aembedding":
		return "openai.embeddings"
	case "responses", "aresponses":
		return "openai.responses"
	case "anthropic_messages":
		return "anthropic.messages"
	}
	return call
}

func client(c *palladium.Client, v, meta *fastjson.Value) {
	ip := first(v.Get("requester_ip_address"), meta.Get("requester_ip_address"))
	if at := strings.IndexByte(ip, ','); at >= 0 { // X-Forwarded-For: the client comes first
		ip = ip[:at]
	}
	c.IP = strings.TrimSpace(ip)
	headers := meta.Get("requester_custom_headers")
	c.UserAgent = first(meta.Get("user_agent"), v.Get("user_agent"), headers.Get("user-agent"), headers.Get("x-user-agent"))
	if c.UserAgent == "" { // the proxy tags requests with the agent, without and with its version
		for _, tag := range v.GetArray("request_tags") {
			if agent, ok := strings.CutPrefix(dialect.Text(tag), "User-Agent: "); ok && len(agent) > len(c.UserAgent) {
				c.UserAgent = agent
			}
		}
	}
}
