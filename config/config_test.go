package config

import (
	"errors"
	"os"
	"strings"
	"testing"
	"time"
)

func TestParse(t *testing.T) {
	f, err := Parse([]byte("gateway:\n  listen: 127.0.0.1:1\n  keep_alive: 20s\n  limits: {body: 2MiB, idle: 1m}\n  upstreams:\n  - {url: 'http://127.0.0.1:8000', weight: 3}\n"))
	if err != nil {
		t.Fatal(err)
	}
	g := &f.Gateway
	if g.Listen != "127.0.0.1:1" || g.KeepAlive != 20*time.Second || g.Limits.Body != 2<<20 || g.Limits.Idle != time.Minute || g.Upstreams[0].Weight != 3 {
		t.Fatalf("read %+v", g)
	}
	for _, empty := range []string{"", "# nothing\n", "---\n"} {
		if _, err := Parse([]byte(empty)); err != nil {
			t.Errorf("%q: %v", empty, err)
		}
	}
}

func TestParseRefuses(t *testing.T) {
	for name, c := range map[string]struct{ text, want string }{
		"unknown key":     {"gateway:\n  listn: a\n", `line 2: unknown key "listn" in gateway: did you mean "listen"?`},
		"unknown section": {"gatway: {}\n", `line 1: unknown key "gatway" in the file: did you mean "gateway"?`},
		"nothing like it": {"gateway: {zzzzzzzzzz: 1}\n", `unknown key "zzzzzzzzzz" in gateway`},
		"in a list":       {"gateway:\n  upstreams:\n  - url: a\n    wieght: 2\n", `line 4: unknown key "wieght" in gateway.upstreams[1]: did you mean "weight"?`},
		"twice":           {"gateway:\n  listen: a\n  listen: b\n", "already defined"},
		"second document": {"gateway: {}\n---\ngateway: {}\n", "second"},
		"wrong type":      {"gateway: {limits: {in_flight: many}}\n", "line 1"},
		"not a mapping":   {"gateway: [1]\n", "line 1: write gateway as"},
		"size":            {"gateway: {limits: {body: big}}\n", "32MiB"},
		"alias":           {"gateway: &a {}\nx: *a\n", "line 2"},
		"not YAML":        {"\tgateway", "cannot start any token"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := Parse([]byte(c.text))
			if !errors.Is(err, ErrConfig) || !strings.Contains(err.Error(), c.want) {
				t.Fatalf("error %v, want one with %q", err, c.want)
			}
		})
	}
}

// A secret that was put where a number belongs is not repeated.
func TestParseQuotesNoValue(t *testing.T) {
	_, err := Parse([]byte("gateway: {limits: {in_flight: sk-canary-7781}}\n"))
	if err == nil || strings.Contains(err.Error(), "canary") {
		t.Fatalf("error %v", err)
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte("gateway: {upstreams: [{url: 'http://a', health: {every: 1s}}]}"))
	f.Add([]byte("gateway: &a {x: *a}"))
	f.Fuzz(func(t *testing.T, data []byte) {
		c, err := Parse(data)
		if (c == nil) == (err == nil) {
			t.Fatal("wants a file or an error")
		}
		if c != nil {
			c.Gateway.Fill()
			_ = c.Gateway.Check()
		}
	})
}

// The example of the manual is read, and makes sense.
func TestManual(t *testing.T) {
	doc, err := os.ReadFile("../docs/gateway.md")
	if err != nil {
		t.Fatal(err)
	}
	_, example, _ := strings.Cut(string(doc), "```yaml\n")
	example, _, ok := strings.Cut(example, "```")
	f, err := Parse([]byte(example))
	if err != nil || !ok {
		t.Fatal(err)
	}
	f.Gateway.Fill()
	if err := f.Gateway.Check(); err != nil {
		t.Error(err)
	}
	if len(f.Gateway.Upstreams) != 2 || f.Credentials.Keys == "" || len(f.Restrict.Rules) != 1 || len(f.Budget.Plans) != 2 {
		t.Errorf("read %+v", f)
	}
}
