// Package corpus gathers text by use (what people, applications and attackers send) and the shapes of load, made up
// or read from a data folder.
package corpus

import (
	"strings"

	"github.com/palladium-guard/palladium/internal/prose"
)

// Corpus is text by use and loads by shape. What attackers send is never what benign applications send; public
// benchmarks are open to both.
type Corpus struct {
	Book      *prose.Book
	Threads   [][]string // what one real person wrote, in order; none in an own corpus
	Asks      []string   // real prompts of people to assistants
	Support   [][]string // short lines, by intent
	AppForms  []Form
	AppSlots  []string // slot texts in the order of the data sets that they come from
	Forms     []Form   // attackers' wordings
	Slots     []string // attackers' slot texts, in the same order
	Generated []string // model-made instructions
	Benches   [][]string
	Tools     []Tool
	Loads     []LoadShape
	Gaps      []float32   // seconds between a person's requests within a sitting
	Hours     [24]float64 // share of a person's sittings by hour, the busiest 1
}

// Form is a template: fixed parts with a slot between each two.
type Form struct{ Parts []string }

// Tool is an open tool that thousands use: its name and system prompt.
type Tool struct{ Name, Prompt string }

// LoadShape is how an application's requests arrive: relative rates in windows of ten minutes, and the mean
// coefficient of variation of the intervals.
type LoadShape struct {
	Rates []float64
	CV    float64
}

// Own makes its own text. It needs no files.
func Own(seed uint64) *Corpus {
	c := &Corpus{Book: prose.New(seed)}
	for i := range uint64(600) {
		c.AppForms = append(c.AppForms, Form{c.Book.Form(prose.Mix(seed, 2*i), false)})
		c.Forms = append(c.Forms, Form{c.Book.Form(prose.Mix(seed, 2*i+1), false)})
	}
	for b := range uint64(3) {
		list := make([]string, 0, 4000)
		for i := range uint64(4000) {
			if b == 1 {
				list = append(list, string(c.Book.Code(nil, prose.Mix(b, i))))
			} else {
				list = append(list, string(c.Book.Math(nil, prose.Mix(b, i))))
			}
		}
		c.Benches = append(c.Benches, list)
	}
	for i := range uint64(3) {
		var b strings.Builder
		for j := range uint64(6) {
			b.WriteString(c.Book.System(prose.Mix(i, j)))
			b.WriteByte('\n')
		}
		c.Tools = append(c.Tools, Tool{c.Book.Word(i) + "-cli", b.String()})
	}
	c.Hours = dayShape()
	c.Loads = ownShapes(seed)
	return c
}

// dayShape is the usual share of a person's sittings by local hour, its maximum 1.
func dayShape() [24]float64 {
	return [24]float64{.25, .15, .08, .05, .04, .05, .1, .25, .5, .75, .9, .95, .85, .9, 1, 1, .95, .9, .8, .75, .75, .7, .6, .4}
}

// ownShapes makes arrival shapes of applications: flat, office hours, nightly, bursty and drifting ones.
func ownShapes(seed uint64) []LoadShape {
	const windows = 1008
	day := dayShape()
	var out []LoadShape
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
		out = append(out, LoadShape{rates, 0.6 + float64(i%7)*0.5})
	}
	return out
}

// Domain is what an application or a campaign deals with: a stretch of the slot texts, which stand in the order of
// the data sets they come from, and a book of few topics. The zero Domain is everything.
type Domain struct {
	Book  *prose.Book
	at    uint64 // where the stretch begins
	width int
}

// Narrow returns a domain that follows from owner.
func (c *Corpus) Narrow(owner uint64) Domain {
	return Domain{Book: c.Book.Narrow(owner, 3), at: owner, width: 150 + int(owner>>8%400)}
}

// Passage appends slot text of d. Attackers and applications draw from separate pools.
func (c *Corpus) Passage(b []byte, seed uint64, hostile bool, d Domain) []byte {
	pool := c.AppSlots
	if hostile {
		pool = c.Slots
	}
	book := c.Book
	if d.Book != nil {
		book = d.Book
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
			if d.Book == nil {
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

// Fill appends f with its slots filled.
func (c *Corpus) Fill(b []byte, f Form, seed uint64, hostile bool, d Domain) []byte {
	for i, p := range f.Parts {
		if i > 0 {
			b = c.Passage(b, prose.Mix(seed, uint64(i)), hostile, d)
		}
		b = append(b, p...)
	}
	return b
}
