package app

import (
	"bufio"
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// stream writes n exchanges of the given number of accounts over ten days, with prompts of about 300 bytes, and
// returns the path. Some hundred clients, prompts' openings and networks are shared, as they are in real traffic.
func stream(b *testing.B, accounts, n int) string {
	b.Helper()
	path := filepath.Join(b.TempDir(), "traffic.jsonl")
	f, err := os.Create(path)
	if err != nil {
		b.Fatal(err)
	}
	defer f.Close()
	w := bufio.NewWriterSize(f, 1<<20)
	rnd := rand.New(rand.NewPCG(1, uint64(accounts)))
	words := make([]string, 20_000)
	for i := range words {
		word := make([]byte, 3+rnd.IntN(7))
		for j := range word {
			word[j] = byte('a' + rnd.IntN(26))
		}
		words[i] = string(word)
	}
	start := time.Date(2026, 5, 4, 0, 0, 0, 0, time.UTC)
	var line, prompt []byte
	for i := range n {
		a := rnd.IntN(accounts)
		own := rand.New(rand.NewPCG(2, uint64(a)))
		prompt = append(prompt[:0], words[own.IntN(200)]...)
		for len(prompt) < 300 {
			prompt = append(append(prompt, ' '), words[int(float64(len(words))*rnd.Float64()*rnd.Float64())]...)
		}
		at := start.Add(time.Duration(i) * 10 * 24 * time.Hour / time.Duration(n))
		line = fmt.Appendf(line[:0], `{"kind":"exchange","id":"req-%d","time":"%s","account":"acct-%08d","credential":"key-%d",`+
			`"client":{"ip":"10.%d.%d.%d","asn":%d,"country":"DE","user_agent":"sdk/%d","tls":"t13d%d"},"api":"openai.chat","model":"atlas-%d",`+
			`"messages":[{"role":"user","text":"%s"}],"params":{"temperature":0.%d,"max_tokens":%d},`+
			`"outcome":{"status":200,"finish":"stop","ms":%d},"usage":{"input":%d,"output":%d}}`+"\n",
			i, at.Format(time.RFC3339Nano), a, a, own.IntN(250), own.IntN(250), own.IntN(250), own.IntN(60000), own.IntN(40), own.IntN(60),
			own.IntN(3), prompt, own.IntN(10), 256<<own.IntN(4), 500+rnd.IntN(5000), 70+rnd.IntN(20), 100+rnd.IntN(900))
		if _, err := w.Write(line); err != nil {
			b.Fatal(err)
		}
	}
	if err := w.Flush(); err != nil {
		b.Fatal(err)
	}
	return path
}

// floor is the time that it takes to read the file and split it into lines.
func floor(b *testing.B, path string) time.Duration {
	b.Helper()
	best := time.Hour
	for range 3 {
		f, err := os.Open(path)
		if err != nil {
			b.Fatal(err)
		}
		begun := time.Now()
		in := bufio.NewScanner(f)
		in.Buffer(make([]byte, 1<<20), 1<<20)
		for in.Scan() {
		}
		best = min(best, time.Since(begun))
		f.Close()
	}
	return best
}

// BenchmarkScan is the end-to-end figure: files to report, on all cores. x-floor is how many times as long as reading
// and splitting the lines on one core it takes.
func BenchmarkScan(b *testing.B) {
	const n = 400_000
	for _, accounts := range []int{10_000, 100_000} {
		b.Run(fmt.Sprintf("accounts=%d", accounts), func(b *testing.B) {
			path := stream(b, accounts, n)
			least := floor(b, path)
			for b.Loop() {
				r, _, err := Scan(context.Background(), ScanOptions{Paths: []string{path}})
				if err != nil || r.Counts.Exchanges != n {
					b.Fatal(err)
				}
			}
			each := b.Elapsed().Seconds() / float64(b.N)
			b.ReportMetric(n/each, "exchanges/s")
			b.ReportMetric(each/least.Seconds(), "x-floor")
			b.ReportMetric(0, "ns/op")
		})
	}
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
