package serve

import (
	"bytes"
	"context"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"

	"github.com/palladium-guard/palladium"
	"github.com/palladium-guard/palladium/app/live"
	"github.com/palladium-guard/palladium/config"
	"github.com/palladium-guard/palladium/traffic/sanction"
)

// A file that is read again puts its enforcement policy in force, with the way to appeal that the first one had; one that the
// catalog has in use goes before it.
func TestReloadTakesEnforcement(t *testing.T) {
	var said bytes.Buffer
	h := &house{log: slog.New(slog.NewTextHandler(&said, nil)), file: &config.File{}}
	h.file.API.Origin = "https://guard.example.com"
	policy, err := sanction.New(h.appealing(sanction.Config{}))
	if err != nil {
		t.Fatal(err)
	}
	h.board = live.NewBoard(live.BoardOptions{Policy: policy})
	f := &config.File{Enforcement: sanction.Config{Mode: sanction.Enforce, Enforce: []palladium.Measure{palladium.MeasureSlow}}}
	h.takeEnforcement(f)
	now, revision := h.board.Policy()
	if now.Mode() != sanction.Enforce || !now.Enforced(palladium.MeasureSlow) || now.Enforced(palladium.MeasureSuspend) || revision != live.Configured {
		t.Errorf("in force is %s of revision %q:\n%s", now.Mode(), revision, said.String())
	}
	if at := now.AppealAt("ref"); at != "https://guard.example.com/appeal/ref" {
		t.Errorf("people appeal at %s", at)
	}
	h.takeEnforcement(&config.File{})
	if now, _ := h.board.Policy(); now.Mode() != sanction.Shadow {
		t.Errorf("enforcement cannot be turned off: it is %s", now.Mode())
	}
	h.board.SetPolicy(now, "4f1e")
	h.takeEnforcement(&config.File{})
	if now, revision := h.board.Policy(); now.Mode() != sanction.Enforce || revision != "4f1e" || !strings.Contains(said.String(), "stays in force") {
		t.Errorf("the file took the place of the catalog's: %s of revision %q", now.Mode(), revision)
	}
}

// What a reload leaves to the next start is told by name, and nothing else is.
func TestReloadTellsWhatIsLater(t *testing.T) {
	var said bytes.Buffer
	h := &house{log: slog.New(slog.NewTextHandler(&said, nil)), file: &config.File{}, o: Options{State: "s"}}
	Fill(h.file, "s")
	f := &config.File{}
	f.Gateway.Listen = "127.0.0.1:1"
	h.reloaded(f)
	if strings.Contains(said.String(), "next start") {
		t.Errorf("nothing is left: %s", said.String())
	}
	f = &config.File{}
	f.Check.HTTP, f.API.Name = "127.0.0.1:2", "Troy"
	h.reloaded(f)
	if !strings.Contains(said.String(), `sections="check, api"`) {
		t.Errorf("%s", said.String())
	}
}

// Callers are sent where notices lead, unless only another process knows where that is.
func TestAppealLink(t *testing.T) {
	for want, h := range map[string]*house{
		"http://localhost:8090/appeal/{reference}": {o: Options{Roles: Roles()}},
		"":                                     {o: Options{Roles: []Role{RoleGateway}}},
		"https://a.example/appeal/{reference}": {o: Options{Roles: []Role{RoleGateway}}, file: &config.File{API: config.API{Origin: "https://a.example"}}},
		"https://a.example/objections/{reference}":      {o: Options{Roles: []Role{RoleGateway}}, file: &config.File{Enforcement: sanction.Config{Appeal: "https://a.example/objections/"}}},
		"mailto:appeals@a.example":                      {o: Options{Roles: Roles()}, file: &config.File{Enforcement: sanction.Config{Appeal: "mailto:appeals@a.example"}}},
		"https://guard.example:9443/appeal/{reference}": {o: Options{Roles: Roles(), API: "guard.example:9443"}, file: &config.File{API: config.API{Certificate: "c.pem"}}},
	} {
		if h.file == nil {
			h.file = &config.File{}
		}
		if got := h.appealLink(h.file); got != want {
			t.Errorf("%q, not %q", got, want)
		}
		h.o.Upstreams = []string{"http://127.0.0.1:8000"}
		o := h.serving(nil)
		if f, err := o.Load(); err != nil || h.file.Enforcement.Appeal == "" && f.Gateway.Appeal != want {
			t.Errorf("the gateway tells %q, not %q: %v", f.Gateway.Appeal, want, err)
		}
	}
}

