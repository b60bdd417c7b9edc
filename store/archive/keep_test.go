package archive

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/palladium-guard/palladium"
	"github.com/palladium-guard/palladium/internal/table"
	"github.com/palladium-guard/palladium/store/place"
)

// tallyOf adds up what Usage should.
func tallyOf(h *heard, from, to time.Time) map[string]*Usage {
	out := map[string]*Usage{}
	for _, o := range h.observations() {
		if !from.IsZero() && o.Time < from.UnixMilli() || !to.IsZero() && o.Time >= to.UnixMilli() {
			continue
		}
		u := out[o.Account]
		if u == nil {
			u = &Usage{Models: map[string]Draw{}}
			out[o.Account] = u
		}
		t := palladium.Tokens{Input: o.Usage.Input, Output: o.Usage.Output, Reasoning: o.Usage.Reasoning}
		u.Exchanges++
		u.Tokens.Input += t.Input
		u.Tokens.Output += t.Output
		u.Tokens.Reasoning += t.Reasoning
		d := u.Models[h.names[o.Model]]
		d.add(&Draw{1, t})
		u.Models[h.names[o.Model]] = d
	}
	return out
}

func TestUsage(t *testing.T) {
	places(t, func(t *testing.T, at Place) {
		s := made{step: 20_000}
		a := open(t, at, Config{})
		if err := feed(t.Context(), a, s, 500, 60); err != nil {
			t.Fatal(err)
		}
		all := s.all(500)
		for _, merged := range []bool{false, true} {
			for _, r := range [][2]time.Time{
				{}, {time.UnixMilli(start).Add(time.Hour), {}}, {{}, time.UnixMilli(start).Add(time.Hour)},
				{time.UnixMilli(start).Add(30 * time.Minute), time.UnixMilli(start).Add(90 * time.Minute)}, {time.UnixMilli(start).Add(day), {}},
			} {
				got, err := a.Usage(t.Context(), r[0], r[1])
				if err != nil {
					t.Fatal(err)
				}
				if want := tallyOf(all, r[0], r[1]); !reflect.DeepEqual(got, want) {
					t.Errorf("merged %t, %v: %d accounts used other than %d", merged, r, len(got), len(want))
				}
			}
			if err := a.Compact(t.Context(), time.UnixMilli(start).Add(100*day)); err != nil {
				t.Fatal(err)
			}
		}
	})
}

// Files that share rows, as two processes that merge at once can make them, count each row once.
func TestOverlap(t *testing.T) {
	s := made{step: 1_000}
	a := open(t, place.Folder(t.TempDir()), Config{})
	if err := feed(t.Context(), a, s, 120, 10); err != nil {
		t.Fatal(err)
	}
	files, err := a.files(t.Context(), observations)
	if err != nil {
		t.Fatal(err)
	}
	sh := shelves(files)[0]
	parts, _ := cover(sh.files)
	if len(parts) < 10 {
		t.Fatalf("%d parts", len(parts))
	}
	for _, r := range [][2]int{{0, 6}, {3, 9}, {1, 2}} {
		run := parts[r[0]:r[1]]
		into := file{folder: sh.folder, log: sh.log, first: run[0].first, last: run[len(run)-1].last, generation: 1 + r[0], kept: everything}
		if err := a.rewrite(t.Context(), run, into, time.Now()); err != nil {
			t.Fatal(err)
		}
	}
	want := s.all(120)
	for range 2 {
		same(t, "overlapping", read(t, a, time.Time{}, time.Time{}), want)
		got, err := a.Usage(t.Context(), time.Time{}, time.Time{})
		if err != nil || !reflect.DeepEqual(got, tallyOf(want, time.Time{}, time.Time{})) {
			t.Errorf("overlapping files count rows twice, or not: %v", err)
		}
		if err := a.Compact(t.Context(), time.UnixMilli(start).Add(100*day)); err != nil {
			t.Fatal(err)
		}
	}
	if st, err := a.Status(t.Context()); err != nil || st.Loose != 0 {
		t.Errorf("%+v, %v", st, err)
	}
}

// Who reads while files are merged and rewritten reads everything once.
func TestReadingWhileMerging(t *testing.T) {
	s := made{step: 4_000}
	a := open(t, place.Folder(t.TempDir()), Config{})
	if err := feed(t.Context(), a, s, 200, 2); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() {
		for upto := uint64(201); ; upto++ {
			err := errors.Join(feed(ctx, a, s, upto, 1), a.Compact(ctx, time.UnixMilli(start).Add(100*day)))
			if err != nil {
				done <- err
				return
			}
		}
	}()
	for range 60 {
		whole(t, s, read(t, a, time.Time{}, time.Time{}), "while merging")
		got, err := a.Usage(t.Context(), time.Time{}, time.UnixMilli(start))
		if want := tallyOf(s.all(200), time.Time{}, time.UnixMilli(start)); err != nil || !reflect.DeepEqual(got, want) {
			t.Fatalf("usage while merging: %v", err)
		}
	}
	cancel()
	if err := <-done; !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}

