//go:build unix

package app

import (
	"bufio"
	"bytes"
	"fmt"
	"testing"
	"time"

	"github.com/klauspost/compress/zstd"

	"github.com/palladium-guard/palladium"
	"github.com/palladium-guard/palladium/traffic/dialect"
	"github.com/palladium-guard/palladium/traffic/dialect/native"
	"github.com/palladium-guard/palladium/traffic/linkage"
	"github.com/palladium-guard/palladium/traffic/measure"
)

// BenchmarkStages runs the same exchanges through one stage at a time, each on one core: first 40,000 of 2,000
// accounts, then ten times as many of ten times as many accounts. cpu-ns/exchange is what the stage adds to the one
// before; x-floor compares it with decompressing and splitting.
func BenchmarkStages(b *testing.B) {
	for _, accounts := range []int{2_000, 20_000} {
		b.Run(fmt.Sprintf("accounts=%d", accounts), func(b *testing.B) { stages(b, accounts, 20*accounts) })
	}
}

func stages(b *testing.B, accounts, n int) {
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
	meter, decoder, seen := measure.New([32]byte{}, s.cues), new(native.Decoder), make([]palladium.Observation, n)
	decode := func(use func(*palladium.Exchange)) {
		for _, row := range rows {
			if err := decoder.Decode(row, func(r *dialect.Record) error { use(&r.Exchange); return nil }); err != nil {
				b.Fatal(err)
			}
		}
	}
	made := 0
	decode(func(e *palladium.Exchange) {
		meter.Measure(e, &seen[made])
		made++
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
			b.ReportMetric(float64(took.Nanoseconds())/float64(n), "cpu-ns/exchange")
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
