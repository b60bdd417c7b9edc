package demo

import (
	"context"
	"sync"
	"time"

	"github.com/palladium-guard/palladium/app"
	"github.com/palladium-guard/palladium/world/drive"
)

// pace holds the world's clock. The detector looks at what it has once an hour of the world, which passes here in milliseconds: while
// it looks, decides and tells the gateway, which takes what it takes in any world, hours would go by. So the clock stands from the
// exchange that begins a look until what was decided is in force. While accounts are still being added to what was decided, which
// the detector tells of between looks, it also stands for a moment every ten minutes.
type pace struct {
	player *drive.Player

	mu      sync.Mutex // guards what follows
	clock   app.Clock  // as the detector's, so that it is known which exchange begins a look
	begun   bool       // the exchange that begins a look, or the first of all, was sent last
	look    bool       // the former
	seen    int64      // observations that the gateway has made
	known   int64      // of them, those in the newest report that policy was carried out on
	changed bool       // a decision was made or withdrawn since the world went on last
	moment  time.Time  // of the world, from which on it stands for a moment
	calm    time.Time  // of the world, when it no longer does: nothing has changed for some hours
	hurried int        // times that the world went on although it should have waited
}

const (
	lookEvery = time.Hour        // of the world: the detector's default
	patience  = 10 * time.Second // that the world waits for a look at most
	enforced  = time.Second      // that a decision may take until the gateway holds to it
	moment    = 200 * time.Millisecond
	between   = 10 * time.Minute // of the world, between two moments
	unrest    = 6 * time.Hour    // of the world, after a decision
	glance    = time.Millisecond // between two glances at whether the world may go on
)

// wait is called before the exchange of the given time is sent.
func (p *pace) wait(ctx context.Context, at time.Time) {
	p.mu.Lock()
	begun, look := p.begun, p.look
	first := p.clock == app.NewClock()
	begins, _ := p.clock.Tick(at.UnixMilli(), lookEvery.Milliseconds())
	p.begun, p.look = first || begins, begins
	stands := at.Before(p.calm) && !at.Before(p.moment)
	if begins || stands {
		p.moment = at.Add(between)
	}
	p.mu.Unlock()
	if begun || begins || stands {
		p.settle(ctx, look)
	}
	if stands && !begins {
		sleep(ctx, moment)
	}
}

// settle returns once every request that was sent is answered and observed, and, after a look, what was decided on it is in force.
func (p *pace) settle(ctx context.Context, look bool) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	for !p.settled(look) {
		if !sleep(ctx, glance) {
			p.mu.Lock()
			p.hurried++
			p.mu.Unlock()
			return
		}
	}
	p.mu.Lock()
	changed := p.changed
	p.changed = p.changed && !look
	p.mu.Unlock()
	if look && changed {
		sleep(ctx, enforced)
	}
}

func (p *pace) settled(look bool) bool {
	if sent, done := p.player.Progress(); done < sent {
		return false
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.seen >= p.player.Tally().Sent && (!look || p.known >= p.seen)
}

// sleep waits for d. False: ctx has ended.
func sleep(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// observed notes that the gateway has observed an exchange.
func (p *pace) observed() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.seen++
}

// acted notes that policy was carried out on what was found among so many observations.
func (p *pace) acted(observations int64, changed bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.known = max(p.known, observations)
	if changed {
		p.changed, p.calm = true, p.player.Clock().Now().Add(unrest)
	}
}
