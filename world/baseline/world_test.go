package baseline_test

import (
	"bytes"
	"testing"

	"github.com/palladium-guard/palladium"
	"github.com/palladium-guard/palladium/rules"
	"github.com/palladium-guard/palladium/traffic/measure"
	"github.com/palladium-guard/palladium/world"
	"github.com/palladium-guard/palladium/world/baseline"
)

// The threat in small: a campaign within everybody's limits among honest accounts. No baseline may work so well here
// that the product is not needed, and none may have been broken into flagging nobody but by its nature.
func TestOnWorld(t *testing.T) {
	s, ok := world.Preset("demo")
	if !ok {
		t.Fatal("no scenario called demo")
	}
	s.Seed, s.Days = 7, 6
	s.Benign = world.Population(800)
	w, err := world.New(s, world.OwnCorpus(7))
	if err != nil {
		t.Fatal(err)
	}
	cues, err := measure.ParseCues(bytes.NewReader(rules.Cues()))
	if err != nil {
		t.Fatal(err)
	}
	m, all := measure.New([32]byte{7}, cues), baseline.Standard(nil)
	for a := range w.Accounts() {
		for _, b := range all {
			b.Account(a)
		}
	}
	var o palladium.Observation
	for e := range w.Exchanges() {
		m.Measure(e, &o)
		for _, b := range all {
			b.Observe(&o, e)
		}
	}
	hostile, ids := map[string]bool{}, []string(nil)
	for _, a := range w.Truth().Accounts {
		ids = append(ids, a.ID)
		if a.Campaign != "" {
			hostile[a.ID] = true
		}
	}
	bad := func(id string) bool { return hostile[id] }
	for _, b := range all {
		covered := ids
		if p, ok := b.(baseline.Sampled); ok {
			covered = nil
			for _, id := range ids {
				if p.Covers(id) {
					covered = append(covered, id)
				}
			}
		}
		q := baseline.Score(b.Flagged(), covered, bad)
		t.Logf("%-22s flags %4d of %d: precision %.3f, recall %.3f, F1 %.3f", b.Name(), q.Flagged, len(covered), q.Precision(), q.Recall(), q.F1())
		if q.Precision() > 0.99 && q.Recall() > 0.95 {
			t.Errorf("%s solves the problem: is the world too easy?", b.Name())
		}
		if f, ok := b.(*baseline.FixedWeights); ok {
			least, q := baseline.Oracle(f.Scores(), bad)
			t.Logf("%-22s flags %4d of %d: precision %.3f, recall %.3f, F1 %.3f (from %.2f up)", "oracle fixed weights", q.Flagged,
				len(covered), q.Precision(), q.Recall(), q.F1(), least)
		}
		if v, ok := b.(*baseline.VolumeLimit); ok {
			limit, q := v.Oracle(bad)
			t.Logf("%-22s flags %4d of %d: precision %.3f, recall %.3f, F1 %.3f (above %d a day)", "oracle volume limit", q.Flagged,
				len(covered), q.Precision(), q.Recall(), q.F1(), limit)
		}
	}
}
