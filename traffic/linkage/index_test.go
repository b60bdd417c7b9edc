package linkage

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/palladium-guard/palladium"
)

const hourMillis = 3_600_000

func TestLoads(t *testing.T) {
	slot := func(n int64) int64 { return n*palladium.SlotMillis + 5 }
	for _, c := range []struct {
		name  string
		times []int64 // in slots
		want  map[int64]uint16
	}{
		{"one slot", []int64{40, 40}, map[int64]uint16{40: 2}},
		{"skipped slots are empty", []int64{8, 9, 10, 41, 43}, map[int64]uint16{41: 1, 43: 1, 42: 0, 12: 0}},
		{"a long pause clears all", []int64{8, 9, 500}, map[int64]uint16{500: 1, 499: 0, 472: 0}},
		{"late by a slot", []int64{40, 41, 40}, map[int64]uint16{40: 2, 41: 1}},
		{"too late to count", []int64{100, 40}, map[int64]uint16{100: 1, 72: 0}},
	} {
		var p palladium.Profile
		for i, s := range c.times {
			if i == 0 {
				p.Slot = uint32(s)
			}
			load(&p, slot(s), s) // as many tokens as the slot's number
		}
		for s, n := range c.want {
			if got := p.Loads[s%palladium.SlotCount]; got != n {
				t.Errorf("%s: %d in slot %d, want %d", c.name, got, s, n)
			}
			if got := p.Drawn[s%palladium.SlotCount]; got != uint32(n)*uint32(s) {
				t.Errorf("%s: %d tokens in slot %d, want %d", c.name, got, s, uint32(n)*uint32(s))
			}
		}
	}
}

func TestKeepSmallest(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 1))
	for range 50 {
		var got [palladium.PromptKeep]uint32
		for i := range got {
			got[i] = ^uint32(0)
		}
		var all []uint32
		for range r.IntN(200) {
			h := r.Uint32N(300)
			all = append(all, h)
			keepSmallest(&got, h)
		}
		slices.Sort(all)
		all = slices.Compact(all)
		for len(all) < len(got) {
			all = append(all, ^uint32(0))
		}
		if !slices.Equal(got[:], all[:len(got)]) {
			t.Fatalf("got %v, want %v", got, all[:len(got)])
		}
	}
}

// A token is put up when it has 6 holders, and again each time these have grown by half.
func TestDirty(t *testing.T) {
	x := New(stateOptions())
	var at []int
	for i := range 60 {
		x.Observe(&palladium.Observation{Account: fmt.Sprint("a", i), Time: int64(i), IP: 77})
		tokens, _ := x.Dirty()
		if len(tokens) > 0 {
			at = append(at, i+1)
		}
	}
	if want := []int{6, 9, 13, 19, 28, 42}; !slices.Equal(at, want) {
		t.Errorf("looked at with %v holders, want %v", at, want)
	}
}

func TestPartners(t *testing.T) {
	h := []uint64{mix(1), mix(2), mix(3), mix(4)}
	send := func(id string, hour int64, o palladium.Observation) palladium.Observation {
		o.Account, o.Time = id, hour*hourMillis
		return o
	}
	refused := palladium.Outcome{Status: 429}
	for _, c := range []struct {
		name string
		obs  []palladium.Observation
		want bool
	}{
		{"a conversation moves", []palladium.Observation{
			send("a", 0, palladium.Observation{Chain: h[:1]}), send("b", 1, palladium.Observation{Chain: h[:2]})}, true},
		{"a conversation stays", []palladium.Observation{
			send("b", 0, palladium.Observation{}), send("a", 0, palladium.Observation{Chain: h[:1]}), send("a", 1, palladium.Observation{Chain: h[:2]})}, false},
		{"an answer comes back", []palladium.Observation{
			send("a", 0, palladium.Observation{Answers: h[:3]}), send("b", 1, palladium.Observation{Quotes: h[1:4]})}, true},
		{"one shingle of an answer", []palladium.Observation{
			send("a", 0, palladium.Observation{Answers: h[:2]}), send("b", 1, palladium.Observation{Quotes: h[1:4]})}, false},
		{"a refused request is tried again", []palladium.Observation{
			send("a", 0, palladium.Observation{Prompt: h[0], Outcome: refused}), send("b", 1, palladium.Observation{Prompt: h[0]})}, true},
		{"an answered request is sent again", []palladium.Observation{
			send("a", 0, palladium.Observation{Prompt: h[0]}), send("b", 1, palladium.Observation{Prompt: h[0]})}, false},
		{"tried again a day later", []palladium.Observation{
			send("a", 0, palladium.Observation{Prompt: h[0], Outcome: refused}), send("b", 24, palladium.Observation{Prompt: h[0]})}, false},
	} {
		x := New(stateOptions())
		for i := range c.obs {
			x.Observe(&c.obs[i])
		}
		a, _ := x.Lookup("a")
		b, _ := x.Lookup("b")
		got := slices.Contains(x.Partners(a, nil), b)
		if got != c.want {
			t.Errorf("%s: partners %v, want %v", c.name, got, c.want)
		}
	}
}

// A conversation that many send is a stock text: it does not join them all.
func TestStockTextJoinsNobody(t *testing.T) {
	x := New(stateOptions())
	for i := range 30 {
		x.Observe(&palladium.Observation{Account: fmt.Sprint("a", i), Time: int64(i), Chain: []uint64{mix(8)}})
	}
	if n := len(x.Partners(0, nil)); n > 4 {
		t.Errorf("%d accounts are partners", n)
	}
}

