package budget

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"
)

// memory is a journal that can lose what nobody was told is safe.
type memory struct {
	mu      sync.Mutex
	records [][]byte
	durable int
	down    bool
	full    bool // for the time being
}

func (m *memory) Ready() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.full {
		return errors.New("full")
	}
	return nil
}

func (m *memory) Append(record []byte) (uint64, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.down {
		return 0, errors.New("down")
	}
	m.records = append(m.records, append([]byte(nil), record...))
	return uint64(len(m.records)), nil
}

func (m *memory) Wait(_ context.Context, position uint64) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.down {
		return errors.New("down")
	}
	if m.full && m.durable < int(position) {
		return errors.New("full")
	}
	m.durable = max(m.durable, int(position))
	return nil
}

// crash loses a random part of what is not durable, and everything that comes later.
func (m *memory) crash(r *rand.Rand) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.down = true
	m.records = m.records[:m.durable+r.IntN(len(m.records)-m.durable+1)]
}

func (m *memory) replay(t *testing.T) *Replay {
	p := NewReplay()
	for _, rec := range m.records {
		if err := p.Apply(rec); err != nil {
			t.Fatal(err)
		}
	}
	return p
}

// tally is what was truly drawn, by principal and by the window in which the request began.
type tally struct {
	mu    sync.Mutex
	drawn map[spent]int64
}

type spent struct {
	key    key
	period Period
	window int32
}

func (t *tally) add(p *Principal, w windows, n int64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for period := range periodCount {
		t.drawn[spent{key{p.Level, p.ID}, period, w[period]}] += n
	}
}

// Under any interleaving of goroutines, cancels, settlements, crashes with loss of what was not yet on disk, days that
// roll over and a clock that jumps both ways, what is drawn stays within every cap.
func TestCapsHold(t *testing.T) {
	rounds := 60
	if testing.Short() {
		rounds = 10
	}
	for seed := range uint64(rounds) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			r := rand.New(rand.NewPCG(seed, 7))
			caps := func() Limits {
				n := int64(50 + r.IntN(500))
				return Limits{Amount{Unlimited, Unlimited, n}, Amount{Unlimited, Unlimited, n + int64(r.IntN(1000))}}
			}
			var who []Principal
			for i := range 4 {
				who = append(who, Principal{Account, fmt.Sprint("a", i), caps()})
			}
			who = append(who, Principal{Organization, "o", caps()}, Principal{Campaign, "c", caps()}, Principal{Pool, "p", caps()})
			truth := &tally{drawn: map[spent]int64{}}
			j := &memory{}
			past := (*Replay)(nil)
			for life := range 4 {
				l := New(j, past)
				live(t, l, j, who, truth, r)
				j.crash(r)
				past = j.replay(t)
				next := &memory{records: j.records, durable: len(j.records)}
				if life%2 == 1 { // the journal was shortened meanwhile
					next.records = nil
					for rec := range past.Records() {
						next.records = append(next.records, append([]byte(nil), rec...))
					}
					next.durable = len(next.records)
					past = next.replay(t)
				}
				j = next
			}
			for _, p := range who {
				for at, n := range truth.drawn {
					if at.key == (key{p.Level, p.ID}) && n > p.Limits.of(at.period)[Output] {
						t.Errorf("%s %s, %s window %d: %d drawn, the cap is %d", p.Level, p.ID, at.period, at.window, n, p.Limits.of(at.period)[Output])
					}
				}
			}
			if len(truth.drawn) == 0 {
				t.Error("nothing was drawn: the test proves nothing")
			}
		})
	}
}

// live runs requests until all have ended or died with the journal.
func live(t *testing.T, l *Ledger, j *memory, who []Principal, truth *tally, seeds *rand.Rand) {
	var all sync.WaitGroup
	crashAt := seeds.IntN(400)
	var mu sync.Mutex
	done := 0
	for range 6 {
		r := rand.New(rand.NewPCG(seeds.Uint64(), 1))
		all.Go(func() {
			for range 80 {
				mu.Lock()
				done++
				dead := done > crashAt
				mu.Unlock()
				if dead {
					return // in the middle of whatever the others do
				}
				request(t, l, who, truth, r)
				if r.IntN(50) == 0 {
					l.Sweep(clock(r))
				}
			}
		})
	}
	all.Wait()
}

