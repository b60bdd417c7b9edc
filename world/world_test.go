package world

import (
	"fmt"
	"testing"
	"time"

	"github.com/palladium-guard/palladium"
)

func small(t testing.TB, name string, n int) *World {
	t.Helper()
	s, ok := Preset(name)
	if !ok {
		t.Fatalf("no preset %q", name)
	}
	if n > 0 {
		s.Benign = Population(n)
	}
	w, err := New(s, OwnCorpus(7))
	if err != nil {
		t.Fatal(err)
	}
	return w
}

func TestSameSeedSameExchanges(t *testing.T) {
	run := func() (sum string, n int) {
		w := small(t, "demo", 400)
		for e := range w.Exchanges() {
			n++
			if n%97 == 0 {
				sum += fmt.Sprint(e.ID, e.Account, e.Time, e.Client, e.Model, e.Messages, e.Params, e.Outcome, e.Usage, e.Output)
			}
		}
		again := 0
		for range w.Exchanges() {
			again++
		}
		if again != n {
			t.Errorf("second run of one world has %d exchanges, the first %d", again, n)
		}
		return sum, n
	}
	a, n := run()
	b, m := run()
	if a != b || n != m {
		t.Errorf("two worlds of one seed differ (%d and %d exchanges)", n, m)
	}
}

func TestOrderIdsAndTruthAgree(t *testing.T) {
	for _, name := range []string{"demo", "persona", "probe", "grade", "negative-control"} {
		t.Run(name, func(t *testing.T) {
			w := small(t, name, 400)
			var last time.Time
			ids := map[string]bool{}
			drawn := map[string]int64{}
			harvest := int64(0)
			for e, mark := range w.Marked() {
				if e.Time.Before(last) {
					t.Fatalf("exchange %s at %v after one at %v", e.ID, e.Time, last)
				}
				last = e.Time
				if ids[e.ID] {
					t.Fatalf("id %s twice", e.ID)
				}
				ids[e.ID] = true
				drawn[e.Account]++
				if mark.Harvest {
					harvest++
				}
				check(t, e)
			}
			truth := w.Truth()
			if truth.Exchanges != int64(len(ids)) {
				t.Errorf("truth has %d exchanges, the stream %d", truth.Exchanges, len(ids))
			}
			for _, a := range truth.Accounts {
				if a.Exchanges != drawn[a.ID] {
					t.Errorf("account %s: truth %d, stream %d", a.ID, a.Exchanges, drawn[a.ID])
				}
				if (a.Class == ClassCampaign) != (a.Campaign != "") {
					t.Errorf("account %s of class %s has campaign %q", a.ID, a.Class, a.Campaign)
				}
			}
			var sum int64
			for _, c := range truth.Campaigns {
				sum += c.Harvest
				if got := c.HarvestBefore(last.Add(time.Hour), truth.Start, truth.Step); got != c.Harvest {
					t.Errorf("timeline holds %d of %d", got, c.Harvest)
				}
			}
			if sum != harvest || harvest == 0 {
				t.Errorf("harvest of truth %d, of the stream %d", sum, harvest)
			}
		})
	}
}

func check(t *testing.T, e *palladium.Exchange) {
	t.Helper()
	if e.ID == "" || e.Account == "" || e.Time.IsZero() || len(e.Messages) == 0 || e.Model == "" {
		t.Fatalf("incomplete exchange %+v", e)
	}
	for i, m := range e.Messages {
		if want := []string{"user", "assistant"}[i%2]; m.Role != want || m.Text == "" {
			t.Fatalf("message %d of %s is %q by %s", i, e.ID, m.Text, m.Role)
		}
	}
}

func TestDemoHasEveryClass(t *testing.T) {
	w := small(t, "demo", 0)
	have := map[Class]int64{}
	accounts := 0
	for _, a := range w.Truth().Accounts {
		have[a.Class] += a.Exchanges
		accounts++
	}
	for _, c := range append(HardNegatives(), ClassPerson, ClassApp, ClassCampaign) {
		if have[c] == 0 {
			t.Errorf("no exchange of class %s", c)
		}
	}
	t.Logf("%d accounts, exchanges by class %v", accounts, have)
}

func TestEveryPresetPlays(t *testing.T) {
	c := OwnCorpus(7)
	for _, name := range Presets() {
		s, _ := Preset(name)
		s.Benign, s.Days, s.Release = Population(200), 6, 4
		for i := range s.Campaigns {
			s.Campaigns[i].Accounts = min(150, s.Campaigns[i].Accounts)
		}
		w, err := New(s, c)
		if err != nil {
			t.Fatal(err)
		}
		truth := w.Truth()
		if mean := float64(truth.Exchanges) / float64(len(truth.Accounts)); mean < 4 || mean > 200 {
			t.Errorf("%s: %.1f exchanges per account", name, mean)
		}
		for _, c := range truth.Campaigns {
			want := c.Spec.Rate * float64(c.Spec.Accounts) * (6 - c.Spec.Start)
			if got := float64(c.Harvest + c.Camouflage); got < want*0.6 || got > want*1.6 {
				t.Errorf("%s: campaign drew %.0f exchanges, its rate says %.0f", name, got, want)
			}
			if share := float64(c.Camouflage) / float64(c.Harvest+c.Camouflage); share < c.Spec.Camouflage-0.15 || share > c.Spec.Camouflage+0.15 {
				t.Errorf("%s: %.2f of its exchanges are camouflage, asked for %.2f", name, share, c.Spec.Camouflage)
			}
		}
	}
}

func BenchmarkStream(b *testing.B) {
	s, _ := Preset("template")
	s.Benign = Population(20000)
	c := OwnCorpus(1)
	b.ReportAllocs()
	total, accounts := 0, 0
	for b.Loop() {
		w, err := New(s, c)
		if err != nil {
			b.Fatal(err)
		}
		for range w.Exchanges() {
			total++
		}
		accounts += len(w.accounts)
	}
	b.ReportMetric(float64(total)/b.Elapsed().Seconds(), "exchanges/s")
	b.ReportMetric(float64(total)/float64(accounts), "exchanges/account")
}
