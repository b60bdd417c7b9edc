package graph

import (
	"math"
	"math/bits"
	"math/rand/v2"
	"slices"
	"testing"
)

// logWeighted gives every edge the weight 1/log(d+5) of its column's degree d.
func logWeighted(edges []Edge, cols int) []Edge {
	degree := make([]int, cols)
	for _, e := range edges {
		degree[e.B]++
	}
	for i, e := range edges {
		edges[i].W = 1 / math.Log(float64(degree[e.B])+5)
	}
	return edges
}

// camouflaged is a background of 2000 rows and 500 columns of skewed popularity, and 60 rows from 2000 up that share
// 40 columns from 500 up at density 0.7 and spend as many edges again on popular columns.
func camouflaged(r *rand.Rand) (rows, cols int, edges []Edge) {
	rows, cols = 2060, 540
	popular := func() uint32 { return uint32(500 * math.Pow(r.Float64(), 3)) }
	for v := range uint32(2000) {
		for range 10 {
			edges = append(edges, Edge{A: v, B: popular()})
		}
	}
	for v := uint32(2000); v < 2060; v++ {
		for c := uint32(500); c < 540; c++ {
			if r.Float64() < 0.7 {
				edges = append(edges, Edge{A: v, B: c}, Edge{A: v, B: popular()})
			}
		}
	}
	return rows, cols, logWeighted(edges, cols)
}

func TestPeelFindsThePlantedBlockUnderCamouflage(t *testing.T) {
	for seed := range uint64(5) {
		rows, cols, edges := camouflaged(random(seed))
		r, c, density := Peel(rows, cols, edges)
		hit := 0
		for _, v := range r {
			if v >= 2000 {
				hit++
			}
		}
		own := 0
		for _, v := range c {
			if v >= 500 {
				own++
			}
		}
		if hit != 60 || len(r) > 62 || own != 40 {
			t.Errorf("seed %d: %d of 60 planted rows among %d, %d of 40 columns, density %.2f", seed, hit, len(r), own, density)
		}
		if !slices.IsSorted(r) || !slices.IsSorted(c) {
			t.Error("result is not ascending")
		}
	}
}

func TestPeelReachesHalfTheOptimum(t *testing.T) {
	r := random(3)
	worst := 1.0
	for trial := range 300 {
		rows, cols := 1+r.IntN(5), 1+r.IntN(5)
		edges := make([]Edge, r.IntN(16))
		for i := range edges {
			edges[i] = Edge{r.Uint32N(uint32(rows)), r.Uint32N(uint32(cols)), r.ExpFloat64()}
		}
		dense := func(set uint32) float64 {
			var sum float64
			for _, e := range edges {
				if set>>e.A&1 == 1 && set>>(uint32(rows)+e.B)&1 == 1 {
					sum += e.W
				}
			}
			return sum / float64(bits.OnesCount32(set))
		}
		best := 0.0
		for set := uint32(1); set < 1<<(rows+cols); set++ {
			best = max(best, dense(set))
		}
		gotRows, gotCols, density := Peel(rows, cols, edges)
		var set uint32
		for _, v := range gotRows {
			set |= 1 << v
		}
		for _, v := range gotCols {
			set |= 1 << (uint32(rows) + v)
		}
		if len(edges) == 0 {
			if set != 0 || density != 0 {
				t.Fatalf("a block in no edges: %v %v", gotRows, gotCols)
			}
			continue
		}
		if math.Abs(dense(set)-density) > 1e-9 || density < best/2-1e-9 {
			t.Fatalf("trial %d: density %v, of its set %v, best %v", trial, density, dense(set), best)
		}
		worst = min(worst, density/best)
	}
	t.Logf("worst share of the optimum: %.3f", worst)
}

func TestPeelIsDeterministic(t *testing.T) {
	rows, cols, edges := camouflaged(random(1))
	r1, c1, d1 := Peel(rows, cols, edges)
	r2, c2, d2 := Peel(rows, cols, edges)
	if !slices.Equal(r1, r2) || !slices.Equal(c1, c2) || d1 != d2 {
		t.Error("two runs differ")
	}
}

func BenchmarkPeel(b *testing.B) {
	r := random(6)
	const rows, cols = 100000, 50000
	edges := make([]Edge, 1000000)
	for i := range edges {
		edges[i] = Edge{A: r.Uint32N(rows), B: uint32(cols * math.Pow(r.Float64(), 2))}
	}
	logWeighted(edges, cols)
	b.ReportAllocs()
	for b.Loop() {
		Peel(rows, cols, edges)
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(len(edges)), "ns/edge")
}
