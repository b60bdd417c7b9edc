package stream

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// claim is the entry of a lease.
type claim struct {
	Holder string `json:"holder"`
	Nonce  string `json:"nonce"`  // of the call that holds it
	TTL    int64  `json:"ttl_ms"` // how long it holds when it is not renewed
}

// termKey is the key of a term in a context.
type termKey struct{}

// Term returns the number of the lease under which ctx was given to a function by Lead; each lease of a name has a higher
// one than those before it. Zero: ctx comes from elsewhere.
func Term(ctx context.Context) uint64 {
	n, _ := ctx.Value(termKey{}).(uint64)
	return n
}

// Lead calls lead while this process holds the lease of that name, which at any time at most one does; self says who it is
// in the log of others. The context that lead is given ends before the lease can pass to another: when it cannot be renewed
// within ttl, less a margin of a quarter for clocks of different speed and for what does not look at its context at once.
// Lead then waits for lead to return, and for the lease. When lead returns while it holds the lease, the lease is given
// up at once and Lead returns what lead has returned. It returns the error of ctx when that ends first.
func (s *Stream) Lead(ctx context.Context, name, self string, ttl time.Duration, lead func(ctx context.Context) error) error {
	if ttl < 500*time.Millisecond {
		return fmt.Errorf("lease %s: a time to live of %v is too short, use 500ms or more", name, ttl)
	}
	l := leasing{stream: s, key: "lead." + encode(name), ttl: ttl, mine: claim{Holder: self, Nonce: rand.Text(), TTL: ttl.Milliseconds()}}
	said := ""
	for {
		held, err := l.contend(ctx)
		if end := s.ended(ctx); end != nil {
			if held {
				l.giveUp()
			}
			return end
		}
		if says := text(err); says != said && says != "" {
			s.log.Warn("stream: the lease cannot be looked at, trying again", "lease", name, "error", err)
		}
		said = text(err)
		if held {
			s.log.Info("stream: leading", "lease", name, "as", self)
			lost, err := l.hold(ctx, lead)
			if end := s.ended(ctx); end != nil {
				return end
			}
			if !lost {
				return err
			}
			s.log.Warn("stream: the lease is lost", "lease", name, "error", err)
		}
		if err := s.wait(ctx, min(ttl/20, 250*time.Millisecond)); err != nil {
			return err
		}
	}
}

// leasing is one call of Lead.
type leasing struct {
	stream   *Stream
	key      string
	ttl      time.Duration
	mine     claim
	revision uint64    // of the claim of mine
	until    time.Time // the lease is mine before, by the monotonic clock

	other uint64    // revision of another's claim
	since time.Time // when that was seen first
}

// contend takes the lease if nobody has it or its holder has not renewed it for its time to live. That is measured here,
// from when the renewal was seen, so that clocks need not agree.
func (l *leasing) contend(ctx context.Context) (held bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, l.ttl)
	defer cancel()
	kv, err := l.stream.keys(ctx, leases)
	if err != nil {
		return false, err
	}
	defer func() { l.stream.lose(leases, err) }()
	soon, stop := context.WithTimeout(ctx, l.ttl/4) // any copy answers, and another is asked where one does not
	defer stop()
	e, err := kv.Get(soon, l.key)
	switch {
	case errors.Is(err, jetstream.ErrKeyNotFound):
		return l.claim(ctx, kv, 0)
	case err != nil:
		return false, fmt.Errorf("look at the lease: %w", err)
	}
	var c claim
	if err := json.Unmarshal(e.Value(), &c); err != nil {
		return false, fmt.Errorf("read the lease: %w", err)
	}
	if e.Revision() != l.other {
		l.other, l.since = e.Revision(), time.Now()
	}
	if c.TTL > 0 && time.Since(l.since) < time.Duration(c.TTL)*time.Millisecond {
		return false, nil
	}
	return l.claim(ctx, kv, e.Revision())
}

// claim writes the claim in place of the one of that revision, and notes how long it holds.
func (l *leasing) claim(ctx context.Context, kv jetstream.KeyValue, revision uint64) (held bool, err error) {
	b, err := json.Marshal(l.mine)
	if err != nil {
		return false, fmt.Errorf("write the lease: %w", err)
	}
	now := time.Now() // before it is sent: others count from when they see it
	got, err := set(ctx, kv, l.key, b, revision)
	if conflict(err) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("write the lease: %w", err)
	}
	l.revision, l.until = got, now.Add(l.ttl-l.ttl/4)
	return true, nil
}

// hold runs lead and renews the lease until either ends. lost: the lease ended first; the error says why.
func (l *leasing) hold(ctx context.Context, lead func(context.Context) error) (lost bool, err error) {
	work, cancel := context.WithCancel(context.WithValue(ctx, termKey{}, l.revision))
	defer cancel()
	done := make(chan error, 1)
	go func() { done <- lead(work) }()
	end := time.NewTimer(time.Until(l.until))
	defer end.Stop()
	renewed := make(chan renewal, 1)
	renewing := false
	renew := time.NewTicker(l.ttl / 6)
	defer renew.Stop()
	leave := func(why error) (bool, error) {
		cancel()
		<-done
		return true, why
	}
	for {
		select {
		case err := <-done:
			if renewing {
				l.took(<-renewed)
			}
			l.giveUp()
			return false, err
		case <-end.C:
			return leave(errors.New("it could not be renewed in time"))
		case <-l.stream.end:
			return leave(ErrClosed)
		case <-renew.C:
			if !renewing {
				renewing = true
				go func(of leasing) { renewed <- of.renew(work) }(*l)
			}
		case r := <-renewed:
			renewing = false
			if r.taken {
				return leave(errors.New("another has taken it"))
			}
			if l.took(r) {
				end.Reset(time.Until(l.until))
			}
		}
	}
}

// renewal is what became of an attempt to renew the lease.
type renewal struct {
	revision uint64 // zero: it is not renewed
	until    time.Time
	taken    bool // it is another's
}

// took notes a renewal; false where it was none.
func (l *leasing) took(r renewal) bool {
	if r.revision == 0 || r.taken {
		return false
	}
	l.revision, l.until = r.revision, r.until
	return true
}

// renew writes the claim again. It works on a copy of the lease.
func (l *leasing) renew(ctx context.Context) renewal {
	ctx, cancel := context.WithTimeout(ctx, l.ttl/4)
	defer cancel()
	kv, err := l.stream.keys(ctx, leases)
	if err != nil {
		return renewal{}
	}
	held, err := l.claim(ctx, kv, l.revision)
	if err == nil && !held { // perhaps an earlier attempt was carried out after all
		var e jetstream.KeyValueEntry
		var c claim
		if e, err = kv.Get(ctx, l.key); err == nil {
			if err = json.Unmarshal(e.Value(), &c); err == nil && c.Nonce != l.mine.Nonce && e.Revision() > l.revision {
				return renewal{taken: true}
			}
			if c.Nonce == l.mine.Nonce {
				held, err = l.claim(ctx, kv, e.Revision())
			}
		}
	}
	l.stream.lose(leases, err)
	if err != nil || !held {
		return renewal{}
	}
	return renewal{revision: l.revision, until: l.until}
}

// giveUp gives the lease back, so that another need not wait for its end.
func (l *leasing) giveUp() {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	kv, err := l.stream.keys(ctx, leases)
	if err != nil {
		return // it ends by itself
	}
	if b, err := json.Marshal(claim{}); err == nil {
		_, _ = kv.Update(ctx, l.key, b, l.revision)
	}
}
