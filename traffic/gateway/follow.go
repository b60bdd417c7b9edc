package gateway

import (
	"bytes"
	"errors"
	"net/http"

	"github.com/palladium-guard/palladium"
)

// follow takes in one chunk of the upstream's and returns what of it, and of what was held back, may pass. With a
// refusal, the stream ends behind that.
func (x *exchange) follow(p []byte) ([]byte, *refusal) {
	if !x.scanned {
		return p, nil
	}
	x.collect(p)
	var ended *refusal
	metered := x.reserved != nil && x.route.Kind.Generates()
	if x.hides || metered && (x.tail != nil || x.reserved.Left() <= 2*int64(len(p))) {
		p, ended = x.wholeEvents(p, metered)
	} else {
		x.scan.Scan(p)
		if metered {
			x.draw() // a chunk has fewer tokens than bytes, so it cannot meet the limit
		}
	}
	if x.edit == nil || x.hides {
		return p, ended
	}
	var err error
	if x.edited, err = x.edit.Write(x.edited[:0], p); err != nil {
		return x.edited, unreadable()
	}
	return x.edited, ended
}

// wholeEvents follows a chunk event by event and returns the events that end in it. The bytes behind the last one are
// held back, so that the stream can be ended, or an event left out, between two events.
func (x *exchange) wholeEvents(p []byte, metered bool) ([]byte, *refusal) {
	if x.tail == nil && x.edit == nil {
		x.begun = !x.scan.AtBoundary()
	}
	x.tail = x.tail[:copy(x.tail, x.tail[x.past:])]
	x.past, x.edited = 0, x.edited[:0]
	all, at := p, 0
	if len(x.tail) > 0 {
		at = len(x.tail)
		x.tail = append(x.tail, p...)
		all = x.tail
	}
	safe, copied := 0, 0 // all[copied:safe] is to pass behind what is in edited
	for at < len(all) {
		n, end := x.scan.Step(all[at:])
		at += n
		if !end {
			break
		}
		if metered && !x.draw() {
			if x.begun {
				safe = at
			}
			x.tail, x.stopped = x.tail[:0], true
			return x.joined(all[copied:safe]), x.met()
		}
		if event := all[safe:at]; x.hides && bytes.Contains(event, []byte(usageName)) {
			x.edited = append(x.edited, all[copied:safe]...)
			var err error
			if x.edited, err = x.withoutUsage(x.edited, event); err != nil {
				x.tail = x.tail[:0]
				return x.edited, unreadable()
			}
			copied = at
		}
		safe, x.begun = at, false
	}
	if x.begun {
		return all, nil // the rest of an event of which a part has passed; nothing is held back yet
	}
	if len(all)-safe > giantEvent {
		x.begun = true
		safe = len(all)
	}
	if len(x.tail) > 0 {
		x.past = safe
	} else {
		x.tail = append(x.tail, all[safe:]...)
	}
	return x.joined(all[copied:safe]), nil
}

// giantEvent is how much of an event is held back before it is passed on unfinished: it is an answer, not its usage.
const giantEvent = 128 << 10

// joined returns what was edited and what follows it. Where nothing was edited, nothing is copied.
func (x *exchange) joined(rest []byte) []byte {
	if len(x.edited) == 0 {
		return rest
	}
	x.edited = append(x.edited, rest...)
	return x.edited
}

const usageName = `"usage":`

// withoutUsage appends an event without the usage that the caller did not ask for: none of it where it has nothing else,
// and all but the null that announces it in every other one. A quote within a JSON string is always escaped, so what is
// looked for is never part of a text.
func (x *exchange) withoutUsage(dst, event []byte) ([]byte, error) {
	at := bytes.Index(event, []byte(usageName))
	rest := bytes.TrimLeft(event[at+len(usageName):], " ")
	if !bytes.HasPrefix(rest, []byte("null")) {
		if x.begun { // a part of it has passed
			return append(dst, event...), nil
		}
		return x.edit.Write(dst, event)
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

// tokens is what the answer has cost so far, as far as it shows: one for each event that brings output. An upstream that
// puts several into one event is bounded by the max_tokens that it was sent.
func (x *exchange) tokens() int64 { return int64(x.scan.Deltas) }

// draw takes from the reservation what the events since the last draw have cost; false when it is used up.
func (x *exchange) draw() bool {
	n := x.tokens()
	if n == x.drawn {
		return true
	}
	if !x.reserved.Draw(n - x.drawn) {
		return false
	}
	x.drawn = n
	return true
}

// met is the refusal that ends a stream at its budget.
func (x *exchange) met() *refusal {
	f := &refusal{status: http.StatusTooManyRequests, reason: "budget.output", says: "The answer was ended: the budget for output tokens is used up."}
	if v := &x.standing.Verdict; x.standing.Enforced && v.Measure == palladium.MeasureBudget {
		f.reason, f.appeal = reasonOf(v.Reason), x.appeal(v)
	}
	return f
}

// endEarly ends a stream with an error event in the caller's dialect, which clients raise as an error. Nothing follows
// it, the dialect's end mark least of all.
func (x *exchange) endEarly(f *refusal) error {
	x.reason = f.reason
	x.cancel(errEnded)
	return x.pass(x.dialect().RefuseEvent(nil, x.route.Kind, f.wire(x.id), x.scan.Sequence), true)
}

var errEnded = errors.New("the gateway ended the answer")

// collect makes room for the answer's text, which is kept until it is measured.
func (x *exchange) collect(p []byte) {
	most := int(x.s.cfg.Observe.Answer)
	if x.g.observer == nil || x.s.cfg.Observe.Off {
		return
	}
	if have := cap(x.scan.Text); have < most && have-len(x.scan.Text) < len(p) {
		grown := min(max(2*have, len(x.scan.Text)+len(p)), most)
		x.scan.Text = append(make([]byte, 0, grown), x.scan.Text...)
	}
}
