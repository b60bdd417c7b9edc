package tensor

import (
	"bytes"
	"encoding/binary"
	"regexp"
	"strconv"
	"strings"

	"github.com/palladium-guard/palladium/weights/inspect"
)

// maxArrayHeader is what NumPy reads without being told to, in bytes, rounded up.
const maxArrayHeader = 64 << 10

func matchNumPy(f *inspect.File) bool { return bytes.HasPrefix(f.Head(), []byte("\x93NUMPY")) }

func scanNumPy(f *inspect.File, objects func(*inspect.File, int64)) {
	h := f.Head()
	if len(h) < 12 {
		f.Report(inspect.RuleBroken, inspect.Suspicious, 0, "the file ends within its header")
		return
	}
	size, start := int64(binary.LittleEndian.Uint16(h[8:])), int64(10)
	if h[6] >= 2 {
		size, start = int64(binary.LittleEndian.Uint32(h[8:])), 12
	}
	if h[6] < 1 || h[6] > 3 {
		f.Report(inspect.RuleHeader, inspect.Suspicious, 6, "array format %d is not known", h[6])
		return
	}
	if size > maxArrayHeader || size > f.Size-start {
		f.Report(inspect.RuleHeader, inspect.Suspicious, 8, "the header claims %d bytes", size)
		return
	}
	text := string(f.Bytes(start, int(size)))
	data := start + size
	// NumPy reads the header as a Python literal: {'descr': '<f4', 'fortran_order': False, 'shape': (3, 4), }
	plain := regexp.MustCompile(`^\{'descr': (.+), 'fortran_order': (?:True|False), 'shape': \(([0-9, ]*)\),? *\}[ \n]*$`)
	m := plain.FindStringSubmatch(text)
	if m == nil {
		f.Report(inspect.RuleHeader, inspect.Suspicious, start, "the header is not as NumPy writes it")
	}
	if regexp.MustCompile(`['"][|<>=^!]?(?:O[0-9]*|object_?)['"]`).MatchString(text) || strings.Contains(text, `\`) {
		f.Report(inspect.RuleObjects, inspect.Suspicious, start, "the array holds Python objects, stored as a pickle")
		objects(f, data)
		return
	}
	if m == nil {
		objects(f, data) // what another reader makes of the header is not known
		return
	}
	item, ok := itemSize(m[1])
	if !ok {
		// What NumPy makes of such a description is known to NumPy alone: '<f4,O' holds objects as well.
		f.Report(inspect.RuleHeader, inspect.Suspicious, start, "the type of the elements is not written as NumPy writes it")
		objects(f, data)
		return
	}
	var err error
	dims := []uint64{item}
	for part := range strings.SplitSeq(m[2], ",") {
		if part = strings.TrimSpace(part); part != "" {
			v, e := strconv.ParseUint(part, 10, 62)
			if e != nil {
				err = e
			}
			dims = append(dims, v)
		}
	}
	want, fits := product(dims...)
	switch {
	case err != nil || !fits || want > f.Size-data:
		f.Report(inspect.RuleBounds, inspect.Suspicious, start, "the array is larger than the file")
	case want < f.Size-data:
		f.Report(inspect.RuleTail, inspect.Suspicious, data+want, "%d bytes follow the array", f.Size-data-want)
	}
}

// itemSize returns how many bytes an element of that type has, by the 'descr' of the header: one type, or a list of fields,
// which may be lists themselves. It returns false for all that NumPy does not write so, and so for all that may hold objects.
func itemSize(descr string) (uint64, bool) {
	one := regexp.MustCompile(`^'[|<>=]?([biufcmMSUV?])([0-9]{0,9})(?:\[[0-9]*[a-zA-Zμ]+\])?'$`)
	list := regexp.MustCompile(`\[\((?:'[^'\[\]]*'|\('[^'\[\]]*', '[^'\[\]]*'\)), '[^',]*'(?:, \([0-9, ]*\))?\)(?:, \((?:'[^'\[\]]*'|\('[^'\[\]]*', '[^'\[\]]*'\)), '[^',]*'(?:, \([0-9, ]*\))?\))*,?\]`)
	field := regexp.MustCompile(`, ('[^',]*')(?:, \(([0-9, ]*)\))?\)`)
	size := func(text string) (uint64, bool) {
		d := one.FindStringSubmatch(text)
		if d == nil {
			return 0, false
		}
		n, err := strconv.ParseUint("0"+d[2], 10, 32)
		switch d[1] {
		case "?":
			n = 1
		case "U":
			n *= 4
		}
		return n, err == nil
	}
	good := true
	for range 16 { // inner lists become raw bytes of their size
		if n, ok := size(descr); ok {
			return n, good
		}
		inner := list.FindStringIndex(descr)
		if inner == nil {
			return 0, false
		}
		total := uint64(0)
		for _, m := range field.FindAllStringSubmatch(descr[inner[0]:inner[1]], -1) {
			n, ok := size(m[1])
			good = good && ok
			for part := range strings.SplitSeq(m[2], ",") {
				if part = strings.TrimSpace(part); part != "" {
					count, err := strconv.ParseUint(part, 10, 32)
					p, fits := product(n, count)
					n, good = uint64(p), good && err == nil && fits
				}
			}
			total += n
		}
		if total > 1<<30 {
			return 0, false
		}
		descr = descr[:inner[0]] + "'|V" + strconv.FormatUint(total, 10) + "'" + descr[inner[1]:]
	}
	return 0, false
}
