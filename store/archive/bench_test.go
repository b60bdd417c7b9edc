package archive

import (
	"fmt"
	"math/rand/v2"
	"syscall"
	"testing"
	"time"

	"github.com/palladium-guard/palladium"
	"github.com/palladium-guard/palladium/store/place"
)

// traffic is observations of about the size of the demo's: 15 shingles, 58 terms, six quotes and two answers' shingles each, from a
// stock of texts, and 2,000 accounts.
func traffic(n int) []palladium.Observation {
	r := rand.New(rand.NewPCG(5, 6))
	list := func(n int) []uint64 {
		out := make([]uint64, n)
		for i := range out {
			out[i] = r.Uint64()
		}
		return out
	}
	texts := make([]palladium.Observation, n/4)
	for i := range texts {
		texts[i] = palladium.Observation{
			Prompt: r.Uint64(), SimHash: r.Uint64(), Shingles: list(15), Quotes: list(5), Answers: list(2), Words: uint32(r.IntN(99)), Chars: uint32(r.IntN(999)),
		}
		for range 58 {
			texts[i].Terms = append(texts[i].Terms, uint16(r.Uint32()))
		}
		for k := range texts[i].MinHash {
			texts[i].MinHash[k] = uint8(r.Uint32())
		}
	}
	out := make([]palladium.Observation, n)
	for i := range out {
		a := r.Uint64N(2000)
		o := texts[r.IntN(len(texts))]
		o.ID, o.Time, o.Account = r.Uint64(), start+int64(i)*20, fmt.Sprint("acct-", a)
		o.Credential, o.IP, o.Net, o.ASN, o.Client, o.TLS = a+1, a*3+r.Uint64N(3)+1, a+1, uint32(a%50), a%90+1, a%20+1
		o.Headers, o.UserAgent, o.Model, o.API, o.System = a%30+1, a%40+1, a%4+1, a%2+1, a%100+1
		o.Usage = palladium.Usage{Input: r.Int64N(2000), Output: r.Int64N(1000)}
		o.Outcome = palladium.Outcome{Status: 200, Finish: "stop", MS: float64(r.IntN(5000)), TTFTMS: float64(r.IntN(500))}
		out[i] = o
	}
	return out
}

func processor() time.Duration {
	var r syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &r)
	return time.Duration(r.Utime.Nano() + r.Stime.Nano())
}

// per reports the core time of each row.
func per(b *testing.B, rows int, do func()) {
	begun := processor()
	for b.Loop() {
		do()
	}
	spent := (processor() - begun) / time.Duration(b.N)
	b.ReportMetric(float64(spent)/float64(rows), "cpu-ns/row")
	b.ReportMetric(float64(rows)/spent.Seconds(), "rows/cpu-s")
}

const benchRows = 300_000

func BenchmarkWrite(b *testing.B) {
	all := traffic(benchRows)
	var bytes int64
	per(b, benchRows, func() {
		a := written(b, all)
		s, err := a.Status(b.Context())
		if err != nil {
			b.Fatal(err)
		}
		bytes = s.Bytes
	})
	b.ReportMetric(float64(bytes)/benchRows, "bytes/row")
}

func written(b *testing.B, all []palladium.Observation) *Archive {
	a := open(b, place.Folder(b.TempDir()), Config{})
	w, err := a.Writer(b.Context(), WriterOptions{Tries: 1})
	if err != nil {
		b.Fatal(err)
	}
	for i := range all {
		w.Observe(&all[i])
		if i%100 == 99 {
			if err := w.Position(uint64(i)); err != nil {
				b.Fatal(err)
			}
		}
	}
	if err := w.Close(b.Context()); err != nil {
		b.Fatal(err)
	}
	return a
}

func BenchmarkRead(b *testing.B) {
	a := written(b, traffic(benchRows))
	per(b, benchRows, func() {
		if err := a.Read(b.Context(), time.Time{}, time.Time{}, silent{}); err != nil {
			b.Fatal(err)
		}
	})
}

func BenchmarkUsage(b *testing.B) {
	a := written(b, traffic(benchRows))
	if err := a.Compact(b.Context(), time.UnixMilli(start).Add(day)); err != nil {
		b.Fatal(err)
	}
	per(b, benchRows, func() {
		if _, err := a.Usage(b.Context(), time.Time{}, time.Time{}); err != nil {
			b.Fatal(err)
		}
	})
}

func BenchmarkCompact(b *testing.B) {
	all := traffic(benchRows)
	var spent time.Duration
	for b.Loop() {
		a := written(b, all)
		begun := processor()
		if err := a.Compact(b.Context(), time.UnixMilli(start).Add(day)); err != nil {
			b.Fatal(err)
		}
		spent += processor() - begun
	}
	b.ReportMetric(float64(spent)/float64(b.N)/benchRows, "cpu-ns/row")
}

func BenchmarkExpire(b *testing.B) {
	all := traffic(benchRows)
	var spent time.Duration
	for b.Loop() {
		a := written(b, all)
		begun := processor()
		if err := a.Expire(b.Context(), time.UnixMilli(start).Add(40*day)); err != nil {
			b.Fatal(err)
		}
		spent += processor() - begun
	}
	b.ReportMetric(float64(spent)/float64(b.N)/benchRows, "cpu-ns/row")
}
