package serve

import (
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/palladium-guard/palladium"
	"github.com/palladium-guard/palladium/store/stream"
	"github.com/palladium-guard/palladium/store/stream/batch"
)

// Batches that cannot be read, of a later version or damaged, end nothing, also when the process begins anew before them: detector and
// archive go on with what follows, and health, metrics and log say what was passed over and what to do.
func TestPassesOverUnread(t *testing.T) {
	if testing.Short() {
		t.Skip("starts processes")
	}
	dir := t.TempDir()
	n := startNATS(t, filepath.Join(dir, "nats"))
	if err := os.WriteFile(filepath.Join(dir, "token"), []byte(adminKey), 0o600); err != nil {
		t.Fatal(err)
	}
	makeKeys(t, filepath.Join(dir, "keys.jsonl"), 1)
	text := strings.NewReplacer("%D", dir, "%NATS", n.ClientURL()).Replace(`
gateway:
  listen: "%CALLERS"
  admin: {listen: "%ADMIN", token_file: "%D/token"}
  upstreams: [{name: models, url: "http://127.0.0.1:1"}]
credentials: {keys: "%D/keys.jsonl"}
stream: {url: "%NATS"}
archive: {dir: "%D/archive", every: 100ms}
ledger: {off: true}
api: {off: true}
`)
	s, err := stream.Open(t.Context(), stream.Config{URL: n.ClientURL()}, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	observe := func(id uint64) {
		t.Helper()
		p := s.Publisher("test")
		o := &palladium.Observation{ID: id, Time: time.Now().UnixMilli(), Account: "a"}
		if err := p.ObserveWait(t.Context(), o); err != nil {
			t.Fatal(err)
		}
		if err := p.Flush(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	observe(1)
	c, err := nats.Connect(n.ClientURL())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	for _, msg := range [][]byte{{batch.Format + 1, batch.Plain, 1}, {batch.Format, batch.Plain, 0xff}} {
		if _, err := c.Request("palladium.observations", msg, 5*time.Second); err != nil {
			t.Fatal(err)
		}
	}
	observe(2)
	p := newPart(t, dir, "all", "gateway,detector", text)
	for round := range 2 {
		p.start()
		p.until("the detector and the archive going on", func() bool {
			_, m := p.ask("/metrics")
			for _, want := range []string{"palladium_detector_observations_total 2", "palladium_stream_batches_newer_total 2", "palladium_stream_batches_damaged_total 2"} {
				if !strings.Contains(m, "\n"+want+"\n") {
					return false
				}
			}
			return true
		})
		status, body := p.ask("/readyz?verbose")
		if _, health := p.ask("/healthz"); status != http.StatusOK || !strings.Contains(health, `"degraded"`) || !strings.Contains(body, "update this process") ||
			!strings.Contains(body, "has not jumped") {
			t.Errorf("round %d: ready is %d: %s\n%s", round, status, body, health)
		}
		if said := p.said(); strings.Count(said, "a batch cannot be read and is passed over") != 2*(round+1) || strings.Contains(said, "ended:") {
			t.Errorf("round %d: %s", round, said)
		}
		p.kill() // before it has kept a state: it begins anew before them
		if err := os.RemoveAll(filepath.Join(dir, "archive")); err != nil {
			t.Fatal(err)
		}
	}
}
