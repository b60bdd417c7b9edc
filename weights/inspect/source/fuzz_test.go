package source

import (
	"bytes"
	"testing"

	"github.com/palladium-guard/palladium/weights/inspect"
)

// FuzzSource scans any content by every format, whether it matches or not.
func FuzzSource(f *testing.F) {
	for _, seed := range []string{"{\"a\": {\"class_name\": \"Lambda\", \"module\": \"keras\", \"config\": {}}}", "\x89HDF\r\n\x1a\n\x00{\"class_name\": \"Lambda\"}\x00", "import os\nos.system(1)\n", "{{ x.__class__ }}{% include 1 %}", "#!/bin/sh\n", "a: !!python/object:x\n"} {
		f.Add([]byte(seed), "m.json")
	}
	formats := Formats()
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
