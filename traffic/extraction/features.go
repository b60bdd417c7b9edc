package extraction

import (
	"math"

	"github.com/palladium-guard/palladium"
	"github.com/palladium-guard/palladium/internal/sketch"
	"github.com/palladium-guard/palladium/internal/stats"
	"github.com/palladium-guard/palladium/internal/stats/cohesion"
)

// The features of the test, each an average over a group's accounts or exchanges.
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

// Features are the inputs of the score, in the order of Names; NaN for what the traffic does not show.
type Features [featureCount]float64

// Names returns the name and meaning of each feature.
func Names() [featureCount][2]string {
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

// usual is the population's habit that features are measured against.
type usual struct {
	single, system, output, words float64
	reasoning                     bool // reasoning tokens are counted at all
}

func usualOf(sample []*palladium.Profile) usual {
	var u usual
	var single, system, n float64
	outs, words := make([]float64, 0, len(sample)), make([]float64, 0, len(sample))
	for _, p := range sample {
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

func measure(group []*palladium.Profile, s *cohesion.Sample, size int, u usual) Features {
	var f Features
	var n, cues, single, templated, repeats, output, withOut, probes, system, tools, words, pace float64
	var hours [24]float64
	var lengths [12]float64
	var young, dated, distinct, told, reasoning float64
	orgs, nets, payers := map[uint32]int{}, map[uint32]int{}, map[uint32]int{}
	for _, pr := range group {
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
	m := float64(len(group))
	f[ftCues] = math.Sqrt(cues / n)
	f[ftSingle] = single/n - u.single
	f[ftTemplated] = templated / n
	f[ftFresh] = 1 - repeats/n
	f[ftFlat] = 1 - stats.Harmonic(hours[:])
	all := make([]int, len(group))
	for i := range all {
		all[i] = i
	}
	f[ftEven] = -s.Spread(all)
	unknown := math.NaN()
	f[ftOutput] = unknown
	if withOut > 0 {
		f[ftOutput] = math.Log(max(output/withOut, 1) / u.output)
	}
	if len(group) >= 2 {
		x := s.Cross(all)
		f[ftTopical] = math.Sqrt(max(x, 0))
		if within, ok := s.Within(); ok {
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
