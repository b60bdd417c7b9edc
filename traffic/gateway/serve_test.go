package gateway_test

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/palladium-guard/palladium"
	"github.com/palladium-guard/palladium/traffic/budget"
	"github.com/palladium-guard/palladium/traffic/dialect/anthropic"
	"github.com/palladium-guard/palladium/traffic/dialect/openai"
	"github.com/palladium-guard/palladium/traffic/gateway"
	"github.com/palladium-guard/palladium/traffic/gateway/listen"
	"github.com/palladium-guard/palladium/traffic/gateway/observe"
	"github.com/palladium-guard/palladium/traffic/gateway/pool"
	"github.com/palladium-guard/palladium/traffic/measure"
	"github.com/palladium-guard/palladium/traffic/verdict"
	"github.com/palladium-guard/palladium/world/upstream"
)

// callers knows keys by their text; the value is the account. What it knows can be changed while it is used.
type callers struct {
	mu   sync.Mutex
	keys map[string]gateway.Caller
	err  error
}

func (c *callers) Identify(r *http.Request) (gateway.Caller, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.err != nil {
		return gateway.Caller{}, c.err
	}
	key := strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer ")
	if key == "" {
		key = r.Header.Get("X-Api-Key")
	}
	if key == "" {
		return gateway.Caller{}, gateway.ErrNoCredential
	}
	got, ok := c.keys[key]
	if !ok {
		return gateway.Caller{}, gateway.ErrCredential
	}
	return got, nil
}

// rig is a gateway before a made-up model, both on the loopback.
type rig struct {
	t        *testing.T
	model    *upstream.Server
	up       *httptest.Server
	gateway  *gateway.Gateway
	server   *httptest.Server
	callers  *callers
	ledger   *budget.Ledger
	verdicts *verdict.Holder
	log      *syncBuffer
	seen     *sink
	options  gateway.Options
	observer *observe.Observer
}

type sink struct {
	mu  sync.Mutex
	all []palladium.Observation
}

func (s *sink) Observe(o *palladium.Observation) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.all = append(s.all, *o)
}

func (s *sink) wait(t *testing.T, n int) []palladium.Observation {
	t.Helper()
	for range 400 {
		s.mu.Lock()
		if len(s.all) >= n {
			defer s.mu.Unlock()
			return s.all
		}
		s.mu.Unlock()
		time.Sleep(5 * time.Millisecond)
	}
	t.Fatalf("fewer than %d observations", n)
	return nil
}

type syncBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *syncBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *syncBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

const key = "pal_test_key"

// free are settings of budgets that stand in nobody's way.
func free() budget.Settings {
	u := budget.Cap{N: budget.Unlimited, Stated: true}
	all := budget.Caps{Requests: u, Input: u, Output: u}
	share := budget.Share{Day: all, Month: all}
	return budget.Settings{Plans: map[string]budget.Plan{
		budget.Default: {Account: share, Organization: share, PerMinute: budget.Minute{Requests: u, Tokens: u}},
	}}
}

// start starts a rig. change may be nil.
func start(t *testing.T, change func(*gateway.Options, *rig)) *rig {
	t.Helper()
	r := &rig{t: t, model: upstream.New(upstream.Config{}), log: &syncBuffer{}, seen: &sink{}, ledger: budget.New(nil, nil),
		verdicts: verdict.NewHolder(0)}
	r.up = httptest.NewServer(r.model.Handler())
	t.Cleanup(r.up.Close)
	r.callers = &callers{keys: map[string]gateway.Caller{key: {Account: "acme", Plan: "pro", Credential: "k1", Kind: "key"}}}
	book, err := budget.NewBook(free())
	if err != nil {
		t.Fatal(err)
	}
	if err := r.swap(); err != nil {
		t.Fatal(err)
	}
	r.options = gateway.Options{
		Config:  gateway.Config{Upstreams: []pool.Config{{URL: r.up.URL}}},
		Callers: r.callers, Verdicts: r.verdicts, Allowance: gateway.Allowance{Book: book, Ledger: r.ledger, Limiter: budget.NewLimiter()},
		OpenAI: openai.New(), Anthropic: anthropic.New(),
		Log: slog.New(slog.NewTextHandler(r.log, &slog.HandlerOptions{Level: slog.LevelDebug})),
	}
	if change != nil {
		change(&r.options, r)
	}
	filled := r.options.Config
	filled.Fill()
	if r.observer, err = observe.New(filled.Observe, measure.New([32]byte{1}, nil), r.seen); err != nil {
		t.Fatal(err)
	}
	r.options.Observer = r.observer
	if r.gateway, err = gateway.New(r.options); err != nil {
		t.Fatal(err)
	}
	r.server = httptest.NewUnstartedServer(r.gateway)
	r.server.Config = listen.Server(&filled, r.gateway, nil)
	r.server.Start()
	t.Cleanup(func() {
		r.server.CloseClientConnections()
		r.server.Close()
		r.gateway.Close()
		r.observer.Close()
	})
	return r
}

