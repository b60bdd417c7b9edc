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
