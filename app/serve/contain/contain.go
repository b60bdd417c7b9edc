// Package contain measures what enforcement leaves of a campaign: it plays a world in the world's own time through the detector,
// the policy, the table of verdicts and the budgets of a gateway, and counts what the campaign's accounts get after the first
// decision with measures enforced and with none. No clock but the world's is looked at, so that the figure is that of days that
// take a day, on any machine.
package contain

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"slices"
	"time"

	"github.com/palladium-guard/palladium"
	"github.com/palladium-guard/palladium/app"
	"github.com/palladium-guard/palladium/app/live"
	"github.com/palladium-guard/palladium/store/catalog"
	"github.com/palladium-guard/palladium/traffic/budget"
	"github.com/palladium-guard/palladium/traffic/measure"
	"github.com/palladium-guard/palladium/traffic/sanction"
	"github.com/palladium-guard/palladium/traffic/verdict"
	"github.com/palladium-guard/palladium/world"
)

// Options say what is measured.
type Options struct {
	World  world.Scenario
	Policy sanction.Config
	Every  time.Duration // between two looks; 0 means an hour, as the detector's default
	Delay  time.Duration // from a look to a gateway's holding to what was decided; 0 means a second
	Dir    string        // for the catalog, which is made there
	Log    *slog.Logger  // nil: nothing is said
}

// Outcome is what became of the world.
type Outcome struct {
	Campaigns []Campaign
	Honest    int   // accounts of no campaign that a measure touched
	Refused   int64 // requests of theirs that got nothing
	Looks     int
	Decided   int // decisions of policy
	Withdrawn int
}

// Campaign is what one campaign got after the first measure was put on any of its accounts.
type Campaign struct {
	ID       string
	Accounts int
	Begun    time.Time
	Act      time.Time // when a measure that touches was decided first; zero: never
	Covered  int       // accounts under a measure at some time
	Before   int64     // output tokens drawn before Act
	Draw     int64     // output tokens that its answers after Act would have held with nobody in the way: what shadow mode lets through
	Got      int64     // of these, what they held
	Split    Split     // Got by how it got through
	Names    []string  // the campaigns under which measures were put on its accounts: each has an allowance of its own
}

// Leak is the share of the draw after Act that got through; NaN where the campaign never came to act.
func (c *Campaign) Leak() float64 {
	if c.Act.IsZero() || c.Draw == 0 {
		return math.NaN()
	}
	return float64(c.Got) / float64(c.Draw)
}

// run is one world being played.
type run struct {
	o       Options
	now     time.Time
	det     *app.Detector
	actor   *live.Actor
	cat     *catalog.Store
	ledger  *budget.Ledger
	book    *budget.Book
	table   *verdict.Table // in force
	next    *verdict.Table // in force from then on; nil: none is under way
	from    time.Time
	out     Outcome
	of      map[string]int // campaign of an account, by its place in out
	touched map[string]bool
	callers map[string]*caller   // accounts of campaigns
	young   []*palladium.Account // records yet to be made, by time
	running []answer             // of campaigns, until the first measure
	version uint64
}

// answer is one that a campaign's account got before act.
type answer struct {
	account string
	ends    time.Time
	tokens  int64
}

// Play plays the world once with the policy's measures enforced.
func Play(ctx context.Context, o Options) (*Outcome, error) {
	r, err := prepare(ctx, o)
	if err != nil {
		return nil, err
	}
	defer r.cat.Close()
	w, err := world.New(o.World, world.OwnCorpus(o.World.Seed))
	if err != nil {
		return nil, err
	}
	cues, err := app.Cues()
	if err != nil {
		return nil, err
	}
	meter := measure.New([32]byte{1}, cues)
	for a := range w.Accounts() { // a record comes when the account is made
		if a.Created.After(o.World.Start) {
			r.young = append(r.young, a)
		} else {
			r.det.Describe(a)
		}
	}
	slices.SortStableFunc(r.young, func(a, b *palladium.Account) int { return a.Created.Compare(b.Created) })
	for i, c := range w.Truth().Campaigns {
		r.out.Campaigns = append(r.out.Campaigns, Campaign{ID: c.ID, Accounts: len(c.Accounts)})
		for _, a := range c.Accounts {
			r.of[a] = i
		}
	}
	var obs palladium.Observation
	for e := range w.Exchanges() {
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		r.now = e.Time
		for len(r.young) > 0 && !r.young[0].Created.After(r.now) {
			r.det.Describe(r.young[0])
			r.young = r.young[1:]
		}
		got, reached, err := r.gateway(e)
		if err != nil {
			return nil, err
		}
		r.count(e, got)
		if !reached { // a gateway observes what it refused for a measure, too: that is how the rest of a campaign is found
			e.Usage.Output, e.Usage.Reasoning, e.Output = 0, 0, ""
			e.Outcome = palladium.Outcome{Status: 429}
		} else if got < e.Usage.Output {
			e.Usage.Output, e.Outcome.Finish = got, "length"
			e.Usage.Reasoning = min(e.Usage.Reasoning, got)
		}
		meter.Measure(e, &obs)
		if r.det.Observe(&obs) {
			if err := r.look(ctx); err != nil {
				return nil, err
			}
		}
	}
	r.conclude()
	return &r.out, nil
}

// conclude sums up what became of the accounts.
func (r *run) conclude() {
	for a := range r.touched {
		if i, ok := r.of[a]; ok {
			r.out.Campaigns[i].Covered++
		} else {
			r.out.Honest++
		}
	}
	for a, c := range r.callers {
		c.put = c.put || r.touched[a]
		r.out.Campaigns[r.of[a]].Split.settle(c)
	}
}