func TestExpire(t *testing.T) {
	places(t, func(t *testing.T, at Place) {
		s := made{step: 20_000}
		a := open(t, at, Config{})
		if err := feed(t.Context(), a, s, 300, 100); err != nil {
			t.Fatal(err)
		}
		full := s.all(300).observations()
		begin := time.UnixMilli(start)
		for _, test := range []struct {
			days int
			kept class
		}{{29, everything}, {31, fingerprints}, {89, fingerprints}, {92, 0}, {399, 0}} {
			for range 2 {
				if err := a.Expire(t.Context(), begin.Add(time.Duration(test.days)*day)); err != nil {
					t.Fatal(err)
				}
				want := slices.Clone(full)
				for i := range want {
					var r observation
					r.take(&want[i])
					r.forget(test.kept)
					r.give(&want[i])
				}
				got := read(t, a, time.Time{}, time.Time{}).observations()
				if len(got) != len(want) {
					t.Fatalf("day %d: %d of %d", test.days, len(got), len(want))
				}
				for i := range got {
					if g, w := fmt.Sprintf("%+v", got[i]), fmt.Sprintf("%+v", want[i]); g != w {
						t.Fatalf("day %d: observation %d is\n%s, want\n%s", test.days, i, g, w)
					}
				}
				if err := a.Compact(t.Context(), begin.Add(time.Duration(test.days)*day)); err != nil {
					t.Fatal(err)
				}
			}
			st, err := a.Status(t.Context())
			if err != nil || st.Kept[test.kept.String()] != st.Files {
				t.Errorf("day %d: %v, %v", test.days, st.Kept, err)
			}
		}
		// What follows an archive that is over is written all the same.
		if err := a.Expire(t.Context(), begin.Add(402*day)); err != nil {
			t.Fatal(err)
		}
		h := read(t, a, time.Time{}, time.Time{})
		if len(h.events) != 0 {
			t.Errorf("%d events are left of an archive that is over", len(h.events))
		}
		left, err := at.List(t.Context(), observations)
		if err != nil || len(left) != 0 {
			t.Errorf("files are left: %v, %v", left, err)
		}
		if err := feed(t.Context(), a, s, 320, 10); err != nil {
			t.Fatal(err)
		}
		whole := s.all(320).observations()
		if got := read(t, a, time.Time{}, time.Time{}).observations(); !reflect.DeepEqual(got, whole[len(full):]) {
			t.Errorf("%d observations after it", len(got))
		}
	})
}

// Descriptions that repeat what is known go when the first fields are over, and all go in their time.
func TestExpireAccounts(t *testing.T) {
	a := open(t, place.Folder(t.TempDir()), Config{})
	for i := range uint64(3) {
		w, err := a.Writer(t.Context(), WriterOptions{})
		if err != nil {
			t.Fatal(err)
		}
		for k := range 4 {
			w.Describe(&palladium.Account{ID: "a", Plan: []string{"free", "pro"}[k/3]})
			w.Observe(&palladium.Observation{Time: start + int64(i)*int64(day/time.Millisecond)*100 + int64(k), Account: "a"})
		}
		if err := errors.Join(w.Position(i+1), w.Close(t.Context())); err != nil {
			t.Fatal(err)
		}
	}
	described := func() string {
		var plans []string
		for _, e := range read(t, a, time.Time{}, time.Time{}).events {
			if acc, ok := e.(palladium.Account); ok {
				plans = append(plans, acc.Plan)
			}
		}
		return strings.Join(plans, " ")
	}
	long := "free free free pro"
	if got := described(); got != long+" "+long+" "+long {
		t.Error(got)
	}
	files, err := a.files(t.Context(), accounts)
	if err != nil {
		t.Fatal(err)
	}
	parts, _ := cover(files)
	into := file{folder: accounts, log: "stream", first: parts[0].first, last: parts[2].last, generation: 1, kept: everything}
	if err := a.rewrite(t.Context(), parts, into, time.UnixMilli(start).Add(215*day)); err != nil {
		t.Fatal(err)
	}
	if got, want := described(), "free pro free free pro "+long; got != want {
		t.Errorf("%s, want %s", got, want)
	}
	if err := a.Expire(t.Context(), time.UnixMilli(start).Add(402*day)); err != nil {
		t.Fatal(err)
	}
	if got, want := described(), "free pro free free pro"; got != want {
		t.Errorf("%s, want %s", got, want)
	}
	if err := a.Expire(t.Context(), time.UnixMilli(start).Add(602*day)); err != nil {
		t.Fatal(err)
	}
	if got := described(); got != "" {
		t.Errorf("left: %s", got)
	}
}

