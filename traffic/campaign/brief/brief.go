// Package brief puts a group of accounts into words: what joined them, what speaks against it, what they drew. It
// decides nothing.
package brief

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/palladium-guard/palladium"
	"github.com/palladium-guard/palladium/traffic/campaign"
)

// Names turns numbers back into what a report may show.
type Names interface {
	Name(account uint32) string // account id
	Label(token uint32) string  // "" for most
	Model(hash uint64) string
}

// teller holds what the parts of one group's account share.
type teller struct {
	t          *campaign.Tracker
	g          *campaign.Group
	pop        campaign.Population
	names      Names
	accounts   []uint32
	membership []float64
	shared     map[uint32]campaign.Shared
	features   map[string]float64
}

// Campaign renders the group for a report.
func Campaign(t *campaign.Tracker, g *campaign.Group, pop campaign.Population, names Names) palladium.Campaign {
	f := g.Facts(pop)
	b := &teller{t: t, g: g, pop: pop, names: names, shared: g.Shared(), features: map[string]float64{}}
	b.accounts, b.membership = g.Members()
	values := g.Features()
	for i, n := range t.FeatureNames() {
		b.features[n[0]] = values[i]
	}
	stage, decidedAt, drawn := g.Stage()
	c := palladium.Campaign{
		ID: g.ID, Stage: stage, OperatorP: f.OperatorP, ExtractionP: f.ExtractionP,
		First: time.UnixMilli(f.First).UTC(), Last: time.UnixMilli(f.Last).UTC(),
		Exchanges: f.Exchanges, Tokens: f.Tokens, ExchangesBeforeDetection: f.Exchanges,
	}
	if decidedAt != 0 {
		at := time.UnixMilli(decidedAt).UTC()
		c.DetectedAt, c.ExchangesBeforeDetection = &at, min(int64(drawn), f.Exchanges)
	}
	order := make([]int, len(b.accounts))
	for i := range order {
		order[i] = i
	}
	slices.SortFunc(order, func(x, y int) int {
		return cmp.Or(cmp.Compare(pop.Profile(b.accounts[y]).Exchanges, pop.Profile(b.accounts[x]).Exchanges),
			cmp.Compare(names.Name(b.accounts[x]), names.Name(b.accounts[y])))
	})
	for _, i := range order {
		c.Accounts = append(c.Accounts, palladium.Member{ID: names.Name(b.accounts[i]), Membership: math.Round(b.membership[i]*1e4) / 1e4})
	}
	c.Evidence = b.evidence()
	c.CounterEvidence = b.counter(&f)
	c.Techniques = b.techniques(stage, &f)
	c.Detail = b.detail(&f, order)
	return c
}

// techniques names what is seen in MITRE ATLAS: extraction of the model through its inference API, and what goes
// with it. Nothing is named of a group that is not said to extract.
func (b *teller) techniques(stage palladium.Stage, f *campaign.Facts) []string {
	if stage != palladium.StageAct && stage != palladium.StageReview {
		return nil
	}
	out := []string{"AML.T0024.002", "AML.T0040"}
	if f.Probing {
		out = append(out, "AML.T0024.001")
	}
	if b.features["cues"] > 0.4 {
		out = append(out, "AML.T0057")
	}
	return out
}

// certain is the p-value below which a family's own test is shown although few accounts show it by themselves.
const certain = 1e-3

func (b *teller) evidence() []palladium.Evidence {
	var out []palladium.Evidence
	chance := b.g.Chance()
	for f, name := range palladium.Families() {
		mean, share := b.g.Support(name)
		n := int(math.Round(share * float64(len(b.accounts))))
		if chance[f] > certain && (n == 0 || mean < 0.3) {
			continue
		}
		if name == palladium.Queue {
			n = len(b.accounts)
		}
		out = append(out, palladium.Evidence{Family: name, Says: b.says(name, n), Accounts: n, Weight: math.Round(mean*100) / 100})
	}
	slices.SortStableFunc(out, func(x, y palladium.Evidence) int { return cmp.Compare(y.Weight, x.Weight) })
	return out
}

// says words one family's case.
func (b *teller) says(family palladium.Family, n int) string {
	m := len(b.accounts)
	if n == 0 && (family == palladium.Schedule || family == palladium.Twins || family == palladium.Continuity) {
		return onlyTogether(family)
	}
	switch family {
	case palladium.Schedule:
		s := fmt.Sprintf("%d of %d accounts draw the load that one dispatcher would deal them", n, m)
		if hours, nats := b.g.Beginning(); nats > 0.5 {
			s += fmt.Sprintf("; most began within %s of each other", span(hours))
		}
		return s
	case palladium.Twins:
		return fmt.Sprintf("%d of %d accounts ask about one mixture of topics, as if from one source", n, m)
	case palladium.Continuity:
		return fmt.Sprintf("%d of %d accounts carry on a conversation, or send an answer, that was made for another of them", n, m)
	case palladium.Queue:
		_, expected, _ := b.g.Collisions()
		return fmt.Sprintf("no prompt was sent twice, though strangers drawing on the same list would have collided about %.0f times", expected)
	}
	var best campaign.Shared
	for _, s := range b.shared {
		v, w := s.Gain*s.Rate, best.Gain*best.Rate
		if s.Kind.Family() == family && (v > w || v == w && s.Token < best.Token) {
			best = s
		}
	}
	if best.Rate == 0 {
		return fmt.Sprintf("%d of %d accounts agree", n, m)
	}
	return fmt.Sprintf("%d of %d accounts %s; %.0f %% of the group hold the commonest one, %s times what is usual",
		n, m, verb(best.Kind), 100*best.Rate, round(math.Exp(best.Gain)))
}

// onlyTogether words a family whose test the group passes although no account shows it by itself.
func onlyTogether(family palladium.Family) string {
	switch family {
	case palladium.Schedule:
		return "taken together, their loads lie closer than chance explains; no account shows it by itself"
	case palladium.Twins:
		return "taken together, their topics lie closer than chance explains; no account shows it by itself"
	}
	return "taken together, conversations move between them more often than chance explains; no account shows it by itself"
}

// round writes a ratio with two figures.
func round(v float64) string {
	if v < 10 {
		return fmt.Sprintf("%.1f", v)
	}
	unit := math.Pow(10, math.Floor(math.Log10(v))-1)
	return fmt.Sprintf("%.0f", math.Round(v/unit)*unit)
}

func span(hours float64) string {
	switch {
	case hours < 1.5:
		return "an hour"
	case hours < 48:
		return fmt.Sprintf("%.0f hours", hours)
	}
	return fmt.Sprintf("%.0f days", hours/24)
}
