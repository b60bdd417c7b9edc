package pickle

import (
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/palladium-guard/palladium/weights/inspect"
)

// globalLines takes a global from two lines and pushes it.
func (w *walker) globalLines() bool {
	l, ok := w.line()
	if !ok {
		return false
	}
	module := clip(l)
	if l, ok = w.line(); !ok {
		w.name(module, "?") // a broken stream, and yet what it was about to name
		return false
	}
	w.push(w.name(module, clip(l)))
	return true
}

func clip(b []byte) string { return string(b[:min(len(b), maxName)]) }

// name returns the global of that name.
func (w *walker) name(module, name string) value {
	key := [2]string{module, name}
	if i, ok := w.byName[key]; ok {
		return global | value(i)
	}
	if len(w.globals) >= maxGlobals {
		w.giveUp("the pickle names more than %d globals", maxGlobals)
		return computed
	}
	i := len(w.globals)
	w.byName[key] = i
	w.globals = append(w.globals, named{module: module, name: name, offset: w.op, verdict: w.judge(module, name)})
	return global | value(i)
}

func (w *walker) judge(module, name string) inspect.Verdict {
	// TorchScript names the classes of its own code so; only its interpreter resolves them.
	if w.f.Role == inspect.RoleScript && strings.HasPrefix(module, "__torch__") {
		return inspect.Safe
	}
	return w.rules.Judge(module, name)
}

// stackGlobal names a global by two strings of the stack.
func (w *walker) stackGlobal(module, name value) {
	m, ok := w.str(module)
	n, ok2 := w.str(name)
	if ok && ok2 {
		w.push(w.name(m, n))
		return
	}
	if w.trial {
		w.end = broken
		return
	}
	if !w.reported.computed {
		w.reported.computed = true
		w.f.Report(inspect.RuleGlobal, inspect.Suspicious, w.op, "names code by a text that it computes, so that what it names cannot be seen")
	}
	w.push(computed)
}

// str reads again a string that was pushed before.
func (w *walker) str(v value) (string, bool) {
	if v.kind() != text {
		return "", false
	}
	b := w.f.Bytes(v.arg(), maxName+16)
	if len(b) < 2 {
		return "", false
	}
	op, b := b[0], b[1:]
	var n uint64
	switch op {
	case opString, opUnicode:
		l, _, ok := bytes.Cut(b, []byte("\n"))
		if !ok {
			return "", false
		}
		return unescape(op, l)
	case opShortBinUnicode, opShortBinString, opShortBinBytes:
		n, b = uint64(b[0]), b[1:]
	case opBinUnicode, opBinString, opBinBytes:
		if len(b) < 4 {
			return "", false
		}
		n, b = uint64(binary.LittleEndian.Uint32(b)), b[4:]
	default:
		if len(b) < 8 {
			return "", false
		}
		n, b = binary.LittleEndian.Uint64(b), b[8:]
	}
	if n > maxName || n > uint64(len(b)) {
		return "", false
	}
	return string(b[:n]), true
}

// unescape resolves what Python's codecs resolve in a line of text.
func unescape(op byte, l []byte) (string, bool) {
	if op == opString {
		if len(l) < 2 || l[0] != l[len(l)-1] {
			return "", false
		}
		l = l[1 : len(l)-1]
	}
	var b strings.Builder
	for i := 0; i < len(l); i++ {
		if l[i] != '\\' || i+1 == len(l) {
			b.WriteByte(l[i])
			continue
		}
		digits, base := 0, 16
		switch c := l[i+1]; {
		case c == 'u':
			digits = 4
		case c == 'U':
			digits = 8
		case op == opString && c == 'x':
			digits = 2
		case op == opString && c >= '0' && c <= '7':
			digits, base = 1, 8
			for digits < 3 && i+1+digits < len(l) && l[i+1+digits] >= '0' && l[i+1+digits] <= '7' {
				digits++
			}
			i--
		default:
			if op == opString {
				i++
				c = l[i]
			}
			b.WriteByte(c)
			if op == opUnicode {
				i++
			}
			continue
		}
		if i+2+digits > len(l) {
			return "", false
		}
		r, err := strconv.ParseUint(string(l[i+2:i+2+digits]), base, 32)
		if err != nil {
			return "", false
		}
		b.WriteRune(rune(r))
		i += 1 + digits
	}
	return b.String(), true
}

