package serving

import (
	"runtime"
	"runtime/debug"
	"testing"
	"time"
)

// The collector is set anew after collections, and left as it was found.
func TestCollectLess(t *testing.T) {
	for live, want := range map[uint64]uint64{0: 64 << 20, 10 << 20: 59 << 20, 100 << 20: 16 << 20, 80 << 20: 24 << 20, 1 << 30: 128 << 20} {
		if got := garbage(live); got != want {
			t.Errorf("beside %d MB there may be %d MB, want %d", live>>20, got>>20, want>>20)
		}
	}
	for live, want := range map[uint64]int{0: 1550, 72 << 20: 38, 1 << 30: 12} {
		if got := percent(live); got != want {
			t.Errorf("%d MB alive make %d %%, want %d", live>>20, got, want)
		}
	}
	t.Setenv("GOGC", "")
	t.Setenv("GOMEMLIMIT", "")
	before := debug.SetGCPercent(77)
	defer debug.SetGCPercent(before)
	held := make([]byte, 100<<20) // as the detector's tables are there when the gateway starts
	debug.FreeOSMemory()
	undo := collectLess()
	set := func() int {
		p := debug.SetGCPercent(100)
		debug.SetGCPercent(p)
		return p
	}
	if p := set(); p > 20 {
		t.Errorf("%d %% of 100 MB may gather", p)
	}
	runtime.KeepAlive(held)
	held = nil
	for range 500 {
		debug.FreeOSMemory() // collects
		if p := set(); p > 77 {
			undo()
			if set() != 77 {
				t.Errorf("left at %d", set())
			}
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Errorf("stays at %d", set())
}
