package config

import (
	"bytes"
	"errors"
	"strings"
	"testing"
)

// What could let somebody in is masked; names of files are not.
func TestMasked(t *testing.T) {
	for _, c := range []struct{ path, value, want string }{
		{"a.url", "postgres://u:p%40w@h/db?sslmode=require&password=x", "postgres://u:***@h/db?sslmode=require&password=***"},
		{"a.url", "host=h password='a b' dbname=d", "host=h password=*** dbname=d"},
		{"stream.url", "nats://abc@a:1,tls://u:pw@b:2", "nats://***@a:1,tls://u:***@b:2"},
		{"a.token_file", "/run/token", "/run/token"},
		{"a.token", "abc", "***"},
		{"a.secret_env", "NAME", "NAME"},
		{"a.webhook", "https://hooks.example.com/T0/B0/abc", "https://hooks.example.com/***"},
		{"gateway.listen", "[::1]:80", "[::1]:80"},
		{"enforcement.appeal", "mailto:a@example.com", "mailto:a@example.com"},
	} {
		if got := Masked(c.path, c.value); got != c.want {
			t.Errorf("%s %s is shown as %s, want %s", c.path, c.value, got, c.want)
		}
	}
}

// Every kind of value is written, and read again.
func TestTrail(t *testing.T) {
	text := []byte("enforcement: {approval: [], stages: {act: {measure: slow, delay: 1s}}}\nbudget: {pools: {a: {day: {output: 2M}}}}\nrestrict: {rules: [{features: {n: limit 2}, embedding_decimals: 3}]}\narchive: {retention: {counts: forever}}\nstream: {sync: 2s}\nsign_in: {oidc: {issuer: https://a}}\n")
	f, err := Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	trail := NewTrail(text)
	trail.Note(f, "")
	f.Gateway.Fill()
	trail.Note(f, "default")
	var first, second bytes.Buffer
	if err := trail.Write(&first, f, false); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"n: limit 2 # line 3", "approval: [] # line 1", "counts: forever # line 4", "sync: 2s # line 5", "output: 2000000 # line 2", "issuer: https://a # line 6", "listen: 127.0.0.1:8080 # default"} {
		if !strings.Contains(first.String(), want+"\n") {
			t.Errorf("no line with %q", want)
		}
	}
	again, err := Parse(first.Bytes())
	if err != nil {
		t.Fatalf("%v\n%s", err, &first)
	}
	if err := NewTrail(nil).Write(&second, again, true); err != nil || second.Len() < first.Len() {
		t.Error(err, second.String())
	}
}

// The line of what an error speaks of stands before it; errors about what is not there have none.
func TestLocate(t *testing.T) {
	trail := NewTrail([]byte(`gateway:
  upstreams:
    - {url: http://a}
enforcement:
  mode: enfroce
  stages:
    watch: {measure: observe}
taps:
  kafka:
    brokers: [x]
    drain: -1s
notify:
  sinks:
    - name: a
    - name: b
stream: {replicas: 2}
`))
	for text, want := range map[string]string{
		"gateway: upstreams: upstream1: url must be an address": "line 2: ",
		"gateway: name a server of models":                      "line 1: ",
		"taps.kafka: drain must not be negative":                "line 11: ",
		"taps.kafka: brokers: \"x\" is not host:port":           "line 10: ",
		"enforcement policy refused: mode \"enfroce\" is":       "line 5: ",
		"enforcement policy refused: stages.watch: only act":    "line 7: ",
		"notify: sink 2 \"b\": name exactly one":                "line 15: ",
		"stream configuration refused: stream.replicas is 1":    "line 16: ",
		"credentials: tokens 1: give audience":                  "",
		"no idea":                                               "",
		"line 3: known already":                                 "",
	} {
		if got := trail.Locate(errors.New(text)).Error(); got != want+text {
			t.Errorf("%s: %s", text, got)
		}
	}
	base := errors.New("gateway: failure must be open")
	err := trail.Locate(errors.Join(base, nil, errors.Join(errors.New("taps: x"), errors.New("nothing"))))
	if !errors.Is(err, base) || err.Error() != "line 1: gateway: failure must be open\nline 8: taps: x\nnothing" {
		t.Error(err)
	}
	if trail.Locate(nil) != nil {
		t.Error("no error has a line")
	}
}
