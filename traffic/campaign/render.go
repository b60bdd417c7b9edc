package campaign

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/palladium-guard/palladium"
	"github.com/palladium-guard/palladium/internal/stats"
)

// Names turns numbers back into what a report may show.
type Names interface {
	Name(account uint32) string // account id
	Label(token uint32) string  // "" for most
	Model(hash uint64) string
}

// Facts are what the two tests and the group's use come to: the input of the policy.
type Facts struct {
	Accounts         int
	OperatorP        float64
	OperatorE        float64
	OperatorRejected bool
	ExtractionP      float64
	ExtractionScore  float64 // log-odds of the fitted score
	Families         []palladium.Family
	Weight           map[palladium.Family]float64
	Keys             int
	Exchanges        int64
	Tokens           palladium.Tokens
	First, Last      int64 // Unix ms
	Trials           int
	References       int
	Calibrated       bool
	Vouched          float64
	Declared         float64
	Collisions       float64
	Probing          bool
}

// evidenceWeight is the least mean weight, in nats over the members, and evidenceShare the least share of members
// with 2 nats, with which a family counts as evidence of the group.
const (
	evidenceWeight = 2.0
	evidenceShare  = 0.5
	plainP         = 1e-6
)

// Facts sums the group up.
func (g *Group) Facts(pop Population) Facts {
	f := Facts{
		Accounts: len(g.members), OperatorE: g.E(), OperatorP: min(1, 1/math.Max(g.E(), 1e-300)), OperatorRejected: g.Rejected,
		ExtractionP: g.extractP, ExtractionScore: g.score, Weight: map[palladium.Family]float64{},
		References: g.compared, Calibrated: g.compared >= minReferences, Trials: len(g.Trials), First: math.MaxInt64,
	}
	keys := map[palladium.Key]bool{}
	for i := 0; i < famCount; i++ {
		mean, share := g.support(i)
		name := familyName(i)
		if mean > 0 {
			f.Weight[name] = mean
		}
		// Either most members show it, or its own test leaves no doubt.
		if (mean < evidenceWeight || share < evidenceShare) && (g.trial.p[i] > plainP || mean <= 0) {
			continue
		}
		f.Families = append(f.Families, name)
		if g.opens(i) {
			keys[name.Key()] = true
		}
	}
	if g.trial.p[famQueue] < 1e-3 {
		f.Families = append(f.Families, palladium.Queue)
		keys[palladium.KeyWhat] = true
	}
	f.Keys = len(keys)
	orgs := map[uint32]int{}
	var probes, drawn float64
	for _, m := range g.members {
		p := pop.Profile(m.account)
		f.Exchanges += int64(p.Exchanges)
		f.Tokens.Input += int64(p.Input)
		f.Tokens.Output += int64(p.Output)
		f.Tokens.Reasoning += int64(p.Reasoning)
		f.First, f.Last = min(f.First, p.First), max(f.Last, p.Last)
		if p.Relation != 0 {
			f.Vouched++
		}
		if t := p.Edges[palladium.KindOrganization].Token; t != palladium.NoToken {
			orgs[t]++
		}
		probes += float64(p.Probes)
		drawn += float64(p.Exchanges)
	}
	n := float64(len(g.members))
	f.Vouched /= n
	f.Declared = float64(most(orgs)) / n
	f.Probing = probes > 0.2*drawn
	if g.trial.stranger {
		f.Collisions = g.trial.inside / math.Max(g.trial.expect, 1)
	}
	return f
}

// support is the mean weight of family f over the members and the share of members with 2 nats or more.
func (g *Group) support(f int) (mean, share float64) {
	for i := range g.weights {
		w := float64(g.weights[i][f])
		mean += w
		if w >= 2 {
			share++
		}
	}
	n := float64(max(len(g.weights), 1))
	return mean / n, share / n
}

