package world

import (
	"github.com/palladium-guard/palladium/internal/arrival"
	"math/rand/v2"
	"time"

	"github.com/palladium-guard/palladium"
	"github.com/palladium-guard/palladium/internal/prose"
)

// actor is one account, or a dispatcher over several.
type actor interface {
	// perform fills g.e and g.mark with the exchange due at t, and returns when the next one is due.
	perform(g *stage, t int64) int64
}

// cue is an actor's entry in the stage's queue.
type cue struct {
	t int64
	i int32
}

// stage plays a cast: a queue of actors by the time of their next exchange.
type stage struct {
	w     *World
	c     *Corpus
	style *Style
	cast  *cast
	queue []cue // four-ary heap
	start int64
	end   int64
	e     palladium.Exchange
	mark  Mark
	buf   []byte
	count int64
}

func newStage(w *World, k *cast) *stage {
	g := &stage{w: w, c: w.corpus, style: &w.scenario.Style, cast: k, start: k.start, end: k.end}
	for i, t := range k.first {
		if t < g.end {
			g.queue = append(g.queue, cue{t, int32(i)})
		}
	}
	for i := len(g.queue)/4 + 1; i >= 0; i-- {
		g.sift(i)
	}
	return g
}

// step plays the next exchange; false at the end.
func (g *stage) step() bool {
	if len(g.queue) == 0 {
		return false
	}
	top := g.queue[0]
	next := g.cast.actors[top.i].perform(g, top.t)
	if next >= g.end {
		last := len(g.queue) - 1
		g.queue[0] = g.queue[last]
		g.queue = g.queue[:last]
	} else {
		g.queue[0].t = max(next, top.t)
	}
	g.sift(0)
	g.count++
	return true
}

// sift moves entry i down. Ties go to the lower actor, so the order is one.
func (g *stage) sift(i int) {
	q := g.queue
	if i >= len(q) {
		return
	}
	x := q[i]
	for {
		best, at := x, i
		for c := 4*i + 1; c <= 4*i+4 && c < len(q); c++ {
			if q[c].t < best.t || q[c].t == best.t && q[c].i < best.i {
				best, at = q[c], c
			}
		}
		if at == i {
			break
		}
		q[i] = best
		i = at
	}
	q[i] = x
}

// line is one thing to be said: by which account, in which conversation.
type line struct {
	acc  int32
	turn int
	seed uint64 // of the text
	key  uint64 // of the answers: one for each conversation
}

// fill writes the exchange and returns its status. It counts the exchange in the account's truth.
func (g *stage) fill(t int64, l line, w *wire, v voice, r *rand.Rand) int {
	e, f := &g.e, v.frame()
	e.Reset()
	g.cast.truths[l.acc].Exchanges++
	e.ID = "x" + hex(prose.Mix(uint64(g.count), g.cast.seed), 8) + hex(uint64(g.count), 8)
	e.Time = time.UnixMilli(t).UTC()
	e.Account = g.w.accounts[l.acc].ID
	if g.style.Credential {
		e.Credential = w.cred
	}
	g.connect(w, r, t)
	e.Model = modelName(w.model)
	if w.adopt > 0 && t >= w.adopt {
		e.Model = newModel
	}
	e.API = "openai.chat"
	if m := w.client % 18; m == 1 || m == 5 {
		e.API = "anthropic.messages"
	}
	if p := f.params; p != nil {
		g.setParams(p)
	} else if w.params != nil {
		g.setParams(w.params)
	}
	e.System = f.system
	e.Tools = append(e.Tools, f.tools...)
	chars := g.converse(l, v, f)
	return g.finish(l, f, r, chars)
}

func (g *stage) setParams(p *palladium.Params) {
	stop, bias := g.e.Params.Stop, g.e.Params.LogitBias
	g.e.Params = *p
	g.e.Params.Stop = append(stop, p.Stop...)
	g.e.Params.LogitBias = append(bias, p.LogitBias...)
}

// connect fills what the connection shows, as far as the operator logs it.
func (g *stage) connect(w *wire, r *rand.Rand, t int64) {
	ip, asn := w.address(r, t)
	cl, st := &g.e.Client, g.style
	if st.IP {
		cl.IP = ip
	}
	if st.ASN {
		cl.ASN = asn
	}
	if w.bare {
		return
	}
	tuple := &g.w.tuples[w.client]
	if st.UserAgent {
		cl.UserAgent = tuple.agent
	}
	if st.TLS {
		cl.TLS = tuple.tls
	}
	if st.Headers {
		cl.Headers = tuple.headers
	}
	if st.Device {
		cl.Device = w.device
	}
}

