package app

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/palladium-guard/palladium"
	"github.com/palladium-guard/palladium/report"
	"github.com/palladium-guard/palladium/world"
	"github.com/palladium-guard/palladium/world/record"
)

// small writes a small world and returns its folder.
func small(t testing.TB, people int) string {
	t.Helper()
	s, _ := world.Preset("demo")
	s.Benign = world.Population(people)
	w, err := world.New(s, world.OwnCorpus(1))
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	if _, err := record.Write(w, dir, false, nil); err != nil {
		t.Fatal(err)
	}
	return dir
}

// parts cuts the world's exchanges into n files, each in a folder of its own, and returns their paths.
func parts(t testing.TB, dir string, n int) []string {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(dir, "exchanges.jsonl"))
	if err != nil {
		t.Fatal(err)
	}
	lines := bytes.SplitAfter(data, []byte("\n"))
	var out []string
	for i := range n {
		path := filepath.Join(t.TempDir(), fmt.Sprintf("part%d.jsonl", i))
		part := bytes.Join(lines[i*len(lines)/n:(i+1)*len(lines)/n], nil)
		if err := os.WriteFile(path, part, 0o600); err != nil {
			t.Fatal(err)
		}
		out = append(out, path)
	}
	return out
}

// stateWith makes a state directory whose key is fixed, so that runs can be compared.
func stateWith(t testing.TB) string {
	t.Helper()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, keyName), bytes.Repeat([]byte{7}, 32), 0o600); err != nil {
		t.Fatal(err)
	}
	return dir
}

