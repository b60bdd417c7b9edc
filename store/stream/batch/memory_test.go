package batch

import (
	"math/rand/v2"
	"testing"
)

// Whatever the order within the window, each number is new once; also over being kept and read again.
func TestMemory(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	for range 50 {
		var m Memory
		seen := map[uint64]bool{}
		low := uint64(1 + rng.IntN(1000))
		for range 2000 {
			n := low + rng.Uint64N(128)
			if got := m.Add(Head{Instance: 9, Number: n}); got == seen[n] {
				t.Fatalf("%d: new is %v", n, got)
			}
			seen[n] = true
			for seen[low] {
				low++
			}
			if rng.IntN(50) == 0 {
				b, err := m.MarshalBinary()
				if err != nil {
					t.Fatal(err)
				}
				latest := m.Latest()
				m = Memory{}
				if err := m.UnmarshalBinary(b); err != nil || m.Latest() != latest {
					t.Fatal(err, m.Latest())
				}
			}
		}
	}
}

func TestMemoryBounds(t *testing.T) {
	var m Memory
	m.Add(Head{Instance: 1, Number: 1000})
	if m.Add(Head{Instance: 1, Number: 10}) {
		t.Error("a number far back is new")
	}
	if !m.Add(Head{Instance: 1, Number: 1 << 40}) || m.Add(Head{Instance: 1, Number: 1 << 40}) || !m.Add(Head{Instance: 1, Number: 1<<40 - 1}) {
		t.Error("a leap is not followed")
	}
	for range 2 {
		if !m.Add(Head{}) {
			t.Error("what has no publisher is not new")
		}
	}
	for i := range uint64(3 * mostHeard) {
		m.Add(Head{Instance: i + 5, Number: 1})
		m.Add(Head{Instance: 2, Number: i + 1}) // heard of all the time
	}
	if len(m.seen) > mostHeard {
		t.Errorf("%d publishers are kept", len(m.seen))
	}
	if m.Add(Head{Instance: 2, Number: 3 * mostHeard}) {
		t.Error("the one heard of all the time was forgotten")
	}
	for _, b := range [][]byte{nil, {1}, make([]byte, 17), append([]byte{1}, make([]byte, 20)...)} {
		if err := m.UnmarshalBinary(b); err == nil {
			t.Errorf("read %d bytes", len(b))
		}
	}
}