func (r *rig) swap(list ...palladium.Verdict) error {
	version := uint64(1)
	if t := r.verdicts.Table(); t != nil {
		version = t.Version() + 1
	}
	for i := range list {
		v := &list[i]
		if v.Account == "" {
			v.Account = "acme"
		}
		v.ID, v.Reason = "v1", "campaign.extraction"
		v.Expires = time.Now().Add(time.Hour)
	}
	t, err := verdict.New(version, time.Now(), list)
	if err != nil {
		return err
	}
	return r.verdicts.Swap(t, time.Now())
}

// settings replaces what callers may draw.
func settings(t *testing.T, o *gateway.Options, p budget.Plan) {
	t.Helper()
	s := free()
	s.Plans["pro"] = p
	book, err := budget.NewBook(s)
	if err != nil {
		t.Fatal(err)
	}
	o.Allowance.Book = book
}

func limit(n int64) budget.Cap { return budget.Cap{N: n, Stated: true} }

// send posts a body with the rig's key. Extra headers come as name, value pairs.
func (r *rig) send(path, body string, headers ...string) *http.Response {
	r.t.Helper()
	return r.sendTo(r.server.URL, context.Background(), path, body, headers...)
}

func (r *rig) sendTo(base string, ctx context.Context, path, body string, headers ...string) *http.Response {
	r.t.Helper()
	method := http.MethodPost
	if body == "" {
		method = http.MethodGet
	}
	req, err := http.NewRequestWithContext(ctx, method, base+path, strings.NewReader(body))
	if err != nil {
		r.t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+key)
	req.Header.Set("Content-Type", "application/json")
	for i := 0; i+1 < len(headers); i += 2 {
		if headers[i+1] == "" {
			req.Header.Del(headers[i])
		} else {
			req.Header.Set(headers[i], headers[i+1])
		}
	}
	resp, err := http.DefaultTransport.RoundTrip(req)
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(func() { resp.Body.Close() })
	return resp
}

// text reads an answer to its end.
func text(t *testing.T, resp *http.Response) string {
	t.Helper()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatalf("read the answer: %v after %q", err, tail(string(b)))
	}
	return string(b)
}

func tail(s string) string {
	if len(s) > 300 {
		return s[len(s)-300:]
	}
	return s
}

const (
	chatStream = `{"model":"test-model","stream":true,"messages":[{"role":"user","content":"hello there"}],"max_tokens":20}`
	chatPlain  = `{"model":"test-model","messages":[{"role":"user","content":"hello there"}],"max_tokens":20}`
	messages   = `{"model":"test-model","stream":true,"messages":[{"role":"user","content":"hello there"}],"max_tokens":20}`
)

// Every endpoint gives, byte for byte, what the upstream gives, streamed or not, however the upstream cuts its writes.
func TestPassesBytes(t *testing.T) {
	r := start(t, nil)
	bodies := map[string][]string{
		"/v1/chat/completions": {chatStream, chatPlain, `{"model":"m","stream":true,"stream_options":{"include_usage":true},"messages":[{"role":"user","content":"hi"}]}`,
			`{"model":"m","stream":true,"messages":[{"role":"user","content":"weather"}],"tools":[{"type":"function","function":{"name":"f","parameters":{"type":"object","properties":{"city":{"type":"string"}}}}}],"tool_choice":"required"}`},
		"/v1/responses":             {`{"model":"m","stream":true,"input":"hello"}`, `{"model":"m","input":"hello"}`},
		"/v1/completions":           {`{"model":"m","stream":true,"prompt":"hello"}`, `{"model":"m","prompt":"hello"}`},
		"/v1/messages":              {messages, strings.Replace(messages, `"stream":true,`, "", 1)},
		"/v1/messages/count_tokens": {`{"model":"m","messages":[{"role":"user","content":"hello"}]}`},
		"/v1/models":                {""},
		"/v1/models/test-model":     {""},
	}
	for path, list := range bodies {
		for _, body := range list {
			for _, fault := range []string{"", "split=7", "split=1", "crlf", "join=5", "unknown,tokens=8", "crlf,split=3"} {
				if body == "" && fault != "" {
					continue
				}
				h := []string{"X-Upstream-Fault", fault}
				direct := r.sendTo(r.up.URL, context.Background(), path, body, h...)
				through := r.send(path, body, h...)
				want, got := text(t, direct), text(t, through)
				if want != got || direct.StatusCode != through.StatusCode {
					t.Errorf("%s %s fault %q: status %d, wanted %d\n got %s\nwant %s", path, body, fault, through.StatusCode, direct.StatusCode, got, want)
				}
				for name, v := range direct.Header {
					if !strings.HasPrefix(name, "X-Ratelimit") && !strings.HasPrefix(name, "Anthropic-Ratelimit") && name != "Date" && strings.Join(v, ",") != strings.Join(through.Header[name], ",") {
						t.Errorf("%s: header %s is %q, wanted %q", path, name, through.Header[name], v)
					}
				}
			}
		}
	}
	if strings.Contains(r.log.String(), "ERROR") {
		t.Error(r.log.String())
	}
}

