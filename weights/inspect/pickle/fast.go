package pickle

import "encoding/binary"

// margin is how many bytes before the end of the window, or of a frame, the slow way takes over.
const margin = 16

// manyMemo is from how many entries on the memo is taken to become a great one.
const manyMemo = 1 << 15

// fast takes the opcodes that most of a stream consists of, as long as nothing about them needs a closer look, and
// leaves the first other one to the slow way. It changes nothing that the slow way would not change alike.
func (w *walker) fast() {
	if len(w.memo) >= manyMemo && cap(w.memo) < maxMemo {
		// All of it at once: what is not written takes no memory, and growing by steps would leave as much again as garbage.
		memo := make([]value, len(w.memo), maxMemo) // not slices.Grow, which writes
		copy(memo, w.memo)
		w.memo = memo
	}
	buf, pos, stack, memo := w.buf, w.pos, w.stack, w.memo
	limit := len(buf) - margin
	if w.frameEnd != 0 {
		limit = int(min(int64(limit), w.frameEnd-w.base-margin))
	}
	dense := uint64(len(memo)) == w.memoLen
loop:
	for pos <= limit && len(stack) < maxStack {
		size, v := 1, opaque
		switch buf[pos] {
		case opNone, opNewTrue, opNewFalse, opEmptyDict, opEmptyList, opEmptyTuple, opEmptySet:
		case opBinInt1:
			size = 2
		case opBinInt2:
			size = 3
		case opBinInt:
			size = 5
		case opBinFloat:
			size = 9
		case opShortBinUnicode, opShortBinString, opShortBinBytes:
			n := int(buf[pos+1])
			if n >= 8 && candidate(buf[pos+2]) {
				break loop
			}
			size, v = 2+n, text|value(w.base+int64(pos))
		case opBinUnicode, opBinString, opBinBytes:
			n := binary.LittleEndian.Uint32(buf[pos+1:])
			if n >= 8 && candidate(buf[pos+5]) || n > window {
				break loop
			}
			size, v = 5+int(n), text|value(w.base+int64(pos))
		case opMemoize:
			if !dense || len(stack) == 0 || len(memo) >= maxMemo {
				break loop
			}
			memo = append(memo, stack[len(stack)-1])
			pos++
			continue
		case opBinPut:
			if !dense || len(stack) == 0 || int(buf[pos+1]) != len(memo) {
				break loop
			}
			memo = append(memo, stack[len(stack)-1])
			pos += 2
			continue
		case opLongBinPut:
			if !dense || len(stack) == 0 || int(binary.LittleEndian.Uint32(buf[pos+1:])) != len(memo) || len(memo) >= maxMemo {
				break loop
			}
			memo = append(memo, stack[len(stack)-1])
			pos += 5
			continue
		case opBinGet:
			i := int(buf[pos+1])
			if i >= len(memo) || memo[i] == unset {
				break loop
			}
			size, v = 2, memo[i]
		default:
			break loop
		}
		if size > limit-pos {
			break
		}
		stack = append(stack, v)
		pos += size
	}
	if dense {
		w.memoLen = uint64(len(memo))
	}
	w.pos, w.stack, w.memo = pos, stack, memo
}

// candidate reports whether data that begin so may be a pickle, as they are or as text.
func candidate(first byte) bool {
	switch first {
	case opProto, opGlobal, opMark, opEmptyTuple, opEmptyDict, opEmptyList, 'g', 'Y', 'K', 0xc2:
		return true
	}
	return false
}
