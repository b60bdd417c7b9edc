//go:build unix && !solaris && !aix

package tlog

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/palladium-guard/palladium/proof/ledger"
)

// fill appends statements with the numbers from first to last-1, in order.
func fill(t testing.TB, dir string, o Options, first, last int, text string) {
	t.Helper()
	l := begin(t, dir, o)
	var statements []ledger.Statement
	for i := first; i < last; i++ {
		statements = append(statements, ledger.Statement{Type: "test/v1", Time: time.UnixMilli(1_700_000_000_000), Body: fmt.Appendf(nil, "%s %d", text, i)})
	}
	receipts, err := l.AppendAll(t.Context(), statements)
	if err != nil || receipts[0].Index != uint64(first) {
		t.Fatalf("append from %d on: index %v, error %v", first, receipts, err)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
}

// load reads a log into memory, so that each attack has one of its own.
func load(t *testing.T, dir string) fstest.MapFS {
	t.Helper()
	m := fstest.MapFS{}
	err := fs.WalkDir(os.DirFS(dir), ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		data, err := os.ReadFile(filepath.Join(dir, name))
		m[name] = &fstest.MapFile{Data: data}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func known(t *testing.T, m fstest.MapFS, trust ledger.Trust) *ledger.Checkpoint {
	t.Helper()
	cp, err := ledger.ReadCheckpoint(m, trust)
	if err != nil {
		t.Fatal(err)
	}
	return cp
}

const (
	entries  = 600
	bundle0  = "tile/entries/000"
	partial2 = "tile/entries/002.p/88"
)

// swap exchanges two entries of the same length in a bundle of entries of that length.
func swap(data []byte, i, j int) []byte {
	data = bytes.Clone(data)
	n := 2 + int(data[0])<<8 + int(data[1])
	a, b := data[i*n:(i+1)*n], data[j*n:(j+1)*n]
	saved := bytes.Clone(a)
	copy(a, b)
	copy(b, saved)
	return data
}

func TestAttacks(t *testing.T) {
	o := options(t)
	dir := filepath.Join(tempDir(t), "log")
	fill(t, dir, o, 0, 300, "statement")
	early := load(t, dir)
	fill(t, dir, o, 300, entries, "statement")
	log := load(t, dir)
	seen, seenEarly := known(t, log, o.Trust), known(t, early, o.Trust)
	other := filepath.Join(tempDir(t), "log")
	fill(t, other, o, 0, entries, "lie")
	forked := load(t, other)
	fill(t, other, o, entries, entries+50, "lie")
	longer := load(t, other)
	stranger := options(t)
	foreign := filepath.Join(tempDir(t), "log")
	fill(t, foreign, stranger, 0, entries, "statement")

	flip := func(name string, at int) func(m fstest.MapFS) {
		return func(m fstest.MapFS) {
			data := bytes.Clone(m[name].Data)
			data[at] ^= 1
			m[name] = &fstest.MapFile{Data: data}
		}
	}
	set := func(name string, f func([]byte) []byte) func(m fstest.MapFS) {
		return func(m fstest.MapFS) { m[name] = &fstest.MapFile{Data: f(m[name].Data)} }
	}
	remove := func(name string) func(m fstest.MapFS) { return func(m fstest.MapFS) { delete(m, name) } }
	replace := func(by fstest.MapFS) func(m fstest.MapFS) {
		return func(m fstest.MapFS) { clear(m); maps.Copy(m, by) }
	}
	cases := []struct {
		name   string
		attack func(m fstest.MapFS)
		known  *ledger.Checkpoint
		want   error // nil for a log that is whole
		says   string
	}{
		{"none", func(fstest.MapFS) {}, seen, nil, ""},
		{"none, seen earlier", func(fstest.MapFS) {}, seenEarly, nil, ""},
		{"none, never seen", func(fstest.MapFS) {}, nil, nil, ""},
		{"entry changed", flip(bundle0, 60), nil, ledger.ErrEntry, "entry 0"},
		{"last entry changed", func(m fstest.MapFS) { d := m[partial2].Data; flip(partial2, len(d)-3)(m) }, nil, ledger.ErrEntry, "entry 599"},
		{"entries exchanged", set(bundle0, func(d []byte) []byte { return swap(d, 3, 5) }), nil, ledger.ErrEntry, "entry 3"},
		{"entries and hashes exchanged", func(m fstest.MapFS) {
			set(bundle0, func(d []byte) []byte { return swap(d, 3, 5) })(m)
			set("tile/0/000", func(d []byte) []byte {
				return bytes.Join([][]byte{d[:96], d[160:192], d[128:160], d[96:128], d[192:]}, nil)
			})(m)
		}, nil, ledger.ErrEntry, "not the one signed"},
		{"bundle is another's", set(bundle0, func([]byte) []byte { return forked[bundle0].Data }), nil, ledger.ErrEntry, "entry 0"},
		{"bundle lost", remove(bundle0), nil, ledger.ErrTruncated, bundle0},
		{"last bundle lost", remove(partial2), nil, ledger.ErrTruncated, partial2},
		{"bundle cut", set(partial2, func(d []byte) []byte { return d[:len(d)-10] }), nil, ledger.ErrEntry, "within an entry"},
		{"bundle shorter", set(partial2, func(d []byte) []byte { return d[:len(d)/2/88*88] }), nil, ledger.ErrEntry, partial2},
		{"bundle endless", set(bundle0, func([]byte) []byte { return make([]byte, 20<<20) }), nil, ledger.ErrEntry, "longer than"},
		{"hash changed", flip("tile/0/001", 40), nil, ledger.ErrTile, "tile/0/001"},
		{"upper hash changed", flip("tile/1/000.p/2", 40), nil, ledger.ErrTile, "tile/1/000.p/2"},
		{"tile lost", remove("tile/0/001"), nil, ledger.ErrTruncated, "tile/0/001"},
		{"upper tile lost", remove("tile/1/000.p/2"), nil, ledger.ErrTruncated, "tile/1/000.p/2"},
		{"statement changed", flip(ledger.PackPath(0), 6), nil, ledger.ErrTampered, "statement of entry 0"},
		{"statement length changed", flip(ledger.PackPath(0), 0), nil, ledger.ErrMissing, "statement of entry 0"},
		{"statements lost", remove(ledger.PackPath(0)), nil, ledger.ErrMissing, "statement of entry 0"},
		{"statements cut", set(ledger.PackPath(300), func(d []byte) []byte { return d[:len(d)-3] }), nil, ledger.ErrMissing, "statement of entry"},
		{"statements are another's", set(ledger.PackPath(0), func(d []byte) []byte { return bytes.ReplaceAll(d, []byte("statement"), []byte("statemend")) }), nil, ledger.ErrTampered, "statement of entry 0"},
		{"rolled back", replace(early), seen, ledger.ErrRollback, "has 300 entries, and had 600"},
		{"checkpoint rolled back", set("checkpoint", func([]byte) []byte { return early["checkpoint"].Data }), seen, ledger.ErrRollback, "had 600"},
		{"rewritten", replace(forked), seen, ledger.ErrFork, "different roots"},
		{"rewritten, longer", replace(longer), seen, ledger.ErrFork, "first 600 entries"},
		{"checkpoint of another log", set("checkpoint", func([]byte) []byte { return load(t, foreign)["checkpoint"].Data }), nil, ledger.ErrUntrusted, "no signature is by the key"},
		{"checkpoint changed", set("checkpoint", func(d []byte) []byte { return bytes.Replace(d, []byte("\n600\n"), []byte("\n601\n"), 1) }), nil, ledger.ErrUntrusted, "invalid signature"},
		{"checkpoint of the fork", set("checkpoint", func([]byte) []byte { return forked["checkpoint"].Data }), nil, ledger.ErrEntry, "not the one signed"},
		{"checkpoint lost", remove("checkpoint"), nil, fs.ErrNotExist, "checkpoint"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			m := maps.Clone(log)
			c.attack(m)
			r, err := ledger.Verify(t.Context(), m, o.Trust, c.known)
			if c.want == nil {
				if err != nil || r.Checkpoint.Size != entries || r.Types["test/v1"] != entries {
					t.Fatalf("whole log: %v", err)
				}
				return
			}
			if !errors.Is(err, c.want) {
				t.Fatalf("got error %v, want %v", err, c.want)
			}
			if !strings.Contains(err.Error(), c.says) {
				t.Errorf("error does not say %q: %v", c.says, err)
			}
		})
	}
	t.Run("writer", func(t *testing.T) {
		for name, c := range map[string]struct {
			dir   string
			known *ledger.Checkpoint
			want  error
		}{
			"rolled back": {store(t, early), seen, ledger.ErrRollback},
			"rewritten":   {store(t, longer), seen, ledger.ErrFork},
		} {
			o := o
			o.Known = c.known
			if _, err := Open(t.Context(), c.dir, o); !errors.Is(err, c.want) {
				t.Errorf("%s: got error %v, want %v", name, err, c.want)
			}
		}
		m := maps.Clone(log)
		m[".state/treeState"] = early[".state/treeState"]
		if _, err := Open(t.Context(), store(t, m), o); !errors.Is(err, ledger.ErrRollback) {
			t.Errorf("tree rolled back: got error %v", err)
		}
		if err := Create(t.Context(), dir, o); err == nil {
			t.Error("a log was begun over another")
		}
		if _, err := Open(t.Context(), tempDir(t), o); err == nil {
			t.Error("a folder without log was opened")
		}
		if _, err := Open(t.Context(), store(t, log), Options{Signer: stranger.Signer, Trust: stranger.Trust}); !errors.Is(err, ledger.ErrUntrusted) {
			t.Errorf("another key: got error %v", err)
		}
	})
	t.Run("proof", func(t *testing.T) { attackProof(t, log, forked, o.Trust, stranger.Trust) })
}

func store(t *testing.T, m fstest.MapFS) string {
	t.Helper()
	dir := filepath.Join(tempDir(t), "log")
	if err := os.CopyFS(dir, m); err != nil {
		t.Fatal(err)
	}
	return dir
}

func attackProof(t *testing.T, log, forked fstest.MapFS, trust, stranger ledger.Trust) {
	proof, err := ledger.Prove(log, trust, 299)
	if err != nil {
		t.Fatal(err)
	}
	p, err := ledger.VerifyProof(proof, trust)
	if err != nil || p.Index != 299 {
		t.Fatalf("proof of entry 299: %+v, %v", p, err)
	}
	if err := p.Check([]byte("statement 299")); err != nil {
		t.Error(err)
	}
	if err := p.Check([]byte("statement 300")); !errors.Is(err, ledger.ErrTampered) {
		t.Errorf("another statement: got error %v", err)
	}
	if _, err := ledger.VerifyProof(proof, stranger); !errors.Is(err, ledger.ErrUntrusted) {
		t.Errorf("another key: got error %v", err)
	}
	for i := range proof {
		bad := bytes.Clone(proof)
		bad[i] ^= 1
		if _, err := ledger.VerifyProof(bad, trust); err == nil {
			t.Errorf("byte %d changed: the proof holds: %q", i, bad[max(0, i-30):])
		}
	}
	m := maps.Clone(log)
	m[bundle0] = forked[bundle0]
	if _, err := ledger.Prove(m, trust, 7); !errors.Is(err, ledger.ErrProof) {
		t.Errorf("prove a changed entry: got error %v", err)
	}
	if _, err := ledger.Prove(log, trust, entries); err == nil {
		t.Error("an entry beyond the end was proved")
	}
	e := p.Entry
	if body, err := ledger.ReadStatement(log, 299, &e); err != nil || string(body) != "statement 299" {
		t.Errorf("read statement 299: %q, %v", body, err)
	}
}

func TestFull(t *testing.T) {
	o := options(t)
	dir := filepath.Join(tempDir(t), "log")
	fill(t, dir, o, 0, 3, "statement")
	l := begin(t, dir, o)
	// Nothing can be written below a file.
	packs := filepath.Join(dir, "statements")
	if err := os.Rename(packs, packs+".away"); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(packs, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := l.Append(t.Context(), ledger.Statement{Type: "test/v1", Body: []byte("text")}); err == nil || !strings.Contains(err.Error(), "write the statements") {
		t.Errorf("got error %v", err)
	}
	if _, err := l.Append(context.Background(), ledger.Statement{Type: "test/v1", Body: []byte("text")}); !errors.Is(err, ErrStopped) {
		t.Errorf("after a failure: got error %v", err)
	}
	if err := l.Close(); err != nil {
		t.Error(err)
	}
	if err := os.Remove(packs); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(packs+".away", packs); err != nil {
		t.Fatal(err)
	}
	fill(t, dir, o, 3, 5, "statement")
	if r, err := ledger.Verify(t.Context(), os.DirFS(dir), o.Trust, nil); err != nil || r.Checkpoint.Size != 5 {
		t.Errorf("after the cause was mended: %v", err)
	}
}
