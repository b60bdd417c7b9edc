package investigate

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/palladium-guard/palladium"
	"github.com/palladium-guard/palladium/api"
	"github.com/palladium-guard/palladium/store/catalog"
)

// timeline is what was drawn over time, and what was done about it.
type timeline struct {
	Step   int64             `json:"step_seconds"`
	Draws  []palladium.Draw  `json:"draws"`
	Models []palladium.Share `json:"models"`
	Marks  []mark            `json:"marks"`
}

type mark struct {
	At      time.Time `json:"at"`
	Kind    string    `json:"kind"`
	Says    string    `json:"says"`
	Subject string    `json:"subject"`
}

// marked are the kinds of event that stand on a timeline beside the decisions.
func marked() []string {
	return []string{"campaign.found", "campaign.staged", "campaign.gone", "campaign.changed", "case.opened", "appeal.made", "appeal.decided"}
}

// told is how many events and decisions a timeline holds at most.
const told = 200

func (d *Desk) getTimeline(q *api.Request) (*api.Answer, error) {
	c, err := d.campaign(q.Context(), q.Param("id"))
	if err != nil {
		return nil, err
	}
	out := timeline{Draws: c.Detail.Timeline, Models: c.Detail.Models}
	if len(out.Draws) > 1 {
		out.Step = int64(out.Draws[1].Start.Sub(out.Draws[0].Start).Seconds())
	}
	add := func(at time.Time, kind, says, subject string) {
		if !at.IsZero() {
			out.Marks = append(out.Marks, mark{at, kind, says, subject})
		}
	}
	add(c.First, "first", "first exchange", "")
	add(c.Last, "last", "last exchange so far", "")
	if c.DetectedAt != nil {
		add(*c.DetectedAt, "detected", "first reached review or act", "")
	}
	decisions, _, err := d.catalog.ListDecisions(q.Context(), catalog.DecisionQuery{Page: catalog.Page{Limit: told}, Campaign: c.ID})
	if err != nil {
		return nil, err
	}
	for _, v := range decisions {
		add(v.At, "decision.made", fmt.Sprintf("%s on %s (%s)", v.Measure, accounts(v.Accounts), v.State), "decision:"+v.ID)
		if v.UndoneAt != nil {
			add(*v.UndoneAt, "decision.undone", fmt.Sprintf("%s on %s undone", v.Measure, accounts(v.Accounts)), "decision:"+v.ID)
		}
	}
	events, _, err := d.catalog.ListEvents(q.Context(), catalog.EventQuery{Page: catalog.Page{Limit: told}, Subject: "campaign:" + c.ID, Kind: marked()})
	if err != nil {
		return nil, err
	}
	for _, e := range events {
		add(e.At, e.Kind, strings.NewReplacer(".", " ", "_", " ").Replace(e.Kind), e.Subject)
	}
	slices.SortStableFunc(out.Marks, func(a, b mark) int { return a.At.Compare(b.At) })
	return api.OK(out)
}

// accounts counts accounts in words.
func accounts(n int) string {
	if n == 1 {
		return "1 account"
	}
	return fmt.Sprintf("%d accounts", n)
}

func (d *Desk) listEvents(q *api.Request) (*api.Answer, error) {
	id := q.Param("id")
	if _, err := d.catalog.GetCampaign(q.Context(), id); err != nil {
		return nil, err
	}
	list, next, err := d.catalog.ListEvents(q.Context(), catalog.EventQuery{Page: pageOf(q), Subject: "campaign:" + id})
	if err != nil {
		return nil, err
	}
	out := make([]event, len(list))
	for i, e := range list {
		out[i] = event(e)
	}
	return api.OK(api.NewPage(out, next))
}

// piece is one piece of evidence.
type piece struct {
	Token    string   `json:"token"`
	Accounts int      `json:"accounts"`
	Weight   float64  `json:"weight"` // mean, nats
	Sum      float64  `json:"sum"`
	Members  []string `json:"members"` // strongest first, 20 at most
}

type evidencePage struct {
	evidence
	api.Page[piece]
	Total int `json:"total"`
}

// place is a position in a list that is kept in memory.
type place struct {
	From int `json:"from"`
}

func (d *Desk) getEvidence(q *api.Request) (*api.Answer, error) {
	c, err := d.campaign(q.Context(), q.Param("id"))
	if err != nil {
		return nil, err
	}
	family := palladium.Family(q.Param("family"))
	out := evidencePage{evidence: evidence{family.Key(), palladium.Evidence{Family: family}}}
	for _, e := range c.Evidence {
		if e.Family == family {
			out.Evidence = e
		}
	}
	pieces := piecesOf(c.Detail.Links, family)
	var at place
	if err := api.ReadCursor(q.Param("cursor"), &at); err != nil {
		return nil, err
	}
	from := min(max(0, at.From), len(pieces))
	to := min(from+q.Limit(), len(pieces))
	next := ""
	if to < len(pieces) {
		next = api.Cursor(place{to})
	}
	out.Page, out.Total = api.NewPage(pieces[from:to], next), len(pieces)
	return api.OK(out)
}

// piecesOf gathers the links of a family by piece of evidence, the one with the largest sum first.
func piecesOf(links []palladium.Link, family palladium.Family) []piece {
	at := map[string]int{}
	out := []piece{}
	for _, l := range links {
		if l.Family != family {
			continue
		}
		i, ok := at[l.Token]
		if !ok {
			i = len(out)
			at[l.Token] = i
			out = append(out, piece{Token: l.Token})
		}
		p := &out[i]
		p.Accounts++
		p.Sum += l.Weight
		if len(p.Members) < 20 { // links come strongest first
			p.Members = append(p.Members, l.Account)
		}
	}
	for i := range out {
		out[i].Weight = out[i].Sum / float64(out[i].Accounts)
	}
	slices.SortStableFunc(out, func(a, b piece) int { return cmp.Or(cmp.Compare(b.Sum, a.Sum), strings.Compare(a.Token, b.Token)) })
	return out
}
