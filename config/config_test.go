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

// How long the catalog keeps what ended is a span; 0 and forever have no end, and what is not said is 400 days.
func TestCatalogKeep(t *testing.T) {
	for text, want := range map[string]string{"{}": "400d", "{keep: 90d}": "90d", "{keep: 36h}": "36h0m0s", "{keep: 0}": "forever", "{keep: forever}": "forever", "{keep: 1h}": ""} {
		f, err := Parse([]byte("catalog: " + text))
		if err != nil {
			t.Errorf("%s: %v", text, err)
			continue
		}
		f.Catalog.Fill()
		if err := f.Catalog.Check(); (err != nil) != (want == "") {
			t.Errorf("%s: %v", text, err)
		}
		if got, _ := f.Catalog.Keep.MarshalText(); want != "" && string(got) != want {
			t.Errorf("%s is %s, not %s", text, got, want)
		}
	}
}

func TestParseRefuses(t *testing.T) {
	for name, c := range map[string]struct{ text, want string }{
		"unknown key":       {"gateway:\n  listn: a\n", `line 2: unknown key "listn" in gateway: did you mean "listen"?`},
		"unknown section":   {"gatway: {}\n", `line 1: unknown key "gatway" in the file: did you mean "gateway"?`},
		"nothing like it":   {"gateway: {zzzzzzzzzz: 1}\n", `unknown key "zzzzzzzzzz" in gateway`},
		"in a list":         {"gateway:\n  upstreams:\n  - url: a\n    wieght: 2\n", `line 4: unknown key "wieght" in gateway.upstreams[1]: did you mean "weight"?`},
		"twice":             {"gateway:\n  listen: a\n  listen: b\n", "line 3: gateway.listen stands on line 2 already: keep one"},
		"second document":   {"gateway: {}\n---\ngateway: {}\n", "second"},
		"wrong type":        {"gateway: {limits: {in_flight: many}}\n", "line 1"},
		"not a mapping":     {"gateway: [1]\n", "line 1: write gateway as"},
		"size":              {"gateway: {limits: {body: big}}\n", "32MiB"},
		"alias":             {"gateway: &a {}\nx: *a\n", "line 2"},
		"number for a time": {"detector: {every: 30}\n", "line 1: detector.every: the number has no unit: write a time with its unit, such as 30s"},
		"words for a time":  {"detector:\n  every: 1 hour\n", "line 2: detector.every: write a time with its unit"},
		"list for a value":  {"catalog:\n  url: [a]\n", "line 2: catalog.url: write one value, not a list"},
		"value for a list":  {"taps:\n  files: a\n", "line 2: taps.files: write a list, such as [a, b]"},
		"list for a map":    {"budget: {plans: [a]}\n", "line 1: budget.plans: write `key: value` lines, not a list"},
		"word for a bool":   {"archive: {off: perhaps}\n", "line 1: archive.off: write true or false"},
		"span":              {"archive: {retention: {counts: often}}\n", "line 1: archive.retention.counts: want a span such as 90d"},
		"catalog's span":    {"catalog: {keep: 400}\n", "line 1: catalog.keep: want a span such as 400d or 9600h, or forever"},
		"interval":          {"stream:\n  sync: often\n", "line 2: stream.sync: write always, or an interval"},
		"twice in a map":    {"budget:\n  plans:\n    a: {}\n    a: {}\n", "line 4: budget.plans.a stands on line 3 already"},
		"what it knows":     {"catalog: {qqqqqqqqqqqqqqqqqqqq: 1}\n", "remove it, or write one of connections, keep, password_file, url"},
		"variable":          {"catalog:\n  url: ${DATABASE}\n", "line 2: catalog.url: variables of the environment are not filled in"},
		"tab":               {"gateway:\n  listen: a\n\tadmin: {}\n", "line 3: it is indented with a tab: use spaces"},
		"indentation":       {"gateway:\n  upstreams:\n    - url: a\n   listen: b\n", "line 4: it does not line up with the lines above"},
		"open quote":        {"gateway:\n  listen: 'a\n", "line 2: a quote is opened there and never closed"},
		"open bracket":      {"gateway:\n  upstreams: [{url: a}\n  listen: b\n", "line 2: a bracket or brace is opened there"},
		"two colons":        {"gateway:\n  listen: http: //x\n", "line 2: it is indented further"},
		"no text":           {"gateway:\n  listen: \xff\n", "line 2: what stands there is not text in UTF-8"},
		"control character": {"gateway:\n  listen: a\x00\n", "line 2: what stands there is not text"},
		"not YAML":          {"\tgateway", "line 1: it is indented with a tab: use spaces"},
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
	for _, text := range []string{
		"gateway: {limits: {in_flight: sk-canary-7781}}\n", "gateway: {limits: {body: sk-canary-7781}}\n", "detector: {every: sk-canary-7781}\n",
		"archive: {off: sk-canary-7781}\n", "taps: {files: sk-canary-7781}\n", "stream: sk-canary-7781\n", "stream: {tokn: sk-canary-7781}\n",
		"stream: {sync: sk-canary-7781}\n", "archive: {retention: {counts: sk-canary-7781}}\n", "sign_in: {oidc: sk-canary-7781}\n", "gateway: 'sk-canary-7781\n",
	} {
		if _, err := Parse([]byte(text)); err == nil || strings.Contains(err.Error(), "canary") {
			t.Errorf("%s: error %v", text, err)
		}
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
