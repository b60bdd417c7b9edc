package serving

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/palladium-guard/palladium"
	"github.com/palladium-guard/palladium/traffic/gateway/credential"
	"github.com/palladium-guard/palladium/world/upstream"
)

type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

// running is a gateway as the command starts it.
type running struct {
	t        *testing.T
	dir      string
	base     string
	adminURL string
	log      *lockedBuffer
	keys     *credential.Keys
	key, id  string
	client   *http.Client
	model    *upstream.Server
	stop     context.CancelFunc
	ended    chan error
}

const token = "0123456789abcdef-token"

// run starts one. %U, %D in the configuration stand for the upstream's address and the test's directory.
func run(t *testing.T, yaml string) *running {
	t.Helper()
	r := &running{t: t, dir: t.TempDir(), log: &lockedBuffer{}, client: &http.Client{Transport: &http.Transport{}}, model: upstream.New(upstream.Config{}), ended: make(chan error, 1)}
	up := httptest.NewServer(r.model.Handler())
	t.Cleanup(up.Close)
	r.write("token", token+"\n")
	var err error
	if r.keys, err = credential.OpenKeys(filepath.Join(r.dir, "keys.jsonl")); err != nil {
		t.Fatal(err)
	}
	k, secret, err := r.keys.Create(time.Now(), rand.Reader, credential.Grant{Account: "acme", Plan: "pro"}, time.Now().Add(time.Hour), "")
	if err != nil {
		t.Fatal(err)
	}
	r.key, r.id = secret.Reveal(), k.ID
	r.write("p.yaml", strings.NewReplacer("%U", up.URL, "%D", r.dir).Replace(yaml))
	var ctx context.Context
	ctx, r.stop = context.WithCancel(context.Background())
	ready := make(chan struct{})
	go func() {
		r.ended <- Run(ctx, Options{Config: filepath.Join(r.dir, "p.yaml"), Log: r.log, Ready: func(callers, admin net.Addr) {
			r.base = "http://" + callers.String()
			if admin != nil {
				r.adminURL = "http://" + admin.String()
			}
			close(ready)
		}})
	}()
	select {
	case <-ready:
	case err := <-r.ended:
		t.Fatalf("it ended: %v\n%s", err, r.log)
	}
	t.Cleanup(func() {
		r.client.CloseIdleConnections()
		r.stop()
		select {
		case <-r.ended:
		case <-time.After(time.Minute):
			t.Error("it does not end")
		}
	})
	return r
}

func (r *running) write(name, text string) {
	r.t.Helper()
	if err := os.WriteFile(filepath.Join(r.dir, name), []byte(text), 0o600); err != nil {
		r.t.Fatal(err)
	}
}

func (r *running) do(method, url, bearer, body string, headers ...string) (int, string) {
	r.t.Helper()
	req, err := http.NewRequest(method, url, strings.NewReader(body))
	if err != nil {
		r.t.Fatal(err)
	}
	if bearer != "" {
		req.Header.Set("Authorization", "Bearer "+bearer)
	}
	for i := 0; i+1 < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	resp, err := r.client.Do(req)
	if err != nil {
		r.t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		r.t.Fatal(err)
	}
	return resp.StatusCode, string(b)
}

func (r *running) chat() int {
	status, _ := r.do("POST", r.base+"/v1/chat/completions", r.key, `{"model":"m","messages":[{"role":"user","content":"hi"}],"max_tokens":3}`)
	return status
}

// until waits for want and returns how long it took.
func (r *running) until(what string, want func() bool) time.Duration {
	r.t.Helper()
	at := time.Now()
	for time.Since(at) < 5*time.Second {
		if want() {
			return time.Since(at)
		}
		time.Sleep(2 * time.Millisecond)
	}
	r.t.Fatalf("%s does not happen\n%s", what, r.log)
	return 0
}

