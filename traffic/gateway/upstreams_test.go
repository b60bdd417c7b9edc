package gateway_test

import (
	"context"
	"encoding/pem"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/palladium-guard/palladium/traffic/gateway"
	"github.com/palladium-guard/palladium/traffic/gateway/pool"
)

// closedPort is an address at which nobody listens.
func closedPort(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// named is an upstream that says who it is, and counts.
func named(t *testing.T, name string, count *atomic.Int64) string {
	t.Helper()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/health" {
			return
		}
		count.Add(1)
		w.Header().Set("Content-Type", "application/json")
		fmt.Fprintf(w, `{"who":%q}`, name)
	}))
	t.Cleanup(s.Close)
	return s.URL
}

// Where no connection can be made, another upstream is asked; the dead one is then left out, and its return is noticed.
func TestRetriesWhereNothingWasSent(t *testing.T) {
	var live atomic.Int64
	dead := closedPort(t)
	r := start(t, func(o *gateway.Options, _ *rig) {
		o.Config.Upstreams = []pool.Config{
			{Name: "dead", URL: "http://" + dead, Weight: 100, Health: pool.Health{Path: "/health", Every: 20 * time.Millisecond, Eject: 50 * time.Millisecond}},
			{Name: "live", URL: named(t, "live", &live), Weight: 1},
		}
	})
	for range 20 {
		if got := text(t, r.send("/v1/chat/completions", chatPlain)); !strings.Contains(got, "live") {
			t.Fatalf("got %s", got)
		}
	}
	if m := metrics(t, r.gateway); m[`palladium_gateway_upstream_healthy{upstream="dead"}`] != 0 || m[`palladium_gateway_upstream_healthy{upstream="live"}`] != 1 {
		t.Errorf("health is not told: %v", m)
	}
	l, err := net.Listen("tcp", dead)
	if err != nil {
		t.Skip("the port was taken meanwhile")
	}
	back := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, `{"who":"back"}`) })}
	defer back.Close()
	go func() { _ = back.Serve(l) }()
	for range 200 {
		if strings.Contains(text(t, r.send("/v1/chat/completions", chatPlain)), "back") {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Error("the upstream that came back is not used")
}

// What an upstream may have begun to work on is not sent again, whatever the caller says of idempotency.
func TestNeverSendsTwice(t *testing.T) {
	var got, other atomic.Int64
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			buf := make([]byte, 8192)
			if n, _ := c.Read(buf); n > 0 {
				got.Add(1)
			}
			c.Close() // takes the request and says nothing
		}
	}()
	r := start(t, func(o *gateway.Options, _ *rig) {
		o.Config.Upstreams = []pool.Config{{URL: "http://" + l.Addr().String(), Weight: 1000}, {URL: named(t, "other", &other), Weight: 1, Models: []string{"none"}}}
	})
	for range 10 {
		resp := r.send("/v1/chat/completions", chatPlain, "Idempotency-Key", "k", "X-Idempotency-Key", "k")
		if resp.StatusCode != 502 || resp.Header.Get("X-Palladium-Reason") != "upstream.broken" {
			t.Errorf("status %d", resp.StatusCode)
		}
	}
	if got.Load() != 10 || other.Load() != 0 {
		t.Errorf("10 requests reached upstreams %d and %d times", got.Load(), other.Load())
	}
}

func TestUnreachable(t *testing.T) {
	r := start(t, func(o *gateway.Options, _ *rig) { o.Config.Upstreams[0].URL = "http://" + closedPort(t) })
	resp := r.send("/v1/messages", messages)
	if resp.StatusCode != 502 || resp.Header.Get("X-Should-Retry") != "true" || !strings.Contains(text(t, resp), `"type":"error"`) {
		t.Errorf("status %d", resp.StatusCode)
	}
	if open := r.ledger.Stats().Open; open != 0 {
		t.Errorf("%d reservations are open", open)
	}
	for range 5 {
		r.send("/v1/messages", messages)
	}
	ok := true
	for _, p := range r.gateway.Health() {
		if p.Name == "upstreams" {
			ok = p.OK
		}
	}
	if ok {
		t.Error("health does not name the upstreams")
	}
}

