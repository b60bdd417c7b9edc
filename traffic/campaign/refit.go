package campaign

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/palladium-guard/palladium"
	"github.com/palladium-guard/palladium/internal/stats"
	"github.com/palladium-guard/palladium/internal/stats/cohesion"
	"github.com/palladium-guard/palladium/internal/stats/cohesion/block"
)

func groupID(n int) string { return fmt.Sprintf("c%04d", n) }

// fitSample bounds how many accounts a model is fitted to; the rest are scored with it.
const fitSample = 512

// refit brings the group up to date: who belongs to it, what it has in common, what the tests say.
func (t *Tracker) refit(g *Group, pop Population, newest uint32, now int64) {
	if g.fitted.accounts > 0 {
		t.day(g, pop, newest, now)
	}
	cands := t.candidates(g, pop)
	in := make(map[uint32]float32, len(g.members))
	for _, m := range g.members {
		in[m.account] = m.r
		delete(t.owner, m.account)
	}
	fit := t.sampleFor(cands, in)
	s := &t.search
	s.pool.Load(pop, fit, newest)
	s.r, s.w = block.Resize(s.r, len(fit)), block.Resize(s.w, len(fit))
	for i, a := range fit {
		s.r[i] = 0.1
		if r, ok := in[a]; ok {
			s.r[i] = max(r, 0.5)
		}
	}
	score := s.climb(pop, &t.bg)
	g.members, g.extra, g.let, g.late = g.members[:0], nil, nil, nil
	if score > 0 {
		g.model = s.m
		g.model.Seal(&s.pool)
		s.m = model{}
		t.enrol(g, pop, cands, newest)
		t.dismiss(g, pop)
		t.trim(g)
		t.unlist(g, pop)
		if guests := t.guests(g, pop, newest); guests != nil {
			t.showOut(g, pop, cands, guests, newest)
		}
	}
	slices.Sort(g.let)
	g.let = slices.Compact(g.let)
	if len(g.members) < minAccounts {
		for _, m := range g.members {
			delete(t.owner, m.account)
		}
		g.members = g.members[:0]
		return
	}
	t.judge(g, pop, newest, now)
	g.enlist(now)
	if g.recruits(now) { // who was taken in since the last fit has had no time to show what the others do
		t.takeAll(g, slices.DeleteFunc(cands, func(a uint32) bool { _, was := in[a]; return !was }), pop, now)
	}
}

// candidates are the members, those put up for it, and the holders of what the group has in common where that is
// not too common.
func (t *Tracker) candidates(g *Group, pop Population) []uint32 {
	out := make([]uint32, 0, len(g.members)+len(g.extra))
	for _, m := range g.members {
		out = append(out, m.account)
	}
	out = append(out, g.extra...)
	limit := 3*len(g.members) + 60
	for _, tok := range g.telling(10) {
		if int(pop.Token(tok).Holders) <= limit {
			out = pop.Holders(tok, limit, out)
		}
	}
	if !g.calm {
		out = t.sameTopic(g, pop, out)
	}
	slices.Sort(out)
	out = slices.Compact(out)
	return slices.DeleteFunc(out, func(a uint32) bool { o := t.owner[a]; return o != nil && o != g })
}

// telling returns up to n tokens that a tenth of the group or more holds, those that say most of it first.
func (g *Group) telling(n int) []uint32 {
	type tg struct {
		tok uint32
		v   float32
	}
	var top []tg
	for tok, gain := range g.model.Gain {
		if r := g.model.Rate[tok]; r >= 0.1 {
			top = append(top, tg{tok, gain * r})
		}
	}
	slices.SortFunc(top, func(a, b tg) int { return cmp.Or(cmp.Compare(b.v, a.v), cmp.Compare(a.tok, b.tok)) })
	out := make([]uint32, 0, n)
	for _, k := range top[:min(len(top), n)] {
		out = append(out, k.tok)
	}
	return out
}

// sameTopic appends the newest accounts of the topic cells that most members are in.
func (t *Tracker) sameTopic(g *Group, pop Population, out []uint32) []uint32 {
	cells := map[uint32]int{}
	for _, m := range g.members {
		if c := pop.Profile(m.account).Edges[palladium.EdgeCount-1].Token; c != palladium.NoToken {
			cells[c]++
		}
	}
	for c, n := range cells {
		if n*5 >= len(g.members) {
			out = pop.Holders(c, 1500, out)
		}
	}
	return out
}