// opens reports whether family f can count as a key: parameters and the like follow from the program that an account
// runs, so they never do; the others do when they chose the group or their own test rejects chance.
func (g *Group) opens(f int) bool {
	if f == famParameters {
		return false
	}
	if g.trial.p[f] < 1e-3 {
		return true
	}
	mean, _ := g.support(f)
	if f == famNetwork || f == famTemplate {
		return mean >= 5 && g.beyondSoftware(f)
	}
	return mean >= 4
}

// beyondSoftware reports whether the family rests on more than what a program brings with it.
func (g *Group) beyondSoftware(f int) bool {
	var hard, soft float32
	for tok, gain := range g.model.gain {
		k, ok := g.model.kindOf[tok]
		if !ok || familyIndex(k) != f {
			continue
		}
		v := gain * g.model.rate[tok]
		if k.Software() {
			soft = max(soft, v)
		} else {
			hard = max(hard, v)
		}
	}
	return hard >= 2
}

// Members returns the accounts of the group and their membership, by account number.
func (g *Group) Members() ([]uint32, []float64) {
	a, r := make([]uint32, len(g.members)), make([]float64, len(g.members))
	for i, m := range g.members {
		a[i], r[i] = m.account, float64(m.r)
	}
	return a, r
}

// Groups returns the tracker's groups, oldest first. They are live until the next Examine.
func (t *Tracker) Groups() []*Group { return t.groups }

// Stage returns the group's stage, and when it first reached review or act (Unix ms, 0 for never) with the exchanges
// drawn by then.
func (g *Group) Stage() (s palladium.Stage, at int64, drawn uint64) {
	return g.stage, g.decidedAt, g.drawn
}

// Decide records the stage that the policy gives the group at time now, and why.
func (g *Group) Decide(s palladium.Stage, why []string, now int64, drawn int64) {
	g.stage, g.why = s, why
	if (s == palladium.StageAct || s == palladium.StageReview) && g.decidedAt == 0 {
		g.decidedAt, g.drawn = now, uint64(drawn)
	}
}

// Campaign renders the group for a report.
func (t *Tracker) Campaign(g *Group, pop Population, names Names) palladium.Campaign {
	f := g.Facts(pop)
	c := palladium.Campaign{
		ID: g.ID, Stage: g.stage, OperatorP: f.OperatorP, ExtractionP: f.ExtractionP,
		First: time.UnixMilli(f.First).UTC(), Last: time.UnixMilli(f.Last).UTC(),
		Exchanges: f.Exchanges, Tokens: f.Tokens, ExchangesBeforeDetection: f.Exchanges,
	}
	if g.decidedAt != 0 {
		at := time.UnixMilli(g.decidedAt).UTC()
		c.DetectedAt, c.ExchangesBeforeDetection = &at, min(int64(g.drawn), f.Exchanges)
	}
	order := make([]int, len(g.members))
	for i := range order {
		order[i] = i
	}
	slices.SortFunc(order, func(a, b int) int {
		return cmp.Or(cmp.Compare(pop.Profile(g.members[b].account).Exchanges, pop.Profile(g.members[a].account).Exchanges),
			cmp.Compare(names.Name(g.members[a].account), names.Name(g.members[b].account)))
	})
	for _, i := range order {
		m := g.members[i]
		c.Accounts = append(c.Accounts, palladium.Member{ID: names.Name(m.account), Membership: math.Round(float64(m.r)*1e4) / 1e4})
	}
	c.Evidence = g.evidence(pop)
	c.CounterEvidence = g.counter(&f, pop)
	c.Techniques = techniques(g, &f)
	c.Detail = t.detail(g, &f, pop, names, order)
	return c
}

func techniques(g *Group, f *Facts) []string {
	out := []string{"AML.T0024.002", "AML.T0040"} // extract the model; access through its inference API
	if f.Probing {
		out = append(out, "AML.T0024.001")
	}
	if g.features[ftCues] > 0.4 {
		out = append(out, "AML.T0057")
	}
	return out
}

