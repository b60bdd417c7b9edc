package file

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
	"github.com/zeebo/xxh3"

	"github.com/palladium-guard/palladium"
	"github.com/palladium-guard/palladium/traffic/dialect"
	"github.com/palladium-guard/palladium/traffic/dialect/native"
)

type item struct {
	ms int64
	id uint64
}

func hashes(int) func(*palladium.Exchange, *item) {
	return func(e *palladium.Exchange, t *item) { *t = item{e.Time.UnixMilli(), xxh3.HashString(e.ID)} }
}

func nobody(*palladium.Account) error { return nil }

const benchLines = 200_000

// benchFile writes lines of about 600 bytes with prompts of 300.
func benchFile(b *testing.B, pack string) string {
	b.Helper()
	path := filepath.Join(b.TempDir(), "traffic.jsonl")
	f, err := os.Create(path)
	if err != nil {
		b.Fatal(err)
	}
	var w io.WriteCloser = f
	switch pack {
	case "gzip":
		w = gzip.NewWriter(f)
	case "zstd":
		w, _ = zstd.NewWriter(f)
	}
	buf := bufio.NewWriterSize(w, 1<<20)
	start := time.Date(2026, 5, 3, 0, 0, 0, 0, time.UTC)
	words := bytes.Repeat([]byte("Explain why the proof of the lemma needs compactness here. "), 6)
	for i := range benchLines {
		fmt.Fprintf(buf, `{"kind":"exchange","id":"req_%09d","time":%q,"account":"acct-%06d","credential":"key-%d",`+
			`"client":{"ip":"198.51.100.%d","asn":64501,"user_agent":"openai-python/1.30.1","headers":"5f2c90ab"},`+
			`"api":"openai.chat","model":"large-1","messages":[{"role":"user","text":"%s %d"}],"params":{"temperature":0.7,"max_tokens":1024},`+
			`"outcome":{"status":200,"finish":"stop","ms":2310},"usage":{"input":78,"output":311}}`+"\n",
			i, start.Add(time.Duration(i)*5*time.Millisecond).Format(time.RFC3339Nano), i*7919%50000, i%911, i%250, words[i%50:i%50+300], i)
	}
	if err := buf.Flush(); err != nil {
		b.Fatal(err)
	}
	if w != f {
		w.Close()
	}
	f.Close()
	return path
}

func perSecond(b *testing.B, lines int) {
	b.ReportMetric(float64(lines)*float64(b.N)/b.Elapsed().Seconds(), "exchanges/s")
}

// BenchmarkRead is the whole pipeline; BenchmarkFloor decompresses and splits the same lines and does no more.
func BenchmarkRead(b *testing.B) {
	for _, pack := range []string{"plain", "gzip", "zstd"} {
		b.Run(pack, func(b *testing.B) {
			o := Options{Paths: []string{benchFile(b, pack)}, Formats: []dialect.Format{native.Format()}}
			b.ReportAllocs()
			for b.Loop() {
				s, err := Read(b.Context(), o, hashes, nobody, func(Batch[item]) error { return nil })
				if err != nil || s.Exchanges != benchLines {
					b.Fatal(s, err)
				}
			}
			perSecond(b, benchLines)
		})
	}
}

// BenchmarkReadMerged reads four files that cover the same time.
func BenchmarkReadMerged(b *testing.B) {
	one, err := os.ReadFile(benchFile(b, "plain"))
	if err != nil {
		b.Fatal(err)
	}
	dir := b.TempDir()
	parts := make([]bytes.Buffer, 4)
	for i, line := range bytes.SplitAfter(one, []byte("\n")) {
		parts[i%4].Write(line)
	}
	for i := range parts {
		if err := os.WriteFile(filepath.Join(dir, fmt.Sprintf("%d.jsonl", i)), parts[i].Bytes(), 0o600); err != nil {
			b.Fatal(err)
		}
	}
	o := Options{Paths: []string{dir}, Formats: []dialect.Format{native.Format()}}
	for b.Loop() {
		s, err := Read(b.Context(), o, hashes, nobody, func(Batch[item]) error { return nil })
		if err != nil || s.Exchanges != benchLines {
			b.Fatal(s, err)
		}
	}
	perSecond(b, benchLines)
}

func BenchmarkFloor(b *testing.B) {
	for _, pack := range []string{"plain", "gzip", "zstd"} {
		b.Run(pack, func(b *testing.B) {
			path := benchFile(b, pack)
			for b.Loop() {
				f, err := os.Open(path)
				if err != nil {
					b.Fatal(err)
				}
				st, err := unpack(f, func() { f.Close() })
				if err != nil {
					b.Fatal(err)
				}
				in, n := splitter{in: st, size: blockSize}, 0
				for blk := (block{}); in.next(&blk) == nil; {
					blk.eachLine(func([]byte, int64, int64, int64) bool { n++; return true })
				}
				st.close()
				if n != benchLines {
					b.Fatal(n)
				}
			}
			perSecond(b, benchLines)
		})
	}
}
