package campaign

import (
	"math/rand/v2"
	"slices"

	"github.com/palladium-guard/palladium"
	"github.com/palladium-guard/palladium/internal/graph"
	"github.com/palladium-guard/palladium/internal/stats"
)

// Options set up a Tracker.
type Options struct {
	Seed       uint64 // of the random sets that groups are compared with
	Without    map[palladium.Family]bool
	Extraction ExtractionTest // nil: no group is taken for extraction
}

// Tracker holds the groups found so far.
type Tracker struct {
	opt      Options
	without  [famCount]bool
	groups   []*Group
	owner    map[uint32]*Group
	wanted   map[uint32][]int32 // groups that take in accounts, by what theirs have in common; nil: to be filed
	naturals []uint32           // tokens that join accounts: where reference groups come from
	seenNat  uint64
	refs     []reference
	refsOn   map[uint32][]int32 // the references, by account that they were measured on
	calAt    int64
	calN     int
	next     int
	tried    int       // groups ever tested, for the e-BH procedure
	pcg      *rand.PCG // what rng draws from: kept with the state
	rng      *rand.Rand
	search   searcher
	bg       background
	fitPool  pool
	scratch  scratch
}

// New returns a tracker without groups.
func New(opt Options) *Tracker {
	if opt.Extraction == nil {
		opt.Extraction = unanswered{}
	}
	pcg := rand.NewPCG(opt.Seed, 1)
	t := &Tracker{opt: opt, owner: map[uint32]*Group{}, pcg: pcg, rng: rand.New(pcg)}
	for f := range t.without {
		t.without[f] = opt.Without[familyName(f)]
	}
	t.search.without, t.search.pool.Without, t.fitPool.Without = t.without, t.without, t.without
	return t
}

// Group is a set of accounts that agree in two families or more. Its members' order is by account number.
type Group struct {
	ID      string
	members []member
	model   model
	weights []weights // of members
	extra   []uint32  // accounts to look at when it is fitted next
	guests  []uint32  // vouched accounts that would belong but were let go
	let     []uint32  // guests and users of a list that the last fit let go, and newcomers that were let go since, sorted

	Born, Changed int64 // Unix ms
	fitted        struct {
		exchanges uint64
		accounts  int
		at        int64
	}
	trial     trial
	looks     int
	structE   float64  // e-value of what the accounts share
	apartE    float64  // the same, of what does not follow from a public list
	dayE      float64  // e-values of the days since, multiplied
	dayBest   float64  // the largest of them
	dayAt     int64    // since when the next day is waited for
	roster    []uint32 // the accounts that it is on: the members of then
	Trials    []palladium.OperatorTrial
	Rejected  bool                // the e-BH procedure rules out independence
	use       palladium.LinkedUse // as of the last fit
	extractP  float64
	compared  int
	stage     palladium.Stage
	decidedAt int64 // first review or act
	acted     bool  // it was at act before, or a group that it took in: see dissolve
	drawn     uint64
	why       []string
	idle      int      // looks since the last one-operator test
	late      []uint32 // members that were taken in since the last fit, sorted
	grown     bool     // there are such since the last look
	loose     bool     // a part of it does not hang together with the rest
	firm      bool     // for three members in four speaks more than a name and a text
	calm      bool     // its use is ordinary or it is vouched for: looked at less often
}

// judged reports whether the policy put the group at review or act.
func (g *Group) judged() bool {
	return g.stage == palladium.StageAct || g.stage == palladium.StageReview
}

func (g *Group) suspect() bool { return g.Rejected && g.extractP <= 0.2 }

// E returns the e-value against independence so far: the mean of that of what the accounts share and that of the days.
// Both look at the loads of the same days, so their product is no e-value; a mean is one under any dependence.
func (g *Group) E() float64 {
	if g.trial.list.Public {
		return (g.apartE + g.apartDays()) / 2
	}
	return (g.structE + g.dayE) / 2
}

// alphaOperator is the false-discovery rate of the one-operator test.
const alphaOperator = 0.01

// MinPopulation is the least number of accounts from which chance can be told. Among fewer, groups are grown and shown,
// but neither test is run.
const MinPopulation = 40

// Examine looks at the seeds, refits the groups that have grown, and tests them. now is the newest exchange's time;
// sample is a uniform sample of accounts. It returns whether any group changed.
func (t *Tracker) Examine(now int64, pop Population, seeds []Seed, sample []uint32) bool {
	newest := uint32(now / palladium.SlotMillis)
	if len(sample) < 2*minAccounts {
		return false
	}
	t.wanted = nil
	t.remember(pop, seeds)
	t.prepare(pop, sample, newest)
	blocks := t.blocks(pop, seeds, newest)
	t.merge(blocks, now)
	changed := false
	for _, g := range t.groups {
		if t.due(g, pop, now) {
			t.refit(g, pop, newest, now)
			changed = true
		} else if t.recruit(g, pop, now) || g.grown {
			changed = true
		}
		g.grown = false
	}
	t.absorb(pop, newest, now)
	t.groups = slices.DeleteFunc(t.groups, t.tooFew)
	if now-t.calAt >= 6*3600*1000 || len(t.naturals) >= t.calN+t.calN/4+8 {
		t.calAt, t.calN = now, len(t.naturals)
		t.calibrate(pop, newest)
		changed = true
	}
	if changed {
		t.conclude()
	}
	return changed
}

