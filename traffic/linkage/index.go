// Package linkage keeps what accounts share, and says how surprising it is that they share it.
//
// It holds one Profile of fixed size for each account and a bipartite graph from accounts to tokens: payment
// instruments, addresses, prompt shingles, conversations that moved, topics. The graph is never projected to
// account pairs. The Index belongs to one goroutine and never reads the clock: time comes with the observations.
package linkage

import (
	"math"
	"slices"
	"strings"

	"github.com/zeebo/xxh3"

	"github.com/palladium-guard/palladium"
	"github.com/palladium-guard/palladium/internal/sketch"
)

// Options size the fixed parts of an Index.
type Options struct {
	// RecallBits is the base-2 logarithm of how many recent shingles are remembered; the memories of prompts,
	// conversations and answers are a quarter of it. 0 means 21: about 40 MB in all.
	RecallBits int
	// Hash is the installation's keyed hash, the one that observations were made with. Required.
	Hash func(kind byte, s string) uint64
	// Without switches off the families that cost work: no shingles, conversations or topic cells are kept for them.
	// What the tracker weighs it decides itself.
	Without map[palladium.Family]bool
}

const (
	slabBits = 10
	slabSize = 1 << slabBits
)

// Index is the state of all accounts. It is not safe for concurrent use.
type Index struct {
	opt   Options
	ids   roll
	names []string
	slabs []*[slabSize]palladium.Profile
	table table
	topic topics

	shingles, prompts, chains, answers, limited recall

	partners unionFind // accounts joined by conversations or answers that moved

	modelNames map[uint64]string
	planNames  map[uint64]string
	labels     map[uint64]string // declared organisations and such, by token hash; only what reports may show

	exchanges uint64
	first     int64
	last      int64 // newest exchange time seen
	dirty     []uint32
	moved     []uint32 // roots of partner groups that have grown past a threshold
	sample    reservoir
	cells     []uint32 // tokens of topic cells, each looked at once a day: the accounts in them change slowly
	cellsAt   int64
	table0    palladium.Edge // written to in place of a missing neighbour
	topical   direction      // of the prompt being observed
	chosen    []uint64       // its shingles that are looked at
	touched   uint32         // keeps what only brings memory near from being optimised away
}

// New returns an empty index.
func New(opt Options) *Index {
	if opt.RecallBits == 0 {
		opt.RecallBits = 21
	}
	x := &Index{
		opt: opt, modelNames: map[uint64]string{},
		planNames: map[uint64]string{}, labels: map[uint64]string{}, first: math.MaxInt64, last: math.MinInt64,
	}
	x.table.grow(1 << 12)
	x.ids.grow(1 << 10)
	x.shingles = newRecall(opt.RecallBits)
	x.prompts = newRecall(opt.RecallBits - 1)
	x.chains = newRecall(opt.RecallBits - 2)
	x.answers = newRecall(opt.RecallBits - 2)
	x.limited = newRecall(max(opt.RecallBits-6, 8))
	x.sample.rng = 0x9e3779b97f4a7c15
	return x
}

// Accounts returns how many accounts are known. They are numbered from 0 in the order in which they came.
func (x *Index) Accounts() int { return len(x.names) }

// Exchanges returns how many exchanges were observed.
func (x *Index) Exchanges() uint64 { return x.exchanges }

// Window returns the oldest and the newest exchange time observed, Unix ms; the newest is math.MinInt64 before any.
func (x *Index) Window() (first, last int64) { return x.first, x.last }

// Name returns the id of account a.
func (x *Index) Name(a uint32) string { return x.names[a] }

// Lookup returns the number of the account called id.
func (x *Index) Lookup(id string) (uint32, bool) {
	return x.ids.find(xxh3.HashString(id))
}

// Profile returns the live profile of account a. The caller must not change it, nor keep it over Observe.
func (x *Index) Profile(a uint32) *palladium.Profile {
	return &x.slabs[a>>slabBits][a&(slabSize-1)]
}

// Token returns token t. The caller must not change it, nor keep it over Observe.
func (x *Index) Token(t uint32) *palladium.Token { return &x.table.tokens[t] }

// Model returns the name behind a model hash.
func (x *Index) Model(h uint64) string { return x.modelNames[h] }

