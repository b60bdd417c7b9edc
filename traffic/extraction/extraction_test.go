package extraction

import (
	"math"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/palladium-guard/palladium"
	"github.com/palladium-guard/palladium/internal/stats/cohesion"
)

func TestAgainstReferences(t *testing.T) {
	refs := func(n, accounts int, score float64) (out []palladium.LinkedUse) {
		for i := range n {
			out = append(out, palladium.LinkedUse{Score: score - float64(i)/1000, Accounts: accounts})
		}
		return out
	}
	for _, c := range []struct {
		name  string
		refs  []palladium.LinkedUse
		score float64
		size  int
		p     float64
		n     int
	}{
		{"nothing to compare with", nil, 9, 20, 1, 0},
		{"beyond all: the floor", refs(19, 20, -2), 1, 20, 1.0 / 20, 19},
		{"below all", refs(19, 20, 5), 1, 20, 1, 19},
		{"few of like size: all count", append(refs(99, 20, -2), refs(100, 900, 5)...), 1, 20, 101.0 / 200, 199},
		{"enough of like size: they alone count", append(refs(100, 20, -2), refs(100, 900, 5)...), 1, 20, 1.0 / 101, 100},
	} {
		if p, n := New(Weights{}).PValue(c.score, c.size, c.refs); math.Abs(p-c.p) > 1e-12 || n != c.n {
			t.Errorf("%s: p %v of %d, want %v of %d", c.name, p, n, c.p, c.n)
		}
	}
}

func TestParseWeights(t *testing.T) {
	for _, c := range []struct{ name, text, want string }{
		{"good", `{"version": 1, "bias": -2, "features": {"cues": {"coef": 3, "lo": 0, "hi": 1}}}`, ""},
		{"no json", `nothing`, "read the extraction weights"},
		{"other version", `{"version": 2}`, "version 2"},
		{"unknown key", `{"version": 1, "prior": 3}`, "prior"},
		{"unknown feature", `{"version": 1, "features": {"cue": {}}}`, "1 of its features"},
	} {
		w, err := ParseWeights([]byte(c.text))
		if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
			t.Errorf("%s: %v", c.name, err)
		}
		if c.want == "" {
			for _, s := range []struct{ cues, score float64 }{{0.5, -0.5}, {7, 1}, {-7, -2}} {
				if got := w.Score(&Features{ftCues: s.cues}); got != s.score {
					t.Errorf("score of %v is %v, want %v", s.cues, got, s.score)
				}
			}
		}
	}
}

// group is n accounts that send one request an hour each through the night, in wording of their own.
func group(n int, change func(i int, p *palladium.Profile)) ([]*palladium.Profile, *cohesion.Sample) {
	s := &cohesion.Sample{Slots: 4, Loads: make([]cohesion.Row, n), Mean: make([]cohesion.Vector, n), Events: make([]int32, n)}
	out := make([]*palladium.Profile, n)
	for i := range out {
		p := &palladium.Profile{Exchanges: 48, Single: 24, WithOutput: 48, Output: 4800, Input: 480, Words: 960, First: 10 * 86_400_000, Last: 12*86_400_000 - 1}
		for e := range p.Edges {
			p.Edges[e].Token = palladium.NoToken
		}
		for h := range p.Hours {
			p.Hours[h] = 2
		}
		p.Lengths[4], p.Lengths[5] = 24, 24
		s.Mean[i][i%cohesion.Dims], s.Events[i] = 0.5, 48
		s.Loads[i][0], s.Loads[i][1] = 24, 24
		change(i, p)
		out[i] = p
	}
	return out, s
}

