package file

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/palladium-guard/palladium"
	"github.com/palladium-guard/palladium/traffic/dialect"
	"github.com/palladium-guard/palladium/traffic/dialect/litellm"
	"github.com/palladium-guard/palladium/traffic/dialect/native"
	"github.com/palladium-guard/palladium/traffic/dialect/otlp"
)

func formats() []dialect.Format {
	return []dialect.Format{native.Format(), litellm.Format(), otlp.Format()}
}

// samples returns the sample file of each format.
func samples(t testing.TB) map[string][]byte {
	t.Helper()
	all := map[string][]byte{}
	for _, f := range formats() {
		b, err := os.ReadFile(filepath.Join("..", "..", "dialect", f.Name, "testdata", "sample.jsonl"))
		if err != nil {
			t.Fatal(err)
		}
		all[f.Name] = b
	}
	return all
}

func TestFormatsAreToldApart(t *testing.T) {
	dir := t.TempDir()
	for name, b := range samples(t) {
		write(t, dir, name+".jsonl", append([]byte("broken first line\n"), b...))
	}
	g := read(t, Options{Paths: []string{dir}, Formats: formats()})
	if g.err != nil || g.stats.Exchanges != 2+3+7 || g.stats.Accounts != 2 || g.stats.Rejected != 3 {
		t.Errorf("got %+v, %v, %v", g.stats, g.err, g.rejects)
	}
	g = read(t, Options{Paths: []string{filepath.Join(dir, "native.jsonl")}, Formats: formats(), Dialect: "otlp"})
	if g.stats.Exchanges != 0 || g.stats.Rejected != 5 {
		t.Errorf("got %+v", g.stats)
	}
}

// TestRecordsOfOneLineStayTogether resumes between batches of lines that hold several records each.
func TestRecordsOfOneLineStayTogether(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, "a.jsonl", samples(t)["otlp"])
	write(t, dir, "b.jsonl", []byte(ex("n1", 0.1)+ex("n2", 0.25)+ex("n3", 9)))
	g := read(t, Options{Paths: []string{dir}, Formats: formats()})
	if g.err != nil || g.stats.Exchanges != 10 || g.ids[0] != "n1" || g.ids[9] != "n3" {
		t.Errorf("got %v, %v, %v", g.ids, g.err, g.rejects)
	}
}

func TestProgress(t *testing.T) {
	dir := t.TempDir()
	path := write(t, dir, "a.jsonl", pack(t, "gzip", ex("x1", 0)+ex("x2", 1)))
	var looked bool
	var last Progress
	_, err := Read(t.Context(), Options{Paths: []string{path}, Formats: formats(), Progress: func(p Progress) {
		looked = looked || p.Looking
		last = p
	}}, name, nobody, func(Batch[named]) error { return nil })
	if err != nil || !looked || last.Looking || last.Read != last.Total || last.Total == 0 || last.Exchanges != 2 || last.ActiveFile != path {
		t.Errorf("got %+v, %v", last, err)
	}
}

// FuzzRead feeds anything to the whole pipeline: it ends, without an error, and counts what it does.
func FuzzRead(f *testing.F) {
	for _, b := range samples(f) {
		f.Add(b)
	}
	f.Add([]byte{0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255})
	f.Add([]byte{0x28, 0xb5, 0x2f, 0xfd, 4, 0})
	f.Fuzz(func(t *testing.T, b []byte) {
		delivered, rejected := int64(0), int64(0)
		o := Options{Paths: []string{"-"}, Stdin: bytes.NewReader(b), Formats: formats(), Workers: 2,
			Rejected: func(palladium.Reject) { rejected++ }}
		s, err := Read(t.Context(), o, name, nobody, func(b Batch[named]) error { delivered += int64(len(b.Items)); return nil })
		if err != nil || s.Exchanges != delivered || s.Rejected != rejected {
			t.Fatal(s, delivered, rejected, err)
		}
	})
}

// TestManyFiles merges files that all cover the same time.
func TestManyFiles(t *testing.T) {
	const files, lines = 300, 60
	dir := t.TempDir()
	for f := range files {
		var b bytes.Buffer
		for i := range lines {
			b.WriteString(ex(fmt.Sprintf("%05d", i*files+f), float64(i*files+f)))
		}
		write(t, dir, fmt.Sprintf("%03d.jsonl", f*7919%files), b.Bytes())
	}
	g := read(t, Options{Paths: []string{dir}, Formats: formats()})
	if g.err != nil || len(g.ids) != files*lines || !slices.IsSorted(g.ids) {
		t.Errorf("%d exchanges, %v", len(g.ids), g.err)
	}
}
