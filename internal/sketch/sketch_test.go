package sketch

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"unsafe"
)

func random(seed uint64) *rand.Rand { return rand.New(rand.NewPCG(seed, 0)) }

func TestHLLError(t *testing.T) {
	for _, n := range []int{0, 1, 10, 60, 300, 3000, 30000} {
		const runs = 150
		var sum6, sq6, sum8, sq8 float64
		for seed := range uint64(runs) {
			r := random(seed)
			var a HLL6
			var b HLL8
			for range n {
				h := r.Uint64()
				a.Add(h)
				b.Add(h)
				a.Add(h)
				b.Add(h)
			}
			d6, d8 := a.Estimate()-float64(n), b.Estimate()-float64(n)
			if n > 0 {
				d6, d8 = d6/float64(n), d8/float64(n)
			}
			sum6, sq6, sum8, sq8 = sum6+d6/runs, sq6+d6*d6/runs, sum8+d8/runs, sq8+d8*d8/runs
		}
		if math.Abs(sum6) > 0.035 || math.Sqrt(sq6) > 0.15 {
			t.Errorf("HLL6, %d items: bias %.3f, error %.3f", n, sum6, math.Sqrt(sq6))
		}
		if math.Abs(sum8) > 0.02 || math.Sqrt(sq8) > 0.075 {
			t.Errorf("HLL8, %d items: bias %.3f, error %.3f", n, sum8, math.Sqrt(sq8))
		}
	}
	var full HLL6
	for i := range full {
		full[i] = 255 // as a damaged file might hold
	}
	if e := full.Estimate(); e < 1e15 && !math.IsInf(e, 1) {
		t.Errorf("full registers give %v", e)
	}
	var extreme HLL8
	extreme.Add(0)
	if extreme[0] != 57 {
		t.Errorf("hash 0 has rank %d, want 57", extreme[0])
	}
}

// TestMergeIsTheUnion adds two streams apart and together: merged sketches are those of the union.
func TestMergeIsTheUnion(t *testing.T) {
	r := random(1)
	for trial := range 50 {
		var a6, b6, u6 HLL6
		var a8, b8, u8 HLL8
		var ak, bk, uk BottomK
		var ah, bh, uh LogHist
		for range trial * 3 {
			x, y := r.Uint64(), r.Uint64()
			for _, h := range []uint64{x, y, x} {
				u6.Add(h)
				u8.Add(h)
				uk.Add(h)
			}
			a6.Add(x)
			b6.Add(y)
			a8.Add(x)
			b8.Add(y)
			ak.Add(x)
			bk.Add(y)
			v, w := int64(x>>40), int64(y>>50)
			ah.Add(v)
			bh.Add(w)
			uh.Add(w)
			uh.Add(v)
		}
		a6.Merge(&b6)
		a8.Merge(&b8)
		ak.Merge(&bk)
		ah.Merge(&bh)
		if a6 != u6 || a8 != u8 || ak != uk || ah != uh {
			t.Fatalf("trial %d: a merged sketch differs from that of the union", trial)
		}
	}
}

func TestBottomKKeepsTheSmallest(t *testing.T) {
	r := random(2)
	for _, n := range []int{0, 1, 31, 32, 33, 500} {
		var s BottomK
		var all []uint32
		for range n {
			h := r.Uint64()
			all = append(all, uint32(h>>32))
			s.Add(h)
			if s.Add(h) {
				t.Fatal("a second Add of one hash changed the sketch")
			}
		}
		slices.Sort(all)
		all = all[:min(n, K)]
		if s.Len() != len(all) {
			t.Fatalf("%d kept of %d", s.Len(), n)
		}
		for i, h := range all {
			if ^s[i] != h {
				t.Fatalf("place %d holds %#x, want %#x", i, ^s[i], h)
			}
		}
	}
	var s BottomK
	s.Add(math.MaxUint64) // its complement is the mark of absence
	if s.Len() != 1 {
		t.Error("the largest hash is lost")
	}
}

