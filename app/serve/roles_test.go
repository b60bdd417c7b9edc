package serve

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"

	"github.com/palladium-guard/palladium/app/telemetry"
	"github.com/palladium-guard/palladium/world/upstream"
)

// part is a process of the installation, with a role of its own.
type part struct {
	t       *testing.T
	cmd     *exec.Cmd
	role    string
	state   string
	callers string
	admin   string
	log     string
	file    string
}

const roleOf = "SERVE_ROLE"

// TestMain lets the test's own program be a process of the installation.
func TestMain(m *testing.M) {
	if os.Getenv(roleOf) != "" {
		beRole()
		return
	}
	os.Exit(m.Run())
}

// beRole is what a child process does in place of the test.
func beRole() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	roles, err := ParseRoles(os.Getenv(roleOf))
	var traces *telemetry.Traces
	if err == nil {
		traces, err = telemetry.Open(ctx, os.Getenv, "test", nil)
	}
	if err == nil {
		err = Run(ctx, Options{Config: os.Getenv("SERVE_CONFIG"), State: os.Getenv("SERVE_STATE"), Roles: roles, Log: os.Stderr, Traces: traces,
			Welcome: func(origin, token string) { fmt.Fprintln(os.Stderr, "welcome", origin, token) }})
		_ = traces.Close(context.Background())
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "ended:", err)
	}
	fmt.Fprintln(os.Stderr, "it is over")
}

func startPart(t *testing.T, dir, role, text string) *part {
	t.Helper()
	p := newPart(t, dir, role, role, text)
	p.start()
	p.until("ready", p.ready)
	return p
}

// newPart prepares a process with a name of its own among those of its role. In text %ADMIN and %CALLERS stand for its addresses.
func newPart(t *testing.T, dir, name, role, text string) *part {
	t.Helper()
	p := &part{t: t, role: role, state: filepath.Join(dir, "state-"+name), admin: free(t), callers: free(t), log: filepath.Join(dir, name+".log"), file: filepath.Join(dir, name+".yaml")}
	p.write(strings.NewReplacer("%ADMIN", p.admin, "%CALLERS", p.callers, "%NAME", name).Replace(text))
	return p
}

// start starts the process, again after it was killed.
func (p *part) start() {
	p.t.Helper()
	log, err := os.OpenFile(p.log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		p.t.Fatal(err)
	}
	defer log.Close()
	p.cmd = exec.Command(os.Args[0])
	p.cmd.Env = append(os.Environ(), roleOf+"="+p.role, "SERVE_CONFIG="+p.file, "SERVE_STATE="+p.state)
	p.cmd.Stderr, p.cmd.Stdout = log, log
	if err := p.cmd.Start(); err != nil {
		p.t.Fatal(err)
	}
	cmd := p.cmd
	p.t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
}

// kill ends it as kill -9 does.
func (p *part) kill() {
	_ = p.cmd.Process.Kill()
	_ = p.cmd.Wait()
}

func (p *part) ready() bool {
	status, _ := p.ask("/readyz?verbose")
	return status == http.StatusOK
}

func (p *part) write(text string) {
	p.t.Helper()
	if err := os.WriteFile(p.file, []byte(text), 0o600); err != nil {
		p.t.Fatal(err)
	}
}

func (p *part) said() string {
	b, _ := os.ReadFile(p.log)
	return string(b)
}

func (p *part) ask(path string) (int, string) {
	req, err := http.NewRequest("GET", "http://"+p.admin+path, nil)
	if err != nil {
		p.t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+adminKey)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0, ""
	}
	defer resp.Body.Close()
	b, _ := io.ReadAll(resp.Body)
	return resp.StatusCode, string(b)
}

func (p *part) until(what string, there func() bool) {
	p.t.Helper()
	for end := time.Now().Add(30 * time.Second); !there(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(end) {
			p.t.Fatalf("%s does not happen:\n%s", what, p.said())
		}
	}
}