// Label returns what may be shown of a token beyond its kind, such as a declared organisation; "" for most.
func (x *Index) Label(t uint32) string { return x.labels[x.table.tokens[t].Hash] }

func (x *Index) account(id string) uint32 { return x.enlist(id, xxh3.HashString(id)) }

// enlist returns the account called id, whose hash is h, and makes it when it is new.
func (x *Index) enlist(id string, h uint64) uint32 {
	if a, ok := x.ids.find(h); ok {
		return a
	}
	id = strings.Clone(id)
	a := uint32(len(x.names))
	x.ids.add(h, a)
	x.names = append(x.names, id)
	if int(a)>>slabBits >= len(x.slabs) {
		x.slabs = append(x.slabs, new([slabSize]palladium.Profile))
	}
	p := x.Profile(a)
	for i := range p.Edges {
		p.Edges[i] = palladium.Edge{Token: palladium.NoToken, Prev: palladium.NoToken, Next: palladium.NoToken}
	}
	for i := range p.Prompts {
		p.Prompts[i] = math.MaxUint32
	}
	x.partners.add()
	return a
}

// Describe takes in what the operator knows of an account. A later description of the same account adds to an
// earlier one.
func (x *Index) Describe(d *palladium.Account) {
	a := x.account(d.ID)
	p := x.Profile(a)
	if !d.Created.IsZero() {
		p.Created = d.Created.UnixMilli()
	}
	h := x.opt.Hash
	if d.Plan != "" {
		p.Plan = h('p', d.Plan)
		if _, ok := x.planNames[p.Plan]; !ok && len(x.planNames) < 1024 {
			x.planNames[p.Plan] = strings.Clone(d.Plan)
		}
	}
	p.Relation = relationCode(d.Relation)
	p.Verified = uint8(min(len(d.Verified), 255))
	put := func(k palladium.Kind, s string) {
		if s != "" {
			x.attach(a, k, h('i', s))
		}
	}
	put(palladium.KindPayment, d.Payment)
	put(palladium.KindBIN, d.BIN)
	put(palladium.KindPhone, d.PhonePrefix)
	if d.EmailDomain != "" || d.EmailShape != "" {
		put(palladium.KindEmail, d.EmailDomain+"\x00"+d.EmailShape)
	}
	put(palladium.KindDevice, d.Device)
	put(palladium.KindSignupIP, d.SignupIP)
	if d.SignupIP != "" {
		put(palladium.KindSignupNet, network(d.SignupIP))
	}
	if d.Organization != "" {
		oh := h('i', d.Organization)
		x.attach(a, palladium.KindOrganization, oh)
		th := tokenHash(palladium.KindOrganization, oh)
		if _, ok := x.labels[th]; !ok && len(x.labels) < 1<<16 {
			x.labels[th] = strings.Clone(d.Organization)
		}
	}
}

func relationCode(r palladium.Relation) uint8 {
	switch r {
	case palladium.RelationTenant:
		return 1
	case palladium.RelationReseller:
		return 2
	case palladium.RelationCohort:
		return 3
	case palladium.RelationInternal:
		return 4
	}
	return 0
}

// network returns the /24 of a dotted IPv4 address or the first three groups of an IPv6 address, as text.
func network(ip string) string {
	if i := strings.LastIndexByte(ip, '.'); i > 0 {
		return ip[:i]
	}
	rest := ip
	for n := 0; n < 3; n++ {
		i := strings.IndexByte(rest, ':')
		if i < 0 {
			return ip
		}
		rest = rest[i+1:]
	}
	return ip[:len(ip)-len(rest)]
}

// Observe takes in one exchange and returns its account. Observations should come in time order; a little disorder does no harm.
func (x *Index) Observe(o *palladium.Observation) uint32 {
	h := xxh3.HashString(o.Account)
	x.recollect(o, h)
	a := x.enlist(o.Account, h)
	p := x.Profile(a)
	x.touched += near(p)
	x.topic.weigh(o.Terms, &x.topical)
	x.exchanges++
	x.first, x.last = min(x.first, o.Time), max(x.last, o.Time)
	if p.Exchanges == 0 {
		x.sample.join(a)
	}
	count(p, o)
	x.model(p, o.Model)
	x.connect(a, p, o)
	x.text(a, p, o)
	x.conversation(a, p, o)
	return a
}