const usual = `gateway:
  listen: 127.0.0.1:0
  state: "%D/state"
  admin: {listen: "127.0.0.1:0", token_file: "%D/token"}
  upstreams: [{url: "%U"}]
credentials: {keys: "%D/keys.jsonl"}
budget: {plans: {default: {per_minute: {requests: 100k}}}}
`

func TestServes(t *testing.T) {
	r := run(t, usual)
	if got := r.chat(); got != 200 {
		t.Fatalf("status %d\n%s", got, r.log)
	}
	for _, c := range []struct {
		method, path, bearer, body string
		status                     int
		has                        string
	}{
		{"GET", "/healthz", "", "", 200, `"name":"upstream upstream1","ok":true`},
		{"GET", "/readyz", "", "", 200, `"status":"ready"`},
		{"GET", "/metrics", "", "", 401, "token"},
		{"GET", "/metrics", "wrong", "", 401, "token"},
		{"GET", "/debug/pprof/", "", "", 401, "token"},
		{"POST", "/keys/x/revoke", r.key, "", 401, "token"},
		{"PUT", "/verdicts", r.key, "[]", 401, "token"},
		{"GET", "/metrics", token, "", 200, `palladium_gateway_requests_total{class="2xx",route="chat"} 1`},
		{"GET", "/debug/pprof/goroutine?debug=1", token, "", 200, "goroutine"},
		{"GET", "/debug/pprof/cmdline", token, "", 404, ""},
		{"POST", "/keys/nosuchkey/revoke", token, "", 404, "no credential"},
		{"POST", "/keys/nosuchkey/revoke", token, "{", 400, "reason"},
		{"PUT", "/verdicts", token, "[{]", 400, "error"},
		{"GET", "/nothing", token, "", 404, ""},
	} {
		status, got := r.do(c.method, r.adminURL+c.path, c.bearer, c.body)
		if status != c.status || !strings.Contains(got, c.has) {
			t.Errorf("%s %s: status %d, %.300s", c.method, c.path, status, got)
		}
	}
	if status, _ := r.do("GET", r.base+"/metrics", token, ""); status != 404 {
		t.Errorf("callers get metrics: status %d", status)
	}
	if status, got := r.do("PUT", r.adminURL+"/verdicts", token, `[{"account":"acme","measure":"suspend","reason":"x","expires":"2199-01-01T00:00:00Z"}]`); status != 200 {
		t.Errorf("status %d, %s", status, got)
	}
	if got := r.chat(); got != 403 {
		t.Errorf("a suspended account gets status %d", got)
	}
	if status, _ := r.do("PUT", r.adminURL+"/verdicts", token, `[]`); status != 200 || r.chat() != 200 {
		t.Error("the verdict is still in force")
	}
}

// A revocation, on the command line or through the operator's listener, is in force within 100 ms. On a machine that others
// keep busy the fastest of five counts.
func TestRevokes(t *testing.T) {
	r := run(t, usual)
	if got := r.chat(); got != 200 {
		t.Fatal(got)
	}
	other, err := credential.OpenKeys(filepath.Join(r.dir, "keys.jsonl")) // as another process has it
	if err != nil {
		t.Fatal(err)
	}
	create := func() string {
		k, secret, err := other.Create(time.Now(), rand.Reader, credential.Grant{Account: "acme"}, time.Now().Add(time.Hour), "")
		if err != nil {
			t.Fatal(err)
		}
		r.key = secret.Reveal()
		r.until("the new key", func() bool { return r.chat() == 200 })
		return k.ID
	}
	best := time.Hour
	for id, n := r.id, 0; n < 5 && best > 100*time.Millisecond; n++ {
		if n > 0 {
			id = create()
		}
		if _, err := other.Revoke(time.Now(), id, "test"); err != nil {
			t.Fatal(err)
		}
		best = min(best, r.until("the revocation", func() bool { return r.chat() == 401 }))
	}
	t.Logf("a revocation in the file took %v at best", best)
	if best > 100*time.Millisecond {
		t.Errorf("a revocation in the file took %v at best", best)
	}
	id := create()
	if status, got := r.do("POST", r.adminURL+"/keys/"+id+"/revoke", token, `{"reason":"leaked"}`); status != 200 {
		t.Fatalf("status %d, %s", status, got)
	}
	if got := r.chat(); got != 401 {
		t.Errorf("right after, status %d", got)
	}
}

