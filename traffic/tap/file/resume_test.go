package file

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/palladium-guard/palladium"
	"github.com/palladium-guard/palladium/traffic/dialect"
	"github.com/palladium-guard/palladium/traffic/dialect/native"
)

// TestResume stops a reading after each of its batches and goes on from the position told with that batch.
func TestResume(t *testing.T) {
	dir := t.TempDir()
	var all []string
	for f, how := range []string{"", "gzip", "zstd", ""} {
		var text strings.Builder
		for i := range 2500 {
			sec := float64(i)*1.5 + float64(f)/8
			if f < 2 { // stretches in which one file goes alone
				sec = float64(i/400*400*3) + float64(i%400)/10
			}
			id := fmt.Sprintf("%d-%d", f, i)
			all = append(all, id)
			text.WriteString(ex(id, sec))
			if i%97 == 0 {
				text.WriteString("broken\n\n")
			}
		}
		write(t, dir, fmt.Sprintf("%d.jsonl", f), pack(t, how, text.String()))
	}
	slices.Sort(all)
	stop := errors.New("stop")
	for after := 0; ; after++ {
		var taken []string
		var at []Position
		lost, rejects := 0, 0
		run := func(resume []Position, batches int) error {
			_, err := Read(t.Context(), Options{Paths: []string{dir}, Formats: []dialect.Format{native.Format()}, Resume: resume}, name,
				func(*palladium.Account) error { return nil }, func(b Batch[named]) error {
					if batches == 0 {
						return stop
					}
					batches--
					for _, x := range b.Items {
						taken = append(taken, x.id)
					}
					at = append(at[:0], b.Position...)
					return nil
				})
			return err
		}
		err := run(nil, after)
		if err == nil {
			if after < 10 {
				t.Errorf("only %d batches", after)
			}
			return
		}
		if after%7 != 0 && after > 3 {
			continue
		}
		if err := run(at, -1); err != nil {
			t.Fatal(err)
		}
		slices.Sort(taken)
		if !slices.Equal(taken, all) {
			t.Fatalf("after %d batches: %d exchanges of %d, %d lost, %d rejected", after, len(taken), len(all), lost, rejects)
		}
	}
}

func TestGrownFileContinues(t *testing.T) {
	for _, how := range []string{"", "gzip", "zstd"} {
		dir := t.TempDir()
		one, two := ex("x1", 1)+ex("x2", 2), ex("x3", 3)+"bad\n"
		path := write(t, dir, "f.jsonl", pack(t, how, one))
		g := read(t, Options{Paths: []string{dir}})
		g.want(t, "x1 x2")
		// A second member of gzip or frame of zstd is how such files are appended to.
		write(t, dir, "f.jsonl", append(pack(t, how, one), pack(t, how, two)...))
		if err := os.Rename(path, filepath.Join(dir, "renamed.jsonl")); err != nil {
			t.Fatal(err)
		}
		write(t, dir, "new.jsonl", []byte(ex("n0", 0)))
		g = read(t, Options{Paths: []string{dir}, Resume: g.stats.Position})
		g.want(t, "n0 x3")
		g.wantReject(t, "renamed.jsonl", 4, "invalid JSON")
		g = read(t, Options{Paths: []string{dir}, Resume: g.stats.Position})
		g.want(t, "")
		if len(g.rejects) != 0 {
			t.Errorf("%q: read again: %v", how, g.rejects)
		}
	}
}

func TestLastLineWithoutAnEnd(t *testing.T) {
	dir := t.TempDir()
	two := ex("x2", 2)
	for _, cut := range []int{len(two) - 1, len(two) / 2} { // whole but for its end; half
		path := write(t, dir, "f.jsonl", []byte(ex("x1", 1)+two[:cut]))
		g := read(t, Options{Paths: []string{path}})
		write(t, dir, "f.jsonl", []byte(ex("x1", 1)+two+"bad\n"))
		h := read(t, Options{Paths: []string{path}, Resume: g.stats.Position})
		if ids := strings.Join(append(g.ids, h.ids...), " "); ids != "x1 x2" {
			t.Errorf("cut at %d: got %s", cut, ids)
		}
		h.wantReject(t, "f.jsonl", 3, "invalid JSON")
	}
	path := write(t, dir, "f.jsonl", []byte(ex("x1", 1)+two))
	g := read(t, Options{Paths: []string{path}})
	id := g.stats.Position[0]
	id.Bytes += 1000
	g = read(t, Options{Paths: []string{path}, Resume: []Position{id}})
	g.want(t, "")
	g.wantReject(t, "f.jsonl", 0, "shorter than when it was read before")
}

// TestBlocks cuts random text at every kind of boundary and compares with a plain split.
func TestBlocks(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 2))
	for range 300 {
		text := make([]byte, rnd.IntN(300))
		for i := range text {
			text[i] = "ab\n"[rnd.IntN(3)]
		}
		var want, have []string
		for i, l := range strings.Split(string(text), "\n") {
			if l != "" {
				want = append(want, fmt.Sprint(i+1, l))
			}
		}
		in := splitter{in: iotest{bytes.NewReader(text), rnd}, size: 1 + rnd.IntN(40)}
		end := int64(0)
		var b block
		var err error
		for err = in.next(&b); err == nil; err = in.next(&b) {
			if b.offset != end || int64(len(b.text)) != b.size {
				t.Fatalf("block at %d, the last one ended at %d", b.offset, end)
			}
			end += b.size
			b.eachLine(func(line []byte, n, _, at int64) bool {
				have = append(have, fmt.Sprint(n, string(line)))
				if stop := min(at, int64(len(text))); !bytes.HasSuffix(bytes.TrimSuffix(text[:stop], []byte("\n")), line) {
					t.Fatalf("line %q does not end at %d", line, at)
				}
				return true
			})
		}
		if err != io.EOF || !slices.Equal(have, want) || end != int64(len(text)) {
			t.Fatalf("%q: got %q, want %q, %v", text, have, want, err)
		}
	}
}

// iotest reads in pieces of random length.
type iotest struct {
	r   io.Reader
	rnd *rand.Rand
}

func (i iotest) Read(p []byte) (int, error) { return i.r.Read(p[:min(len(p), 1+i.rnd.IntN(20))]) }

func TestSeenForgetsTheOldest(t *testing.T) {
	if testing.Short() {
		t.Skip("takes in three million ids")
	}
	var s Seen
	hash := func(i uint64) uint64 { return (i + 1) * 0x9e3779b97f4a7c15 }
	const n = 3 * generation
	for i := range uint64(n) {
		if !s.Add(hash(i)) {
			t.Fatalf("id %d taken for a known one", i)
		}
		if s.Add(hash(i)) || (i >= generation && s.Add(hash(i-generation+1))) {
			t.Fatalf("id near %d was forgotten", i)
		}
	}
	if len(s.young)+len(s.old) > 4*generation {
		t.Errorf("%d places", len(s.young)+len(s.old))
	}
	if !s.Add(hash(0)) {
		t.Error("the first id is still known")
	}
	if !s.Add(0) || s.Add(0) {
		t.Error("zero is not an id")
	}
}
