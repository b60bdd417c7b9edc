// Package demo plays a made-up world through a running system as real HTTP, and tells what becomes of it: a campaign among
// honest accounts is found, explained and contained.
package demo

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
	"time"

	"github.com/palladium-guard/palladium"
	"github.com/palladium-guard/palladium/app"
	"github.com/palladium-guard/palladium/app/live"
	"github.com/palladium-guard/palladium/app/serve"
	"github.com/palladium-guard/palladium/world"
	"github.com/palladium-guard/palladium/world/drive"
)

// Options say how the demo is played.
type Options struct {
	Dir     string // for all that is written; made if need be
	Seed    uint64
	Shadow  bool          // decide, and enforce nothing
	After   time.Duration // of the world's time that is played after a campaign came to act; 0 means until the world ends
	Limit   time.Duration // of wall time, for all that is played; 0 means none
	Listen  string        // for callers; a free port of 127.0.0.1 when empty
	API     string        // for the operator; a free port of 127.0.0.1 when empty
	Log     io.Writer     // of the system
	Clients int           // requests in flight; 0 means 16
	// Welcome is told how to enter the console. May be nil.
	Welcome func(origin, token string)
	// Found is told of each round of policy, from another goroutine. May be nil.
	Found func(*palladium.Report, live.Acted)
}

// Outcome is what became of the world so far.
type Outcome struct {
	At     time.Time         // the world's time
	Report *palladium.Report // the last one; nil before the first
	Act    time.Time         // the world's time at which a campaign came to act; zero if none did
	Wall   time.Duration     // from the first request to that, or to now
	Before drive.Tally       // up to then, or to now
	After  drive.Tally       // from then on
	Fakes  int               // accounts of the campaign
	Caught int               // of them, under a measure that touches them
	Honest int               // honest accounts under a measure that touches them
	Told   int               // accounts under a measure
	Shadow bool              // no measure is enforced
}

// Drawn is what the campaign got after it came to act, as a share of what it would have got with nobody in the way.
func (o *Outcome) Drawn() float64 {
	if o.After.Campaign.InStore == 0 {
		return 0
	}
	return float64(o.After.Campaign.Tokens) / float64(o.After.Campaign.InStore)
}

// Running is a system that is up, with a world before it.
type Running struct {
	Addresses serve.Addresses
	Key       string // of an honest account, to try the gateway with
	Accounts  int
	Truth     *world.Truth

	o       Options
	pace    *pace
	world   *world.World
	player  *drive.Player
	secrets map[string]string
	stop    context.CancelFunc
	ended   chan error
	cleanup []func()

	mu     sync.Mutex // guards what follows
	report *palladium.Report
	hit    map[string]bool // accounts that a measure touches
	act    time.Time
	wall   time.Duration
	before drive.Tally
	begun  time.Time
	over   context.CancelFunc // ends the world
}

// Start starts the model, the system and the world; Play plays it. Close ends all of it.
func Start(ctx context.Context, o Options) (_ *Running, err error) {
	r := &Running{o: o, pace: &pace{clock: app.NewClock()}, hit: map[string]bool{}, secrets: map[string]string{}, ended: make(chan error, 1)}
	defer func() {
		if err != nil {
			err = errors.Join(err, r.Close())
		}
	}()
	if err := os.MkdirAll(o.Dir, 0o700); err != nil {
		return nil, fmt.Errorf("make the demo's folder: %w", err)
	}
	s, ok := world.Preset("demo")
	if !ok {
		return nil, errors.New("find the scenario demo: the program carries none of that name")
	}
	s.Seed = o.Seed
	if r.world, err = world.New(s, world.OwnCorpus(o.Seed)); err != nil {
		return nil, err
	}
	r.Truth = r.world.Truth()
	model := drive.NewModel()
	upstream, err := r.serveModel(model)
	if err != nil {
		return nil, err
	}
	if err := errors.Join(r.writeAccounts(), r.writeKeys(), r.configure(upstream)); err != nil {
		return nil, err
	}
	r.player = drive.New(model, drive.Options{Clients: o.Clients, Key: func(account string) string { return r.secrets[account] }, Wait: r.wait})
	r.pace.player = r.player
	if err := r.serve(ctx); err != nil {
		return nil, err
	}
	r.player.Aim("http://" + r.Addresses.Callers)
	return r, nil
}

// Play plays the world until it is over, or for as long as Options.After and Options.Limit say once a campaign came to act.
func (r *Running) Play(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	r.mu.Lock()
	r.begun, r.over = time.Now(), cancel
	r.mu.Unlock()
	played := make(chan error, 1)
	go func() { played <- r.player.Play(ctx, r.world) }()
	select {
	case err := <-played:
		if errors.Is(err, context.Canceled) && r.done() {
			return nil
		}
		return err
	case err := <-r.ended:
		cancel()
		<-played
		r.ended <- err
		return errors.Join(errors.New("the system ended while the world was played"), err)
	}
}

// done reports whether the world has gone on for long enough. It is never over before a campaign came to act.
func (r *Running) done() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.act.IsZero() {
		return false
	}
	return r.o.After > 0 && r.player.Clock().Now().Sub(r.act) >= r.o.After || r.o.Limit > 0 && time.Since(r.begun) >= r.o.Limit
}

// wait is called before each exchange of the world, and holds the world's clock where it must: see pace.
func (r *Running) wait(ctx context.Context, at time.Time) {
	r.pace.wait(ctx, at)
	if r.done() {
		r.mu.Lock()
		over := r.over
		r.mu.Unlock()
		over()
	}
}

// found notes what policy did.
func (r *Running) found(rep *palladium.Report, a live.Acted) {
	r.mu.Lock()
	r.report = rep
	for i := range rep.Campaigns {
		if rep.Campaigns[i].Stage == palladium.StageAct && r.act.IsZero() {
			r.act, r.wall, r.before = r.player.Clock().Now(), time.Since(r.begun), r.player.Tally()
		}
	}
	for i := range a.Decided {
		d := &a.Decided[i]
		if d.Measure == palladium.MeasureObserve {
			continue
		}
		for j := range rep.Campaigns {
			if rep.Campaigns[j].ID == d.Campaign {
				for _, m := range rep.Campaigns[j].Accounts {
					r.hit[m.ID] = true
				}
			}
		}
	}
	r.mu.Unlock()
	r.pace.acted(rep.Counts.Exchanges, len(a.Decided)+len(a.Withdrawn) > 0)
	if r.o.Found != nil {
		r.o.Found(rep, a)
	}
}

// Outcome returns what became of the world so far.
func (r *Running) Outcome() Outcome {
	now := r.player.Tally()
	r.mu.Lock()
	defer r.mu.Unlock()
	o := Outcome{At: r.player.Clock().Now(), Report: r.report, Act: r.act, Wall: r.wall, Before: r.before, Told: len(r.hit), Shadow: r.o.Shadow}
	if r.act.IsZero() {
		o.Before = now
		if !r.begun.IsZero() {
			o.Wall = time.Since(r.begun)
		}
	} else {
		o.After = now.Since(r.before)
	}
	for i := range r.Truth.Campaigns {
		for _, a := range r.Truth.Campaigns[i].Accounts {
			o.Fakes++
			if r.hit[a] {
				o.Caught++
			}
		}
	}
	o.Honest = o.Told - o.Caught
	return o
}

// Close ends the system in good order, and then what stands behind it.
func (r *Running) Close() error {
	var err error
	if r.stop != nil {
		r.stop()
		err = <-r.ended
	}
	for i := len(r.cleanup) - 1; i >= 0; i-- {
		r.cleanup[i]()
	}
	return err
}