// converse writes the messages of the conversation up to the line's turn and returns their length.
func (g *stage) converse(l line, v voice, f *frame) int {
	chars := len(f.system)
	for turn := 0; turn <= l.turn; turn++ {
		g.buf = v.say(g.c, g.buf[:0], l.seed, turn)
		text := string(g.buf)
		g.e.Messages = append(g.e.Messages, palladium.Message{Role: "user", Text: text})
		chars += len(text)
		if turn < l.turn {
			text = g.answer(f, l.key, turn)
			g.e.Messages = append(g.e.Messages, palladium.Message{Role: "assistant", Text: text})
			chars += len(text)
		}
	}
	return chars
}

// answer returns what the model says at a turn of the conversation key.
func (g *stage) answer(f *frame, key uint64, turn int) string {
	seed := prose.Mix(key, uint64(turn))
	g.buf = g.c.Book.Answer(g.buf[:0], seed, f.wordsOf(seed, g.style.Length))
	return string(g.buf)
}

// finish fills outcome, usage and output.
func (g *stage) finish(l line, f *frame, r *rand.Rand, chars int) int {
	e := &g.e
	e.Outcome.Status = 200
	switch u := r.IntN(1000); {
	case u < 6:
		e.Outcome.Status = 429
	case u < 8:
		e.Outcome.Status = 500
	case u < 11:
		e.Outcome.Status = 400
	}
	if e.Outcome.Status != 200 {
		e.Outcome.MS = 20 + r.Float64()*60
		return e.Outcome.Status
	}
	seed := prose.Mix(l.key, uint64(l.turn))
	words := f.wordsOf(seed, g.style.Length)
	tokens := words*4/3 + 1
	e.Outcome.Finish = "stop"
	if e.Params.Has&palladium.HasMaxTokens != 0 && tokens > e.Params.MaxTokens {
		tokens, e.Outcome.Finish = e.Params.MaxTokens, "length"
	}
	think := 0
	if f.think > 0 {
		think = int(float64(f.think) * r.ExpFloat64())
	}
	e.Outcome.TTFTMS = 150 + r.ExpFloat64()*250 + float64(think)*8
	e.Outcome.MS = e.Outcome.TTFTMS + float64(tokens)*12
	if g.style.Usage {
		e.Usage.Input, e.Usage.Output = int64(chars/4+4*len(e.Messages)), int64(tokens+think)
		if g.style.Reasoning {
			e.Usage.Reasoning = int64(think)
		}
	}
	if tokens > 2 && r.Float64() < g.style.Outputs {
		e.Output = g.answer(f, l.key, l.turn)
	}
	return 200
}

// solo is one account with a mind of its own.
type solo struct {
	r        *rand.Rand
	clock    arrival.Clock
	voice    voice
	wire     *wire
	line     line
	until    int64
	campaign int32 // -1: honest
	serial   bool  // seeds count 0, 1, 2 …
	fuss     uint8 // chance in percent that a refused request is sent again
	chat     uint8 // chance in percent that a conversation goes on
}

func (a *solo) perform(g *stage, t int64) int64 {
	g.mark = Mark{Campaign: int(a.campaign)}
	status := g.fill(t, a.line, a.wire, a.voice, a.r)
	if a.campaign >= 0 {
		g.mark.Harvest = g.cast.fleets[a.campaign].Spec.Scheduler == SchedulerIndependent
		g.tally(t)
	}
	if status == 429 && a.r.IntN(100) < int(a.fuss) {
		return t + arrival.Second + a.r.Int64N(25*arrival.Second)
	}
	next := a.clock.Next(a.r, t)
	if next >= a.until {
		return arrival.Never
	}
	switch {
	case a.serial:
		a.line.seed++
		a.line.key = a.r.Uint64()
	case a.chat > 0 && a.line.turn < 9 && next-t < 2*arrival.Hour && a.r.IntN(100) < int(a.chat):
		a.line.turn++
	default:
		a.line.turn, a.line.seed, a.line.key = 0, a.r.Uint64(), a.r.Uint64()
	}
	return next
}

// tally counts the exchange just filled for its campaign.
func (g *stage) tally(t int64) {
	c := &g.cast.fleets[g.mark.Campaign]
	if !g.mark.Harvest {
		c.Camouflage++
		return
	}
	c.Harvest++
	step := int((t - g.start) / TruthStep.Milliseconds())
	for len(c.Timeline) <= step {
		c.Timeline = append(c.Timeline, 0)
	}
	c.Timeline[step]++
}
