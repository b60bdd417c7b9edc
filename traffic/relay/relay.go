// Package relay decides, chunk by chunk, what of an answer passes on to its caller: it follows the bytes, draws their
// tokens from the reservation, keeps the text that is to be measured, takes out what policy does not show, and ends a
// stream between two events.
package relay

import (
	"bytes"
	"sync"

	"github.com/palladium-guard/palladium/internal/wire"
)

// Reserved is what an answer may draw: a reservation of package budget.
type Reserved interface {
	Draw(tokens int64) bool // false: they are not left, and nothing was taken
	Left() int64
}

// Options say how an answer is relayed.
type Options struct {
	Semantics wire.Semantics
	Redactor  wire.Redactor
	Endpoint  wire.Endpoint
	Streamed  bool // server-sent events; else one body
	Redaction wire.Redaction
	Reserved  Reserved   // what the answer is drawn from; nil: nothing is drawn
	Text      int        // bytes of the answer's text that are kept to be measured
	Spare     *sync.Pool // of *[]byte: memory to hold bytes back in, taken only where there are some; may be nil
}

// Ending says that an answer is over before its upstream says so.
type Ending uint8

// The endings.
const (
	Goes       Ending = iota // it is not
	Met                      // its budget is used up
	Unreadable               // policy cannot be applied to it, since it cannot be read
)

// Answer is one answer on its way. It belongs to one goroutine. The zero value passes everything and follows nothing.
type Answer struct {
	Scan    wire.Scanner // what the answer has shown so far
	Follows bool         // Begin was called
	Drawn   int64        // tokens taken from the reservation
	Stopped bool         // the answer was ended at its budget

	opt    Options
	closed bool
	form   wire.Form
	edit   *wire.Editor // of a stream that policy changes
	hides  bool         // the change is only that usage is hidden that the gateway asked for
	edited []byte       // memory of changed events
	tail   []byte       // of a stream that passes by whole events: those that passed last, and the beginning of the next
	memory *[]byte      // of tail, from the pool; nil: there is none, or it is its own
	past   int          // how much of tail has passed
	late   bool         // a carriage return is held back: the line feed that may follow belongs to the same event
	begun  bool         // part of an event passed before whole events were waited for
}

// Begin makes a ready for an answer.
func (a *Answer) Begin(o Options) {
	a.opt, a.Follows = o, true
	a.Scan.Reset(o.Semantics, o.Streamed, nil)
	if o.Streamed {
		a.Scan.Learn(&a.form)
	}
	if o.Streamed && o.Redaction.Any() {
		a.edit = new(wire.Editor)
		a.edit.Reset(o.Redactor, o.Endpoint, o.Redaction)
		a.hides = o.Redaction == (wire.Redaction{UsageChunk: true})
	}
}

// Body follows a chunk of an answer that is no stream; it passes as it is.
func (a *Answer) Body(p []byte) {
	if a.Follows {
		a.keep(p)
		a.Scan.Scan(p)
	}
}

// Follow takes in one chunk of a stream and returns what of it, and of what was held back, may pass now: bytes of p, or of
// the Answer's memory until the next call. With an Ending, the stream ends behind them, between two events.
func (a *Answer) Follow(p []byte) ([]byte, Ending) {
	if !a.Follows {
		return p, Goes
	}
	a.keep(p)
	end := Goes
	metered := a.metered()
	if a.hides || a.late || metered && (a.tail != nil || a.opt.Reserved.Left() <= 2*int64(len(p))) {
		p, end = a.wholeEvents(p, metered)
	} else {
		a.Scan.Scan(p)
		if metered {
			a.draw() // a chunk has fewer tokens than bytes, so it cannot meet the limit
		}
	}
	if a.edit == nil || a.hides {
		return p, end
	}
	var err error
	if a.edited, err = a.edit.Write(a.edited[:0], p); err != nil {
		return a.edited, Unreadable
	}
	return a.edited, end
}

// Rest returns what was held back of a stream that the upstream has ended.
func (a *Answer) Rest() []byte {
	if a.edit != nil && !a.hides {
		a.edited = a.edit.Close(a.edited[:0])
		return a.edited
	}
	if a.late {
		a.late = false
		a.Scan.Scan([]byte{'\r'})
		return append(bytes.Clone(a.tail[a.past:]), '\r')
	}
	return a.tail[a.past:]
}

// Between reports whether what has passed of a stream ends between two events, so that something can be put in there.
func (a *Answer) Between() bool {
	return a.Follows && (a.edit != nil || a.tail != nil || a.Scan.AtBoundary())
}

// Close tells, once, that no more comes.
func (a *Answer) Close() {
	if a.Follows && !a.closed {
		a.closed = true
		a.past = 0
		a.letGo()
		a.Scan.Close()
	}
}

func (a *Answer) metered() bool { return a.opt.Reserved != nil && a.opt.Endpoint.Generates() }

