package contain

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"os"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/palladium-guard/palladium/traffic/sanction"
	"github.com/palladium-guard/palladium/world"
)

// tactic is one kind of campaign in the demo's world of 2,000 honest accounts and ten days.
type tactic struct {
	name   string
	change func(c *world.CampaignSpec)
}

func tactics() []tactic {
	set := func(camouflage, rotate float64) func(c *world.CampaignSpec) {
		return func(c *world.CampaignSpec) { c.Camouflage, c.Rotate = camouflage, rotate }
	}
	return []tactic{
		{"camouflage 20 %", set(0.2, 0)},
		{"camouflage 30 % (the demo)", set(0.3, 0)},
		{"camouflage 50 %", set(0.5, 0)},
		{"camouflage 20 %, 5 % of the accounts replaced a day", set(0.2, 0.05)},
		{"camouflage 20 %, 10 % of the accounts replaced a day", set(0.2, 0.1)},
		{"camouflage 50 %, 10 % of the accounts replaced a day", set(0.5, 0.1)},
		{"camouflage 20 %, no wording in common, homes", func(c *world.CampaignSpec) {
			c.Camouflage, c.Text, c.Cues, c.Network = 0.2, world.TextGenerated, false, world.NetworkSticky
		}},
		{"camouflage 20 %, reworded, unequal shares, one address pool", func(c *world.CampaignSpec) {
			c.Camouflage, c.Text, c.Scheduler, c.Network, c.Jitter = 0.2, world.TextParaphrased, world.SchedulerQuota, world.NetworkShared, 10*time.Minute
		}},
	}
}

// TestContain plays campaigns with the default measures enforced. `make contain` prints what they got, and by which gap. It fails
// where an honest account is touched, and not where more than Target got through, which the table tells.
//
// CONTAIN_SEEDS=FROM-TO and CONTAIN_TACTICS=REGEXP choose what is played, CONTAIN_EVERY=TIME how often is looked, and
// CONTAIN_OUT=FILE takes the tables.
func TestContain(t *testing.T) {
	if os.Getenv("CONTAIN") == "" {
		t.Skip("takes ten minutes and more: set CONTAIN=1, or run make contain")
	}
	from, to := uint64(101), uint64(110)
	if s := os.Getenv("CONTAIN_SEEDS"); s != "" {
		if _, err := fmt.Sscanf(s, "%d-%d", &from, &to); err != nil {
			t.Fatalf("CONTAIN_SEEDS=%q: write two numbers, 101-110: %v", s, err)
		}
	}
	every, err := time.ParseDuration(cmp.Or(os.Getenv("CONTAIN_EVERY"), "1h"))
	if err != nil {
		t.Fatal(err)
	}
	some, err := regexp.Compile(os.Getenv("CONTAIN_TACTICS"))
	if err != nil {
		t.Fatal(err)
	}
	var cells []Cell
	var each bytes.Buffer
	for _, k := range tactics() {
		if !some.MatchString(k.name) {
			continue
		}
		cell := Cell{Name: k.name, Runs: playAll(t, k, from, to, every)}
		fmt.Fprintf(&each, "%s\n\n| seed | act after | accounts under measures | got, %% | %s | allowances | honest |\n|%s\n", k.name, join(), strings.Repeat("---|", 6+int(causes)))
		for i, o := range cell.Runs {
			if err := WriteCampaigns(&each, from+uint64(i), o); err != nil {
				t.Fatal(err)
			}
		}
		each.WriteString("\n")
		cells = append(cells, cell)
		if n, cut := cell.Honest(); n > 0 || cut > 0 {
			t.Errorf("%s: %d honest accounts under a measure, %d of their requests cut", k.name, n, cut)
		}
	}
	var text bytes.Buffer
	if err := WriteCells(&text, cells); err != nil {
		t.Fatal(err)
	}
	fmt.Fprintf(&text, "\n%s", each.String())
	t.Logf("seeds %d to %d, a look every %s\n%s", from, to, every, text.String())
	if name := os.Getenv("CONTAIN_OUT"); name != "" {
		if err := os.WriteFile(name, text.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

func join() string {
	var names []string
	for _, c := range Causes() {
		names = append(names, c.String())
	}
	return strings.Join(names, " | ")
}

// workers is how many worlds are played at a time.
const workers = 4

// playAll plays the tactic with each seed.
func playAll(t *testing.T, k tactic, from, to uint64, every time.Duration) []*Outcome {
	t.Helper()
	out := make([]*Outcome, to-from+1)
	turn := make(chan struct{}, workers)
	var all sync.WaitGroup
	for i := range out {
		turn <- struct{}{}
		all.Go(func() {
			defer func() { <-turn }()
			s, _ := world.Preset("demo")
			s.Seed = from + uint64(i)
			k.change(&s.Campaigns[0])
			o, err := Play(context.Background(), Options{World: s, Policy: sanction.Config{Mode: sanction.Enforce}, Every: every, Dir: t.TempDir()})
			if err != nil {
				t.Error(err)
				o = &Outcome{}
			}
			out[i] = o
			var line bytes.Buffer
			if err := WriteCampaigns(&line, s.Seed, o); err != nil {
				t.Error(err)
			}
			t.Logf("%s: %s", k.name, line.String())
		})
	}
	all.Wait()
	return out
}