func (g *Group) evidence(pop Population) []palladium.Evidence {
	var out []palladium.Evidence
	for f := 0; f < famCount; f++ {
		mean, share := g.support(f)
		n := int(math.Round(share * float64(len(g.weights))))
		if n == 0 && g.trial.p[f] > 1e-3 || mean < 0.3 && g.trial.p[f] > 1e-3 {
			continue
		}
		if f == famQueue {
			n = len(g.members)
		}
		out = append(out, palladium.Evidence{Family: familyName(f), Says: g.says(f, n, pop), Accounts: n,
			Weight: math.Round(mean*100) / 100})
	}
	slices.SortStableFunc(out, func(a, b palladium.Evidence) int { return cmp.Compare(b.Weight, a.Weight) })
	return out
}

// says words one family's case.
func (g *Group) says(f, n int, pop Population) string {
	m := len(g.members)
	switch f {
	case famSchedule:
		s := fmt.Sprintf("%d of %d accounts draw the load that one dispatcher would deal them", n, m)
		if g.model.firstGain > 0.5 {
			s += fmt.Sprintf("; most began within %s of each other", span(g.model.firstHalf*2))
		}
		return s
	case famTwins:
		return fmt.Sprintf("%d of %d accounts ask about one mixture of topics, as if from one source", n, m)
	case famContinuity:
		return fmt.Sprintf("%d of %d accounts carry on a conversation, or send an answer, that was made for another of them", n, m)
	case famQueue:
		return fmt.Sprintf("no prompt was sent twice, though strangers drawing on the same list would have collided about %.0f times", g.trial.expect)
	}
	best, tok := float32(0), palladium.NoToken
	for t, gain := range g.model.gain {
		k, ok := g.model.kindOf[t]
		if !ok || familyIndex(k) != f {
			continue
		}
		if v := gain * g.model.rate[t]; v > best || v == best && t < tok {
			best, tok = v, t
		}
	}
	if tok == palladium.NoToken {
		return fmt.Sprintf("%d of %d accounts agree", n, m)
	}
	return fmt.Sprintf("%d of %d accounts %s; %.0f%% of the group hold the commonest one, %.3g times what is usual",
		n, m, verb(g.model.kindOf[tok]), 100*g.model.rate[tok], math.Exp(float64(g.model.gain[tok])))
}

func span(hours float32) string {
	if hours < 48 {
		return fmt.Sprintf("%.0f hours", max(hours, 1))
	}
	return fmt.Sprintf("%.0f days", hours/24)
}

// verb says in words what sharing a token of kind k means.
func verb(k palladium.Kind) string {
	switch k {
	case palladium.KindPayment:
		return "pay with the same instruments"
	case palladium.KindBIN:
		return "pay with cards of the same issuer range"
	case palladium.KindPhone:
		return "share phone prefixes"
	case palladium.KindEmail:
		return "have mail addresses of one pattern"
	case palladium.KindDevice:
		return "signed up on the same devices"
	case palladium.KindSignupIP, palladium.KindSignupNet:
		return "signed up from the same addresses"
	case palladium.KindCredential:
		return "use the same credentials"
	case palladium.KindIP, palladium.KindNet:
		return "come from the same addresses"
	case palladium.KindClientDevice:
		return "come from the same devices"
	case palladium.KindClient:
		return "show the same TLS, header and user-agent tuple"
	case palladium.KindSystem:
		return "send the same system prompt"
	case palladium.KindTools:
		return "offer the same tools"
	case palladium.KindShingle:
		return "repeat the same wording"
	case palladium.KindParams:
		return "send the same rare parameters"
	}
	return "agree"
}