func TestMovedGroupsArePutUp(t *testing.T) {
	x := New(stateOptions())
	for i := range 13 { // a chain of hands, each conversation known to two accounts
		x.Observe(&palladium.Observation{Account: fmt.Sprint("a", i), Time: int64(i), Chain: []uint64{mix(uint64(i)), mix(uint64(i + 1))}})
		_, moved := x.Dirty()
		if want := i+1 == 6 || i+1 == 8 || i+1 == 12; want != (len(moved) == 1) {
			t.Errorf("%d partners: put up %v", i+1, moved)
		}
	}
}

// asks returns the terms of one prompt from a source that favours its own part of the vocabulary.
func asks(r *rand.Rand, source int) []uint16 {
	out := make([]uint16, 0, 24)
	for range 12 {
		out = append(out, uint16(source*500+r.IntN(120)), uint16(20_000+r.IntN(3000)))
	}
	return out
}

func TestTopicsOfOneSource(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 3))
	x := New(stateOptions())
	for i := range 800 {
		a := i % 40
		x.Observe(&palladium.Observation{Account: fmt.Sprint("a", a), Time: int64(i) * 1000, Terms: asks(r, a/10)})
	}
	var v [40][palladium.TopicDims]float32
	for a := range v {
		if n := x.Centred(uint32(a), &v[a]); n != 20 {
			t.Fatalf("%d prompts behind the topic", n)
		}
	}
	dot := func(a, b int) (s float64) {
		for d := range v[a] {
			s += float64(v[a][d] * v[b][d])
		}
		return s
	}
	for a := range 40 {
		var by [4]float64 // mean similarity with each source's other accounts
		for b := range 40 {
			if b != a {
				by[b/10] += dot(a, b) / 10
			}
		}
		for source, s := range by {
			if source != a/10 && s > by[a/10]/2 {
				t.Errorf("account %d: %.4f with its own source, %.4f with source %d", a, by[a/10], s, source)
			}
		}
	}
}

func TestWithout(t *testing.T) {
	has := func(without ...palladium.Family) map[palladium.Family]bool {
		opt := stateOptions()
		opt.Without = map[palladium.Family]bool{}
		for _, f := range without {
			opt.Without[f] = true
		}
		x := New(opt)
		traffic(x, 0, 3000)
		out := map[palladium.Family]bool{}
		for a := range uint32(x.Accounts()) {
			for _, k := range []palladium.Kind{palladium.KindShingle, palladium.KindChain, palladium.KindEcho, palladium.KindCell} {
				lo, hi := k.Slots()
				for _, e := range x.Profile(a).Edges[lo:hi] {
					if e.Token != palladium.NoToken {
						out[k.Family()] = true
					}
				}
			}
		}
		return out
	}
	if got := has(); !got[palladium.Template] || !got[palladium.Continuity] || !got[palladium.Twins] {
		t.Errorf("with all families: %v", got)
	}
	got := has(palladium.Template, palladium.Continuity, palladium.Twins)
	// The retry of a refused request is a conversation too, but no request of this stream is refused.
	if len(got) != 0 {
		t.Errorf("switched off, yet kept: %v", got)
	}
}

func TestNetwork(t *testing.T) {
	for ip, want := range map[string]string{
		"10.1.2.3": "10.1.2", "2001:db8:1:2::3": "2001:db8:1:", "::1": "::1", "opaque": "opaque",
	} {
		if got := network(ip); got != want {
			t.Errorf("network(%q) = %q, want %q", ip, got, want)
		}
	}
}

func TestBackgroundIsUniform(t *testing.T) {
	r := reservoir{rng: 0x9e3779b97f4a7c15}
	for a := range uint32(4 * reservoirSize) {
		r.join(a)
	}
	var quarter [4]int
	for _, a := range r.accounts {
		quarter[a/reservoirSize]++
	}
	for q, n := range quarter {
		if n < reservoirSize/4-120 || n > reservoirSize/4+120 {
			t.Errorf("quarter %d: %d of %d", q, n, reservoirSize)
		}
	}
}

// steady is a stream whose accounts and tokens are all known.
func steady(x *Index) []palladium.Observation {
	r := rand.New(rand.NewPCG(6, 6))
	obs := make([]palladium.Observation, 512)
	for i := range obs {
		o := palladium.Observation{Account: fmt.Sprint("account-", i%64), Time: int64(i) * 1000, IP: uint64(i%64) + 1, Net: uint64(i%16) + 1,
			Client: uint64(i%4) + 1, System: uint64(i%4) + 1, Params: uint64(i%4) + 1, Model: 3, Prompt: mix(uint64(i)), Words: 30, Turns: 3,
			Terms: asks(r, i%4), Chain: []uint64{mix(uint64(i % 64)), mix(uint64(i%64) + 99)}}
		for s := range 8 {
			o.Shingles = append(o.Shingles, mix(uint64(i%64*8+s)))
			o.Answers, o.Quotes = append(o.Answers, mix(r.Uint64())), append(o.Quotes, mix(r.Uint64()))
		}
		obs[i] = o
	}
	for range 40 {
		for i := range obs {
			x.Observe(&obs[i])
		}
		x.Dirty()
	}
	return obs
}

func TestObserveAllocatesNothing(t *testing.T) {
	x := New(Options{Hash: hashed, RecallBits: 12})
	obs := steady(x)
	i := 0
	if n := testing.AllocsPerRun(5000, func() { x.Observe(&obs[i%len(obs)]); i++ }); n != 0 {
		t.Errorf("%v allocations an exchange", n)
	}
}

func BenchmarkObserve(b *testing.B) {
	x := New(Options{Hash: hashed, RecallBits: 16})
	obs := steady(x)
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		x.Observe(&obs[i%len(obs)])
	}
}