// The upstream gets the caller's own headers and body, its own secret, and nothing of the caller's credential.
func TestUpstreamSees(t *testing.T) {
	t.Setenv("UPSTREAM_SECRET", "sk-upstream-canary")
	r := start(t, func(o *gateway.Options, _ *rig) { o.Config.Upstreams[0].SecretEnv = "UPSTREAM_SECRET" })
	text(t, r.send("/v1/chat/completions?x=1", chatPlain, "X-Mine", "kept", "X-Forwarded-For", "1.2.3.4", "Cookie", "a=b", "Idempotency-Key", "i1",
		"Connection", "X-Hop", "X-Hop", "gone", "Anthropic-Version", "2026-10-21"))
	seen := r.model.Seen()
	h := seen[len(seen)-1].Header
	for name, want := range map[string]string{"X-Mine": "kept", "Authorization": "Bearer sk-upstream-canary", "X-Forwarded-For": "", "X-Hop": "",
		"Idempotency-Key": "i1", "Anthropic-Version": "2026-10-21", "Cookie": "a=b", "X-Api-Key": "", "User-Agent": "Go-http-client/1.1"} {
		if got := h.Get(name); got != want {
			t.Errorf("the upstream got %s %q, wanted %q", name, got, want)
		}
	}
	text(t, r.send("/v1/messages", messages, "Authorization", "", "X-Api-Key", key))
	seen = r.model.Seen()
	h = seen[len(seen)-1].Header
	if got := h.Get("X-Api-Key"); got != "sk-upstream-canary" || h.Get("Authorization") != "" {
		t.Errorf("the upstream got x-api-key %q and authorization %q", got, h.Get("Authorization"))
	}
}

// An event larger than anything that is held back passes too, whether or not its usage is hidden or counted.
func TestGiantEvent(t *testing.T) {
	r := start(t, nil)
	for path, body := range map[string]string{"/v1/chat/completions": chatStream, "/v1/messages": messages} {
		body = strings.Replace(body, `"max_tokens":20`, `"max_tokens":1000000`, 1)
		h := []string{"X-Upstream-Fault", "body=3000000"}
		want := text(t, r.sendTo(r.up.URL, context.Background(), path, body, h...))
		if got := text(t, r.send(path, body, h...)); got != want || len(got) < 1_000_000 {
			t.Errorf("%s: %d bytes, wanted %d; ends with %s", path, len(got), len(want), tail(got))
		}
	}
}

// A caller that leaves, before or after the first token, has the upstream stop within 50 ms. On a machine that others keep
// busy the way there takes longer now and then: the fastest of five counts, and each must come.
func TestCancels(t *testing.T) {
	r := start(t, nil)
	for name, fault := range map[string]string{"before headers": "first=60s", "before tokens": "quiet=60s", "mid stream": "pace=10ms,tokens=20000", "unary": "first=60s"} {
		t.Run(name, func(t *testing.T) {
			body := chatStream
			if name == "unary" {
				body = chatPlain
			}
			best := time.Hour
			for i := 0; i < 5 && best > 50*time.Millisecond; i++ {
				best = min(best, r.leave(body, fmt.Sprintf("%s,tag=%s%d", fault, strings.ReplaceAll(name, " ", ""), i)))
			}
			if best > 50*time.Millisecond {
				t.Errorf("the upstream was told after %v at best", best)
			}
		})
	}
}

// leave sends a request and leaves it, and returns how long after that the upstream knew.
func (r *rig) leave(body, fault string) time.Duration {
	r.t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	tag := fault[strings.Index(fault, "tag="):]
	tagged := func(q upstream.Request) bool { return strings.HasSuffix(q.Header.Get("X-Upstream-Fault"), tag) }
	wait, done := context.WithTimeout(context.Background(), 30*time.Second)
	defer done()
	left := make(chan time.Time, 1)
	go func() {
		if _, err := r.model.Await(wait, tagged); err != nil {
			r.t.Errorf("the request does not get there: %v", err)
		}
		time.Sleep(100 * time.Millisecond) // some of a stream passes
		left <- time.Now()
		cancel()
	}()
	req, _ := http.NewRequestWithContext(ctx, http.MethodPost, r.server.URL+"/v1/chat/completions", strings.NewReader(body))
	req.Header.Set("Authorization", "Bearer "+key)
	req.Header.Set("X-Upstream-Fault", fault)
	if resp, err := http.DefaultTransport.RoundTrip(req); err == nil {
		_, _ = io.Copy(io.Discard, resp.Body)
		resp.Body.Close()
	}
	at := <-left
	_, err := r.model.Await(wait, func(q upstream.Request) bool { return tagged(q) && q.Outcome == upstream.Cancelled })
	if err != nil {
		r.t.Errorf("the upstream was not told: %v", err)
	}
	return time.Since(at)
}