// The list of models is that of all upstreams, without what they do not serve here, what the credential may not use, and
// those that do not answer.
func TestListsModels(t *testing.T) {
	var n atomic.Int64
	list := func(ids ...string) string {
		s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			n.Add(1)
			fmt.Fprintf(w, `{"object":"list","data":[{"id":"%s","by":%q}],"last_id":"x"}`, strings.Join(ids, fmt.Sprintf(`","by":%q},{"id":"`, ids[0])), ids[0])
		}))
		t.Cleanup(s.Close)
		return s.URL
	}
	r := start(t, func(o *gateway.Options, _ *rig) {
		o.Config.Upstreams = []pool.Config{
			{URL: list("a-1", "both")}, {URL: list("b-1", "both", "b-2", "secret"), Models: []string{"b-*", "both"}}, {URL: "http://" + closedPort(t)},
			{URL: named(t, "odd", &n)},
		}
	})
	const want = `{"data":[{"id":"a-1","by":"a-1"},{"id":"both","by":"a-1"},{"id":"b-1","by":"b-1"},{"id":"b-2","by":"b-1"}],"last_id":"b-2","object":"list"}`
	good := 0
	for range 40 {
		resp := r.send("/v1/models", "")
		if got := text(t, resp); got == want {
			good++
		} else if resp.StatusCode == http.StatusOK || !strings.Contains(got, "answer.unreadable") { // the odd one was picked
			t.Errorf("status %d\n got %s\nwant %s", resp.StatusCode, got, want)
		}
	}
	if good == 0 {
		t.Error("it was never listed")
	}
	r.callers.mu.Lock()
	r.callers.keys[key] = gateway.Caller{Account: "acme", Plan: "pro", Scopes: gateway.Scopes{Models: []string{"*-1"}}}
	r.callers.mu.Unlock()
	for range 20 {
		if got := text(t, r.send("/v1/models", "")); !strings.Contains(got, "answer.unreadable") && got != `{"data":[{"id":"a-1","by":"a-1"},{"id":"b-1","by":"b-1"}],"last_id":"b-1","object":"list"}` {
			t.Errorf("got %s", got)
		}
	}
	if u := metrics(t, r.gateway); u[`palladium_gateway_upstream_in_flight{upstream="upstream1"}`] != 0 {
		t.Error("an exchange with an upstream is never over")
	}
}

// Upstreams get requests by weight and by the models that they serve.
func TestWeightsAndModels(t *testing.T) {
	var a, b, c atomic.Int64
	r := start(t, func(o *gateway.Options, _ *rig) {
		o.Config.Upstreams = []pool.Config{
			{Name: "a", URL: named(t, "a", &a) + "/v1", Weight: 3, Models: []string{"test-*"}},
			{Name: "b", URL: named(t, "b", &b), Weight: 1, Models: []string{"test-*"}},
			{Name: "c", URL: named(t, "c", &c), Models: []string{"other"}},
		}
	})
	for range 200 {
		text(t, r.send("/v1/chat/completions", chatPlain))
	}
	text(t, r.send("/v1/chat/completions", `{"model":"other","messages":[]}`))
	if n := a.Load(); n < 120 || n > 180 || a.Load()+b.Load() != 200 || c.Load() != 1 {
		t.Errorf("a %d, b %d, c %d", a.Load(), b.Load(), c.Load())
	}
}