// clock jumps within three days around the end of a month.
func clock(r *rand.Rand) time.Time {
	return time.Date(2026, 11, 30, 0, 0, 0, 0, time.UTC).Add(time.Duration(r.Int64N(int64(72 * time.Hour))))
}

func request(t *testing.T, l *Ledger, who []Principal, truth *tally, r *rand.Rand) {
	now := clock(r)
	d := Demand{Output: int64(1 + r.IntN(120))}
	if r.IntN(2) == 0 {
		d.Least = 1 + r.Int64N(d.Output)
	}
	for _, i := range r.Perm(len(who))[:1+r.IntN(4)] {
		d.Principals = append(d.Principals, who[i])
	}
	res, err := l.Reserve(now, d)
	if err != nil {
		var e *Exceeded
		if !errors.As(err, &e) && !errors.Is(err, ErrClock) && !errors.Is(err, ErrJournal) {
			t.Error(err)
		}
		return
	}
	if res.Output() > d.Output || d.Least > 0 && res.Output() < d.Least || d.Least == 0 && res.Output() != d.Output {
		t.Errorf("granted %d of %d, at least %d", res.Output(), d.Output, d.Least)
	}
	if r.IntN(8) == 0 {
		res.Release()
		return
	}
	if err := res.Durable(context.Background()); err != nil {
		return // died before anything reached the caller
	}
	drawn := int64(0)
	for range r.IntN(12) {
		n := int64(r.IntN(30))
		if !res.Draw(n) {
			break
		}
		drawn += n
		for i := range d.Principals {
			truth.add(&d.Principals[i], windowsOf(now), n)
		}
	}
	switch r.IntN(6) {
	case 0: // left open: the process dies with it
	case 1:
		res.Close()
	default:
		res.Settle(5, drawn)
	}
}

// What a journal is shortened to means the same as all of it.
func TestRecordsMeanTheSame(t *testing.T) {
	for seed := range uint64(30) {
		r := rand.New(rand.NewPCG(seed, 3))
		j := &memory{}
		l := New(j, nil)
		who := []Principal{{Account, "a", Limits{free(), free()}}, {Account, "b", Limits{free(), free()}}, {Campaign, "c", Limits{free(), free()}}}
		var open []*Reservation
		for range 200 {
			if len(open) > 0 && r.IntN(3) > 0 {
				i := r.IntN(len(open))
				open[i].Settle(r.Int64N(50), r.Int64N(50))
				open = append(open[:i], open[i+1:]...)
				continue
			}
			res, err := l.Reserve(clock(r), Demand{Principals: who[:1+r.IntN(3)], Input: r.Int64N(50), Output: r.Int64N(50)})
			if err == nil {
				open = append(open, res)
			}
		}
		long := j.replay(t)
		short := &memory{}
		for rec := range long.Records() {
			short.records = append(short.records, append([]byte(nil), rec...))
		}
		// The rest of the journal may come after the shortened part.
		for i, res := range open {
			if i%2 == 0 {
				res.Settle(1, 1)
			}
		}
		long = j.replay(t)
		short.records = append(short.records, j.records[len(j.records)-(len(open)+1)/2:]...)
		again := short.replay(t)
		if len(long.open) != len(again.open) || long.last != again.last || len(long.meters) != len(again.meters) {
			t.Fatalf("seed %d: %d open, last %d, %d principals; shortened %d, %d, %d", seed, len(long.open), long.last, len(long.meters),
				len(again.open), again.last, len(again.meters))
		}
		live := New(nil, again)
		for k, m := range long.meters {
			for period := range m.slots {
				for _, s := range m.slots[period] {
					got := live.meter(k).find(Period(period), s.window)
					if s.window != noWindow && (got == nil || got.used != s.used) {
						t.Fatalf("seed %d: %v window %d: %v, want %v", seed, k, s.window, got, s.used)
					}
				}
			}
		}
	}
}

