package pool

import (
	"bytes"
	"strings"
	"testing"
)

// veiled passes text in pieces of n bytes.
func veiled(secret, text string, n int) string {
	v := (&Upstream{secret: secret}).Veil()
	var out []byte
	for p := []byte(text); len(p) > 0; {
		k := min(n, len(p))
		out = append(out, v.Pass(p[:k:k])...)
		p = p[k:]
	}
	return string(append(out, v.Rest()...))
}

func TestVeil(t *testing.T) {
	for _, c := range []struct{ secret, text, want string }{
		{"sk-12", "data: sk-12\n\n", "data: *****\n\n"},
		{"sk-12", "sk-sk-12sk-12 sk-1", "sk-********** sk-1"},
		{"aab", "aaaab aabaab aa", "aa*** ****** aa"},
		{"abab", "ababab abab", "****ab ****"},
		{"", "sk-12", "sk-12"},
		{"x", "axa", "a*a"},
	} {
		for n := 1; n <= len(c.text); n++ {
			if got := veiled(c.secret, c.text, n); got != c.want {
				t.Errorf("%q by %d: got %q, wanted %q", c.text, n, got, c.want)
			}
		}
	}
}

func FuzzVeil(f *testing.F) {
	f.Add("sk-12", "data sk-12", 3)
	f.Fuzz(func(t *testing.T, secret, text string, n int) {
		if secret == "" || strings.Contains(secret, "*") {
			return
		}
		got, whole := veiled(secret, text, max(1, n)), veiled(secret, text, max(1, len(text)))
		if got != whole || len(got) != len(text) || bytes.Contains([]byte(got), []byte(secret)) {
			t.Errorf("got %q, in one piece %q", got, whole)
		}
	})
}