// A changed configuration is checked and then put in force whole; a wrong one changes nothing.
func TestReloads(t *testing.T) {
	r := run(t, usual)
	good, err := os.ReadFile(filepath.Join(r.dir, "p.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	embed := func() int {
		status, _ := r.do("POST", r.base+"/v1/embeddings", r.key, `{"model":"m","input":"a"}`)
		return status
	}
	if embed() != 200 {
		t.Fatal(r.log)
	}
	closed := strings.Replace(string(good), "  listen: ", "  routes: [{path: /v1/embeddings, open: false}]\n  listen: ", 1)
	r.write("p.yaml", closed)
	r.until("the change", func() bool { return embed() == 404 })
	r.write("p.yaml", string(good)+"gatway: {}\n")
	r.until("the refusal", func() bool { return strings.Contains(r.log.String(), "did you mean") })
	if embed() != 404 || r.chat() != 200 {
		t.Error("a wrong configuration changed something")
	}
	if status, got := r.do("POST", r.adminURL+"/reload", token, ""); status != 400 || !strings.Contains(got, "gatway") {
		t.Errorf("status %d, %s", status, got)
	}
	r.write("p.yaml", string(good))
	r.until("the way back", func() bool { return embed() == 200 })

	// The secret of an upstream that a reload brought is followed too.
	told := func() string {
		r.chat()
		seen := r.model.Seen()
		return seen[len(seen)-1].Header.Get("Authorization")
	}
	r.write("secret", "first")
	r.write("p.yaml", strings.Replace(string(good), "upstreams: [{", `upstreams: [{secret_file: "`+filepath.Join(r.dir, "secret")+`", `, 1))
	r.until("the secret", func() bool { return told() == "Bearer first" })
	r.write("secret", "second")
	r.until("the new secret", func() bool { return told() == "Bearer second" })
}

// Verdicts in a file are enforced when it changes, and a file that cannot be read fails as the routes say.
func TestVerdictFile(t *testing.T) {
	r := run(t, strings.Replace(usual, "  listen: 127.0.0.1:0\n", "  listen: 127.0.0.1:0\n  verdicts: {file: \"%D/v.jsonl\"}\n  routes: [{path: /v1/embeddings, failure: closed}]\n", 1))
	embed := func() int {
		status, _ := r.do("POST", r.base+"/v1/embeddings", r.key, `{"model":"m","input":"a"}`)
		return status
	}
	if r.chat() != 200 || embed() != 503 {
		t.Errorf("without the file: chat %d, embeddings %d", r.chat(), embed())
	}
	line := `{"account":"acme","measure":"suspend","reason":"x","expires":"2199-01-01T00:00:00Z"}` + "\n"
	r.write("v.jsonl", line)
	r.until("the suspension", func() bool { return r.chat() == 403 })
	r.write("v.jsonl", strings.Replace(line, "acme", "other", 1))
	r.until("its end", func() bool { return r.chat() == 200 && embed() == 200 })
	r.write("v.jsonl", "{")
	r.until("the failure", func() bool { return r.chat() == 200 && embed() == 503 })
	if _, got := r.do("GET", r.adminURL+"/healthz", "", ""); !strings.Contains(got, `"name":"verdicts","ok":false`) || !strings.Contains(got, "closed on /v1/embeddings") {
		t.Errorf("health: %s", got)
	}
	if status, _ := r.do("PUT", r.adminURL+"/verdicts", token, "[]"); status != 501 {
		t.Errorf("verdicts are taken beside the file: status %d", status)
	}
}

// Open answers end in order after the signal to stop, while nothing new is taken; budgets outlive the restart.
func TestDrains(t *testing.T) {
	r := run(t, usual)
	got := make(chan string, 1)
	go func() {
		_, body := r.do("POST", r.base+"/v1/chat/completions", r.key, `{"model":"m","stream":true,"messages":[{"role":"user","content":"hi"}],"max_tokens":20}`, "X-Upstream-Fault", "pace=20ms,tokens=20")
		got <- body
	}()
	r.until("the request", func() bool { return len(r.model.Seen()) > 0 })
	r.stop()
	r.until("readiness to end", func() bool {
		req, _ := http.NewRequest("GET", r.adminURL+"/readyz", nil)
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			return false
		}
		resp.Body.Close()
		return resp.StatusCode == 503
	})
	if body := <-got; !strings.HasSuffix(body, "[DONE]\n\n") {
		t.Errorf("the open answer ended with %.200q", body)
	}
	err := <-r.ended
	r.ended <- err
	if err != nil || !strings.Contains(r.log.String(), "drained") {
		t.Errorf("error %v\n%s", err, r.log)
	}
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	s := &site{log: newLog(r.log)}
	s.life, s.end = context.WithCancel(ctx)
	if _, err := s.openState(filepath.Join(r.dir, "state"), 0); err != nil {
		t.Fatal(err)
	}
	defer s.journal.Close()
	if used := usedToday(s); used != 20 {
		t.Errorf("after a restart %d output tokens are charged, wanted 20", used)
	}
}

