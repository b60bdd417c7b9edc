// Package tensor looks into the formats that hold tensors and nothing that runs: safetensors, GGUF and NumPy arrays. It
// reports what their readers disagree on, lengths that lead out of the file, and the places where code hides all the
// same: object arrays and chat templates.
package tensor

import (
	"cmp"
	"slices"

	"github.com/palladium-guard/palladium/weights/inspect"
)

// maxTensors is how many tensors of a file have their places compared.
const maxTensors = 400_000

// Formats returns the formats. Objects inspects the pickle that lies in a file from that offset on.
func Formats(objects func(f *inspect.File, at int64)) []inspect.Format {
	return []inspect.Format{
		{Name: "safetensors", Extensions: []string{".safetensors"}, Match: matchSafetensors, Scan: scanSafetensors},
		{Name: "GGUF", Extensions: []string{".gguf"}, Match: matchGGUF, Scan: scanGGUF},
		{Name: "NumPy array", Extensions: []string{".npy"}, Match: matchNumPy, Scan: func(f *inspect.File) { scanNumPy(f, objects) }},
	}
}

// span is where a tensor lies, in bytes from the start of the data.
type span struct{ start, end int64 }

// checkSpans looks for tensors that share bytes, bytes that belong to none, and bytes behind the last. Pad is how far
// apart tensors may lie, plus one, and so how many bytes may follow the last; base is where the data begin.
func checkSpans(f *inspect.File, spans []span, base, pad int64) {
	slices.SortFunc(spans, func(a, b span) int { return cmp.Or(cmp.Compare(a.start, b.start), cmp.Compare(a.end, b.end)) })
	var at int64
	for _, s := range spans {
		switch {
		case s.start < at && s.end > s.start:
			f.Report(inspect.RuleOverlap, inspect.Suspicious, base+s.start, "tensors share bytes")
		case s.start-at >= pad:
			f.Report(inspect.RuleHole, inspect.Suspicious, base+at, "%d bytes between tensors belong to none", s.start-at)
		}
		at = max(at, s.end)
	}
	if left := f.Size - base - at; left >= pad {
		f.Report(inspect.RuleTail, inspect.Suspicious, base+at, "%d bytes follow the last tensor", left)
	}
}

// product multiplies, and returns false where the result does not fit.
func product(values ...uint64) (int64, bool) {
	p := uint64(1)
	for _, v := range values {
		if v != 0 && p > (1<<62)/v {
			return 0, false
		}
		p *= v
	}
	return int64(p), true
}
