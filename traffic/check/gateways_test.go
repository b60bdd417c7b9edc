package check

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/palladium-guard/palladium"
	"github.com/palladium-guard/palladium/traffic/verdict"
)

// situation is a gateway of somebody else's between a caller and a model, with a door beside it.
type situation struct {
	t       *testing.T
	address string // of the gateway
	verdict *verdict.Holder
	version uint64
	stop    func() // ends the door
}

// setting has acme be under the verdict given, and nobody else.
func (s *situation) setting(m palladium.Measure, shadow bool) {
	s.t.Helper()
	s.version++
	now := time.Now()
	var list []palladium.Verdict
	if m != "" {
		list = []palladium.Verdict{{
			ID: "v1", Account: "acme", Campaign: "c1", Measure: m, Reason: "campaign.extraction", Issued: now.Add(-time.Second), Expires: now.Add(time.Hour),
			Shadow: shadow, Appeal: "ref-1", Delay: 700 * time.Millisecond, Tokens: 1000, Model: "small",
		}}
	}
	made, err := verdict.New(s.version, now, list)
	if err == nil {
		err = s.verdict.Swap(made, now)
	}
	if err != nil {
		s.t.Fatal(err)
	}
}

func free(t *testing.T) string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// between starts a gateway by the file that users are given, with our addresses in the place of its own.
func between(t *testing.T, file string, start func(dir, config string) *exec.Cmd) *situation {
	t.Helper()
	s := &situation{t: t, address: free(t), verdict: verdict.NewHolder(0)}
	model := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b, _ := io.ReadAll(r.Body)
		_, _ = fmt.Fprintf(w, "model got %s %s measure=%s model=%s", r.URL.Path, b, r.Header.Get("X-Palladium-Measure"), r.Header.Get("X-Palladium-Model"))
	}))
	t.Cleanup(model.Close)
	h, g := s.door(free(t), free(t))
	text, err := os.ReadFile(filepath.Join("..", "..", "deploy", filepath.FromSlash(file)))
	if err != nil {
		t.Fatal(err)
	}
	config := string(text)
	for old, address := range map[string]string{"8080": s.address, "9191": h, "9192": g, "8000": strings.TrimPrefix(model.URL, "http://")} {
		_, port, _ := net.SplitHostPort(address)
		config = strings.ReplaceAll(config, "127.0.0.1:"+old, address)
		config = strings.ReplaceAll(config, "port_value: "+old, "port_value: "+port)
	}
	dir := t.TempDir()
	var out bytes.Buffer
	cmd := start(dir, config)
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Signal(os.Interrupt)
		_ = cmd.Wait()
		if t.Failed() {
			t.Log(out.String())
		}
	})
	for end := time.Now().Add(20 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		if c, err := net.Dial("tcp", s.address); err == nil {
			_ = c.Close()
			return s
		} else if time.Now().After(end) {
			t.Fatalf("the gateway did not start:\n%s", out.String())
		}
	}
}

// door opens one with credentials named by X-Account, and budgets that are used up.
func (s *situation) door(http, grpc string) (string, string) {
	s.t.Helper()
	c := config(func(c *Config) { c.HTTP, c.GRPC, c.Hold.GRPC = http, grpc, 10*time.Second })
	d, err := Open(Options{Config: c, Verdicts: s.verdict, Spending: spent(0)})
	if err != nil {
		s.t.Fatal(err)
	}
	s.stop = run(s.t, d)
	return http, grpc
}

func (s *situation) ask(key string) (*http.Response, string) {
	s.t.Helper()
	r, _ := http.NewRequest("POST", "http://"+s.address+"/v1/chat/completions", strings.NewReader(`{"model":"m"}`))
	r.Header.Set("Authorization", "Bearer "+key)
	r.Header.Set("X-Account", "globex")                // what the caller says of itself
	r.Header.Set("X-Palladium-Measure", "made-up")     // and what it would have the model's server believe
	r.Header.Set("X-Palladium-Model", "made-up-model") // over Envoy only
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		s.t.Fatal(err)
	}
	defer resp.Body.Close()
	b, _ := io.ReadAll(resp.Body)
	return resp, string(b)
}

