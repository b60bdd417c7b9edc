package live

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/palladium-guard/palladium"
	"github.com/palladium-guard/palladium/internal/span"
	"github.com/palladium-guard/palladium/store/catalog"
	"github.com/palladium-guard/palladium/store/retention"
	"github.com/palladium-guard/palladium/traffic/sanction"
)

// What ended is deleted once a day, when it is older than what is kept, and whom people let go not while policy leaves them alone for it;
// with forever nothing is.
func TestForget(t *testing.T) {
	const day = 24 * time.Hour
	d, ctx := newDesk(t, "a"), t.Context()
	now := time.Date(2026, 5, 3, 12, 0, 0, 0, time.UTC)
	put := func(id string, ended time.Time) {
		t.Helper()
		if _, err := d.cat.PutDecision(ctx, catalog.Decision{ID: id, Measure: palladium.MeasureObserve, Reason: "r", By: "ana", At: ended.Add(-day), Expires: ended, State: catalog.StateExpired}); err != nil {
			t.Fatal(err)
		}
		if _, err := d.cat.PutVerdicts(ctx, []catalog.Verdict{{State: catalog.StateExpired, Decision: id, Verdict: palladium.Verdict{
			ID: "v-" + id, Account: "a", Measure: palladium.MeasureObserve, Reason: "r", Issued: ended.Add(-day), Expires: ended}}}); err != nil {
			t.Fatal(err)
		}
	}
	left := func(want ...string) {
		t.Helper()
		for _, id := range want {
			if _, err := d.cat.GetDecision(ctx, id); err != nil {
				t.Errorf("%s: %v", id, err)
			}
		}
		if n, err := d.cat.CountVerdicts(ctx, catalog.VerdictQuery{}); err != nil || n != int64(len(want)) {
			t.Errorf("%d verdicts are left, wanted those of %v: %v", n, want, err)
		}
	}
	policy, err := sanction.New(sanction.Config{Hold: 30 * day})
	if err != nil {
		t.Fatal(err)
	}
	board := NewBoard(BoardOptions{Catalog: d.cat, Policy: policy, Log: quiet, Now: func() time.Time { return now }})
	forget := func(days retention.Keep) {
		t.Helper()
		if err := board.forget(ctx, days*retention.Keep(span.Day)); err != nil {
			t.Fatal(err)
		}
	}
	put("long", now.Add(-41*day))
	put("held", now.Add(-20*day))
	board.Forget(ctx, retention.Forever)
	left("long", "held")
	forget(40)
	left("held")
	put("again", now.Add(-41*day))
	now = now.Add(23 * time.Hour)
	forget(40)
	left("held", "again")
	now = now.Add(time.Hour)
	forget(10) // policy looks back for longer
	left("held")
	now = now.Add(-48 * time.Hour) // a clock that was ahead does not put it off
	put("clock", now.Add(-50*day))
	forget(40)
	left("held")

	// Another that has begun to lead goes on, and this one ends.
	put("led", now.Add(-50*day))
	now = now.Add(day)
	led, err := d.cat.Lead(ctx, "detector")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := d.cat.Lead(ctx, "detector"); err != nil {
		t.Fatal(err)
	}
	if err := board.forget(led, 40*retention.Keep(span.Day)); !errors.Is(err, catalog.ErrFenced) {
		t.Error(err)
	}
	left("held", "led")
	board.Forget(led, 40*retention.Keep(span.Day)) // returns

	ended, stop := context.WithCancel(ctx)
	time.AfterFunc(50*time.Millisecond, stop)
	board.Forget(ended, 40*retention.Keep(span.Day))
	left("held")
}
