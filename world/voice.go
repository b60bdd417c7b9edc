package world

import (
	"github.com/palladium-guard/palladium"
	"github.com/palladium-guard/palladium/internal/prose"
	"github.com/palladium-guard/palladium/internal/prose/corpus"
)

// voice is what an account says. A text is a function of the conversation's seed and the turn, so that a
// conversation can be sent again without being stored.
type voice interface {
	say(c *Corpus, b []byte, seed uint64, turn int) []byte
	frame() *frame
}

// frame is what goes around every prompt of a voice.
type frame struct {
	system string
	tools  []string
	words  int               // mean length of an answer
	think  int               // mean reasoning tokens
	params *palladium.Params // over those of the account
	chat   bool              // people's conversations: the share of continued ones applies
}

// person writes from a real thread of its own, from real threads shared with others but reworded, or from the book.
type person struct {
	f       *frame
	id      uint64
	thread  int32 // -1: the book
	second  int32
	alone   bool // no other account has the thread
	reworks int8
}

func (p *person) frame() *frame { return p.f }

func (p *person) say(c *Corpus, b []byte, seed uint64, turn int) []byte {
	if len(c.Asks) > 0 && seed%14 == 0 && turn == 0 {
		return c.Book.Remix(b, c.Asks[seed>>8%uint64(len(c.Asks))], p.id, seed, 12)
	}
	if p.thread < 0 || len(c.Threads) == 0 {
		return c.Book.Ask(b, p.id, seed, turn)
	}
	lines := c.Threads[p.thread]
	if !p.alone && seed>>16%3 == 0 {
		lines = c.Threads[p.second]
	}
	at := int(seed>>24%uint64(len(lines))) + turn
	line := lines[at%len(lines)]
	percent := int(p.reworks)
	if p.alone {
		percent = 0
	}
	b = c.Book.Remix(b, line, p.id, prose.Mix(seed, uint64(turn)), percent)
	if len(line) < 50 && seed>>20%2 == 0 {
		b = append(b, ' ')
		b = c.Book.Remix(b, lines[(at+1)%len(lines)], p.id, seed, percent)
	}
	return b
}

// crowd is many people behind one voice: each conversation is of another one.
type crowd struct {
	f       *frame
	members []*person
}

func (v *crowd) frame() *frame { return v.f }

func (v *crowd) say(c *Corpus, b []byte, seed uint64, turn int) []byte {
	return v.members[seed>>32%uint64(len(v.members))].say(c, b, seed, turn)
}

// program fills its own templates.
type program struct {
	f     *frame
	forms []corpus.Form
	about corpus.Domain
}

func (p *program) frame() *frame { return p.f }

func (p *program) say(c *Corpus, b []byte, seed uint64, _ int) []byte {
	return c.Fill(b, p.forms[seed>>40%uint64(len(p.forms))], seed, false, p.about)
}

// supportBot passes on short lines of its customers.
type supportBot struct {
	f       *frame
	app     uint64
	intents []int32
}

func (v *supportBot) frame() *frame { return v.f }

func (v *supportBot) say(c *Corpus, b []byte, seed uint64, _ int) []byte {
	if len(c.Support) == 0 {
		return c.Book.Support(b, v.app, seed)
	}
	lines := c.Support[v.intents[seed%uint64(len(v.intents))]]
	return c.Book.Remix(b, lines[seed>>16%uint64(len(lines))], v.app, seed, 8)
}

// examiner runs a public benchmark in an order of its own; seed counts the questions. A set of size questions out of
// the list, with an own wording around each.
type examiner struct {
	f          *frame
	list       []string
	size       int
	order      uint64
	head, tail string
}

func (v *examiner) frame() *frame { return v.f }

func (v *examiner) say(_ *Corpus, b []byte, seed uint64, _ int) []byte {
	i := permute(seed%uint64(v.size), uint64(v.size), v.order)
	if v.size < len(v.list) {
		i = permute(i, uint64(len(v.list)), prose.Mix(v.order, 1))
	}
	b = append(b, v.head...)
	b = append(b, v.list[i]...)
	return append(b, v.tail...)
}

// permute maps i in [0,n) to another place in [0,n), one to one: a Feistel network walked until it falls inside.
func permute(i, n, key uint64) uint64 {
	bits := uint(2)
	for uint64(1)<<bits < n {
		bits += 2
	}
	half := bits / 2
	mask := uint64(1)<<half - 1
	for {
		l, r := i>>half, i&mask
		for round := range uint64(4) {
			l, r = r, l^(prose.Mix(key+round, r)&mask)
		}
		if i = l<<half | r; i < n {
			return i
		}
	}
}

// student does a course's homework in nearly the words of the exercise, or asks as a person.
type student struct {
	person
	course uint64
	tasks  int
}

func (v *student) say(c *Corpus, b []byte, seed uint64, turn int) []byte {
	if seed>>50%10 < 4 || turn > 0 {
		return v.person.say(c, b, seed, turn)
	}
	var task []byte
	task = c.Book.Homework(task, v.course, int(seed%uint64(v.tasks)))
	b = append(b, []string{"", "help: ", "my homework: ", "solve this ", "can you check? ", ""}[v.id%6]...)
	return c.Book.Remix(b, string(task), v.id, seed, int(v.id>>8%12))
}

// judging asks for a grade of a candidate answer by a rubric of its own.
type judging struct {
	f      *frame
	rubric string
	own    uint64
	book   *prose.Book // of the topics it deals with
}

func (v *judging) frame() *frame { return v.f }

func (v *judging) say(c *Corpus, b []byte, seed uint64, _ int) []byte {
	b = append(b, v.rubric...)
	b = append(b, "\nQuestion: "...)
	b = v.book.Instruct(b, prose.Mix(v.own, seed))
	b = append(b, "\nCandidate: "...)
	b = c.Book.Answer(b, prose.Mix(v.own, prose.Mix(seed, 5)), 60)
	return append(b, "\nScore 1-10:"...)
}

// worker does one of the bulk jobs that the book knows.
type worker struct {
	f    *frame
	kind Class
	own  uint64
	head string
	book *prose.Book // of the topics it deals with; nil = all
}

func (v *worker) frame() *frame { return v.f }

func (v *worker) say(c *Corpus, b []byte, seed uint64, _ int) []byte {
	b = append(b, v.head...)
	book := c.Book
	if v.book != nil {
		book = v.book
	}
	switch v.kind {
	case ClassReview:
		return c.Book.Diff(b, v.own, seed)
	case ClassBackfill:
		return book.Passage(b, prose.Mix(v.own, seed), 6)
	case ClassDrift:
		return c.Book.Instruct(b, prose.Mix(v.own, seed%40))
	case ClassTool:
		if seed%3 == 0 {
			b = c.Book.Diff(b, v.own, seed)
			b = append(b, '\n')
		}
		return c.Book.Ask(b, v.own, seed, 0)
	}
	return book.Instruct(b, prose.Mix(v.own, seed))
}

// wordsOf returns the length of an answer of f, in words, for one seed.
func (f *frame) wordsOf(seed uint64, length float64) int {
	u := float64(prose.Mix(seed, 21)%1000)/1000 + 0.05
	return max(1, int(float64(f.words)*u*u*3*length))
}
