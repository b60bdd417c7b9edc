package campaign

import (
	"math"
	"slices"

	"github.com/palladium-guard/palladium"
	"github.com/palladium-guard/palladium/internal/sketch"
	"github.com/palladium-guard/palladium/internal/stats"
)

// The features of the extraction test, each an average over a group's accounts or exchanges.
const (
	ftCues = iota
	ftSingle
	ftTemplated
	ftFresh
	ftFlat
	ftEven
	ftOutput
	ftRho
	ftTopical
	ftApart
	ftSize
	ftPace
	ftProbing
	ftSystem
	ftTools
	ftLength
	ftVaried
	ftCentral
	ftPayer
	ftYoung
	ftDistinct
	ftReasoning
	featureCount
)

// Features are the inputs of the extraction score, in the order of FeatureNames; NaN for what the traffic does not show.
type Features [featureCount]float64

// FeatureNames returns the name and meaning of each feature.
func FeatureNames() [featureCount][2]string {
	return [featureCount][2]string{
		{"cues", "requests that ask for reasoning, grading or training data (square root of their share)"},
		{"single", "requests of one turn, beyond the usual share"},
		{"templated", "requests in wording that the account repeats"},
		{"fresh", "prompts that nobody else had sent before"},
		{"flat", "evenness over the hours of the day"},
		{"even", "evenness of loads over the accounts"},
		{"output", "length of answers drawn, against the usual (log)"},
		{"rho", "similarity of topics between accounts against that within one"},
		{"topical", "concentration on topics that others seldom ask about"},
		{"apart", "accounts that declare no common organisation"},
		{"size", "accounts (log2)"},
		{"pace", "requests an account and active day (log)"},
		{"probing", "requests that probe token probabilities"},
		{"system", "requests with a system prompt, beyond the usual share"},
		{"tools", "requests that offer tools"},
		{"length", "length of prompts against the usual (log)"},
		{"varied", "variety of prompt lengths (bits)"},
		{"central", "accounts behind one network"},
		{"payer", "accounts on one payment instrument"},
		{"young", "accounts in use within a week of signing up"},
		{"distinct", "prompts that the account itself had not sent before"},
		{"reasoning", "reasoning in the answers drawn"},
	}
}

// Weights are the coefficients of the extraction score, a log-odds: Bias + sum of Coef[i] * feature i, after each
// feature is clipped to [Lo[i], Hi[i]]. A feature that the traffic does not show (NaN) counts as Mid[i], half-way
// between the classes. They are fitted by ridge logistic regression on simulated groups.
type Weights struct {
	Bias   float64
	Coef   Features
	Lo, Hi Features
	Mid    Features
}

// Score returns the log-odds that the group's use is extraction rather than that of a benign linked group. It orders
// groups; what it is worth is said by the reference groups.
func (w *Weights) Score(f *Features) float64 {
	s := w.Bias
	for i, c := range w.Coef {
		v := f[i]
		if math.IsNaN(v) {
			v = w.Mid[i]
		}
		s += c * min(max(v, w.Lo[i]), w.Hi[i])
	}
	return s
}

// usual is the population's habit that features are measured against.
type usual struct {
	single, system, output, words float64
	reasoning                     bool // reasoning tokens are counted at all
}

func usualOf(pop Population, sample []uint32) usual {
	var u usual
	var single, system, n float64
	outs, words := make([]float64, 0, len(sample)), make([]float64, 0, len(sample))
	for _, a := range sample {
		p := pop.Profile(a)
		if p.Exchanges == 0 {
			continue
		}
		e := float64(p.Exchanges)
		n++
		single += float64(p.Single) / e
		system += float64(p.WithSystem) / e
		u.reasoning = u.reasoning || p.Reasoning > 0
		words = append(words, float64(p.Words)/e)
		if p.WithOutput > 0 {
			outs = append(outs, float64(p.Output)/float64(p.WithOutput))
		}
	}
	if n > 0 {
		u.single, u.system = single/n, system/n
	}
	u.words, u.output = 1, 1
	if len(words) > 0 {
		u.words = max(stats.Median(words), 1)
	}
	if len(outs) > 0 {
		u.output = max(stats.Median(outs), 1)
	}
	return u
}

