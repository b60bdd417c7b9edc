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
	d := regexp.MustCompile(`^'[|<>=]?([biufcmMSUV?])([0-9]*)(?:\[[0-9]*[a-zA-Zμ]+\])?'$`).FindStringSubmatch(m[1])
	if d == nil {
		return // records: their size is not computed
	}
	item, err := strconv.ParseUint("0"+d[2], 10, 32)
	if d[1] == "?" {
		item = 1
	} else if d[1] == "U" {
		item *= 4
	}
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
	want, ok := product(dims...)
	switch {
	case err != nil || !ok || want > f.Size-data:
		f.Report(inspect.RuleBounds, inspect.Suspicious, start, "the array is larger than the file")
	case want < f.Size-data:
		f.Report(inspect.RuleTail, inspect.Suspicious, data+want, "%d bytes follow the array", f.Size-data-want)
	}
}