// The three roles in processes of their own, with a NATS server between them: what the gateway sees reaches the detector, each
// says what fails, a wrong file leaves the old one in force, an end is orderly, and nothing that was planted in requests,
// answers and credentials is found in anything that they keep or tell.
func TestRoles(t *testing.T) {
	if testing.Short() {
		t.Skip("starts processes")
	}
	dir := t.TempDir()
	n := startNATS(t, filepath.Join(dir, "nats"))
	const inner = "canary-upstream-7f3a"
	up := httptest.NewServer(upstream.New(upstream.Config{Key: inner, Log: -1, KeepBody: -1}).Handler())
	defer up.Close()
	for name, text := range map[string]string{"token": adminKey, "upstream": inner, "measuring.key": strings.Repeat("k", 32)} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	keys := makeKeys(t, filepath.Join(dir, "keys.jsonl"), 1)
	spans := &record{}
	collector := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { _, _ = io.Copy(spans, r.Body) }))
	defer collector.Close()
	t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", collector.URL)
	text := strings.NewReplacer("%D", dir, "%NATS", n.ClientURL(), "%UP", up.URL, "%API", free(t)).Replace(`
gateway:
  listen: "%CALLERS"
  admin: {listen: "%ADMIN", token_file: "%D/token"}
  upstreams: [{name: models, url: "%UP", secret_file: "%D/upstream"}]
credentials: {keys: "%D/keys.jsonl"}
measuring_key: "%D/measuring.key"
stream: {url: "%NATS"}
catalog: {url: "sqlite:%D/catalog.db"}
archive: {dir: "%D/archive", every: 1s}
detector: {save_every: 1s}
ledger: {off: true}
api: {listen: "%API"}
enforcement: {mode: shadow}
`)
	parts := map[string]*part{}
	for _, role := range []string{"detector", "api", "gateway"} {
		parts[role] = startPart(t, dir, role, text)
	}
	planted := plant(t, "http://"+parts["gateway"].callers, keys[0], inner)
	parts["detector"].until("the detector's share", func() bool {
		_, m := parts["detector"].ask("/metrics")
		_, rest, _ := strings.Cut(m, "\npalladium_detector_observations_total ")
		var taken int
		_, err := fmt.Sscan(rest, &taken)
		return err == nil && taken >= planted.served
	})
	time.Sleep(1500 * time.Millisecond) // a snapshot is kept meanwhile, and a file of the archive
	var told bytes.Buffer
	told.WriteString(planted.errors)
	for role, p := range parts {
		for _, path := range []string{"/livez", "/healthz", "/readyz?verbose", "/metrics", "/debug/pprof/goroutine?debug=2"} {
			status, body := p.ask(path)
			if status != http.StatusOK {
				t.Errorf("%s of %s: status %d", path, role, status)
			}
			fmt.Fprintf(&told, "%s of %s: %s\n", path, role, body)
		}
		if role != "api" && !strings.Contains(told.String(), `"name":"stream"`) {
			t.Errorf("%s says nothing of the stream", role)
		}
		reloads(t, p, text)
	}
	watched(t, told.String())

	// A part that fails is named, where it is needed.
	n.Shutdown()
	n.WaitForShutdown()
	parts["detector"].until("the failure", func() bool {
		status, body := parts["detector"].ask("/readyz")
		return status == http.StatusServiceUnavailable && strings.Contains(body, `"name":"stream","ok":false`)
	})
	if status, body := parts["gateway"].ask("/readyz"); status != http.StatusOK {
		t.Errorf("the gateway takes no traffic without the stream: %s", body)
	}
	for role, p := range parts {
		_ = p.cmd.Process.Signal(syscall.SIGTERM)
		p.until("the end of "+role, func() bool { return strings.Contains(p.said(), "it is over") })
		if strings.Contains(p.said(), "ended:") && role == "api" {
			t.Errorf("%s ends in disorder:\n%s", role, p.said())
		}
	}
	planted.search(t, "what was told", told.Bytes())
	if text := spans.String(); !strings.Contains(text, "/v1/chat/completions") {
		t.Errorf("%d bytes of traces tell of no exchange", len(text))
	}
	planted.search(t, "a trace", []byte(spans.String()))
	files := 0
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || path == filepath.Join(dir, "upstream") {
			return err
		}
		b, err := os.ReadFile(path)
		planted.search(t, path, b)
		files++
		return err
	})
	if err != nil || files < 12 {
		t.Errorf("%d files were searched: %v", files, err)
	}
}

