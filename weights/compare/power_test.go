package compare

import (
	"math"
	"os"
	"slices"
	"strconv"
	"testing"

	"github.com/palladium-guard/palladium/internal/tensor"
)

// setting reads a number from the environment: the figures of the documentation are made with more models than fit into
// a test that runs every time.
func setting(t *testing.T, name string, otherwise int) int {
	s := os.Getenv(name)
	if s == "" {
		return otherwise
	}
	n, err := strconv.Atoi(s)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// kolmogorov returns the p-value of the greatest distance of x from the uniform distribution (Smirnov's series).
func kolmogorov(x []float64) (d, p float64) {
	x = slices.Sorted(slices.Values(x))
	n := float64(len(x))
	for i, v := range x {
		d = max(d, v-float64(i)/n, float64(i+1)/n-v)
	}
	l := (math.Sqrt(n) + 0.12 + 0.11/math.Sqrt(n)) * d
	for k := 1.0; k < 100; k++ {
		p += 2 * math.Pow(-1, k-1) * math.Exp(-2*k*k*l*l)
	}
	return d, min(1, max(0, p))
}

// Models that were trained apart, on the same texts in the same order, are never called derived, and the p-values of the
// test by number are uniform.
func TestTrainedApart(t *testing.T) {
	n := setting(t, "PALLADIUM_COMPARE_MODELS", 8)
	first := setting(t, "PALLADIUM_COMPARE_FIRST", 100)
	models := make([]*Model, n)
	for i := range models {
		list := trained(uint64(first+i), setting(t, "PALLADIUM_COMPARE_STEPS", 50)).tensors()
		models[i] = open(t, files(t, list, tensor.BF16, 1))
	}
	verdicts := map[Relation]int{}
	var ordered, matched, placed, tokens, both, sigma, score, bits []float64
	for i := range models {
		for j := range i {
			r, err := Compare(t.Context(), models[i], models[j], Options{Seed: uint64(i*1000 + j), SkipHash: true})
			if err != nil {
				t.Fatal(err)
			}
			verdicts[r.Relation]++
			if r.Relation == Derived || r.Relation == Same {
				t.Errorf("models trained apart are called %s\n%s", r.Relation, r.Text())
			}
			ordered = append(ordered, math.Exp(r.Independence.Ordered.LogP))
			matched = append(matched, math.Exp(r.Independence.Matched.LogP))
			placed = append(placed, math.Exp(r.Independence.InPlace.LogP))
			if x := r.Independence.Tokens; x != nil {
				tokens = append(tokens, math.Exp(x.Ordered.LogP))
			}
			both = append(both, r.Independence.LogP/math.Ln10)
			sigma, score = append(sigma, r.Attention.Sigma), append(score, r.Attention.Score)
			bits = append(bits, r.Distance.Bits)
		}
	}
	tail := func(x []float64) []float64 {
		s := slices.Sorted(slices.Values(x))
		at := func(q float64) float64 { return s[int(q*float64(len(s)-1))] }
		return []float64{s[0], at(0.01), at(0.5), at(0.99), s[len(s)-1]}
	}
	t.Logf("%d pairs: %v", len(ordered), verdicts)
	t.Logf("least, 1 %%, median, 99 %%, greatest: sigma %.2f; score %.4f; log10 p %.2f; bits %.2f", tail(sigma), tail(score), tail(both), tail(bits))
	for name, x := range map[string][]float64{"by number": ordered, "matched twice": matched, "in place": placed, "by number, tokens": tokens} {
		d, p := kolmogorov(x)
		t.Logf("p-values %s: uniform up to D = %.4f, p = %.3f; least %.2g; below 0.01, 0.001: %.4f, %.5f", name, d, p, slices.Min(x), below(x, 0.01), below(x, 0.001))
		if p < 1e-4 {
			t.Errorf("p-values %s are not uniform", name)
		}
	}
	if float64(verdicts[Unrelated]) < 0.95*float64(len(ordered)) {
		t.Errorf("of %d pairs trained apart only %d are called unrelated", len(ordered), verdicts[Unrelated])
	}
}

func below(x []float64, v float64) float64 {
	n := 0
	for _, f := range x {
		if f < v {
			n++
		}
	}
	return float64(n) / float64(len(x))
}

// What is derived is found, family by family; the least telling figures are logged.
func TestPower(t *testing.T) {
	families, steps := setting(t, "PALLADIUM_COMPARE_FAMILIES", 0), setting(t, "PALLADIUM_COMPARE_STEPS", 60)
	if families == 0 {
		t.Skip("set PALLADIUM_COMPARE_FAMILIES to measure the power; TestRelations has one family")
	}
	type figures struct {
		right, n     int
		p, sigma     float64
		low, highest float64 // cosine in place
	}
	var order []string
	found := map[string]*figures{}
	for f := range families {
		base := trained(uint64(5000+2*f), steps)
		a := base.model(t)
		for _, c := range relatives(t, base, trained(uint64(5001+2*f), steps), steps, uint64(f)) {
			x := found[c.name]
			if x == nil {
				x = &figures{p: math.Inf(-1), sigma: math.Inf(1), low: 1, highest: -1}
				found[c.name], order = x, append(order, c.name)
			}
			r := compared(t, a, open(t, c.b))
			if x.n++; r.Relation == c.want {
				x.right++
			} else {
				t.Logf("%s: %s\n%s", c.name, r.Relation, r.Text())
			}
			x.p, x.sigma = max(x.p, r.Independence.LogP/math.Ln10), min(x.sigma, r.Attention.Sigma)
			if d := r.Distance; d != nil {
				x.low, x.highest = min(x.low, d.Cosine), max(x.highest, d.Cosine)
			}
		}
	}
	for _, name := range order {
		x := found[name]
		t.Logf("| %s | %d of %d | 1e%.1f | %.1f | %.3f to %.3f |", name, x.right, x.n, x.p, x.sigma, x.low, x.highest)
	}
}