// The upstream's secret reaches no caller: not in headers, not in errors, and a secret that is not taken is the
// gateway's fault, not the caller's.
func TestSecretStaysInside(t *testing.T) {
	const secret = "sk-upstream-canary-5512"
	t.Setenv("UPSTREAM_SECRET", secret)
	up := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-Echo", r.Header.Get("Authorization"))
		w.Header().Set("Www-Authenticate", "Bearer "+secret)
		status := 400
		if n, _, _ := strings.Cut(r.URL.RawQuery, "&"); n != "" {
			status, _ = strconv.Atoi(n)
		}
		if strings.Contains(r.URL.RawQuery, "event-stream") {
			w.Header().Set("Content-Type", "text/event-stream")
		}
		w.Header().Set("Trailer", "X-Last")
		w.WriteHeader(status)
		fmt.Fprintf(w, `data: {"error":{"message":"bad key %s`, secret[:9])
		w.(http.Flusher).Flush()
		fmt.Fprintf(w, "%s\",\"type\":\"x\"}}\n\n", secret[9:])
		w.Header().Set("X-Last", secret)
	}))
	defer up.Close()
	r := start(t, func(o *gateway.Options, _ *rig) {
		o.Config.Upstreams = []pool.Config{{URL: up.URL, SecretEnv: "UPSTREAM_SECRET"}}
		o.Config.Routes = []gateway.RouteConfig{{Path: "/debug", Methods: []string{"POST"}}}
	})
	for path, status := range map[string]int{"/v1/chat/completions": 400, "/v1/chat/completions?401": 502, "/v1/chat/completions?200": 200,
		"/v1/chat/completions?200&event-stream": 200, "/debug?200": 200} {
		resp := r.send(path, chatPlain)
		body := text(t, resp)
		if resp.StatusCode != status || strings.Contains(body+fmt.Sprint(resp.Header, resp.Trailer), secret) {
			t.Errorf("%s: status %d, %v %s", path, resp.StatusCode, resp.Header, body)
		}
	}
	if strings.Contains(r.log.String(), secret) {
		t.Error("the secret is in the log")
	}
}

// A stream in silence is kept alive in its own dialect, between events only, and the rest of it is as it was.
func TestKeepAlive(t *testing.T) {
	r := start(t, func(o *gateway.Options, _ *rig) { o.Config.KeepAlive = 30 * time.Millisecond })
	for _, c := range []struct{ path, body, fault, sign string }{
		{"/v1/chat/completions", chatStream, "quiet=200ms", ": keep-alive\n\n"},
		{"/v1/chat/completions", chatStream, "pace=70ms,tokens=3,split=20", ": keep-alive\n\n"},
		{"/v1/messages", messages, "pace=70ms,tokens=3", "event: ping\ndata: {\"type\": \"ping\"}\n\n"},
		{"/v1/messages", messages, "quiet=200ms,tokens=3", ": keep-alive\n\n"},
		{"/v1/responses", `{"model":"m","stream":true,"input":"hi"}`, "quiet=200ms,tokens=3", ": keep-alive\n\n"},
	} {
		want := text(t, r.sendTo(r.up.URL, context.Background(), c.path, c.body, "X-Upstream-Fault", c.fault))
		got := text(t, r.send(c.path, c.body, "X-Upstream-Fault", c.fault))
		if !strings.Contains(got, c.sign) {
			t.Errorf("%s %s: no sign of life: %s", c.path, c.fault, got)
		}
		if rest := strings.ReplaceAll(strings.ReplaceAll(got, c.sign, ""), ": keep-alive\n\n", ""); rest != want {
			t.Errorf("%s %s: got %s, wanted %s", c.path, c.fault, rest, want)
		}
	}
	at := time.Now()
	resp := r.send("/v1/chat/completions", chatStream, "X-Upstream-Fault", "quiet=500ms")
	if took := time.Since(at); took > 300*time.Millisecond {
		t.Errorf("the headers came after %v", took)
	}
	text(t, resp)
}