// wholeEvents follows a chunk event by event and returns the events that end in it. The bytes behind the last one are
// held back, so that the stream can be ended, or an event left out, between two events.
func (a *Answer) wholeEvents(p []byte, metered bool) ([]byte, Ending) {
	if a.late && len(p) > 0 {
		p, a.late = append([]byte{'\r'}, p...), false
	}
	if n := len(p); n > 0 && p[n-1] == '\r' {
		p, a.late = p[:n-1], true
	}
	if len(p) == 0 {
		return nil, Goes
	}
	a.tail = a.tail[:copy(a.tail, a.tail[a.past:])]
	a.past, a.edited = 0, a.edited[:0]
	if len(a.tail) == 0 {
		a.letGo()
		if a.edit == nil {
			a.begun = !a.Scan.AtBoundary()
		}
	}
	all, at := p, 0
	if len(a.tail) > 0 {
		at = len(a.tail)
		a.tail = append(a.tail, p...)
		all = a.tail
	}
	safe, copied := 0, 0 // all[copied:safe] is to pass behind what is in edited
	for at < len(all) {
		n, end := a.Scan.Step(all[at:])
		at += n
		if !end {
			break
		}
		if metered && !a.draw() {
			if a.begun {
				safe = at
			}
			a.tail, a.Stopped = a.tail[:0], true
			return a.joined(all[copied:safe]), Met
		}
		if event := all[safe:at]; a.hides && bytes.Contains(event, []byte(usageName)) {
			a.edited = append(a.edited, all[copied:safe]...)
			var err error
			if a.edited, err = a.withoutUsage(a.edited, event); err != nil {
				a.tail = a.tail[:0]
				return a.edited, Unreadable
			}
			copied = at
		}
		safe, a.begun = at, false
	}
	if a.begun {
		return all, Goes // the rest of an event of which a part has passed; nothing is held back yet
	}
	if len(all)-safe > giantEvent {
		a.begun = true
		safe = len(all)
	}
	if len(a.tail) > 0 {
		a.past = safe
	} else if safe < len(all) {
		a.holdBack(all[safe:])
	}
	return a.joined(all[copied:safe]), Goes
}

// holdBack keeps p, behind nothing, for the next call.
func (a *Answer) holdBack(p []byte) {
	if a.opt.Spare != nil {
		a.memory = a.opt.Spare.Get().(*[]byte)
		a.tail = (*a.memory)[:0]
	}
	a.tail = append(a.tail, p...)
}

// letGo gives the memory of the tail back.
func (a *Answer) letGo() {
	if a.memory != nil {
		a.opt.Spare.Put(a.memory)
	}
	a.memory, a.tail = nil, nil
}

// giantEvent is how much of an event is held back before it is passed on unfinished: it is an answer, not its usage.
const giantEvent = 128 << 10

// joined returns what was edited and what follows it. Where nothing was edited, nothing is copied.
func (a *Answer) joined(rest []byte) []byte {
	if len(a.edited) == 0 {
		return rest
	}
	a.edited = append(a.edited, rest...)
	return a.edited
}

const usageName = `"usage":`

// withoutUsage appends an event without the usage that the caller did not ask for: none of it where it has nothing else,
// and all but the null that announces it in every other one. A quote within a JSON string is always escaped, so what is
// looked for is never part of a text.
func (a *Answer) withoutUsage(dst, event []byte) ([]byte, error) {
	at := bytes.Index(event, []byte(usageName))
	rest := bytes.TrimLeft(event[at+len(usageName):], " ")
	if !bytes.HasPrefix(rest, []byte("null")) {
		if a.begun { // a part of it has passed
			return append(dst, event...), nil
		}
		return a.edit.Write(dst, event)
	}
	rest = rest[len("null"):]
	kept := bytes.TrimRight(event[:at], " ")
	if n := len(kept); n > 0 && kept[n-1] == ',' {
		kept = kept[:n-1]
	} else if len(rest) > 0 && rest[0] == ',' {
		rest = bytes.TrimLeft(rest[1:], " ")
	}
	return append(append(dst, kept...), rest...), nil
}

// Tokens is what the answer has cost so far, as far as it shows: one for each event that brings output. An upstream that
// puts several into one event is bounded by the max_tokens that it was sent.
func (a *Answer) Tokens() int64 { return int64(a.Scan.Deltas) }

// Estimate is what an answer has cost for which the upstream gave no figures to the end. A body that is no stream is one
// event however long it is, so there the bytes of its output are counted, and of a stream too where its events are so large
// that each must hold several tokens.
func (a *Answer) Estimate() int64 {
	per := int64(bytesOfBody)
	if a.opt.Streamed {
		per = bytesOfEvent
	}
	return max(a.Tokens(), (a.Scan.Bytes+per-1)/per)
}

// How many bytes of output make a token: about, and at least where text is what people write.
const (
	bytesOfBody  = 4
	bytesOfEvent = 8
)

// draw takes from the reservation what the events since the last draw have cost; false when it is used up.
func (a *Answer) draw() bool {
	n := a.Tokens()
	if n == a.Drawn {
		return true
	}
	if !a.opt.Reserved.Draw(n - a.Drawn) {
		return false
	}
	a.Drawn = n
	return true
}

// keep makes room for the answer's text, which is kept until it is measured.
func (a *Answer) keep(p []byte) {
	have, used := cap(a.Scan.Text), len(a.Scan.Text)
	if have < a.opt.Text && have-used < len(p) {
		grown := min(max(2*have, used+len(p)), a.opt.Text)
		a.Scan.Text = append(make([]byte, 0, grown), a.Scan.Text...)
	}
}
