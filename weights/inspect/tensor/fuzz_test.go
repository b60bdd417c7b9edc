package tensor

import (
	"bytes"
	"testing"

	"github.com/palladium-guard/palladium/weights/inspect"
)

// FuzzTensor scans any content by every format, whether it matches or not.
func FuzzTensor(f *testing.F) {
	for _, seed := range []string{"\x02\x00\x00\x00\x00\x00\x00\x00{}", "\x40\x00\x00\x00\x00\x00\x00\x00{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]},\"b\":[1,2]}01234567", "GGUF\x03\x00\x00\x00\x01\x00\x00\x00\x00\x00\x00\x00\x01\x00\x00\x00\x00\x00\x00\x00\x01\x00\x00\x00\x00\x00\x00\x00k\x08\x00\x00\x00\x01\x00\x00\x00\x00\x00\x00\x00v", "\x93NUMPY\x01\x00\x40\x00{'descr': '<f4', 'fortran_order': False, 'shape': (1,), }     \n0123"} {
		f.Add([]byte(seed), "m.json")
	}
	formats := Formats(func(*inspect.File, int64) {})
	f.Fuzz(func(t *testing.T, data []byte, name string) {
		for _, format := range formats {
			forced := format
			forced.Match = func(f *inspect.File) bool { return len(f.Head()) >= 8 && (format.Match(f) || format.Name != "tar") }
			in := inspect.Inspector{Formats: []inspect.Format{forced}, Limits: inspect.DefaultLimits()}
			r, err := in.Inspect(t.Context(), name, bytes.NewReader(data), int64(len(data)))
			if err != nil {
				t.Fatal(err)
			}
			for _, g := range r.Findings {
				if g.Verdict > r.Verdict || g.Text == "" {
					t.Errorf("%+v", r)
				}
			}
		}
	})
}
