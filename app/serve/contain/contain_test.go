package contain

import (
	"context"
	"os"
	"testing"
	"time"

	"github.com/palladium-guard/palladium/traffic/sanction"
	"github.com/palladium-guard/palladium/world"
)

// The demo's world with the default measures enforced: what is drawn by accounts under the measure stays below a
// hundredth of what they would have drawn, and nobody else is touched. `make contain` prints the figures.
func TestContain(t *testing.T) {
	if os.Getenv("CONTAIN") == "" {
		t.Skip("takes a minute: set CONTAIN=1, or run make contain")
	}
	for seed := range uint64(3) {
		s, _ := world.Preset("demo")
		s.Seed = seed + 1
		out, err := Play(context.Background(), Options{World: s, Policy: sanction.Config{Mode: sanction.Enforce}, Dir: t.TempDir()})
		if err != nil {
			t.Fatal(err)
		}
		for i := range out.Campaigns {
			c := &out.Campaigns[i]
			under := float64(c.Got-c.Outside) / float64(c.Draw)
			t.Logf("seed %d, %s: %d accounts, act %s after its first request; then %.2f %% of what shadow mode lets through, %.2f %% of it by accounts under a measure",
				s.Seed, c.ID, c.Accounts, c.Act.Sub(c.Begun).Round(time.Minute), 100*c.Leak(), 100*under)
			if c.Act.IsZero() || under > 0.01 {
				t.Errorf("seed %d, %s is not contained: %+v", s.Seed, c.ID, *c)
			}
		}
		if out.Honest > 0 || out.Refused > 0 {
			t.Errorf("seed %d: %d honest accounts under a measure, %d of their requests cut", s.Seed, out.Honest, out.Refused)
		}
	}
}
