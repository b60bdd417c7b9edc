package sanction

import (
	"cmp"
	"slices"
	"time"

	"github.com/palladium-guard/palladium"
)

// Reason codes that callers are told.
const (
	ReasonExtraction = "campaign.extraction"
	ReasonReview     = "campaign.under-review"
)

// Order is one measure for some accounts of a campaign.
type Order struct {
	Campaign string
	Stage    palladium.Stage
	Accounts []string // sorted, none twice
	Exempt   int      // members that policy leaves alone: allowed, let go by a person, or of too low a membership
	Rule     Rule
	Reason   string // code
	Expires  time.Time
	Shadow   bool // to be recorded only
	Approval bool // a second person must agree first
}

// Standing is a decision of policy that was made before and holds, or waits for approval.
type Standing struct {
	ID       string
	Campaign string
	Accounts []string // sorted
	Rule     Rule
	Issued   time.Time
	Expires  time.Time
	Shadow   bool
}

// Orders returns what the policy asks for at the time now, one order a campaign, in the order of campaigns. Accounts for
// which exempt answers true are left out; a campaign of which nobody remains has no order.
func (p *Policy) Orders(now time.Time, campaigns []palladium.Campaign, exempt func(account string) bool) []Order {
	var out []Order
	for i := range campaigns {
		c := &campaigns[i]
		r, ok := p.stages[c.Stage]
		if !ok {
			continue
		}
		o := Order{
			Campaign: c.ID, Stage: c.Stage, Rule: r, Reason: ReasonExtraction, Expires: now.Add(r.For),
			Shadow: !p.Enforced(r.Measure), Approval: p.NeedsApproval(r.Measure),
		}
		if c.Stage != palladium.StageAct {
			o.Reason = ReasonReview
		}
		for _, m := range c.Accounts {
			if m.Membership < r.Membership || exempt(m.ID) {
				o.Exempt++
				continue
			}
			o.Accounts = append(o.Accounts, m.ID)
		}
		slices.Sort(o.Accounts)
		if o.Accounts = slices.Compact(o.Accounts); len(o.Accounts) > 0 {
			out = append(out, o)
		}
	}
	return out
}

// renewAt is the part of its time after which a decision that still stands is made anew, so that nothing lapses while it holds.
const renewAt = 0.75

// Reconcile compares orders with what stands. What it returns is to be decided anew, and the ids of what is to be
// withdrawn once that is done: decisions that are not called for any more, or that others take the place of. Accounts that
// joined a campaign get an order of their own.
//
// A measure that touches is not taken off because the evidence is weaker for an hour, which the measure itself brings about:
// what is refused is not seen. It stays, until it expires and no longer, on accounts of which suspect answers true: those
// that are listed at review or act still, and that policy does not leave alone. An account that is not listed any more is
// let go at once.
func (p *Policy) Reconcile(now time.Time, orders []Order, standing []Standing, suspect func(account string) bool) (anew []Order, withdraw []string) {
	by := make(map[string][]Standing)
	held := make(map[string]bool) // accounts under a measure that stays
	for _, s := range standing {
		by[s.Campaign] = append(by[s.Campaign], s)
		if p.stays(&s) {
			for _, a := range s.Accounts {
				held[a] = held[a] || suspect(a)
			}
		}
	}
	kept, covered := make(map[string]bool), make(map[string]bool)
	for _, o := range orders {
		here := make(map[string]bool)
		for _, s := range by[o.Campaign] {
			if !s.fits(now, &o, func(a string) bool { return p.stays(&s) && held[a] }) {
				continue
			}
			kept[s.ID] = true
			for _, a := range s.Accounts {
				here[a] = true
			}
		}
		var missing []string
		for _, a := range o.Accounts {
			if !here[a] && !(o.Rule.Measure == palladium.MeasureObserve && held[a]) {
				missing = append(missing, a)
			}
			covered[a] = covered[a] || o.Rule.Measure != palladium.MeasureObserve
		}
		if len(missing) > 0 {
			o.Accounts = missing
			anew = append(anew, o)
		}
	}
	for i := range standing {
		s := &standing[i]
		if kept[s.ID] {
			continue
		}
		var rest []string // what only s holds
		if p.stays(s) {
			for _, a := range s.Accounts {
				if held[a] && !covered[a] {
					rest = append(rest, a)
				}
			}
		}
		if len(rest) > 0 && !slices.ContainsFunc(s.Accounts, func(a string) bool { return !held[a] }) {
			continue
		}
		withdraw = append(withdraw, s.ID)
		if len(rest) > 0 {
			anew = append(anew, Order{
				Campaign: s.Campaign, Stage: palladium.StageAct, Accounts: rest, Rule: s.Rule, Reason: ReasonExtraction, Expires: s.Expires,
				Shadow: s.Shadow, Approval: p.NeedsApproval(s.Rule.Measure),
			})
		}
	}
	slices.Sort(withdraw)
	slices.SortStableFunc(anew, func(a, b Order) int { return cmp.Compare(a.Campaign, b.Campaign) })
	return anew, withdraw
}

// stays reports whether s outlives weaker evidence: it touches, and is what policy says still.
func (p *Policy) stays(s *Standing) bool {
	r := s.Rule
	return r.Measure != palladium.MeasureObserve && r == p.stages[palladium.StageAct] && s.Shadow == !p.Enforced(r.Measure)
}

// fits reports whether s can stand as it is beside o: the same measure on the same terms, not about to lapse, and on
// nobody that o leaves alone and that is not held.
func (s *Standing) fits(now time.Time, o *Order, held func(account string) bool) bool {
	if s.Rule != o.Rule || s.Shadow != o.Shadow {
		return false
	}
	if float64(now.Sub(s.Issued)) > renewAt*float64(s.Expires.Sub(s.Issued)) {
		return false
	}
	for _, a := range s.Accounts {
		if _, ok := slices.BinarySearch(o.Accounts, a); !ok && !held(a) {
			return false
		}
	}
	return true
}
