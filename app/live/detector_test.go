package live

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/palladium-guard/palladium"
	"github.com/palladium-guard/palladium/app"
	"github.com/palladium-guard/palladium/report"
	"github.com/palladium-guard/palladium/store/stream"
	"github.com/palladium-guard/palladium/traffic/tap/file"
	"github.com/palladium-guard/palladium/world"
	"github.com/palladium-guard/palladium/world/record"
)

// recording writes a small world with a campaign in it and returns its folder.
func recording(t *testing.T) string {
	t.Helper()
	s, ok := world.Preset("demo")
	if !ok {
		t.Fatal("no preset")
	}
	s.Seed, s.Days, s.Benign = 11, 4, world.Population(500)
	s.Campaigns[0].Accounts, s.Campaigns[0].Start = 60, 1
	return recorded(t, s)
}

// recorded writes a world and returns its folder.
func recorded(t *testing.T, s world.Scenario) string {
	t.Helper()
	w, err := world.New(s, world.OwnCorpus(s.Seed))
	if err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(t.TempDir(), "traffic")
	if _, err := record.Write(w, dir, false, nil); err != nil {
		t.Fatal(err)
	}
	return dir
}

var quiet = slog.New(slog.DiscardHandler)

func openStream(t testing.TB, dir string) *stream.Stream {
	t.Helper()
	s, err := stream.Open(context.Background(), stream.Config{Dir: dir}, quiet)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// feeder gives a recording to a publisher, without loss.
type feeder struct {
	ctx context.Context
	p   *stream.Publisher
}

func (f feeder) Describe(a *palladium.Account) error    { return f.p.DescribeWait(f.ctx, a) }
func (f feeder) NameModel(hash uint64, name string)     { f.p.NameModel(hash, name) }
func (f feeder) Observe(o *palladium.Observation) error { return f.p.ObserveWait(f.ctx, o) }
func (f feeder) Reached([]file.Position) error          { return nil }

// feed puts the recording into the stream and returns the position of its end.
func feed(t *testing.T, s *stream.Stream, dir string) stream.Position {
	t.Helper()
	ctx := context.Background()
	cues, err := app.Cues()
	if err != nil {
		t.Fatal(err)
	}
	p := s.Publisher("test")
	if _, err := app.Feed(ctx, file.Options{Paths: []string{dir}, Formats: app.Formats()}, [32]byte{7}, cues, feeder{ctx, p}); err != nil {
		t.Fatal(err)
	}
	if err := p.Flush(ctx); err != nil {
		t.Fatal(err)
	}
	last, err := s.Last(ctx)
	if err != nil {
		t.Fatal(err)
	}
	return last
}

// scanned is what a scan of the recording finds.
func scanned(t *testing.T, dir string) *palladium.Report {
	t.Helper()
	key := [32]byte{7}
	r, _, err := app.Scan(context.Background(), app.ScanOptions{Paths: []string{dir}, Key: &key})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// until runs the detector until it has taken in the position.
func until(t *testing.T, d *Detector, s Source, end stream.Position) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	done := make(chan error, 1)
	go func() { done <- d.Run(ctx, s) }()
	for d.Figures().Position < end {
		select {
		case err := <-done:
			t.Fatalf("it ended: %v", err)
		case <-time.After(5 * time.Millisecond):
		}
	}
	cancel()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
}

func same(t *testing.T, what string, got, want *palladium.Report) {
	t.Helper()
	var a, b bytes.Buffer
	if err := errors.Join(report.JSON(&a, got), report.JSON(&b, want)); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(a.Bytes(), b.Bytes()) {
		t.Errorf("%s: %d campaigns and %d linked groups; wanted %d and %d", what, len(got.Campaigns), len(got.Linked), len(want.Campaigns), len(want.Linked))
	}
}

// A recording that goes through the stream gives the campaigns that a scan of it gives, although campaigns are presented
// after every look.
func TestStreamIsScan(t *testing.T) {
	dir := recording(t)
	want := scanned(t, dir)
	if len(want.Campaigns) == 0 {
		t.Fatal("the world has no campaign to find")
	}
	s := openStream(t, t.TempDir())
	defer s.Close()
	end := feed(t, s, dir)
	looks := 0
	var d *Detector
	d, err := Open(Options{Key: [32]byte{7}, Log: quiet, Found: func(*palladium.Report) {
		looks++
		if d.Figures().Delay <= 0 {
			t.Error("what is in hand while it looks is not said to wait")
		}
	}})
	if err != nil {
		t.Fatal(err)
	}
	until(t, d, s, end)
	if f := d.Figures(); f.Delay != 0 || f.Look <= 0 || f.Stopped < f.Look || f.Snapshot != 0 {
		t.Errorf("after all was taken in: %+v", f)
	}
	if looks < 24 {
		t.Errorf("%d looks in four days", looks)
	}
	same(t, "the stream", d.Close(), want)
}

// What is sent twice counts once.
func TestTwice(t *testing.T) {
	dir := recording(t)
	want := scanned(t, dir)
	s := openStream(t, t.TempDir())
	defer s.Close()
	feed(t, s, dir)
	end := feed(t, s, dir)
	d, err := Open(Options{Key: [32]byte{7}, Log: quiet})
	if err != nil {
		t.Fatal(err)
	}
	until(t, d, s, end)
	if f := d.Figures(); f.Twice != want.Counts.Exchanges || f.Taken != want.Counts.Exchanges {
		t.Errorf("%+v of %d exchanges", f, want.Counts.Exchanges)
	}
	same(t, "twice", d.Close(), want)
}

const killed = "LIVE_TO_KILL"

// A detector that is killed at any moment, and started again, finds what an undisturbed one finds.
func TestKill(t *testing.T) {
	if dir := os.Getenv(killed); dir != "" {
		beKilled(t, dir)
		return
	}
	kills := 6
	if n, err := strconv.Atoi(os.Getenv("LIVE_KILLS")); err == nil {
		kills = n
	}
	if testing.Short() {
		t.Skip("starts processes")
	}
	traffic := recording(t)
	want := scanned(t, traffic)
	dir := t.TempDir()
	s := openStream(t, filepath.Join(dir, "stream"))
	end := feed(t, s, traffic)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	done := 0
	for n := 0; done < kills; n++ {
		if n > 20*kills {
			t.Fatal("it does not come to an end")
		}
		cmd := exec.Command(os.Args[0], "-test.run=^TestKill$")
		cmd.Env = append(os.Environ(), killed+"="+dir, "LIVE_END="+strconv.FormatUint(uint64(end), 10))
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		wait := make(chan error, 1)
		go func() { wait <- cmd.Wait() }()
		select {
		case err := <-wait: // it came to its end: begin anew, so that the next is killed too
			if err != nil {
				t.Fatalf("it ended by itself: %v", err)
			}
			checkEnd(t, dir, end, want)
			if err := os.RemoveAll(filepath.Join(dir, "detector")); err != nil {
				t.Fatal(err)
			}
		case <-time.After(time.Duration(150+(n*7919)%900) * time.Millisecond):
			_ = cmd.Process.Kill()
			<-wait
			done++
		}
	}
	checkEnd(t, dir, end, want)
}

// checkEnd runs what is left to its end and compares.
func checkEnd(t *testing.T, dir string, end stream.Position, want *palladium.Report) {
	t.Helper()
	s := openStream(t, filepath.Join(dir, "stream"))
	defer s.Close()
	d, err := Open(Options{Dir: filepath.Join(dir, "detector"), Key: [32]byte{7}, Log: quiet})
	if err != nil {
		t.Fatal(err)
	}
	if d.Figures().Position < end {
		until(t, d, s, end)
	}
	same(t, "after kills", d.Close(), want)
}

// beKilled runs a detector that keeps its state all the time, and does not release what it has read.
func beKilled(t *testing.T, dir string) {
	end, err := strconv.ParseUint(os.Getenv("LIVE_END"), 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	s := openStream(t, filepath.Join(dir, "stream"))
	defer s.Close()
	d, err := Open(Options{Dir: filepath.Join(dir, "detector"), Key: [32]byte{7}, Log: quiet, SaveEvery: 20 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	if d.Figures().Position < stream.Position(end) {
		until(t, d, unreleased{s}, stream.Position(end))
	}
}

// unreleased keeps all of the stream, so that the test can begin anew.
type unreleased struct{ *stream.Stream }

func (unreleased) Release(context.Context, string, stream.Position) error { return nil }

// A state of another key, of other families or of another time between looks is refused, and so is a damaged one.
func TestRefusesStates(t *testing.T) {
	dir := t.TempDir()
	s := openStream(t, t.TempDir())
	defer s.Close()
	p := s.Publisher("test")
	o := &palladium.Observation{ID: 1, Time: time.Date(2026, 5, 4, 0, 0, 0, 0, time.UTC).UnixMilli(), Account: "a"}
	if err := errors.Join(p.ObserveWait(context.Background(), o), p.Flush(context.Background())); err != nil {
		t.Fatal(err)
	}
	end, err := s.Last(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	opt := Options{Dir: dir, Key: [32]byte{7}, Log: quiet}
	d, err := Open(opt)
	if err != nil {
		t.Fatal(err)
	}
	until(t, d, s, end)
	again, err := Open(opt)
	was := d.Figures()
	if was.Snapshot <= 0 || was.Stopped < was.Snapshot {
		t.Errorf("%+v of a state that was kept", was)
	}
	was.Snapshot, was.Stopped = 0, 0 // of this run
	if err != nil || again.Figures() != was {
		t.Fatalf("%v: %+v, not %+v", err, again.Figures(), was)
	}
	for want, change := range map[string]func(*Options){
		"another measuring key": func(o *Options) { o.Key[0]++ },
		"without the families":  func(o *Options) { o.Without = map[palladium.Family]bool{palladium.Network: true} },
		"another time between":  func(o *Options) { o.Every = time.Minute },
	} {
		other := opt
		change(&other)
		if _, err := Open(other); !errors.Is(err, app.ErrState) || !strings.Contains(err.Error(), want) {
			t.Errorf("wanted %q, got %v", want, err)
		}
	}
	path := filepath.Join(dir, stateName)
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	refused := 0
	for at := len(data) / 4; at < len(data); at += len(data) / 16 {
		data[at] ^= 1
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
		switch again, err := Open(opt); {
		case errors.Is(err, app.ErrState):
			refused++
		case err != nil || again.Figures() != was: // a bit of the packing may mean nothing
			t.Errorf("a state damaged at byte %d: %v", at, err)
		}
		data[at] ^= 1
	}
	if refused < 6 {
		t.Errorf("of 12 damaged states %d were refused", refused)
	}
}
