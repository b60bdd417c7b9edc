package digest

import (
	"testing"
	"time"
)

type leaf struct {
	Name string
	At   *time.Time
	List []float64
	gone int // not exported: not hashed
}

type tree struct {
	A, B  string
	Leafs []leaf
	N     int64
	Yes   bool
}

func TestOfTellsApart(t *testing.T) {
	now := time.UnixMilli(1_700_000_000_123).UTC()
	later := now.Add(time.Millisecond)
	values := []tree{
		{},
		{A: "ab", B: "c"},
		{A: "a", B: "bc"},
		{Leafs: []leaf{{}}},
		{Leafs: []leaf{{Name: "x"}}},
		{Leafs: []leaf{{At: &now}}},
		{Leafs: []leaf{{At: &later}}},
		{Leafs: []leaf{{List: []float64{1, 2}}}},
		{Leafs: []leaf{{List: []float64{1}}, {List: []float64{2}}}},
		{N: 1},
		{Yes: true},
	}
	seen := map[string]int{}
	for i, v := range values {
		d := Of(v)
		if j, ok := seen[d]; ok {
			t.Errorf("values %d and %d have one digest", i, j)
		}
		seen[d] = i
	}
}

func TestOfIsTheSame(t *testing.T) {
	now := time.UnixMilli(1_700_000_000_123)
	utc := now.UTC().Add(300 * time.Microsecond)
	a := tree{Leafs: []leaf{{At: &now, List: nil, gone: 1}}}
	b := tree{Leafs: []leaf{{At: &utc, List: []float64{}, gone: 2}}}
	if Of(a) != Of(b) || Of64(a) != Of64(b) {
		t.Error("equal values have different digests")
	}
	if len(Of(a)) != 32 {
		t.Errorf("length %d", len(Of(a)))
	}
}
