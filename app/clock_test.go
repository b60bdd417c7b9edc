package app

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/palladium-guard/palladium"
)

// TestClock feeds times, in hours, and counts the looks, one for each hour that passes.
func TestClock(t *testing.T) {
	run := func(from, to, step float64) (out []float64) {
		for h := from; h < to; h += step {
			out = append(out, h)
		}
		return out
	}
	const year = 365 * 24
	for _, c := range []struct {
		name  string
		hours []float64
		looks int
		now   float64
	}{
		{"steady", run(0, 10, 0.25), 9, 9.75},
		{"a gap of half a day", append(run(0, 5, 0.25), run(17, 20, 0.25)...), 7, 19.75},
		{"one far ahead", append(append(run(0, 5, 0.25), 10*year), run(5, 10, 0.25)...), 9, 9.75},
		{"some far ahead", append(append(run(0, 5, 0.25), 10*year, 3*year, 10*year), run(5, 10, 0.25)...), 9, 9.75},
		{"the first far ahead", append([]float64{10 * year}, run(0, 1000, 0.25)...), 750, 999.75},
		{"a gap", append(run(0, 5, 0.25), run(100, 105, 0.125)...), 4 + 4, 104.875},
		{"long ago", append(run(0, 5, 0.25), -year), 4, 4.75},
	} {
		k := Clock{Now: unset}
		looks := 0
		for _, h := range c.hours {
			before := k.Now
			look, now := k.Tick(int64(h*3.6e6), 3.6e6)
			if look {
				looks++
			}
			if now != before {
				t.Fatalf("%s: looked at %d, was at %d", c.name, now, before)
			}
		}
		if d := k.Now - int64(c.now*3.6e6); looks != c.looks || d < -1 || d > 1 {
			t.Errorf("%s: %d looks, want %d; at %.2f hours, want %.2f", c.name, looks, c.looks, float64(k.Now)/3.6e6, c.now)
		}
	}
}

// TestWrongTimesDoNotStopTheLooks has the same campaign found at the same time although a few records of each file are
// dated years ahead, some of them too many in a row to be told from a gap.
func TestWrongTimesDoNotStopTheLooks(t *testing.T) {
	if testing.Short() {
		t.Skip("reads a whole world twice")
	}
	dir := small(t, 60)
	state := stateWith(t)
	want := scanned(t, state, dir)
	if len(want.Campaigns) == 0 {
		t.Fatal("the world shows nothing to compare")
	}
	path := filepath.Join(dir, "exchanges.jsonl")
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	wrong := 0
	for i, line := range bytes.SplitAfter(data, []byte("\n")) {
		b.Write(line)
		if i%1000 == 500 {
			fmt.Fprintf(&b, `{"kind":"exchange","id":"wrong%d","time":"2033-01-01T00:00:00Z","account":"acct-wrong"}`+"\n", i)
			wrong++
		}
	}
	if err := os.WriteFile(path, b.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	got := scanned(t, stateWith(t), dir)
	if got.Counts.Rejected != int64(wrong) || wrong < 3 {
		t.Errorf("%d rejected, want %d", got.Counts.Rejected, wrong)
	}
	got.Counts.Rejected = want.Counts.Rejected
	same(t, got, want)
}

func TestUntilLosesNothing(t *testing.T) {
	dir := filepath.Dir(parts(t, small(t, 60), 24)[0])
	want := scanned(t, stateWith(t), dir)
	state := stateWith(t)
	middle := want.Window.From.Add(want.Window.To.Sub(want.Window.From) / 2)
	for _, until := range []time.Time{middle.Add(-time.Hour), middle, {}} {
		r, stats, err := Scan(t.Context(), ScanOptions{Paths: []string{dir}, StateDir: state, RecallBits: 12, Until: until})
		if err != nil || r.Counts.Rejected != 0 {
			t.Fatal(r, err)
		}
		if until.IsZero() {
			same(t, r, want)
		} else if stats.Held != 1 || !r.Window.To.Before(until) {
			t.Errorf("%+v, up to %s", stats, r.Window.To)
		}
	}
}

func TestSinceIsOfTheState(t *testing.T) {
	dir := filepath.Dir(parts(t, small(t, 60), 24)[0])
	state := stateWith(t)
	all := scanned(t, stateWith(t), dir).Window
	with := func(since time.Time) (*palladium.Report, error) {
		r, _, err := Scan(t.Context(), ScanOptions{Paths: []string{dir}, StateDir: state, RecallBits: 12, Since: since})
		return r, err
	}
	since := all.From.Add(all.To.Sub(all.From) / 2).Truncate(time.Hour)
	first, err := with(since)
	if err != nil || first.Window.From.Before(since) || first.Counts.Exchanges == 0 {
		t.Fatal(first, err)
	}
	for _, again := range []time.Time{since, {}} {
		r, err := with(again)
		if err != nil {
			t.Fatal(err)
		}
		same(t, r, first)
	}
	more := filepath.Join(dir, "more.jsonl")
	line := fmt.Sprintf(`{"kind":"exchange","id":"early","time":%q,"account":"acct-early"}`+"\n", since.Add(-time.Minute).Format(time.RFC3339))
	if err := os.WriteFile(more, []byte(line), 0o600); err != nil {
		t.Fatal(err)
	}
	r, err := with(time.Time{})
	if err != nil {
		t.Fatal(err)
	}
	same(t, r, first)
	if _, err := with(since.Add(time.Hour)); err == nil || !strings.Contains(err.Error(), "begun with --since "+since.Format(time.RFC3339)) {
		t.Errorf("got %v", err)
	}
	state = stateWith(t)
	scanned(t, state, dir)
	if _, err := with(since); err == nil || !strings.Contains(err.Error(), "begun without --since") {
		t.Errorf("got %v", err)
	}
}

// TestTell tells of looks at once, and of what is new between them no more than once a minute, but of all of it.
func TestTell(t *testing.T) {
	k := Clock{Now: 0}
	for i, c := range []struct {
		now          int64 // s
		look, gained bool
		want         bool
	}{
		{100, false, false, false},
		{101, false, true, true},
		{110, false, true, false},
		{130, false, false, false},
		{161, false, false, true}, // what was gained at 110
		{162, false, false, false},
		{163, false, true, false},
		{164, true, false, true}, // a look tells of it as well
		{300, false, false, false},
		{301, false, true, true},
		{200, false, true, true}, // the clock was wrong and went back
	} {
		k.Now = c.now * 1000
		if got := k.tell(c.look, c.gained); got != c.want {
			t.Errorf("step %d, at %d s: told %v", i, c.now, got)
		}
	}
}