// connect attaches what the connection and the request's form show.
func (x *Index) connect(a uint32, p *palladium.Profile, o *palladium.Observation) {
	shown := [...]struct {
		kind palladium.Kind
		hash uint64
	}{
		{palladium.KindIP, o.IP}, {palladium.KindNet, o.Net}, {palladium.KindClientDevice, o.Device},
		{palladium.KindClient, o.Client}, {palladium.KindSystem, o.System}, {palladium.KindTools, o.Tools},
		{palladium.KindParams, o.Params}, {palladium.KindCredential, o.Credential},
	}
	n := 0
	for _, s := range &shown {
		if s.hash != 0 {
			s.hash = tokenHash(s.kind, s.hash)
			shown[n] = s
			n++
			x.touched += x.approach(p, s.kind, s.hash)
		}
	}
	for _, s := range shown[:n] {
		x.join(a, p, s.kind, s.hash)
	}
}

// Of a long prompt's inner shingles every other one is looked at, by its own hash, so that the same wording is looked
// at everywhere; the first and last words always are.
const (
	boundary    = 2
	fewShingles = 10
	sampleBit   = 1 << 40
)

// choose appends to out, which has room for them, those of a prompt's shingles that are looked at.
func choose(out, shingles []uint64) []uint64 {
	if len(shingles) <= fewShingles {
		return append(out, shingles...)
	}
	out = append(out, shingles[:boundary]...)
	n := len(out)
	out = append(out, shingles[boundary:]...)
	for _, s := range shingles[boundary:] {
		out[n] = s // no branch: the bit is chance
		n += int(s/sampleBit&1 ^ 1)
	}
	return out[:n]
}

// hotAt is how many different accounts must have sent a shingle before it becomes a token.
const hotAt = 3

// text takes in the prompt: its shingles, whether others sent it before, and its topic.
func (x *Index) text(a uint32, p *palladium.Profile, o *palladium.Observation) {
	hour := uint16(o.Time / 3600000)
	own := false
	if !x.opt.Without[palladium.Template] {
		for _, s := range x.chosen {
			was, n := x.shingles.visit(s, a, hour)
			if n < hotAt {
				continue
			}
			if n == hotAt && was != a {
				x.attach(was, palladium.KindShingle, s)
			}
			if e := x.attach(a, palladium.KindShingle, s); e != nil && e.Hits > 1 {
				own = true
			}
		}
	}
	if own {
		p.Templated++
	}
	if o.Prompt != 0 {
		if was, n := x.prompts.visit(o.Prompt, a, hour); was != a {
			p.Repeats++
			if at, ok := x.limited.find(o.Prompt); ok && at.owner != a && hour-at.at <= 1 && at.owner == was && was != a && n <= 3 {
				x.partner(at.owner, a, palladium.KindChain, o.Prompt) // the retry of a refused request
			}
		}
		if o.Outcome.Status == 429 || o.Outcome.Status >= 500 {
			x.limited.visit(o.Prompt, a, hour)
		}
		keepSmallest(&p.Prompts, uint32(o.Prompt>>32))
		(*sketch.HLL6)(&p.Distinct).Add(o.Prompt)
	}
	for _, b := range o.Biased {
		(*sketch.HLL6)(&p.Biased).Add(mix(uint64(b) + 1))
	}
	x.topic.add(p, &x.topical)
	if n := p.Exchanges; n >= cellAt && n&(n-1) == 0 && !x.opt.Without[palladium.Twins] {
		if c, ok := x.topic.cell(p); ok {
			x.attach(a, palladium.KindCell, uint64(c)+1)
		}
	}
}

// cellSeedAt is the least number of accounts for which a topic cell is looked at again every day.
const cellSeedAt = 24

// cellAt is the least number of prompts for which an account's topic is assigned to a cell.
const cellAt = 16

