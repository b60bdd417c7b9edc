package native

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"math"
	"strconv"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/palladium-guard/palladium"
	"github.com/palladium-guard/palladium/traffic/dialect"
)

// FuzzDecode compares with encoding/json: what it cannot read is rejected, what it can read is rejected for a reason
// other than syntax or has the same fields.
func FuzzDecode(f *testing.F) {
	for _, l := range sample(f) {
		f.Add([]byte(l))
	}
	const head = `{"kind":"exchange","id":"a","time":"2026-01-01T00:00:00Z","account":"b"`
	f.Add(benchLine())
	f.Add([]byte(head + `,"usage":{"input":-0,"output":1e2},"outcome":{"ms":0.1e-7,"ms":123456789.123456789},"output":"\ud83d\ude00\ud83dx\\\/"}`))
	f.Add([]byte(head + "\t,\"messages\":[{\"role\":\"u\",\"text\":null},{\"digest\":\"d\"}],\"client\":{\"asn\":4294967295}} \r"))
	f.Add([]byte(`{"kind":"account","account":"a","created":"2026-01-01T00:00:00.123456789+23:59","verified":[],"x":[[],{"y":-1.5E+3}]}`))
	f.Fuzz(func(t *testing.T, line []byte) {
		d := new(Decoder)
		for range 2 { // the second time with used memory
			kept := bytes.Clone(line)
			var rec *dialect.Record
			err := d.Decode(line, func(r *dialect.Record) error { rec = r; return nil })
			if (err == nil) != (rec != nil) || (err != nil && !dialect.IsReason(err)) {
				t.Fatalf("record %v with error %v", rec != nil, err)
			}
			if !bytes.Equal(line, kept) {
				t.Fatal("the line was changed")
			}
			ref, valid := reference(line)
			if err != nil {
				if errors.Is(err, dialect.ErrSyntax) && valid && !strings.Contains(err.Error(), "too deep") {
					t.Fatalf("%v, but encoding/json reads it", err)
				}
				if errors.Is(err, dialect.ErrUTF8) && utf8.Valid(line) {
					t.Fatal(err)
				}
				continue
			}
			if !valid || !utf8.Valid(line) {
				t.Fatalf("read a line that is not JSON")
			}
			if rec.Kind == dialect.KindAccount {
				compareAccount(t, &rec.Account, ref)
			} else {
				compareExchange(t, &rec.Exchange, ref)
			}
		}
	})
}

func reference(line []byte) (map[string]any, bool) {
	d := json.NewDecoder(bytes.NewReader(line))
	d.UseNumber()
	var v any
	if err := d.Decode(&v); err != nil {
		return nil, false
	}
	_, err := d.Token()
	m, ok := v.(map[string]any)
	return m, ok && err == io.EOF
}

func str(m map[string]any, key string) string { s, _ := m[key].(string); return s }

func obj(m map[string]any, key string) map[string]any { o, _ := m[key].(map[string]any); return o }

func num(m map[string]any, key string) float64 {
	n, _ := m[key].(json.Number)
	f, _ := n.Float64()
	return f
}

func same[T comparable](t *testing.T, field string, got, want T) {
	t.Helper()
	if got != want {
		t.Fatalf("%s: got %v, want %v", field, got, want)
	}
}

func strs(t *testing.T, field string, got []string, v any) {
	t.Helper()
	list, _ := v.([]any)
	same(t, field, len(got), len(list))
	for i := range list {
		same(t, field, any(got[i]), list[i])
	}
}

func sameTime(t *testing.T, got time.Time, s string) {
	t.Helper()
	want, err := time.Parse(time.RFC3339Nano, s)
	if s == "" && got.IsZero() {
		return
	}
	if err != nil || !got.Equal(want) {
		t.Fatalf("time %v of %q (%v)", got, s, err)
	}
}

