// Package notify tells people and other systems of what happens: signed webhooks, Slack-compatible messages, Alertmanager, syslog,
// OCSF Detection Findings and mail. The catalog's events are what is told, and its deliveries are the memory of what was: an event
// goes to a sink once, is tried again until it is taken or given up, and is not told again after a restart. Only when a process dies
// between the sink's answer and the note of it is a message sent a second time, with the id of the first.
package notify

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"log/slog"
	mathrand "math/rand/v2"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/palladium-guard/palladium/store/catalog"
)

// Options set up a Notifier.
type Options struct {
	Config  Config
	Catalog *catalog.Store
	Origin  string // scheme and host of the console, for links; may be empty
	Site    string // name of the site; empty: Palladium
	Log     *slog.Logger
}

// Notifier brings events to sinks. Several processes may run one on the same catalog. Without a sink it tells nobody, and notes how
// far events have come, so that a sink that is added later is not told of what was before.
type Notifier struct {
	o    Options // all but Config, which is the workers' and changes
	pace pace

	mu    sync.Mutex // guards what follows
	tos   []*worker
	start func(*worker) // while it runs
}

// pace is how long things wait.
type pace struct {
	first, most time.Duration // between attempts: doubling from first to most
	idle        time.Duration // between looks for what is due
	mark        time.Duration // for which a lease outlives the attempt, so that its outcome can be noted
	grace       time.Duration // that an attempt has left when the process is told to end
}

// worker sends to one sink, one message after the other, until stop is called.
type worker struct {
	*target
	giveUp time.Duration
	kick   chan struct{}
	stop   func() // nil: it does not run
	*tally
}

// tally is how a sink does. It outlives the worker when the configuration changes.
type tally struct {
	mu      sync.Mutex // guards what follows
	sent    int64
	retried int64
	failed  int64
	dead    int64
	failing time.Time // since when; zero: the last attempt went well
	last    string    // error of the last attempt
}

// minAttempts is how often a message is tried at least, however old it is.
const minAttempts = 5

const markName = "notify"

// Open checks the configuration, reads the files that it names, and returns a notifier that tells nothing until it runs.
func Open(o Options) (*Notifier, error) {
	if o.Site == "" {
		o.Site = "Palladium"
	}
	n := &Notifier{o: o, pace: pace{first: 5 * time.Second, most: time.Hour, idle: 5 * time.Second, mark: 20 * time.Second, grace: 5 * time.Second}}
	if err := n.Take(o.Config); err != nil {
		return nil, err
	}
	return n, nil
}

