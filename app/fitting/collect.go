package fitting

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"fmt"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/palladium-guard/palladium"
	"github.com/palladium-guard/palladium/app"
	"github.com/palladium-guard/palladium/internal/stats"
	"github.com/palladium-guard/palladium/rules"
	"github.com/palladium-guard/palladium/traffic/extraction"
	"github.com/palladium-guard/palladium/traffic/judge"
	"github.com/palladium-guard/palladium/traffic/measure"
	"github.com/palladium-guard/palladium/world"
)

// Row is one group of accounts as the detector saw it at one time, with the truth.
type Row struct {
	World    uint64              `json:"world"` // seed
	Group    string              `json:"group"` // id, unique in its world
	Day      float64             `json:"day"`   // days since the start of the world
	Hostile  bool                `json:"hostile"`
	Class    string              `json:"class"`          // the campaign's id, or the class of most of the honest accounts
	Spec     string              `json:"spec,omitempty"` // what the campaign does, in words
	Accounts int                 `json:"accounts"`
	Eligible bool                `json:"eligible"` // passes the other conditions for review: only these are ever judged by the score
	Features extraction.Features `json:"-"`        // a row of a file has them under "features", null for NaN
}

const (
	minAccounts  = 6   // smaller groups are never reported
	maxAccounts  = 250 // of a campaign; beyond, the feature size is clipped anyway
	campaigns    = 3   // random ones, in each world
	days         = 8
	firstLook    = 12 * time.Hour
	betweenLooks = 24 * time.Hour
	// Groups with a share of hostile accounts in between are neither one thing nor the other, and left out.
	mostlyHonest, mostlyHostile = 0.2, 0.8
)

// rulebook is what all detectors share. It is read only.
type rulebook struct {
	cues    *measure.Cues
	policy  *judge.Policy
	weights extraction.Weights
	real    *world.Corpus // nil without data
}

// Collect plays the worlds and returns the rows in the order of the seeds. Worlds with even seeds are made of half 0 of
// the data, those with odd seeds, and all when there are no data, of text that their seed makes up.
func Collect(ctx context.Context, opt Options) ([]Row, error) {
	if err := opt.fill(); err != nil {
		return nil, err
	}
	book, err := openRules(&opt)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	parts := make([][]Row, opt.Worlds)
	var next, done atomic.Int64
	var wg sync.WaitGroup
	var mu sync.Mutex // of Progress
	for range opt.Workers {
		wg.Go(func() {
			for i := next.Add(1) - 1; int(i) < opt.Worlds && ctx.Err() == nil; i = next.Add(1) - 1 {
				began, seed := time.Now(), opt.First+uint64(i)
				rows, exchanges, err := book.play(ctx, seed, opt.Size)
				if err != nil {
					cancel(fmt.Errorf("play world %d: %w", seed, err))
					return
				}
				parts[i] = rows
				if opt.Progress != nil {
					mu.Lock()
					fmt.Fprintf(opt.Progress, "%d/%d world %d: %d exchanges, %d rows in %s\n", done.Add(1), opt.Worlds, seed, exchanges, len(rows), time.Since(began).Round(100*time.Millisecond))
					mu.Unlock()
				}
			}
		})
	}
	wg.Wait()
	return slices.Concat(parts...), context.Cause(ctx)
}

// openRules reads the rules that the binary carries and the data. The weights that are in use decide how often a group
// is looked at and which groups serve as references, but enter no feature.
func openRules(opt *Options) (*rulebook, error) {
	var b rulebook
	var err error
	if b.cues, err = measure.ParseCues(bytes.NewReader(rules.Cues())); err != nil {
		return nil, fmt.Errorf("read the cues that the binary carries: %w", err)
	}
	if b.policy, err = judge.Load(rules.Policy()); err != nil {
		return nil, fmt.Errorf("read the policy that the binary carries: %w", err)
	}
	if b.weights, err = extraction.ParseWeights(rules.Extraction()); err != nil {
		return nil, err
	}
	if opt.Data != nil {
		if b.real, err = world.LoadCorpus(opt.Data, 0); err != nil {
			return nil, fmt.Errorf("load the texts to fit on, leave the data out to have them made up: %w", err)
		}
	}
	return &b, nil
}

