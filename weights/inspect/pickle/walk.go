package pickle

import (
	"bytes"
	"encoding/binary"
	"io"

	"github.com/palladium-guard/palladium/weights/inspect"
)

// The bounds of a walk.
const (
	window     = 256 << 10 // bytes of the stream in memory
	maxLine    = window    // of an argument that ends with a newline, as far as it is looked at
	maxStack   = 1 << 19
	maxMemo    = 1 << 20
	maxFar     = 1 << 10
	maxMarks   = 1 << 16
	maxGlobals = 2048
	maxName    = 512
	maxNested  = 3
	trialOps   = 1 << 12
	trialSize  = 8 << 10 // window of a trial
)

// value is what is known of an object: its kind in the upper 8 bits, and below them a place or an index.
type value uint64

const (
	unset    value = iota << 56
	opaque         // harmless, whatever it is
	text           // a string made by the opcode at that offset
	global         // by its index
	computed       // what a call returned
	unknown        // from beyond the memo's bound
)

const kindMask value = 0xff << 56

func (v value) kind() value { return v & kindMask }
func (v value) arg() int64  { return int64(v &^ kindMask) }

// named is one global of a stream.
type named struct {
	module, name string
	offset       int64
	called       bool
	verdict      inspect.Verdict
}

// outcome is how a stream ended.
type outcome uint8

const (
	running outcome = iota
	stopped         // by STOP
	broken          // by the end of the file or an opcode that no unpickler takes
	gaveUp          // beyond a bound
)

// walker follows a pickle as an unpickler would, with symbols in place of objects.
type walker struct {
	f      *inspect.File
	rules  *Rules
	nested int  // pickles around this one
	trial  bool // only to see whether it is a pickle: breaks at the first thing that no pickler writes

	buf  []byte
	base int64 // place of buf[0] in the file
	pos  int   // in buf

	stack   []value
	marks   []int32
	memo    []value
	memoLen uint64           // entries that are set, kept or not: what MEMOIZE numbers by
	far     map[uint64]value // entries that no pickler numbers so, and unpicklers take
	globals []named
	byName  map[[2]string]int

	op       int64 // place of the current opcode
	ops      int64
	protocol int
	frameEnd int64 // 0 outside of a frame
	end      outcome
	calls    int
	magic    bool // the stream pushed the magic number of PyTorch's old format
	inside   int  // pickles found in the data
	reported reported
}

// reported keeps what can happen at every opcode from being said more than once.
type reported struct{ underflow, computed, frame, memo, registry, persistent, build bool }

func newWalker(f *inspect.File, rules *Rules, at int64) *walker {
	return &walker{f: f, rules: rules, base: at, byName: map[[2]string]int{}}
}

// at is the place of the next byte.
func (w *walker) at() int64 { return w.base + int64(w.pos) }

// more tries to have n bytes in the window, n <= window, and reports whether it has.
func (w *walker) more(n int) bool {
	if len(w.buf)-w.pos >= n {
		return true
	}
	if w.buf == nil {
		size := min(w.f.Size-w.base, window)
		if w.trial {
			size = min(size, trialSize)
		}
		if size <= 0 {
			return false
		}
		w.buf = make([]byte, 0, size)
	}
	kept := copy(w.buf[:cap(w.buf)], w.buf[w.pos:])
	w.base, w.pos = w.at(), 0
	k, err := w.f.ReadAt(w.buf[kept:cap(w.buf)], w.base+int64(kept))
	if err != nil && k == 0 && err != io.EOF {
		w.f.Unreadable(err)
	}
	w.buf = w.buf[:kept+k]
	return len(w.buf) >= n
}

// skip moves n bytes on, or breaks at the end of the file.
func (w *walker) skip(n uint64) bool {
	left := uint64(max(w.f.Size-w.at(), 0))
	if n > left {
		w.fail("an opcode's argument of %d bytes leads beyond the end of the file", n)
		return false
	}
	if n <= uint64(len(w.buf)-w.pos) {
		w.pos += int(n)
		return true
	}
	w.base, w.pos, w.buf = w.at()+int64(n), 0, w.buf[:0]
	return true
}

// line reads up to a newline and returns what comes before it, cut at maxLine. It is valid until the next read.
func (w *walker) line() ([]byte, bool) {
	if i := bytes.IndexByte(w.buf[w.pos:], '\n'); i >= 0 {
		l := w.buf[w.pos : w.pos+i]
		w.pos += i + 1
		return l, true
	}
	w.more(min(maxLine, cap(w.buf)))
	if i := bytes.IndexByte(w.buf[w.pos:], '\n'); i >= 0 {
		l := w.buf[w.pos : w.pos+i]
		w.pos += i + 1
		return l, true
	}
	for w.more(1) {
		if i := bytes.IndexByte(w.buf[w.pos:], '\n'); i >= 0 {
			w.pos += i + 1
			return w.buf[:0], true
		}
		w.pos = len(w.buf)
	}
	w.fail("a line has no end")
	return nil, false
}

// fail ends the stream where no unpickler goes on.
func (w *walker) fail(format string, args ...any) {
	if w.end != running {
		return
	}
	w.end = broken
	if w.trial {
		return
	}
	w.f.Report(inspect.RuleBroken, inspect.Suspicious, w.op, "the pickle breaks; what comes before runs all the same: "+format, args...)
}

