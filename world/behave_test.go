package world

import (
	"math"
	"strings"
	"testing"
	"time"

	"github.com/palladium-guard/palladium"
)

// play streams a preset with little honest traffic, changed by change.
func play(t *testing.T, change func(s *Scenario, c *CampaignSpec), see func(e *palladium.Exchange, m Mark)) *Truth {
	t.Helper()
	s, _ := Preset("template")
	s.Benign, s.Days = Population(120), 8
	change(&s, &s.Campaigns[0])
	w, err := New(s, OwnCorpus(5))
	if err != nil {
		t.Fatal(err)
	}
	for e, m := range w.Marked() {
		see(e, m)
	}
	return w.Truth()
}

func TestSchedulersLeaveTheirLoads(t *testing.T) {
	for _, c := range []struct {
		scheduler string
		lo, hi    float64 // variance over mean of the accounts' counts
	}{{SchedulerLRU, 0, 0.3}, {SchedulerRandom, 0.6, 1.6}, {SchedulerQuota, 3, 500}, {SchedulerIndependent, 1.5, 1000}} {
		counts := map[string]float64{}
		play(t, func(_ *Scenario, s *CampaignSpec) { s.Scheduler, s.Failover, s.Jitter = c.scheduler, 0, time.Minute },
			func(e *palladium.Exchange, m Mark) {
				if m.Campaign >= 0 {
					counts[e.Account]++
				}
			})
		n, sum, squares := float64(len(counts)), 0.0, 0.0
		for _, k := range counts {
			sum, squares = sum+k, squares+k*k
		}
		mean := sum / n
		if ratio := (squares/n - mean*mean) / mean; ratio < c.lo || ratio > c.hi {
			t.Errorf("%s: variance over mean of loads is %.2f, want %.1f to %.1f (mean %.0f)", c.scheduler, ratio, c.lo, c.hi, mean)
		}
	}
}

func TestQueueIsDealtOutWithoutRepeats(t *testing.T) {
	seen, repeats, n := map[string]bool{}, 0, 0
	play(t, func(_ *Scenario, s *CampaignSpec) {
		s.Text, s.Cues, s.Accounts, s.Rate, s.Failover = TextQueue, false, 40, 12, 0
	}, func(e *palladium.Exchange, m Mark) {
		if m.Harvest && e.Outcome.Status == 200 {
			n++
			if text := e.Messages[0].Text; seen[text] {
				repeats++
			} else {
				seen[text] = true
			}
		}
	})
	if n < 2000 || repeats > n/100 {
		t.Errorf("%d repeats in %d", repeats, n)
	}
}

func TestEvaluatorsCollide(t *testing.T) {
	owner, collisions := map[string]string{}, 0
	c := OwnCorpus(5)
	s := Scenario{Name: "x", Days: 8, Seed: 1, Benign: Benign{Groups: map[Class]int{ClassEvaluator: 6}}}
	w, err := New(s, c)
	if err != nil {
		t.Fatal(err)
	}
	for e := range w.Exchanges() {
		text := e.Messages[0].Text
		if o := owner[text]; o != "" && o != e.Account {
			collisions++
		}
		owner[text] = e.Account
	}
	if collisions < 10 {
		t.Errorf("%d collisions between independent evaluators", collisions)
	}
}

func TestConversationsMoveBetweenAccountsOfAFleet(t *testing.T) {
	answered, moved, echoed := map[string]string{}, 0, 0
	play(t, func(s *Scenario, c *CampaignSpec) {
		s.Style.Outputs, c.MultiTurn, c.Failover, c.Grade, c.Text = 1, 0.4, 0.05, 0.2, TextGenerated
	}, func(e *palladium.Exchange, m Mark) {
		if m.Campaign < 0 {
			return
		}
		for i, x := range e.Messages {
			if o := answered[x.Text]; x.Role == "assistant" && o != "" && o != e.Account {
				moved++
			}
			if at := strings.Index(x.Text, "\nAnswer: "); at >= 0 && i == 0 {
				quoted := strings.TrimSuffix(x.Text[at+9:], "\nScore:")
				if o := answered[quoted]; o != "" && o != e.Account {
					echoed++
				}
			}
		}
		if e.Output != "" {
			answered[e.Output] = e.Account
		}
	})
	if moved < 50 || echoed < 200 {
		t.Errorf("%d continued by another account, %d answers graded by another account", moved, echoed)
	}
}

