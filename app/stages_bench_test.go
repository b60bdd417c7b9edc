//go:build unix

package app

import (
	"bufio"
	"bytes"
	"testing"
	"time"

	"github.com/klauspost/compress/zstd"

	"github.com/palladium-guard/palladium"
	"github.com/palladium-guard/palladium/traffic/dialect"
	"github.com/palladium-guard/palladium/traffic/dialect/native"
	"github.com/palladium-guard/palladium/traffic/linkage"
	"github.com/palladium-guard/palladium/traffic/measure"
)

// BenchmarkStages runs the same 100,000 exchanges of 5,000 accounts through one stage at a time, each on one core.
// cpu-ns/exchange is what the stage adds to the one before; x-floor compares it with decompressing and splitting.
func BenchmarkStages(b *testing.B) {
	const accounts, n = 5_000, 100_000
	var packed bytes.Buffer
	z, err := zstd.NewWriter(&packed)
	if err != nil {
		b.Fatal(err)
	}
	var rows [][]byte
	for t, line := newTraffic(accounts, n, false), []byte(nil); ; {
		if line = t.next(); line == nil {
			break
		}
		rows = append(rows, bytes.TrimSuffix(bytes.Clone(line), []byte("\n")))
		if _, err := z.Write(line); err != nil {
			b.Fatal(err)
		}
	}
	if err := z.Close(); err != nil {
		b.Fatal(err)
	}
	s, err := newScan(ScanOptions{Key: new([32]byte)})
	if err != nil {
		b.Fatal(err)
	}
	meter := measure.New([32]byte{}, s.cues)
	decoder, seen := new(native.Decoder), make([]palladium.Observation, 0, n)
	decode := func(use func(*palladium.Exchange)) {
		for _, row := range rows {
			if err := decoder.Decode(row, func(r *dialect.Record) error { use(&r.Exchange); return nil }); err != nil {
				b.Fatal(err)
			}
		}
	}
	decode(func(e *palladium.Exchange) {
		seen = append(seen, palladium.Observation{})
		meter.Measure(e, &seen[len(seen)-1])
	})
	var o palladium.Observation
	var least time.Duration
	for _, stage := range []struct {
		name  string
		less  func() // made before, and taken off
		whole func()
	}{
		{"floor", nil, func() { unpack(b, packed.Bytes(), n) }},
		{"decode", nil, func() { decode(func(*palladium.Exchange) {}) }},
		{"measure", func() { decode(func(*palladium.Exchange) {}) }, func() { decode(func(e *palladium.Exchange) { meter.Measure(e, &o) }) }},
		{"linkage", nil, func() { observe(linkage.New(s.det.opt.linkage()), seen) }},
		{"campaign", func() { observe(linkage.New(s.det.opt.linkage()), seen) }, func() {
			det := NewDetector(s.det.opt)
			for i := range seen {
				det.Observe(&seen[i])
			}
			det.Report(0)
		}},
	} {
		b.Run(stage.name, func(b *testing.B) {
			var took time.Duration
			for b.Loop() {
				took += busy(b, stage.whole)
				if stage.less != nil {
					took -= busy(b, stage.less)
				}
			}
			took /= time.Duration(b.N)
			if stage.name == "floor" {
				least = took
			}
			b.ReportMetric(float64(took.Nanoseconds())/n, "cpu-ns/exchange")
			if least > 0 {
				b.ReportMetric(took.Seconds()/least.Seconds(), "x-floor")
			}
			b.ReportMetric(0, "ns/op")
		})
	}
}

func busy(b *testing.B, do func()) time.Duration {
	begun := cores(b)
	do()
	return cores(b) - begun
}

func observe(x *linkage.Index, seen []palladium.Observation) {
	for i := range seen {
		x.Observe(&seen[i])
	}
}

// unpack decompresses and splits, and does no more.
func unpack(b *testing.B, packed []byte, lines int) {
	z, err := zstd.NewReader(bytes.NewReader(packed), zstd.WithDecoderConcurrency(1))
	if err != nil {
		b.Fatal(err)
	}
	defer z.Close()
	in := bufio.NewScanner(z)
	in.Buffer(make([]byte, 1<<20), 1<<20)
	n := 0
	for in.Scan() {
		n++
	}
	if n != lines {
		b.Fatal(n)
	}
}
