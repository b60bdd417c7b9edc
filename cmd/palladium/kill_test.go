//go:build unix

package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/palladium-guard/palladium/world"
	"github.com/palladium-guard/palladium/world/record"
)

// program returns a path under which the test binary acts as palladium.
func program(t *testing.T) string {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "palladium")
	if err := os.Symlink(self, path); err != nil {
		t.Fatal(err)
	}
	return path
}

// killed writes a world whose traffic has broken and repeated lines among it.
func killed(t *testing.T) string {
	t.Helper()
	s, _ := world.Preset("demo")
	s.Benign = world.Population(150)
	w, err := world.New(s, world.OwnCorpus(1))
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	if _, err := record.Write(w, dir, false, nil); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "exchanges.jsonl")
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	lines := bytes.SplitAfter(data, []byte("\n"))
	var odd, even bytes.Buffer
	for i, line := range lines {
		out := &odd
		if i%2 == 0 {
			out = &even
		}
		out.Write(line)
		if i%97 == 0 {
			out.WriteString("{\"kind\":\n")
		}
		if i%101 == 100 {
			out.Write(lines[i-98])
		}
	}
	if err := errors.Join(os.Remove(path), os.WriteFile(filepath.Join(dir, "odd.jsonl"), odd.Bytes(), 0o600),
		os.WriteFile(filepath.Join(dir, "even.jsonl"), even.Bytes(), 0o600)); err != nil {
		t.Fatal(err)
	}
	return dir
}

// scanUntil runs a scan and kills it after the given time; 0 lets it end. It returns the report and the number of
// exchanges in each line that said that they were kept.
func scanUntil(t *testing.T, program, state, dir, every string, after time.Duration) (report string, kept []int) {
	t.Helper()
	cmd := exec.Command(program, "scan", "--state", state, "--save-every", every, "--format", "json", "--detail", dir)
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + t.TempDir()}
	var out, log bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	if after > 0 {
		time.AfterFunc(after, func() { _ = cmd.Process.Kill() })
	}
	err := cmd.Wait()
	var exit *exec.ExitError
	if errors.As(err, &exit) && exit.ExitCode() != -1 && exit.ExitCode() != statusFound {
		t.Fatalf("a scan ended with %v:\n%s", err, log.String())
	}
	for in := bufio.NewScanner(&log); in.Scan(); {
		if n, ok := strings.CutPrefix(in.Text(), "kept: "); ok {
			n, _, _ = strings.Cut(strings.ReplaceAll(n, ",", ""), " ")
			v, err := strconv.Atoi(n)
			if err != nil {
				t.Fatal(err)
			}
			kept = append(kept, v)
		}
	}
	if cmd.ProcessState.ExitCode() == -1 {
		return "", kept
	}
	return out.String(), kept
}

// A scan that is killed again and again loses nothing that it said was kept, and comes to the same report.
func TestKilledScansLoseNothing(t *testing.T) {
	times := 25
	if testing.Short() {
		times = 2
	}
	palladium, dir := program(t), killed(t)
	var states [2]string
	for i := range states {
		states[i] = t.TempDir()
		if err := os.WriteFile(filepath.Join(states[i], "key"), bytes.Repeat([]byte{7}, 32), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	begun := time.Now()
	want, _ := scanUntil(t, palladium, states[0], dir, "1m", 0)
	whole := time.Since(begun)
	best, kills := 0, 0
	rnd := rand.New(rand.NewPCG(1, uint64(begun.UnixNano())))
	got := ""
	for range times {
		var kept []int
		got, kept = scanUntil(t, palladium, states[1], dir, "20ms", time.Duration(60+rnd.IntN(300))*time.Millisecond)
		if got == "" {
			kills++
		}
		for _, n := range kept {
			if n < best {
				t.Fatalf("%d exchanges had been kept, then only %d", best, n)
			}
			best = n
		}
	}
	if got == "" {
		got, _ = scanUntil(t, palladium, states[1], dir, "1m", 0)
	} else {
		t.Log("the last scan had ended before it could be killed")
	}
	t.Logf("%d kills of scans that take %v; %d exchanges kept before the last one", kills, whole, best)
	if got != want {
		var g, w any
		if json.Unmarshal([]byte(got), &g) != nil || json.Unmarshal([]byte(want), &w) != nil {
			t.Fatal("a report is no JSON")
		}
		a, b := strings.Split(got, "\n"), strings.Split(want, "\n")
		for i := range min(len(a), len(b)) {
			if a[i] != b[i] {
				t.Fatalf("the reports differ in line %d of %d and %d: got %s, want %s", i+1, len(a), len(b), a[i], b[i])
			}
		}
		t.Fatal("one report is longer")
	}
	if n := strings.Count(got, `"membership"`); n < 20 {
		t.Errorf("the report names %d accounts: the world shows too little", n)
	}
}
