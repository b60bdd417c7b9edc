package linkage

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/palladium-guard/palladium"
)

func TestRollIsAMap(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 3))
	var got roll
	got.grow(4)
	want := map[uint64]uint32{}
	for a := range uint32(5000) {
		h := r.Uint64()
		if a%3 == 0 {
			h &= 0xff << 56 // all in one place
		}
		if n, ok := got.find(h); ok {
			if n != want[h] {
				t.Fatalf("hash %x: account %d, want %d", h, n, want[h])
			}
			continue
		}
		got.add(h, a)
		want[h] = a
	}
	for h, a := range want {
		if n, ok := got.find(h); !ok || n != a {
			t.Fatalf("hash %x: account %d, %v, want %d", h, n, ok, a)
		}
	}
	if _, ok := got.find(0x1234); ok || got.used != len(want) {
		t.Errorf("%d entered, want %d; a stranger is known: %v", got.used, len(want), ok)
	}
}

func TestChoose(t *testing.T) {
	r := rand.New(rand.NewPCG(4, 4))
	for n := range 35 {
		all := make([]uint64, n)
		var want []uint64
		for i := range all {
			all[i] = r.Uint64()
			if i < boundary || n <= fewShingles || all[i]&sampleBit == 0 {
				want = append(want, all[i])
			}
		}
		if got := choose(nil, all); !slices.Equal(got, want) {
			t.Errorf("of %d shingles %x, want %x", n, got, want)
		}
	}
}

func TestNearest(t *testing.T) {
	r := rand.New(rand.NewPCG(5, 5))
	for n := range 11 {
		cells := make([]centroid, n)
		var v [cellDims]float32
		for i := range v {
			v[i] = float32(r.NormFloat64())
			for c := range cells {
				cells[c].dir[i] = float32(r.NormFloat64()) / 16
			}
		}
		if n > 3 {
			cells[n-1] = cells[2] // the first of equals
		}
		best, at := float32(-1), -1
		for c := range cells {
			var d float32
			for i, f := range cells[c].dir {
				d += f * v[i]
			}
			if d > best {
				best, at = d, c
			}
		}
		if b, a := nearest(cells, &v); b != best || a != at {
			t.Errorf("of %d cells %d at %v, want %d at %v", n, a, b, at, best)
		}
	}
}

// The topic of one prompt is the signed sum of its terms' weights, scaled to TopicScale and rounded to the nearest.
func TestTopicOfOnePrompt(t *testing.T) {
	var x topics
	var d direction
	p := new(palladium.Profile)
	terms := []uint16{1, 2, 3, 40000, 65535, 17, 18, 19, 500}
	x.weigh(terms, &d)
	x.add(p, &d)
	var sum [palladium.TopicDims]float64
	for _, w := range terms {
		h := uint32(w) * 2654435761
		g := float64(x.terms[w].idf)
		if h>>20&1 != 0 {
			g = -g
		}
		sum[h>>24] += g
	}
	q := 0.0
	for _, f := range sum {
		q += f * f
	}
	for i, f := range sum {
		if want := f * palladium.TopicScale / math.Sqrt(q); math.Abs(float64(p.Topic[i])-want) > 1.01 {
			t.Errorf("dimension %d: %d, want %.2f", i, p.Topic[i], want)
		}
		if x.work[i] != 0 {
			t.Fatalf("dimension %d of the scratch is left at %v", i, x.work[i])
		}
	}
	if x.weigh(nil, &d); d.n != 0 {
		t.Error("no terms have a direction")
	}
	if x.add(p, &d); p.TopicN != 1 {
		t.Errorf("%d prompts, want 1", p.TopicN)
	}
}