// Reservations that were open at a crash count as spent in full, and are not carried along for ever.
func TestLostReservations(t *testing.T) {
	j := &memory{}
	p := capped("a", Amount{Unlimited, Unlimited, 100}, free())
	if _, err := New(j, nil).Reserve(noon(), Demand{Principals: []Principal{p}, Output: 60}); err != nil {
		t.Fatal(err)
	}
	past := j.replay(t)
	if past.Open() != 1 {
		t.Fatalf("%d reservations open, want 1", past.Open())
	}
	l := New(j, past)
	if s := l.Standing(noon(), p, Day); s[Output].Left != 40 {
		t.Fatalf("%d tokens left, want 40", s[Output].Left)
	}
	if again := j.replay(t); again.Open() != 0 {
		t.Fatal("the lost reservation is still open after the next start")
	}
}

func TestJournalFull(t *testing.T) {
	j := &memory{down: true}
	l := New(j, nil)
	p := capped("a", free(), free())
	if _, err := l.Reserve(noon(), Demand{Principals: []Principal{p}, Output: 60}); !errors.Is(err, ErrJournal) {
		t.Fatalf("got %v, want the complaint about the journal", err)
	}
	if got := l.Used(noon(), Account, "a", Day); got != (Amount{}) {
		t.Fatalf("a request that was refused was charged %+v", got)
	}
}

// While the disk takes nothing no request is let through; once it does the ledger goes on, and the journal says what it says.
func TestJournalGoesOn(t *testing.T) {
	j := &memory{}
	l := New(j, nil)
	p := capped("a", Amount{Unlimited, Unlimited, 100}, free())
	reserve := func(output int64) (*Reservation, error) {
		return l.Reserve(noon(), Demand{Principals: []Principal{p}, Output: output})
	}
	long, err := reserve(40) // its answer passes while the disk fills up
	if err != nil || long.Durable(t.Context()) != nil {
		t.Fatal(err)
	}
	caught, err := reserve(60) // kept by nobody when its answer comes
	if err != nil {
		t.Fatal(err)
	}
	j.full = true
	if caught.Durable(t.Context()) == nil {
		t.Fatal("a reservation is kept on a disk that takes nothing")
	}
	caught.Release()
	if _, err := reserve(1); !errors.Is(err, ErrJournal) {
		t.Fatalf("got %v, want the complaint about the journal", err)
	}
	long.Settle(0, 25)
	j.full = false
	again, err := reserve(75)
	if err != nil || again.Durable(t.Context()) != nil {
		t.Fatalf("it does not go on with what is left: %v", err)
	}
	again.Settle(0, 70)
	past := j.replay(t)
	if past.Open() != 0 {
		t.Errorf("%d reservations are open in the journal", past.Open())
	}
	if live, kept := l.Used(noon(), Account, "a", Day), New(nil, past).Used(noon(), Account, "a", Day); live != kept || live.Output != 95 {
		t.Errorf("%+v charged, %+v after a start", live, kept)
	}
}

func FuzzApply(f *testing.F) {
	j := &memory{}
	l := New(j, nil)
	r, err := l.Reserve(noon(), Demand{Principals: []Principal{capped("a", free(), free())}, Input: 3, Output: 60})
	if err != nil {
		f.Fatal(err)
	}
	r.Settle(3, 4)
	for _, rec := range j.records {
		f.Add(rec)
	}
	past := NewReplay()
	for _, rec := range j.records {
		if err := past.Apply(rec); err != nil {
			f.Fatal(err)
		}
	}
	for rec := range past.Records() {
		f.Add(append([]byte(nil), rec...))
	}
	f.Fuzz(func(t *testing.T, rec []byte) {
		p := NewReplay()
		if err := p.Apply(rec); err != nil {
			if !errors.Is(err, ErrRecord) {
				t.Fatal(err)
			}
			return
		}
		again := NewReplay()
		for rec := range p.Records() {
			if err := again.Apply(rec); err != nil {
				t.Fatalf("its own record is refused: %v", err)
			}
		}
	})
}
