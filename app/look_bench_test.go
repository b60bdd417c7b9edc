//go:build unix

package app

import (
	"context"
	"fmt"
	"io"
	"runtime"
	"slices"
	"syscall"
	"testing"
	"time"

	"github.com/palladium-guard/palladium"
	"github.com/palladium-guard/palladium/traffic/tap/file"
)

// looking takes in traffic and times the looks.
type looking struct {
	det   *Detector
	looks []time.Duration // on the wall
	cpu   time.Duration   // that looks took of a core
}

func (l *looking) Describe(a *palladium.Account) error { l.det.Describe(a); return nil }
func (l *looking) NameModel(hash uint64, name string)  { l.det.NameModel(hash, name) }
func (l *looking) Reached([]file.Position) error       { return nil }
func (l *looking) Observe(o *palladium.Observation) error {
	begun, worked := time.Now(), thread()
	if l.det.Observe(o) {
		l.looks = append(l.looks, time.Since(begun))
		l.cpu += thread() - worked
	}
	return nil
}

// thread returns the time that this thread has had of a core.
func thread() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(1, &u); err != nil { // 1: RUSAGE_THREAD, which Linux alone has
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// BenchmarkLook is how long the goroutine that owns the accounts is away from what comes in: for a look, for the report that
// follows it and for a snapshot to nowhere, after ten days of three exchanges an account, looked at every hour. In the
// rows of group=16 each account shares its address, its program, its card's issuer and how its prompts begin with fifteen
// others, so that there is a group for every sixteen accounts: more than any traffic has. total-look-s is
// what all looks took, wall-s all there was to do, decoding and measuring included.
func BenchmarkLook(b *testing.B) {
	for _, c := range []struct{ accounts, group int }{{10_000, 1}, {100_000, 1}, {1_000_000, 1}, {10_000, 16}, {100_000, 16}, {1_000_000, 16}} {
		b.Run(fmt.Sprintf("accounts=%d/group=%d", c.accounts, c.group), func(b *testing.B) {
			accounts := c.accounts
			if accounts > 100_000 && testing.Short() {
				b.Skip("a million accounts take minutes; run make bench-look")
			}
			cues, err := Cues()
			if err != nil {
				b.Fatal(err)
			}
			runtime.LockOSThread() // what it takes of a core is counted by thread
			defer runtime.UnlockOSThread()
			for b.Loop() {
				det, err := Prepare([32]byte{7}, nil, DetectorOptions{})
				if err != nil {
					b.Fatal(err)
				}
				l := &looking{det: det}
				begun := time.Now()
				traffic := &lines{traffic: newTraffic(accounts, 3*accounts, true)}
				traffic.group = c.group
				if _, err := Feed(context.Background(), file.Options{Paths: []string{"-"}, Stdin: traffic, Formats: Formats()}, [32]byte{7}, cues, l); err != nil {
					b.Fatal(err)
				}
				wall := time.Since(begun)
				worked := thread()
				det.Present(0)
				present := thread() - worked
				begun, worked = time.Now(), cores(b)
				if err := WriteSnapshot(io.Discard, det, new(file.Seen), struct{}{}); err != nil {
					b.Fatal(err)
				}
				b.ReportMetric(time.Since(begun).Seconds(), "snapshot-s")
				b.ReportMetric((cores(b) - worked).Seconds(), "snapshot-cpu-s")
				b.ReportMetric(present.Seconds(), "present-cpu-s")
				b.ReportMetric(wall.Seconds(), "wall-s")
				var sum time.Duration
				for _, d := range l.looks {
					sum += d
				}
				slices.Sort(l.looks)
				b.ReportMetric(float64(len(l.looks)), "looks")
				b.ReportMetric(float64(len(det.Tracker().Groups())), "groups")
				b.ReportMetric(sum.Seconds(), "total-look-s")
				b.ReportMetric(l.cpu.Seconds(), "total-look-cpu-s")
				b.ReportMetric(l.looks[len(l.looks)/2].Seconds(), "median-look-s")
				b.ReportMetric(l.looks[len(l.looks)-1].Seconds(), "longest-look-s")
				b.ReportMetric(peak(b)/(1<<20), "peak-rss-MB")
				b.ReportMetric(0, "ns/op")
				runtime.KeepAlive(det)
			}
		})
	}
}
