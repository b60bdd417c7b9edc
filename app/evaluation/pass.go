package evaluation

import (
	"bytes"
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/palladium-guard/palladium"
	"github.com/palladium-guard/palladium/app"
	"github.com/palladium-guard/palladium/rules"
	"github.com/palladium-guard/palladium/traffic/extraction"
	"github.com/palladium-guard/palladium/traffic/judge"
	"github.com/palladium-guard/palladium/traffic/measure"
	"github.com/palladium-guard/palladium/world"
	"github.com/palladium-guard/palladium/world/baseline"
	"github.com/palladium-guard/palladium/world/score"
)

// settings are what all detectors of an evaluation share. They are read only.
type settings struct {
	cues    *measure.Cues
	policy  *judge.Policy
	weights extraction.Weights
	corpus  *world.Corpus
	hosting func(asn uint32) bool
}

func newSettings(opt *Options) (*settings, error) {
	s := &settings{}
	var err error
	if s.cues, err = measure.ParseCues(bytes.NewReader(rules.Cues())); err != nil {
		return nil, fmt.Errorf("read the cues that the binary carries: %w", err)
	}
	if s.policy, err = judge.Load(rules.Policy()); err != nil {
		return nil, fmt.Errorf("read the policy that the binary carries: %w", err)
	}
	if s.weights, err = extraction.ParseWeights(rules.Extraction()); err != nil {
		return nil, fmt.Errorf("read the weights that the binary carries: %w", err)
	}
	if s.corpus, err = opt.corpus(); err != nil {
		return nil, err
	}
	s.hosting, err = opt.hosting()
	return s, err
}

// outcome is what came out of one world.
type outcome struct {
	play
	full, bare *score.Scores // bare: without identity and network; nil when that was not asked for
	groups     []group       // of the full detector, at the end
	bareGroups []group
	baselines  []baselineResult // nil when that was not asked for
	exchanges  int64
	wall       time.Duration
	notes      string // for Verbose
}

// baselineResult is how one baseline did on one world.
type baselineResult struct {
	name string
	baseline.Quality
}

// playAll plays the worlds, opt.Workers at a time, and returns what came out in the order of the plan. The first error
// ends all.
func playAll(ctx context.Context, opt *Options, set *settings, plan []play) ([]outcome, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	out := make([]outcome, len(plan))
	next := make(chan int)
	var wg sync.WaitGroup
	var mu sync.Mutex
	done := 0
	for range opt.Workers {
		wg.Add(1)
		go func() {
			defer wg.Done()
			for i := range next {
				o, err := run(ctx, opt, set, plan[i])
				if err != nil {
					cancel(err)
					return
				}
				out[i] = *o
				mu.Lock()
				done++
				tell(opt, o, done, len(plan))
				mu.Unlock()
			}
		}()
	}
	for i := range plan {
		select {
		case next <- i:
		case <-ctx.Done():
		}
	}
	close(next)
	wg.Wait()
	return out, context.Cause(ctx)
}

func tell(opt *Options, o *outcome, done, of int) {
	if opt.Progress != nil {
		fmt.Fprintf(opt.Progress, "%d/%d %s: %d exchanges in %s\n", done, of, o.scenario.Name, o.exchanges, o.wall.Round(100*time.Millisecond))
	}
	if opt.Verbose != nil {
		fmt.Fprint(opt.Verbose, o.notes)
	}
}

// run plays one world once and gives every exchange to all detectors.
func run(ctx context.Context, opt *Options, set *settings, p play) (*outcome, error) {
	began := time.Now()
	w, err := world.New(p.scenario, set.corpus)
	if err != nil {
		return nil, fmt.Errorf("make world %s: %w", p.scenario.Name, err)
	}
	m := set.meter(p.scenario.Seed)
	detectors := []*app.Detector{set.detector(m, nil)}
	if p.bare {
		detectors = append(detectors, set.detector(m, map[palladium.Family]bool{palladium.Identity: true, palladium.Network: true}))
	}
	var others []baseline.Baseline
	if p.baselines {
		others = baseline.Standard(set.hosting)
	}
	for a := range w.Accounts() {
		for _, d := range detectors {
			d.Describe(a)
		}
		for _, b := range others {
			b.Account(a)
		}
	}
	o := &outcome{play: p}
	var obs palladium.Observation
	for e := range w.Exchanges() {
		if o.exchanges++; o.exchanges&4095 == 0 && ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		m.Measure(e, &obs)
		for _, d := range detectors {
			d.Observe(&obs)
		}
		for _, b := range others {
			b.Observe(&obs, e)
		}
	}
	truth := w.Truth()
	who := roll(truth)
	o.full = score.Score(detectors[0].Report(0), truth)
	o.groups = groups(detectors[0], who, &set.weights)
	if p.bare {
		o.bare = score.Score(detectors[1].Report(0), truth)
		o.bareGroups = groups(detectors[1], who, &set.weights)
	}
	for _, b := range others {
		o.baselines = append(o.baselines, compare(b, who)...)
	}
	if opt.Verbose != nil {
		o.notes = diagnose(o)
	}
	o.wall = time.Since(began)
	return o, nil
}

func (s *settings) detector(m *measure.Meter, without map[palladium.Family]bool) *app.Detector {
	return app.NewDetector(app.DetectorOptions{Hash: m.Hash, Without: without, Policy: s.policy, Weights: s.weights})
}

// people is the truth by account id.
type people struct {
	ids     []string
	of      map[string]*world.AccountTruth
	control map[string]bool // campaigns that are negative controls
	spec    map[string]world.CampaignSpec
}

func roll(t *world.Truth) *people {
	p := &people{of: make(map[string]*world.AccountTruth, len(t.Accounts)), control: map[string]bool{}, spec: map[string]world.CampaignSpec{}}
	for i := range t.Campaigns {
		c := &t.Campaigns[i]
		p.control[c.ID], p.spec[c.ID] = c.Spec.Negative(), c.Spec
	}
	for i := range t.Accounts {
		p.ids = append(p.ids, t.Accounts[i].ID)
		p.of[t.Accounts[i].ID] = &t.Accounts[i]
	}
	return p
}

// hostile reports whether the account is of a campaign that is to be found.
func (p *people) hostile(id string) bool {
	a := p.of[id]
	return a != nil && a.Campaign != "" && !p.control[a.Campaign]
}

// compare scores a baseline on the accounts that it covers, and its oracle where it has one.
func compare(b baseline.Baseline, who *people) []baselineResult {
	ids := who.ids
	if s, ok := b.(baseline.Sampled); ok {
		ids = nil
		for _, id := range who.ids {
			if s.Covers(id) {
				ids = append(ids, id)
			}
		}
	}
	out := []baselineResult{{b.Name(), baseline.Score(b.Flagged(), ids, who.hostile)}}
	switch b := b.(type) {
	case *baseline.VolumeLimit:
		_, q := b.Oracle(who.hostile)
		out = append(out, baselineResult{b.Name() + ", limit chosen in hindsight", q})
	case *baseline.FixedWeights:
		_, q := baseline.Oracle(b.Scores(), who.hostile)
		out = append(out, baselineResult{b.Name() + ", threshold chosen in hindsight", q})
	}
	return out
}
