package archive

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"reflect"
	"slices"
	"testing"
	"time"

	"github.com/palladium-guard/palladium"
	"github.com/palladium-guard/palladium/store/place"
)

// start is the time of the first exchange of a source, near the end of an hour.
const start = int64(1_777_900_000_000) // 2026-05-04T13:06:40Z

// made is a made-up stream: message i, from 1, is always the same.
type made struct {
	step int64 // ms from one exchange to the next
}

// deliver gives h message i.
func (s made) deliver(i uint64, h Handler) {
	r := rand.New(rand.NewPCG(7, i))
	if i == 1 || r.IntN(10) == 0 {
		a := palladium.Account{
			ID: fmt.Sprint("acct-", r.IntN(50)), Plan: "pro", EmailDomain: "example.org", Payment: fmt.Sprint("fp", r.IntN(9)),
			Verified: []string{"email", "card"}[:r.IntN(3)], Relation: palladium.RelationTenant, Organization: "ünï",
		}
		if r.IntN(2) == 0 {
			a.Created = time.UnixMilli(start - r.Int64N(1e9)).UTC()
		}
		h.Describe(&a)
	}
	for range r.IntN(8) {
		o := s.exchange(r, i)
		h.NameModel(o.Model, fmt.Sprint("model-", o.Model))
		h.Observe(&o)
	}
}

func (s made) exchange(r *rand.Rand, i uint64) palladium.Observation {
	list := func(n int) (out []uint64) {
		for range r.IntN(n) {
			out = append(out, r.Uint64())
		}
		return out
	}
	maybe := func() uint64 {
		if r.IntN(3) == 0 {
			return 0
		}
		return r.Uint64()
	}
	o := palladium.Observation{
		ID: r.Uint64() | 1, Time: start + int64(i)*s.step + r.Int64N(90_000) - 45_000, Account: fmt.Sprint("acct-", r.IntN(50)),
		Credential: maybe(), IP: maybe(), Net: maybe(), ASN: uint32(r.IntN(1 << 20)), Client: maybe(), TLS: maybe(), Headers: maybe(),
		UserAgent: maybe(), Device: maybe(), API: 5, Model: 1 + r.Uint64N(3), System: maybe(), Tools: maybe(), Params: maybe(),
		ParamHas: palladium.ParamSet(r.IntN(1 << 11)), MaxTokens: r.Uint32(), Turns: uint16(r.IntN(1 << 16)), Words: r.Uint32(), Chars: r.Uint32(),
		Digests: uint16(r.IntN(9)), Prompt: maybe(), SimHash: maybe(), Shingles: list(20), Chain: list(4), Quotes: list(6), Answer: maybe(),
		Answers: list(5), Cues: palladium.CueSet(r.IntN(1 << 9)), TopLogprobs: uint8(r.IntN(256)),
		Outcome: palladium.Outcome{Status: 200, Finish: "stop", MS: r.Float64() * 1e4, TTFTMS: r.Float64()},
		Usage:   palladium.Usage{Input: r.Int64N(1e6), Output: r.Int64N(1e5), Reasoning: r.Int64N(9), Cached: r.Int64N(9)},
	}
	for i := range o.MinHash {
		o.MinHash[i] = uint8(r.Uint32())
	}
	for range r.IntN(30) {
		o.Terms = append(o.Terms, uint16(r.Uint32()))
	}
	for range r.IntN(3) {
		o.Biased = append(o.Biased, r.Uint32())
	}
	return o
}

// heard is what a handler was given.
type heard struct {
	events []any // palladium.Observation, palladium.Account
	names  map[uint64]string
}

func (h *heard) Describe(a *palladium.Account) {
	c := *a
	c.Verified = append([]string{}, a.Verified...)
	h.events = append(h.events, c)
}

func (h *heard) NameModel(m uint64, name string) {
	if h.names == nil {
		h.names = map[uint64]string{}
	}
	h.names[m] = name
}

func (h *heard) Observe(o *palladium.Observation) {
	c := *o
	c.Shingles, c.Terms, c.Chain = append([]uint64{}, o.Shingles...), append([]uint16{}, o.Terms...), append([]uint64{}, o.Chain...)
	c.Quotes, c.Answers, c.Biased = append([]uint64{}, o.Quotes...), append([]uint64{}, o.Answers...), append([]uint32{}, o.Biased...)
	h.events = append(h.events, c)
	if h.names[o.Model] == "" && o.Model != 0 {
		panic("a model is used before it is named")
	}
}

