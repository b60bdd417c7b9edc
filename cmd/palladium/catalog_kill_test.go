//go:build unix

package main

import (
	"bytes"
	"errors"
	"fmt"
	"hash/fnv"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/klauspost/compress/zstd"

	"github.com/palladium-guard/palladium/store/backup"
	"github.com/palladium-guard/palladium/store/catalog"
	"github.com/palladium-guard/palladium/store/pgtest"
)

// killing is a catalog whose backups and restores are killed.
type killing struct {
	program string
	url     string
	times   int // kills that are wanted
	dir     string
}

func (k *killing) each(t *testing.T, test func(t *testing.T, k *killing)) {
	t.Helper()
	k.program = program(t)
	k.times = 20
	if testing.Short() {
		k.times = 2
	}
	t.Run("SQLite", func(t *testing.T) {
		k.dir = t.TempDir()
		k.url = "sqlite:" + filepath.Join(k.dir, "c.db")
		test(t, k)
	})
	t.Run("PostgreSQL", func(t *testing.T) {
		server, err := pgtest.Launch("")
		if errors.Is(err, pgtest.ErrMissing) {
			t.Skip(err)
		}
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { server.Stop() })
		k.dir, k.url, k.times = t.TempDir(), server.Database(t), min(k.times, 6)
		test(t, k)
	})
}

// some fills a catalog with accounts and events whose texts tell of seed.
func (k *killing) some(t *testing.T, seed string) {
	t.Helper()
	c, err := catalog.Open(t.Context(), catalog.Config{URL: k.url}, nil, true)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	var accounts []catalog.Account
	var events []*catalog.Event
	for i := range 8000 {
		accounts = append(accounts, catalog.Account{ID: fmt.Sprintf("%s-%d", seed, i), Organization: fmt.Sprintf("%s %x", seed, i*i*7919), Verified: []string{}})
		events = append(events, &catalog.Event{Actor: seed, Kind: "test", Subject: fmt.Sprintf("account:%d", i), LedgerIndex: -1})
	}
	if err := errors.Join(c.PutAccounts(t.Context(), accounts), c.Append(t.Context(), events...)); err != nil {
		t.Fatal(err)
	}
}

func (k *killing) file(t *testing.T, name string) []byte {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(k.dir, name))
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// content is a sum over all rows, in whatever order they are, but for the versions that a restore raises.
func (k *killing) content(t *testing.T) string {
	t.Helper()
	db, err := catalog.Connect(t.Context(), catalog.Config{URL: k.url}, nil, true)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	var b bytes.Buffer
	if _, err := backup.Write(t.Context(), db, &b, time.Time{}, ""); err != nil {
		t.Fatal(err)
	}
	return contentOf(t, &b)
}

func contentOf(t *testing.T, r io.Reader) string {
	t.Helper()
	zip, err := zstd.NewReader(r)
	if err != nil {
		t.Fatal(err)
	}
	defer zip.Close()
	text, err := io.ReadAll(zip)
	if err != nil {
		t.Fatal(err)
	}
	var sum, rows uint64
	for line := range bytes.Lines(text) {
		if line[0] != '[' || bytes.HasPrefix(line, []byte(`["verdicts",`)) || bytes.HasPrefix(line, []byte(`["credentials",`)) || bytes.HasPrefix(line, []byte(`["events",`)) || bytes.HasPrefix(line, []byte(`["texts",`)) {
			continue
		}
		h := fnv.New64a()
		h.Write(line)
		sum += h.Sum64()
		rows++
	}
	return fmt.Sprintf("%d rows %016x", rows, sum)
}

// run runs the program and kills it after a time, 0 for never. It reports whether it was killed.
func (k *killing) run(t *testing.T, after time.Duration, args ...string) (killed bool) {
	t.Helper()
	cmd := exec.Command(k.program, append(args, "--catalog", k.url)...)
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + k.dir}
	var log bytes.Buffer
	cmd.Stdout, cmd.Stderr = &log, &log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	if after > 0 {
		time.AfterFunc(after, func() { _ = cmd.Process.Kill() })
	}
	err := cmd.Wait()
	if cmd.ProcessState.ExitCode() == -1 {
		return true
	}
	if err != nil {
		t.Fatalf("%v: %v\n%s", args, err, log.String())
	}
	return false
}

// took says how long an undisturbed run takes.
func (k *killing) took(t *testing.T, args ...string) time.Duration {
	t.Helper()
	begun := time.Now()
	k.run(t, 0, args...)
	return time.Since(begun)
}

