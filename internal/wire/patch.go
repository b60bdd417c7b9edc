package wire

import (
	"slices"

	"github.com/go-json-experiment/json/jsontext"
)

// Patch collects changes to a document. What it does not name stays byte for byte. The zero value changes nothing.
type Patch struct {
	removed []int // indices into Document.Members
	edits   []edit
	added   []byte // members, each followed by a comma
}

// edit puts with in place of the bytes at.
type edit struct {
	at   Span
	with []byte
}

// Empty reports whether p changes nothing.
func (p *Patch) Empty() bool { return len(p.removed)+len(p.edits)+len(p.added) == 0 }

// Reset empties p and keeps its memory.
func (p *Patch) Reset() {
	p.removed, p.edits, p.added = p.removed[:0], p.edits[:0], p.added[:0]
}

// Remove takes member i out of the document.
func (p *Patch) Remove(i int) {
	if !slices.Contains(p.removed, i) {
		p.removed = append(p.removed, i)
	}
}

// Replace puts the JSON value with in place of the one that stands at. Of changes that overlap, the outer one wins, then
// the later one.
func (p *Patch) Replace(at Span, with []byte) { p.edits = append(p.edits, edit{at, with}) }

// Add adds a member with a JSON value. The document must not have a member of that name that is not removed.
func (p *Patch) Add(name string, value []byte) {
	p.added, _ = jsontext.AppendQuote(p.added, name)
	p.added = append(p.added, ':')
	p.added = append(p.added, value...)
	p.added = append(p.added, ',')
}

// Set replaces the value of the member of that name, or adds it.
func (p *Patch) Set(d *Document, name string, value []byte) {
	if i := d.Find(name); i >= 0 && !slices.Contains(p.removed, i) {
		p.Replace(d.Members[i].Value, value)
		return
	}
	p.Add(name, value)
}

// Cut removes elements or members, given by their indices in rising order, from the container whose parts are given.
func (p *Patch) Cut(parts []Member, remove ...int) { p.edits = cuts(p.edits, parts, remove) }

// cuts appends the edits that remove parts together with the commas that are no longer needed.
func cuts(into []edit, parts []Member, remove []int) []edit {
	for k := 0; k < len(remove); {
		first, last := remove[k], remove[k]
		for k++; k < len(remove) && remove[k] == last+1; k++ {
			last = remove[k]
		}
		s := Span{parts[first].At.Start, parts[last].At.End}
		switch {
		case first > 0:
			s.Start = parts[first-1].At.End
		case last < len(parts)-1:
			s.End = parts[last+1].At.Start
		}
		into = append(into, edit{at: s})
	}
	return into
}

// Apply appends the changed document to dst. The result is valid when every value given to p is.
func (p *Patch) Apply(dst []byte, d *Document) []byte {
	slices.Sort(p.removed)
	edits := cuts(append([]edit(nil), p.edits...), d.Members, p.removed)
	if len(p.added) > 0 {
		add := p.added
		if len(p.removed) == len(d.Members) {
			add = add[:len(add)-1]
		}
		edits = append(edits, edit{Span{d.open, d.open}, add})
	}
	return splice(dst, d.Body, edits)
}

// Over appends body, which need not be an object, with the replacements and cuts of p.
func (p *Patch) Over(dst, body []byte) []byte {
	return splice(dst, body, append([]edit(nil), p.edits...))
}

// splice appends body with the edits made. An edit within another, or one that overlaps an earlier one, is left out.
func splice(dst, body []byte, edits []edit) []byte {
	slices.SortStableFunc(edits, func(a, b edit) int {
		if a.at.Start != b.at.Start {
			return a.at.Start - b.at.Start
		}
		if a.at.Len() == 0 || b.at.Len() == 0 {
			return a.at.Len() - b.at.Len()
		}
		return b.at.Len() - a.at.Len()
	})
	at := 0
	for i, e := range edits {
		if e.at.Start < at || i+1 < len(edits) && edits[i+1].at == e.at {
			continue // of two changes of the same place, the later one wins
		}
		dst = append(dst, body[at:e.at.Start]...)
		dst = append(dst, e.with...)
		at = e.at.End
	}
	return append(dst, body[at:]...)
}

func quote(s string) []byte {
	b, _ := jsontext.AppendQuote(nil, s)
	return b
}
