package campaign

import (
	"cmp"
	"math"
	"slices"

	"github.com/palladium-guard/palladium"
	"github.com/palladium-guard/palladium/internal/stats"
	"github.com/palladium-guard/palladium/internal/stats/cohesion/block"
)

// What an account that comes between two fits must show. Nothing is done on it alone: it is weighed by what the members of a
// group that was judged have in common, and needs two independent keys, as the group did.
const (
	recruitKeys  = 2
	recruitNats  = 2.2 // after the prior: nine to one
	recruitShare = 0.5 // of the usual member's weight, as trim asks of members
	recruitReach = 16  // tokens of the model whose newest holders are looked at
	recruitLimit = 512 // holders of each
	admitBelow   = 32  // exchanges from which on an account is left to the looks
	recruitOver  = 4.0 // nats by which the group must explain an account better than the group that it is in: 55 to 1
)

// recruits reports whether the group takes in accounts between two fits: it is of one piece, and at act, or at review and either was at
// act or is so new that it is still being found. Otherwise nothing hangs on it, and it is better judged by accounts that have
// shown what they do.
func (g *Group) recruits(now int64) bool {
	return (g.stage == palladium.StageAct || g.stage == palladium.StageReview && (g.acted || now-g.Born < 24*3600*1000)) && !g.loose && len(g.members) >= minAccounts
}

// recruit takes in accounts that a group that is acted on has gained since it was fitted: accounts that take the place of others,
// and those that had shown too little then. The model is that of the fit, so no account changes what is asked of the next one.
// Those that the fit let go are left to the next fit. It reports whether anybody was taken in.
func (t *Tracker) recruit(g *Group, pop Population, now int64) bool {
	if !g.recruits(now) || g.fitted.at == now {
		return false
	}
	var cands []uint32
	for _, tok := range g.telling(recruitReach) {
		cands = pop.Holders(tok, recruitLimit, cands)
	}
	slices.Sort(cands)
	cands = slices.Compact(cands)
	found := false
	for _, a := range slices.Clone(g.late) {
		found = t.review(g, a, pop, now) || found
	}
	found = t.takeAll(g, cands, pop, now) || found
	for _, a := range cands {
		if t.winOver(g, a, pop, now) {
			found = true
		}
	}
	return found
}

// winOver takes an account out of a group that nothing is done about, into which it came by chance, where g explains it better by
// far, and asks no less of it than of accounts in no group.
func (t *Tracker) winOver(g *Group, a uint32, pop Population, now int64) bool {
	o := t.owner[a]
	if o == nil || o == g || o.judged() || o.acted || o.fitted.accounts == 0 {
		return false
	}
	i, ok := o.find(a)
	if !ok {
		return false
	}
	var w weights
	t.scoreOne(g, a, pop, uint32(g.fitted.at/palladium.SlotMillis), &w)
	if w.Total()+g.model.Prior < o.weights[i].Total()+o.model.Prior+recruitOver {
		return false
	}
	delete(t.owner, a)
	if !t.take(g, a, pop, now) {
		t.owner[a] = o
		return false
	}
	o.members, o.weights = slices.Delete(o.members, i, i+1), slices.Delete(o.weights, i, i+1)
	if i, late := slices.BinarySearch(o.late, a); late {
		o.late = slices.Delete(o.late, i, i+1)
	}
	return true
}

// find returns the place of account a among the members.
func (g *Group) find(a uint32) (int, bool) {
	return slices.BinarySearchFunc(g.members, a, func(m member, a uint32) int { return cmp.Compare(m.account, a) })
}

// takeAll takes in those of the accounts that are in no group and show enough.
func (t *Tracker) takeAll(g *Group, accounts []uint32, pop Population, now int64) bool {
	found := false
	for _, a := range accounts {
		if t.owner[a] == nil && t.take(g, a, pop, now) {
			found = true
		}
	}
	return found
}

// Admit asks of an account that has just sent something whether it is one that a group that is acted on has gained, and takes it
// in if so, as the next look would; one that was taken in so is asked again. It is for every exchange, and cheap for those that
// have nothing to do with such a group. It reports whether anything changed that policy goes by.
func (t *Tracker) Admit(a uint32, now int64, pop Population) bool {
	if g := t.owner[a]; g != nil {
		return g.recent(a) && t.review(g, a, pop, now)
	}
	if t.wanted == nil {
		t.want(now)
	}
	if len(t.wanted) == 0 {
		return false
	}
	p := pop.Profile(a)
	if p.Exchanges > admitBelow {
		return false
	}
	var asked []int32
	for i := range p.Edges {
		for _, n := range t.wanted[p.Edges[i].Token] {
			if !slices.Contains(asked, n) {
				asked = append(asked, n)
			}
		}
	}
	slices.Sort(asked)
	return slices.ContainsFunc(asked, func(n int32) bool { return t.take(t.groups[n], a, pop, now) })
}

