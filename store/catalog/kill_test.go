//go:build unix

package catalog_test

import (
	"bufio"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"github.com/palladium-guard/palladium/store/catalog"
)

// TestChild is the process that TestSQLiteKilled kills: it appends events, and says of each when it was acknowledged.
func TestChild(t *testing.T) {
	db := os.Getenv("CATALOG_TEST_FILE")
	if db == "" {
		t.Skip("runs as a process of TestSQLiteKilled only")
	}
	s := open(t, "sqlite:"+db)
	for {
		e := event(0)
		check(t, s.Update(t.Context(), func(tx *catalog.Store) error {
			if err := tx.Append(t.Context(), e); err != nil {
				return err
			}
			return tx.SetMark(t.Context(), "last", e.Seq)
		}))
		fmt.Fprintf(os.Stderr, "%d\n", e.Seq)
	}
}

// A process that is killed while it writes to SQLite loses nothing that was acknowledged, and leaves no half of a transaction.
func TestSQLiteKilled(t *testing.T) {
	kills := 20
	if testing.Short() {
		kills = 2
	}
	db := filepath.Join(t.TempDir(), "c.db")
	last, all := int64(0), 0
	for n := range kills {
		cmd := exec.Command(os.Args[0], "-test.run=^TestChild$")
		cmd.Env = append(os.Environ(), "CATALOG_TEST_FILE="+db)
		said, err := cmd.StderrPipe()
		check(t, err)
		check(t, cmd.Start())
		var timer *time.Timer
		for in := bufio.NewScanner(said); in.Scan(); {
			if timer == nil { // from the first write on
				timer = time.AfterFunc(time.Duration(rand.IntN(150_000))*time.Microsecond, func() { _ = cmd.Process.Kill() })
			}
			if last, err = strconv.ParseInt(in.Text(), 10, 64); err != nil {
				t.Fatalf("the child says %q", in.Text())
			}
			all++
		}
		_ = cmd.Wait() // it was killed
		if timer == nil {
			t.Fatal("the child wrote nothing")
		}
		s := open(t, "sqlite:"+db)
		is, err := s.LastEvent(t.Context())
		check(t, err)
		mark, err := s.Mark(t.Context(), "last")
		check(t, err)
		events, err := s.EventsAfter(t.Context(), last-1, 10)
		check(t, err)
		if is < last || is > last+1 || mark != is || int64(len(events)) != is-last+1 {
			t.Fatalf("kill %d: event %d was acknowledged; the last is %d, the mark %d, with %d events from it on", n+1, last, is, mark, len(events))
		}
		check(t, s.Close())
	}
	s := open(t, "sqlite:"+db)
	defer s.Close()
	count, after := 0, int64(0)
	for {
		events, err := s.EventsAfter(t.Context(), after, 1000)
		check(t, err)
		if len(events) == 0 {
			break
		}
		count, after = count+len(events), events[len(events)-1].Seq
	}
	if int64(count) != after || count < all {
		t.Errorf("%d events up to number %d; %d were acknowledged", count, after, all)
	}
	t.Logf("%d kills, %d events acknowledged, %d there", kills, all, count)
}
