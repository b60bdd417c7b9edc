package stream

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"sync"
	"testing"
	"time"

	"github.com/palladium-guard/palladium"
)

// keeper is a Handler that keeps what it is given.
type keeper struct {
	mu     sync.Mutex
	ids    []uint64
	last   palladium.Observation
	about  []palladium.Account
	names  map[uint64]string
	at     Position
	memory Memory
	until  int // observations after which Position ends the reading; 0: never
}

var errEnough = errors.New("enough")

func (k *keeper) Memory() *Memory { return &k.memory }

func (k *keeper) Describe(a *palladium.Account) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.about = append(k.about, *a)
}

func (k *keeper) NameModel(hash uint64, name string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.names == nil {
		k.names = map[uint64]string{}
	}
	k.names[hash] = name
}

func (k *keeper) Observe(o *palladium.Observation) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.ids = append(k.ids, o.ID)
	k.last = *o
}

func (k *keeper) Position(at Position) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.at = at
	if k.until > 0 && len(k.ids) >= k.until {
		return errEnough
	}
	return nil
}

// observation is the nth of a series.
func observation(n uint64) *palladium.Observation {
	o := &palladium.Observation{ID: n, Time: 1_700_000_000_000 + int64(n), Account: fmt.Sprint("account-", n%7), Prompt: n * 3, SimHash: ^n, IP: n, Turns: 3, Words: 12}
	for i := range o.MinHash {
		o.MinHash[i] = byte(n) + byte(i)
	}
	for i := range uint64(20) {
		o.Shingles = append(o.Shingles, n<<8|i)
		o.Terms = append(o.Terms, uint16(i))
	}
	o.Outcome = palladium.Outcome{Status: 200, Finish: "stop", MS: 12.5}
	o.Usage = palladium.Usage{Input: 10, Output: int64(n)}
	return o
}

// patient is the context of a test that must not take long.
func patient(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	t.Cleanup(cancel)
	return ctx
}

func open(t *testing.T, c Config) *Stream {
	t.Helper()
	s, err := Open(patient(t), c, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

func TestFirst(t *testing.T) {
	s := open(t, Config{Dir: t.TempDir()})
	ctx := patient(t)
	p := s.Publisher("test")
	const n = 10_000
	p.NameModel(5, "five")
	p.Describe(&palladium.Account{ID: "account-1", Plan: "free", Created: time.Unix(1_600_000_000, 5).UTC(), Verified: []string{"email"}})
	for i := range uint64(n) {
		p.Observe(observation(i + 1))
	}
	if err := p.Flush(ctx); err != nil {
		t.Fatal(err)
	}
	k := &keeper{until: n}
	if err := s.Read(ctx, 0, k); !errors.Is(err, errEnough) {
		t.Fatal(err)
	}
	for i, id := range k.ids {
		if id != uint64(i)+1 {
			t.Fatalf("observation %d is %d", i, id)
		}
	}
	if !reflect.DeepEqual(&k.last, observation(n)) {
		t.Errorf("%+v", k.last)
	}
	t.Log(k.about, k.names, k.at)
	t.Log(s.Health())
	if last, err := s.Last(ctx); err != nil || last != k.at {
		t.Error(last, err)
	}
	if err := s.Release(ctx, "a", k.at); err != nil {
		t.Error(err)
	}
	for i := range 3 {
		if err := s.Put(ctx, "verdicts", uint64(i+1), make([]byte, 1000_000*i)); err != nil {
			t.Error(err)
		}
	}
	if err := s.Put(ctx, "verdicts", 2, nil); !errors.Is(err, ErrOlder) {
		t.Error(err)
	}
	w, stop := context.WithCancel(ctx)
	_ = s.Watch(w, "verdicts", func(v uint64, data []byte) { t.Log(v, len(data)); stop() })
	err := s.Lead(ctx, "detector", "me", time.Second, func(ctx context.Context) error { t.Log("term", Term(ctx)); return errEnough })
	if !errors.Is(err, errEnough) {
		t.Error(err)
	}
}

func BenchmarkStream(b *testing.B) {
	s, err := Open(b.Context(), Config{Dir: b.TempDir()}, nil)
	if err != nil {
		b.Fatal(err)
	}
	defer s.Close()
	var some []*palladium.Observation
	for i := range uint64(256) {
		some = append(some, observation(i))
	}
	p := s.Publisher("bench")
	done := make(chan error, 1)
	n := b.N
	go func() { done <- s.Read(b.Context(), 0, &counter{until: n}) }()
	b.ResetTimer()
	for i := range n {
		if err := p.ObserveWait(b.Context(), some[i%len(some)]); err != nil {
			b.Fatal(err)
		}
	}
	if err := p.Flush(b.Context()); err != nil {
		b.Fatal(err)
	}
	if err := <-done; !errors.Is(err, errEnough) {
		b.Fatal(err)
	}
	b.ReportMetric(float64(n)/b.Elapsed().Seconds(), "observations/s")
}

type counter struct{ n, until int }

func (c *counter) Describe(*palladium.Account)    {}
func (c *counter) NameModel(uint64, string)       {}
func (c *counter) Observe(*palladium.Observation) { c.n++ }
func (c *counter) Position(Position) error {
	if c.n >= c.until {
		return errEnough
	}
	return nil
}
