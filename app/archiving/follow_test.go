package archiving

import (
	"context"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"github.com/palladium-guard/palladium"
	"github.com/palladium-guard/palladium/app"
	"github.com/palladium-guard/palladium/config"
	"github.com/palladium-guard/palladium/store/archive"
	"github.com/palladium-guard/palladium/store/stream"
	"github.com/palladium-guard/palladium/traffic/tap/file"
)

// publishing gives a recording to a stream, without loss.
type publishing struct {
	ctx context.Context
	p   *stream.Publisher
}

func (s publishing) Describe(a *palladium.Account) error    { return s.p.DescribeWait(s.ctx, a) }
func (s publishing) NameModel(hash uint64, name string)     { s.p.NameModel(hash, name) }
func (s publishing) Observe(o *palladium.Observation) error { return s.p.ObserveWait(s.ctx, o) }
func (s publishing) Reached([]file.Position) error          { return nil }

func openStream(t *testing.T, dir string) *stream.Stream {
	t.Helper()
	s, err := stream.Open(context.Background(), stream.Config{Dir: dir}, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// publish puts the recording into the stream and returns the position of its end.
func publish(t *testing.T, s *stream.Stream, traffic string) uint64 {
	t.Helper()
	cues, err := app.Cues()
	if err != nil {
		t.Fatal(err)
	}
	p := s.Publisher("test")
	if _, err := app.Feed(t.Context(), file.Options{Paths: []string{traffic}, Formats: app.Formats()}, key(), cues, publishing{t.Context(), p}); err != nil {
		t.Fatal(err)
	}
	if err := p.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	last, err := s.Last(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return uint64(last)
}

// follow writes until the archive holds all up to a position.
func follow(ctx context.Context, s *stream.Stream, dir string, end uint64) error {
	long := archive.Retention{Counts: archive.Forever, Fingerprints: archive.Forever, Connection: archive.Forever, Accounts: archive.Forever} // the recording is old
	a, err := app.OpenArchive(config.Archive{Dir: dir, Config: archive.Config{Every: 50 * time.Millisecond, Compact: 100 * time.Millisecond, Retention: long}}, nil)
	if err != nil {
		return err
	}
	f := NewFollower(a, key(), time.Now, slog.New(slog.DiscardHandler))
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	done := make(chan error, 1)
	go func() { done <- f.Run(ctx, keeping{s}) }()
	for {
		if w := f.writer.Load(); w != nil && w.Durable() >= end {
			cancel()
		}
		select {
		case err := <-done:
			return err
		case <-time.After(5 * time.Millisecond):
		}
	}
}

// keeping releases nothing, so that the test can begin anew.
type keeping struct{ *stream.Stream }

func (keeping) Release(context.Context, string, stream.Position) error { return nil }

const followed = "PALLADIUM_TEST_FOLLOW"

// What came through the stream is archived once, however often its writer is killed; a scan of that archive finds
// what a scan of the traffic does.
func TestFollowKilled(t *testing.T) {
	if dir := os.Getenv(followed); dir != "" {
		s := openStream(t, filepath.Join(dir, "stream"))
		last, err := s.Last(t.Context())
		if err == nil {
			err = follow(t.Context(), s, filepath.Join(dir, "archive"), uint64(last))
		}
		if err != nil {
			t.Fatal(err)
		}
		return
	}
	if testing.Short() {
		t.Skip("starts processes")
	}
	traffic, dir := recorded(t), t.TempDir()
	want := found(t, app.ScanOptions{Paths: []string{traffic}})
	s := openStream(t, filepath.Join(dir, "stream"))
	end := publish(t, s, traffic)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	kills, rounds := 0, 1
	if n, err := strconv.Atoi(os.Getenv("ARCHIVE_KILLS")); err == nil {
		rounds = n
	}
	for n := range rounds {
		cmd := exec.Command(os.Args[0], "-test.run=^TestFollowKilled$")
		cmd.Env = append(os.Environ(), followed+"="+dir)
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		timer := time.AfterFunc(time.Duration(250+150*(n%8))*time.Millisecond, func() { _ = cmd.Process.Kill() })
		if cmd.Wait() != nil {
			kills++
		}
		timer.Stop()
	}
	s = openStream(t, filepath.Join(dir, "stream"))
	defer s.Close()
	if err := follow(t.Context(), s, filepath.Join(dir, "archive"), end); err != nil {
		t.Fatal(err)
	}
	if got := found(t, app.ScanOptions{Archive: open(t, filepath.Join(dir, "archive"))}); got != want {
		t.Errorf("after %d kills, a scan of the archive finds other than a scan of the traffic", kills)
	}
	t.Logf("killed %d times", kills)
}