func (h *heard) observations() (out []palladium.Observation) {
	for _, e := range h.events {
		if o, ok := e.(palladium.Observation); ok {
			out = append(out, o)
		}
	}
	return out
}

func (s made) all(upto uint64) *heard {
	h := &heard{}
	for i := uint64(1); i <= upto; i++ {
		s.deliver(i, h)
	}
	return h
}

func same(t testing.TB, what string, got, want *heard) {
	t.Helper()
	for i := range min(len(got.events), len(want.events)) {
		if !reflect.DeepEqual(got.events[i], want.events[i]) {
			t.Fatalf("%s: event %d is\n%+v, want\n%+v", what, i, got.events[i], want.events[i])
		}
	}
	if len(got.events) != len(want.events) {
		t.Fatalf("%s: %d events, want %d", what, len(got.events), len(want.events))
	}
	if !reflect.DeepEqual(got.names, want.names) {
		t.Fatalf("%s: names %v, want %v", what, got.names, want.names)
	}
}

func open(t testing.TB, at Place, c Config) *Archive {
	t.Helper()
	a, err := Open(c, at, nil)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// feed writes messages after what is durable up to one, and flushes each so many.
func feed(ctx context.Context, a *Archive, s made, upto, each uint64) error {
	w, err := a.Writer(ctx, WriterOptions{Tries: 1})
	if err != nil {
		return err
	}
	defer w.Close(ctx)
	for i := w.Durable() + 1; i <= upto; i++ {
		s.deliver(i, w)
		if err := w.Position(i); err != nil {
			return err
		}
		if i%each == 0 || i == upto {
			if err := w.Flush(ctx); err != nil {
				return err
			}
		}
	}
	return w.Close(ctx)
}

func read(t testing.TB, a *Archive, from, to time.Time) *heard {
	t.Helper()
	h := &heard{}
	if err := a.Read(t.Context(), from, to, h); err != nil {
		t.Fatal(err)
	}
	return h
}

// places are the kinds of place that tests run on.
func places(t *testing.T, each func(t *testing.T, at Place)) {
	t.Run("folder", func(t *testing.T) { each(t, place.Folder(t.TempDir())) })
	t.Run("bucket", func(t *testing.T) { each(t, bucket(t)) })
}

func TestReadGivesWhatWasWritten(t *testing.T) {
	places(t, func(t *testing.T, at Place) {
		s := made{step: 20_000} // over three hours and more
		a := open(t, at, Config{})
		if err := feed(t.Context(), a, s, 300, 50); err != nil {
			t.Fatal(err)
		}
		same(t, "in part", read(t, a, time.Time{}, time.Time{}), s.all(300))
		if err := feed(t.Context(), a, s, 600, 40); err != nil {
			t.Fatal(err)
		}
		want := s.all(600)
		same(t, "as written", read(t, a, time.Time{}, time.Time{}), want)
		before, err := a.Status(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if err := a.Compact(t.Context(), time.UnixMilli(start).Add(100*day)); err != nil {
			t.Fatal(err)
		}
		after, err := a.Status(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if before.Loose == 0 || after.Loose != 0 || after.Files != after.Hours || after.Hours != before.Hours {
			t.Errorf("merging made %+v of %+v", after, before)
		}
		same(t, "merged", read(t, a, time.Time{}, time.Time{}), want)

		from, to := time.UnixMilli(start).Add(50*time.Minute), time.UnixMilli(start).Add(130*time.Minute)
		got := read(t, a, from, to).observations()
		var within []palladium.Observation
		for _, o := range want.observations() {
			if o.Time >= from.UnixMilli() && o.Time < to.UnixMilli() {
				within = append(within, o)
			}
		}
		if !reflect.DeepEqual(got, within) || len(got) < 300 {
			t.Errorf("%d observations within two times, want %d", len(got), len(within))
		}
	})
}

// The second Writer is elsewhere: it has the log, and the first one notices before it does harm.
func TestTwoWriters(t *testing.T) {
	places(t, func(t *testing.T, at Place) {
		s := made{step: 1000}
		a := open(t, unlocked{at}, Config{})
		first, err := a.Writer(t.Context(), WriterOptions{Tries: 1})
		if err != nil {
			t.Fatal(err)
		}
		defer first.Close(t.Context())
		for i := uint64(1); i <= 10; i++ {
			s.deliver(i, first)
			if err := first.Position(i); err != nil {
				t.Fatal(err)
			}
		}
		if err := feed(t.Context(), a, s, 30, 7); err != nil {
			t.Fatal(err)
		}
		if err := first.Flush(t.Context()); !errors.Is(err, ErrTaken) {
			t.Errorf("the first writer got %v", err)
		}
		same(t, "after", read(t, a, time.Time{}, time.Time{}), s.all(30))
		if err := feed(t.Context(), a, s, 60, 9); err != nil {
			t.Fatal(err)
		}
		same(t, "later", read(t, a, time.Time{}, time.Time{}), s.all(60))
		if err := a.Compact(t.Context(), time.UnixMilli(start).Add(100*day)); err != nil {
			t.Fatal(err)
		}
		same(t, "merged", read(t, a, time.Time{}, time.Time{}), s.all(60))
	})
}

// unlocked is a place on which locks do not work.
type unlocked struct{ Place }

func (unlocked) Lock(string) (func(), bool, error) { return func() {}, true, nil }

func TestLocked(t *testing.T) {
	a := open(t, place.Folder(t.TempDir()), Config{})
	w, err := a.Writer(t.Context(), WriterOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close(t.Context())
	if _, err := a.Writer(t.Context(), WriterOptions{}); !errors.Is(err, ErrInUse) {
		t.Errorf("a second writer of the log: %v", err)
	}
	other, err := a.Writer(t.Context(), WriterOptions{Log: "other"})
	if err != nil {
		t.Fatal(err)
	}
	if err := other.Close(t.Context()); err != nil {
		t.Error(err)
	}
	if _, err := a.Writer(t.Context(), WriterOptions{Log: "No Name"}); err == nil {
		t.Error("a log with spaces in its name was taken")
	}
}

func TestRowsAreWrittenInTime(t *testing.T) {
	a := open(t, place.Folder(t.TempDir()), Config{Every: 20 * time.Millisecond})
	w, err := a.Writer(t.Context(), WriterOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close(t.Context())
	s := made{step: 1000}
	s.deliver(1, w)
	if err := w.Position(1); err != nil {
		t.Fatal(err)
	}
	for begun := time.Now(); w.Durable() != 1; time.Sleep(5 * time.Millisecond) {
		if time.Since(begun) > 30*time.Second {
			t.Fatal("nothing was written although nothing more came")
		}
	}
	same(t, "written", read(t, a, time.Time{}, time.Time{}), s.all(1))
}

// What follows a position that was not given yet is not written.
func TestHalfABatchIsNotWritten(t *testing.T) {
	a := open(t, place.Folder(t.TempDir()), Config{Every: time.Millisecond})
	w, err := a.Writer(t.Context(), WriterOptions{})
	if err != nil {
		t.Fatal(err)
	}
	s := made{step: 1000}
	for i := range uint64(5) {
		s.deliver(i+1, w)
		if err := w.Position(i + 1); err != nil {
			t.Fatal(err)
		}
	}
	s.deliver(6, w)
	s.deliver(7, w)
	time.Sleep(20 * time.Millisecond)
	if err := w.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := feed(t.Context(), a, s, 10, 3); err != nil {
		t.Fatal(err)
	}
	same(t, "after", read(t, a, time.Time{}, time.Time{}), s.all(10))
}

func TestBind(t *testing.T) {
	places(t, func(t *testing.T, at Place) {
		a := open(t, at, Config{})
		ctx := t.Context()
		if err := a.Bind(ctx, 7, false); err == nil {
			t.Error("an archive that is not there was opened")
		}
		for range 2 {
			if err := a.Bind(ctx, 7, true); err != nil {
				t.Error(err)
			}
		}
		if err := a.Bind(ctx, 7, false); err != nil {
			t.Error(err)
		}
		for _, write := range []bool{true, false} {
			if err := a.Bind(ctx, 8, write); !errors.Is(err, ErrKey) {
				t.Errorf("another key: %v", err)
			}
		}
	})
}

func TestState(t *testing.T) {
	a := open(t, place.Folder(t.TempDir()), Config{})
	s := made{step: 1000}
	for i := uint64(1); i <= 3; i++ {
		w, err := a.Writer(t.Context(), WriterOptions{})
		if err != nil {
			t.Fatal(err)
		}
		got, err := w.State(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if want := fmt.Sprint("state ", i-1); i > 1 && string(got) != want || i == 1 && got != nil {
			t.Errorf("state %q, want %q", got, want)
		}
		s.deliver(i, w)
		w.Note(fmt.Append(nil, "state ", i))
		if err := w.Position(i); err != nil {
			t.Fatal(err)
		}
		w.Note([]byte("of a position that is not reached"))
		if err := w.Close(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	files, err := a.place.List(t.Context(), inner)
	if err != nil {
		t.Fatal(err)
	}
	if n := len(files); n != 3 { // head, lock, state
		t.Errorf("%d files of its own: %v", n, files)
	}
}

func TestLogsAreMergedByTime(t *testing.T) {
	a := open(t, place.Folder(t.TempDir()), Config{})
	var want []int64
	for k, log := range []string{"here", "there"} {
		w, err := a.Writer(t.Context(), WriterOptions{Log: log})
		if err != nil {
			t.Fatal(err)
		}
		for i := range int64(100) {
			o := palladium.Observation{ID: 1, Time: start + i*100_000 + int64(k)*50_000, Account: log}
			w.Observe(&o)
			want = append(want, o.Time)
		}
		if err := errors.Join(w.Position(1), w.Close(t.Context())); err != nil {
			t.Fatal(err)
		}
	}
	slices.Sort(want)
	var got []int64
	for _, o := range read(t, a, time.Time{}, time.Time{}).observations() {
		got = append(got, o.Time)
	}
	if !slices.Equal(got, want) {
		t.Error("two logs are not merged by time")
	}
}

func TestNames(t *testing.T) {
	for _, f := range []file{
		{folder: hourFolder(hourOf(start)), log: "stream", first: 1, last: 9, kept: everything},
		{folder: accounts, log: "a-1", first: 1234567890123456, last: 1234567890123456, generation: 12, kept: connection},
	} {
		got, ok := parseFile(f.name(), 5)
		f.size = 5
		if !ok || got != f {
			t.Errorf("%s is read as %+v", f.name(), got)
		}
	}
	if f := hourFolder(hourOf(start)); f != "observations/date=2026-05-04/hour=13" {
		t.Error(f)
	}
	for _, ms := range []int64{-1 << 63, -1, 0, start, 1<<63 - 1} {
		if h, ok := parseHour(hourFolder(hourOf(ms))); !ok || h != hourOf(ms) {
			t.Errorf("the hour of %d is read as %d, %t", ms, h, ok)
		}
	}
	for _, name := range []string{
		"", "x", "observations/date=2026-05-04/hour=13/stream.000000000001-000000000009.0.all.parquet.tmp", "accounts/s.1-2.0.all.parquet",
		"accounts/s.000000000002-000000000001.0.all.parquet", "accounts/s.000000000001-000000000002.0.some.parquet", "accounts/S.000000000001-000000000002.0.all.parquet",
	} {
		if f, ok := parseFile(name, 0); ok {
			t.Errorf("%q is read as %+v", name, f)
		}
	}
}

func TestCover(t *testing.T) {
	f := func(first, last uint64, gen int) file {
		return file{log: "s", first: first, last: last, generation: gen}
	}
	for _, test := range []struct {
		name   string
		files  []file
		parts  []part
		beyond []file
	}{
		{"neighbours", []file{f(5, 9, 0), f(1, 4, 0)}, []part{{f(1, 4, 0), 0}, {f(5, 9, 0), 0}}, nil},
		{"merged", []file{f(1, 4, 0), f(5, 9, 0), f(1, 9, 1)}, []part{{f(1, 9, 1), 0}}, []file{f(1, 4, 0), f(5, 9, 0)}},
		{"rewritten", []file{f(1, 4, 0), f(1, 4, 1)}, []part{{f(1, 4, 1), 0}}, []file{f(1, 4, 0)}},
		{"overlapping", []file{f(1, 6, 1), f(3, 9, 1)}, []part{{f(1, 6, 1), 0}, {f(3, 9, 1), 6}}, nil},
	} {
		parts, over := cover(test.files)
		if !reflect.DeepEqual(parts, test.parts) || !reflect.DeepEqual(over, test.beyond) {
			t.Errorf("%s: %+v and %+v", test.name, parts, over)
		}
	}
}
