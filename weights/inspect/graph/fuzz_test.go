package graph

import (
	"bytes"
	"testing"

	"github.com/palladium-guard/palladium/weights/inspect"
)

// FuzzGraph scans any content by every format, whether it matches or not.
func FuzzGraph(f *testing.F) {
	for _, seed := range []string{"\x08\x08\x3a\x08\x0a\x04\x22\x02Op\x2a\x00\x42\x02\x0a\x00", "\x08\x01\x12\x0c\x12\x0a\x0a\x08\x0a\x01n\x12\x03Add", "\x0a\x08\x0a\x01a\x15\x00\x00\x00\x00\x12\x02\x0a\x00"} {
		f.Add([]byte(seed), "m.json")
	}
	formats := Formats(func(*inspect.File) {})
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
