package measure

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/palladium-guard/palladium"
)

func TestScratchIsWiped(t *testing.T) {
	m, o := New([32]byte{1}, nil), new(palladium.Observation)
	long := strings.Repeat("a secret sentence of which nothing may remain; ", 40)
	for _, e := range []palladium.Exchange{
		{System: long, Messages: []palladium.Message{{Role: "user", Text: "short"}}},
		{Messages: []palladium.Message{{Role: "user", Text: long}, {Role: "user", Text: "abcdefghijklm."}}},
		{Messages: []palladium.Message{{Role: "user", Text: "ab.abcdefg"}}, Output: long},
	} {
		e.ID, e.Account, e.Time = "1", "a", time.UnixMilli(1)
		m.Measure(&e, o)
		for i, c := range m.text.fold {
			if c != 0 {
				t.Fatalf("byte %d of the scratch is %q", i, c)
			}
		}
	}
}

// What is remembered grows with what is asked for, up to its limit, and never changes a value.
func TestRememberedValues(t *testing.T) {
	m, fresh := New([32]byte{1}, nil), New([32]byte{1}, nil)
	value := func(i int) string { return fmt.Sprintf("10.%d.%d.%d", i>>16, i>>8&255, i&255) }
	const n = 3 * fewRemembered
	for range 3 {
		for i := range n {
			m.identify(FamilyIP, value(i))
			m.account(value(i))
		}
	}
	for i := 0; i < n; i += 97 {
		clear(fresh.ids.slots)
		if got, want := *m.identify(FamilyIP, value(i)), *fresh.identify(FamilyIP, value(i)); got != want {
			t.Fatalf("%s: %v, want %v", value(i), got, want)
		}
		if got := m.account(value(i)); got != value(i) {
			t.Fatalf("account %s became %s", value(i), got)
		}
	}
	if a, b := len(m.ids.slots), len(m.names.slots); a <= fewRemembered || b <= fewRemembered || a > mostRemembered || b > mostRemembered {
		t.Errorf("places for %d and %d, want more than %d and at most %d", a, b, fewRemembered, mostRemembered)
	}
}

// Of every window of four shingles the smallest is kept, each once, in order.
func TestWinnowing(t *testing.T) {
	m, o := New([32]byte{1}, nil), new(palladium.Observation)
	r := rand.New(rand.NewPCG(7, 7))
	for n := 1; n < 60; n++ {
		g := make([]uint64, n)
		for i := range g {
			if g[i] = r.Uint64(); i > 4 && r.IntN(4) == 0 {
				g[i] = g[r.IntN(i)]
			}
		}
		var want []uint64
		for i := 0; i+window <= n || i == 0; i++ {
			if h := slices.Min(g[i:min(i+window, n)]) &^ TagMask; !slices.Contains(want, h) {
				want = append(want, h)
			}
		}
		if len(want) > keepInner {
			continue
		}
		o.Reset()
		if m.winnowing(g, o); !slices.Equal(o.Shingles, want) {
			t.Fatalf("of %d: %x, want %x", n, o.Shingles, want)
		}
	}
}