func scanned(t testing.TB, state string, paths ...string) *palladium.Report {
	t.Helper()
	r, _, err := Scan(context.Background(), ScanOptions{Paths: paths, StateDir: state, RecallBits: 12})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func text(t testing.TB, r *palladium.Report) string {
	t.Helper()
	var b bytes.Buffer
	if err := report.JSONDetail(&b, r); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func same(t *testing.T, got, want *palladium.Report) {
	t.Helper()
	g, w := strings.Split(text(t, got), "\n"), strings.Split(text(t, want), "\n")
	for i := range min(len(g), len(w)) {
		if g[i] != w[i] {
			t.Fatalf("the reports differ in line %d: got %s, want %s", i+1, g[i], w[i])
		}
	}
	if len(g) != len(w) {
		t.Fatalf("the reports have %d and %d lines", len(g), len(w))
	}
}

// least returns n, or fewer where tests have to be short, as under the race detector.
func least(n, short int) int {
	if testing.Short() {
		return short
	}
	return n
}

func TestAScanContinues(t *testing.T) {
	dir := small(t, least(300, 60))
	accounts := filepath.Join(dir, "accounts.jsonl")
	files := parts(t, dir, 3)
	want := scanned(t, stateWith(t), append([]string{accounts}, files...)...)
	if len(want.Campaigns)+len(want.Linked) == 0 {
		t.Fatal("the world shows nothing to compare")
	}
	state := stateWith(t)
	scanned(t, state, accounts, files[0])
	scanned(t, state, files[1])
	same(t, scanned(t, state, files[2]), want)
	same(t, scanned(t, state, append(files, accounts)...), want) // nothing new
	same(t, scanned(t, state), want)

	grown := filepath.Join(t.TempDir(), "grown.jsonl")
	state = stateWith(t)
	for _, f := range files {
		data, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		out, err := os.OpenFile(grown, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := out.Write(data); err != nil {
			t.Fatal(err)
		}
		out.Close()
		scanned(t, state, accounts, grown)
	}
	same(t, scanned(t, state, grown), want)

	c, err := OpenCase(state, nil)
	if err != nil {
		t.Fatal(err)
	}
	same(t, c.Report, want)
}

// The same records under another name, in another order of lines, are known by their ids.
func TestKnownIDsAreKeptWithTheState(t *testing.T) {
	file := parts(t, small(t, 60), 12)[0]
	state := stateWith(t)
	first := scanned(t, state, file)
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	cut := bytes.IndexByte(data, '\n') + 1
	other := filepath.Join(t.TempDir(), "other.jsonl")
	if err := os.WriteFile(other, append(bytes.Clone(data[cut:]), data[:cut]...), 0o600); err != nil {
		t.Fatal(err)
	}
	second := scanned(t, state, other)
	if second.Counts.Exchanges != first.Counts.Exchanges || second.Counts.Rejected != first.Counts.Exchanges {
		t.Errorf("counts %+v after %+v", second.Counts, first.Counts)
	}
}

func TestAnInterruptedScanContinues(t *testing.T) {
	dir := small(t, least(200, 60))
	want := scanned(t, stateWith(t), dir)
	state := stateWith(t)
	for range least(8, 3) {
		ctx, cancel := context.WithCancel(context.Background())
		o := ScanOptions{Paths: []string{dir}, StateDir: state, SaveEvery: 1, RecallBits: 12}
		o.Kept = func(Kept) { cancel() }
		r, stats, err := Scan(ctx, o)
		if err != nil || r == nil {
			t.Fatal(err)
		}
		if !stats.Interrupted {
			t.Fatal("not interrupted")
		}
		cancel()
	}
	same(t, scanned(t, state, dir), want)
}

func TestAStateIsUsedByOneScanAtATime(t *testing.T) {
	state := stateWith(t)
	f, err := openFolder(state)
	if err != nil {
		t.Fatal(err)
	}
	_, _, err = Scan(context.Background(), ScanOptions{StateDir: state, RecallBits: 12})
	if !errors.Is(err, ErrState) || !strings.Contains(err.Error(), "another scan is using it") {
		t.Errorf("got %v", err)
	}
	f.close()
	if _, _, err = Scan(context.Background(), ScanOptions{StateDir: state, RecallBits: 12}); err != nil {
		t.Error(err)
	}
}

func TestOtherOptionsAreRefused(t *testing.T) {
	state := t.TempDir()
	scanned(t, state)
	_, _, err := Scan(context.Background(), ScanOptions{StateDir: state, RecallBits: 12, Without: map[palladium.Family]bool{palladium.Network: true}})
	if !errors.Is(err, ErrState) || !strings.Contains(err.Error(), "it was made with all families, this run is --without network") {
		t.Errorf("other families: %v", err)
	}
	key := filepath.Join(state, keyName)
	info, err := os.Stat(key)
	if err != nil || info.Mode().Perm() != 0o600 || info.Size() != 32 {
		t.Fatalf("the key: %v, %v", info, err)
	}
	for _, c := range []struct {
		does func() error
		want string
	}{
		{func() error { return os.Chmod(key, 0o640) }, "chmod 600"},
		{func() error { return errors.Join(os.Chmod(key, 0o600), os.WriteFile(key, make([]byte, 32), 0o600)) }, "another key"},
		{func() error { return os.WriteFile(key, make([]byte, 31), 0o600) }, "31 bytes"},
		{func() error { return os.Remove(key) }, "missing"},
	} {
		if err := c.does(); err != nil {
			t.Fatal(err)
		}
		if _, _, err := Scan(context.Background(), ScanOptions{StateDir: state, RecallBits: 12}); !errors.Is(err, ErrState) || !strings.Contains(err.Error(), c.want) {
			t.Errorf("want %q, got %v", c.want, err)
		}
	}
}

func TestDamagedStateIsNeverTakenUp(t *testing.T) {
	dir := small(t, 60)
	state := stateWith(t)
	want := text(t, scanned(t, state, dir))
	path := filepath.Join(state, stateName)
	good, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	newer := bytes.Clone(good)
	newer[16]++
	other := bytes.Clone(good)
	other[24] ^= 1
	for name, c := range map[string]struct {
		data []byte
		want string
	}{
		"empty":   {nil, "ends early"},
		"short":   {good[:20], "ends early"},
		"half":    {good[:len(good)/2], "damaged"},
		"cut":     {good[:len(good)-1], "damaged"},
		"longer":  {append(bytes.Clone(good), "more"...), "damaged"},
		"foreign": {[]byte(strings.Repeat("{}\n", 99)), "no state of palladium"},
		"newer":   {newer, "format 2, this program reads 1"},
		"header":  {other, "header is damaged"},
	} {
		if err := os.WriteFile(path, c.data, 0o600); err != nil {
			t.Fatal(err)
		}
		_, _, err := Scan(context.Background(), ScanOptions{StateDir: state, RecallBits: 12})
		if !errors.Is(err, ErrState) || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), path) {
			t.Errorf("%s: got %v", name, err)
		}
		if left, err := os.ReadFile(path); err != nil || !bytes.Equal(left, c.data) {
			t.Errorf("%s: the damaged state was changed", name)
		}
	}
	for i := range least(60, 8) {
		r := rand.New(rand.NewPCG(3, uint64(i)))
		data := bytes.Clone(good)
		data[r.IntN(len(data))] ^= 1 << r.UintN(8)
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
		switch c, err := OpenCase(state, nil); {
		case err == nil && text(t, c.Report) != want: // a bit that says nothing of the content may go unnoticed
			t.Errorf("flip %d went unnoticed", i)
		case err != nil && !errors.Is(err, ErrState):
			t.Errorf("flip %d: %v", i, err)
		}
	}
}

// full is a disk with room for n bytes.
type full struct {
	*os.File
	n int
}

var errFull = errors.New("no space left on device")

func (f *full) Write(p []byte) (int, error) {
	if len(p) > f.n {
		n, _ := f.File.Write(p[:f.n])
		return n, errFull
	}
	f.n -= len(p)
	return f.File.Write(p)
}

// lazy is a disk that notices only when it is told to sync.
type lazy struct{ *os.File }

func (lazy) Sync() error { return errFull }

func TestAFullDiskLeavesTheOldState(t *testing.T) {
	if testing.Short() {
		t.Skip("reads a world again and again; skipped with -short")
	}
	files := parts(t, small(t, 60), 2)
	state := stateWith(t)
	want := scanned(t, state, files[0])
	path := filepath.Join(state, stateName)
	before, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	makers := map[string]func(string) (sink, error){
		"no file": func(string) (sink, error) { return nil, errFull },
		"no sync": func(p string) (sink, error) { f, err := os.Create(p); return lazy{f}, err },
	}
	for _, n := range []int{0, 10, 60, 5000, len(before) / 2} {
		makers[fmt.Sprint(n, " bytes")] = func(p string) (sink, error) { f, err := os.Create(p); return &full{f, n}, err }
	}
	for name, create := range makers {
		s, err := newScan(ScanOptions{Paths: files[1:], StateDir: state, RecallBits: 12})
		if err != nil {
			t.Fatal(name, err)
		}
		s.folder.create = create
		if err := s.read(context.Background()); err != nil {
			t.Fatal(err)
		}
		err = s.keep(s.stats.Position)
		s.folder.close()
		if !errors.Is(err, errFull) || !strings.Contains(err.Error(), "make room") {
			t.Errorf("%s: %v", name, err)
		}
		if left, err := os.ReadFile(path); err != nil || !bytes.Equal(left, before) {
			t.Errorf("%s: the old state is gone", name)
		}
		if _, err := os.Stat(filepath.Join(state, tempName)); err == nil {
			t.Errorf("%s: the temporary file is left", name)
		}
	}
	same(t, scanned(t, state), want)
}
