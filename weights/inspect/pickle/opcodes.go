package pickle

import (
	"bytes"
	"encoding/binary"
	"strconv"
	"unicode"

	"github.com/zeebo/xxh3"

	"github.com/palladium-guard/palladium/weights/inspect"
)

// Opcodes by their names in CPython's Lib/pickle.py.
const (
	opMark           = '('
	opStop           = '.'
	opPop            = '0'
	opPopMark        = '1'
	opDup            = '2'
	opFloat          = 'F'
	opInt            = 'I'
	opBinInt         = 'J'
	opBinInt1        = 'K'
	opLong           = 'L'
	opBinInt2        = 'M'
	opNone           = 'N'
	opPersID         = 'P'
	opBinPersID      = 'Q'
	opReduce         = 'R'
	opString         = 'S'
	opBinString      = 'T'
	opShortBinString = 'U'
	opUnicode        = 'V'
	opBinUnicode     = 'X'
	opAppend         = 'a'
	opBuild          = 'b'
	opGlobal         = 'c'
	opDict           = 'd'
	opEmptyDict      = '}'
	opAppends        = 'e'
	opGet            = 'g'
	opBinGet         = 'h'
	opInst           = 'i'
	opLongBinGet     = 'j'
	opList           = 'l'
	opEmptyList      = ']'
	opObj            = 'o'
	opPut            = 'p'
	opBinPut         = 'q'
	opLongBinPut     = 'r'
	opSetItem        = 's'
	opTuple          = 't'
	opEmptyTuple     = ')'
	opSetItems       = 'u'
	opBinFloat       = 'G'

	opProto    = 0x80
	opNewObj   = 0x81
	opExt1     = 0x82
	opExt2     = 0x83
	opExt4     = 0x84
	opTuple1   = 0x85
	opTuple2   = 0x86
	opTuple3   = 0x87
	opNewTrue  = 0x88
	opNewFalse = 0x89
	opLong1    = 0x8a
	opLong4    = 0x8b

	opBinBytes      = 'B'
	opShortBinBytes = 'C'

	opShortBinUnicode = 0x8c
	opBinUnicode8     = 0x8d
	opBinBytes8       = 0x8e
	opEmptySet        = 0x8f
	opAddItems        = 0x90
	opFrozenSet       = 0x91
	opNewObjEx        = 0x92
	opStackGlobal     = 0x93
	opMemoize         = 0x94
	opFrame           = 0x95

	opByteArray8     = 0x96
	opNextBuffer     = 0x97
	opReadonlyBuffer = 0x98
)

// scalar takes the opcodes that push a value without looking at others, which are most of a stream. It returns false
// for the rest.
func (w *walker) scalar(op byte) bool {
	switch op {
	case opNone, opNewTrue, opNewFalse, opEmptyDict, opEmptyList, opEmptyTuple, opEmptySet:
		w.push(opaque)
	case opBinInt1:
		w.fixed(1)
	case opBinInt2:
		w.fixed(2)
	case opBinInt:
		w.fixed(4)
	case opBinFloat:
		w.fixed(8)
	case opShortBinUnicode, opShortBinString, opShortBinBytes:
		w.sized(op, 1)
	case opBinUnicode, opBinString, opBinBytes:
		w.sized(op, 4)
	case opBinUnicode8, opBinBytes8, opByteArray8:
		w.sized(op, 8)
	case opMemoize:
		w.put(w.memoLen)
	case opBinPut:
		if w.need(1) {
			w.pos++
			w.put(uint64(w.buf[w.pos-1]))
		}
	case opBinGet:
		if w.need(1) {
			w.pos++
			w.get(uint64(w.buf[w.pos-1]))
		}
	case opLongBinPut:
		if w.need(4) {
			w.pos += 4
			w.put(uint64(binary.LittleEndian.Uint32(w.buf[w.pos-4:])))
		}
	case opLongBinGet:
		if w.need(4) {
			w.pos += 4
			w.get(uint64(binary.LittleEndian.Uint32(w.buf[w.pos-4:])))
		}
	case opLong1:
		w.long(1)
	case opLong4:
		w.long(4)
	case opInt, opFloat, opLong:
		if _, ok := w.line(); ok {
			w.push(opaque)
		}
	case opString, opUnicode:
		w.quoted()
	default:
		return false
	}
	return true
}

