package live

import (
	"context"
	"errors"
	"path/filepath"
	"testing"
	"time"

	"github.com/palladium-guard/palladium"
	"github.com/palladium-guard/palladium/store/catalog"
	"github.com/palladium-guard/palladium/store/stream"
	"github.com/palladium-guard/palladium/store/stream/snapshot"
	"github.com/palladium-guard/palladium/traffic/sanction"
)

// A detector that starts without a state when the stream's beginning is gone, and one that was away until the stream had forgotten what
// it needs next, go on from the state that the leading one hands on, and find what a scan of everything finds.
func TestHandedOn(t *testing.T) {
	dir := recording(t)
	want := scanned(t, dir)
	s := openStream(t, t.TempDir())
	defer s.Close()
	open := func(where string) *Detector {
		t.Helper()
		d, err := Open(Options{Dir: where, Key: [32]byte{7}, Log: quiet, SaveEvery: time.Hour, Shared: snapshot.New(s)})
		if err != nil {
			t.Fatal(err)
		}
		return d
	}
	// One that has read a little, and is then away.
	away := open(t.TempDir())
	p := s.Publisher("before")
	o := &palladium.Observation{ID: 1, Time: time.Date(2020, 1, 1, 0, 0, 0, 0, time.UTC).UnixMilli(), Account: "early"}
	if err := errors.Join(p.ObserveWait(context.Background(), o), p.Flush(context.Background())); err != nil {
		t.Fatal(err)
	}
	begun, err := s.Last(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	until(t, away, s, begun)

	end := feed(t, s, dir)
	leader := open(t.TempDir())
	until(t, leader, s, end)
	if whole, err := s.Whole(context.Background()); err != nil || !whole {
		t.Fatalf("the stream has forgotten what nobody shares: %v", err)
	}
	ctx, stop := context.WithCancel(context.Background())
	shared := make(chan struct{})
	go func() { leader.Share(ctx, s); close(shared) }()
	for end := time.Now().Add(20 * time.Second); ; time.Sleep(5 * time.Millisecond) {
		if whole, err := s.Whole(context.Background()); err == nil && !whole {
			break
		}
		if time.Now().After(end) {
			t.Fatalf("nothing is handed on: %+v", leader.Figures())
		}
	}
	stop()
	<-shared
	o = &palladium.Observation{ID: 2, Time: time.Date(2020, 1, 1, 0, 0, 0, 0, time.UTC).UnixMilli(), Account: "early"}
	if err := errors.Join(p.ObserveWait(context.Background(), o), p.Flush(context.Background())); err != nil {
		t.Fatal(err)
	}
	if end, err = s.Last(context.Background()); err != nil {
		t.Fatal(err)
	}
	late := open(t.TempDir())
	for _, d := range []*Detector{late, away, leader} {
		until(t, d, s, end)
		if f := d.Figures(); f.Taken != want.Counts.Exchanges+2 || f.Err != nil {
			t.Errorf("%+v of %d", f, want.Counts.Exchanges)
		}
	}
	first := leader.Close()
	same(t, "the late one", late.Close(), first)
	same(t, "the one that was away", away.Close(), first)
	if len(first.Campaigns) == 0 {
		t.Error("there is no campaign")
	}
}

// An actor that has led before another writes nothing any more: no report, no decision, no end of one.
func TestFenced(t *testing.T) {
	ctx := context.Background()
	cat, err := catalog.Open(ctx, catalog.Config{URL: filepath.Join(t.TempDir(), "catalog.db")}, quiet, true)
	if err != nil {
		t.Fatal(err)
	}
	defer cat.Close()
	policy, err := sanction.New(sanction.Config{Mode: sanction.Enforce})
	if err != nil {
		t.Fatal(err)
	}
	board := NewBoard(BoardOptions{Catalog: cat, Policy: policy, Log: quiet})
	report := func(ids ...string) *palladium.Report {
		c := palladium.Campaign{ID: "c-one", Stage: palladium.StageAct, First: time.Now(), Last: time.Now()}
		for _, id := range ids {
			c.Accounts = append(c.Accounts, palladium.Member{ID: id, Membership: 1})
		}
		return &palladium.Report{Schema: palladium.ReportSchema, Campaigns: []palladium.Campaign{c}}
	}
	lead := func() context.Context {
		t.Helper()
		led, err := cat.Lead(ctx, "detector")
		if err != nil {
			t.Fatal(err)
		}
		return led
	}
	state := func() (uint64, int64) {
		t.Helper()
		version, err := cat.VerdictVersion(ctx)
		last, e := cat.LastEvent(ctx)
		if err := errors.Join(err, e); err != nil {
			t.Fatal(err)
		}
		return version, last
	}
	one, two := NewActor(board), NewActor(board)
	old := lead()
	if out, err := one.Act(old, report("a", "b")); err != nil || len(out.Decided) != 1 {
		t.Fatalf("%+v %v", out, err)
	}
	now := lead()
	version, last := state()
	for _, r := range []*palladium.Report{report("a", "b", "c"), report("a"), {Schema: palladium.ReportSchema}} {
		if out, err := one.Act(old, r); !errors.Is(err, catalog.ErrFenced) || len(out.Decided)+len(out.Withdrawn) != 0 {
			t.Errorf("%+v %v", out, err)
		}
	}
	if v, l := state(); v != version || l != last {
		t.Errorf("verdicts are at %d, events at %d; they were at %d and %d", v, l, version, last)
	}
	if out, err := two.Act(now, report("a", "b")); err != nil || len(out.Decided)+len(out.Withdrawn) != 0 {
		t.Errorf("whoever leads next decides again: %+v %v", out, err)
	}
	if out, err := two.Act(now, report("a", "b", "c")); err != nil || len(out.Decided) != 1 {
		t.Errorf("%+v %v", out, err)
	}
}

var _ Source = (*stream.Stream)(nil)