// Each habit moves its own feature, as documented.
func TestMeasure(t *testing.T) {
	usual, _ := group(20, func(int, *palladium.Profile) {})
	net, _ := palladium.KindNet.Slots()
	for _, c := range []struct {
		name   string
		want   map[int]float64
		change func(i int, p *palladium.Profile)
	}{
		{"as usual", map[int]float64{ftCues: 0, ftSingle: 0, ftTemplated: 0, ftFresh: 1, ftFlat: 1, ftOutput: 0, ftApart: 1, ftSize: 3, ftPace: math.Log1p(16),
			ftProbing: 0, ftSystem: 0, ftTools: 0, ftLength: 0, ftVaried: 1, ftTopical: 0, ftRho: 0}, func(int, *palladium.Profile) {}},
		{"a quarter of the requests asks for reasoning", map[int]float64{ftCues: 0.5}, func(_ int, p *palladium.Profile) { p.Cues[1] = 12 }},
		{"cues of other kinds do not count", map[int]float64{ftCues: 0}, func(_ int, p *palladium.Profile) { p.Cues[7] = 40 }},
		{"all of one turn", map[int]float64{ftSingle: 0.5}, func(_ int, p *palladium.Profile) { p.Single = 48 }},
		{"wording, repeats and tools", map[int]float64{ftTemplated: 0.5, ftFresh: 0.75, ftTools: 1}, func(_ int, p *palladium.Profile) { p.Templated, p.Repeats, p.WithTools = 24, 12, 48 }},
		{"probing", map[int]float64{ftProbing: 0.5}, func(_ int, p *palladium.Profile) { p.Probes = 12 }},
		{"long answers and prompts", map[int]float64{ftOutput: math.Log(4), ftLength: math.Ln2}, func(_ int, p *palladium.Profile) { p.Output, p.Words = 19_200, 1920 }},
		{"half on one network and one payment", map[int]float64{ftCentral: 0.5, ftPayer: 0.5}, func(i int, p *palladium.Profile) {
			other := uint32(i + 10)
			if i < 4 {
				other = 1
			}
			p.Edges[net].Token, p.Edges[palladium.KindPayment].Token = other, other
		}},
		{"one organisation", map[int]float64{ftApart: 0}, func(_ int, p *palladium.Profile) { p.Edges[palladium.KindOrganization].Token = 3 }},
		{"a quarter is young, of those whose sign-up is known", map[int]float64{ftYoung: 0.25}, func(i int, p *palladium.Profile) {
			if p.Created = 86_400_000; i%4 == 0 {
				p.Created = 9 * 86_400_000
			}
		}},
		{"unknown", map[int]float64{ftYoung: math.NaN(), ftCentral: math.NaN(), ftPayer: math.NaN(), ftReasoning: math.NaN(), ftOutput: math.NaN()},
			func(_ int, p *palladium.Profile) { p.WithOutput = 0 }},
	} {
		test := New(Weights{})
		test.Usual(usual)
		accounts, s := group(8, c.change)
		got := test.Measure(accounts, s, 8)
		if len(got) != len(test.Names()) {
			t.Fatalf("%d features with %d names", len(got), len(test.Names()))
		}
		for f, want := range c.want {
			if d := math.Abs(got[f] - want); d > 1e-6 || math.IsNaN(d) != math.IsNaN(want) {
				t.Errorf("%s: %s is %v, want %v", c.name, Names()[f][0], got[f], want)
			}
		}
	}
	if f := New(Weights{}).Measure(nil, &cohesion.Sample{}, 0); len(f) != int(featureCount) {
		t.Error("nobody has no features")
	}
}

func TestScore(t *testing.T) {
	w := Weights{Bias: -1}
	w.Coef[ftCues], w.Lo[ftCues], w.Hi[ftCues], w.Mid[ftCues] = 2, 0, 1, 0.25
	test := New(w)
	for _, c := range []struct {
		features []float64
		want     float64
	}{{[]float64{0.5}, 0}, {[]float64{9}, 1}, {[]float64{math.NaN()}, -0.5}, {nil, -0.5}, {make([]float64, 99), -1}} {
		if got := test.Score(c.features); math.Abs(got-c.want) > 1e-12 {
			t.Errorf("score of %v is %v, want %v", c.features, got, c.want)
		}
	}
}

// Where group and references are exchangeable, p is small no more often than it says. 20,000 draws: the limits are
// three deviations above. Ties, as of a score that is clipped, make it larger, never smaller.
func TestPValueIsSuperUniform(t *testing.T) {
	r := rand.New(rand.NewPCG(7, 7))
	test := New(Weights{})
	for _, c := range []struct {
		name string
		n    int
		draw func() float64
	}{
		{"normal", 40, r.NormFloat64},
		{"clipped", 40, func() float64 { return min(max(r.NormFloat64(), -0.5), 0.5) }},
		{"few", 20, r.NormFloat64},
		{"many of like size", 150, r.ExpFloat64},
	} {
		const draws = 20_000
		levels := []float64{0.01, 0.05, 0.1, 0.25, 0.5}
		below := make([]int, len(levels))
		refs := make([]palladium.LinkedUse, c.n)
		for range draws {
			for i := range refs {
				refs[i] = palladium.LinkedUse{Score: c.draw(), Accounts: 10}
			}
			p, n := test.PValue(c.draw(), 12, refs)
			if n != c.n {
				t.Fatalf("%s: compared with %d", c.name, n)
			}
			for i, a := range levels {
				if p <= a {
					below[i]++
				}
			}
		}
		for i, a := range levels {
			if limit := draws*a + 3*math.Sqrt(draws*a*(1-a)); float64(below[i]) > limit {
				t.Errorf("%s: p <= %v in %d of %d draws", c.name, a, below[i], draws)
			}
		}
	}
}

func FuzzParseWeights(f *testing.F) {
	f.Add([]byte(`{"version": 1, "bias": -2, "features": {"cues": {"coef": 3, "lo": 0, "hi": 1}}}`))
	f.Add([]byte(`{}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		w, err := ParseWeights(data)
		if err != nil {
			return
		}
		w.Score(&Features{})
	})
}