// call marks what is called and pushes what it returns.
func (w *walker) call(v value) {
	w.calls++
	switch v.kind() {
	case global:
		w.globals[v.arg()].called = true
	default:
		if !w.trial && !w.reported.computed {
			w.reported.computed = true
			w.f.Report(inspect.RuleCall, inspect.Suspicious, w.op, "calls a value that it computes, so that what runs cannot be seen")
		}
	}
	w.push(computed)
}

// look tries whether the next n bytes hold a pickle.
func (w *walker) look(n uint64) {
	if w.trial || w.nested >= maxNested || !w.more(int(min(n, 16))) {
		return
	}
	b := w.buf[w.pos:min(len(w.buf), w.pos+int(min(n, window)))]
	switch b[0] {
	case opProto:
		if b[1] > 5 {
			return
		}
	case opGlobal, opMark, opEmptyTuple, opEmptyDict, opEmptyList:
	case 'g', 'Y', 'K': // base64 of the former
		w.lookText(b)
		return
	case 0xc2: // protocol 2 of Python 3 writes bytes as text in which each character is one of them
		w.lookLatin(n)
		return
	default:
		return
	}
	size := int64(min(n, uint64(max(w.f.Size-w.at(), 0))))
	w.inner(w.f.Part(w.at(), size))
}

// lookLatin tries whether the next n bytes are the characters of a pickle.
func (w *walker) lookLatin(n uint64) {
	if w.buf[w.pos+1] != opProto || w.buf[w.pos+2] > 5 {
		return
	}
	w.more(int(min(n, window)))
	b := w.buf[w.pos:min(len(w.buf), w.pos+int(min(n, window)))]
	raw := make([]byte, 0, len(b))
	for len(b) > 0 {
		r, size := utf8.DecodeRune(b)
		if r > 0xff {
			break
		}
		raw, b = append(raw, byte(r)), b[size:]
	}
	w.inner(w.f.Made(raw))
}

// lookText tries whether text is the base64 form of a pickle.
func (w *walker) lookText(b []byte) {
	if w.trial || w.nested >= maxNested || len(b) < 16 {
		return
	}
	switch {
	case b[0] == 'g' && b[1] == 'A':
	case b[0] == 'Y' || b[0] == 'K':
	default:
		return
	}
	for _, c := range b[:16] {
		if !strings.ContainsRune("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/-_=\\n", rune(c)) {
			return
		}
	}
	clean := make([]byte, 0, len(b))
	for _, c := range b {
		switch c {
		case '\n', '\r', ' ', '=':
		case '-':
			clean = append(clean, '+')
		case '_':
			clean = append(clean, '/')
		default:
			clean = append(clean, c)
		}
	}
	raw := make([]byte, base64.RawStdEncoding.DecodedLen(len(clean)))
	k, _ := base64.RawStdEncoding.Decode(raw, clean) // what is before the first error counts
	if k < 4 {
		return
	}
	w.inner(w.f.Made(raw[:k]))
}

// inner walks a pickle that may lie in the data, and reports it when it is one.
func (w *walker) inner(f *inspect.File) {
	if !looksLike(f, w.rules) {
		return
	}
	w.inside++
	op := w.at()
	w.f.Report(inspect.RuleNested, inspect.Suspicious, op, "the data hold another pickle")
	n := newWalker(f, w.rules, 0)
	n.nested = w.nested + 1
	n.walk()
}