// structure takes the opcodes that combine values.
func (w *walker) structure(op byte) {
	switch op {
	case opMark:
		if len(w.marks) >= maxMarks {
			w.giveUp("the pickle is nested more than %d deep", maxMarks)
			return
		}
		w.marks = append(w.marks, int32(len(w.stack)))
	case opStop:
		if len(w.stack) == 0 {
			w.underflow()
		}
		w.end = stopped
	case opPop:
		if n := len(w.marks); n > 0 && int(w.marks[n-1]) == len(w.stack) {
			w.marks = w.marks[:n-1]
			return
		}
		w.pop(1)
	case opPopMark:
		w.toMark()
	case opDup:
		w.push(w.top())
	case opTuple, opList, opDict, opFrozenSet:
		w.toMark()
		w.push(opaque)
	case opAppends, opSetItems, opAddItems:
		w.toMark()
		w.top()
	case opAppend:
		w.pop(1)
		w.top()
	case opSetItem:
		w.pop(2)
		w.top()
	case opTuple1, opTuple2, opTuple3:
		w.pop(int(op-opTuple1) + 1)
		w.push(opaque)
	case opPut, opGet:
		w.textIndex(op)
	case opProto:
		w.proto()
	case opFrame:
		w.frame()
	case opNextBuffer:
		w.odd(&w.reported.persistent, inspect.RulePersistent, "the pickle takes a buffer from outside of the file")
		w.push(opaque)
	case opReadonlyBuffer:
		w.top()
	default:
		w.code(op)
	}
}

// code takes the opcodes that name or call something.
func (w *walker) code(op byte) {
	switch op {
	case opGlobal:
		w.globalLines()
	case opStackGlobal:
		if len(w.stack) < 2 {
			w.underflow()
			w.stack = append(w.stack[:0], unknown, unknown)
		}
		name := w.pop(1)
		w.stackGlobal(w.pop(1), name)
	case opReduce, opNewObj:
		w.pop(1)
		w.call(w.pop(1))
	case opNewObjEx:
		w.pop(2)
		w.call(w.pop(1))
	case opInst:
		if w.globalLines() {
			v := w.pop(1)
			w.toMark()
			w.call(v)
		}
	case opObj:
		vs := w.toMark()
		if len(vs) == 0 {
			w.underflow()
			w.call(unknown)
			return
		}
		w.call(vs[0])
	case opBuild:
		w.pop(1)
		if v := w.top(); v.kind() == global && !w.reported.build {
			w.reported.build = true
			g := w.globals[v.arg()]
			w.f.Report(inspect.RuleBuild, inspect.Suspicious, w.op, "sets attributes of %s itself", inspect.Quote(g.module+"."+g.name))
		}
	case opExt1, opExt2, opExt4:
		if n := 1 << (op - opExt1); w.need(n) {
			code := le(w.buf[w.pos : w.pos+n])
			w.pos += n
			w.odd(&w.reported.registry, inspect.RuleRegistry, "names code %d of the extension registry, which is different in every process", code)
			w.push(computed)
		}
	case opPersID:
		l, ok := w.line()
		if w.trial && bytes.ContainsFunc(l, func(r rune) bool { return r < ' ' || r >= 0x7f }) {
			w.end = broken // "PK" of a zip archive, not an id
		}
		if ok {
			w.persistent()
		}
	case opBinPersID:
		w.pop(1)
		w.persistent()
	default:
		w.fail("byte %#02x is no opcode", op)
	}
}

func (w *walker) need(n int) bool {
	if len(w.buf)-w.pos >= n {
		return true
	}
	w.fail("the file ends within an opcode")
	return false
}

func (w *walker) fixed(n int) {
	if w.need(n) {
		w.pos += n
		w.push(opaque)
	}
}