// Take puts another configuration in force, whole or not at all, and reads the files that it names anew. What is on its way to a sink
// stays on its way under the sink's name. A sink that is new is told of what happens from then on; one that is gone is told nothing
// more, and what it was not told waits in the catalog until a sink of its name is there again.
func (n *Notifier) Take(c Config) error {
	if err := c.Check(); err != nil {
		return err
	}
	if c.GiveUp == 0 {
		c.GiveUp = 24 * time.Hour
	}
	var tos []*worker
	for i := range c.Sinks {
		t, err := open(&c.Sinks[i], n.o.Site)
		if err != nil {
			return err
		}
		tos = append(tos, &worker{target: t, giveUp: c.GiveUp, kick: make(chan struct{}, 1), tally: &tally{}})
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, was := range n.tos {
		if was.stop != nil {
			was.stop() // an attempt under way ends in order; leases keep the worker that follows from what it holds
		}
		for _, w := range tos {
			if w.sink.Name == was.sink.Name {
				w.tally = was.tally
			}
		}
	}
	n.tos = tos
	if n.start != nil {
		for _, w := range tos {
			n.start(w)
		}
	}
	return nil
}

// workers gives those of the configuration in force.
func (n *Notifier) workers() []*worker {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.tos
}

// Try sends a sample to one sink, once, and returns what came back.
func (n *Notifier) Try(ctx context.Context, name string) (string, error) {
	for _, w := range n.workers() {
		if w.sink.Name == name {
			said, err := w.send(ctx, newID(0), Sample(time.Now(), n.o.Origin))
			if err != nil {
				err = errors.New(w.hide(err.Error()))
			}
			return said, err
		}
	}
	return "", fmt.Errorf("no sink is named %q: notify.sinks of the configuration names %s", name, strings.Join(n.Names(), ", "))
}

// Names lists the sinks.
func (n *Notifier) Names() []string {
	var out []string
	for _, w := range n.workers() {
		out = append(out, w.sink.Name)
	}
	return out
}

// Run tells until ctx ends; an attempt under way then has a few seconds to end and to be noted.
func (n *Notifier) Run(ctx context.Context) {
	var all sync.WaitGroup
	n.mu.Lock()
	n.start = func(w *worker) {
		inner, stop := context.WithCancel(ctx)
		w.stop = stop
		all.Go(func() { defer stop(); n.work(inner, w) })
	}
	for _, w := range n.tos {
		n.start(w)
	}
	n.mu.Unlock()
	changed := n.o.Catalog.Changed(ctx)
	again := time.NewTicker(30 * time.Second)
	defer again.Stop()
	for failing := false; ctx.Err() == nil; {
		err := n.gather(ctx)
		if err != nil && ctx.Err() == nil && !failing {
			n.o.Log.Warn("what happened cannot be read to be told; it is tried again", "error", err)
		}
		failing = err != nil
		select {
		case <-ctx.Done():
		case <-again.C:
		case _, ok := <-changed:
			if !ok {
				changed = nil
			}
		}
	}
	n.mu.Lock()
	n.start = nil
	n.mu.Unlock()
	all.Wait()
}

// gather makes deliveries of the events since it last did. The mark is one above the last event seen, so that 0 stands for never:
// then it begins with what happens from now on.
func (n *Notifier) gather(ctx context.Context) error {
	for {
		mark, err := n.o.Catalog.Mark(ctx, markName)
		if err != nil {
			return err
		}
		if mark == 0 {
			return n.o.Catalog.Update(ctx, func(tx *catalog.Store) error {
				now, err := tx.Mark(ctx, markName)
				if err != nil || now != 0 {
					return err
				}
				last, err := tx.LastEvent(ctx)
				if err != nil {
					return err
				}
				return tx.SetMark(ctx, markName, last+1)
			})
		}
		events, err := n.o.Catalog.EventsAfter(ctx, mark-1, 200)
		if err != nil || len(events) == 0 {
			return err
		}
		var ds []catalog.Delivery
		for i := range events {
			ds = append(ds, n.deliveries(&events[i])...)
		}
		next := events[len(events)-1].Seq + 1
		err = n.o.Catalog.Update(ctx, func(tx *catalog.Store) error {
			now, err := tx.Mark(ctx, markName)
			if err != nil || now >= next { // another process was faster
				return err
			}
			if len(ds) > 0 {
				if _, err := tx.AddDeliveries(ctx, ds); err != nil {
					return err
				}
			}
			return tx.SetMark(ctx, markName, next)
		})
		if err != nil {
			return err
		}
		for _, w := range n.workers() {
			w.wake()
		}
	}
}

func (n *Notifier) deliveries(e *catalog.Event) (out []catalog.Delivery) {
	m, ok := FromEvent(e, n.o.Origin)
	if !ok {
		return nil
	}
	for _, w := range n.workers() {
		if w.sink.wants(m.Kind) {
			out = append(out, catalog.Delivery{ID: newID(e.Seq), Sink: w.sink.Name, Event: strconv.FormatInt(e.Seq, 10), Next: time.Now().UTC()})
		}
	}
	return out
}

func (w *worker) wake() {
	select {
	case w.kick <- struct{}{}:
	default:
	}
}

// work sends what is due until ctx ends. While a sink cannot be reached it waits, whatever else is due.
func (n *Notifier) work(ctx context.Context, w *worker) {
	broken := 0
	for ctx.Err() == nil {
		more, reached, err := n.one(ctx, w)
		kick, wait := w.kick, time.Duration(0)
		switch {
		case err != nil && ctx.Err() == nil:
			n.o.Log.Warn("what is to be told cannot be read or noted; it is tried again", "sink", w.sink.Name, "error", err)
			wait = n.pace.idle
		case !reached:
			broken++
			kick, wait = nil, min(n.pace.first<<min(broken-1, 6), time.Minute)
		case !more:
			wait = n.pace.idle
		}
		if reached {
			broken = 0
		}
		if wait == 0 {
			continue
		}
		select {
		case <-ctx.Done():
		case <-kick:
		case <-time.After(wait):
		}
	}
}

// one claims and sends one message. more says that there was one, reached is false when the sink could not be.
func (n *Notifier) one(ctx context.Context, w *worker) (more, reached bool, err error) {
	ds, err := n.o.Catalog.ClaimDeliveries(ctx, w.sink.Name, time.Now().UTC(), w.timeout+n.pace.mark, 1)
	if err != nil || len(ds) == 0 {
		return false, true, err
	}
	d := ds[0]
	seq, err := strconv.ParseInt(d.Event, 10, 64)
	if err != nil {
		d.Dead, d.LastError = true, "it is not known what was to be told"
		return true, true, n.note(ctx, w, d)
	}
	events, err := n.o.Catalog.EventsAfter(ctx, seq-1, 1)
	if err != nil {
		return true, true, err
	}
	var m *Message
	if len(events) == 1 && events[0].Seq == seq {
		m, _ = FromEvent(&events[0], n.o.Origin)
	}
	if m == nil {
		d.Dead, d.LastError = true, "the event is no longer in the catalog"
		return true, true, n.note(ctx, w, d)
	}
	// An attempt is not broken off when the process is told to end, so that its outcome is known.
	inner, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	stop := context.AfterFunc(ctx, func() { time.AfterFunc(n.pace.grace, cancel) })
	defer stop()
	_, err = w.send(inner, d.ID, m)
	now := time.Now().UTC()
	d.Attempts++
	if err == nil {
		d.Done, d.LastError = &now, ""
		return true, true, n.note(inner, w, d)
	}
	after := n.after(d.Attempts)
	reached = false
	var said *refusal
	if errors.As(err, &said) {
		after = max(after, said.after)
		reached = said.status < 500 && said.status != 429
	}
	d.Next, d.LastError = now.Add(after), w.hide(err.Error())
	d.Dead = said != nil && said.status == 410 || d.Attempts >= minAttempts && now.Sub(m.At) >= w.giveUp
	if d.Dead {
		d.Next = now
		n.o.Log.Error("a notification is given up", "sink", w.sink.Name, "event", seq, "attempts", d.Attempts, "error", d.LastError)
	}
	return true, reached, n.note(inner, w, d)
}

// after is how long to wait after so many attempts: half of it is fixed, half is chance.
func (n *Notifier) after(attempts int) time.Duration {
	d := min(n.pace.first<<min(attempts-1, 20), n.pace.most)
	return d/2 + mathrand.N(d/2+1)
}

// note stores how a delivery stands, and tries for as long as the lease lasts: what is not noted is sent again.
func (n *Notifier) note(ctx context.Context, w *worker, d catalog.Delivery) error {
	w.count(&d)
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), n.pace.mark/2)
	defer cancel()
	for {
		err := n.o.Catalog.PutDelivery(ctx, d)
		if err == nil || errors.Is(err, catalog.ErrNotFound) {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("note what became of a notification: %w", err)
		case <-time.After(200 * time.Millisecond):
		}
	}
}

