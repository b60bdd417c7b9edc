package linkage

import (
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/palladium-guard/palladium"
)

// A table agrees with a map under any order of get and drop, also where hashes crowd into few slots and it grows.
func TestTableIsAMap(t *testing.T) {
	for seed := range uint64(20) {
		r := rand.New(rand.NewPCG(seed, 1))
		var tab table
		tab.grow(8)
		model := map[uint64]uint32{}
		for range 3000 {
			h := r.Uint64N(200)<<32 | r.Uint64N(4) // low bits decide the slot
			n, known := model[h]
			if known && r.IntN(3) == 0 {
				tab.drop(n)
				delete(model, h)
				continue
			}
			got := tab.get(palladium.KindIP, h)
			if known && got != n {
				t.Fatalf("seed %d: token %d, was %d", seed, got, n)
			}
			if tab.tokens[got].Hash != h {
				t.Fatalf("seed %d: token of another hash", seed)
			}
			model[h] = got
		}
		seen := map[uint32]bool{}
		for h, n := range model {
			if got := tab.get(palladium.KindIP, h); got != n || seen[n] {
				t.Fatalf("seed %d: token %d for hash of token %d", seed, got, n)
			}
			seen[n] = true
		}
		if tab.used != len(model) || tab.used*4 > len(tab.slots)*3 {
			t.Errorf("seed %d: %d used of %d slots, want %d", seed, tab.used, len(tab.slots), len(model))
		}
	}
}

// consistent fails the test unless every token's chain names exactly the accounts whose edges hold it, linked both ways.
func consistent(t *testing.T, x *Index) {
	t.Helper()
	holds := map[uint32][]uint32{}
	for a := range uint32(x.Accounts()) {
		p := x.Profile(a)
		for k := palladium.Kind(0); int(k) < palladium.KindCount; k++ {
			lo, hi := k.Slots()
			for i := lo; i < hi; i++ {
				if tok := p.Edges[i].Token; tok != palladium.NoToken {
					holds[tok] = append(holds[tok], a)
					if x.Token(tok).Kind != k {
						t.Fatalf("a token of kind %d in a slot of kind %d", x.Token(tok).Kind, k)
					}
				}
			}
		}
	}
	for n := range uint32(x.Tokens()) {
		chain := x.Holders(n, 1<<20, nil)
		prev := palladium.NoToken
		for e := x.Token(n).Head; e != palladium.NoToken; e = x.edge(e).Next {
			if x.edge(e).Prev != prev {
				t.Fatalf("token %d: the chain is not linked back", n)
			}
			prev = e
		}
		slices.Sort(chain)
		if !slices.Equal(chain, holds[n]) || int(x.Token(n).Holders) != len(chain) {
			t.Fatalf("token %d: chain %v, count %d, edges of %v", n, chain, x.Token(n).Holders, holds[n])
		}
	}
	if x.table.used != len(holds) {
		t.Fatalf("%d tokens in use, %d held", x.table.used, len(holds))
	}
}

func FuzzHolders(f *testing.F) {
	r := rand.New(rand.NewPCG(7, 7))
	for range 4 {
		ops := make([]byte, 3000)
		for i := range ops {
			ops[i] = byte(r.Uint32())
		}
		f.Add(ops)
	}
	f.Fuzz(func(t *testing.T, ops []byte) {
		x := New(Options{Hash: hashed, RecallBits: 4})
		ids := []string{"a", "b", "c", "d", "e", "f", "g", "h"}
		for i := 0; i+2 < len(ops); i += 3 {
			a := x.account(ids[ops[i]%8])
			x.Profile(a).Exchanges++
			x.attach(a, palladium.Kind(ops[i+1])%palladium.Kind(palladium.KindCount), uint64(ops[i+2]%11)+1)
		}
		consistent(t, x)
	})
}

func TestTrafficKeepsChainsConsistent(t *testing.T) {
	x := New(stateOptions())
	traffic(x, 0, 4000)
	consistent(t, x)
}

// A slot goes to a newcomer once its hits are worn down; of equals the token with most holders gives way.
func TestContend(t *testing.T) {
	x := New(stateOptions())
	for _, id := range []string{"a", "b", "c"} {
		x.account(id)
	}
	for range 3 {
		x.attach(0, palladium.KindPayment, 1)
	}
	for i, want := range []bool{false, false, true} {
		if got := x.attach(0, palladium.KindPayment, 2) != nil; got != want {
			t.Errorf("newcomer %d taken in: %v", i+1, got)
		}
	}
	for h := range uint64(3) { // the three slots of a network; 2 is held by others as well
		x.attach(0, palladium.KindNet, h+1)
		x.attach(1, palladium.KindNet, 2)
	}
	x.attach(0, palladium.KindNet, 9)
	lo, hi := palladium.KindNet.Slots()
	for _, e := range x.Profile(0).Edges[lo:hi] {
		if x.Token(e.Token).Hash == tokenHash(palladium.KindNet, 2) {
			t.Error("the commonest token has kept its place")
		}
	}
	consistent(t, x)
}

func TestUnionFindRings(t *testing.T) {
	r := rand.New(rand.NewPCG(2, 2))
	var u unionFind
	set := make([]int, 60)
	for i := range set {
		u.add()
		set[i] = i
	}
	for range 45 {
		a, b := r.IntN(60), r.IntN(60)
		was, gone := set[a], set[b]
		_, grown := u.union(uint32(a), uint32(b))
		n := 0
		for i := range set {
			if set[i] == gone {
				set[i] = was
			}
		}
		for i := range set {
			if set[i] == was {
				n++
			}
		}
		if want := n; was == gone && grown != 0 || was != gone && int(grown) != want {
			t.Fatalf("grown to %d, want %d", grown, want)
		}
	}
	for a := range set {
		var want []uint32
		for b := range set {
			if set[b] == set[a] {
				want = append(want, uint32(b))
			}
		}
		got := u.members(uint32(a), nil)
		slices.Sort(got)
		if !slices.Equal(got, want) {
			t.Fatalf("ring of %d: %v, want %v", a, got, want)
		}
	}
}

func TestRecall(t *testing.T) {
	r := newRecall(4)
	if _, ok := r.find(5); ok {
		t.Error("something is remembered of nothing")
	}
	for i, c := range []struct {
		account, was uint32
		n            int
	}{{3, 3, 1}, {3, 3, 1}, {4, 3, 2}, {4, 4, 2}, {3, 4, 3}} {
		if was, n := r.visit(1<<32, c.account, 9); was != c.was || n != c.n {
			t.Errorf("visit %d: %d, %d, want %d, %d", i, was, n, c.was, c.n)
		}
	}
	// Four more in the same set: the oldest of those sent by one account goes, not the one that three sent.
	for i := range uint64(4) {
		r.visit((i+2)<<32, 1, uint16(9+i))
	}
	for h, want := range []bool{1: true, 2: false, 3: true, 4: true, 5: true} {
		if h == 0 {
			continue
		}
		if s, ok := r.find(uint64(h) << 32); ok != want || ok && h == 1 && (s.owner != 3 || s.count != 3) {
			t.Errorf("hash %d: %v %+v", h, ok, s)
		}
	}
	// A doubling of the count is worth a week.
	if a, b := (seen{count: 2, at: 0}), (seen{count: 1, at: 167}); rank(&a, 200) <= rank(&b, 200) {
		t.Error("a shared hash a week older ranks behind")
	}
	if a, b := (seen{count: 2, at: 0}), (seen{count: 1, at: 169}); rank(&a, 200) >= rank(&b, 200) {
		t.Error("a shared hash older than a week ranks before")
	}
}