// What a file that was read again says of enforcement is in force, and leads account holders to the same place; one that could not be
// started with is refused whole, with its line.
func TestReload(t *testing.T) {
	dir, out := t.TempDir(), &record{}
	const head = "gateway: {admin: {listen: \"127.0.0.1:0\"}}\n"
	file := put(t, dir, "palladium.yaml", head)
	h := housed(t, Options{Log: out, State: filepath.Join(dir, "state"), Config: file, Roles: []Role{RoleDetector}})
	taken := func(text, wrong string) {
		t.Helper()
		put(t, dir, "palladium.yaml", head+text)
		err := h.reload()
		if (err == nil) != (wrong == "") || err != nil && !strings.Contains(err.Error(), wrong) {
			t.Errorf("%s: %v, wanted %q", text, err, wrong)
		}
	}
	mode := func(want sanction.Mode) {
		t.Helper()
		p, _ := h.board.Policy()
		if p.Mode() != want || p.AppealAt("x") != "http://localhost:8090/appeal/x" {
			t.Errorf("mode %s, appeals at %s; wanted %s", p.Mode(), p.AppealAt("x"), want)
		}
		if text := h.enforcement(); !strings.Contains(text, "mode: "+string(want)) {
			t.Errorf("the policy of the configuration is shown as %s", text)
		}
	}
	mode(sanction.Shadow)
	const enforce = "enforcement: {mode: enforce, enforce: [slow], stages: {act: {measure: slow, delay: 1s}}}\n"
	taken(enforce, "")
	mode(sanction.Enforce)
	for text, wrong := range map[string]string{
		"enforcement: {mode: enfroce}\n":                            "line 2: enforcement policy refused",
		"check: {http: \"127.0.0.1:0\"}\n":                          "line 2: check",
		"\nstream: {replicas: 2}\n":                                 "line 3: stream configuration refused",
		"archive: {dir: a, s3: {bucket: b}}\n":                      "line 2: archive",
		"taps: {kafka: {topics: [t]}}\n":                            "line 2: taps.kafka",
		"detector: {policy: none.yaml}\n":                           "line 2: detector.policy",
		"catalog: {url: \"mysql://h/d\"}\n":                         "line 2: catalog",
		"enforcement: {mode: shadow}\napi: {listen: nowhere}\nx:\n": "line 4: unknown key",
	} {
		taken(text, wrong)
		mode(sanction.Enforce)
	}
	taken(enforce+"check: {http: \"127.0.0.1:0\", account: {header: x-account}}\n", "")
	if !strings.Contains(out.String(), "sections=check") {
		t.Errorf("it is not told that a change takes a start: %s", out)
	}
	taken("", "")
	mode(sanction.Shadow)
}

// What could not be started with does not pass for good, and what would pass over a detector's verdicts is refused.
func TestCheckOnly(t *testing.T) {
	for text, wrong := range map[string]string{
		"":                                "",
		"detector: {policy: none.yaml}\n": "line 2: detector.policy",
		"stream: {replicas: 2}\n":         "line 2: stream configuration refused",
		"budget: {plans: {default: {pools: [none]}}}": "budget",
	} {
		err := Run(t.Context(), Options{Config: put(t, t.TempDir(), "p.yaml", "credentials: {keys: k}\n"+text), Upstreams: []string{"http://127.0.0.1:8000"}, State: t.TempDir(), Check: true, Log: io.Discard})
		if (err == nil) != (wrong == "") || err != nil && !strings.Contains(err.Error(), wrong) {
			t.Errorf("%s: %v, wanted %q", text, err, wrong)
		}
	}
	if err := Run(t.Context(), Options{Upstreams: []string{"http://127.0.0.1:8000"}, State: t.TempDir(), Check: true, Log: io.Discard}); err == nil || !strings.Contains(err.Error(), "in credentials.keys or by --keys") {
		t.Errorf("nobody can be known: %v", err)
	}
	for _, r := range []Role{RoleGateway, RoleAPI, RoleCheck} {
		if err := Run(t.Context(), Options{Roles: []Role{r}, Upstreams: []string{"http://127.0.0.1:8000"}, Keys: "k", State: t.TempDir(), Check: true, Log: io.Discard}); err == nil || !strings.Contains(err.Error(), "needs stream.url or stream.cluster") {
			t.Errorf("%s that nobody hears: %v", r, err)
		}
	}
	file := put(t, t.TempDir(), "p.yaml", "gateway: {upstreams: [{url: \"http://127.0.0.1:8000\"}], verdicts: {file: v.jsonl}}\n")
	if err := Run(t.Context(), Options{Config: file, State: t.TempDir(), Check: true, Log: io.Discard}); err == nil || !strings.Contains(err.Error(), "line 1: gateway.verdicts.file") {
		t.Errorf("a file of verdicts beside a detector: %v", err)
	}
}

// A request in hand is answered to its end when the process ends.
func TestAnswersInHand(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	asked, told := make(chan struct{}), make(chan struct{})
	ctx, end := context.WithCancel(t.Context())
	h := &house{failed: make(chan error, 1)}
	h.serveHTTP(ctx, &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		close(asked)
		<-told
		_, _ = io.WriteString(w, "done")
	})}, l)
	got := make(chan string, 1)
	go func() {
		resp, err := http.Get("http://" + l.Addr().String())
		if err != nil {
			got <- err.Error()
			return
		}
		defer resp.Body.Close()
		b, _ := io.ReadAll(resp.Body)
		got <- string(b)
	}()
	<-asked
	end()
	close(told)
	h.work.Wait()
	if text := <-got; text != "done" || len(h.failed) > 0 {
		t.Errorf("a request in hand got %q", text)
	}
}

// Keys that the command line names are those by which checks know callers.
func TestChecksByKey(t *testing.T) {
	dir, at := t.TempDir(), free(t)
	file := filepath.Join(dir, "keys.jsonl")
	key := makeKeys(t, file, 1)[0]
	out := &record{}
	housed(t, Options{Log: out, State: filepath.Join(dir, "state"), Keys: file, Roles: []Role{RoleDetector, RoleCheck},
		Config: put(t, dir, "palladium.yaml", "check: {http: \""+at+"\", account: {credential: true}}\n")})
	for sent, want := range map[string]int{key: http.StatusNoContent, "pk_wrong": http.StatusUnauthorized} {
		req := httptest.NewRequest("GET", "http://"+at+"/auth", nil)
		req.RequestURI = ""
		req.Header.Set("Authorization", "Bearer "+sent)
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if resp.StatusCode != want {
			t.Errorf("a check got %d, wanted %d\n%s", resp.StatusCode, want, out)
		}
	}
}
