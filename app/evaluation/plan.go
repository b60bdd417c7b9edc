package evaluation

import (
	"fmt"
	"math"
	"math/rand/v2"
	"time"

	"github.com/palladium-guard/palladium/internal/stats"
	"github.com/palladium-guard/palladium/world"
)

// Size is how much is played. The figures for the record are those of Full.
type Size int

// The sizes.
const (
	Full  Size = iota // half an hour on two cores
	Quick             // about a minute: does it work?
	Tiny              // seconds: tests of this package
)

// extent is a Size in numbers.
type extent struct {
	cells      int // of the grid of text, camouflage and network, at most
	repeats    int // of each cell; the last one under another operator's logging
	specials   int // repeats of the special campaigns
	perWorld   int // campaigns in one world
	most       int // accounts of a campaign of the grid, at most
	benign     int // accounts of a world with campaigns
	days       float64
	crowd      int // honest accounts of the world of hard negatives
	crowdDays  float64
	controls   int // seeds of each negative control
	controlled int // honest accounts there
}

func (s Size) extent() extent {
	switch s {
	case Quick:
		return extent{cells: 12, repeats: 1, specials: 0, perWorld: 4, most: 250, benign: 2500, days: 12, crowd: 10_000, crowdDays: 5, controls: 1, controlled: 1500}
	case Tiny:
		return extent{cells: 2, repeats: 1, specials: 0, perWorld: 2, most: 70, benign: 300, days: 7, crowd: 400, crowdDays: 2, controls: 1, controlled: 200}
	}
	return extent{cells: 1 << 20, repeats: 3, specials: 3, perWorld: 3, most: 250, benign: 8000, days: 14, crowd: 200_000, crowdDays: 10, controls: 5, controlled: 6000}
}

// kind is what a world is played for.
type kind int

const (
	kindSweep   kind = iota // campaigns of every sort
	kindCrowd               // many honest accounts, few campaigns
	kindControl             // nothing to be found
)

// play is one world of the plan.
type play struct {
	kind      kind
	scenario  world.Scenario
	about     []cell // of each campaign of a sweep
	bare      bool   // also without identity and network
	baselines bool
}

// cell says what a campaign of the sweep varies.
type cell struct {
	Text       string
	Camouflage float64
	Network    string // how much identity and network give away
	Special    string // empty for a campaign of the grid
	Style      string // of logging
}

// How much a campaign's identity and network give away.
const (
	shown  = "shared"      // a few addresses and cards for all, one e-mail pattern
	partly = "data centre" // an address in a data centre and a virtual card for each account
	clean  = "residential" // sticky or rotating residential addresses, identities as honest ones
)

// Whose logging a world has.
const (
	styleFull   = "full"   // everything but half of the answers
	styleRandom = "random" // drawn: fields missing, other rates, other people
)

func cameos() []float64  { return []float64{0, 0.2, 0.5, 0.8} }
func networks() []string { return []string{shown, partly, clean} }
func texts() []string {
	return []string{world.TextTemplate, world.TextParaphrased, world.TextGenerated, world.TextQueue}
}

// special is a tactic outside the grid.
type special struct {
	name   string
	change func(c *world.CampaignSpec)
}

func specials() []special {
	return []special{
		{"persona camouflage, half", func(c *world.CampaignSpec) { c.Cover, c.Camouflage, c.Rate = world.CoverPersona, 0.5, 20 }},
		{"sweep of logit_bias", func(c *world.CampaignSpec) { c.Probe, c.Rate = 0.9, 40 }},
		{"moves to a new model", func(c *world.CampaignSpec) { c.Pivot, c.Text = true, world.TextGenerated }},
		{"grades its own answers", func(c *world.CampaignSpec) { c.Grade, c.Text, c.MultiTurn = 0.3, world.TextGenerated, 0.2 }},
		{"declares one organisation", func(c *world.CampaignSpec) { c.Organization = world.OrganizationSame }},
		{"poses as start-ups", func(c *world.CampaignSpec) { c.Organization = world.OrganizationStartup }},
		{"one narrow domain", func(c *world.CampaignSpec) { c.Narrow = true }},
		{"all clean, generated, jitter 1 h", func(c *world.CampaignSpec) {
			c.Text, c.Network, c.Identity, c.Client, c.Age = world.TextGenerated, world.NetworkRotating, world.IdentityClean, world.ClientSpoofed, world.AgeSpread
			c.Email, c.Scheduler, c.Jitter, c.Failover, c.Cues = world.EmailClean, world.SchedulerRandom, time.Hour, 0, false
		}},
	}
}

