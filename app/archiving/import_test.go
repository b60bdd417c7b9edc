package archiving

import (
	"bytes"
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/palladium-guard/palladium/app"
	"github.com/palladium-guard/palladium/config"
	"github.com/palladium-guard/palladium/report"
	"github.com/palladium-guard/palladium/store/archive"
	"github.com/palladium-guard/palladium/traffic/tap/file"
	"github.com/palladium-guard/palladium/world"
	"github.com/palladium-guard/palladium/world/record"
)

func open(t testing.TB, dir string) *archive.Archive {
	t.Helper()
	a, err := app.OpenArchive(config.Archive{Dir: dir}, nil)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// recorded writes the demo's world, smaller, to a folder.
func recorded(t testing.TB) string {
	t.Helper()
	s, ok := world.Preset("demo")
	if !ok {
		t.Fatal("no demo")
	}
	s.Benign.People, s.Benign.Apps = 300, 20
	w, err := world.New(s, world.OwnCorpus(s.Seed))
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	if _, err := record.Write(w, dir, false, nil); err != nil {
		t.Fatal(err)
	}
	return dir
}

func key() [32]byte { return [32]byte{1, 2, 3} }

// found is the report of a scan, in all detail.
func found(t *testing.T, o app.ScanOptions) string {
	t.Helper()
	k := key()
	o.Key = &k
	r, stats, err := app.Scan(t.Context(), o)
	if err != nil || stats.Exchanges == 0 {
		t.Fatalf("%d exchanges, %v", stats.Exchanges, err)
	}
	r.Counts.Rejected = 0 // of files; an archive holds what could be read
	var b bytes.Buffer
	if err := report.JSONDetail(&b, r); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// A scan of the archive finds what a scan of the recording does, to the byte: as it was written, and after its files were merged.
func TestScanOfTheArchive(t *testing.T) {
	if testing.Short() {
		t.Skip("reads a whole world six times; skipped with -short")
	}
	traffic := recorded(t)
	want := found(t, app.ScanOptions{Paths: []string{traffic}})
	a := open(t, filepath.Join(t.TempDir(), "archive"))
	stats, err := Import(t.Context(), a, Options{Paths: []string{traffic}, Key: key()})
	if err != nil {
		t.Fatal(err)
	}
	if stats.Exchanges == 0 || stats.Continued || stats.Interrupted {
		t.Errorf("%+v", stats)
	}
	if got := found(t, app.ScanOptions{Archive: a}); got != want {
		t.Error("a scan of the archive finds other than a scan of the recording")
	}
	since, until := time.Date(2026, 5, 6, 3, 0, 0, 0, time.UTC), time.Date(2026, 5, 9, 14, 30, 0, 0, time.UTC)
	part := found(t, app.ScanOptions{Paths: []string{traffic}, Since: since, Until: until})
	if got := found(t, app.ScanOptions{Archive: a, Since: since, Until: until}); got != part {
		t.Error("between two times, a scan of the archive finds other than a scan of the recording")
	}
	if err := a.Compact(t.Context(), time.Now()); err != nil {
		t.Fatal(err)
	}
	if got := found(t, app.ScanOptions{Archive: a}); got != want {
		t.Error("after its files were merged, a scan of the archive finds other")
	}

	again, err := Import(t.Context(), a, Options{Paths: []string{traffic}, Key: key()})
	if err != nil || again.Exchanges != 0 || !again.Continued {
		t.Errorf("the same files again: %+v, %v", again, err)
	}
	if got := found(t, app.ScanOptions{Archive: a}); got != want {
		t.Error("after the same files again, a scan of the archive finds other")
	}
	other := key()
	other[0]++
	if _, err := Import(t.Context(), a, Options{Paths: []string{traffic}, Key: other}); !errors.Is(err, archive.ErrKey) {
		t.Errorf("another key: %v", err)
	}
	if _, _, err := app.Scan(t.Context(), app.ScanOptions{Archive: a, Key: &other}); !errors.Is(err, archive.ErrKey) {
		t.Errorf("a scan under another key: %v", err)
	}
	if _, stats, err := app.Scan(t.Context(), app.ScanOptions{Archive: a}); err != nil || len(stats.Notes) == 0 {
		t.Errorf("a scan without a key: %v, %v", stats.Notes, err)
	}
}

// TestMain runs a child of TestKilled when it is told to be one.
func TestMain(m *testing.M) {
	if dir := os.Getenv("PALLADIUM_TEST_IMPORT"); dir != "" {
		a, err := app.OpenArchive(config.Archive{Dir: dir}, nil)
		if err == nil {
			_, err = Import(context.Background(), a, Options{Paths: []string{os.Getenv("PALLADIUM_TEST_TRAFFIC")}, Key: key()})
		}
		if err != nil {
			_, _ = io.WriteString(os.Stderr, err.Error()+"\n")
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// An import that is killed at random moments is continued by the next.
func TestKilled(t *testing.T) {
	if testing.Short() {
		t.Skip("reads a world again and again; skipped with -short")
	}
	traffic := recorded(t)
	want := found(t, app.ScanOptions{Paths: []string{traffic}})
	for range 3 {
		dir := filepath.Join(t.TempDir(), "archive")
		died := 0
		for {
			cmd := exec.Command(os.Args[0])
			cmd.Env, cmd.Stderr = append(os.Environ(), "PALLADIUM_TEST_IMPORT="+dir, "PALLADIUM_TEST_TRAFFIC="+traffic), os.Stderr
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			timer := time.AfterFunc(time.Hour, func() {})
			if died < 4 {
				timer = time.AfterFunc(time.Duration(50+rand.N(800))*time.Millisecond, func() { _ = cmd.Process.Kill() })
			}
			err := cmd.Wait()
			timer.Stop()
			if err == nil {
				break
			}
			if died++; died > 5 {
				t.Fatal(err)
			}
		}
		if got := found(t, app.ScanOptions{Archive: open(t, dir)}); got != want {
			t.Errorf("after %d kills, a scan of the archive finds other", died)
		}
		t.Logf("killed %d times", died)
	}
}

// An import that is interrupted keeps what it has read.
func TestInterrupted(t *testing.T) {
	traffic := recorded(t)
	a := open(t, t.TempDir())
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	first, err := Import(ctx, a, Options{Paths: []string{traffic}, Key: key(), Progress: func(p file.Progress) {
		if p.Exchanges > 1000 {
			cancel()
		}
	}})
	if err != nil || !first.Interrupted || first.Exchanges == 0 {
		t.Fatalf("%+v, %v", first, err)
	}
	second, err := Import(t.Context(), a, Options{Paths: []string{traffic}, Key: key()})
	if err != nil || second.Interrupted || !second.Continued {
		t.Fatalf("%+v, %v", second, err)
	}
	if got, want := found(t, app.ScanOptions{Archive: a}), found(t, app.ScanOptions{Paths: []string{traffic}}); got != want {
		t.Error("after an interruption, a scan of the archive finds other")
	}
}
