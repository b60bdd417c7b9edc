// Package app is where the parts meet: it joins taps, measure, linkage, campaign, judge and report into the commands
// of the product. Nothing below it knows of more than one of them.
package app

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/palladium-guard/palladium"
	"github.com/palladium-guard/palladium/traffic/campaign"
	"github.com/palladium-guard/palladium/traffic/campaign/brief"
	"github.com/palladium-guard/palladium/traffic/extraction"
	"github.com/palladium-guard/palladium/traffic/judge"
	"github.com/palladium-guard/palladium/traffic/linkage"
)

// DetectorOptions set up a Detector.
type DetectorOptions struct {
	Hash       func(family byte, s string) uint64 // the installation's keyed hash
	Without    map[palladium.Family]bool
	Policy     *judge.Policy
	Weights    extraction.Weights
	RecallBits int           // see linkage.Options
	Every      time.Duration // exchange time between two looks at what changed; 0 means an hour
}

// Detector turns observations into campaigns. It belongs to one goroutine; its clock is the exchanges' own.
type Detector struct {
	opt     DetectorOptions
	index   *linkage.Index
	tracker *campaign.Tracker
	clock   Clock
	seeds   []campaign.Seed
	why     map[*campaign.Group]string // what the rule that held says of a group
}

// NewDetector returns a detector without state.
func NewDetector(opt DetectorOptions) *Detector {
	if opt.Every == 0 {
		opt.Every = time.Hour
	}
	return &Detector{
		opt:     opt,
		index:   linkage.New(opt.linkage()),
		tracker: campaign.New(opt.campaign()),
		clock:   NewClock(),
		why:     map[*campaign.Group]string{},
	}
}

func (o *DetectorOptions) linkage() linkage.Options {
	return linkage.Options{Hash: o.Hash, Without: o.Without, RecallBits: o.RecallBits}
}

func (o *DetectorOptions) campaign() campaign.Options {
	return campaign.Options{Seed: 1, Without: o.Without, Extraction: extraction.New(o.Weights)}
}

// Describe takes in what is known of an account.
func (d *Detector) Describe(a *palladium.Account) { d.index.Describe(a) }

// NameModel remembers the name behind a model hash for reports.
func (d *Detector) NameModel(h uint64, name string) { d.index.NameModel(h, name) }

// Observe takes in one exchange. It reports whether a caller has something new to act on: campaigns were looked at, or one that is
// acted on has gained accounts, which is told at most once a minute.
func (d *Detector) Observe(o *palladium.Observation) bool {
	look, now := d.clock.Tick(o.Time, d.opt.Every.Milliseconds())
	if look {
		d.examine(now)
	}
	a := d.index.Observe(o)
	return d.clock.tell(look, d.tracker.Admit(a, d.clock.Now, d.index))
}

// Examine looks at all that changed since the last look.
func (d *Detector) Examine() {
	if d.clock.Now != unset {
		d.examine(d.clock.Now)
	}
}

func (d *Detector) examine(now int64) {
	tokens, moved := d.index.Dirty()
	d.seeds = d.seeds[:0]
	slices.Sort(tokens)
	for _, t := range slices.Compact(tokens) {
		d.seeds = append(d.seeds, campaign.Seed{Token: t})
	}
	for _, a := range moved {
		d.seeds = append(d.seeds, campaign.Seed{Token: palladium.NoToken, Accounts: d.index.Partners(a, nil)})
	}
	if d.tracker.Examine(now, d.index, d.seeds, d.index.Background()) {
		d.decide(now)
	}
}

// SetPolicy puts another policy in place: it judges from the next look on.
func (d *Detector) SetPolicy(p *judge.Policy) { d.opt.Policy = p }

// decide applies the policy to every group.
func (d *Detector) decide(now int64) {
	clear(d.why)
	for _, g := range d.tracker.Groups() {
		f := g.Facts(d.index)
		dec := d.opt.Policy.Decide(facts(&f))
		g.Decide(dec.Stage, dec.Because, now, f.Exchanges)
		d.why[g] = dec.Why
	}
}

