package size

import "testing"

func TestParse(t *testing.T) {
	for text, want := range map[string]Bytes{
		"0": 0, "65536": 65536, "64KiB": 65536, "32 MiB": 32 << 20, "1GiB": 1 << 30, "10MB": 10_000_000, "5kB": 5000, "7B": 7,
		"": -1, "-1": -1, "1.5MiB": -1, "MiB": -1, "9223372036854775807KiB": -1, "1TiB": -1,
	} {
		got, err := Parse(text)
		if (err != nil) != (want < 0) || err == nil && got != want {
			t.Errorf("%q: %d, %v", text, got, err)
		}
	}
}