// watched looks for the figures that alerts and documents speak of.
func watched(t *testing.T, figures string) {
	t.Helper()
	rules, err := os.ReadFile(filepath.Join("..", "..", "deploy", "prometheus", "alerts.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	names := regexp.MustCompile(`palladium_[a-z_]+[a-z]`).FindAllString(string(rules), -1)
	for _, name := range append(names, "palladium_stream_observations_dropped_total", "palladium_stream_batches_damaged_total", "palladium_detector_stopped_seconds_total",
		"palladium_archive_observations_total", "palladium_gateway_observations_dropped_total", "palladium_api_streams") {
		if !strings.Contains(figures, "# HELP "+name+" ") {
			t.Errorf("no process tells of %s", name)
		}
	}
}

// startNATS starts a NATS server of its own.
func startNATS(t *testing.T, dir string) *server.Server {
	t.Helper()
	n, err := server.NewServer(&server.Options{Host: "127.0.0.1", Port: server.RANDOM_PORT, NoSigs: true, NoLog: true, JetStream: true, StoreDir: dir})
	if err != nil {
		t.Fatal(err)
	}
	n.Start()
	t.Cleanup(func() { n.Shutdown(); n.WaitForShutdown() })
	if !n.ReadyForConnections(20 * time.Second) {
		t.Fatal("the NATS server does not start")
	}
	return n
}

// reloads has a wrong file refused, whole, and a right one taken.
func reloads(t *testing.T, p *part, text string) {
	t.Helper()
	good := strings.NewReplacer("%ADMIN", p.admin, "%CALLERS", p.callers).Replace(text)
	bad := strings.Replace(good, "mode: shadow", "mode: shadov", 1)
	p.write(strings.Replace(bad, "gateway:\n", "gateway:\n  routes: [{path: /v1/embeddings, open: false}]\n", 1))
	_ = p.cmd.Process.Signal(syscall.SIGHUP)
	p.until("the refusal", func() bool {
		return strings.Contains(p.said(), "shadov") && strings.Contains(p.said(), "stays in force")
	})
	p.write(good)
	_ = p.cmd.Process.Signal(syscall.SIGHUP)
	p.until("the reload", func() bool { return strings.Contains(p.said(), "configuration was read again") })
}

// canaries are words that must be found nowhere.
type canaries struct {
	words  []string
	served int
	errors string // what callers were answered when they were refused
}

// plant sends requests with canaries in all that callers and the upstream say.
func plant(t *testing.T, base, key, inner string) *canaries {
	t.Helper()
	c := &canaries{words: []string{key, inner, "canary-prompt-1c9e", "canary-system-55aa", "canary.person-3b@example.org", "canary-wrong-key-90", "canary-user-77"}}
	for _, x := range []struct{ path, key, body string }{
		{"/v1/chat/completions", key, `{"model":"m","user":"canary-user-77","max_tokens":20,"messages":[{"role":"system","content":"canary-system-55aa"},{"role":"user","content":"canary-prompt-1c9e from canary.person-3b@example.org"}]}`},
		{"/v1/chat/completions", key, `{"model":"m","stream":true,"max_tokens":20,"messages":[{"role":"user","content":"canary-prompt-1c9e again, for canary.person-3b@example.org"}]}`},
		{"/v1/messages", key, `{"model":"m","max_tokens":20,"system":"canary-system-55aa","messages":[{"role":"user","content":"canary-prompt-1c9e"}]}`},
		{"/v1/chat/completions", key, `{"model":"m","messages":"canary-prompt-1c9e"}`},
		{"/v1/chat/completions", key, `{"model":"m","messages":[{"role":"user","content":"canary-prompt-1c9e"`},
		{"/v1/chat/completions", "canary-wrong-key-90", `{"model":"m","messages":[{"role":"user","content":"canary-prompt-1c9e"}]}`},
		{"/v1/canary-prompt-1c9e?q=canary.person-3b@example.org", key, `{}`},
	} {
		req, err := http.NewRequest("POST", base+x.path, strings.NewReader(x.body))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Authorization", "Bearer "+x.key)
		req.Header.Set("User-Agent", "canary-user-77")
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		b, err := io.ReadAll(resp.Body)
		resp.Body.Close()
		switch {
		case err != nil:
			t.Fatal(err)
		case resp.StatusCode == http.StatusOK:
			c.served++
		case !strings.Contains(x.path, "canary"):
			c.errors += string(b)
		}
		if i := strings.Index(string(b), `"content":"`); resp.StatusCode == http.StatusOK && i > 0 {
			if word, _, ok := strings.Cut(string(b[i+11:]), `"`); ok && len(word) > 24 {
				c.words = append(c.words, word) // an answer
			}
		}
	}
	if c.served < 3 {
		t.Fatalf("%d of 3 requests were served: %s", c.served, c.errors)
	}
	return c
}

func (c *canaries) search(t *testing.T, where string, in []byte) {
	t.Helper()
	for _, w := range c.words {
		if i := bytes.Index(in, []byte(w)); i >= 0 {
			t.Errorf("%s holds %.12s…: %.80q", where, w, in[max(0, i-40):])
		}
	}
}