// featuresOf measures the group. p holds the same accounts laid out; it may be a sample of a large group.
func featuresOf(pop Population, p *pool, size int, u usual) Features {
	var f Features
	var n, cues, single, templated, repeats, output, withOut, probes, system, tools, words, pace float64
	var hours [24]float64
	var lengths [12]float64
	var young, dated, distinct, told, reasoning float64
	orgs, nets, payers := map[uint32]int{}, map[uint32]int{}, map[uint32]int{}
	for _, a := range p.acc {
		pr := pop.Profile(a)
		e := float64(pr.Exchanges)
		n += e
		var c float64
		for _, k := range pr.Cues[:6] {
			c += float64(k)
		}
		cues += min(c, e)
		single, templated = single+float64(pr.Single), templated+float64(pr.Templated)
		repeats, probes = repeats+float64(pr.Repeats), probes+float64(pr.Probes)
		output, withOut = output+float64(pr.Output), withOut+float64(pr.WithOutput)
		system, tools = system+float64(pr.WithSystem), tools+float64(pr.WithTools)
		words += float64(pr.Words)
		days := float64(pr.Last-pr.First)/8.64e7 + 1
		pace += math.Log1p(e / days)
		for h, k := range pr.Hours {
			hours[h] += float64(k)
		}
		for l, k := range pr.Lengths {
			lengths[l] += float64(k)
		}
		if t := pr.Edges[palladium.KindOrganization].Token; t != palladium.NoToken {
			orgs[t]++
		}
		if t := pr.Edges[palladium.KindPayment].Token; t != palladium.NoToken {
			payers[t]++
		}
		if pr.Created != 0 {
			dated++
			if pr.First-pr.Created < 7*86400000 {
				young++
			}
		}
		h := sketch.HLL6(pr.Distinct)
		distinct += min(h.Estimate(), e)
		told += float64(pr.Output)
		reasoning += float64(pr.Reasoning)
		bestNet(pr, nets)
	}
	if n == 0 {
		return f
	}
	m := float64(len(p.acc))
	f[ftCues] = math.Sqrt(cues / n)
	f[ftSingle] = single/n - u.single
	f[ftTemplated] = templated / n
	f[ftFresh] = 1 - repeats/n
	f[ftFlat] = 1 - stats.Harmonic(hours[:])
	all := make([]int, len(p.acc))
	for i := range all {
		all[i] = i
	}
	f[ftEven] = -p.Spread(all)
	unknown := math.NaN()
	f[ftOutput] = unknown
	if withOut > 0 {
		f[ftOutput] = math.Log(max(output/withOut, 1) / u.output)
	}
	if len(p.acc) >= 2 {
		x := p.Cross(all)
		f[ftTopical] = math.Sqrt(max(x, 0))
		if within, ok := p.Within(); ok {
			f[ftRho] = min(max(x/max(within, 0.01), -0.5), 1.5)
		}
	}
	f[ftApart] = 1 - float64(most(orgs))/m
	f[ftSize] = math.Log2(float64(size))
	f[ftPace] = pace / m
	f[ftProbing] = math.Sqrt(probes / n)
	f[ftSystem] = system/n - u.system
	f[ftTools] = tools / n
	f[ftLength] = math.Log(max(words/n, 1) / u.words)
	f[ftVaried] = stats.Entropy(lengths[:])
	f[ftCentral], f[ftPayer], f[ftYoung], f[ftReasoning] = unknown, unknown, unknown, unknown
	if len(nets) > 0 {
		f[ftCentral] = float64(most(nets)) / m
	}
	if len(payers) > 0 {
		f[ftPayer] = float64(most(payers)) / m
	}
	if dated > 0 {
		f[ftYoung] = young / dated
	}
	f[ftDistinct] = distinct / n
	if told > 0 && u.reasoning {
		f[ftReasoning] = reasoning / told
	}
	return f
}

func bestNet(pr *palladium.Profile, nets map[uint32]int) {
	lo, hi := palladium.KindNet.Slots()
	for e := lo; e < hi; e++ {
		if t := pr.Edges[e].Token; t != palladium.NoToken {
			nets[t]++
		}
	}
}

func most(m map[uint32]int) int {
	n := 0
	for _, k := range m {
		n = max(n, k)
	}
	return n
}

// reference is a benign linked group that campaigns are compared with.
type reference struct {
	score    float64
	accounts int
	features Features
	vouched  bool
}

// MinReferences is the least number of reference groups that the extraction test can be calibrated on.
const MinReferences = 20

// calibrate measures groups of accounts that one thing joins and no campaign claims: an office behind one address, an
// organisation, the users of one tool, a class. naturals are the tokens that joined them.
func (t *Tracker) calibrate(pop Population, newest uint32, u usual) {
	covered := map[uint32]bool{}
	t.refs = t.refs[:0]
	var p pool
	var buf []uint32
	for _, tok := range t.naturals {
		k := pop.Token(tok)
		if k.Holders < minAccounts || k.Holders > 2000 || len(t.refs) >= 400 {
			continue
		}
		buf = pop.Holders(tok, 200, buf[:0])
		if !t.eligible(pop, buf, covered) {
			continue
		}
		for _, a := range buf {
			covered[a] = true
		}
		slices.Sort(buf)
		p.load(pop, buf, newest)
		r := reference{accounts: int(k.Holders), vouched: vouched(pop, buf) > 0.5}
		r.features = featuresOf(pop, &p, int(k.Holders), u)
		r.score = t.opt.Weights.Score(&r.features)
		t.refs = append(t.refs, r)
	}
}

// eligible reports whether the accounts can serve as a reference: enough use, and neither a suspected campaign nor
// accounts that another reference already covers.
func (t *Tracker) eligible(pop Population, accounts []uint32, covered map[uint32]bool) bool {
	var claimed, seen, drawn int
	for _, a := range accounts {
		if g := t.owner[a]; g != nil && g.suspect() {
			claimed++
		}
		if covered[a] {
			seen++
		}
		drawn += int(pop.Profile(a).Exchanges)
	}
	n := len(accounts)
	return n >= minAccounts && claimed*5 <= n && seen*2 <= n && drawn >= 3*n
}

func vouched(pop Population, accounts []uint32) float64 {
	n := 0
	for _, a := range accounts {
		if pop.Profile(a).Relation != 0 {
			n++
		}
	}
	return float64(n) / float64(max(len(accounts), 1))
}

// extractionP is the conformal p-value of the group's score among the reference groups: those of like size where
// there are enough, else all. It also returns how many it was compared with.
func (t *Tracker) extractionP(score float64, size int) (float64, int) {
	var like, all []float64
	for i := range t.refs {
		r := &t.refs[i]
		all = append(all, r.score)
		if r.accounts*5 >= size && r.accounts <= size*5 {
			like = append(like, r.score)
		}
	}
	if len(like) >= 100 {
		all = like
	}
	if len(all) == 0 {
		return 1, 0
	}
	return stats.Conformal(all, score), len(all)
}