// counter lists what speaks against the group, whether or not it is enough to clear it.
func (g *Group) counter(f *Facts, pop Population) []palladium.Counter {
	var out []palladium.Counter
	say := func(format string, a ...any) { out = append(out, palladium.Counter{Says: fmt.Sprintf(format, a...)}) }
	if f.Vouched > 0 {
		say("the operator vouches for %.0f%% of the accounts", 100*f.Vouched)
	}
	if f.Declared >= 0.2 {
		say("%.0f%% of the accounts declare one and the same organisation: they do not hide that they belong together", 100*f.Declared)
	}
	if g.trial.stranger {
		say("prompts repeat between the accounts about as often as between strangers who use one public list (%.0f repeats seen, %.0f expected)", g.trial.inside, g.trial.expect)
	}
	if g.features[ftCues] < 0.1 {
		say("hardly any prompt asks for reasoning, grading or training data")
	}
	if g.features[ftFlat] < 0.5 {
		say("use follows the hours of a working day")
	}
	if g.features[ftSystem] > 0.2 {
		say("most requests carry a system prompt, as applications do")
	}
	for _, i := range []int{famIdentity, famNetwork, famSchedule} {
		if mean, _ := g.support(i); mean < 0.5 {
			say("no agreement in %s", familyName(i))
		}
	}
	if len(out) == 0 {
		say("nothing found that speaks for these accounts")
	}
	return out
}

func (t *Tracker) detail(g *Group, f *Facts, pop Population, names Names, order []int) *palladium.Detail {
	d := &palladium.Detail{WhyStage: g.why, Days: g.Trials}
	if f.Calibrated {
		v := 0
		for i := range t.refs {
			if t.refs[i].vouched {
				v++
			}
		}
		d.Calibration = fmt.Sprintf("compared with %d benign linked groups of this traffic, %d of them vouched for by the operator", f.References, v)
	} else {
		d.Calibration = fmt.Sprintf("only %d benign linked groups to compare with, %d are needed: the group stays at watch", f.References, minReferences)
	}
	d.Timeline = g.timeline(pop)
	d.Features = t.ranges(g)
	d.WouldClear = g.wouldClear(f)
	d.Models = g.models(pop, names)
	g.accountDetails(d, pop, names, order)
	return d
}

// ranges puts each feature beside the reference groups'.
func (t *Tracker) ranges(g *Group) []palladium.Feature {
	out := make([]palladium.Feature, 0, featureCount)
	for i, n := range FeatureNames() {
		vals := make([]float64, 0, len(t.refs))
		for j := range t.refs {
			vals = append(vals, t.refs[j].features[i])
		}
		ft := palladium.Feature{Name: n[0], Says: n[1], Value: g.features[i]}
		if len(vals) > 0 {
			ft.P50, ft.P95 = stats.Quantile(vals, 0.5), stats.Quantile(vals, 0.95)
		}
		out = append(out, ft)
	}
	return out
}

func (g *Group) wouldClear(f *Facts) []string {
	var out []string
	out = append(out, "the operator vouching for the accounts (relation tenant, reseller, cohort or internal), once it has verified them")
	if f.Keys <= 2 {
		out = append(out, "either of its two keys of evidence being explained: two independent kinds are needed")
	}
	if !g.trial.stranger {
		out = append(out, "loads that differ between the accounts as those of independent users do, or prompts that collide as those of strangers do")
	}
	out = append(out, "use that a benign linked group of this traffic shows as well: an extraction p-value above the policy's limit")
	return out
}

func (g *Group) models(pop Population, names Names) []palladium.Share {
	hits, total := map[uint32]float64{}, 0.0
	for _, m := range g.members {
		p := pop.Profile(m.account)
		for i, h := range p.ModelHits {
			if h > 0 {
				hits[p.Models[i]] += float64(h)
				total += float64(h)
			}
		}
	}
	out := make([]palladium.Share, 0, len(hits))
	for h, k := range hits {
		if n := names.Model(uint64(h)); n != "" {
			out = append(out, palladium.Share{Name: n, Share: k / total})
		}
	}
	slices.SortFunc(out, func(a, b palladium.Share) int {
		return cmp.Or(cmp.Compare(b.Share, a.Share), cmp.Compare(a.Name, b.Name))
	})
	return out[:min(len(out), 8)]
}