// plan lists the worlds that the sections need. Their seeds are opt.Seed and those after it, in blocks that do not
// meet, so that a section alone gives the same worlds as all of them.
func plan(opt *Options) []play {
	x := opt.Size.extent()
	var out []play
	if opt.wants(Negatives) || opt.wants(Calibration) {
		out = append(out, crowd(x, opt.Seed+500))
	}
	if opt.wants(Campaigns) || opt.wants(Baselines) || opt.wants(Calibration) {
		out = append(out, sweep(x, opt.Seed)...)
	}
	if opt.wants(Controls) || opt.wants(Calibration) {
		out = append(out, controls(x, opt.Seed+600)...)
	}
	return out
}

// hypercube draws n points of [0,1)^dims so that every coordinate takes each n-th part of its range once
// (McKay, Beckman and Conover 1979).
func hypercube(n, dims int, r *rand.Rand) [][]float64 {
	out := make([][]float64, n)
	for i := range out {
		out[i] = make([]float64, dims)
	}
	for d := range dims {
		for i, k := range r.Perm(n) {
			out[i][d] = (float64(k) + r.Float64()) / float64(n)
		}
	}
	return out
}

// sweep is the grid of text, camouflage and network, with all other knobs as a Latin hypercube, and the special
// tactics; several campaigns share a world.
func sweep(x extent, seed uint64) []play {
	r := stats.Rand(seed, 0x57ee)
	var out []play
	for k := range x.repeats {
		style := styleFull
		if k > 0 && k == x.repeats-1 {
			style = styleRandom
		}
		var cells []cell
		for _, t := range texts() {
			for _, m := range cameos() {
				for _, n := range networks() {
					cells = append(cells, cell{Text: t, Camouflage: m, Network: n, Style: style})
				}
			}
		}
		r.Shuffle(len(cells), func(i, j int) { cells[i], cells[j] = cells[j], cells[i] })
		cells = cells[:min(len(cells), x.cells)]
		specs := make([]world.CampaignSpec, len(cells))
		for i, u := range hypercube(len(cells), knobs, r) {
			specs[i] = gridCampaign(cells[i], u, x)
		}
		out = append(out, worlds(x, seed+uint64(len(out)), cells, specs)...)
	}
	var cells []cell
	var specs []world.CampaignSpec
	list := specials()
	for i, u := range hypercube(len(list)*x.specials, knobs, r) {
		s := list[i%len(list)]
		c := cell{Text: world.TextTemplate, Network: partly, Style: styleFull}
		spec := gridCampaign(c, u, x)
		s.change(&spec)
		c.Text, c.Special, c.Camouflage = spec.Text, s.name, spec.Camouflage
		cells, specs = append(cells, c), append(specs, spec)
	}
	return append(out, worlds(x, seed+uint64(len(out)), cells, specs)...)
}

// knobs is how many numbers a campaign is drawn from, at most.
const knobs = 14