// An upstream that breaks off never looks like the end of an answer.
func TestCutIsNoEnd(t *testing.T) {
	r := start(t, nil)
	for _, c := range []struct{ path, body, fault string }{
		{"/v1/chat/completions", chatStream, "cut=3"}, {"/v1/chat/completions", chatPlain, "cut=3"}, {"/v1/messages", messages, "cut=3"},
		{"/v1/responses", `{"model":"m","stream":true,"input":"hello"}`, "cut=3"},
	} {
		resp := r.send(c.path, c.body, "X-Upstream-Fault", c.fault)
		b, err := io.ReadAll(resp.Body)
		if err == nil {
			t.Errorf("%s: ended in good order after %q", c.path, tail(string(b)))
		}
		if strings.Contains(c.body, "stream") && !strings.Contains(string(b), "data:") {
			t.Errorf("%s: what came before the cut did not pass: %q", c.path, b)
		}
	}
}

// An upstream whose answers end with the connection, and lack the dialect's end mark, is cut short too.
func TestCloseDelimitedCut(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	end := ""
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			req, err := http.ReadRequest(bufio.NewReader(c))
			if err == nil {
				_, _ = io.Copy(io.Discard, req.Body)
				_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\ndata: {\"choices\":[{\"delta\":{\"content\":\"a\"}}]}\n\n"+end)
			}
			c.Close()
		}
	}()
	r := start(t, func(o *gateway.Options, _ *rig) { o.Config.Upstreams[0].URL = "http://" + l.Addr().String() })
	if b, err := io.ReadAll(r.send("/v1/chat/completions", chatStream).Body); err == nil {
		t.Errorf("ended in good order after %q", b)
	}
	end = "data: [DONE]\n\n"
	if got := text(t, r.send("/v1/chat/completions", chatStream)); !strings.HasSuffix(got, end) {
		t.Errorf("got %q", got)
	}
}

// A whole body whose end only the connection tells is cut short where its JSON is.
func TestCloseDelimitedBody(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	bodies := make(chan string, 1)
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			if req, err := http.ReadRequest(bufio.NewReader(c)); err == nil {
				_, _ = io.Copy(io.Discard, req.Body)
				_, _ = io.WriteString(c, "HTTP/1.0 200 OK\r\nContent-Type: application/json\r\n\r\n"+<-bodies)
			}
			c.Close()
		}
	}()
	r := start(t, func(o *gateway.Options, _ *rig) { o.Config.Upstreams[0].URL = "http://" + l.Addr().String() })
	const whole = `{"choices":[{"message":{"content":"a"}}]}`
	bodies <- whole
	if got := text(t, r.send("/v1/chat/completions", chatPlain)); got != whole {
		t.Errorf("got %q", got)
	}
	bodies <- whole[:30]
	req, _ := http.NewRequest(http.MethodPost, r.server.URL+"/v1/chat/completions", strings.NewReader(chatPlain))
	req.Header.Set("Authorization", "Bearer "+key)
	resp, err := http.DefaultTransport.RoundTrip(req) // whatever is broken off first
	if err == nil {
		defer resp.Body.Close()
		if b, err := io.ReadAll(resp.Body); err == nil {
			t.Errorf("ended in good order after %q", b)
		}
	}
}

// Thousands of fast streams and bodies come through whole, at several widths (golang/go#40747).
func TestNeverTruncates(t *testing.T) {
	n := 800
	if testing.Short() {
		n = 300
	}
	r := start(t, nil)
	want := text(t, r.sendTo(r.up.URL, context.Background(), "/v1/chat/completions", chatStream))
	for _, width := range []int{1, 16} {
		var group sync.WaitGroup
		for range width {
			group.Go(func() {
				for range n / width / 2 {
					req, _ := http.NewRequest(http.MethodPost, r.server.URL+"/v1/chat/completions", strings.NewReader(chatStream))
					req.Header.Set("Authorization", "Bearer "+key)
					resp, err := http.DefaultTransport.RoundTrip(req)
					if err != nil {
						t.Error(err)
						return
					}
					b, err := io.ReadAll(resp.Body)
					resp.Body.Close()
					if err != nil || string(b) != want {
						t.Errorf("error %v after %q", err, tail(string(b)))
						return
					}
				}
			})
		}
		group.Wait()
	}
}
