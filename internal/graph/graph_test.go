package graph

import (
	"math/rand/v2"
	"slices"
	"testing"
)

func random(seed uint64) *rand.Rand { return rand.New(rand.NewPCG(seed, 0)) }

func TestUnionFindAgainstRelabelling(t *testing.T) {
	r := random(1)
	const n = 200
	u := NewUnionFind(n - 1)
	if u.Add() != n-1 {
		t.Fatal("Add does not give the next number")
	}
	label := make([]uint32, n)
	for i := range label {
		label[i] = uint32(i)
	}
	for range 250 {
		a, b := r.Uint32N(n), r.Uint32N(n)
		from, to := label[b], label[a]
		root, joined := u.Union(a, b)
		if joined != (from != to) || u.Find(a) != root || u.Find(b) != root {
			t.Fatalf("Union(%d, %d) = %d, %v", a, b, root, joined)
		}
		size := 0
		for i := range label {
			if label[i] == from {
				label[i] = to
			}
			if label[i] == to {
				size++
			}
		}
		if u.Size(a) != size {
			t.Fatalf("size %d, want %d", u.Size(a), size)
		}
	}
	want := slices.Clone(label)
	sets := renumber(want)
	if got := u.Labels(); !slices.Equal(got, want) || u.Sets() != sets || u.Len() != n {
		t.Errorf("sets %d, want %d; labels %v, want %v", u.Sets(), sets, got, want)
	}
	for i := range label {
		if u.Same(0, uint32(i)) != (label[0] == label[i]) {
			t.Errorf("Same(0, %d) is wrong", i)
		}
	}
}

func BenchmarkUnionFind(b *testing.B) {
	r := random(2)
	const n = 1 << 20
	pairs := make([][2]uint32, n)
	for i := range pairs {
		pairs[i] = [2]uint32{r.Uint32N(n), r.Uint32N(n)}
	}
	b.ReportAllocs()
	for b.Loop() {
		u := NewUnionFind(n)
		for _, p := range pairs {
			u.Union(p[0], p[1])
		}
	}
}