func TestBottomKEstimates(t *testing.T) {
	for _, c := range []struct{ both, onlyA, onlyB int }{{5, 3, 2}, {300, 0, 0}, {0, 200, 300}, {100, 100, 100}, {40, 0, 400}} {
		const runs = 400
		var jaccard, distinct float64
		for seed := range uint64(runs) {
			r := random(seed)
			var a, b BottomK
			for range c.both {
				h := r.Uint64()
				a.Add(h)
				b.Add(h)
			}
			for range c.onlyA {
				a.Add(r.Uint64())
			}
			for range c.onlyB {
				b.Add(r.Uint64())
			}
			j := a.Jaccard(&b)
			if j != b.Jaccard(&a) {
				t.Fatal("not symmetric")
			}
			jaccard += j / runs
			distinct += a.Distinct() / runs
		}
		want := float64(c.both) / float64(c.both+c.onlyA+c.onlyB)
		if math.Abs(jaccard-want) > 4*math.Sqrt(want*(1-want)/K/runs)+1e-12 {
			t.Errorf("%+v: Jaccard %.4f, want %.4f", c, jaccard, want)
		}
		if n := float64(c.both + c.onlyA); math.Abs(distinct-n) > 0.04*n {
			t.Errorf("%+v: %.1f distinct, want %v", c, distinct, n)
		}
	}
	var a, b BottomK
	if a.Jaccard(&b) != 0 || a.Distinct() != 0 {
		t.Error("empty sketches have something")
	}
	a.Add(1 << 40)
	a.Add(2 << 40)
	b.Add(2 << 40)
	b.Add(3 << 40)
	if shared, of := a.Shared(&b); shared != 1 || of != 3 {
		t.Errorf("shared %d of %d, want 1 of 3", shared, of)
	}
}

func TestLogHist(t *testing.T) {
	var h LogHist
	if !math.IsNaN(h.Quantile(0.5)) {
		t.Error("an empty histogram has a median")
	}
	for _, c := range []struct {
		v   int64
		bin int
	}{{-5, 0}, {0, 0}, {1, 1}, {2, 2}, {3, 2}, {4, 3}, {1<<30 - 1, 30}, {1 << 30, 31}, {math.MaxInt64, 31}} {
		before := h[c.bin]
		if h.Add(c.v); h[c.bin] != before+1 {
			t.Errorf("%d is not in bin %d", c.v, c.bin)
		}
	}
	r := random(3)
	h = LogHist{}
	values := make([]float64, 5001)
	for i := range values {
		v := int64(math.Exp(8 + 1.5*r.NormFloat64()))
		values[i] = float64(v)
		h.Add(v)
	}
	slices.Sort(values)
	for _, q := range []float64{0.01, 0.25, 0.5, 0.9, 0.99} {
		want := values[int(q*5000)]
		if got := h.Quantile(q); got > want*1.25 || got < want/1.25 {
			t.Errorf("quantile %v is %.0f, want %.0f", q, got, want)
		}
	}
	for range 70000 {
		h.Add(100)
	}
	o := h
	if h.Merge(&o); h[7] != math.MaxUint16 || h.Count() < math.MaxUint16 {
		t.Errorf("a full bin holds %d", h[7])
	}
	var zeros LogHist
	zeros.Add(0)
	if zeros.Quantile(1) != 0 || !math.IsNaN(zeros.Quantile(2)) {
		t.Error("quantiles at the edge are wrong")
	}
}

func TestSpaceSavingBounds(t *testing.T) {
	r := random(4)
	for range 50 {
		var places [8]Counter
		s := SpaceSaving(places[:])
		truth := map[uint32]int{}
		n := 0
		for range 2000 {
			h := uint32(r.ExpFloat64() * 6)
			truth[h]++
			n++
			s.Add(h)
		}
		sum := 0
		for _, c := range s {
			if int(c.Count) < truth[c.Hash] || c.Sure() > truth[c.Hash] || int(c.Over) > n/8 {
				t.Fatalf("%+v, true count %d", c, truth[c.Hash])
			}
			sum += int(c.Count)
		}
		if sum != n {
			t.Fatalf("counts add up to %d of %d", sum, n)
		}
		for h, m := range truth {
			if _, ok := s.Get(h); m > n/8 && !ok {
				t.Fatalf("an item with %d of %d is missing", m, n)
			}
		}
		if top := s.Top(); truth[top.Hash] < truth[0]*9/10 {
			t.Fatalf("top is %+v, %d of item 0", top, truth[0])
		}
	}
	var one [1]Counter
	for range 70000 {
		SpaceSaving(one[:]).Add(0)
	}
	if one[0].Count != math.MaxUint16 || one[0].Sure() != math.MaxUint16 {
		t.Errorf("a full counter is %+v", one[0])
	}
	SpaceSaving(one[:]).Add(7)
	if c, ok := SpaceSaving(one[:]).Get(7); !ok || c.Sure() != 0 {
		t.Errorf("after a full counter is displaced: %+v", c)
	}
	SpaceSaving(nil).Add(1)
	if SpaceSaving(nil).Top() != (Counter{}) {
		t.Error("no counters have a top")
	}
}

