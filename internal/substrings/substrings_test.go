package substrings

import (
	"slices"
	"testing"
)

func TestSet(t *testing.T) {
	var none *Set
	if ids, more := none.Find("", 10); none.Version() != -1 || len(ids) > 0 || more {
		t.Errorf("the nil Set gives %v %v", ids, more)
	}
	one := none.With(3, []Text{{"a", "apple"}, {"b", "banana"}})
	two := one.With(4, []Text{{"b", "plum"}, {"c", "apple pie"}})
	for _, c := range []struct {
		s    *Set
		what string
		most int
		ids  []string
		more bool
	}{
		{one, "apple", 10, []string{"a"}, false}, {one, "an", 10, []string{"b"}, false}, {one, "", 10, []string{"a", "b"}, false},
		{two, "an", 10, nil, false}, {two, "plum", 10, []string{"b"}, false}, {two, "apple", 2, []string{"a", "c"}, false},
		{two, "apple", 1, []string{"a"}, true}, {two, "apple", 0, nil, true},
	} {
		if ids, more := c.s.Find(c.what, c.most); !slices.Equal(ids, c.ids) || more != c.more {
			t.Errorf("version %d, %q, %d at most: %v %v", c.s.Version(), c.what, c.most, ids, more)
		}
	}
}
