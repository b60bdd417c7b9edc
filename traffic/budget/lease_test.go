package budget

import (
	"context"
	"errors"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

var (
	errChanged = errors.New("changed")
	errLost    = errors.New("lost")
)

// common is a store of cells that loses a part of the answers: what was asked for is then done or not done.
type common struct {
	mu    sync.Mutex
	r     *rand.Rand
	fails float64
	at    map[string]cell
}

type cell struct {
	value    []byte
	revision uint64
}

func (m *common) fail() bool { return m.r.Float64() < m.fails }

func (m *common) Get(_ context.Context, key string) ([]byte, uint64, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.fail() {
		return nil, 0, errLost
	}
	return m.at[key].value, m.at[key].revision, nil
}

func (m *common) Set(_ context.Context, key string, value []byte, revision uint64) (uint64, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.fail() {
		return 0, errLost
	}
	if m.at[key].revision != revision {
		return 0, errChanged
	}
	m.at[key] = cell{value, revision + 1}
	if m.fail() {
		return 0, errLost
	}
	return revision + 1, nil
}

func (m *common) lease() Lease {
	return NewLease(m, func(err error) bool { return errors.Is(err, errChanged) })
}

// Several gateways that draw at once, lose answers of the store, crash, give back and have clocks that jump draw together at most
// the cap in every day, of every measure.
func TestCapsHoldOverGateways(t *testing.T) {
	noon := time.Date(2026, 5, 4, 12, 0, 0, 0, time.UTC)
	for seed := range uint64(60) {
		store := &common{r: rand.New(rand.NewPCG(seed, 1)), fails: float64(seed%3) * 0.1, at: map[string]cell{}}
		caps := Amount{Requests: 40 + int64(seed), Input: 5_000, Output: 3_000 + 50*int64(seed)}
		p := Principal{Level: Account, ID: "a", Limits: Limits{Day: caps, Month: caps.times(3)}}
		pool := CampaignDay("c", 2_500)
		var mu sync.Mutex
		drawn := map[windows]counts{}
		var group sync.WaitGroup
		for g := range uint64(4) {
			group.Go(func() {
				r := rand.New(rand.NewPCG(seed, 100+g))
				l := New(nil, nil)
				l.Join(store.lease())
				now := noon
				for range 150 {
					switch r.IntN(30) {
					case 0: // a crash: what it held is lost
						l = New(nil, nil)
						l.Join(store.lease())
					case 1:
						_ = l.GiveBack(context.Background(), now)
					case 4, 5, 6:
						_ = l.Trim(context.Background(), now)
					case 3:
						l.Sweep(now)
					case 2:
						now = noon.Add(time.Duration(r.IntN(3)-1) * 24 * time.Hour)
					}
					d := Demand{Principals: []Principal{p, pool}, Input: r.Int64N(100), Output: 1 + r.Int64N(200), Least: r.Int64N(2)}
					res, err := l.Reserve(now, d)
					if err != nil {
						continue
					}
					out := res.Output() - r.Int64N(res.Output()+1)
					mu.Lock()
					w := windowsOf(now)
					c := drawn[w]
					c.add(counts{1, d.Input, out})
					drawn[w] = c
					mu.Unlock()
					res.Settle(d.Input, out)
				}
			})
		}
		group.Wait()
		var month counts
		for w, c := range drawn {
			month.add(c)
			if c[Requests] > caps.Requests || c[Input] > caps.Input || c[Output] > min(caps.Output, 2_500) {
				t.Errorf("seed %d, day %d: %v drawn of %+v", seed, w[Day], c, caps)
			}
		}
		if month[Output] > 3*caps.Output {
			t.Errorf("seed %d: %v drawn in the month", seed, month)
		}
	}
}

// What gateways give back others can draw, to the last token, and one that ends without a word takes its portion with it.
func TestGivesBack(t *testing.T) {
	now := time.Date(2026, 5, 4, 12, 0, 0, 0, time.UTC)
	store := &common{r: rand.New(rand.NewPCG(1, 1)), at: map[string]cell{}}
	p := Principal{Account, "a", Limits{Day: Amount{1000, 100_000, 6_400}, Month: Amount{Unlimited, Unlimited, Unlimited}}}
	ask := func(l *Ledger, output int64) (*Reservation, error) {
		return l.Reserve(now, Demand{Principals: []Principal{p}, Input: 10, Output: output, Least: 1})
	}
	join := func() *Ledger {
		l := New(nil, nil)
		l.Join(store.lease())
		return l
	}
	one, two, dead := join(), join(), join()
	r, err := ask(one, 1000)
	if err != nil || r.Output() != 1000 {
		t.Fatalf("%v", err)
	}
	r.Settle(10, 400)
	if _, err := ask(dead, 1000); err != nil {
		t.Fatal(err)
	}
	if err := one.GiveBack(context.Background(), now); err != nil {
		t.Fatal(err)
	}
	r, err = ask(two, 10_000)
	if want := int64(6_400 - 400 - 1000 - 100); err != nil || r.Output() != want { // 100: what the dead one took beyond its need
		t.Fatalf("%v, %+v; wanted %d", err, r, want)
	}
	var met *Exceeded
	if _, err := ask(one, 1); !errors.As(err, &met) || met.Cap != 6_400 {
		t.Errorf("%v", err)
	}
	store.fails = 1
	if _, err := ask(join(), 1); !errors.Is(err, ErrLease) {
		t.Errorf("without a store: %v", err)
	}
}

// stuck is a store that answers nothing until it is told to.
type stuck struct {
	common
	asks  atomic.Int64
	free  chan struct{} // each lets one that asks go, without an answer
	works atomic.Bool
}

func (s *stuck) Get(ctx context.Context, key string) ([]byte, uint64, error) {
	s.asks.Add(1)
	if s.works.Load() {
		return s.common.Get(ctx, key)
	}
	<-s.free
	return nil, 0, errLost
}

// Requests do not wait one after the other for a store that does not answer: those that wait end with the first, later ones at once.
func TestSilentStore(t *testing.T) {
	now := time.Date(2026, 5, 4, 12, 0, 0, 0, time.UTC)
	store := &stuck{common: common{r: rand.New(rand.NewPCG(1, 1)), at: map[string]cell{}}, free: make(chan struct{})}
	l := New(nil, nil)
	l.Join(NewLease(store, func(err error) bool { return errors.Is(err, errChanged) }))
	p := Principal{Account, "a", Limits{Day: Amount{1000, 100_000, 6_400}, Month: Amount{Unlimited, Unlimited, Unlimited}}}
	ask := func(after time.Duration) error {
		r, err := l.Reserve(now.Add(after), Demand{Principals: []Principal{p}, Input: 10, Output: 100, Least: 1})
		if err == nil {
			r.Settle(10, 100)
		}
		return err
	}
	results := make(chan error, 32)
	for range 20 {
		go func() { results <- ask(0) }()
	}
	time.Sleep(100 * time.Millisecond) // all wait
	store.free <- struct{}{}
	for range 20 {
		select {
		case err := <-results:
			if !errors.Is(err, ErrLease) {
				t.Errorf("%v", err)
			}
		case <-time.After(10 * time.Second):
			t.Fatal("requests wait one after the other")
		}
	}
	if err := ask(dryFor / 2); !errors.Is(err, ErrLease) { // at once
		t.Errorf("%v", err)
	}
	if n := store.asks.Load(); n != 1 {
		t.Errorf("the store was asked %d times", n)
	}
	go func() { results <- ask(2 * dryFor) }()
	for store.asks.Load() < 2 {
		time.Sleep(time.Millisecond)
	}
	if err := ask(2 * dryFor); !errors.Is(err, ErrLease) { // while another asks
		t.Errorf("%v", err)
	}
	store.works.Store(true)
	store.free <- struct{}{}
	if err := <-results; !errors.Is(err, ErrLease) {
		t.Errorf("%v", err)
	}
	if err := ask(4 * dryFor); err != nil {
		t.Errorf("the store answers again: %v", err)
	}
	if err := ask(4 * dryFor); err != nil {
		t.Errorf("and others go on: %v", err)
	}
}

// A request that asks for more than any of its caps holds gets what the smallest holds, wherever the rest was taken; what it did
// not draw others have after a trim.
func TestSmallCaps(t *testing.T) {
	now := time.Date(2026, 5, 4, 12, 0, 0, 0, time.UTC)
	store := &common{r: rand.New(rand.NewPCG(1, 1)), at: map[string]cell{}}
	free := Amount{Unlimited, Unlimited, Unlimited}
	d := Demand{Principals: []Principal{{Account, "a", Limits{Day: Amount{Unlimited, Unlimited, 4_000}, Month: free}}, CampaignDay("c", 3_000)}, Input: 10, Output: 16_384, Least: 1}
	var ledgers []*Ledger
	for range 3 {
		l := New(nil, nil)
		l.Join(store.lease())
		ledgers = append(ledgers, l)
	}
	left := int64(3_000)
	for round := range 30 {
		l := ledgers[round%3]
		r, err := l.Reserve(now, d)
		if err != nil {
			t.Fatalf("round %d: %v", round, err)
		}
		if r.Output() > left || r.Output() < left-2*3_000/part {
			t.Fatalf("round %d: %d of %d granted", round, r.Output(), left)
		}
		r.Settle(10, 40)
		left -= 40
		if err := l.Trim(context.Background(), now); err != nil {
			t.Fatal(err)
		}
		now = now.Add(dryFor)
	}
}
