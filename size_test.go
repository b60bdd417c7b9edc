package palladium

import (
	"testing"
	"unsafe"
)

// The profile is the greater part of what an account costs; the budget for all of it is 3,500 bytes.
func TestProfileSize(t *testing.T) {
	if n := unsafe.Sizeof(Profile{}); n > 2048 {
		t.Fatalf("a profile takes %d bytes, more than 2,048", n)
	} else {
		t.Logf("a profile takes %d bytes", n)
	}
}

func TestKindSlots(t *testing.T) {
	next := 0
	for k := Kind(0); k < kindCount; k++ {
		lo, hi := k.Slots()
		if lo != next || hi <= lo {
			t.Fatalf("kind %d has slots [%d,%d), want them to start at %d", k, lo, hi, next)
		}
		next = hi
	}
	if next != EdgeCount {
		t.Fatalf("slots end at %d, want %d", next, EdgeCount)
	}
}
