//go:build unix

package app

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/klauspost/compress/zstd"
)

// traffic makes lines of native JSONL: first a record of each account, when asked for, then n exchanges of them over
// ten days, with prompts of about 300 bytes. Clients, prompts' openings and networks are shared by some hundreds, as
// they are in real traffic.
type traffic struct {
	accounts, n   int
	group         int // accounts that share all but payment, device and key; 1: each is by itself
	records       bool
	words         []string
	rnd           *rand.Rand
	line, prompt  []byte
	account, made int
}

func newTraffic(accounts, n int, records bool) *traffic {
	t := &traffic{accounts: accounts, n: n, group: 1, records: records, words: make([]string, 20_000), rnd: rand.New(rand.NewPCG(1, uint64(accounts)))}
	for i := range t.words {
		word := make([]byte, 3+t.rnd.IntN(7))
		for j := range word {
			word[j] = byte('a' + t.rnd.IntN(26))
		}
		t.words[i] = string(word)
	}
	return t
}

// next returns the next line, valid until the next call; nil at the end.
func (t *traffic) next() []byte {
	if t.records && t.account < t.accounts {
		a := t.account
		t.account++
		own := rand.New(rand.NewPCG(3, uint64(a/t.group)))
		t.line = fmt.Appendf(t.line[:0], `{"kind":"account","account":"acct-%08d","created":"2026-04-%02dT10:00:00Z","plan":"pro","email_domain":"d%d.example",`+
			`"email_shape":"aaaa.aaaa%d","payment":"fp-%d","bin":"%d","phone_prefix":"+%d","device":"dev-%d","signup_ip":"10.%d.%d.%d"}`+"\n",
			a, 1+own.IntN(28), own.IntN(20_000), own.IntN(10), a, own.IntN(3000), own.IntN(900), a, own.IntN(250), own.IntN(250), own.IntN(250))
		return t.line
	}
	if t.made == t.n {
		return nil
	}
	i := t.made
	t.made++
	a := t.rnd.IntN(t.accounts)
	own := rand.New(rand.NewPCG(2, uint64(a/t.group)))
	t.prompt = append(t.prompt[:0], t.words[own.IntN(200)]...)
	for len(t.prompt) < 300 {
		t.prompt = append(append(t.prompt, ' '), t.words[int(float64(len(t.words))*t.rnd.Float64()*t.rnd.Float64())]...)
	}
	at := time.Date(2026, 5, 4, 0, 0, 0, 0, time.UTC).Add(time.Duration(float64(i) / float64(t.n) * 10 * 24 * float64(time.Hour)))
	t.line = fmt.Appendf(t.line[:0], `{"kind":"exchange","id":"req-%d","time":"%s","account":"acct-%08d","credential":"key-%d",`+
		`"client":{"ip":"10.%d.%d.%d","asn":%d,"country":"DE","user_agent":"sdk/%d","tls":"t13d%d"},"api":"openai.chat","model":"atlas-%d",`+
		`"messages":[{"role":"user","text":"%s"}],"params":{"temperature":0.%d,"max_tokens":%d},`+
		`"outcome":{"status":200,"finish":"stop","ms":%d},"usage":{"input":%d,"output":%d}}`+"\n",
		i, at.Format(time.RFC3339Nano), a, a, own.IntN(250), own.IntN(250), own.IntN(250), own.IntN(60000), own.IntN(40), own.IntN(60),
		own.IntN(3), t.prompt, own.IntN(10), 256<<own.IntN(4), 500+t.rnd.IntN(5000), 70+t.rnd.IntN(20), 100+t.rnd.IntN(900))
	return t.line
}

// write puts all of it into a file, compressed with zstd when asked for, and returns the path.
func (t *traffic) write(b *testing.B, compress bool) string {
	b.Helper()
	path := filepath.Join(b.TempDir(), "traffic.jsonl")
	if compress {
		path += ".zst"
	}
	f, err := os.Create(path)
	if err != nil {
		b.Fatal(err)
	}
	defer f.Close()
	var out io.WriteCloser = f
	if compress {
		if out, err = zstd.NewWriter(f); err != nil {
			b.Fatal(err)
		}
	}
	w := bufio.NewWriterSize(out, 1<<20)
	for line := t.next(); line != nil; line = t.next() {
		if _, err := w.Write(line); err != nil {
			b.Fatal(err)
		}
	}
	if err := w.Flush(); err != nil {
		b.Fatal(err)
	}
	if compress {
		if err := out.Close(); err != nil {
			b.Fatal(err)
		}
	}
	return path
}

// floor is the time, on the wall and of the cores, that it takes to read the file, decompress it and split it into
// lines on one core: the best of three.
func floor(b *testing.B, path string) (best, busy time.Duration) {
	b.Helper()
	best, busy = time.Hour, time.Hour
	for range 3 {
		worked := cores(b)
		f, err := os.Open(path)
		if err != nil {
			b.Fatal(err)
		}
		begun := time.Now()
		var r io.Reader = f
		var z *zstd.Decoder
		if filepath.Ext(path) == ".zst" {
			if z, err = zstd.NewReader(f, zstd.WithDecoderConcurrency(1)); err != nil {
				b.Fatal(err)
			}
			r = z
		}
		in := bufio.NewScanner(r)
		in.Buffer(make([]byte, 1<<20), 1<<20)
		for in.Scan() {
		}
		if z != nil {
			z.Close()
		}
		best, busy = min(best, time.Since(begun)), min(busy, cores(b)-worked)
		f.Close()
	}
	return best, busy
}

