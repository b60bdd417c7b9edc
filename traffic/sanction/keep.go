package sanction

import (
	"slices"
	"time"

	"github.com/palladium-guard/palladium"
)

// Situation is what is known, beside the orders, of the campaigns on which something stands.
type Situation struct {
	Report   *palladium.Report
	Standing []Standing
	Fell     map[string]time.Time       // since when the evidence on a campaign is below act; missing: it is not, or just now fell
	Benign   func(campaign string) bool // a person found so
	Exempt   func(account string) bool
}

// Keep returns the orders with what stays on although the evidence does not call for it at the moment. A stage is an estimate,
// and it moves while a campaign is still growing; a measure that came and went with it would neither stop a campaign nor be just
// to those who are told of it. So a measure put on at act
//
//   - stays on the accounts that it is on for Rule.Keep after the evidence fell below act, or until it expires, and is not renewed
//     meanwhile. While the campaign is at review, accounts that join it get it too, until the same moment;
//   - stays on an account whose membership falls below Rule.Membership while it is a half or more;
//   - ends at once where the campaign is found not to extract, by the detector (it lists it as linked) or by a person, and, as
//     ever, for accounts that a person let go.
func (p *Policy) Keep(now time.Time, orders []Order, s *Situation) []Order {
	found := make(map[string]*palladium.Campaign, len(s.Report.Campaigns))
	for i := range s.Report.Campaigns {
		found[s.Report.Campaigns[i].ID] = &s.Report.Campaigns[i]
	}
	benign := map[string]bool{}
	for i := range s.Report.Linked {
		benign[s.Report.Linked[i].ID] = true
	}
	on := map[string]map[string]bool{} // accounts under a measure put on at act, by campaign
	for i := range s.Standing {
		st := &s.Standing[i]
		if st.Reason != ReasonExtraction {
			continue
		}
		if on[st.Campaign] == nil {
			on[st.Campaign] = map[string]bool{}
		}
		for _, a := range st.Accounts {
			on[st.Campaign][a] = true
		}
	}
	orders = slices.DeleteFunc(orders, func(o Order) bool { return s.Benign(o.Campaign) })
	acted := map[string]bool{} // accounts that campaigns at act take in anyway
	for i := range orders {
		o := &orders[i]
		if o.Stage != palladium.StageAct {
			continue
		}
		for _, m := range found[o.Campaign].Accounts {
			if on[o.Campaign][m.ID] && m.Membership >= keepMembership && m.Membership < o.Rule.Membership && !s.Exempt(m.ID) {
				o.Accounts = append(o.Accounts, m.ID)
				o.Exempt--
			}
		}
		slices.Sort(o.Accounts)
		o.Accounts = slices.Compact(o.Accounts)
		for _, a := range o.Accounts {
			acted[a] = true
		}
	}
	for id, accounts := range on {
		c := found[id]
		if benign[id] || s.Benign(id) || c != nil && c.Stage == palladium.StageAct {
			continue
		}
		o, ok := p.held(now, id, c, accounts, s)
		if !ok {
			continue
		}
		o.Accounts = slices.DeleteFunc(o.Accounts, func(a string) bool { return acted[a] })
		orders = slices.DeleteFunc(orders, func(l Order) bool { return l.Campaign == id })
		if len(o.Accounts) > 0 {
			orders = append(orders, o)
		}
	}
	return orders
}

// held is the order that keeps on what stands on a campaign that is below act, which the report may no longer list.
func (p *Policy) held(now time.Time, id string, c *palladium.Campaign, on map[string]bool, s *Situation) (o Order, ok bool) {
	r := p.stages[palladium.StageAct]
	fell, known := s.Fell[id]
	if !known {
		fell = now
	}
	o = Order{
		Campaign: id, Stage: palladium.StageAct, Rule: r, Reason: ReasonExtraction, Expires: fell.Add(r.Keep), Held: true,
		Shadow: !p.Enforced(r.Measure), Approval: p.NeedsApproval(r.Measure),
	}
	if !now.Before(o.Expires) {
		return o, false
	}
	if c == nil {
		for a := range on {
			if !s.Exempt(a) {
				o.Accounts = append(o.Accounts, a)
			}
		}
	} else {
		for _, m := range c.Accounts {
			joins := c.Stage == palladium.StageReview && m.Membership >= r.Membership
			if (joins || on[m.ID] && m.Membership >= keepMembership) && !s.Exempt(m.ID) {
				o.Accounts = append(o.Accounts, m.ID)
			} else {
				o.Exempt++
			}
		}
	}
	slices.Sort(o.Accounts)
	o.Accounts = slices.Compact(o.Accounts)
	return o, true
}
