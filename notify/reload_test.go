package notify

import (
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/palladium-guard/palladium/store/catalog"
)

// sinks is a configuration with a webhook for each receiver.
func sinks(to map[string]*receiver) (c Config) {
	for name, r := range to {
		c.Sinks = append(c.Sinks, Sink{Name: name, Allow: []string{"127.0.0.0/8"}, Timeout: time.Second, Webhook: &Webhook{URL: r.URL, SecretEnv: "NOTIFY_TEST_SECRET", InsecureHTTP: true}})
	}
	return c
}

func take(t *testing.T, n *Notifier, to map[string]*receiver) {
	t.Helper()
	if err := n.Take(sinks(to)); err != nil {
		t.Fatal(err)
	}
}

func happen(t *testing.T, cat *catalog.Store, id string) {
	t.Helper()
	if err := cat.Append(t.Context(), staged(id)); err != nil {
		t.Fatal(err)
	}
}

// once makes sure that a receiver was told as often as there were events, and of none twice.
func once(t *testing.T, name string, r *receiver, want int) {
	t.Helper()
	ids, _ := r.got()
	seen := map[string]bool{}
	for _, id := range ids {
		if seen[id] {
			t.Errorf("%s was told twice of %s", name, id)
		}
		seen[id] = true
	}
	if len(seen) != want {
		t.Errorf("%s was told of %d events, not %d", name, len(seen), want)
	}
}

// Sinks come and go while events happen and attempts are under way: who stays is told of each event once, who comes of each that
// happens afterwards.
func TestSinksComeAndGo(t *testing.T) {
	secret := NewSecret()
	t.Setenv("NOTIFY_TEST_SECRET", secret)
	stays, comes, cat := newReceiver(t, secret), newReceiver(t, secret), openCatalog(t)
	n := openQuick(t, cat, sinks(map[string]*receiver{"stays": stays}))
	n.pace.mark = 10 * time.Second // a lease that ran out would tell twice, and is not what is tried here
	if err := n.gather(t.Context()); err != nil {
		t.Fatal(err)
	}
	stop := runs(t, n)
	defer stop()
	var all atomic.Int64
	busy, end, done := make(chan struct{}), make(chan struct{}), make(chan struct{})
	go func() { // events without a pause
		defer close(done)
		for i := range 400 {
			if cat.Append(t.Context(), staged(fmt.Sprintf("c%03d", i))) != nil {
				return
			}
			if all.Add(1) == 10 {
				close(busy)
			}
			select {
			case <-end:
				return
			default:
			}
		}
	}()
	<-busy
	for range 5 { // nothing but the secrets is read again
		take(t, n, map[string]*receiver{"stays": stays})
	}
	take(t, n, map[string]*receiver{"stays": stays, "comes": comes})
	before := all.Load()
	take(t, n, map[string]*receiver{"stays": stays, "comes": comes})
	for range 10 {
		happen(t, cat, "after")
		all.Add(1)
	}
	close(end)
	<-done
	until(t, "who stays to be told of all", func() bool { ids, _ := stays.got(); return int64(len(ids)) >= all.Load() })
	until(t, "nothing to wait", func() bool { k, err := n.Waiting(t.Context(), ""); return err == nil && k == 0 })
	time.Sleep(30 * time.Millisecond)
	once(t, "who stays", stays, int(all.Load()))
	if ids, _ := comes.got(); int64(len(ids)) < all.Load()-before-1 {
		t.Errorf("who came was told of %d events, with %d after it came", len(ids), all.Load()-before)
	} else {
		once(t, "who came", comes, len(ids))
	}
	for _, f := range n.Figures() {
		if ids, _ := stays.got(); f.Sink == "stays" && (f.Sent != int64(len(ids)) || f.Failed != 0) {
			t.Errorf("figures after reloads: %+v", f)
		}
	}
}

// Who goes is told of nothing more, what it was not told waits for it, and who is told again is not told of what was meanwhile.
func TestASinkThatGoesAndComesAgain(t *testing.T) {
	secret := NewSecret()
	t.Setenv("NOTIFY_TEST_SECRET", secret)
	r, cat := newReceiver(t, secret), openCatalog(t)
	r.set(503)
	n := openQuick(t, cat, sinks(map[string]*receiver{"soc": r}))
	if err := n.gather(t.Context()); err != nil {
		t.Fatal(err)
	}
	stop := runs(t, n)
	defer stop()
	happen(t, cat, "waits")
	until(t, "attempts that fail", func() bool { f := n.Figures()[0]; return f.Failed > 1 && f.Retried > 0 })
	if f := n.Figures()[0]; f.Sent != 0 {
		t.Errorf("figures while it fails: %+v", f)
	}
	take(t, n, nil)
	happen(t, cat, "missed")
	until(t, "the event to be passed over", func() bool {
		last, _ := cat.LastEvent(t.Context())
		mark, err := cat.Mark(t.Context(), markName)
		return err == nil && mark == last+1
	})
	var ids []string
	until(t, "no attempt after the one that was under way", func() bool {
		before, _ := r.got()
		time.Sleep(100 * time.Millisecond)
		ids, _ = r.got()
		return len(ids) == len(before)
	})
	if k, err := n.Waiting(t.Context(), "soc"); err != nil || k != 1 {
		t.Errorf("%d wait for who has gone, not 1: %v", k, err)
	}
	r.set(0)
	take(t, n, map[string]*receiver{"soc": r})
	happen(t, cat, "later")
	until(t, "what waited and what is new", func() bool { return n.Figures()[0].Sent == 2 })
	until(t, "nothing to wait", func() bool { k, err := n.Waiting(t.Context(), "soc"); return err == nil && k == 0 })
	now, _ := r.got()
	if first := now[len(now)-2]; first != ids[0] {
		t.Errorf("what waited came as %s, not as %s", first, ids[0])
	}
}

// A configuration that cannot be taken leaves the one before in force.
func TestAWrongConfigurationIsNotTaken(t *testing.T) {
	secret := NewSecret()
	t.Setenv("NOTIFY_TEST_SECRET", secret)
	r, cat := newReceiver(t, secret), openCatalog(t)
	n := openQuick(t, cat, sinks(map[string]*receiver{"soc": r}))
	if err := n.gather(t.Context()); err != nil {
		t.Fatal(err)
	}
	stop := runs(t, n)
	defer stop()
	wrong := sinks(map[string]*receiver{"soc": r, "other": r})
	wrong.Sinks[0].Webhook.SecretEnv = "NOTIFY_TEST_NOWHERE"
	if err := n.Take(wrong); err == nil {
		t.Fatal("a secret that is nowhere was taken")
	}
	happen(t, cat, "c1")
	until(t, "told by what stands", func() bool { f := n.Figures(); return len(f) == 1 && f[0].Sent == 1 })
}