// want files the groups that take in accounts by what their accounts have in common.
func (t *Tracker) want(now int64) {
	t.wanted = map[uint32][]int32{}
	for i, g := range t.groups {
		if !g.recruits(now) {
			continue
		}
		for _, tok := range g.telling(recruitReach) {
			t.wanted[tok] = append(t.wanted[tok], int32(i))
		}
	}
}

// take makes account a, which is in no group, a member of g if it shows enough.
func (t *Tracker) take(g *Group, a uint32, pop Population, now int64) bool {
	p := pop.Profile(a)
	if p.Relation != 0 || p.Exchanges == 0 || float64(p.Repeats) >= stale*float64(p.Exchanges) {
		return false // vouched for, silent, or sends what others sent before
	}
	if _, let := slices.BinarySearch(g.let, a); let {
		return false
	}
	var w weights
	t.scoreOne(g, a, pop, uint32(g.fitted.at/palladium.SlotMillis), &w)
	v := w.Total() + g.model.Prior
	if g.firm && looks(&w, p) {
		return false
	}
	if v < recruitNats || !w.Belongs() || g.firmKeys(p, &w) < recruitKeys || float64(w.AtOnce()) < recruitShare*g.usual() {
		return false
	}
	i, _ := g.find(a)
	g.members = slices.Insert(g.members, i, member{a, odds(v)})
	g.weights = slices.Insert(g.weights, i, w)
	i, _ = slices.BinarySearch(g.late, a)
	g.late = slices.Insert(g.late, i, a)
	t.owner[a] = g
	g.Changed, g.grown = now, true
	return true
}

// review weighs anew a member that was taken in since the last fit: it was by its first requests, and what it does since may speak
// against it. One that more likely does not belong is let go, until the next fit. It reports whether the membership fell below or rose to what newcomers
// must have.
func (t *Tracker) review(g *Group, a uint32, pop Population, now int64) bool {
	i, ok := g.find(a)
	if !ok {
		return false
	}
	var w weights
	t.scoreOne(g, a, pop, uint32(g.fitted.at/palladium.SlotMillis), &w)
	v := w.Total() + g.model.Prior
	if v > 0 && w.Belongs() {
		was := g.members[i].r
		g.members[i].r, g.weights[i] = odds(v), w
		return (was < odds(recruitNats)) != (v < recruitNats)
	}
	delete(t.owner, a)
	g.members, g.weights = slices.Delete(g.members, i, i+1), slices.Delete(g.weights, i, i+1)
	i, _ = slices.BinarySearch(g.late, a)
	g.late = slices.Delete(g.late, i, i+1)
	i, _ = slices.BinarySearch(g.let, a)
	g.let = slices.Insert(g.let, i, a)
	g.Changed, g.grown = now, true
	return true
}

// odds returns the probability of log-odds v.
func odds(v float32) float32 { return float32(1 / (1 + math.Exp(-float64(v)))) }

// usual is the median of atOnce over the members that the group was fitted with.
func (g *Group) usual() float64 {
	all := make([]float64, 0, len(g.weights))
	for i := range g.members {
		if !g.recent(g.members[i].account) {
			all = append(all, float64(g.weights[i].AtOnce()))
		}
	}
	return stats.Median(all)
}

// recent reports whether a member was taken in since the last fit. What it shows is no evidence about the group.
func (g *Group) recent(a uint32) bool {
	_, is := slices.BinarySearch(g.late, a)
	return is
}

// firmKeys counts the independent keys with which an account shows what the group has in common, by 2 nats each and by more than
// what follows from the program that it runs.
func (g *Group) firmKeys(p *palladium.Profile, w *weights) int {
	var who, what float32
	for i := range p.Edges {
		gain, ok := g.model.Gain[p.Edges[i].Token]
		kind := g.model.KindOf[p.Edges[i].Token]
		if !ok || kind.Software() {
			continue
		}
		switch familyIndex(kind) {
		case famIdentity, famNetwork:
			who = max(who, gain)
		case famTemplate, famContinuity:
			what = max(what, gain)
		}
	}
	return block.CountOver(2, min(who, max(w[famIdentity], w[famNetwork])), max(min(what, max(w[famTemplate], w[famContinuity])), w[famTwins]), w[famSchedule])
}
