package world

import (
	"strings"

	"github.com/palladium-guard/palladium/internal/prose"
)

// Corpus is the text and the arrival shapes of a world. What attackers send is never what benign applications send;
// public benchmarks are open to both.
type Corpus struct {
	book      *prose.Book
	threads   [][]string // what one real person wrote, in order; none in an own corpus
	asks      []string   // real prompts of people to assistants
	support   [][]string // short lines, by intent
	appForms  []form
	appSlots  []string
	forms     []form // attackers' wordings
	slots     []string
	generated []string // model-made instructions
	benches   [][]string
	tools     []tool
	shapes    []shape
	gaps      []float32 // seconds between a person's requests within a sitting
	hours     [24]float64
}

// form is a template: fixed parts with a slot between each two.
type form struct{ parts []string }

// tool is an open tool that thousands use: its name and system prompt.
type tool struct{ name, prompt string }

// shape is how an application's requests arrive: cumulated share of its requests over windows of ten minutes, and
// the coefficient of variation of the intervals.
type shape struct {
	cum []float32
	cv  float64
}

// OwnCorpus makes its own text. It needs no files.
func OwnCorpus(seed uint64) *Corpus {
	c := &Corpus{book: prose.New(seed)}
	for i := range uint64(600) {
		c.appForms = append(c.appForms, form{c.book.Form(prose.Mix(seed, 2*i), false)})
		c.forms = append(c.forms, form{c.book.Form(prose.Mix(seed, 2*i+1), false)})
	}
	for b := range uint64(3) {
		list := make([]string, 0, 4000)
		for i := range uint64(4000) {
			if b == 1 {
				list = append(list, string(c.book.Code(nil, prose.Mix(b, i))))
			} else {
				list = append(list, string(c.book.Math(nil, prose.Mix(b, i))))
			}
		}
		c.benches = append(c.benches, list)
	}
	for i := range uint64(3) {
		var b strings.Builder
		for j := range uint64(6) {
			b.WriteString(c.book.System(prose.Mix(i, j)))
			b.WriteByte('\n')
		}
		c.tools = append(c.tools, tool{c.book.Word(i) + "-cli", b.String()})
	}
	c.hours = dayShape()
	c.shapes = ownShapes(seed)
	return c
}

// dayShape is the usual share of a person's sittings by local hour, its maximum 1.
func dayShape() [24]float64 {
	return [24]float64{.25, .15, .08, .05, .04, .05, .1, .25, .5, .75, .9, .95, .85, .9, 1, 1, .95, .9, .8, .75, .75, .7, .6, .4}
}

// ownShapes makes arrival shapes of applications: flat, office hours, nightly, bursty and drifting ones.
func ownShapes(seed uint64) []shape {
	const windows = 1008
	day := dayShape()
	var out []shape
	for i := range uint64(60) {
		rates := make([]float64, windows)
		level := 1.0
		for w := range rates {
			h := (w / 6) % 24
			u := float64(prose.Mix(prose.Mix(seed, i), uint64(w))%1000) / 1000
			level = max(0.2, min(5, level*(0.93+0.14*u)))
			switch i % 5 {
			case 0:
				rates[w] = 1
			case 1:
				rates[w] = day[h] * level
			case 2:
				if uint64(h) == i%24 {
					rates[w] = 1
				}
			case 3:
				if u > 0.9 {
					rates[w] = level * 10
				}
			case 4:
				rates[w] = level
			}
		}
		out = append(out, newShape(rates, 0.6+float64(i%7)*0.5))
	}
	return out
}

func newShape(rates []float64, cv float64) shape {
	s := shape{cum: make([]float32, len(rates)), cv: cv}
	sum := 0.0
	for _, r := range rates {
		sum += r
	}
	run := 0.0
	for i, r := range rates {
		run += r
		s.cum[i] = float32(run / sum)
	}
	return s
}

// domain is what an application or a campaign deals with: a stretch of the slot texts, which stand in the order of
// the data sets they come from, and a book of few topics. The zero domain is everything.
type domain struct {
	book  *prose.Book
	at    uint64 // where the stretch begins
	width int
}

// narrow returns a domain that follows from owner.
func (c *Corpus) narrow(owner uint64) domain {
	return domain{book: c.book.Narrow(owner, 3), at: owner, width: 150 + int(owner>>8%400)}
}

// passage appends slot text of domain d. Attackers and applications draw from separate pools.
func (c *Corpus) passage(b []byte, seed uint64, hostile bool, d domain) []byte {
	pool := c.appSlots
	if hostile {
		pool = c.slots
	}
	book := c.book
	if d.book != nil {
		book = d.book
	}
	if d.width > 0 && len(pool) > d.width {
		at := int(d.at % uint64(len(pool)-d.width))
		pool = pool[at : at+d.width]
	}
	if len(pool) == 0 {
		side := uint64(0)
		if hostile {
			side = 1
		}
		switch seed % 4 {
		case 0:
			if d.book == nil {
				return book.Math(b, prose.Mix(seed, side))
			}
		case 1:
			return book.Code(b, prose.Mix(seed, side))
		}
		return book.Passage(b, prose.Mix(seed, side), 1+int(seed>>8%3))
	}
	text := pool[seed%uint64(len(pool))]
	if other := pool[(seed>>20)%uint64(len(pool))]; seed>>60 < 6 {
		// Half of one and half of another: the pool is finite, a campaign's draw is not.
		text, other = text[:cutAt(text, len(text)/2)], other[cutAt(other, len(other)/2):]
		b = append(b, text...)
		return append(b, other...)
	}
	return append(b, text...)
}

// cutAt returns the end of the word at i.
func cutAt(s string, i int) int {
	if j := strings.IndexByte(s[i:], ' '); j >= 0 {
		return i + j
	}
	return len(s)
}

// fill appends f with its slots filled.
func (c *Corpus) fill(b []byte, f form, seed uint64, hostile bool, d domain) []byte {
	for i, p := range f.parts {
		if i > 0 {
			b = c.passage(b, prose.Mix(seed, uint64(i)), hostile, d)
		}
		b = append(b, p...)
	}
	return b
}
