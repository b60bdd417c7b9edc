package store

import (
	"context"
	"log/slog"
	"sync"
	"time"
)

// news tells subscribers of commits. Listening to other processes begins with the first subscriber.
type news struct {
	listen func(ctx context.Context, changed func()) error
	log    *slog.Logger

	mu     sync.Mutex
	subs   map[chan struct{}]func() bool
	stop   context.CancelFunc // nil until listening began
	done   chan struct{}      // closed when listening ended
	closed bool
}

// Changed gives a channel that receives after a commit by this process or another; several may count as one. It is closed
// when ctx ends or the database is closed.
func (d *DB) Changed(ctx context.Context) <-chan struct{} { return d.news.subscribe(ctx) }

func (n *news) subscribe(ctx context.Context) <-chan struct{} {
	ch := make(chan struct{}, 1)
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.closed {
		close(ch)
		return ch
	}
	if n.stop == nil {
		run, stop := context.WithCancel(context.Background())
		n.subs, n.stop, n.done = make(map[chan struct{}]func() bool), stop, make(chan struct{})
		go n.follow(run, n.done)
	}
	n.subs[ch] = context.AfterFunc(ctx, func() { n.drop(ch) })
	return ch
}

func (n *news) drop(ch chan struct{}) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if _, ok := n.subs[ch]; ok {
		delete(n.subs, ch)
		close(ch)
	}
}

// tell signals every subscriber.
func (n *news) tell() {
	n.mu.Lock()
	defer n.mu.Unlock()
	for ch := range n.subs {
		select {
		case ch <- struct{}{}:
		default:
		}
	}
}

// follow listens until ctx ends, again and again when that fails.
func (n *news) follow(ctx context.Context, done chan struct{}) {
	defer close(done)
	failing := false
	for ctx.Err() == nil {
		err := n.listen(ctx, func() { failing = false; n.tell() })
		if ctx.Err() != nil {
			return
		}
		if !failing {
			n.log.Warn("changes by other processes are not heard; trying again", "error", err)
		}
		failing = true
		select {
		case <-ctx.Done():
		case <-time.After(time.Second):
		}
	}
}

func (n *news) close() {
	n.mu.Lock()
	n.closed = true
	stop, done := n.stop, n.done
	for ch, end := range n.subs {
		end()
		delete(n.subs, ch)
		close(ch)
	}
	n.mu.Unlock()
	if stop != nil {
		stop()
		<-done
	}
}
