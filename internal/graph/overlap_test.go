package graph

import (
	"slices"
	"testing"
)

func TestOverlaps(t *testing.T) {
	got := Overlaps([][]string{{"a", "b", "c", "d"}, {"x"}, {"c", "d", "e"}, {"a", "x"}})
	want := []Edge{{0, 2, 2.0 / 3}, {0, 3, 0.5}, {1, 3, 1}}
	if !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

func TestModular(t *testing.T) {
	var edges []Edge // two cliques of five, joined by one edge
	for c := range uint32(2) {
		for i := range uint32(5) {
			for j := range i {
				edges = append(edges, Edge{c*5 + i, c*5 + j, 1})
			}
		}
	}
	edges = append(edges, Edge{0, 5, 1})
	if got := Modular(10, edges, 1, 1); !slices.Equal(got, []uint32{0, 0, 0, 0, 0, 1, 1, 1, 1, 1}) {
		t.Errorf("communities %v", got)
	}
}
