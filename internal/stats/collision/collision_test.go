package collision

import (
	"math/rand/v2"
	"slices"
	"testing"
)

// keep is how many items are sampled of a source, as of a real one.
const keep = 24

// sample returns the items of the smallest hashes.
func sample(items []uint32) []uint32 {
	items = slices.Clone(items)
	slices.Sort(items)
	items = slices.Compact(items)
	for len(items) < keep {
		items = append(items, None)
	}
	return items[:keep]
}

// hash spreads item numbers of list l.
func hash(l, i int) uint32 {
	h := uint64(l)<<32 + uint64(i)
	h = (h ^ h>>30) * 0xbf58476d1ce4e5b9
	h = (h ^ h>>27) * 0x94d049bb133111eb
	return uint32(h >> 33)
}

// strangers draw for themselves from list l of n items, each least to most of them.
func strangers(r *rand.Rand, sources, l, n, least, most int) [][]uint32 {
	out := make([][]uint32, sources)
	for s := range out {
		var items []uint32
		for _, i := range r.Perm(n)[:least+r.IntN(most-least+1)] {
			items = append(items, hash(l, i))
		}
		out[s] = sample(items)
	}
	return out
}

// queue deals the n items of list l to the sources, each once but for the share that is refused and sent again by another.
func queue(r *rand.Rand, sources, l, n int, refused float64) [][]uint32 {
	all := make([][]uint32, sources)
	for at, i := range r.Perm(n) {
		all[at%sources] = append(all[at%sources], hash(l, i))
		if r.Float64() < refused {
			other := r.IntN(sources)
			all[other] = append(all[other], hash(l, i))
		}
	}
	for s := range all {
		all[s] = sample(all[s])
	}
	return all
}

// own makes up items that nobody else sends.
func own(r *rand.Rand, sources int) [][]uint32 {
	out := make([][]uint32, sources)
	for s := range out {
		for range 60 {
			out[s] = append(out[s], uint32(r.Uint64()>>33)|1)
		}
		out[s] = sample(out[s])
	}
	return out
}

func TestPublicLists(t *testing.T) {
	for seed := range uint64(10) {
		r := rand.New(rand.NewPCG(seed, 1))
		for _, c := range []struct {
			name        string
			own, others [][]uint32
			retried     float64
			public      bool
		}{
			{"evaluators of one benchmark", strangers(r, 30, 1, 1000, 60, 300), slices.Concat(strangers(r, 20, 1, 1000, 60, 300), own(r, 44)), 0, true},
			{"on the list, most of its users among them", strangers(r, 60, 1, 1000, 60, 300), slices.Concat(strangers(r, 4, 1, 1000, 200, 300), own(r, 60)), 0, true},
			{"few evaluators who send all of it", strangers(r, 8, 1, 200, 200, 200), slices.Concat(strangers(r, 8, 1, 200, 200, 200), own(r, 20)), 0, true},
			{"a queue of the same list", queue(r, 40, 1, 1000, 0), slices.Concat(strangers(r, 20, 1, 1000, 60, 300), own(r, 44)), 0, false},
			{"a queue with retries", queue(r, 40, 1, 1000, 0.05), slices.Concat(strangers(r, 20, 1, 1000, 60, 300), own(r, 44)), 40 * keep * 0.05, false},
			{"two queues of one list", slices.Concat(queue(r, 40, 1, 1000, 0), queue(r, 40, 1, 1000, 0)), slices.Concat(strangers(r, 20, 1, 1000, 60, 300), own(r, 44)), 0, false},
			{"a list of their own, drawn at random", strangers(r, 40, 2, 1000, 60, 300), slices.Concat(strangers(r, 20, 1, 1000, 60, 300), own(r, 44)), 0, false},
			{"items of their own", own(r, 40), own(r, 64), 0, false},
			{"nobody near", strangers(r, 30, 1, 1000, 60, 300), nil, 0, false},
			{"nobody", nil, strangers(r, 20, 1, 1000, 60, 300), 0, false},
		} {
			if l := Compare(c.own, c.others, c.retried); l.Public != c.public {
				t.Errorf("seed %d: %s: %+v", seed, c.name, l)
			}
		}
	}
}

func TestDealt(t *testing.T) {
	r := rand.New(rand.NewPCG(2, 2))
	others := slices.Concat(strangers(r, 30, 1, 1000, 60, 300), own(r, 34))
	dealt := Compare(queue(r, 40, 1, 1000, 0), others, 0)
	if p := dealt.Dealt(); p > -3 || dealt.Inside != 0 {
		t.Errorf("a queue: log p %v, %+v", p, dealt)
	}
	for _, l := range []List{{}, {Inside: 1, Expect: 90}, {Expect: 2.9}} {
		if l.Dealt() != 0 {
			t.Errorf("%+v: log p %v", l, l.Dealt())
		}
	}
}

func TestUsersAmongOthers(t *testing.T) {
	first := func(n int) (out []int) {
		for i := range n {
			out = append(out, i)
		}
		return out
	}
	for seed := range uint64(10) {
		r := rand.New(rand.NewPCG(seed, 3))
		mixed := Users(slices.Concat(strangers(r, 12, 1, 400, 200, 300), queue(r, 60, 1, 400, 0)))
		if n := len(mixed); n < 10 || slices.Max(mixed) >= 12 {
			t.Errorf("seed %d: 12 evaluators beside a queue of the same list: %v", seed, mixed)
		}
		for _, c := range []struct {
			name string
			of   [][]uint32
			want []int
		}{
			{"evaluators beside a campaign of its own items", slices.Concat(strangers(r, 12, 1, 400, 150, 300), own(r, 60)), first(12)},
			{"only evaluators", strangers(r, 40, 1, 400, 150, 300), nil},
			{"half and half", slices.Concat(strangers(r, 30, 1, 400, 150, 300), own(r, 30)), nil},
			{"a campaign that draws with repeats", strangers(r, 60, 2, 1000, 60, 100), nil},
			{"a queue with retries", queue(r, 60, 1, 4000, 0.05), nil},
			{"two who send the same", slices.Concat(strangers(r, 2, 1, 100, 100, 100), own(r, 30)), nil},
			{"nobody", nil, nil},
		} {
			if got := Users(c.of); !slices.Equal(got, c.want) {
				t.Errorf("seed %d: %s: %v, want %v", seed, c.name, got, c.want)
			}
		}
	}
}
