package brief

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/palladium-guard/palladium"
	"github.com/palladium-guard/palladium/internal/stats"
	"github.com/palladium-guard/palladium/traffic/campaign"
)

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
func (b *teller) counter(f *campaign.Facts) []palladium.Counter {
	var out []palladium.Counter
	var missing []string
	say := func(format string, a ...any) { out = append(out, palladium.Counter{Says: fmt.Sprintf(format, a...)}) }
	if f.Vouched > 0 {
		say("the operator vouches for %.0f %% of the accounts", 100*f.Vouched)
	}
	b.guests(say)
	if f.Declared >= 0.2 {
		say("%.0f %% of the accounts declare one and the same organisation: they do not hide that they belong together", 100*f.Declared)
	}
	if seen, expected, asStrangers := b.g.Collisions(); asStrangers {
		say("prompts repeat between the accounts about as often as between strangers who use one public list (%.0f repeats seen, %.0f expected): what they ask, and how, is no evidence of one operator", seen, expected)
	}
	if b.features["cues"] < 0.1 {
		say("hardly any prompt asks for reasoning, grading or training data")
	}
	if b.features["flat"] < 0.5 {
		say("use follows the hours of a working day")
	}
	if b.features["system"] > 0.2 {
		say("most requests carry a system prompt, as applications do")
	}
	for family, what := range map[palladium.Family]string{palladium.Identity: "sign-up data", palladium.Network: "addresses or clients", palladium.Schedule: "load or timing"} {
		if mean, _ := b.g.Support(family); mean < 0.5 {
			missing = append(missing, what)
		}
	}
	slices.Sort(missing)
	for _, what := range missing {
		say("the accounts do not agree in %s", what)
	}
	if len(out) == 0 {
		say("nothing found that speaks for these accounts")
	}
	return out
}

// guests says which accounts would belong but for the operator's word for them.
func (b *teller) guests(say func(format string, a ...any)) {
	var n [len(vouchedFor{})]int
	for _, a := range b.g.Guests() {
		if r := int(b.pop.Profile(a).Relation); r < len(n) {
			n[r]++
		}
	}
	for r, whose := range relations() {
		if n[r] > 0 && whose != "" {
			say("%d of the accounts linked to it %s", n[r], whose)
		}
	}
}

// vouchedFor is a table by Profile.Relation.
type vouchedFor [5]string

func relations() vouchedFor {
	return vouchedFor{1: "belong to a tenant you vouch for", 2: "belong to a reseller you vouch for",
		3: "belong to a class or programme you vouch for", 4: "are your own"}
}

func (b *teller) detail(f *campaign.Facts, order []int) *palladium.Detail {
	d := &palladium.Detail{WhyStage: b.g.Why(), Days: b.g.Trials}
	refs, vouched := b.t.References()
	switch {
	case f.Known < campaign.MinPopulation:
		d.Calibration = fmt.Sprintf("only %d accounts are known, too few to tell chance from design, %d are needed: the group stays at watch", f.Known, campaign.MinPopulation)
	case f.Calibrated:
		d.Calibration = fmt.Sprintf("%d benign linked groups of this traffic; of the %d known, the operator vouches for %d", f.References, len(refs), vouched)
	default:
		d.Calibration = fmt.Sprintf("only %d benign linked groups to compare with, %d are needed: the group stays at watch", f.References, campaign.MinReferences)
	}
	d.Timeline = b.timeline()
	d.Features = b.ranges(refs)
	d.WouldClear = b.wouldClear(f)
	d.Models = b.models()
	b.accountDetails(d, order)
	return d
}

// ranges puts each feature beside the reference groups'.
func (b *teller) ranges(refs [][]float64) []palladium.Feature {
	own := b.g.Features()
	out := make([]palladium.Feature, 0, len(own))
	vals := make([]float64, 0, len(refs))
	for i, n := range b.t.FeatureNames() {
		if math.IsNaN(own[i]) {
			continue // the traffic does not show it
		}
		vals = vals[:0]
		for j := range refs {
			if v := refs[j][i]; !math.IsNaN(v) {
				vals = append(vals, v)
			}
		}
		ft := palladium.Feature{Name: n[0], Says: n[1], Value: own[i]}
		if len(vals) > 0 {
			q := stats.Quantiles(vals, 0.5, 0.95)
			ft.P50, ft.P95 = q[0], q[1]
		}
		out = append(out, ft)
	}
	return out
}

func (b *teller) wouldClear(f *campaign.Facts) []string {
	var out []string
	out = append(out, "the operator vouching for the accounts (relation tenant, reseller, cohort or internal), once it has verified them")
	if f.Keys <= 2 {
		out = append(out, "either of its two keys of evidence being explained: two independent kinds are needed")
	}
	if _, _, asStrangers := b.g.Collisions(); !asStrangers {
		out = append(out, "loads that differ between the accounts as those of independent users do, or prompts that collide as those of strangers do")
	}
	out = append(out, "use that a benign linked group of this traffic shows as well: an extraction p-value above the policy's limit")
	return out
}

