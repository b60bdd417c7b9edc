package live

import (
	"path/filepath"
	"testing"
	"time"

	"github.com/palladium-guard/palladium"
	"github.com/palladium-guard/palladium/store/catalog"
	"github.com/palladium-guard/palladium/traffic/sanction"
	"github.com/palladium-guard/palladium/world"
)

// A detector that was started again knows what stands before it looks: policy that has changed meanwhile is carried out on that, and
// what the catalog says of campaigns stays as it is.
func TestStanding(t *testing.T) {
	dir, ctx := t.TempDir(), t.Context()
	s := openStream(t, filepath.Join(dir, "stream"))
	defer s.Close()
	large, ok := world.Preset("demo")
	if !ok {
		t.Fatal("no preset")
	}
	large.Seed, large.Days = 1, 3
	end := feed(t, s, recorded(t, large))
	open := func() *Detector {
		d, err := Open(Options{Dir: filepath.Join(dir, "detector"), Key: [32]byte{7}, Log: quiet})
		if err != nil {
			t.Fatal(err)
		}
		return d
	}
	d := open()
	if d.Standing() != nil {
		t.Error("something is known of nothing")
	}
	until(t, d, s, end)
	was := d.Latest()
	if was == nil || len(was.Campaigns) == 0 || was.Campaigns[0].Stage == palladium.StageWatch || len(was.Linked) == 0 {
		t.Fatalf("the world has no campaign to act on: %d, and %d linked", len(was.Campaigns), len(was.Linked))
	}
	cat, err := catalog.Open(ctx, catalog.Config{URL: filepath.Join(dir, "catalog.db")}, quiet, true)
	if err != nil {
		t.Fatal(err)
	}
	defer cat.Close()
	policy := func(mode sanction.Mode) *sanction.Policy {
		p, err := sanction.New(sanction.Config{Mode: mode, Stages: map[palladium.Stage]sanction.Rule{palladium.StageReview: {Measure: palladium.MeasureSlow, Delay: time.Second}}})
		if err != nil {
			t.Fatal(err)
		}
		return p
	}
	board := NewBoard(BoardOptions{Catalog: cat, Policy: policy(sanction.Shadow), Log: quiet})
	if out, err := NewActor(board).Act(ctx, was); err != nil || len(out.Decided) == 0 || out.Decided[0].State != catalog.StateShadow {
		t.Fatalf("%+v %v", out, err)
	}
	linked, err := cat.WholeCampaign(ctx, was.Linked[0].ID)
	if err != nil {
		t.Fatal(err)
	}

	d = open()
	until(t, d, s, end)
	r := d.Standing()
	if d.Latest() != nil || r == nil || len(r.Campaigns) != len(was.Campaigns) || r.Campaigns[0].ID != was.Campaigns[0].ID || r.Campaigns[0].Stage != was.Campaigns[0].Stage {
		t.Fatalf("after a start %+v stands", r)
	}
	board.SetPolicy(policy(sanction.Enforce), Configured)
	out, err := NewActor(board).Again(ctx, r)
	if err != nil || len(out.Decided) == 0 || out.Decided[0].State != catalog.StateEnforced || len(out.Withdrawn) == 0 {
		t.Fatalf("%+v %v", out, err)
	}
	if now, err := cat.WholeCampaign(ctx, linked.ID); err != nil || now.Revision != linked.Revision || now.Gone != nil {
		t.Errorf("a linked group is not as it was: %+v, %v", now, err)
	}
}
