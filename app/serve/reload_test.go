package serve

import (
	"bytes"
	"log/slog"
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
