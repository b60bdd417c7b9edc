package lineage

import (
	"cmp"
	"fmt"
	"slices"
)

// Standing says how far a statement can be believed.
type Standing string

// The standings, the best first.
const (
	Trusted   Standing = "trusted"   // signed by somebody who is trusted
	Unchecked Standing = "unchecked" // signed; nobody said whom to trust
	Untrusted Standing = "untrusted" // signed by somebody else
	Unsigned  Standing = "unsigned"
	Forged    Standing = "forged"    // its signature, or its name in the store, does not fit it
	Malformed Standing = "malformed" // no statement
)

func (s Standing) rank() int {
	return slices.Index([]Standing{Trusted, Unchecked, Untrusted, Unsigned, Forged, Malformed}, s)
}

// counts reports whether what the statement says is walked along. A forged one says nothing.
func (s Standing) counts() bool { return s != Forged && s != Malformed }

// Grade says how well an edge, from an input to an output, is known.
type Grade string

// The grades, the best first.
const (
	Recomputed Grade = "recomputed" // it was done again, and the bytes agree
	Measured   Grade = "measured"   // the weights say so
	Claimed    Grade = "claimed"    // the statement says so
	Refuted    Grade = "refuted"    // it was done again, or measured, and does not agree
)

// Grades returns all grades, the best first.
func Grades() []Grade { return []Grade{Recomputed, Measured, Claimed, Refuted} }

// AtLeast reports whether g is as good as want, or better.
func (g Grade) AtLeast(want Grade) bool {
	return slices.Index(Grades(), g) <= slices.Index(Grades(), want)
}

// Record is a statement with what is known of it.
type Record struct {
	ID        string     `json:"id"`
	Statement *Statement `json:"statement,omitempty"` // nil when malformed
	Standing  Standing   `json:"standing"`
	Signer    string     `json:"signer,omitempty"` // when trusted
	Note      string     `json:"note,omitempty"`   // why it does not stand
}

// Evidence is what was found when a step was done again or its weights were measured.
type Evidence struct {
	Grade  Grade  `json:"grade"`
	Detail string `json:"detail,omitempty"`
}

// Graph holds statements by what they make.
type Graph struct {
	records []Record
	byID    map[string]int
	makers  map[string][]int    // identity -> records with such an output
	holders map[string][]string // identity of a file -> identities of directories and lists that hold it
	users   map[string][]int    // identity -> records that evaluate or deploy it
}

// NewGraph takes in records. Where several have the same ID, the one that stands best counts.
func NewGraph(records []Record) *Graph {
	g := &Graph{byID: map[string]int{}, makers: map[string][]int{}, holders: map[string][]string{}, users: map[string][]int{}}
	sorted := slices.Clone(records)
	slices.SortStableFunc(sorted, func(a, b Record) int {
		return cmp.Or(cmp.Compare(a.ID, b.ID), cmp.Compare(a.Standing.rank(), b.Standing.rank()))
	})
	for i := range sorted {
		r := &sorted[i]
		if _, known := g.byID[r.ID]; known { // one that stands at least as well
			continue
		}
		g.byID[r.ID] = len(g.records)
		g.records = append(g.records, *r)
	}
	for i := range g.records {
		g.index(i)
	}
	return g
}

func (g *Graph) index(i int) {
	r := &g.records[i]
	if r.Statement == nil || !r.Standing.counts() {
		return
	}
	own := map[string]bool{}
	for j := range r.Statement.Inputs {
		own[r.Statement.Inputs[j].Identity()] = true
	}
	for j := range r.Statement.Outputs {
		a := &r.Statement.Outputs[j]
		id := a.Identity()
		if own[id] { // what was there before was not made
			continue
		}
		if !slices.Contains(g.makers[id], i) {
			g.makers[id] = append(g.makers[id], i)
		}
		for k := range a.Files {
			file := "sha256:" + a.Files[k].SHA256
			if !slices.Contains(g.holders[file], id) {
				g.holders[file] = append(g.holders[file], id)
			}
		}
	}
	if r.Statement.Step.uses() {
		for id := range own {
			g.users[id] = append(g.users[id], i)
		}
	}
}

// Records returns the records, sorted by ID.
func (g *Graph) Records() []Record { return g.records }

// Record returns the record with the ID, nil when there is none.
func (g *Graph) Record(id string) *Record {
	if i, ok := g.byID[id]; ok {
		return &g.records[i]
	}
	return nil
}

// Origin returns the ID of the statement, among those that stand best, that says how an artifact was made; "" when none does.
func (g *Graph) Origin(a *Artifact) string {
	for _, i := range g.makersOf(a.Identity()) {
		return g.records[i].ID
	}
	return ""
}

// makersOf returns the records that make an artifact: those that stand best alone, so that nobody can add a parent with a
// statement that is believed less.
func (g *Graph) makersOf(id string) []int {
	all := slices.Clone(g.makers[id])
	if len(all) == 0 {
		return nil
	}
	slices.SortStableFunc(all, func(a, b int) int {
		return cmp.Compare(g.records[a].Standing.rank(), g.records[b].Standing.rank())
	})
	best := g.records[all[0]].Standing
	return slices.DeleteFunc(all, func(i int) bool { return g.records[i].Standing != best })
}

// Kind sorts findings.
type Kind string

// The kinds of findings.
const (
	Missing    Kind = "missing"    // no statement says how it was made
	Lost       Kind = "lost"       // a statement that another one names is not there
	NotSigned  Kind = "unsigned"   // an edge hangs on a statement that nobody signed
	NotTrusted Kind = "untrusted"  // ... that somebody signed who is not trusted
	Forgery    Kind = "forged"     // a statement was changed, or is no statement
	Cyclic     Kind = "cyclic"     // an artifact is its own ancestor
	Conflict   Kind = "conflict"   // two statements that stand alike say different things
	Failed     Kind = "failed"     // the command ended with an error
	Changed    Kind = "changed"    // an input was another at the command's end
	Undeclared Kind = "undeclared" // the command read what is in no declared input
	Sourceless Kind = "sourceless" // the statement names nothing from which it could have been made
	Contradict Kind = "refuted"    // doing it again gives something else
	OnlyClaim  Kind = "claimed"    // an edge is not known as well as was asked for
)

// Finding is something that the walk found.
type Finding struct {
	Kind      Kind   `json:"kind"`
	Artifact  string `json:"artifact,omitempty"` // identity
	Name      string `json:"name,omitempty"`     // of the artifact, as declared
	Statement string `json:"statement,omitempty"`
	Fatal     bool   `json:"fatal"` // the lineage is not to be relied upon
	Detail    string `json:"detail"`
}

// String returns one line.
func (f *Finding) String() string {
	where := f.Name
	if f.Statement != "" {
		if where != "" {
			where += ", "
		}
		where += "statement " + Short(f.Statement)
	}
	return fmt.Sprintf("%s: %s: %s", f.Kind, where, f.Detail)
}

// Short returns the beginning of an ID, enough for people.
func Short(id string) string {
	const enough = 12
	return id[:min(len(id), enough)]
}

// Artifact returns an artifact that a statement names, by its identity; nil when none does.
func (g *Graph) Artifact(identity string) *Artifact {
	for i := range g.records {
		s := g.records[i].Statement
		if s == nil || !g.records[i].Standing.counts() {
			continue
		}
		for _, list := range [][]Artifact{s.Outputs, s.Inputs} {
			for j := range list {
				if list[j].Identity() == identity {
					return &list[j]
				}
			}
		}
	}
	return nil
}
