package wildcard

import "testing"

func TestMatch(t *testing.T) {
	for _, c := range []struct {
		pattern, name string
		want          bool
	}{
		{"a", "a", true}, {"a", "b", false}, {"*", "", true}, {"*", "x", true}, {"gpt-*", "gpt-4", true}, {"gpt-*", "xgpt-4", false}, {"*-mini", "gpt-mini", true},
		{"a*b*c", "a1b2c", true}, {"a*b*c", "abc", true}, {"a*b*c", "acb", false}, {"a*a", "a", false}, {"**", "", true}, {"", "", true}, {"", "a", false},
		{"a*b", "ab", true}, {"a*bb*b", "abbb", true}, {"a*bb*b", "abb", false},
	} {
		if got := Match(c.pattern, c.name); got != c.want {
			t.Errorf("Match(%q, %q) = %v", c.pattern, c.name, got)
		}
	}
}