// A backup that is killed leaves no file, or the one that was there, or a whole one.
func TestKilledBackups(t *testing.T) {
	if testing.Short() {
		t.Skip("kills processes, a minute and more under the race detector; make test does")
	}
	(&killing{}).each(t, func(t *testing.T, k *killing) {
		k.some(t, "first")
		k.run(t, 0, "catalog", "backup", filepath.Join(k.dir, "first"))
		old, before := k.file(t, "first"), k.content(t)
		k.some(t, "second")
		whole := k.took(t, "catalog", "backup", filepath.Join(k.dir, "second"))
		want := k.content(t)
		path := filepath.Join(k.dir, "b")
		kills, absent, kept, n := 0, 0, 0, 0
		for ; kills < k.times && n < 4*k.times; n++ {
			there := n%2 == 1 // a file of before is replaced
			os.Remove(path)
			if there {
				if err := os.WriteFile(path, old, 0o600); err != nil {
					t.Fatal(err)
				}
			}
			if k.run(t, time.Duration(rand.Int64N(int64(whole)*3/2))+1, "catalog", "backup", "--force", path) {
				kills++
			}
			f, err := os.Open(path)
			if errors.Is(err, fs.ErrNotExist) && !there {
				absent++
				continue
			}
			if err != nil {
				t.Fatal(err)
			}
			if _, err := backup.Check(t.Context(), f, "catalog", 1000); err != nil {
				t.Fatalf("after kill %d the file cannot be restored: %v", kills, err)
			}
			if _, err := f.Seek(0, io.SeekStart); err != nil {
				t.Fatal(err)
			}
			switch got := contentOf(t, f); {
			case got == before && there:
				kept++
			case got != want:
				t.Fatalf("after kill %d the file holds %s, wanted %s", kills, got, want)
			}
			f.Close()
		}
		if got := k.content(t); got != want {
			t.Errorf("the catalog holds %s, it held %s", got, want)
		}
		t.Logf("%d of %d backups killed, of %v each; %d left no file, %d the one before, %d a new one", kills, n, whole.Round(time.Millisecond), absent, kept, n-absent-kept)
		if kills < k.times {
			t.Errorf("%d were killed before they ended, %d are wanted", kills, k.times)
		}
	})
}

// A restore that is killed leaves the catalog as it was, or as the file has it.
func TestKilledRestores(t *testing.T) {
	if testing.Short() {
		t.Skip("kills processes, a minute and more under the race detector; make test does")
	}
	(&killing{}).each(t, func(t *testing.T, k *killing) {
		var files, want [2]string
		for i, seed := range []string{"first", "second"} { // the second holds both
			k.some(t, seed)
			files[i], want[i] = filepath.Join(k.dir, seed), k.content(t)
			k.run(t, 0, "catalog", "backup", files[i])
		}
		whole := k.took(t, "catalog", "restore", "--replace", files[0])
		at, kills, done, n := 0, 0, 0, 0
		// The end is where it is decided: half of the kills are near it.
		for ; kills < k.times && n < 4*k.times; n++ {
			next := 1 - at
			after := time.Duration(rand.Int64N(int64(whole))) + 1
			if n%2 == 0 {
				after = whole - whole/4 + time.Duration(rand.Int64N(int64(whole)*2/3))
			}
			killed := k.run(t, after, "catalog", "restore", "--replace", files[next])
			if killed {
				kills++
			}
			switch got := k.content(t); {
			case got == want[next]:
				at = next
				done++
			case got != want[at] || !killed:
				t.Fatalf("after kill %d the catalog holds %s; before it held %s, the file %s", kills, got, want[at], want[next])
			}
			if c, err := catalog.Open(t.Context(), catalog.Config{URL: k.url}, nil, false); err != nil {
				t.Fatal(err)
			} else if ok, says := c.Health(t.Context()); !ok {
				t.Fatal(says)
			} else {
				c.Close()
			}
		}
		t.Logf("%d of %d restores killed, of %v each; %d took place", kills, n, whole.Round(time.Millisecond), done)
		if kills < k.times {
			t.Errorf("%d were killed before they ended, %d are wanted", kills, k.times)
		}
		k.run(t, 0, "catalog", "restore", "--replace", files[1])
		if got := k.content(t); got != want[1] {
			t.Errorf("a restore that is let alone makes %s, wanted %s", got, want[1])
		}
	})
}
