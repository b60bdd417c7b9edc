package serving

import (
	"os"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"sync/atomic"
)

// Garbage that may gather, in bytes, before it is collected. With little alive it is much: the collector then does not run
// for every few requests. With many open streams it is little, since it comes on top of what they hold.
const (
	mostGarbage  = 64 << 20
	leastGarbage = 16 << 20
)

// garbage is how much may gather beside live bytes.
func garbage(live uint64) uint64 {
	return max(mostGarbage-min(live/2, mostGarbage), live/8, leastGarbage)
}

// collectLess sets the collector for a heap that is small and much used, anew after each collection, unless the
// environment says how it is to run. What it returns undoes it.
func collectLess() func() {
	if os.Getenv("GOGC") != "" || os.Getenv("GOMEMLIMIT") != "" {
		return func() {}
	}
	t := &tuner{before: debug.SetGCPercent(percent(alive()))}
	t.watch()
	return func() {
		t.ended.Store(true)
		debug.SetGCPercent(t.before)
	}
}

type tuner struct {
	before int
	ended  atomic.Bool
}

// watch has tune called once the next collection is over.
func (t *tuner) watch() {
	runtime.AddCleanup(new([4]uint64), (*tuner).tune, t) // nothing holds it, so that the next collection takes it
}

// tune sets when the next collection begins.
func (t *tuner) tune() {
	if t.ended.Load() {
		return
	}
	debug.SetGCPercent(percent(alive()))
	if t.ended.Load() { // meanwhile
		debug.SetGCPercent(t.before)
		return
	}
	t.watch()
}

// alive is what the last collection found alive, or scanned as stacks and globals; the collector's target is a part of it.
func alive() uint64 {
	s := []metrics.Sample{{Name: "/gc/heap/live:bytes"}, {Name: "/gc/scan/stack:bytes"}, {Name: "/gc/scan/globals:bytes"}}
	metrics.Read(s)
	var all uint64
	for i := range s {
		if s[i].Value.Kind() == metrics.KindUint64 {
			all += s[i].Value.Uint64()
		}
	}
	return all
}

// percent is how much may gather, in percent of what is alive. Before the first collection 4 MB count as alive.
func percent(alive uint64) int {
	if alive < 4<<20 {
		alive = 4 << 20
	}
	return int(max(garbage(alive)*100/alive, 5))
}
