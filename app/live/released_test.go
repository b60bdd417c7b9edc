package live

import (
	"fmt"
	"testing"
	"time"

	"github.com/palladium-guard/palladium"
	"github.com/palladium-guard/palladium/store/catalog"
)

// An Actor reads only who was let go since its last look, and knows the others as long as policy holds off: those that are dated before
// it looked too, and those of a catalog that was put back after an hour.
func TestReleasedSinceTheLastLook(t *testing.T) {
	d, ctx, now := newDesk(t, "a"), t.Context(), time.Date(2026, 5, 3, 12, 0, 0, 0, time.UTC)
	const hold = 90 * 24 * time.Hour
	free := func(account string, revoked time.Time) {
		t.Helper()
		_, err := d.cat.PutVerdicts(ctx, []catalog.Verdict{{State: catalog.StateRevoked, Automated: true, RevokedBy: "ana", RevokedAt: &revoked, Verdict: palladium.Verdict{
			ID: "v-" + account, Account: account, Measure: palladium.MeasureObserve, Reason: "r", Issued: revoked.Add(-time.Hour), Expires: revoked.Add(time.Hour)}}})
		if err != nil {
			t.Fatal(err)
		}
	}
	a := NewActor(d.board)
	look := func(want ...string) {
		t.Helper()
		e := &exempt{cat: d.cat, accounts: map[string]bool{}}
		if err := a.released(ctx, e, now, now.Add(-hold)); err != nil {
			t.Fatal(err)
		}
		for _, id := range want {
			if !e.accounts[id] {
				t.Errorf("%s is not let go", id)
			}
		}
		if len(e.accounts) != len(want) {
			t.Errorf("let go are %v, wanted %v", e.accounts, want)
		}
	}
	free("old", now.Add(-hold+time.Minute/2))
	look("old")
	free("missed", now.Add(-2*time.Hour)) // dated long before the last look: it is found when all are read again
	free("late", now.Add(-time.Minute))
	now = now.Add(time.Second)
	free("new", now)
	look("old", "late", "new")
	now = now.Add(time.Minute)
	look("late", "new")
	now = now.Add(time.Hour)
	look("late", "new", "missed")
	now = now.Add(hold)
	look()
}

// A look costs no more with what was revoked long ago.
func BenchmarkReleased(b *testing.B) {
	for _, old := range []int{0, 100_000} {
		b.Run(fmt.Sprintf("revoked=%d", old), func(b *testing.B) {
			cat, err := catalog.Open(b.Context(), catalog.Config{URL: b.TempDir() + "/c.db"}, quiet, true)
			if err != nil {
				b.Fatal(err)
			}
			defer cat.Close()
			now := time.Date(2026, 5, 3, 12, 0, 0, 0, time.UTC)
			var list []catalog.Verdict
			for i := range old {
				at := now.Add(-time.Duration(i) * time.Minute)
				by := []string{"ana", "policy:7", "policy:7", "policy:7"}[i%4]
				list = append(list, catalog.Verdict{State: catalog.StateRevoked, Automated: true, RevokedBy: by, RevokedAt: &at, Verdict: palladium.Verdict{
					ID: fmt.Sprint("v-", i), Account: fmt.Sprint("a-", i), Measure: palladium.MeasureObserve, Reason: "r", Issued: at.Add(-time.Hour), Expires: at.Add(time.Hour)}})
			}
			if _, err := cat.PutVerdicts(b.Context(), list); err != nil {
				b.Fatal(err)
			}
			a := NewActor(NewBoard(BoardOptions{Catalog: cat, Policy: nil, Log: quiet}))
			for b.Loop() {
				e := &exempt{cat: cat, accounts: map[string]bool{}}
				if err := a.released(b.Context(), e, now, now.Add(-90*24*time.Hour)); err != nil {
					b.Fatal(err)
				}
				now = now.Add(time.Millisecond)
			}
		})
	}
}