// Observations are kept as lines, which hold what was measured and none of the text, and end whole.
func TestKeepsObservations(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "seen")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	name := filepath.Join(dir, "observations-"+time.Now().UTC().Format(time.DateOnly)+".jsonl")
	if err := os.WriteFile(name, []byte(`{"half`), 0o600); err != nil {
		t.Fatal(err)
	}
	r := run(t, strings.Replace(usual, "  listen: 127.0.0.1:0\n", fmt.Sprintf("  listen: 127.0.0.1:0\n  observe: {dir: %q}\n", dir), 1))
	before := time.Now().UTC()
	for range 3 {
		if got := r.chat(); got != 200 {
			t.Fatal(got)
		}
	}
	r.stop()
	err := <-r.ended
	r.ended <- err
	data, e := os.ReadFile(name)
	if err != nil || e != nil {
		t.Fatal(err, e)
	}
	lines := strings.Split(strings.TrimSuffix(string(data), "\n"), "\n")
	if len(lines) != 4 && before.Day() == time.Now().UTC().Day() {
		t.Fatalf("%d lines: %.300s", len(lines), data)
	}
	for _, line := range lines[1:] {
		var o palladium.Observation
		if err := json.Unmarshal([]byte(line), &o); err != nil || o.Account != "acme" || o.Prompt == 0 || o.Words != 1 || o.Outcome.Status != 200 {
			t.Errorf("%v: %.200s", err, line)
		}
	}
	if _, err := newLineSink(name, newLog(io.Discard)); err == nil {
		t.Error("a file is taken for a folder")
	}
}

// A folder that goes away loses lines, is told in the log and counted, and is used again when it is back.
func TestLosesObservations(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "seen")
	log := &lockedBuffer{}
	s, err := newLineSink(dir, newLog(log))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(dir); err != nil {
		t.Fatal(err)
	}
	o := &palladium.Observation{Time: time.Now().UnixMilli(), Account: "a"}
	s.Observe(o)
	s.Observe(o)
	if s.Lost() != 2 || strings.Count(log.String(), "cannot be written") != 1 {
		t.Errorf("%d lost\n%s", s.Lost(), log)
	}
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	s.Observe(o)
	s.Observe(&palladium.Observation{Time: o.Time + 25*3600*1000, Account: "b"})
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if got, _ := filepath.Glob(filepath.Join(dir, "*.jsonl")); len(got) != 2 || s.Lost() != 2 {
		t.Errorf("files %v, %d lost", got, s.Lost())
	}
}