func prepare(ctx context.Context, o Options) (*run, error) {
	if o.Delay == 0 {
		o.Delay = time.Second
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	r := &run{o: o, of: map[string]int{}, touched: map[string]bool{}, callers: map[string]*caller{}, ledger: budget.New(nil, nil)}
	policy, err := sanction.New(o.Policy)
	if err != nil {
		return nil, err
	}
	if r.book, err = budget.NewBook(budget.Settings{}); err != nil {
		return nil, err
	}
	if r.det, err = app.Prepare([32]byte{1}, nil, app.DetectorOptions{Every: o.Every}); err != nil {
		return nil, err
	}
	if r.cat, err = catalog.Open(ctx, catalog.Config{URL: "sqlite:" + o.Dir + "/catalog.db"}, o.Log, true); err != nil {
		return nil, err
	}
	board := live.NewBoard(live.BoardOptions{Catalog: r.cat, Policy: policy, Now: func() time.Time { return r.now }, Log: o.Log})
	r.actor = live.NewActor(board)
	return r, nil
}

// gateway does with an exchange what a gateway does: it finds the verdict and reserves what it may cost. It returns the output
// tokens that the caller gets, and whether a model was asked at all.
func (r *run) gateway(e *palladium.Exchange) (got int64, reached bool, err error) {
	if r.next != nil && !r.now.Before(r.from) {
		r.table, r.next = r.next, nil
	}
	standing := r.table.Find(e.Account, r.now)
	if !standing.Enforced {
		return e.Usage.Output, true, nil
	}
	v := &standing.Verdict
	if v.Measure.Refuses() {
		return 0, false, nil
	}
	if v.Measure != palladium.MeasureBudget {
		return e.Usage.Output, true, nil
	}
	most := int64(e.Params.MaxTokens)
	if most <= 0 {
		most = 4096
	}
	d := budget.Demand{Principals: []budget.Principal{budget.CampaignDay(v.Campaign, v.Tokens)}, Input: e.Usage.Input, Output: max(most, e.Usage.Output), Least: 1}
	held, err := r.ledger.Reserve(r.now, d)
	var met *budget.Exceeded
	if errors.As(err, &met) {
		return 0, false, nil
	}
	if err != nil {
		return 0, false, err
	}
	got = min(e.Usage.Output, held.Output())
	held.Settle(e.Usage.Input, got)
	return got, true, nil
}

// count notes what the caller got.
func (r *run) count(e *palladium.Exchange, got int64) {
	i, ok := r.of[e.Account]
	if !ok {
		if got < e.Usage.Output {
			r.out.Refused++
		}
		return
	}
	c, who := &r.out.Campaigns[i], r.callers[e.Account]
	if who == nil {
		who = &caller{first: r.now}
		r.callers[e.Account] = who
	}
	if c.Begun.IsZero() {
		c.Begun = r.now
	}
	if c.Act.IsZero() {
		c.Before += got
		r.running = append(r.running, answer{e.Account, r.now.Add(time.Duration(e.Outcome.MS * float64(time.Millisecond))), got})
		return
	}
	c.Draw += e.Usage.Output
	c.Got += got
	s := r.table.Find(e.Account, r.now)
	under := s.Enforced && s.Verdict.Measure != palladium.MeasureObserve
	awaited := false
	if r.next != nil {
		s := r.next.Find(e.Account, r.from)
		awaited = s.Enforced && s.Verdict.Measure != palladium.MeasureObserve
	}
	who.put = who.put || under
	who.got[who.cause(under, awaited, c.Act)] += got
}

// acted notes the first measure on campaign i: answers that run on then are counted whole, as nothing stops them.
func (r *run) acted(i int) {
	c := &r.out.Campaigns[i]
	c.Act = r.now
	r.running = slices.DeleteFunc(r.running, func(a answer) bool {
		if r.of[a.account] != i {
			return !a.ends.After(r.now)
		}
		if a.ends.After(r.now) {
			c.Before, c.Draw, c.Got = c.Before-a.tokens, c.Draw+a.tokens, c.Got+a.tokens
			r.callers[a.account].got[UnderWay] += a.tokens
		}
		return true
	})
}

// look has policy carried out on what was found, and sends the verdicts on their way.
func (r *run) look(ctx context.Context) error {
	r.out.Looks++
	for _, c := range r.callers {
		if c.looked.IsZero() && c.first.Before(r.now) {
			c.looked = r.now
		}
	}
	found := r.det.Present(0)
	found.Linked = nil // policy decides by campaigns and their members alone; the rest is for people, and costs most of the time
	for i := range found.Campaigns {
		found.Campaigns[i].Detail = nil
	}
	acted, err := r.actor.Act(ctx, found)
	if err != nil {
		return fmt.Errorf("carry out policy at %s: %w", r.now.Format(time.RFC3339), err)
	}
	r.out.Decided += len(acted.Decided)
	r.out.Withdrawn += len(acted.Withdrawn)
	version, err := r.cat.VerdictVersion(ctx)
	if err != nil || version == r.version {
		return err
	}
	list, version, err := r.cat.VerdictsInForce(ctx, r.now)
	if err != nil {
		return err
	}
	for i := range list {
		v := &list[i]
		if v.Measure == palladium.MeasureObserve || v.Shadow {
			continue
		}
		r.touched[v.Account] = true
		i, ok := r.of[v.Account]
		if !ok {
			continue
		}
		c := &r.out.Campaigns[i]
		if c.Act.IsZero() {
			r.acted(i)
		}
		if !slices.Contains(c.Names, v.Campaign) {
			c.Names = append(c.Names, v.Campaign)
		}
	}
	r.version = version
	if r.next, err = verdict.New(version+1, r.now, list); err != nil {
		return err
	}
	r.from = r.now.Add(r.o.Delay)
	return nil
}
