package size

import "testing"

func TestParse(t *testing.T) {
	for text, want := range map[string]Bytes{
		"0": 0, "65536": 65536, "64KiB": 65536, "32 MiB": 32 << 20, "1GiB": 1 << 30, "10MB": 10_000_000, "5kB": 5000, "7B": 7,
		"": -1, "-1": -1, "1.5MiB": -1, "MiB": -1, "9223372036854775807KiB": -1, "1TiB": 1 << 40, "2TB": 2e12,
	} {
		got, err := Parse(text)
		if (err != nil) != (want < 0) || err == nil && got != want {
			t.Errorf("%q: %d, %v", text, got, err)
		}
	}
}

// A size is written as it is read.
func TestString(t *testing.T) {
	for b, want := range map[Bytes]string{0: "0", 7: "7", 64 << 10: "64KiB", 3 << 29: "1536MiB", 10 << 30: "10GiB"} {
		if got := b.String(); got != want {
			t.Errorf("%d is written %q, want %q", int64(b), got, want)
		}
		if back, err := Parse(b.String()); err != nil || back != b {
			t.Errorf("%s is read as %d, %v", b, int64(back), err)
		}
	}
}