// timeline adds up the members' load slots; what was drawn before the slots reach is put at the front.
func (g *Group) timeline(pop Population) []palladium.Draw {
	var newest uint32
	oldest := uint32(math.MaxUint32)
	for _, m := range g.members {
		p := pop.Profile(m.account)
		newest = max(newest, p.Slot)
		oldest = min(oldest, uint32(p.First/palladium.SlotMillis))
	}
	from := max(oldest, newest-min(newest, palladium.SlotCount-1))
	out := make([]palladium.Draw, newest-from+1)
	for i := range out {
		out[i].Start = time.UnixMilli(int64(from+uint32(i)) * palladium.SlotMillis).UTC()
	}
	for _, m := range g.members {
		p := pop.Profile(m.account)
		n := int64(max(p.Exchanges, 1))
		for i := range out {
			s := from + uint32(i)
			if s > p.Slot || p.Slot-s >= palladium.SlotCount {
				continue
			}
			k := int64(p.Loads[s%palladium.SlotCount])
			out[i].Exchanges += k
			out[i].Tokens.Input += int64(p.Input) * k / n
			out[i].Tokens.Output += int64(p.Output) * k / n
			out[i].Tokens.Reasoning += int64(p.Reasoning) * k / n
		}
	}
	return out
}

// detailAccounts bounds the accounts for which links and reasons are written out.
const detailAccounts = 2000

func (g *Group) accountDetails(d *palladium.Detail, pop Population, names Names, order []int) {
	for n, i := range order {
		m := g.members[i]
		p := pop.Profile(m.account)
		md := palladium.MemberDetail{ID: names.Name(m.account), Exchanges: int64(p.Exchanges),
			Tokens: palladium.Tokens{Input: int64(p.Input), Output: int64(p.Output), Reasoning: int64(p.Reasoning)},
			First:  time.UnixMilli(p.First).UTC(), Last: time.UnixMilli(p.Last).UTC()}
		if n < detailAccounts {
			for f := 0; f < famCount; f++ {
				if w := g.weights[i][f]; w >= 0.5 {
					md.Evidence = append(md.Evidence, palladium.Evidence{Family: familyName(f), Weight: math.Round(float64(w)*100) / 100,
						Says: accountSays(f), Accounts: g.sharing(f, i)})
				}
			}
			g.links(d, m.account, p, pop, names)
		}
		d.Members = append(d.Members, md)
	}
	slices.SortStableFunc(d.Links, func(a, b palladium.Link) int { return cmp.Compare(b.Weight, a.Weight) })
	d.Links = d.Links[:min(len(d.Links), 4000)]
}

// sharing counts the other members that family f speaks for.
func (g *Group) sharing(f, self int) int {
	n := 0
	for i := range g.weights {
		if i != self && g.weights[i][f] >= 2 {
			n++
		}
	}
	return n
}

func accountSays(f int) string {
	switch f {
	case famIdentity:
		return "sign-up or payment data that others of the group share"
	case famNetwork:
		return "addresses or client fingerprints that others of the group share"
	case famTemplate:
		return "wording that others of the group repeat"
	case famContinuity:
		return "a conversation or an answer that was made for another account of the group"
	case famTwins:
		return "the group's mixture of topics"
	case famSchedule:
		return "the load that one dispatcher would deal it"
	}
	return "request parameters that are rare elsewhere"
}

func (g *Group) links(d *palladium.Detail, a uint32, p *palladium.Profile, pop Population, names Names) {
	for e := range p.Edges {
		tok := p.Edges[e].Token
		if tok == palladium.NoToken {
			continue
		}
		gain, ok := g.model.gain[tok]
		if !ok || gain < 1.5 || g.model.rate[tok] < 0.05 {
			continue
		}
		k := pop.Token(tok).Kind
		label := names.Label(tok)
		if label == "" {
			label = fmt.Sprintf("%s %04x", kindLabel(k), pop.Token(tok).Hash>>48)
		}
		d.Links = append(d.Links, palladium.Link{Account: names.Name(a), Token: label, Family: k.Family(),
			Weight: math.Round(float64(gain)*100) / 100})
	}
}

func kindLabel(k palladium.Kind) string {
	names := [...]string{"payment", "card range", "phone prefix", "mail pattern", "device", "sign-up address", "sign-up network",
		"credential", "organisation", "address", "network", "client device", "client", "system prompt", "tools", "parameters",
		"wording", "conversation", "answer", "topic"}
	return names[k]
}
