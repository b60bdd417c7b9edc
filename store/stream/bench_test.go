//go:build unix

package stream

import (
	"errors"
	"fmt"
	"slices"
	"syscall"
	"testing"
	"time"

	"github.com/palladium-guard/palladium"
	"github.com/palladium-guard/palladium/store/stream/batch"
	"github.com/palladium-guard/palladium/traffic/measure"
	"github.com/palladium-guard/palladium/world"
)

// measured returns the first n observations of a made-up world, as the gateway would measure them.
func measured(b *testing.B, n int) (out []*palladium.Observation) {
	b.Helper()
	s, _ := world.Preset("demo")
	w, err := world.New(s, world.OwnCorpus(1))
	if err != nil {
		b.Fatal(err)
	}
	m := measure.New([32]byte{1}, nil)
	for e := range w.Exchanges() {
		var o palladium.Observation
		m.Measure(e, &o)
		if out = append(out, &o); len(out) == n {
			break
		}
	}
	for _, o := range out {
		o.Shingles, o.Terms, o.Chain = slices.Clone(o.Shingles), slices.Clone(o.Terms), slices.Clone(o.Chain)
	}
	return out
}

// tally is a Handler that counts.
type tally struct{ n, until int }

func (c *tally) Describe(*palladium.Account)    {}
func (c *tally) NameModel(uint64, string)       {}
func (c *tally) Observe(*palladium.Observation) { c.n++ }
func (c *tally) Position(Position) error {
	if c.n >= c.until {
		return errEnough
	}
	return nil
}

// BenchmarkStream carries observations of a made-up world from a publisher through the embedded stream, its files included,
// to a reader. observations/s is on all cores; cpu-µs/observation is what all of it costs, and 2/cpu the rate that two
// cores of their own would give.
func BenchmarkStream(b *testing.B) {
	some := measured(b, 20_000)
	for _, c := range []struct {
		name   string
		config Config
	}{{"plain", Config{}}, {"s2", Config{Compress: true}}, {"always", Config{Sync: SyncAlways}}} {
		b.Run(c.name, func(b *testing.B) {
			c.config.Dir = b.TempDir()
			s := open(b, c.config)
			p := s.Publisher("bench")
			n := b.N
			done := make(chan error, 1)
			go func() { done <- s.Read(b.Context(), 0, &tally{until: n}) }()
			begun := cores(b)
			b.ResetTimer()
			for i := range n {
				if err := p.ObserveWait(b.Context(), some[i%len(some)]); err != nil {
					b.Fatal(err)
				}
			}
			if err := p.Flush(b.Context()); err != nil {
				b.Fatal(err)
			}
			if err := <-done; !errors.Is(err, errEnough) {
				b.Fatal(err)
			}
			b.StopTimer()
			cpu := cores(b) - begun
			if published, dropped := p.Counts(); published != uint64(n) || dropped != 0 {
				b.Fatalf("%d acknowledged, %d dropped of %d", published, dropped, n)
			}
			if _, err := s.Last(b.Context()); err != nil {
				b.Fatal(err)
			}
			if err := s.look(); err != nil {
				b.Fatal(err)
			}
			b.ReportMetric(float64(n)/b.Elapsed().Seconds(), "observations/s")
			b.ReportMetric(cpu.Seconds()*1e6/float64(n), "cpu-µs/observation")
			b.ReportMetric(2/(cpu.Seconds()/float64(n)), "2/cpu")
			b.ReportMetric(float64(s.state.Load().bytes)/float64(n), "bytes/observation")
			b.ReportMetric(0, "ns/op")
		})
	}
}

func cores(b *testing.B) time.Duration {
	b.Helper()
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// BenchmarkEncoding is the encoding alone, on observations of a made-up world.
func BenchmarkEncoding(b *testing.B) {
	some := measured(b, 20_000)
	var messages [][]byte
	var w batch.Writer
	for i := 0; i < len(some); {
		w.Begin(nil, batch.Head{Source: "bench", Instance: 1, Number: uint64(i)})
		for ; i < len(some) && w.Len() < fill; i++ {
			w.Observe(some[i])
		}
		messages = append(messages, w.End())
	}
	bytes := func(list [][]byte) (n int) {
		for _, m := range list {
			n += len(m)
		}
		return n
	}
	report := func(b *testing.B, n int) {
		b.ReportMetric(b.Elapsed().Seconds()*1e9/float64(b.N)/float64(len(some)), "ns/observation")
		b.ReportMetric(float64(n)/float64(len(some)), "bytes/observation")
	}
	b.Run("write", func(b *testing.B) {
		buf := make([]byte, 0, 2*fill)
		for b.Loop() {
			w.Begin(buf, batch.Head{Source: "bench", Instance: 1, Number: 1})
			for _, o := range some {
				if w.Observe(o); w.Len() >= fill {
					w.Begin(w.End(), batch.Head{Source: "bench", Instance: 1, Number: 1})
				}
			}
		}
		report(b, bytes(messages))
	})
	b.Run("read", func(b *testing.B) {
		var r batch.Reader
		for b.Loop() {
			for _, m := range messages {
				if _, err := r.Read(m, &tally{}); err != nil {
					b.Fatal(err)
				}
			}
		}
		report(b, bytes(messages))
	})
	b.Run("s2", func(b *testing.B) {
		var packed []byte
		n := 0
		for b.Loop() {
			n = 0
			for _, m := range messages {
				packed = batch.Compress(m, packed)
				n += len(packed)
			}
		}
		report(b, n)
	})
	b.Log(fmt.Sprint(len(messages), " batches"))
}