// odd reports what unpicklers differ on or refuse, and goes on as if it were accepted.
func (w *walker) odd(once *bool, rule inspect.Rule, format string, args ...any) {
	if w.trial {
		if rule == inspect.RuleBroken || rule == inspect.RuleMemo {
			w.end = broken
		}
		return
	}
	if !*once {
		*once = true
		w.f.Report(rule, inspect.Suspicious, w.op, format, args...)
	}
}

func (w *walker) giveUp(format string, args ...any) {
	if w.end == running {
		w.end = gaveUp
		w.f.Report(inspect.RuleLimit, inspect.Unknown, w.op, format, args...)
	}
}

// walk follows one stream to its end.
func (w *walker) walk() outcome {
	for w.end == running {
		if len(w.buf)-w.pos < 16 && !w.more(16) && w.pos >= len(w.buf) {
			w.op = w.at()
			w.fail("the file ends without a STOP")
			break
		}
		if !w.trial && !w.rules.slow {
			if w.fast(); w.pos >= len(w.buf) {
				continue
			}
		}
		w.op = w.base + int64(w.pos)
		op := w.buf[w.pos]
		w.pos++
		w.ops++
		if !w.scalar(op) {
			w.structure(op)
		}
		if w.frameEnd != 0 && w.at() >= w.frameEnd {
			if w.at() > w.frameEnd {
				w.odd(&w.reported.frame, inspect.RuleFrame, "an opcode crosses the end of its frame")
			}
			w.frameEnd = 0
		}
		if w.trial && w.ops >= trialOps {
			w.end = gaveUp
		}
	}
	w.close()
	return w.end
}

// close reports what the stream names.
func (w *walker) close() {
	if w.trial {
		return
	}
	if w.end == stopped && w.frameEnd != 0 {
		w.odd(&w.reported.frame, inspect.RuleFrame, "the pickle stops before the end of its frame")
	}
	for _, g := range w.globals {
		if g.verdict == inspect.Safe {
			continue
		}
		verb := "names"
		if g.called {
			verb = "calls"
		}
		reason := "which is not known to be harmless"
		if g.verdict == inspect.Hostile {
			reason = "which can run commands, load code or reach files and the network"
		}
		w.f.Report(inspect.RuleGlobal, g.verdict, g.offset, "loading %s %s, %s", verb, inspect.Quote(g.module+"."+g.name), reason)
	}
}

func (w *walker) push(v value) {
	if len(w.stack) >= maxStack {
		w.giveUp("the pickle holds more than %d objects at once", maxStack)
		return
	}
	w.stack = append(w.stack, v)
}

// pop takes n values and returns the deepest of them. It does not reach below the last mark.
func (w *walker) pop(n int) value {
	floor := 0
	if len(w.marks) > 0 {
		floor = int(w.marks[len(w.marks)-1])
	}
	if len(w.stack)-n < floor {
		w.underflow()
		w.stack = w.stack[:floor]
		return unknown
	}
	v := w.stack[len(w.stack)-n]
	w.stack = w.stack[:len(w.stack)-n]
	return v
}

func (w *walker) underflow() {
	w.odd(&w.reported.underflow, inspect.RuleBroken, "an opcode takes more from the stack than is there")
}

// toMark takes all values down to the last mark.
func (w *walker) toMark() []value {
	if len(w.marks) == 0 {
		w.underflow()
		return nil
	}
	m := int(w.marks[len(w.marks)-1])
	w.marks = w.marks[:len(w.marks)-1]
	m = min(m, len(w.stack))
	vs := w.stack[m:]
	w.stack = w.stack[:m]
	return vs
}

func (w *walker) top() value {
	if len(w.stack) == 0 {
		w.underflow()
		return unknown
	}
	return w.stack[len(w.stack)-1]
}

// put remembers the top of the stack.
func (w *walker) put(i uint64) {
	v := w.top()
	switch {
	case i < maxMemo && i <= uint64(len(w.memo))+4096:
		for uint64(len(w.memo)) <= i {
			w.memo = append(w.memo, unset)
		}
		if w.memo[i] == unset {
			w.memoLen++
		}
		w.memo[i] = v
	case i >= maxMemo && i <= w.memoLen: // a great pickle: its later entries read as unknown
		w.memoLen = max(w.memoLen, i+1)
	case len(w.far) >= maxFar:
		w.giveUp("the pickle sets more than %d memo entries out of order", maxFar)
	default:
		if w.far == nil {
			w.far = map[uint64]value{}
		}
		if _, ok := w.far[i]; !ok {
			w.memoLen++
		}
		w.far[i] = v
		if !w.trial { // unpicklers take it
			w.odd(&w.reported.memo, inspect.RuleMemo, "memo entry %d is set where %d are in use", i, w.memoLen)
		}
	}
}

func (w *walker) get(i uint64) {
	if v, ok := w.far[i]; ok {
		w.push(v)
		return
	}
	switch {
	case i < uint64(len(w.memo)) && w.memo[i] != unset:
		w.push(w.memo[i])
	case i >= maxMemo && i < w.memoLen:
		w.push(unknown)
	default:
		w.odd(&w.reported.memo, inspect.RuleMemo, "memo entry %d is read before it is set", i)
		w.push(unknown)
	}
}

func le(b []byte) uint64 {
	var x [8]byte
	copy(x[:], b)
	return binary.LittleEndian.Uint64(x[:])
}