// gridCampaign draws a campaign of the cell from u: 60 to x.most accounts that send 48 prompts each or more on average,
// camouflage included.
func gridCampaign(c cell, u []float64, x extent) world.CampaignSpec {
	at := 0
	next := func() float64 { at++; return u[at-1] }
	word := func(words ...string) string { return words[int(next()*float64(len(words)))] }
	number := func(numbers ...float64) float64 { return numbers[int(next()*float64(len(numbers)))] }
	s := world.CampaignSpec{Text: c.Text, Camouflage: c.Camouflage, Cover: world.CoverPooled}
	s.Accounts = int(60 * math.Pow(float64(x.most)/60, next()))
	s.Days = min(8+4*next(), x.days-2)
	s.Start = 0.5 + next()
	least := 48 / s.Days
	s.Rate = least * math.Pow(25/least, next())
	s.Scheduler = word(world.SchedulerLRU, world.SchedulerLRU, world.SchedulerRandom, world.SchedulerQuota)
	s.Jitter = time.Duration(number(0, 1, 10, 60)) * time.Minute
	s.Failover = number(0, 0.005, 0.02)
	s.Rhythm = next()
	s.MultiTurn = number(0, 0.1, 0.4)
	s.Client = word(world.ClientSDK, world.ClientPopular, world.ClientSpoofed)
	s.Age = word(world.AgeBurst, world.AgeAged, world.AgeSpread)
	s.Cues = next() < 0.5
	if forms := next(); c.Text == world.TextTemplate {
		s.Forms = []int{1, 3, 10, 40}[int(4*forms)]
	}
	switch c.Network {
	case shown:
		s.Network, s.Identity, s.Email = world.NetworkShared, world.IdentityShared, world.EmailBatch
	case partly:
		s.Network, s.Identity, s.Email = world.NetworkDatacenter, world.IdentityVirtual, world.EmailClean
	default:
		s.Network, s.Identity, s.Email = word(world.NetworkSticky, world.NetworkRotating), world.IdentityClean, world.EmailClean
	}
	return s
}

// worlds deals campaigns to worlds of x.perWorld each, in order; all of a call have one style.
func worlds(x extent, seed uint64, cells []cell, specs []world.CampaignSpec) []play {
	var out []play
	for i := 0; i < len(cells); i += x.perWorld {
		end := min(i+x.perWorld, len(cells))
		n := seed + uint64(len(out))
		s := world.Scenario{Name: fmt.Sprintf("campaigns %d", n), Seed: n, Days: x.days, Release: x.days / 2,
			Benign: world.Population(x.benign), Style: world.DefaultStyle(), Campaigns: specs[i:end:end]}
		if cells[i].Style == styleRandom {
			s.Style = world.RandomStyle(n)
			s.Style.Rate = min(s.Style.Rate, 1.25) // for the time it takes
		}
		out = append(out, play{kind: kindSweep, scenario: s, about: cells[i:end:end], bare: true, baselines: true})
	}
	return out
}

// crowd is a world of all honest classes with a handful of campaigns, as rare as they are.
func crowd(x extent, seed uint64) play {
	s := world.Scenario{Name: "crowd", Seed: seed, Days: x.crowdDays, Release: x.crowdDays / 2, Benign: world.Population(x.crowd), Style: world.DefaultStyle()}
	base := world.CampaignSpec{Accounts: 100, Rate: 12, Start: 1, Text: world.TextTemplate, Cues: true, Failover: 0.01, Network: world.NetworkDatacenter,
		Identity: world.IdentityVirtual, Age: world.AgeBurst}
	for _, change := range []func(c *world.CampaignSpec){
		func(*world.CampaignSpec) {},
		func(c *world.CampaignSpec) {
			c.Text, c.Accounts, c.Network, c.Identity, c.Cues = world.TextGenerated, 300, world.NetworkSticky, world.IdentityClean, false
		},
		func(c *world.CampaignSpec) {
			c.Text, c.Camouflage, c.Rate, c.Jitter = world.TextParaphrased, 0.5, 20, 10*time.Minute
		},
		func(c *world.CampaignSpec) {
			c.Text, c.Accounts, c.Cues, c.Network = world.TextQueue, 60, false, world.NetworkRotating
		},
		func(c *world.CampaignSpec) {
			c.Accounts, c.Rate, c.Scheduler, c.Age = 1000, 8, world.SchedulerQuota, world.AgeAged
		},
	} {
		c := base
		change(&c)
		c.Accounts = max(20, min(c.Accounts, x.crowd/20))
		s.Campaigns = append(s.Campaigns, c)
	}
	return play{kind: kindCrowd, scenario: s}
}

// controls are worlds in which nothing is to be found.
func controls(x extent, seed uint64) []play {
	var out []play
	for _, name := range controlNames() {
		for range x.controls {
			s, _ := world.Preset(name)
			s.Seed, s.Benign = seed+uint64(len(out)), world.Population(x.controlled)
			s.Days = min(s.Days, x.days)
			out = append(out, play{kind: kindControl, scenario: s, bare: true})
		}
	}
	return out
}

func controlNames() []string {
	return []string{"negative-control", "negative-people", "negative-lru", "quiet"}
}
