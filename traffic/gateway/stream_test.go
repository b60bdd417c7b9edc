package gateway

import (
	"bytes"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/palladium-guard/palladium/traffic/budget"
	anthropicdialect "github.com/palladium-guard/palladium/traffic/dialect/anthropic"
	"github.com/palladium-guard/palladium/traffic/dialect/openai"
	"github.com/palladium-guard/palladium/traffic/gateway/pool"
)

// repeat is a body that gives the same chunk n times.
type repeat struct {
	chunk []byte
	n     int
}

func (r *repeat) Read(p []byte) (int, error) {
	if r.n--; r.n < 0 {
		return 0, io.EOF
	}
	return copy(p, r.chunk), nil
}

// nowhere is a caller that takes everything.
type nowhere struct{ h http.Header }

func (n nowhere) Header() http.Header             { return n.h }
func (nowhere) Write(p []byte) (int, error)       { return len(p), nil }
func (nowhere) WriteHeader(int)                   {}
func (nowhere) FlushError() error                 { return nil }
func (nowhere) SetWriteDeadline(time.Time) error  { return nil }
func (nowhere) SetReadDeadline(t time.Time) error { return nil }

type nobody struct{}

func (nobody) Take(*Finished) {}

// streaming is an exchange in the middle of an answer, with everything that follows a stream switched on.
func streaming(t testing.TB, hides bool) *exchange {
	t.Helper()
	g, err := New(Options{Config: Config{Upstreams: []pool.Config{{URL: "http://127.0.0.1:1"}}, Observe: Observe{Answer: 2048}}, OpenAI: openai.New(), Anthropic: anthropicdialect.New(),
		Log: slog.New(slog.DiscardHandler), Observer: nobody{}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(g.Close)
	x := &exchange{g: g, s: g.current.Load(), w: nowhere{http.Header{}}, r: httptest.NewRequest("POST", "/v1/chat/completions", nil), start: time.Now()}
	x.route = x.s.routes.exact["/v1/chat/completions"]
	x.timer = time.AfterFunc(time.Hour, x.tick)
	x.timer.Stop()
	x.redaction.UsageChunk = hides
	ledger := budget.New(nil, nil)
	free := budget.Amount{Requests: budget.Unlimited, Input: budget.Unlimited, Output: budget.Unlimited}
	if x.reserved, err = ledger.Reserve(x.start, budget.Demand{Principals: []budget.Principal{{Level: budget.Account, ID: "a", Limits: budget.Limits{Day: free, Month: free}}},
		Input: 10, Output: 1 << 40}); err != nil {
		t.Fatal(err)
	}
	x.begin(true)
	x.mu.Unlock()
	x.follow(true)
	return x
}

const chunkText = `data: {"id":"chatcmpl-1","object":"chat.completion.chunk","model":"m","choices":[{"index":0,"delta":{"content":" word"},"logprobs":null,"finish_reason":null}]%s}` + "\n\n"

// Following a chunk, counting and drawing its tokens, keeping its text and writing it allocate nothing once the buffers
// have their size, whether chunks end between events or within them, and whether or not usage is hidden.
func TestChunkPathAllocatesNothing(t *testing.T) {
	whole := []byte(fmt.Sprintf(chunkText, ""))
	null := []byte(fmt.Sprintf(chunkText, `,"usage":null`))
	odd := bytes.Repeat(whole, 9)[100 : 100+len(whole)*8] // begins and ends within an event
	for name, c := range map[string]struct {
		chunk []byte
		hides bool
	}{"whole events": {whole, false}, "parts of events": {odd, false}, "usage hidden": {null, true}, "usage hidden, parts": {odd, true}} {
		t.Run(name, func(t *testing.T) {
			x := streaming(t, c.hides)
			run := func(n int) {
				if err := x.streamBody(&repeat{c.chunk, n}); err != nil {
					t.Fatal(err)
				}
			}
			run(2000)
			a := testing.AllocsPerRun(5, func() { run(10) })
			b := testing.AllocsPerRun(5, func() { run(2010) })
			if b-a > 2 { // of two thousand chunks; the sync.Pool may be emptied meanwhile
				t.Errorf("2,000 chunks allocate %.0f times", b-a)
			}
			if x.passing.Scan.Deltas < 2000 || x.passing.Drawn != int64(x.passing.Scan.Deltas) {
				t.Errorf("%d events were counted, %d tokens drawn", x.passing.Scan.Deltas, x.passing.Drawn)
			}
		})
	}
}

func BenchmarkChunk(b *testing.B) {
	for name, hides := range map[string]bool{"passed": false, "usage hidden": true} {
		b.Run(name, func(b *testing.B) {
			x := streaming(b, hides)
			text := ""
			if hides {
				text = `,"usage":null`
			}
			b.ReportAllocs()
			b.ResetTimer()
			if err := x.streamBody(&repeat{[]byte(fmt.Sprintf(chunkText, text)), b.N}); err != nil {
				b.Fatal(err)
			}
		})
	}
}

func TestCheck(t *testing.T) {
	ok := func() Config { return Config{Upstreams: []pool.Config{{URL: "http://127.0.0.1:8000/v1"}}} }
	c := ok()
	c.Fill()
	if err := c.Check(); err != nil {
		t.Fatal(err)
	}
	for want, change := range map[string]func(*Config){
		"name a server":   func(c *Config) { c.Upstreams = nil },
		"address such as": func(c *Config) { c.Upstreams[0].URL = "127.0.0.1:8000" },
		"no password":     func(c *Config) { c.Upstreams[0].URL = "http://a:b@c" },
		"name of its own": func(c *Config) {
			c.Upstreams = append(c.Upstreams, c.Upstreams[0])
			c.Upstreams[0].Name, c.Upstreams[1].Name = "a", "a"
		},
		"not both":             func(c *Config) { c.Upstreams[0].SecretFile, c.Upstreams[0].SecretEnv = "a", "b" },
		"auth must be":         func(c *Config) { c.Upstreams[0].Auth = "basic" },
		"must start with /":    func(c *Config) { c.Routes = []RouteConfig{{Path: "v1"}} },
		"only a trailing":      func(c *Config) { c.Routes = []RouteConfig{{Path: "/a*"}} },
		"failure must be":      func(c *Config) { c.Failure = "maybe" },
		"certificate and key":  func(c *Config) { c.TLS.Certificate = "a" },
		"token_file":           func(c *Config) { c.Admin.Listen = ":1" },
		"appeal must be":       func(c *Config) { c.Appeal = "ask us" },
		"usage must be":        func(c *Config) { c.Usage = "maybe" },
		"output of at least 1": func(c *Config) { c.Models = []ModelConfig{{Name: "m"}} },
		"require_cert needs":   func(c *Config) { c.TLS.RequireCert = true },
		"weight must not be":   func(c *Config) { c.Upstreams[0].Weight = -1 },
		"openai or anthropic":  func(c *Config) { c.Routes = []RouteConfig{{Path: "/a", Dialect: "x"}} },
	} {
		c := ok()
		change(&c)
		c.Fill()
		if err := c.Check(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v, wanted one with %q", err, want)
		}
	}
}