func TestOnlyFleetsContinueForeignConversations(t *testing.T) {
	answered := map[string]string{}
	class := map[string]Class{}
	s, _ := Preset("quiet")
	s.Benign, s.Days, s.Style.Outputs = Population(1500), 6, 1
	w, err := New(s, OwnCorpus(5))
	if err != nil {
		t.Fatal(err)
	}
	for _, a := range w.truths {
		class[a.ID] = a.Class
	}
	for e := range w.Exchanges() {
		for _, x := range e.Messages {
			if o := answered[x.Text]; x.Role == "assistant" && o != "" && o != e.Account && class[e.Account] == ClassPerson {
				t.Fatalf("person %s continues a conversation of %s (%s)", e.Account, o, class[o])
			}
		}
		if len(e.Output) > 200 {
			answered[e.Output] = e.Account
		}
	}
}

func TestProbeSweepsTheVocabulary(t *testing.T) {
	tokens, probes := map[uint32]bool{}, 0
	play(t, func(_ *Scenario, s *CampaignSpec) { s.Probe, s.Accounts, s.Rate = 1, 20, 60 },
		func(e *palladium.Exchange, m Mark) {
			if !m.Harvest {
				return
			}
			if e.Params.Has&palladium.HasLogitBias != 0 && e.Params.MaxTokens == 1 {
				probes++
			}
			for _, b := range e.Params.LogitBias {
				tokens[b.Token] = true
			}
		})
	if probes < 5000 || len(tokens) < 3*probes {
		t.Errorf("%d probes of %d tokens", probes, len(tokens))
	}
}

func TestPivotMovesTheCampaignWithinADay(t *testing.T) {
	var before, after, atOnce float64
	play(t, func(s *Scenario, c *CampaignSpec) { s.Release, c.Pivot = 5, true }, func(e *palladium.Exchange, m Mark) {
		since := e.Time.Sub(defaultStart().Add(5 * 24 * time.Hour)).Hours()
		if m.Campaign < 0 {
			return
		}
		switch fresh := e.Model == newModel; {
		case since < 0 && fresh:
			before++
		case since > 23 && since < 25:
			after++
			if fresh {
				atOnce++
			}
		}
	})
	if before > 0 || atOnce/after < 0.45 || atOnce/after > 0.9 {
		t.Errorf("%.0f before the release; %.0f of %.0f a day after it", before, atOnce, after)
	}
}

// A negative control must be drawn as people are: its moments agree with theirs.
func TestNegativeControlIsDrawnAsPeopleAre(t *testing.T) {
	type moments struct{ n, length, turns, night, cloud, tokens float64 }
	var people, control moments
	s, _ := Preset("negative-control")
	s.Benign, s.Days = Benign{People: 3000}, 10
	s.Campaigns[0].Accounts = 600
	w, err := New(s, OwnCorpus(5))
	if err != nil {
		t.Fatal(err)
	}
	for e, m := range w.Marked() {
		x := &people
		if m.Campaign >= 0 {
			x = &control
		}
		x.n++
		x.length += float64(len(e.Messages[len(e.Messages)-1].Text))
		x.turns += float64(len(e.Messages))
		x.tokens += float64(e.Usage.Output)
		if e.Time.Hour() < 12 {
			x.night++
		}
		if strings.HasPrefix(e.Client.IP, "172.") {
			x.cloud++
		}
	}
	for _, c := range []struct {
		name string
		a, b float64
		tol  float64
	}{{"prompt length", people.length / people.n, control.length / control.n, 0.1}, {"messages", people.turns / people.n, control.turns / control.n, 0.1},
		{"share before noon", people.night / people.n, control.night / control.n, 0.1}, {"output tokens", people.tokens / people.n, control.tokens / control.n, 0.1}} {
		if math.Abs(c.a-c.b) > c.tol*c.a {
			t.Errorf("%s: people %.2f, control %.2f", c.name, c.a, c.b)
		}
	}
}

func TestStyleDecidesWhatIsLogged(t *testing.T) {
	dark := Style{Rate: 1, Spread: 1, Length: 1}
	play(t, func(s *Scenario, _ *CampaignSpec) { s.Style = dark }, func(e *palladium.Exchange, _ Mark) {
		if e.Client != (palladium.Client{}) || e.Usage != (palladium.Usage{}) || e.Output != "" || e.Credential != "" {
			t.Fatalf("logged although the style says no: %+v %+v", e.Client, e.Usage)
		}
	})
	s, _ := Preset("demo")
	s.Benign, s.Style = Population(200), dark
	w, err := New(s, OwnCorpus(1))
	if err != nil {
		t.Fatal(err)
	}
	for a := range w.Accounts() {
		t.Fatalf("account record %s although there are none", a.ID)
	}
}

