// Package pickle follows Python pickles of protocols 0 to 5 opcode by opcode, with symbols in place of objects, and says
// which code loading them would name and call. It resolves nothing and runs nothing.
package pickle

import (
	"slices"

	"github.com/palladium-guard/palladium/weights/inspect"
)

// maxStreams is how many pickles of one file are followed.
const maxStreams = 100_000

// Format returns the format of files that are pickles, under those rules.
func Format(rules *Rules) inspect.Format {
	return inspect.Format{
		Name:       "pickle",
		Extensions: extensions(),
		Match:      func(f *inspect.File) bool { return Match(f, rules) },
		Scan:       func(f *inspect.File) { Scan(f, rules) },
	}
}

func extensions() []string {
	return []string{".pkl", ".pickle", ".joblib", ".dill", ".pt", ".pth", ".ckpt"}
}

// Match reports whether the file begins with a pickle. Pickles of protocols 0 and 1 have no mark: a file counts as one
// when it can be followed to a STOP or to a call, or when it names code and its name promises a pickle.
func Match(f *inspect.File, rules *Rules) bool {
	if h := f.Head(); len(h) >= 2 && h[0] == opProto && h[1] <= 5 || looksLike(f, rules) {
		return true
	}
	promised := slices.Contains(extensions(), f.Extension())
	if !promised && !slices.Contains([]string{".bin", ".dat", ".model"}, f.Extension()) {
		return false
	}
	w := trial(f, rules)
	return promised && len(w.globals) > 0 || w.real()
}

func trial(f *inspect.File, rules *Rules) *walker {
	w := newWalker(f.Quiet(), rules, 0)
	w.trial = true
	w.walk()
	return w
}

// looksLike tells by content alone.
func looksLike(f *inspect.File, rules *Rules) bool {
	h := f.Head()
	if len(h) < 2 {
		return false
	}
	w := trial(f, rules)
	if h[0] == opProto && h[1] <= 5 {
		return w.end != broken || w.ops > 3
	}
	return w.end == gaveUp || w.end == stopped && w.ops > 1 || w.real() && w.calls > 0
}

// real reports whether the pickle names what Python could have given a name.
func (w *walker) real() bool {
	return slices.ContainsFunc(w.globals, func(g named) bool { return identifier(g.module) && identifier(g.name) })
}

// Scan follows every pickle in the file.
func Scan(f *inspect.File, rules *Rules) { ScanAt(f, rules, 0) }

// ScanAt follows every pickle in the file from that offset on.
func ScanAt(f *inspect.File, rules *Rules, at int64) {
	w := newWalker(f, rules, at)
	for streams := 1; ; streams++ {
		if w.walk() != stopped {
			return
		}
		next := w.at()
		if next >= f.Size {
			return
		}
		if streams == 1 && w.magic {
			scanTorch(f, rules, next)
			return
		}
		if streams >= maxStreams {
			f.Report(inspect.RuleLimit, inspect.Unknown, next, "there are more than %d pickles in the file", maxStreams)
			return
		}
		rest := f.Part(next, f.Size-next)
		if !looksLike(rest, rules) {
			f.Report(inspect.RuleTail, inspect.Suspicious, next, "%d bytes follow the end of the pickle", f.Size-next)
			return
		}
		f.Report(inspect.RuleStreams, inspect.Safe, -1, "the file holds several pickles; all are inspected")
		w = w.again(next)
	}
}

// scanTorch follows the old format of PyTorch, torch.serialization._legacy_save: after the magic number a protocol
// version, a description of the machine, the object and the keys of its storages, each a pickle; then raw storages.
func scanTorch(f *inspect.File, rules *Rules, at int64) {
	role := f.Role
	f.Role = inspect.RoleTorch
	defer func() { f.Role = role }()
	w := newWalker(f, rules, at)
	for i := range 4 {
		if w.walk() != stopped {
			return
		}
		at = w.at()
		if i < 3 {
			w = w.again(at)
		}
	}
	if at < f.Size && looksLike(f.Part(at, f.Size-at), rules) {
		f.Report(inspect.RuleStreams, inspect.Suspicious, at, "a pickle lies where the storages should be")
		w.again(at).walk()
	}
}

// again is a walker for the next stream that reuses this one's memory.
func (w *walker) again(at int64) *walker {
	n := newWalker(w.f, w.rules, w.base)
	n.buf, n.pos, n.stack, n.marks, n.memo, n.nested = w.buf, w.pos, w.stack[:0], w.marks[:0], w.memo[:0], w.nested
	if n.at() != at {
		n.base, n.pos, n.buf = at, 0, n.buf[:0]
	}
	return n
}
