// Package substrings finds which of many named texts hold another. It looks at each: some milliseconds for ten thousand.
package substrings

import (
	"maps"
	"slices"
	"strings"
)

// Text is a text and what it is found as.
type Text struct{ ID, Text string }

// Set is texts by id, as of a version. It does not change, so that several goroutines may read it. The nil Set is empty, of version -1.
type Set struct {
	version int64
	texts   []Text
	at      map[string]int // id to its place in texts
}

// Version is the one that the Set was made with.
func (s *Set) Version() int64 {
	if s == nil {
		return -1
	}
	return s.version
}

// With gives the Set of a later version, in which the texts given replace those of the same ids.
func (s *Set) With(version int64, texts []Text) *Set {
	out := &Set{version: version, at: make(map[string]int, len(texts))}
	if s != nil {
		out.texts, out.at = slices.Clone(s.texts), maps.Clone(s.at)
	}
	for _, t := range texts {
		if i, ok := out.at[t.ID]; ok {
			out.texts[i] = t
			continue
		}
		out.at[t.ID] = len(out.texts)
		out.texts = append(out.texts, t)
	}
	return out
}

// Find gives the ids of the texts that hold what, most at most; more says that there are others.
func (s *Set) Find(what string, most int) (ids []string, more bool) {
	if s == nil {
		return nil, false
	}
	for i := range s.texts {
		if !strings.Contains(s.texts[i].Text, what) {
			continue
		}
		if len(ids) == most {
			return ids, true
		}
		ids = append(ids, s.texts[i].ID)
	}
	return ids, false
}