// sampleFor draws the accounts that the model is fitted to, members first.
func (t *Tracker) sampleFor(cands []uint32, in map[uint32]float32) []uint32 {
	if len(cands) <= fitSample {
		return slices.Clone(cands)
	}
	var members, others []uint32
	for _, a := range cands {
		if _, ok := in[a]; ok {
			members = append(members, a)
		} else {
			others = append(others, a)
		}
	}
	shuffle := func(s []uint32) { t.rng.Shuffle(len(s), func(i, j int) { s[i], s[j] = s[j], s[i] }) }
	shuffle(members)
	shuffle(others)
	nm := min(len(members), max(fitSample*5/8, fitSample-len(others)))
	out := append(members[:nm:nm], others[:min(len(others), fitSample-nm)]...)
	slices.Sort(out)
	return out
}

// enrol scores all candidates and takes in those that more likely belong than not.
func (t *Tracker) enrol(g *Group, pop Population, cands []uint32, newest uint32) {
	g.weights = g.weights[:0]
	s := &t.search
	for _, a := range cands {
		var w weights
		if i := s.where(a); i >= 0 {
			w = s.w[i]
		} else {
			t.scoreOne(g, a, pop, newest, &w)
		}
		v := w.Total() + g.model.Prior
		if v <= 0 || !w.Belongs() {
			continue
		}
		g.members = append(g.members, member{a, odds(v)})
		g.weights = append(g.weights, w)
		t.owner[a] = g
	}
}

// dismiss lets go of accounts that the operator vouches for when most of the group's are not: they are guests, and
// must not stand between a campaign and what is done about it, nor be hit by it. They stay on record as guests, as they
// speak against the group.
func (t *Tracker) dismiss(g *Group, pop Population) {
	n := 0
	g.guests = g.guests[:0]
	for _, m := range g.members {
		if pop.Profile(m.account).Relation != 0 {
			n++
		}
	}
	if n == 0 || n*2 >= len(g.members) {
		return
	}
	keep := 0
	for i, m := range g.members {
		if pop.Profile(m.account).Relation != 0 {
			delete(t.owner, m.account)
			g.guests = append(g.guests, m.account)
			continue
		}
		g.members[keep], g.weights[keep] = m, g.weights[i]
		keep++
	}
	g.members, g.weights = g.members[:keep], g.weights[:keep]
}

// scratch is where an account that is in no pool is laid out for scoring.
type scratch struct {
	topic cohesion.Vector
	loads cohesion.Row
	toks  [palladium.EdgeCount]uint32
	kinds [palladium.EdgeCount]palladium.Kind
}

// scoreOne scores any account with the group's model. newest is the load slot that the model was fitted at.
func (t *Tracker) scoreOne(g *Group, a uint32, pop Population, newest uint32, w *weights) {
	c := &t.scratch
	pr := pop.Profile(a)
	n, has := 0, uint32(0)
	for k := palladium.Kind(0); int(k) < palladium.KindCount; k++ {
		if t.without[familyIndex(k)] {
			continue
		}
		lo, hi := k.Slots()
		for e := lo; e < hi; e++ {
			if tok := pr.Edges[e].Token; tok != palladium.NoToken {
				c.toks[n], c.kinds[n] = tok, k
				n++
				has |= 1 << k
			}
		}
	}
	s := block.Scorable{Tokens: c.toks[:n], Kinds: c.kinds[:n], Has: has, Loads: &c.loads, Topic: &c.topic, First: float32(float64(pr.First) / 3.6e6)}
	// What the model says nothing of is not laid out: it is the costly part.
	loads, topics := g.model.Asks()
	if loads {
		block.ReadLoads(pr, newest, palladium.SlotCount-1, &c.loads)
	}
	if topics {
		s.TopicN = int32(pop.Centred(a, &c.topic))
	}
	g.model.Score(&s, w)
}

// judge runs both tests on the group. A group whose use is ordinary is tested for one operator once in three looks:
// nothing hangs on it.
func (t *Tracker) judge(g *Group, pop Population, newest uint32, now int64) {
	t.gauge(g, pop, newest, now)
	if pop.Accounts() < MinPopulation {
		g.trial = untested(now)
		return
	}
	if !g.calm || g.looks == 0 || g.idle >= 2 {
		t.try(g, pop, now)
		g.idle = 0
	} else {
		g.idle++
	}
}