// scenario draws the world of a seed: an operator's habits, an honest population, three random campaigns, and in every
// third pair of worlds one more that sweeps the vocabulary, as random campaigns do not: the way of Carlini et al. 2024,
// "Stealing part of a production language model", section 4.
func scenario(seed uint64, size int) world.Scenario {
	s := world.Scenario{Name: "fit", Seed: seed, Days: days, Release: days / 2, Benign: world.Population(size), Style: world.RandomStyle(seed)}
	for i := range uint64(campaigns) {
		c := world.RandomCampaign(seed*100 + i)
		c.Accounts, c.Start = min(c.Accounts, maxAccounts, size/8), float64(i)
		s.Campaigns = append(s.Campaigns, c)
	}
	if seed/2%3 == 0 {
		r := stats.Rand(seed, 0x9406e)
		c := world.RandomCampaign(seed*100 + campaigns)
		c.Accounts, c.Start, c.Probe, c.Rate, c.Camouflage = min(30+r.IntN(121), size/8), 4*r.Float64(), 0.9, 30+30*r.Float64(), 0
		s.Campaigns = append(s.Campaigns, c)
	}
	return s
}

// play plays one world and returns its rows and how many exchanges it had.
func (b *rulebook) play(ctx context.Context, seed uint64, size int) ([]Row, int, error) {
	corpus := b.real
	if corpus == nil || seed%2 == 1 {
		corpus = world.OwnCorpus(seed)
	}
	w, err := world.New(scenario(seed, size), corpus)
	if err != nil {
		return nil, 0, err
	}
	m := measure.New(sha256.Sum256([]byte(fmt.Sprintf("fitting key %d", seed))), b.cues)
	d := app.NewDetector(app.DetectorOptions{Hash: m.Hash, Policy: b.policy, Weights: b.weights, RecallBits: 20})
	for a := range w.Accounts() {
		d.Describe(a)
	}
	truth := w.Truth()
	c := census{seed: seed, start: truth.Start, detector: d, of: map[string]*world.AccountTruth{}, spec: map[string]string{}}
	for i := range truth.Accounts {
		c.of[truth.Accounts[i].ID] = &truth.Accounts[i]
	}
	for i := range truth.Campaigns {
		c.spec[truth.Campaigns[i].ID] = describe(&truth.Campaigns[i].Spec)
	}
	var obs palladium.Observation
	var next, now time.Time
	n := 0
	for e := range w.Exchanges() {
		if n++; n&4095 == 0 && ctx.Err() != nil {
			return nil, n, context.Cause(ctx)
		}
		m.Measure(e, &obs)
		d.Observe(&obs)
		now = e.Time
		if next.IsZero() {
			next = now.Add(firstLook)
		}
		if now.After(next) {
			c.take(now)
			next = next.Add(betweenLooks)
		}
	}
	d.Report(0)
	c.take(now)
	return c.rows, n, nil
}

// census takes rows of one world.
type census struct {
	seed     uint64
	start    time.Time
	detector *app.Detector
	of       map[string]*world.AccountTruth
	spec     map[string]string // by campaign
	rows     []Row
}

// take adds a row for each group there is.
func (c *census) take(now time.Time) {
	for _, g := range c.detector.Tracker().Groups() {
		ids, _ := g.Members()
		if len(ids) < minAccounts {
			continue
		}
		of := [2]map[string]int{{}, {}} // honest accounts by class, hostile ones by campaign
		n := 0
		for _, a := range ids {
			if t := c.of[c.detector.Index().Name(a)]; t.Campaign != "" {
				of[1][t.Campaign]++
				n++
			} else {
				of[0][string(t.Class)]++
			}
		}
		share := float64(n) / float64(len(ids))
		if share > mostlyHonest && share < mostlyHostile {
			continue
		}
		f := g.Facts(c.detector.Index())
		r := Row{World: c.seed, Group: g.ID, Day: now.Sub(c.start).Hours() / 24, Hostile: share >= mostlyHostile, Accounts: len(ids),
			Eligible: f.OperatorRejected && f.Keys >= 2 && f.Vouched < 0.5, Features: extraction.Features(g.Features())}
		count := of[0]
		if r.Hostile {
			count = of[1]
		}
		r.Class = slices.MinFunc(slices.Collect(maps.Keys(count)), byCount(count))
		r.Spec = c.spec[r.Class]
		c.rows = append(c.rows, r)
	}
}

// byCount orders keys by their count, the highest first, and then by name.
func byCount(count map[string]int) func(a, b string) int {
	return func(a, b string) int { return cmp.Or(cmp.Compare(count[b], count[a]), cmp.Compare(a, b)) }
}

// describe puts what a campaign does in a line.
func describe(s *world.CampaignSpec) string {
	return fmt.Sprintf("%s, camouflage %.1f (%s), %s, network %s, identity %s, age %s, cues %t, narrow %t, probes %.1f",
		s.Text, s.Camouflage, s.Cover, s.Scheduler, s.Network, s.Identity, s.Age, s.Cues, s.Narrow, s.Probe)
}