func facts(f *campaign.Facts) judge.Facts {
	j := judge.Facts{
		Accounts: f.Accounts, OperatorP: f.OperatorP, OperatorE: f.OperatorE, OperatorRejected: f.OperatorRejected,
		ExtractionP: f.ExtractionP, ExtractionScore: f.ExtractionScore, Keys: f.Keys, Weight: map[string]float64{}, Exchanges: f.Exchanges, Tokens: f.Tokens,
		Hours: float64(f.Last-f.First) / 3.6e6, Days: f.Trials, Calibrated: f.Calibrated, References: f.References,
		ReferenceFloor: 1 / float64(f.References+1), Vouched: f.Vouched, Declared: f.Declared, Collisions: f.Collisions,
		Probing: f.Probing, Whole: f.Whole, Acted: f.Acted, Linked: f.Keys >= 1 && f.Accounts >= 6,
	}
	for _, n := range f.Families {
		j.Families = append(j.Families, string(n))
	}
	for n, w := range f.Weight {
		j.Weight[string(n)] = w
	}
	return j
}

// Report renders what has been found so far. rejected is how many records were skipped.
func (d *Detector) Report(rejected int64) *palladium.Report {
	d.Examine()
	d.decide(d.clock.Now)
	return d.Present(rejected)
}

// Present renders what has been found as of the last look, and changes nothing, so that it may be called while traffic runs.
// After a state was taken up it lacks the reasons of linked groups until the next look.
func (d *Detector) Present(rejected int64) *palladium.Report {
	r := &palladium.Report{Schema: palladium.ReportSchema, Campaigns: []palladium.Campaign{}, Linked: []palladium.Linked{}}
	if first, last := d.index.Window(); last > math.MinInt64 {
		r.Window = palladium.Window{From: time.UnixMilli(first).UTC(), To: time.UnixMilli(last).UTC()}
	}
	r.Counts = palladium.Counts{Exchanges: int64(d.index.Exchanges()), Accounts: int64(d.index.Accounts()), Rejected: rejected}
	for _, g := range d.tracker.Groups() {
		switch stage, _, _ := g.Stage(); stage {
		case palladium.StageAct, palladium.StageReview, palladium.StageWatch, palladium.StageLinked:
		default:
			continue
		}
		c := brief.Campaign(d.tracker, g, d.index, d.index)
		switch c.Stage {
		case palladium.StageAct, palladium.StageReview, palladium.StageWatch:
			r.Campaigns = append(r.Campaigns, c)
		case palladium.StageLinked:
			r.Linked = append(r.Linked, palladium.Linked{ID: c.ID, Accounts: c.Accounts, WhyNotExtraction: d.why[g], Detail: c.Detail})
		}
	}
	rank := map[palladium.Stage]int{palladium.StageAct: 0, palladium.StageReview: 1, palladium.StageWatch: 2}
	slices.SortStableFunc(r.Campaigns, func(a, b palladium.Campaign) int {
		return cmp.Or(cmp.Compare(rank[a.Stage], rank[b.Stage]), cmp.Compare(b.Tokens.Output, a.Tokens.Output), cmp.Compare(a.ID, b.ID))
	})
	return r
}

// Short says in words why nothing can be listed above watch whatever the traffic holds, empty when that is not so. It is
// for after Report.
func (d *Detector) Short() string {
	if d.index.Exchanges() == 0 {
		return ""
	}
	if n := d.index.Accounts(); n < campaign.MinPopulation {
		return fmt.Sprintf("too few accounts to calibrate (%d, and %d are wanted): nothing can be listed above watch", n, campaign.MinPopulation)
	}
	most, groups := 0, d.tracker.Groups()
	for _, g := range groups {
		f := g.Facts(d.index)
		if f.Calibrated {
			return ""
		}
		most = max(most, f.References)
	}
	if len(groups) == 0 {
		return ""
	}
	return fmt.Sprintf("too few benign groups to calibrate the extraction test (%d, and %d are wanted): nothing can be listed above watch; "+
		"relation on account records names groups that you vouch for", most, campaign.MinReferences)
}

// Clock returns the detector's time, for whoever keeps its state.
func (d *Detector) Clock() Clock { return d.clock }

// Resume sets the time of a detector that took up a kept state.
func (d *Detector) Resume(c Clock) { d.clock = c }

// Tracker gives tests and the fitting of weights access to the groups.
func (d *Detector) Tracker() *campaign.Tracker { return d.tracker }

// Index gives tests and the fitting of weights access to the accounts.
func (d *Detector) Index() *linkage.Index { return d.index }
