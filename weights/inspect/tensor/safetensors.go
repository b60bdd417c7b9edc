package tensor

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"strconv"

	"github.com/palladium-guard/palladium/weights/inspect"
)

// maxHeader is what the reference implementation accepts, in bytes.
const maxHeader = 100_000_000

func matchSafetensors(f *inspect.File) bool {
	h := f.Head()
	if len(h) < 9 || h[8] != '{' {
		return false
	}
	return binary.LittleEndian.Uint64(h) <= uint64(f.Size-8) || f.Extension() == ".safetensors"
}

// header is the state while the header of a safetensors file is read.
type header struct {
	f     *inspect.File
	data  int64 // bytes of tensors
	base  int64
	spans []span

	dtype   string
	shape   []uint64
	offsets []uint64
}

var errEnough = errors.New("more tensors than are compared")

func scanSafetensors(f *inspect.File) {
	n := binary.LittleEndian.Uint64(f.Head())
	if n > uint64(f.Size-8) {
		f.Report(inspect.RuleHeader, inspect.Suspicious, 0, "the header claims %d bytes, which the file does not have", n)
		return
	}
	if n > maxHeader {
		f.Report(inspect.RuleHeader, inspect.Suspicious, 0, "the header has %d bytes, more than loaders accept", n)
		return
	}
	h := header{f: f, base: 8 + int64(n), data: f.Size - 8 - int64(n)}
	err := inspect.ReadJSON(f.Section(8, int64(n)), h.visit)
	switch {
	case errors.Is(err, errEnough):
		f.Report(inspect.RuleLimit, inspect.Unknown, 8, "there are more than %d tensors", maxTensors)
		return
	case err != nil:
		f.Report(inspect.RuleHeader, inspect.Suspicious, 8, "the header cannot be read: %s", inspect.Quote(err.Error()))
		return
	}
	checkSpans(f, h.spans, h.base, 1)
}

func (h *header) visit(e inspect.JSONEvent) error {
	if e.Again {
		h.f.Report(inspect.RuleDuplicate, inspect.Suspicious, -1, "%s is there twice in the header", inspect.Quote(e.Path[len(e.Path)-1]))
	}
	odd := func(what string) {
		h.f.Report(inspect.RuleHeader, inspect.Suspicious, -1, "%s of %s is not as the format has it", what, inspect.Quote(e.Path[0]))
	}
	if len(e.Path) == 0 {
		return nil
	}
	if e.Path[0] == "__metadata__" {
		text, ok := e.Value.(string)
		if !ok && len(e.Path) > 1 {
			odd("the value of a member")
		}
		for _, t := range inspect.Targets(text) { // configurations are kept there as well
			h.f.Target(t, -1)
		}
		return nil
	}
	switch {
	case len(e.Path) == 1:
		switch e.Value {
		case json.Delim('{'):
			h.dtype, h.shape, h.offsets = "", nil, nil
		case json.Delim('}'):
			return h.tensor(e.Path[0])
		default:
			odd("the description")
		}
	case e.Path[1] == "dtype":
		h.dtype, _ = e.Value.(string)
	case e.Path[1] == "shape" || e.Path[1] == "data_offsets":
		if _, ok := e.Value.(json.Delim); ok && len(e.Path) == 2 {
			return nil
		}
		number, _ := e.Value.(json.Number)
		v, err := strconv.ParseUint(string(number), 10, 62)
		if err != nil || len(e.Path) != 3 {
			odd("a number")
			return nil
		}
		list := &h.shape
		if e.Path[1] == "data_offsets" {
			list = &h.offsets
		}
		if *list = append(*list, v); len(*list) > 256 {
			return errors.New("a tensor has more than 256 dimensions")
		}
	default:
		odd("a member")
	}
	return nil
}

// tensor takes a tensor whose description is complete.
func (h *header) tensor(name string) error {
	if len(h.offsets) != 2 || h.offsets[0] > h.offsets[1] || h.offsets[1] > uint64(h.data) {
		h.f.Report(inspect.RuleBounds, inspect.Suspicious, -1, "tensor %s leads out of the file", inspect.Quote(name))
		return nil
	}
	if len(h.spans) >= maxTensors {
		return errEnough
	}
	h.spans = append(h.spans, span{int64(h.offsets[0]), int64(h.offsets[1])})
	bits, ok := dtypeBits(h.dtype)
	if !ok {
		h.f.Report(inspect.RuleHeader, inspect.Unknown, -1, "tensor %s has the unknown type %s", inspect.Quote(name), inspect.Quote(h.dtype))
		return nil
	}
	size, ok := product(append(h.shape, bits)...)
	if !ok || uint64(size) != 8*(h.offsets[1]-h.offsets[0]) {
		h.f.Report(inspect.RuleBounds, inspect.Suspicious, -1, "tensor %s has another size than its shape and type need", inspect.Quote(name))
	}
	return nil
}

func dtypeBits(dtype string) (uint64, bool) {
	switch dtype {
	case "F4":
		return 4, true
	case "F6_E2M3", "F6_E3M2":
		return 6, true
	case "BOOL", "U8", "I8", "F8_E5M2", "F8_E4M3", "F8_E8M0", "F8_E4M3FNUZ", "F8_E5M2FNUZ":
		return 8, true
	case "I16", "U16", "F16", "BF16":
		return 16, true
	case "I32", "U32", "F32":
		return 32, true
	case "I64", "U64", "F64", "C64":
		return 64, true
	}
	return 0, false
}