func (b *teller) models() []palladium.Share {
	hits, total := map[uint32]float64{}, 0.0
	for _, a := range b.accounts {
		p := b.pop.Profile(a)
		for i, h := range p.ModelHits {
			if h > 0 {
				hits[p.Models[i]] += float64(h)
				total += float64(h)
			}
		}
	}
	out := make([]palladium.Share, 0, len(hits))
	for h, k := range hits {
		if n := b.names.Model(uint64(h)); n != "" {
			out = append(out, palladium.Share{Name: n, Share: k / total})
		}
	}
	slices.SortFunc(out, func(x, y palladium.Share) int {
		return cmp.Or(cmp.Compare(y.Share, x.Share), cmp.Compare(x.Name, y.Name))
	})
	return out[:min(len(out), 8)]
}

// timeline adds up the members' load slots. They reach back palladium.SlotCount slots from the newest: what was drawn
// before is left out. Exchanges and output are what was counted in each; of an account's input each exchange has an equal part, and of its
// reasoning each output token.
func (b *teller) timeline() []palladium.Draw {
	var newest uint32
	oldest := uint32(math.MaxUint32)
	for _, a := range b.accounts {
		p := b.pop.Profile(a)
		newest = max(newest, p.Slot)
		oldest = min(oldest, uint32(p.First/palladium.SlotMillis))
	}
	from := max(oldest, newest-min(newest, palladium.SlotCount-1))
	out := make([]palladium.Draw, newest-from+1)
	for i := range out {
		out[i].Start = time.UnixMilli(int64(from+uint32(i)) * palladium.SlotMillis).UTC()
	}
	for _, a := range b.accounts {
		p := b.pop.Profile(a)
		n := int64(max(p.Exchanges, 1))
		for i := range out {
			s := from + uint32(i)
			if s > p.Slot || p.Slot-s >= palladium.SlotCount {
				continue
			}
			k := int64(p.Loads[s%palladium.SlotCount])
			out[i].Exchanges += k
			out[i].Tokens.Input += int64(p.Input) * k / n
			drawn := int64(p.Drawn[s%palladium.SlotCount])
			out[i].Tokens.Output += drawn
			out[i].Tokens.Reasoning += int64(float64(p.Reasoning) * float64(drawn) / float64(max(p.Output, 1)))
		}
	}
	return out
}

// detailAccounts bounds the accounts for which links and reasons are written out.
const detailAccounts = 2000

func (b *teller) accountDetails(d *palladium.Detail, order []int) {
	families := palladium.Families()
	var sharing [16]int
	for i := range b.accounts {
		for f, w := range b.g.Weights(i) {
			if w >= 2 {
				sharing[f]++
			}
		}
	}
	for n, i := range order {
		a := b.accounts[i]
		p := b.pop.Profile(a)
		md := palladium.MemberDetail{ID: b.names.Name(a), Exchanges: int64(p.Exchanges),
			Tokens: palladium.Tokens{Input: int64(p.Input), Output: int64(p.Output), Reasoning: int64(p.Reasoning)},
			First:  time.UnixMilli(p.First).UTC(), Last: time.UnixMilli(p.Last).UTC()}
		if n < detailAccounts {
			for f, w := range b.g.Weights(i) {
				if w < 0.5 {
					continue
				}
				others := sharing[f]
				if w >= 2 {
					others--
				}
				md.Evidence = append(md.Evidence, palladium.Evidence{Family: families[f], Weight: math.Round(float64(w)*100) / 100,
					Says: accountSays(families[f]), Accounts: others})
			}
			b.links(d, a, p)
		}
		d.Members = append(d.Members, md)
	}
	slices.SortStableFunc(d.Links, func(x, y palladium.Link) int { return cmp.Compare(y.Weight, x.Weight) })
	d.Links = d.Links[:min(len(d.Links), 4000)]
}

func accountSays(f palladium.Family) string {
	switch f {
	case palladium.Identity:
		return "sign-up or payment data that others of the group share"
	case palladium.Network:
		return "addresses or client fingerprints that others of the group share"
	case palladium.Template:
		return "wording that others of the group repeat"
	case palladium.Continuity:
		return "a conversation or an answer that was made for another account of the group"
	case palladium.Twins:
		return "the group's mixture of topics"
	case palladium.Schedule:
		return "the load that one dispatcher would deal it"
	}
	return "request parameters that are rare elsewhere"
}

func (b *teller) links(d *palladium.Detail, a uint32, p *palladium.Profile) {
	for e := range p.Edges {
		tok := p.Edges[e].Token
		if tok == palladium.NoToken {
			continue
		}
		s, ok := b.shared[tok]
		if !ok || s.Gain < 1.5 || s.Rate < 0.05 {
			continue
		}
		label := b.names.Label(tok)
		if label == "" {
			label = fmt.Sprintf("%s %04x", kindLabel(s.Kind), b.pop.Token(tok).Hash>>48)
		}
		d.Links = append(d.Links, palladium.Link{Account: b.names.Name(a), Token: label, Family: s.Kind.Family(),
			Weight: math.Round(s.Gain*100) / 100})
	}
}

func kindLabel(k palladium.Kind) string {
	names := [...]string{"payment", "card range", "phone prefix", "mail pattern", "device", "sign-up address", "sign-up network",
		"credential", "organisation", "address", "network", "client device", "client", "system prompt", "tools", "parameters",
		"wording", "conversation", "answer", "topic"}
	return names[k]
}