// conversation notices histories and answers that were made for another account.
func (x *Index) conversation(a uint32, p *palladium.Profile, o *palladium.Observation) {
	if x.opt.Without[palladium.Continuity] {
		return
	}
	hour := uint16(o.Time / 3600000)
	for _, c := range o.Chain {
		if was, _ := x.chains.visit(c, a, hour); was != a {
			x.partner(was, a, palladium.KindChain, c)
		}
	}
	if p.Relation != 0 && len(o.Quotes) == 0 && len(o.Answers) == 0 {
		return
	}
	hits, from := 0, uint32(0)
	var by uint64
	for _, q := range o.Quotes {
		if s, ok := x.answers.find(q); ok && s.owner != a {
			if hits == 0 || s.owner != from {
				hits, from, by = 0, s.owner, q
			}
			hits++
		}
	}
	if hits >= 2 {
		x.partner(from, a, palladium.KindEcho, by)
	}
	for _, s := range o.Answers {
		x.answers.visit(s, a, hour)
	}
}

// partner records that something made for account b came back from account a.
func (x *Index) partner(b, a uint32, k palladium.Kind, h uint64) {
	if int(b) >= len(x.names) {
		return
	}
	x.attach(b, k, h)
	e := x.attach(a, k, h)
	if e == nil || x.table.tokens[e.Token].Holders > 4 {
		return // a stock conversation that many share joins nobody
	}
	if root, n := x.partners.union(a, b); n >= 6 && n&(n-1) == 0 || n == 6 || n == 12 {
		x.moved = append(x.moved, root)
	}
}

func (x *Index) model(p *palladium.Profile, h uint64) {
	if h == 0 {
		return
	}
	m := uint32(h)
	at, low := -1, 0
	for i := range p.Models {
		if p.Models[i] == m {
			at = i
			break
		}
		if p.ModelHits[i] < p.ModelHits[low] {
			low = i
		}
	}
	if at < 0 {
		if p.ModelHits[low] > 0 {
			p.ModelHits[low]--
			return
		}
		p.Models[low], at = m, low
	}
	if p.ModelHits[at] < math.MaxUint16 {
		p.ModelHits[at]++
	}
	if at > 0 && p.ModelHits[at] > p.ModelHits[at-1] {
		p.ModelHits[at], p.ModelHits[at-1] = p.ModelHits[at-1], p.ModelHits[at]
		p.Models[at], p.Models[at-1] = p.Models[at-1], p.Models[at]
	}
}

// NameModel remembers the name behind a model hash, so that a report can show it.
func (x *Index) NameModel(h uint64, name string) {
	if _, ok := x.modelNames[h&math.MaxUint32]; !ok && len(x.modelNames) < 4096 {
		x.modelNames[h&math.MaxUint32] = strings.Clone(name)
	}
}

// Dirty returns the tokens whose holders have grown past the next threshold since the last call, and the members
// of one account of each group of partners that has. Both slices are valid until the next Observe.
func (x *Index) Dirty() (tokens, partners []uint32) {
	if x.last-x.cellsAt >= 24*3600*1000 && x.last > math.MinInt64 {
		x.cellsAt = x.last
		x.cells = slices.DeleteFunc(x.cells, func(t uint32) bool {
			return x.table.tokens[t].Kind != palladium.KindCell || x.table.tokens[t].Holders == 0
		})
		for _, t := range x.cells {
			if x.table.tokens[t].Holders >= cellSeedAt {
				x.dirty = append(x.dirty, t)
			}
		}
	}
	tokens, partners = x.dirty, x.moved
	x.dirty, x.moved = x.dirty[:0:0], x.moved[:0:0]
	return tokens, partners
}

// Partners appends to buf the accounts that conversations and answers join with account a, a among them.
func (x *Index) Partners(a uint32, buf []uint32) []uint32 { return x.partners.members(a, buf) }

// Holders appends to buf the accounts that hold token t now, at most limit of them, newest holder first.
func (x *Index) Holders(t uint32, limit int, buf []uint32) []uint32 {
	for e := x.table.tokens[t].Head; e != palladium.NoToken && limit > 0; limit-- {
		a := e / palladium.EdgeCount
		buf = append(buf, a)
		e = x.Profile(a).Edges[e%palladium.EdgeCount].Next
	}
	return buf
}

// Background returns a uniform sample of accounts that have sent something. It is valid until the next Observe.
func (x *Index) Background() []uint32 { return x.sample.accounts }