// tooFew reports whether a group has too few members to be one, and lets them go if so.
func (t *Tracker) tooFew(g *Group) bool {
	if len(g.members) >= minAccounts {
		return false
	}
	for _, m := range g.members {
		if t.owner[m.account] == g {
			delete(t.owner, m.account)
		}
	}
	return true
}

// prepare lays out the background sample.
func (t *Tracker) prepare(pop Population, sample []uint32, newest uint32) {
	some := sample
	if len(some) > 640 {
		some = some[:640]
	}
	some = slices.Clone(some)
	slices.Sort(some)
	t.bg.Pool.Load(pop, some, newest)
	t.opt.Extraction.Usual(profiles(pop, some))
}

// naturalLimit bounds the tokens remembered as places to look for reference groups.
const naturalLimit = 1500

func (t *Tracker) remember(pop Population, seeds []Seed) {
	for _, s := range seeds {
		if s.Token == palladium.NoToken || pop.Token(s.Token).Holders > 12 {
			continue
		}
		t.seenNat++
		if len(t.naturals) < naturalLimit {
			t.naturals = append(t.naturals, s.Token)
		} else if j := t.rng.Uint64N(t.seenNat); j < naturalLimit {
			t.naturals[j] = s.Token
		}
	}
}

// blocks searches the seeds.
func (t *Tracker) blocks(pop Population, seeds []Seed, newest uint32) [][]member {
	var out [][]member
	var buf []uint32
	for _, s := range seeds {
		kind := palladium.Kind(palladium.KindCount)
		buf = buf[:0]
		if s.Token == palladium.NoToken {
			buf = append(buf, s.Accounts[:min(len(s.Accounts), holderLimit)]...)
		} else {
			tok := pop.Token(s.Token)
			kind = tok.Kind
			if kind == palladium.KindOrganization || tok.Holders < minAccounts || t.without[familyIndex(kind)] {
				continue
			}
			buf = pop.Holders(s.Token, holderLimit, buf)
		}
		if t.known(buf) || !t.search.interesting(pop, buf, kind, &t.bg, newest) {
			continue
		}
		if b := t.search.find(pop, buf, kind, &t.bg, newest); b != nil {
			out = append(out, b)
		}
	}
	return out
}

// known reports whether nearly all the accounts are in one group already, or were just put up for it.
func (t *Tracker) known(accounts []uint32) bool {
	var best *Group
	votes := map[*Group]int{}
	for _, a := range accounts {
		if g := t.owner[a]; g != nil {
			votes[g]++
			if best == nil || votes[g] > votes[best] {
				best = g
			}
		}
	}
	if best == nil || votes[best]*10 < len(accounts)*7 {
		return false
	}
	for _, a := range accounts {
		if t.owner[a] == nil && len(best.extra) < 4096 {
			best.extra = append(best.extra, a)
		}
	}
	return true
}

// merge joins blocks that overlap each other or a group: Leiden communities of the graph whose nodes are blocks and
// whose weights are overlap coefficients, under the constant Potts model with density mergeDensity.
func (t *Tracker) merge(blocks [][]member, now int64) {
	if len(blocks) == 0 {
		return
	}
	old := len(t.groups)
	touched := map[*Group]bool{}
	for _, b := range blocks {
		for _, m := range b {
			if g := t.owner[m.account]; g != nil {
				touched[g] = true
			}
		}
	}
	sets := make([][]member, 0, old+len(blocks))
	for _, g := range t.groups {
		if touched[g] {
			sets = append(sets, g.members)
		} else {
			sets = append(sets, nil)
		}
	}
	sets = append(sets, blocks...)
	accounts := make([][]uint32, len(sets))
	for i, set := range sets {
		for _, m := range set {
			accounts[i] = append(accounts[i], m.account)
		}
	}
	labels := graph.Leiden(len(sets), graph.Overlaps(accounts), mergeDensity, t.opt.Seed)
	byLabel := map[uint32][]int{}
	var order []uint32
	for i, l := range labels {
		if byLabel[l] == nil {
			order = append(order, l)
		}
		byLabel[l] = append(byLabel[l], i)
	}
	for _, l := range order {
		if in := byLabel[l]; len(in) > 1 || in[0] >= old {
			t.mergeOne(in, sets, old, now)
		}
	}
}

const mergeDensity = 0.3

