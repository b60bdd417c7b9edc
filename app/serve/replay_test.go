package serve

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/palladium-guard/palladium/app"
	"github.com/palladium-guard/palladium/app/live"
	"github.com/palladium-guard/palladium/report"
	"github.com/palladium-guard/palladium/world"
	recording "github.com/palladium-guard/palladium/world/record"
)

// A recording that is replayed through serve, with an end and a start in between, gives the campaigns that a scan of it gives.
func TestReplayIsScan(t *testing.T) {
	if testing.Short() {
		t.Skip("starts processes")
	}
	s, ok := world.Preset("demo")
	if !ok {
		t.Fatal("no preset")
	}
	s.Seed, s.Days, s.Benign = 11, 4, world.Population(500)
	s.Campaigns[0].Accounts, s.Campaigns[0].Start = 60, 1
	w, err := world.New(s, world.OwnCorpus(11))
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	traffic := filepath.Join(dir, "traffic")
	if _, err := recording.Write(w, traffic, false, nil); err != nil {
		t.Fatal(err)
	}
	key := [32]byte(bytes.Repeat([]byte("k"), 32))
	want, _, err := app.Scan(t.Context(), app.ScanOptions{Paths: []string{traffic}, Key: &key})
	if err != nil || len(want.Campaigns) == 0 {
		t.Fatalf("the world has no campaign to find: %v", err)
	}
	for name, data := range map[string][]byte{"token": []byte(adminKey), "measuring.key": key[:]} {
		if err := os.WriteFile(filepath.Join(dir, name), data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	p := startPart(t, dir, "detector", strings.ReplaceAll(`
gateway: {admin: {listen: "%ADMIN", token_file: "%D/token"}}
measuring_key: "%D/measuring.key"
taps: {files: ["%D/traffic"]}
archive: {off: true}
ledger: {off: true}
`, "%D", dir))
	taken := func(n int64) {
		p.until("the end of the recording", func() bool {
			_, m := p.ask("/metrics")
			_, rest, _ := strings.Cut(m, "\npalladium_detector_observations_total ")
			var got float64
			_, err := fmt.Sscan(rest, &got)
			return err == nil && int64(got) >= n
		})
	}
	stop := func() {
		_ = p.cmd.Process.Signal(syscall.SIGTERM)
		if err := p.cmd.Wait(); err != nil || strings.Contains(p.said(), "ended:") {
			t.Fatalf("%v:\n%s", err, p.said())
		}
	}
	taken(1)
	stop()
	p.start()
	p.until("ready", p.ready)
	taken(want.Counts.Exchanges)
	stop()
	d, err := live.Open(live.Options{Dir: filepath.Join(p.state, "detector"), Key: key, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	var got, scanned bytes.Buffer
	if err := errors.Join(report.JSON(&got, d.Close()), report.JSON(&scanned, want)); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got.Bytes(), scanned.Bytes()) {
		t.Errorf("serve and scan differ: %d and %d bytes of report", got.Len(), scanned.Len())
	}
}
