package archive

import (
	"bytes"
	"testing"

	"github.com/palladium-guard/palladium/weights/inspect"
)

// FuzzArchive scans any content by every format, whether it matches or not.
func FuzzArchive(f *testing.F) {
	for _, seed := range []string{"PK\x03\x04\x14\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x04\x00\x00\x00\x04\x00\x00\x00\x01\x00\x00\x00atextPK\x01\x02\x14\x03\x14\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x04\x00\x00\x00\x04\x00\x00\x00\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00aPK\x05\x06\x00\x00\x00\x00\x01\x00\x01\x00\x2f\x00\x00\x00\x23\x00\x00\x00\x00\x00", "\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\xff\x4b\x04\x00\x43\xbe\xb7\xe8\x01\x00\x00\x00", "7z\xbc\xaf\x27\x1c", "\x28\xb5\x2f\xfd\x04\x00"} {
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