// mergeOne makes one group of the given sets: the oldest group among them keeps its id and takes in the rest. One that was acted on
// goes before older ones, and takes in no group that is not suspected itself: overlap alone neither undoes what was decided, nor
// spreads it. See absorb for what does.
func (t *Tracker) mergeOne(sets []int, all [][]member, old int, now int64) {
	var g *Group
	for _, i := range sets {
		if i >= old {
			continue
		}
		if h := t.groups[i]; g == nil || h.acted && !g.acted || h.acted == g.acted && h.Born < g.Born {
			g = h
		}
	}
	if g != nil && g.acted {
		sets = slices.DeleteFunc(slices.Clone(sets), func(i int) bool { return i < old && t.groups[i] != g && !t.groups[i].judged() })
	}
	fresh := false
	if g == nil {
		t.next++
		g = &Group{ID: groupID(t.next), Born: now, dayE: 1, dayAt: now, stage: "", extractP: 1}
		t.groups = append(t.groups, g)
		fresh = true
	}
	for _, i := range sets {
		if i < old && t.groups[i] == g {
			continue
		}
		for _, m := range all[i] {
			if fresh {
				if t.owner[m.account] == nil {
					t.owner[m.account] = g
					g.members = append(g.members, m)
				}
			} else if len(g.extra) < 8192 {
				g.extra = append(g.extra, m.account)
			}
		}
		if i < old {
			t.dissolve(t.groups[i], g)
		}
	}
	slices.SortFunc(g.members, func(a, b member) int { return int(a.account) - int(b.account) })
	g.members = slices.CompactFunc(g.members, func(a, b member) bool { return a.account == b.account })
	g.fitted.accounts = 0 // fit anew
}

// absorb joins groups of which one's model claims the other's members: fragments of one campaign that were found by
// different evidence.
func (t *Tracker) absorb(pop Population, newest uint32, now int64) {
	for _, g := range t.groups {
		if g.calm || g.fitted.at != now || len(g.members) < minAccounts {
			continue
		}
		grown := false
		for _, h := range t.groups {
			if h == g || h.calm || len(h.members) < minAccounts || len(h.members) > len(g.members) || !t.claims(g, h, pop, newest) {
				continue
			}
			for _, m := range h.members {
				g.extra = append(g.extra, m.account)
			}
			if h.Born < g.Born {
				g.ID, h.ID, g.Born = h.ID, g.ID, h.Born
			}
			t.dissolve(h, g)
			grown = true
		}
		if grown {
			t.refit(g, pop, newest, now)
		}
	}
}

// claims reports whether g's model makes members of at least half of a sample of h's. It stops once that is decided.
func (t *Tracker) claims(g, h *Group, pop Population, newest uint32) bool {
	step := max(len(h.members)/12, 1)
	n := (len(h.members) + step - 1) / step
	yes, no := 0, 0
	var w weights
	for i := 0; yes*2 < n && no*2 <= n; i += step {
		t.scoreOne(g, h.members[i].account, pop, newest, &w)
		if w.Total()+g.model.Prior > 0 && w.Belongs() {
			yes++
		} else {
			no++
		}
	}
	return yes*2 >= n
}

// dissolve empties group d, which is being merged into g. What was done to d holds for g where d is a fifth of it, or g was found at
// review by what it shows itself: the policy then asks less of it than of one that nothing was done to, and never nothing.
func (t *Tracker) dissolve(d, g *Group) {
	for _, m := range d.members {
		delete(t.owner, m.account)
	}
	if d.decidedAt != 0 && (g.decidedAt == 0 || d.decidedAt < g.decidedAt) {
		g.decidedAt, g.drawn = d.decidedAt, d.drawn
	}
	g.acted = g.acted || d.acted && (g.judged() || len(d.members)*5 >= len(g.members))
	d.members = nil
}

// due reports whether the group has changed enough to be fitted and tested again.
func (t *Tracker) due(g *Group, pop Population, now int64) bool {
	if g.fitted.accounts == 0 || len(g.extra)*10 >= len(g.members)+10 {
		return true
	}
	var n uint64
	for _, m := range g.members {
		n += uint64(pop.Profile(m.account).Exchanges)
	}
	grow := uint64(13)
	switch {
	case g.calm:
		grow = 25
	case g.decidedAt != 0:
		grow = 16
	case g.looks >= 5:
		grow = 15
	}
	again := int64(24 * 3600 * 1000)
	if len(g.let) > 0 { // they may be in the wrong place
		again /= 4
	}
	return n*10 >= g.fitted.exchanges*grow || g.decidedAt != 0 && now-g.fitted.at >= again && n > g.fitted.exchanges
}

// conclude applies the e-BH procedure (Wang and Ramdas 2022) to all groups and compares each with the references.
func (t *Tracker) conclude() {
	es := make([]float64, len(t.groups))
	for i, g := range t.groups {
		es[i] = g.E()
	}
	// Groups that were tested and dissolved still count among the hypotheses.
	for range t.tried - len(es) {
		es = append(es, 0)
	}
	rejected := stats.EBH(es, alphaOperator)
	for i, g := range t.groups {
		g.Rejected = rejected[i]
		g.use.Score = t.opt.Extraction.Score(g.use.Features)
		g.extractP, g.compared = t.pValue(g)
	}
}
