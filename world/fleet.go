package world

import (
	"github.com/palladium-guard/palladium/internal/arrival"
	"github.com/palladium-guard/palladium/internal/prose/corpus"
	"math/rand/v2"
	"slices"

	"github.com/palladium-guard/palladium"
	"github.com/palladium-guard/palladium/internal/prose"
)

// fleet is a dispatcher: one stream of work dealt out to many accounts. Relays, load balancers and campaigns alike.
type fleet struct {
	r        *rand.Rand
	key      uint64
	accounts []int32
	wires    []*wire // one for each account
	clock    arrival.Clock
	source   int64 // when the next piece of work comes
	until    int64
	pending  []job // binary heap
	ring     lru
	quota    []float64 // cumulated shares of the seats, for scheduler quota
	seats    []int32   // the slot of the account that is on each seat
	reliefs  []relief  // to come, by time
	random   bool
	sticky   int64   // how long a conversation keeps its account
	failover float64 // share refused with 429 and sent again by the next account
	jitter   int64
	multi    float64 // chance that a piece of work is followed up
	work     voice
	cover    voice   // nil: none
	covered  float64 // share of the stream that is cover
	probe    float64
	grade    float64
	serial   uint64 // pieces of work begun
	campaign int32  // -1: honest
	last     []job  // recent harvest, for grading
	bias     []palladium.TokenBias
}

// relief is an account that is given up for another one.
type relief struct {
	t    int64
	seat int32
	slot int32 // of the new account
}

// job is a request that waits for its time.
type job struct {
	t     int64
	line  line
	slot  int32 // of the account in the fleet
	kept  int64 // until when the conversation keeps its account
	cover bool
	again uint8 // how often it was refused
	probe bool
}

func (f *fleet) perform(g *stage, t int64) int64 {
	j := f.pop()
	v := f.work
	if j.cover {
		v = f.cover
	}
	status := g.fill(t, j.line, f.wires[j.slot], v, f.r)
	if j.probe {
		f.sweep(g, j.line.seed)
	}
	if f.campaign >= 0 {
		g.mark = Mark{Campaign: int(f.campaign), Harvest: !j.cover}
		g.tally(t)
	} else {
		g.mark = Mark{Campaign: -1}
	}
	switch {
	case j.again < 3 && (status == 429 || f.r.Float64() < f.failover):
		f.refuse(g)
		j.slot = f.assign()
		j.kept = t + f.sticky
		j.line.acc = f.accounts[j.slot]
		j.t = t + arrival.Second + f.r.Int64N(12*arrival.Second)
		j.again++
		f.push(j)
	case status == 200 && !j.probe && j.line.turn < 8 && f.r.Float64() < f.multi:
		j.line.turn++
		j.again = 0
		j.t = t + 8*arrival.Second + int64(f.r.ExpFloat64()*float64(3*arrival.Minute))
		if j.t > j.kept {
			j.slot, j.kept = f.assign(), j.t+f.sticky
			j.line.acc = f.accounts[j.slot]
		}
		f.push(j)
	}
	if status == 200 && !j.cover && f.grade > 0 && j.line.turn == 0 && j.line.seed>>62 == 0 {
		if len(f.last) < 256 {
			f.last = append(f.last, j)
		} else {
			f.last[f.r.IntN(256)] = j
		}
	}
	return f.advance()
}

// refuse turns the exchange just filled into one that was answered with 429.
func (f *fleet) refuse(g *stage) {
	g.e.Outcome = palladium.Outcome{Status: 429, MS: 30}
	g.e.Usage, g.e.Output = palladium.Usage{}, ""
}

// advance takes in work until it is certain which request comes next, and returns its time.
func (f *fleet) advance() int64 {
	for f.source < f.until && (len(f.pending) == 0 || f.source <= f.pending[0].t) {
		f.take()
		f.source = f.clock.Next(f.r, f.source)
	}
	if len(f.pending) == 0 {
		return arrival.Never
	}
	return f.pending[0].t
}

// take accepts the piece of work that arrives at f.source.
func (f *fleet) take() {
	for len(f.reliefs) > 0 && f.reliefs[0].t <= f.source {
		f.seats[f.reliefs[0].seat] = f.reliefs[0].slot
		f.reliefs = f.reliefs[1:]
	}
	j := job{t: f.source, slot: f.assign()}
	if f.jitter > 0 {
		j.t += f.r.Int64N(f.jitter)
	}
	j.kept = j.t + f.sticky
	j.line = line{acc: f.accounts[j.slot], seed: f.serial, key: prose.Mix(f.key, f.serial)}
	switch u := f.r.Float64(); {
	case f.cover != nil && f.r.Float64() < f.covered:
		j.cover = true
		j.line.seed, j.line.key = f.r.Uint64(), f.r.Uint64()
	case u < f.probe:
		j.probe = true
		j.line.seed = f.serial | probeBit
		f.serial++
	case u < f.probe+f.grade && len(f.last) > 20:
		j.line.seed = f.last[f.r.IntN(len(f.last))].line.seed | gradeBit
		j.line.key = f.r.Uint64()
	default:
		f.serial++
	}
	f.push(j)
}