// testGateway asks through a gateway in every situation.
func testGateway(t *testing.T, s *situation, modelHeader bool) {
	expect := func(what, key string, status int, has ...string) {
		t.Helper()
		resp, body := s.ask(key)
		all := fmt.Sprint(resp.Header) + body
		for _, want := range has {
			if !strings.Contains(all, want) {
				t.Errorf("%s: %s lacks %s", what, all, want)
			}
		}
		if resp.StatusCode != status || strings.Contains(all, "made-up ") || modelHeader && strings.Contains(all, "made-up") {
			t.Errorf("%s: %d %s, wanted %d", what, resp.StatusCode, all, status)
		}
	}
	expect("no table yet", "key-of-acme", 200, `model got /v1/chat/completions {"model":"m"}`)
	s.setting("", false)
	expect("no verdict", "key-of-acme", 200, "measure= ")
	expect("unknown", "key-of-nobody", 401, "credential.missing")
	s.setting(palladium.MeasureSuspend, true)
	expect("shadow", "key-of-acme", 200, "measure= ")
	s.setting(palladium.MeasureSuspend, false)
	expect("suspended", "key-of-acme", 403, "campaign.extraction", "ref-1", "https://example.com/appeal")
	expect("another", "key-of-globex", 200)
	s.setting(palladium.MeasureStepUp, false)
	expect("step up", "key-of-acme", 403, "https://example.com/verify")
	s.setting(palladium.MeasureBudget, false)
	expect("used up", "key-of-acme", 429, "Retry-After:[5400]", "campaign.extraction")
	s.setting(palladium.MeasureWithhold, false)
	expect("withhold", "key-of-acme", 200, "measure=withhold ")
	s.setting(palladium.MeasureSmaller, false)
	expect("smaller", "key-of-acme", 200, "measure=smaller-model ")
	s.setting(palladium.MeasureSlow, false)
	begun := time.Now()
	expect("slow", "key-of-acme", 200, "measure=slow ")
	if took := time.Since(begun); took < 700*time.Millisecond {
		t.Errorf("slow took %s only", took)
	}
	s.setting(palladium.MeasureSuspend, false)
	s.stop()
	expect("palladium is away", "key-of-acme", 200)
}

func TestNginx(t *testing.T) {
	path, err := exec.LookPath("nginx")
	if err != nil {
		t.Skip("SKIPPED: no nginx on this machine: install the package nginx")
	}
	s := between(t, "nginx/palladium.conf", func(dir, conf string) *exec.Cmd {
		main := fmt.Sprintf("daemon off;\nmaster_process off;\npid %s/pid;\nerror_log stderr;\nevents {}\nhttp {\naccess_log off;\n", dir)
		for _, name := range []string{"client_body", "proxy", "fastcgi", "uwsgi", "scgi"} {
			main += fmt.Sprintf("%s_temp_path %s/%s;\n", name, dir, name)
		}
		file := filepath.Join(dir, "nginx.conf")
		if err := os.WriteFile(file, []byte(main+conf+"\n}\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		return exec.Command(path, "-c", file, "-p", dir)
	})
	testGateway(t, s, false)
}

func TestEnvoy(t *testing.T) {
	path := os.Getenv("PALLADIUM_TEST_ENVOY")
	if path == "" {
		var err error
		if path, err = exec.LookPath("envoy"); err != nil {
			t.Skip("SKIPPED: no envoy on this machine: conformance/check/run fetches one and sets PALLADIUM_TEST_ENVOY to it")
		}
	}
	s := between(t, "envoy/envoy.yaml", func(dir, conf string) *exec.Cmd {
		file := filepath.Join(dir, "envoy.yaml")
		if err := os.WriteFile(file, []byte(conf), 0o600); err != nil {
			t.Fatal(err)
		}
		return exec.Command(path, "-c", file, "--concurrency", "1", "--disable-hot-restart", "-l", "warning")
	})
	testGateway(t, s, true)
}