// What retention is over for goes by the clock that Run is given.
func TestRunClock(t *testing.T) {
	a := open(t, place.Folder(t.TempDir()), Config{Compact: 5 * time.Millisecond})
	if err := feed(t.Context(), a, made{step: 20_000}, 50, 10); err != nil {
		t.Fatal(err)
	}
	var days, rounds atomic.Int64
	days.Store(20)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		a.Run(ctx, func() time.Time { rounds.Add(1); return time.UnixMilli(start).Add(time.Duration(days.Load()) * day) })
		close(done)
	}()
	defer func() { cancel(); <-done }()
	reach := func(what string, holds func() bool) {
		t.Helper()
		for end := time.Now().Add(time.Minute); !holds(); time.Sleep(5 * time.Millisecond) {
			if time.Now().After(end) {
				t.Fatal(what)
			}
		}
	}
	kept := func() int { return len(read(t, a, time.Time{}, time.Time{}).events) }
	was := kept()
	reach("it is not looked at", func() bool { return rounds.Load() > 3 })
	if got := kept(); got != was || got == 0 {
		t.Errorf("%d of %d are left", got, was)
	}
	days.Store(500)
	reach("nothing is removed", func() bool { return kept() == 0 })
}

// A damaged file is an error that names it, and no panic, whatever is wrong with it.
func TestDamaged(t *testing.T) {
	dir := place.Folder(t.TempDir())
	a := open(t, dir, Config{})
	if err := feed(t.Context(), a, made{step: 1_000}, 40, 40); err != nil {
		t.Fatal(err)
	}
	files, err := a.files(t.Context(), observations)
	if err != nil {
		t.Fatal(err)
	}
	name := files[0].name()
	good, _, err := dir.Load(t.Context(), name)
	if err != nil {
		t.Fatal(err)
	}
	r := rand.New(rand.NewPCG(3, 4))
	for i := range 300 {
		bad := slices.Clone(good)
		switch i % 3 {
		case 0:
			bad = bad[:r.IntN(len(bad))]
		case 1:
			bad[r.IntN(len(bad))] ^= 1 << r.IntN(8)
		default:
			at := r.IntN(len(bad))
			for j := range bad[at:min(at+16, len(bad))] {
				bad[at+j] = byte(r.Uint32())
			}
		}
		if err := dir.Put(t.Context(), name, put(bad)); err != nil {
			t.Fatal(err)
		}
		if bytes.Equal(bad, good) {
			continue
		}
		_, failed := a.Usage(t.Context(), time.Time{}, time.Time{}) // looks at a few columns only
		for k, err := range []error{
			a.Read(t.Context(), time.Time{}, time.Time{}, &silent{}), a.Expire(t.Context(), time.UnixMilli(start).Add(40*day)), failed,
		} {
			if err == nil && k < 2 {
				t.Fatalf("round %d: damage is not noticed", i)
			}
			if err != nil && (!strings.Contains(err.Error(), name) || !errors.Is(err, table.ErrDamaged)) {
				t.Fatalf("the error does not name the file: %v", err)
			}
		}
		for n := range must(dir.List(t.Context(), observations)) {
			if n != name {
				if err := dir.Remove(t.Context(), n); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
}

type silent struct{}

func (silent) Describe(*palladium.Account)    {}
func (silent) NameModel(uint64, string)       {}
func (silent) Observe(*palladium.Observation) {}

func TestConfig(t *testing.T) {
	for text, want := range map[string]Span{"90d": 90 * Span(day), "36h": Span(36 * time.Hour), "forever": Forever, "": 0, "0d": 0, "-1h": 0, "x": 0, "1.5d": 0} {
		var s Span
		err := s.UnmarshalText([]byte(text))
		if s != want || (err != nil) != (want == 0) {
			t.Errorf("%q is %v, %v", text, s, err)
		}
		if err == nil {
			if again := s.String(); again != text && again != "36h0m0s" {
				t.Errorf("%q is written as %q", text, again)
			}
		}
	}
	for _, c := range []Config{
		{Log: "A"}, {Every: -1}, {Retention: Retention{Counts: 10 * Span(day)}}, {Retention: Retention{Connection: Forever}},
	} {
		if _, err := Open(c, place.Folder(t.TempDir()), nil); !errors.Is(err, ErrConfig) {
			t.Errorf("%+v was taken: %v", c, err)
		}
	}
}