// sized takes a string or bytes with their length in n bytes before them.
func (w *walker) sized(op byte, n int) {
	if !w.need(n) {
		return
	}
	var length uint64
	switch n {
	case 1:
		length = uint64(w.buf[w.pos])
	case 4:
		length = uint64(binary.LittleEndian.Uint32(w.buf[w.pos:]))
	default:
		length = binary.LittleEndian.Uint64(w.buf[w.pos:])
	}
	w.pos += n
	if length >= 8 {
		w.look(length)
	}
	if w.skip(length) {
		w.push(text | value(w.op))
	}
}

// long takes a whole number with its length in n bytes before it.
func (w *walker) long(n int) {
	if !w.need(n) {
		return
	}
	length := le(w.buf[w.pos : w.pos+n])
	w.pos += n
	if n == 4 && length > 1<<31-1 {
		w.fail("a number has a negative length")
		return
	}
	if length == 10 && w.more(10) && bytes.Equal(w.buf[w.pos:w.pos+10], []byte("\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19")) {
		w.magic = true
	}
	if w.skip(length) {
		w.push(opaque)
	}
}

// quoted takes a string in text form.
func (w *walker) quoted() {
	l, ok := w.line()
	if !ok {
		return
	}
	if len(l) >= 8 {
		w.lookText(bytes.Trim(l, `'"`))
	}
	w.push(text | value(w.op))
}

func (w *walker) textIndex(op byte) {
	l, ok := w.line()
	if !ok {
		return
	}
	i, ok := entry(l)
	if !ok {
		w.odd(&w.reported.memo, inspect.RuleMemo, "a memo entry is not a number")
		if op == opGet {
			w.push(unknown)
		}
		return
	}
	if op == opGet {
		w.get(i)
	} else {
		w.put(i)
	}
}

// entry reads the number of a memo entry as int() of Python does: spaces, a sign, underscores, digits of any script, and
// any size. A number that is too great becomes another one, the same for the same digits.
func entry(line []byte) (uint64, bool) {
	digits := make([]byte, 0, 32)
	for _, r := range string(bytes.TrimPrefix(bytes.TrimSpace(line), []byte("+"))) {
		d := decimal(r)
		switch {
		case r == '_':
		case d < 0:
			return 0, false
		case len(digits) > 0 || d > 0:
			digits = append(digits, byte('0'+d))
		}
	}
	if len(digits) == 0 {
		return 0, len(line) > 0 && bytes.ContainsAny(line, "0")
	}
	i, err := strconv.ParseUint(string(digits), 10, 63)
	if err != nil {
		i = 1<<63 | xxh3.Hash(digits)
	}
	return i, true
}

// decimal returns the value of a decimal digit, -1 for anything else. In Unicode digits stand in runs from zero to nine,
// which begin where the table of digits has a place that ten divides.
func decimal(r rune) int {
	if r >= '0' && r <= '9' {
		return int(r - '0')
	}
	if r < 0x80 || !unicode.IsDigit(r) {
		return -1
	}
	n := 0
	for before := r - 1; unicode.IsDigit(before); before-- {
		n++
	}
	return n % 10
}

func (w *walker) proto() {
	if !w.need(1) {
		return
	}
	p := int(w.buf[w.pos])
	w.pos++
	if p > 5 {
		w.fail("protocol %d is not known", p)
		return
	}
	w.protocol = p
}

func (w *walker) frame() {
	if !w.need(8) {
		return
	}
	n := binary.LittleEndian.Uint64(w.buf[w.pos:])
	w.pos += 8
	switch left := uint64(w.f.Size - w.at()); {
	case w.frameEnd != 0 && w.at() < w.frameEnd:
		w.odd(&w.reported.frame, inspect.RuleFrame, "a frame begins within another")
	case n > left:
		w.odd(&w.reported.frame, inspect.RuleFrame, "a frame of %d bytes leads beyond the end of the file", n)
		n = 0
	}
	w.frameEnd = 0
	if n > 0 {
		w.frameEnd = w.at() + int64(n)
	}
}

func (w *walker) persistent() {
	if w.f.Role != inspect.RoleTorch && w.f.Role != inspect.RoleScript && !w.trial && !w.reported.persistent {
		w.reported.persistent = true
		w.f.Report(inspect.RulePersistent, inspect.Suspicious, w.op, "names an object that the loader resolves by itself, outside of a PyTorch file")
	}
	w.push(opaque)
}