func compareAccount(t *testing.T, a *palladium.Account, m map[string]any) {
	t.Helper()
	for field, got := range map[string]string{"account": a.ID, "organization": a.Organization, "plan": a.Plan,
		"email_domain": a.EmailDomain, "email_shape": a.EmailShape, "payment": a.Payment, "bin": a.BIN,
		"phone_prefix": a.PhonePrefix, "device": a.Device, "signup_ip": a.SignupIP, "relation": string(a.Relation)} {
		same(t, field, got, str(m, field))
	}
	if a.ID == "" {
		t.Fatal("no id")
	}
	sameTime(t, a.Created, str(m, "created"))
	strs(t, "verified", a.Verified, m["verified"])
}

func compareExchange(t *testing.T, e *palladium.Exchange, m map[string]any) {
	t.Helper()
	for field, got := range map[string]string{"id": e.ID, "account": e.Account, "credential": e.Credential, "api": e.API,
		"model": e.Model, "system": e.System, "output": e.Output} {
		same(t, field, got, str(m, field))
	}
	if e.ID == "" || e.Account == "" || e.Time.IsZero() {
		t.Fatal("a required field is missing")
	}
	sameTime(t, e.Time, str(m, "time"))
	c := obj(m, "client")
	for field, got := range map[string]string{"ip": e.Client.IP, "country": e.Client.Country, "user_agent": e.Client.UserAgent,
		"tls": e.Client.TLS, "headers": e.Client.Headers, "device": e.Client.Device} {
		same(t, field, got, str(c, field))
	}
	same(t, "asn", float64(e.Client.ASN), num(c, "asn"))
	strs(t, "tools", e.Tools, m["tools"])
	list, _ := m["messages"].([]any)
	same(t, "messages", len(e.Messages), len(list))
	for i, got := range e.Messages {
		o, _ := list[i].(map[string]any)
		same(t, "message", got, palladium.Message{Role: str(o, "role"), Text: str(o, "text"), Digest: str(o, "digest")})
	}
	o, u, p := obj(m, "outcome"), obj(m, "usage"), obj(m, "params")
	for field, pair := range map[string][2]float64{
		"status": {float64(e.Outcome.Status), num(o, "status")}, "ms": {e.Outcome.MS, num(o, "ms")}, "ttft_ms": {e.Outcome.TTFTMS, num(o, "ttft_ms")},
		"input": {float64(e.Usage.Input), num(u, "input")}, "output": {float64(e.Usage.Output), num(u, "output")},
		"reasoning": {float64(e.Usage.Reasoning), num(u, "reasoning")}, "cached": {float64(e.Usage.Cached), num(u, "cached")},
		"temperature": {e.Params.Temperature, num(p, "temperature")}, "top_p": {e.Params.TopP, num(p, "top_p")},
		"max_tokens": {float64(e.Params.MaxTokens), num(p, "max_tokens")}, "n": {float64(e.Params.N), num(p, "n")},
		"seed": {float64(e.Params.Seed), num(p, "seed")}} {
		if pair[0] != pair[1] && !math.IsNaN(pair[1]) {
			t.Fatalf("%s: got %v, want %v", field, pair[0], pair[1])
		}
	}
	for field, bit := range map[string]palladium.ParamSet{"temperature": palladium.HasTemperature, "top_p": palladium.HasTopP,
		"max_tokens": palladium.HasMaxTokens, "n": palladium.HasN, "logprobs": palladium.HasLogprobs,
		"logit_bias": palladium.HasLogitBias, "seed": palladium.HasSeed, "reasoning": palladium.HasReasoning,
		"stream": palladium.HasStream, "stop": palladium.HasStop} {
		same(t, "has "+field, e.Params.Has&bit != 0, p[field] != nil)
	}
	if len(e.Params.LogitBias) > 0 {
		last := e.Params.LogitBias[len(e.Params.LogitBias)-1]
		for key, v := range obj(p, "logit_bias") { // keys may differ in leading zeros
			if n, err := strconv.ParseUint(key, 10, 32); err == nil && uint32(n) == last.Token && v != nil && len(obj(p, "logit_bias")) == 1 {
				same(t, "logit_bias", last.Bias, num(obj(p, "logit_bias"), key))
			}
		}
	}
	if s, ok := p["stop"].([]any); ok {
		strs(t, "stop", e.Params.Stop, any(s))
	}
}