func certificate(t *testing.T, dir, name string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	c := &x509.Certificate{SerialNumber: big.NewInt(time.Now().UnixNano()), NotAfter: time.Now().Add(time.Hour), DNSNames: []string{name}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}}
	der, err := x509.CreateCertificate(rand.Reader, c, c, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	pk, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	for file, block := range map[string]*pem.Block{"key.pem": {Type: "PRIVATE KEY", Bytes: pk}, "cert.pem": {Type: "CERTIFICATE", Bytes: der}} {
		if err := os.WriteFile(filepath.Join(dir, file), pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// Over TLS both versions of HTTP are spoken, and new certificate files are used by the next connection.
func TestTLS(t *testing.T) {
	dir := t.TempDir()
	certificate(t, dir, "first.test")
	r := run(t, strings.Replace(usual, "  listen: 127.0.0.1:0\n", fmt.Sprintf("  listen: 127.0.0.1:0\n  tls: {certificate: %q, key: %q}\n", dir+"/cert.pem", dir+"/key.pem"), 1))
	r.base = strings.Replace(r.base, "http:", "https:", 1)
	name := func() string {
		c, err := tls.Dial("tcp", strings.TrimPrefix(r.base, "https://"), &tls.Config{InsecureSkipVerify: true})
		if err != nil {
			return ""
		}
		defer c.Close()
		return c.ConnectionState().PeerCertificates[0].DNSNames[0]
	}
	for _, h2 := range []bool{false, true} {
		r.client = &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, ForceAttemptHTTP2: h2}}
		if got := r.chat(); got != 200 {
			t.Errorf("http2 %v: status %d", h2, got)
		}
	}
	if got := name(); got != "first.test" {
		t.Errorf("the certificate is of %q", got)
	}
	certificate(t, dir, "second.test")
	r.until("the new certificate", func() bool { return name() == "second.test" })
	if _, err := tls.Dial("tcp", strings.TrimPrefix(r.base, "https://"), &tls.Config{InsecureSkipVerify: true, MaxVersion: tls.VersionTLS11}); err == nil {
		t.Error("TLS 1.1 is spoken")
	}
}

// What cannot be served by is told before anything listens.
func TestRefusesToStart(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) string {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return filepath.Join(dir, name)
	}
	up := []string{"http://127.0.0.1:1"}
	for want, o := range map[string]Options{
		"upstreams is empty":      {Anonymous: "free"},
		"no way to know a caller": {Upstreams: up},
		"read the configuration":  {Config: filepath.Join(dir, "none.yaml")},
		"did you mean \"listen\"": {Config: write("a.yaml", "gateway: {lisen: a}")},
		"token_file":              {Upstreams: up, Anonymous: "free", Admin: "127.0.0.1:0"},
		"fewer than 16":           {Upstreams: up, Anonymous: "free", Config: write("b.yaml", fmt.Sprintf("gateway: {listen: '127.0.0.1:0', admin: {listen: '127.0.0.1:0', token_file: %q}}", write("short", "abc")))},
		"the variable NOT_SET_X":  {Anonymous: "free", Config: write("c.yaml", "gateway: {upstreams: [{url: 'http://a', secret_env: NOT_SET_X}]}")},
		"unknown action":          {Upstreams: up, Anonymous: "free", Config: write("d.yaml", "restrict: {rules: [{features: {n: maybe}}]}")},
		"cap \"lots\"":            {Upstreams: up, Anonymous: "free", Config: write("e.yaml", "budget: {plans: {default: {account: {day: {output: lots}}}}}")},
		"listen for callers":      {Upstreams: up, Anonymous: "free", Listen: "203.0.113.1:1"},
		"read the certificate":    {Upstreams: up, Anonymous: "free", Config: write("f.yaml", "gateway: {tls: {certificate: a, key: b}}")},
	} {
		o.Log = io.Discard
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		if err := Run(ctx, o); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v, wanted one with %q", err, want)
		}
		cancel()
	}
	if err := Run(context.Background(), Options{Upstreams: up, Anonymous: "free", Check: true, Log: io.Discard}); err != nil {
		t.Errorf("check: %v", err)
	}
}
