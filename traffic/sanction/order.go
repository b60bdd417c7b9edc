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
	Held     bool // the evidence is below the stage: what stands is kept for a time, and not renewed
}

// Standing is a decision of policy that was made before and holds, or waits for approval.
type Standing struct {
	ID       string
	Campaign string
	Accounts []string // sorted
	Rule     Rule
	Reason   string // code
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
// withdrawn once that is done: decisions whose campaign no longer calls for them, or that others take the place of.
// Accounts that joined a campaign get an order of their own; an account that left takes the old decision with it.
func Reconcile(now time.Time, orders []Order, standing []Standing) (anew []Order, withdraw []string) {
	by := make(map[string][]Standing)
	for _, s := range standing {
		by[s.Campaign] = append(by[s.Campaign], s)
	}
	kept := make(map[string]bool)
	for _, o := range orders {
		var missing []string
		covered := make(map[string]bool)
		for _, s := range by[o.Campaign] {
			if !s.fits(now, &o) {
				continue
			}
			kept[s.ID] = true
			for _, a := range s.Accounts {
				covered[a] = true
			}
		}
		for _, a := range o.Accounts {
			if !covered[a] {
				missing = append(missing, a)
			}
		}
		if len(missing) > 0 {
			o.Accounts = missing
			anew = append(anew, o)
		}
	}
	for _, s := range standing {
		if !kept[s.ID] {
			withdraw = append(withdraw, s.ID)
		}
	}
	slices.Sort(withdraw)
	slices.SortStableFunc(anew, func(a, b Order) int { return cmp.Compare(a.Campaign, b.Campaign) })
	return anew, withdraw
}

// fits reports whether s can stand as it is beside o: the same measure on the same terms, not about to lapse, and on
// nobody that o leaves alone.
func (s *Standing) fits(now time.Time, o *Order) bool {
	if s.Rule != o.Rule || s.Shadow != o.Shadow {
		return false
	}
	if !o.Held && float64(now.Sub(s.Issued)) > renewAt*float64(s.Expires.Sub(s.Issued)) {
		return false
	}
	for _, a := range s.Accounts {
		if _, ok := slices.BinarySearch(o.Accounts, a); !ok {
			return false
		}
	}
	return true
}