func TestDecodeIsStrict(t *testing.T) {
	good := "name: mine\nseed: 7\ndays: 3\nbenign: {people: 50, groups: {cohort: 1}}\ncampaigns:\n- {accounts: 20, rate: 5, text: generated, jitter: 1h, camouflage: 0.5, cover: persona}\nstyle: {tls: false}\n"
	s, err := Decode(strings.NewReader(good))
	if err != nil || s.Campaigns[0].Jitter != time.Hour || s.Style.TLS || !s.Style.Usage || s.Campaigns[0].Scheduler != SchedulerLRU {
		t.Fatalf("%v %+v", err, s)
	}
	if w, err := New(s, OwnCorpus(1)); err != nil || w.Truth().Exchanges == 0 {
		t.Errorf("decoded scenario does not play: %v", err)
	}
	for _, bad := range []string{"nmae: x", "days: -1", "days: 3\ncampaigns: [{accounts: 5}]", "days: 3\ncampaigns: [{accounts: 5, rate: 1, text: novel}]",
		"benign: {groups: {aliens: 1}}", "days: 3\ncampaigns: [{accounts: 5, rate: 1, camouflage: 1}]", "seed: many",
		"days: 3\ncampaigns: [{accounts: 5, rate: 1, scheduler: independent, camouflage: 0.5}]",
		"days: 3\ncampaigns: [{accounts: 5, rate: 1, rotate: -1}]", "days: 3\ncampaigns: [{accounts: 5, rate: 1, rotate: 0.1, cover: persona}]"} {
		if _, err := Decode(strings.NewReader(bad)); err == nil {
			t.Errorf("accepted %q", bad)
		}
	}
}

func FuzzDecode(f *testing.F) {
	f.Add("name: x\ndays: 2\ncampaigns: [{accounts: 5, rate: 1}]")
	f.Fuzz(func(_ *testing.T, in string) { _, _ = Decode(strings.NewReader(in)) })
}

func TestRandomScenariosPlay(t *testing.T) {
	c := OwnCorpus(9)
	for seed := range uint64(40) {
		spec := RandomCampaign(seed)
		spec.Accounts, spec.Start = min(spec.Accounts, 40), 0.5
		s := Scenario{Name: "random", Seed: seed, Days: 2, Benign: Population(60), Style: RandomStyle(seed), Campaigns: []CampaignSpec{spec}}
		w, err := New(s, c)
		if err != nil {
			t.Fatalf("seed %d: %v", seed, err)
		}
		if truth := w.Truth(); truth.Campaigns[0].Harvest == 0 {
			t.Errorf("seed %d: nothing harvested by %+v", seed, spec)
		}
	}
}

func TestSweepIsALatinHypercube(t *testing.T) {
	const n = 40
	texts, accounts := map[string]int{}, map[int]int{}
	for _, c := range Sweep(n, 3) {
		texts[c.Text]++
		accounts[int(math.Log(float64(c.Accounts)/30+1e-9)/math.Log(20)*4)]++
	}
	for text, k := range texts {
		if k != n/4 {
			t.Errorf("%d campaigns of %s, want %d", k, text, n/4)
		}
	}
	for part, k := range accounts {
		if k < n/4-2 || k > n/4+2 {
			t.Errorf("%d campaigns in quarter %d of the sizes, want %d", k, part, n/4)
		}
	}
	s := RandomScenario(5, 400, 4)
	sum := 0
	for _, c := range s.Campaigns {
		sum += c.Accounts
	}
	if sum > 100 || len(s.Campaigns) == 0 {
		t.Errorf("%d hostile accounts of 400 honest ones", sum)
	}
}

func TestAccountsRotate(t *testing.T) {
	first, last := map[string]time.Time{}, map[string]time.Time{}
	var begun time.Time
	truth := play(t, func(s *Scenario, c *CampaignSpec) {
		s.Days, c.Start, c.Accounts, c.Rate, c.Failover, c.Rotate = 8, 1, 20, 30, 0, 0.25
	}, func(e *palladium.Exchange, m Mark) {
		if m.Campaign < 0 {
			return
		}
		if begun.IsZero() {
			begun = e.Time
		}
		if first[e.Account].IsZero() {
			first[e.Account] = e.Time
		}
		last[e.Account] = e.Time
	})
	if n := len(truth.Campaigns[0].Accounts); n != 20+34 { // five a day for seven days, the last of them at the end
		t.Fatalf("%d accounts", n)
	}
	given, fresh := 0, 0
	for id, at := range first {
		if at.Sub(begun) > 4*time.Hour {
			fresh++
		}
		if truth.Start.Add(8*24*time.Hour).Sub(last[id]) > 12*time.Hour {
			given++
		}
	}
	if fresh < 32 || given < 30 {
		t.Errorf("%d accounts came later, %d were given up", fresh, given)
	}
}
