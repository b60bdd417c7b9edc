package block

import (
	"math/rand/v2"
	"testing"
)

func TestTallyIsAMap(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 1))
	var tally Tally
	for range 30 {
		n := 1 + r.IntN(3000)
		tally.Reset(n)
		want := map[uint32]int32{}
		for range 2 * n {
			item := r.Uint32N(uint32(n)) << 20
			if _, ok := want[item]; !ok && tally.At(item).Index != -1 {
				t.Fatal("a fresh count is not fresh")
			}
			want[item]++
			tally.At(item).N++
			tally.At(item).Index = int32(item)
		}
		for item, k := range want {
			if c := tally.At(item); c.N != k || c.Index != int32(item) {
				t.Fatalf("%d: %+v, want %d", item, *c, k)
			}
		}
	}
}