// cores returns the time that the process has had of all cores. Unlike the wall's, it hardly depends on what else runs.
func cores(b *testing.B) time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// BenchmarkScan is the end-to-end figure: files to report, on all cores. x-floor is how many times as long as reading,
// decompressing and splitting the lines on one core it takes; cpu-x-floor is the same of the cores' time. From the first row to the second the accounts become ten
// times as many and the traffic stays; to the third, the traffic grows with them.
func BenchmarkScan(b *testing.B) {
	for _, c := range []struct {
		accounts, each int
		compress       bool
	}{{10_000, 40, false}, {100_000, 4, false}, {100_000, 40, false}, {10_000, 40, true}, {100_000, 4, true}} {
		pack := "plain"
		if c.compress {
			pack = "zstd"
		}
		b.Run(fmt.Sprintf("%s/accounts=%d/each=%d", pack, c.accounts, c.each), func(b *testing.B) {
			n := c.accounts * c.each
			path := newTraffic(c.accounts, n, false).write(b, c.compress)
			wall, busy := floor(b, path)
			worked := cores(b)
			for b.Loop() {
				r, _, err := Scan(context.Background(), ScanOptions{Paths: []string{path}})
				if err != nil || r.Counts.Exchanges != int64(n) {
					b.Fatal(err)
				}
			}
			each, cpu := b.Elapsed().Seconds()/float64(b.N), (cores(b)-worked).Seconds()/float64(b.N)
			b.ReportMetric(float64(n)/each, "exchanges/s")
			b.ReportMetric(each/wall.Seconds(), "x-floor")
			b.ReportMetric(1e9*cpu/float64(n), "cpu-ns/exchange")
			b.ReportMetric(cpu/busy.Seconds(), "cpu-x-floor")
			b.ReportMetric(0, "ns/op")
		})
	}
}

// lines reads as the lines of a traffic, which no file ever holds.
type lines struct {
	*traffic
	rest []byte
}

func (l *lines) Read(p []byte) (int, error) {
	n := 0
	for n < len(p) {
		if len(l.rest) == 0 {
			if l.rest = l.next(); l.rest == nil {
				break
			}
		}
		k := copy(p[n:], l.rest)
		l.rest = l.rest[k:]
		n += k
	}
	if n == 0 {
		return 0, io.EOF
	}
	return n, nil
}

// BenchmarkState is what the detector keeps: heap in use after a scan of as many accounts, five exchanges each, every
// one with an account record. marginal-B/account leaves out the memory that an empty detector has as well. peak-rss-MB
// is of the whole process so far, so run one case in a process: -bench 'State/accounts=1000000'.
func BenchmarkState(b *testing.B) {
	for _, accounts := range []int{100_000, 1_000_000} {
		b.Run(fmt.Sprintf("accounts=%d", accounts), func(b *testing.B) {
			if accounts > 100_000 && testing.Short() {
				b.Skip("a million accounts take minutes; run make bench-state")
			}
			for b.Loop() {
				empty := heap()
				s, err := newScan(ScanOptions{})
				if err != nil {
					b.Fatal(err)
				}
				fixed := heap() - empty
				runtime.KeepAlive(s)
				s = nil
				empty = heap()
				n := 5 * accounts
				begun := time.Now()
				c, _, err := Inspect(context.Background(), ScanOptions{Paths: []string{"-"}, Stdin: &lines{traffic: newTraffic(accounts, n, true)}})
				if err != nil || c.Report.Counts.Exchanges != int64(n) || c.Report.Counts.Accounts != int64(accounts) {
					b.Fatal(err)
				}
				took := time.Since(begun)
				used := heap() - empty
				runtime.KeepAlive(c)
				b.ReportMetric(float64(used)/float64(accounts), "B/account")
				b.ReportMetric((float64(used)-float64(fixed))/float64(accounts), "marginal-B/account")
				b.ReportMetric(float64(fixed)/(1<<20), "fixed-MB")
				b.ReportMetric(float64(used)/(1<<20), "heap-MB")
				b.ReportMetric(peak(b)/(1<<20), "peak-rss-MB")
				b.ReportMetric(float64(n)/took.Seconds(), "exchanges/s")
				b.ReportMetric(0, "ns/op")
			}
		})
	}
}

// heap returns the bytes of live objects.
func heap() int64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

// peak returns the most memory that the process ever had in RAM, in bytes; 0 where the system does not tell.
func peak(b *testing.B) float64 {
	data, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return 0
	}
	for line := range strings.Lines(string(data)) {
		if rest, ok := strings.CutPrefix(line, "VmHWM:"); ok {
			kb, err := strconv.ParseFloat(strings.TrimSuffix(strings.TrimSpace(rest), " kB"), 64)
			if err != nil {
				b.Fatal(err)
			}
			return kb * 1024
		}
	}
	return 0
}

// BenchmarkSave keeps the state of 1,700 accounts, most of which is the memory of recent text.
func BenchmarkSave(b *testing.B) {
	s, err := newScan(ScanOptions{Paths: []string{small(b, 1500)}, StateDir: stateWith(b)})
	if err != nil {
		b.Fatal(err)
	}
	defer s.folder.close()
	if err := s.read(context.Background()); err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		k, err := s.folder.save(s, s.stats.Position)
		if err != nil {
			b.Fatal(err)
		}
		b.SetBytes(k.Bytes)
	}
}