// try runs the one-operator test.
func (t *Tracker) try(g *Group, pop Population, now int64) {
	s := &t.search
	ts := tester{pop: pop, bg: &t.bg, sample: t.bg.Pool.Acc, rng: t.rng, without: t.without, alien: t.alien(g)}
	g.trial = ts.run(&s.pool, s.w, now)
	if g.looks == 0 {
		t.tried++
	}
	g.looks++
	// Looks at growing data share one error budget: the k-th gets 1/(k(k+1)) of it, and the weighted sum of e-values
	// is again an e-value.
	k := float64(g.looks)
	g.structE += g.trial.e / (k * (k + 1))
	g.apartE += g.trial.apart / (k * (k + 1))
	e := g.trial.e
	if g.trial.list.Public {
		e = g.trial.apart
	}
	g.Trials = append(g.Trials, palladium.OperatorTrial{From: time.UnixMilli(g.Born).UTC(), To: time.UnixMilli(now).UTC(),
		Accounts: g.trial.m, P: slices.Min(g.trial.p[:]), E: e / (k * (k + 1))})
	if len(g.Trials) > 64 {
		g.Trials = append(g.Trials[:1], g.Trials[len(g.Trials)-48:]...)
	}
}

// gauge measures the group's use and compares it with the references.
func (t *Tracker) gauge(g *Group, pop Population, newest uint32, now int64) {
	accounts := make([]uint32, 0, len(g.members))
	for _, m := range g.members {
		accounts = append(accounts, m.account)
	}
	if len(accounts) > 256 {
		t.rng.Shuffle(len(accounts), func(i, j int) { accounts[i], accounts[j] = accounts[j], accounts[i] })
		accounts = accounts[:256]
		slices.Sort(accounts)
	}
	t.fitPool.Load(pop, accounts, newest)
	g.use = t.use(pop, &t.fitPool, len(g.members))
	g.Changed = now
	g.fitted.accounts, g.fitted.at, g.fitted.exchanges = len(g.members), now, 0
	for _, m := range g.members {
		g.fitted.exchanges += uint64(pop.Profile(m.account).Exchanges)
	}
	p, n := t.pValue(g)
	g.calm = vouched(pop, accounts) >= 0.5 || n >= MinReferences && p > 0.2 && g.use.Score < 0
}

// rosterLimit bounds how many accounts a day is tested on, and dayLimit what the days may come to: members go on being
// chosen with earlier days, so a lasting habit that strangers share and the matched sets lack is counted each day.
const (
	rosterLimit = 160
	dayLimit    = 1e12
)

// day tests the loads of four whole slots, 24 hours, all later than the moment at which the roster was drawn up: fresh
// data on a frozen membership, so that days multiply.
func (t *Tracker) day(g *Group, pop Population, newest uint32, now int64) {
	if t.without[famSchedule] || len(t.bg.Pool.Acc) < MinPopulation || newest < uint32(g.dayAt/palladium.SlotMillis)+1+daySlots {
		return
	}
	accounts, from := g.roster, g.dayAt
	g.roster = nil
	if len(accounts) < minAccounts {
		return
	}
	p := &t.fitPool
	p.Load(pop, accounts, newest)
	t.bg.Pool.Slots = palladium.SlotCount - 1
	own, others := p.Window(p.Slots-1-daySlots, daySlots), t.bg.Pool.Window(t.bg.Pool.Slots-1-daySlots, daySlots)
	sel := make([]int, len(accounts))
	for i := range sel {
		sel[i] = i
	}
	chance := cohesion.Chance{Others: others, Rand: t.rng}
	pv := max(math.Exp(min(chance.Loads(own, sel), 0)), pFloor)
	g.wager(pv)
	g.Trials = append(g.Trials, palladium.OperatorTrial{From: time.UnixMilli(from).UTC(), To: time.UnixMilli(now).UTC(),
		Accounts: len(accounts), P: pv, E: halfBet(pv)})
}

// daySlots is how many whole slots make a day. The newest slot is not over, so a row of loads ends with it.
const daySlots = block.DaySlots

// enlist draws up the roster of the next day when there is none.
func (g *Group) enlist(now int64) {
	if g.roster != nil {
		return
	}
	g.dayAt = now
	for _, m := range g.members[:min(len(g.members), rosterLimit)] {
		g.roster = append(g.roster, m.account)
	}
}

// halfBet is the e-value of one day: half of what is held is bet on it, so one dull day does not undo the rest. Its mean
// is at most 1 where p is super-uniform.
func halfBet(p float64) float64 { return 0.5 + 0.5*min(stats.EValueFromP(p), 1e4) }

// wager multiplies a day of p-value p in. What is over the limit is given away, so the product stays a supermartingale.
func (g *Group) wager(p float64) {
	e := halfBet(p)
	g.dayE, g.dayBest = min(g.dayE*e, dayLimit), max(g.dayBest, e)
}

// apartDays is the e-value of the days but the best one: the users of a public list may all come on the day of a release.
func (g *Group) apartDays() float64 { return g.dayE / max(g.dayBest, 1) }
