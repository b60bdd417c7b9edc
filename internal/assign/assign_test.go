package assign

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"
)

// least tries every way.
func least(cost []float32, n, m int) float64 {
	best := math.Inf(1)
	used := make([]bool, m)
	var try func(i int, sum float64)
	try = func(i int, sum float64) {
		if i == n {
			best = min(best, sum)
			return
		}
		for j := range m {
			if !used[j] {
				used[j] = true
				try(i+1, sum+float64(cost[i*m+j]))
				used[j] = false
			}
		}
	}
	try(0, 0)
	return best
}

func TestAgainstEveryAssignment(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 4))
	for range 500 {
		n := 1 + rng.IntN(5)
		m := n + rng.IntN(3)
		cost := make([]float32, n*m)
		for i := range cost {
			cost[i] = float32(rng.IntN(9) - 4) // many ties
			if rng.IntN(2) == 0 {
				cost[i] = float32(rng.NormFloat64())
			}
		}
		got := Minimise(cost, n, m)
		sum := 0.0
		for i, j := range got {
			sum += float64(cost[i*m+j])
			if slices.Contains(got[:i], j) {
				t.Fatalf("column %d is given twice: %v", j, got)
			}
		}
		if want := least(cost, n, m); math.Abs(sum-want) > 1e-5 {
			t.Fatalf("%d by %d %v: cost %v, want %v", n, m, cost, sum, want)
		}
	}
}

func TestFindsAPlantedPermutation(t *testing.T) {
	rng := rand.New(rand.NewPCG(5, 6))
	const n, m = 300, 400
	perm := rng.Perm(m)
	cost := make([]float32, n*m)
	for i := range cost {
		cost[i] = float32(rng.NormFloat64() * 0.1)
	}
	for i := range n {
		cost[i*m+perm[i]] -= 1
	}
	if got := Minimise(cost, n, m); !slices.Equal(got, perm[:n]) {
		t.Error("the planted permutation is not found")
	}
	if got := Minimise(nil, 0, 0); len(got) != 0 {
		t.Errorf("nothing is assigned %v", got)
	}
}

func TestEndsWithoutNumbers(t *testing.T) {
	none := float32(math.NaN())
	if got := Minimise([]float32{none, none, none, 1}, 2, 2); !slices.Equal(got, []int{0, 1}) {
		t.Errorf("assigned %v", got)
	}
}

func BenchmarkRandom(b *testing.B) {
	rng := rand.New(rand.NewPCG(7, 8))
	const n = 1024
	cost := make([]float32, n*n)
	for i := range cost {
		cost[i] = float32(rng.NormFloat64())
	}
	for b.Loop() {
		Minimise(cost, n, n)
	}
}