// Marks in the seed of a harvest line.
const (
	probeBit = uint64(1) << 62
	gradeBit = uint64(1) << 63
)

// sweep makes the exchange one step of a logit_bias sweep over the vocabulary (Carlini et al. 2024, section 4).
func (f *fleet) sweep(g *stage, seed uint64) {
	p := &g.e.Params
	p.Has |= palladium.HasMaxTokens | palladium.HasTemperature | palladium.HasLogprobs | palladium.HasTopLogprobs | palladium.HasLogitBias
	p.MaxTokens, p.Temperature, p.Logprobs, p.TopLogprobs = 1, 0, true, 5
	f.bias = f.bias[:0]
	base := uint32(seed&^probeBit) * 4
	for i := range uint32(5) {
		token := uint32(100)
		if i > 0 {
			token = (base + i) % 100000
		}
		f.bias = append(f.bias, palladium.TokenBias{Token: token, Bias: 100})
	}
	p.LogitBias = append(p.LogitBias[:0], f.bias...)
	if g.style.Usage && g.e.Outcome.Status == 200 {
		g.e.Usage.Output, g.e.Usage.Reasoning = 1, 0
	}
	g.e.Output = ""
}

// assign picks the account for the next request, and returns its slot.
func (f *fleet) assign() int32 {
	switch {
	case f.random:
		return f.seats[f.r.IntN(len(f.seats))]
	case f.quota != nil:
		i, _ := slices.BinarySearch(f.quota, f.r.Float64()*f.quota[len(f.quota)-1])
		return f.seats[min(i, len(f.seats)-1)]
	}
	return f.seats[f.ring.take()]
}

func (f *fleet) push(j job) {
	if j.t >= f.until {
		return
	}
	f.pending = append(f.pending, j)
	i := len(f.pending) - 1
	for i > 0 && f.pending[i].t < f.pending[(i-1)/2].t {
		f.pending[i], f.pending[(i-1)/2] = f.pending[(i-1)/2], f.pending[i]
		i = (i - 1) / 2
	}
}

func (f *fleet) pop() job {
	q := f.pending
	top := q[0]
	last := len(q) - 1
	q[0] = q[last]
	q = q[:last]
	f.pending = q
	for i := 0; ; {
		c := 2*i + 1
		if c >= len(q) {
			return top
		}
		if c+1 < len(q) && q[c+1].t < q[c].t {
			c++
		}
		if q[i].t <= q[c].t {
			return top
		}
		q[i], q[c] = q[c], q[i]
		i = c
	}
}

// lru is a ring of seats, the least recently used first. Follow-ups on a kept account do not move it, as in the
// public relays.
type lru struct {
	order []int32
	at    int
}

func (l *lru) take() int32 {
	x := l.order[l.at]
	l.at++
	if l.at == len(l.order) {
		l.at = 0
	}
	return x
}

// harvester says what a campaign is there for.
type harvester struct {
	f     *frame
	text  string
	forms []corpus.Form
	cues  bool
	list  []string
	about corpus.Domain
	key   uint64  // of the fleet: answers follow from it
	scale float64 // length of answers, relative
}

func (v *harvester) frame() *frame { return v.f }

func (v *harvester) say(c *Corpus, b []byte, seed uint64, turn int) []byte {
	h := prose.Mix(v.key, prose.Mix(seed, uint64(turn)))
	switch {
	case seed&probeBit != 0:
		return append(b, []string{"a", "Hello", "The"}[v.key%3]...)
	case seed&gradeBit != 0 && turn == 0:
		return v.quote(c, b, seed&^gradeBit)
	case turn > 0 && h%3 == 0:
		return c.Book.Cue(b, h)
	}
	seed &^= gradeBit
	switch v.text {
	case TextGenerated, TextQueue:
		if len(v.list) == 0 {
			if v.about.Book != nil {
				b = v.about.Book.Instruct(b, h)
			} else {
				b = c.Book.Instruct(b, h)
			}
			break
		}
		i := permute((seed+uint64(turn)*977)%uint64(len(v.list)), uint64(len(v.list)), v.key)
		b = append(b, v.list[i]...)
	case TextParaphrased:
		f := v.forms[h%uint64(len(v.forms))]
		for i, p := range f.Parts {
			if i > 0 {
				b = c.Passage(b, prose.Mix(h, uint64(i)), true, v.about)
			}
			b = c.Book.Paraphrase(b, p, prose.Mix(h, uint64(100+i)))
		}
	default:
		return c.Fill(b, v.forms[h>>20%uint64(len(v.forms))], h, true, v.about)
	}
	if v.cues {
		b = c.Book.Cue(b, h)
	}
	return b
}

// quote asks to grade the answer given to piece of work seed, whoever received it.
func (v *harvester) quote(c *Corpus, b []byte, seed uint64) []byte {
	b = c.Book.Paraphrase(b, "Grade the following answer carefully. Give a short reasoning and a final score.\nQuestion: ", prose.Mix(v.key, seed))
	b = v.say(c, b, seed, 0)
	b = append(b, "\nAnswer: "...)
	answer := prose.Mix(prose.Mix(v.key, seed), 0)
	b = c.Book.Answer(b, answer, v.f.wordsOf(answer, v.scale))
	return append(b, "\nScore:"...)
}
