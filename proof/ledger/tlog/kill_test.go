//go:build unix && !solaris && !aix

package tlog

import (
	"bufio"
	"context"
	"encoding/hex"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/palladium-guard/palladium/proof/ledger"
)

const childEnv = "TLOG_TEST_CHILD"

func TestMain(m *testing.M) {
	if dir := os.Getenv(childEnv); dir != "" {
		fmt.Fprintln(os.Stderr, child(dir))
		os.Exit(1)
	}
	os.Exit(m.Run())
}

// child appends without end, and says of each entry that it was acknowledged.
func child(dir string) error {
	f := Files{Dir: filepath.Join(dir, "log"), Private: filepath.Join(dir, "key"), Seen: filepath.Join(dir, "seen")}
	l, err := f.Open(context.Background())
	if err != nil {
		return err
	}
	fmt.Println("open")
	failed := make(chan error)
	for w := range 40 {
		go func() {
			for i := 0; ; i++ {
				body := fmt.Appendf(nil, "process %d, worker %d, statement %d", os.Getpid(), w, i)
				r, err := l.Append(context.Background(), ledger.Statement{Type: "test/v1", Body: body})
				if err != nil {
					failed <- err
					return
				}
				fmt.Printf("%d %x\n", r.Index, r.Entry.Digest)
			}
		}()
	}
	return <-failed
}

// TestKill kills a writer at random moments: the log verifies each time, without being opened first, and holds every entry
// that was acknowledged, in its place.
func TestKill(t *testing.T) {
	rounds := 20
	if testing.Short() {
		rounds = 6
	}
	if n, err := strconv.Atoi(os.Getenv("TLOG_TEST_ROUNDS")); err == nil { // each takes seconds on a busy disk
		rounds = n
	}
	dir := t.TempDir()
	f := Files{Dir: filepath.Join(dir, "log"), Private: filepath.Join(dir, "key"), Public: filepath.Join(dir, "pub"), Seen: filepath.Join(dir, "seen")}
	if _, err := f.Init(t.Context(), "example.com/test"); err != nil {
		t.Fatal(err)
	}
	trust, err := f.Trust()
	if err != nil {
		t.Fatal(err)
	}
	acknowledged := map[uint64]string{}
	for round := range rounds {
		cmd := exec.CommandContext(t.Context(), os.Args[0])
		cmd.Env = append(os.Environ(), childEnv+"="+dir)
		var said strings.Builder
		cmd.Stderr = &said
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		lines := bufio.NewScanner(out)
		if !lines.Scan() {
			t.Fatalf("the writer did not start: %v: %s", cmd.Wait(), said.String())
		}
		var kill *time.Timer
		for n := 0; ; n++ {
			if kill == nil && (n > 0 || round%3 == 0) { // most rounds wait until entries are acknowledged
				kill = time.AfterFunc(time.Duration(rand.IntN(150))*time.Millisecond, func() { _ = cmd.Process.Kill() })
			}
			if !lines.Scan() {
				break
			}
			var index uint64
			var digest string
			if n, _ := fmt.Sscanf(lines.Text(), "%d %s", &index, &digest); n == 2 && len(digest) == 64 {
				acknowledged[index] = digest
			}
		}
		if kill == nil {
			t.Fatalf("the writer ended by itself: %v: %s", cmd.Wait(), said.String())
		}
		kill.Stop()
		_ = cmd.Wait() // it was killed
		r, err := f.Verify(t.Context())
		if err != nil {
			t.Fatalf("after %d entries: %v: %s", len(acknowledged), err, said.String())
		}
		tree := ledger.NewTree(os.DirFS(f.Dir), r.Checkpoint.Size)
		for index, digest := range acknowledged {
			data, err := tree.Entry(index)
			if err != nil {
				t.Fatalf("acknowledged: %v", err)
			}
			if e, err := ledger.ParseEntry(data); err != nil || hex.EncodeToString(e.Digest[:]) != digest {
				t.Fatalf("entry %d is not the one acknowledged", index)
			}
		}
	}
	if len(acknowledged) == 0 {
		t.Error("nothing was acknowledged")
	}
	t.Logf("killed %d times, %d entries acknowledged", rounds, len(acknowledged))
	if _, err := ledger.ReadCheckpoint(os.DirFS(f.Dir), trust); err != nil {
		t.Error(err)
	}
}