// Tokens that come slowly pass at once: none waits for the next.
func TestPassesAtOnce(t *testing.T) {
	r := start(t, nil)
	resp := r.send("/v1/chat/completions", chatStream, "X-Upstream-Fault", "pace=60ms,tokens=4")
	last, gaps := time.Now(), 0
	buf := make([]byte, 4096)
	for {
		_, err := resp.Body.Read(buf)
		if time.Since(last) > 40*time.Millisecond {
			gaps++
		}
		last = time.Now()
		if err != nil {
			break
		}
	}
	if gaps < 3 {
		t.Errorf("of four tokens 60 ms apart, %d came apart", gaps)
	}
}

// Opened paths pass with their method and nothing below them that was not opened; built-in ones can be denied.
func TestRoutes(t *testing.T) {
	var n atomic.Int64
	no := false
	r := start(t, func(o *gateway.Options, _ *rig) {
		o.Config.Upstreams[0].URL = named(t, "up", &n)
		o.Config.Routes = []gateway.RouteConfig{{Path: "/v1/audio/*", Methods: []string{"POST"}}, {Path: "/version"}, {Path: "/v1/embeddings", Open: &no}}
	})
	for _, c := range []struct {
		path, body string
		status     int
	}{{"/v1/audio/speech", "{}", 200}, {"/v1/audio/speech", "", 405}, {"/v1/audio/", "{}", 404}, {"/v1/audio/../files", "{}", 404},
		{"/v1/audio/%2e%2e/files", "{}", 404}, {"/version", "", 200}, {"/version/x", "", 404}, {"/v1/embeddings", `{"model":"m","input":"a"}`, 404}} {
		if resp := r.send(c.path, c.body); resp.StatusCode != c.status {
			t.Errorf("%s: status %d, wanted %d", c.path, resp.StatusCode, c.status)
		}
	}
	if resp := r.send("/v1/audio/speech", "{}", "Authorization", ""); resp.StatusCode != 401 {
		t.Errorf("an opened path is served without a credential: status %d", resp.StatusCode)
	}
}

// Over TLS, with either version of HTTP, answers are what they are without: whole, or not ended in good order, and left at
// once when the caller leaves.
func TestTLSUpstream(t *testing.T) {
	for _, two := range []bool{false, true} {
		t.Run(fmt.Sprintf("http2=%v", two), func(t *testing.T) {
			var up *httptest.Server
			var major atomic.Int64
			r := start(t, func(o *gateway.Options, r *rig) {
				model := r.model.Handler()
				up = httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
					major.Store(int64(q.ProtoMajor))
					model.ServeHTTP(w, q)
				}))
				up.EnableHTTP2 = two
				up.Config.ErrorLog = log.New(io.Discard, "", 0)
				up.StartTLS()
				ca := filepath.Join(t.TempDir(), "ca.pem")
				if err := os.WriteFile(ca, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: up.Certificate().Raw}), 0o600); err != nil {
					t.Fatal(err)
				}
				o.Config.Upstreams = []pool.Config{{URL: up.URL, CA: ca}}
			})
			t.Cleanup(up.Close)
			long := strings.Replace(chatStream, `"max_tokens":20`, `"max_tokens":1000000`, 1)
			for body, fault := range map[string]string{chatPlain: "", chatStream: "split=7", long: "body=300000"} {
				want := text(t, r.sendTo(r.up.URL, context.Background(), "/v1/chat/completions", body, "X-Upstream-Fault", fault))
				if got := text(t, r.send("/v1/chat/completions", body, "X-Upstream-Fault", fault)); got != want {
					t.Errorf("%d bytes, wanted %d; ends with %s", len(got), len(want), tail(got))
				}
			}
			if want := map[bool]int64{false: 1, true: 2}[two]; major.Load() != want {
				t.Errorf("spoke HTTP/%d", major.Load())
			}
			if b, err := io.ReadAll(r.send("/v1/chat/completions", chatStream, "X-Upstream-Fault", "cut=3").Body); err == nil {
				t.Errorf("ended in good order after %q", tail(string(b)))
			}
			r.leave(chatStream, "quiet=60s,tag=tls1")
			r.leave(chatStream, "pace=10ms,tokens=20000,tag=tls2")
		})
	}
}
