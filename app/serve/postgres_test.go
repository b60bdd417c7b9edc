package serve

import (
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/palladium-guard/palladium"
)

// PostgreSQL under serve is killed and started again: requests keep their outcome, verdicts stay in force, health names the catalog
// where it is needed, decisions are refused meanwhile with an error that says why, and work after it is back.
func TestPostgresKilled(t *testing.T) {
	rounds := number("FLEET_KILLS", 0)
	if rounds == 0 {
		t.Skip("takes half a minute: make faults")
	}
	f := newFleet(t, "budget: {plans: {default: {per_minute: {requests: unlimited, tokens: unlimited}}}}\n")
	if f.postgres == nil {
		t.Skip("PostgreSQL is not installed")
	}
	f.begin("detector", "api", "gateway1")
	f.staff()
	f.campaigns(map[string][]int{"c-before": {0}, "c-decided": {fleetDecided}})
	f.analyst.want("/campaigns/c-before/decisions", draft(palladium.MeasureSuspend, time.Hour, nil), 201)
	f.all(time.Now(), 0, http.StatusForbidden)

	var asked atomic.Int64
	stop := make(chan struct{})
	var work sync.WaitGroup
	for account, want := range map[int]int{0: http.StatusForbidden, 1: http.StatusOK} {
		work.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				if got, says := f.ask(f.parts["gateway1"], account, chat, asked.Add(1)%2 == 0); got != want {
					t.Errorf("account %d is answered %d, not %d: %s", account, got, want, says)
				}
				time.Sleep(20 * time.Millisecond)
			}
		})
	}
	for range rounds {
		f.postgres.Kill()
		begun := time.Now()
		for _, name := range []string{"api", "detector"} {
			f.parts[name].until("the failure", func() bool {
				status, body := f.parts[name].ask("/readyz?verbose")
				return status == http.StatusServiceUnavailable && strings.Contains(body, `"name":"catalog","ok":false`)
			})
		}
		named := time.Since(begun)
		if status, body := f.parts["gateway1"].ask("/readyz"); status != http.StatusOK {
			t.Errorf("the gateway takes no traffic without the catalog: %s", body)
		}
		begun = time.Now()
		status, out := f.analyst.post("/campaigns/c-decided/decisions", draft(palladium.MeasureSuspend, time.Hour, nil))
		refused := time.Since(begun)
		if says, _ := out["detail"].(string); status != http.StatusServiceUnavailable || !strings.Contains(says, "the catalog's database cannot be reached") {
			t.Errorf("a decision without a catalog is answered %d: %v", status, out)
		}
		time.Sleep(time.Second)
		begun = time.Now()
		if err := f.postgres.Start(); err != nil {
			t.Fatal(err)
		}
		back := time.Now()
		var d map[string]any
		f.parts["api"].until("a decision", func() bool {
			status, d = f.analyst.post("/campaigns/c-decided/decisions", draft(palladium.MeasureSuspend, time.Hour, nil))
			return status == http.StatusCreated
		})
		f.all(time.Now(), fleetDecided, http.StatusForbidden)
		decided := time.Since(back)
		f.analyst.want("/decisions/"+d["id"].(string)+"/undo", map[string]any{"reason": "a mistake"}, 200)
		f.all(time.Now(), fleetDecided, http.StatusOK)
		for _, p := range f.parts {
			p.until("ready", p.ready)
		}
		t.Logf("health names the catalog after %v, a decision is refused after %v (%d: %v); PostgreSQL answers %v after its start, a decision is in force %v later", named.Round(time.Millisecond),
			refused.Round(time.Millisecond), http.StatusServiceUnavailable, out["detail"], back.Sub(begun).Round(time.Millisecond), decided.Round(time.Millisecond))
	}
	close(stop)
	work.Wait()
	t.Logf("%d requests kept their outcome over %d kills", asked.Load(), rounds)
}