func (w *worker) count(d *catalog.Delivery) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if d.Attempts > 1 {
		w.retried++
	}
	if d.Done != nil {
		w.sent, w.failing, w.last = w.sent+1, time.Time{}, ""
		return
	}
	w.failed++
	w.last = d.LastError
	if w.failing.IsZero() {
		w.failing = time.Now()
	}
	if d.Dead {
		w.dead++
	}
}

// Say tells every sink that wants it at once and once, past the catalog: for when the catalog itself is what fails. Nothing of it
// outlives the process.
func (n *Notifier) Say(ctx context.Context, m *Message) {
	for _, w := range n.workers() {
		if !w.sink.wants(m.Kind) {
			continue
		}
		if _, err := w.send(ctx, newID(0), m); err != nil {
			n.o.Log.Warn("a sink was not told", "sink", w.sink.Name, "kind", m.Kind, "error", w.hide(err.Error()))
		}
	}
}

// Figure is how one sink does, since the process began.
type Figure struct {
	Sink                        string
	Sent, Retried, Failed, Dead int64 // messages taken; attempts after the first; attempts that failed; messages given up
}

// Figures says how each sink does.
func (n *Notifier) Figures() []Figure {
	var out []Figure
	for _, w := range n.workers() {
		w.mu.Lock()
		out = append(out, Figure{w.sink.Name, w.sent, w.retried, w.failed, w.dead})
		w.mu.Unlock()
	}
	return out
}

// Waiting counts what is on its way to a sink, of all processes, and what still waits of a sink that is gone.
func (n *Notifier) Waiting(ctx context.Context, sink string) (int64, error) {
	return n.o.Catalog.CountDeliveries(ctx, catalog.DeliveryQuery{Sink: sink, Open: true})
}

// Health reports whether the sinks take what they are told. A message that was given up stays in what it says for a day.
func (n *Notifier) Health(ctx context.Context) (ok bool, says string) {
	tos := n.workers()
	for _, w := range tos {
		w.mu.Lock()
		since, last := w.failing, w.last
		w.mu.Unlock()
		if !since.IsZero() && time.Since(since) > time.Minute {
			return false, fmt.Sprintf("sink %s takes nothing since %s: %s", w.sink.Name, since.UTC().Format(time.RFC3339), last)
		}
	}
	q := catalog.DeliveryQuery{Dead: true}
	q.Limit = 1
	dead, _, err := n.o.Catalog.ListDeliveries(ctx, q)
	if err == nil && len(dead) > 0 && time.Since(dead[0].Next) < 24*time.Hour {
		return false, fmt.Sprintf("a message to sink %s was given up: %s; see palladium notify list --dead", dead[0].Sink, dead[0].LastError)
	}
	return true, fmt.Sprintf("%d sinks", len(tos))
}

// NewSecret makes a webhook's secret.
func NewSecret() string {
	var b [32]byte
	_, _ = rand.Read(b[:]) // never fails
	return SecretPrefix + base64.StdEncoding.EncodeToString(b[:])
}

// newID names a message: in the order of events, and unlike those of other sites.
func newID(seq int64) string { return fmt.Sprintf("msg_%012d_%s", seq, strings.ToLower(rand.Text())) }

// t0 is the time of what is only tried for its form.
func t0() time.Time { return time.Unix(0, 0) }
