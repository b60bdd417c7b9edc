package graph

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"
)

// planted returns groups of equal size, with about inside edges from each node into its group and outside ones
// anywhere.
func planted(r *rand.Rand, groups, size int, inside, outside float64) (n int, edges []Edge, truth []uint32) {
	n = groups * size
	truth = make([]uint32, n)
	for v := range n {
		truth[v] = uint32(v % groups)
	}
	for range int(float64(n) * inside / 2) {
		g := r.IntN(groups)
		a, b := g+groups*r.IntN(size), g+groups*r.IntN(size)
		edges = append(edges, Edge{uint32(a), uint32(b), 0.5 + r.Float64()})
	}
	for range int(float64(n) * outside / 2) {
		edges = append(edges, Edge{r.Uint32N(uint32(n)), r.Uint32N(uint32(n)), 0.5 + r.Float64()})
	}
	return n, edges, truth
}

func clique(edges []Edge, from, to uint32, w float64) []Edge {
	for a := from; a < to; a++ {
		for b := a + 1; b < to; b++ {
			edges = append(edges, Edge{a, b, w})
		}
	}
	return edges
}

func TestLeidenRecoversPlantedGroups(t *testing.T) {
	for _, c := range []struct {
		groups, size    int
		inside, outside float64
		resolution      float64
	}{{20, 50, 16, 4, 0.1}, {200, 20, 10, 3, 0.1}, {3, 400, 20, 6, 0.015}} {
		n, edges, truth := planted(random(4), c.groups, c.size, c.inside, c.outside)
		got := Leiden(n, edges, c.resolution, 1)
		names := map[[2]uint32]int{} // found and true, by size
		for v := range n {
			names[[2]uint32{got[v], truth[v]}]++
		}
		right := 0
		for g := range uint32(c.groups) {
			most := 0
			for k, m := range names {
				if k[1] == g {
					most = max(most, m)
				}
			}
			right += most
		}
		if groups := int(slices.Max(got)) + 1; float64(right) < 0.98*float64(n) || groups < c.groups {
			t.Errorf("%+v: %d of %d nodes in place, %d communities", c, right, n, groups)
		}
		if found, planted := CPM(got, edges, c.resolution), CPM(truth, edges, c.resolution); found < planted*(1-1e-9) {
			t.Errorf("%+v: quality %v below the planted %v", c, found, planted)
		}
	}
}

func TestLeidenResolution(t *testing.T) {
	edges := clique(clique(nil, 0, 6, 1), 6, 12, 1)
	edges = append(edges, Edge{5, 6, 1})
	two := []uint32{0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 1, 2}
	one := []uint32{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1}
	for _, c := range []struct {
		name       string
		resolution float64
		want       []uint32
	}{
		{"between the density across, 1/36, and within, 1", 0.1, two},
		{"below the density across", 0.02, one},
		{"zero joins what is connected", 0, one},
		{"above every edge", 1.5, []uint32{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12}},
	} {
		if got := Leiden(13, edges, c.resolution, 7); !slices.Equal(got, c.want) { // node 12 has no edge
			t.Errorf("%s: %v", c.name, got)
		}
	}
	// The resolution is in units of weight: scaling both changes nothing, however heavy the edges.
	for i := range edges {
		edges[i].W *= 1e6
	}
	if got := Leiden(13, edges, 1e5, 7); !slices.Equal(got, two) {
		t.Errorf("scaled: %v", got)
	}
	// Heavier nodes ask for more weight: at 4 a node, pairs count 16-fold.
	heavy := []float64{4, 4, 4, 4, 4, 4, 4, 4, 4, 4, 4, 4, 1}
	if got := LeidenWeighted(heavy, edges, 1e5, 7); slices.Max(got) != 12 {
		t.Errorf("heavy nodes still cluster: %v", got)
	}
}

func TestLeidenIsConnectedLocallyBestAndDeterministic(t *testing.T) {
	r := random(9)
	for trial := range 300 {
		n := 2 + r.IntN(80)
		edges := make([]Edge, r.IntN(4*n))
		for i := range edges {
			edges[i] = Edge{r.Uint32N(uint32(n)), r.Uint32N(uint32(n)), r.ExpFloat64()}
		}
		gamma := []float64{0, 0.02, 0.1, 0.5}[trial%4]
		got := Leiden(n, edges, gamma, uint64(trial))
		if !slices.Equal(got, Leiden(n, edges, gamma, uint64(trial))) {
			t.Fatal("two runs of one seed differ")
		}
		u := NewUnionFind(n)
		for _, e := range edges {
			if got[e.A] == got[e.B] {
				u.Union(e.A, e.B)
			}
		}
		if u.Sets() != int(slices.Max(got))+1 {
			t.Fatalf("trial %d: %d communities in %d pieces", trial, slices.Max(got)+1, u.Sets())
		}
		q, label := CPM(got, edges, gamma), slices.Clone(got)
		for v := range label {
			for c := range slices.Max(got) + 2 {
				if label[v] = c; CPM(label, edges, gamma) > q+1e-9 {
					t.Fatalf("trial %d: node %d gains by moving to %d", trial, v, c)
				}
			}
			label[v] = got[v]
		}
	}
}

// TestLeidenFindsTheOptimum compares with all partitions of seven nodes.
func TestLeidenFindsTheOptimum(t *testing.T) {
	r, reached, trials := random(10), 0, 60
	for trial := range trials {
		edges := make([]Edge, 12)
		for i := range edges {
			edges[i] = Edge{r.Uint32N(7), r.Uint32N(7), r.Float64()}
		}
		best := math.Inf(-1)
		label := make([]uint32, 7)
		var try func(v int, used uint32)
		try = func(v int, used uint32) {
			if v == 7 {
				best = max(best, CPM(label, edges, 0.25))
				return
			}
			for c := range used + 1 {
				label[v] = c
				try(v+1, max(used, c+1))
			}
		}
		try(0, 0)
		if q := CPM(Leiden(7, edges, 0.25, uint64(trial)), edges, 0.25); q >= best-1e-9 {
			reached++
		} else if q < 0.7*best {
			t.Errorf("trial %d: quality %v of %v", trial, q, best)
		}
	}
	t.Logf("optimum reached in %d of %d", reached, trials)
	if reached < trials*8/10 {
		t.Errorf("optimum reached in %d of %d", reached, trials)
	}
}

func TestLeidenIgnoresWhatIsNoEdge(t *testing.T) {
	edges := []Edge{{0, 0, 5}, {0, 1, -1}, {0, 1, math.NaN()}, {0, 1, math.Inf(1)}, {0, 1, 0}}
	if got := Leiden(2, edges, 0.1, 1); !slices.Equal(got, []uint32{0, 1}) {
		t.Errorf("%v", got)
	}
	if got := Leiden(0, nil, 0.1, 1); len(got) != 0 {
		t.Errorf("%v", got)
	}
	defer func() {
		if recover() == nil {
			t.Error("an edge out of range was accepted")
		}
	}()
	Leiden(2, []Edge{{0, 2, 1}}, 0.1, 1)
}

func BenchmarkLeiden(b *testing.B) {
	for _, size := range []struct {
		name   string
		groups int
	}{{"edges=1e5", 400}, {"edges=1e6", 4000}} {
		n, edges, _ := planted(random(5), size.groups, 25, 16, 4)
		b.Run(size.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				Leiden(n, edges, 0.1, 1)
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(len(edges)), "ns/edge")
		})
	}
}