func TestRecentIsExact(t *testing.T) {
	for _, capacity := range []int{0, 1, 2, 7, 64} {
		r := random(uint64(capacity))
		s, c := NewRecent(capacity), max(capacity, 1)
		var order []uint64 // distinct hashes, latest last
		for step := range 20 * c {
			h := r.Uint64N(uint64(4 * c))
			at := slices.Index(order, h)
			back := len(order) - at // 1 for the latest
			seen := s.Seen(h)
			if at >= 0 && back <= c && !seen {
				t.Fatalf("capacity %d, step %d: a hash among the last %d was forgotten", capacity, step, c)
			}
			if at < 0 && seen {
				t.Fatalf("capacity %d, step %d: a new hash was seen", capacity, step)
			}
			if at >= 0 {
				order = slices.Delete(order, at, at+1)
			}
			order = append(order, h)
		}
		kept := slices.Collect(s.All())
		if len(kept) > 2*c {
			t.Errorf("%d kept at capacity %d", len(kept), c)
		}
		again := NewRecent(capacity)
		for _, h := range kept {
			again.Seen(h)
		}
		for range 20 * c {
			if h := r.Uint64N(uint64(4 * c)); s.Seen(h) != again.Seen(h) {
				t.Fatalf("capacity %d: the copy made through All answers otherwise", capacity)
			}
		}
	}
}

func TestRecentForgets(t *testing.T) {
	s := NewRecent(100)
	for h := range uint64(300) {
		s.Seen(h)
	}
	if s.Seen(0) {
		t.Error("the first of 300 is still there at capacity 100")
	}
	for range s.All() {
		break // an early end must not panic
	}
}

func TestUpdatesDoNotAllocate(t *testing.T) {
	var a HLL6
	var b HLL8
	var k, k2 BottomK
	var h LogHist
	var c [8]Counter
	s, r := NewRecent(64), random(5)
	if n := testing.AllocsPerRun(1000, func() {
		x := r.Uint64()
		a.Add(x)
		b.Add(x)
		k.Add(x)
		k2.Merge(&k)
		h.Add(int64(x >> 40))
		SpaceSaving(c[:]).Add(uint32(x))
		s.Seen(x)
		a.Estimate()
		k.Jaccard(&k2)
		h.Quantile(0.5)
	}); n != 0 {
		t.Errorf("%v allocations per update", n)
	}
	for what, got := range map[string][2]uintptr{
		"HLL6":    {unsafe.Sizeof(a), 64},
		"HLL8":    {unsafe.Sizeof(b), 256},
		"BottomK": {unsafe.Sizeof(k), 128},
		"LogHist": {unsafe.Sizeof(h), 64},
		"Counter": {unsafe.Sizeof(c[0]), 8},
	} {
		if got[0] != got[1] {
			t.Errorf("%s takes %d bytes, want %d", what, got[0], got[1])
		}
	}
}

func BenchmarkAdd(b *testing.B) {
	r := random(6)
	hashes := make([]uint64, 4096)
	for i := range hashes {
		hashes[i] = r.Uint64()
	}
	var hll HLL8
	var bottom BottomK
	var hist LogHist
	var top [8]Counter
	recent := NewRecent(1 << 16)
	for _, c := range []struct {
		name string
		add  func(uint64)
	}{
		{"HLL8", func(h uint64) { hll.Add(h) }},
		{"BottomK", func(h uint64) { bottom.Add(h) }},
		{"LogHist", func(h uint64) { hist.Add(int64(h >> 40)) }},
		{"SpaceSaving8", func(h uint64) { SpaceSaving(top[:]).Add(uint32(h & 15)) }},
		{"Recent", func(h uint64) { recent.Seen(h) }},
	} {
		b.Run(c.name, func(b *testing.B) {
			b.ReportAllocs()
			x := uint64(0)
			for i := 0; b.Loop(); i++ {
				x += 0x9e3779b97f4a7c15
				c.add(hashes[i&4095] ^ x)
			}
		})
	}
}

func BenchmarkCompare(b *testing.B) {
	r := random(7)
	var x, y BottomK
	var hll HLL8
	for range 1000 {
		h := r.Uint64()
		hll.Add(h)
		x.Add(h)
		y.Add(h + r.Uint64N(2)<<60)
	}
	b.Run("Jaccard", func(b *testing.B) {
		for b.Loop() {
			x.Jaccard(&y)
		}
	})
	b.Run("HLL8Estimate", func(b *testing.B) {
		for b.Loop() {
			hll.Estimate()
		}
	})
}
