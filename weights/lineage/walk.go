package lineage

import (
	"fmt"
	"slices"
	"strings"
)

// Options steer Walk.
type Options struct {
	Roots    map[string]bool     // identities that are taken as they are
	Evidence map[string]Evidence // by ID of statement
	Require  Grade               // what each edge between models must reach; Claimed when empty
	Unsigned bool                // statements without a trusted signature are no failure
}

// Node is an artifact of a walk.
type Node struct {
	Artifact Artifact `json:"artifact"` // as the first statement that names it has it; without its files
	Identity string   `json:"identity"`
	Root     bool     `json:"root"` // it is the beginning: raw data, or taken as it is
	Missing  bool     `json:"missing,omitempty"`
}

// Edge leads from what was used to what was made.
type Edge struct {
	From      string   `json:"from"` // identity
	To        string   `json:"to"`
	Role      Role     `json:"role"`
	Step      Step     `json:"step,omitempty"` // empty when From holds To as one of its files
	Statement string   `json:"statement,omitempty"`
	Standing  Standing `json:"standing,omitempty"`
	Signer    string   `json:"signer,omitempty"`
	Grade     Grade    `json:"grade"`
	Detail    string   `json:"detail,omitempty"`
}

// Trace is what a walk from a model to its roots found.
type Trace struct {
	Model    string    `json:"model"` // identity
	Nodes    []Node    `json:"nodes"` // the model first
	Edges    []Edge    `json:"edges"`
	Uses     []Edge    `json:"uses,omitempty"` // evaluations and deployments of the model
	Findings []Finding `json:"findings,omitempty"`
}

// Holds reports whether nothing fatal was found.
func (t *Trace) Holds() bool {
	return !slices.ContainsFunc(t.Findings, func(f Finding) bool { return f.Fatal })
}

// Weakest returns the weakest grade of the edges between models, Claimed when there is none.
func (t *Trace) Weakest() Grade {
	if worst := t.weakest(); worst >= 0 {
		return Grades()[worst]
	}
	return Claimed
}

// Derived reports whether any model or adapter on the way was made from another one: else Weakest is of no edge.
func (t *Trace) Derived() bool { return t.weakest() >= 0 }

func (t *Trace) weakest() int {
	worst := -1
	for i := range t.Edges {
		if e := &t.Edges[i]; (e.Role == Model || e.Role == Adapter) && e.Statement != "" {
			worst = max(worst, slices.Index(Grades(), e.Grade))
		}
	}
	return worst
}

// Node returns the node with the identity, nil when there is none.
func (t *Trace) Node(identity string) *Node {
	for i := range t.Nodes {
		if t.Nodes[i].Identity == identity {
			return &t.Nodes[i]
		}
	}
	return nil
}

type colour int8

const (
	unseen colour = iota
	open
	done
)

type walk struct {
	g       *Graph
	o       Options
	t       *Trace
	colours map[string]colour
	nodes   map[string]int
	records map[int]bool // whose own findings are written
}

// Walk goes from a model back to its roots.
func (g *Graph) Walk(model Artifact, o Options) *Trace {
	if o.Require == "" {
		o.Require = Claimed
	}
	w := &walk{g: g, o: o, t: &Trace{Model: model.Identity()}, colours: map[string]colour{}, nodes: map[string]int{}, records: map[int]bool{}}
	w.visit(&model, nil)
	for _, i := range g.users[model.Identity()] {
		r := &g.records[i]
		w.t.Uses = append(w.t.Uses, Edge{From: model.Identity(), Role: Model, Step: r.Statement.Step, Statement: r.ID, Standing: r.Standing, Signer: r.Signer, Grade: Claimed})
	}
	for i := range g.records {
		if r := &g.records[i]; !r.Standing.counts() {
			w.find(Finding{Kind: Forgery, Statement: r.ID, Fatal: w.concerns(r),
				Detail: "a statement of the store does not stand: " + r.Note})
		}
	}
	return w.t
}

// concerns reports whether a statement that does not stand names an artifact of the walk. One that cannot even be read
// could name any.
func (w *walk) concerns(r *Record) bool {
	if r.Statement == nil {
		return true
	}
	for i := range r.Statement.Outputs {
		if _, ok := w.nodes[r.Statement.Outputs[i].Identity()]; ok {
			return true
		}
	}
	return false
}

func (w *walk) find(f Finding) { w.t.Findings = append(w.t.Findings, f) }

func (w *walk) node(a *Artifact) int {
	id := a.Identity()
	if i, ok := w.nodes[id]; ok {
		return i
	}
	brief := *a
	brief.Files = nil
	w.nodes[id] = len(w.t.Nodes)
	w.t.Nodes = append(w.t.Nodes, Node{Artifact: brief, Identity: id})
	return w.nodes[id]
}

// visit walks from an artifact to what it was made from. path holds the names on the way.
func (w *walk) visit(a *Artifact, path []string) {
	id := a.Identity()
	n := w.node(a)
	switch w.colours[id] {
	case done:
		return
	case open:
		w.find(Finding{Kind: Cyclic, Artifact: id, Name: a.Name, Fatal: true,
			Detail: "it is its own ancestor: " + strings.Join(append(path, a.Name), " from ") + ": at least one of these statements is false"})
		return
	}
	w.colours[id] = open
	defer func() { w.colours[id] = done }()
	path = append(path, a.Name) // shared on purpose: a name stands until its visit returns
	if w.o.Roots[id] {
		w.t.Nodes[n].Root = true
		return
	}
	makers := w.g.makersOf(id)
	w.conflict(a, makers)
	for _, i := range makers {
		w.step(i, id, path)
	}
	if len(makers) > 0 {
		if len(w.g.records[makers[0]].descending()) == 0 && w.g.records[makers[0]].Statement.Step == Dataset {
			w.t.Nodes[n].Root = true
		}
		return
	}
	if holders := w.g.holders[id]; len(holders) > 0 {
		w.held(a, holders, path)
		return
	}
	if !a.Role.descends() {
		w.t.Nodes[n].Root = true
		return
	}
	w.t.Nodes[n].Missing = true
	w.find(Finding{Kind: Missing, Artifact: id, Name: a.Name, Fatal: true,
		Detail: "no statement says how it was made: record the step that made it, or take it as a root with --root " + id})
}

// held walks on from a file to the directories that hold it.
func (w *walk) held(a *Artifact, holders, path []string) {
	for _, h := range holders {
		makers := w.g.makersOf(h)
		if len(makers) == 0 {
			continue
		}
		outputs := w.g.records[makers[0]].Statement.Outputs
		j := slices.IndexFunc(outputs, func(out Artifact) bool { return out.Identity() == h })
		w.t.Edges = append(w.t.Edges, Edge{From: h, To: a.Identity(), Role: a.Role, Grade: Recomputed, Detail: "one of its files"})
		w.visit(&outputs[j], path)
	}
}

// conflict tells of statements that stand alike and name different inputs for the same output.
func (w *walk) conflict(a *Artifact, makers []int) {
	if len(makers) < 2 {
		return
	}
	inputs := func(i int) string {
		var ids []string
		for _, in := range w.g.records[i].descending() {
			ids = append(ids, in.Identity())
		}
		slices.Sort(ids)
		return strings.Join(ids, " ")
	}
	for _, i := range makers[1:] {
		if inputs(i) != inputs(makers[0]) {
			w.find(Finding{Kind: Conflict, Artifact: a.Identity(), Name: a.Name, Statement: w.g.records[i].ID, Fatal: true,
				Detail: "it says another origin than statement " + Short(w.g.records[makers[0]].ID) + ": have the wrong one removed"})
		}
	}
}

// descending returns the inputs of a record's statement that must have an origin.
func (r *Record) descending() (out []*Artifact) {
	for i := range r.Statement.Inputs {
		if a := &r.Statement.Inputs[i]; a.Role.descends() {
			out = append(out, a)
		}
	}
	return out
}

// step walks along one statement.
func (w *walk) step(i int, to string, path []string) {
	r := &w.g.records[i]
	s := r.Statement
	w.own(i)
	evidence, ok := w.o.Evidence[r.ID]
	if !ok {
		evidence = Evidence{Grade: Claimed}
	}
	for j := range s.Inputs {
		in := &s.Inputs[j]
		if in.Identity() == to {
			continue
		}
		e := Edge{From: in.Identity(), To: to, Role: in.Role, Step: s.Step, Statement: r.ID, Standing: r.Standing, Signer: r.Signer, Grade: Claimed}
		if in.Role == Model || in.Role == Adapter {
			e.Grade, e.Detail = evidence.Grade, evidence.Detail
			if e.Grade != Refuted && !e.Grade.AtLeast(w.o.Require) {
				w.find(Finding{Kind: OnlyClaim, Artifact: to, Name: path[len(path)-1], Statement: r.ID, Fatal: true,
					Detail: fmt.Sprintf("that it comes from %s is %s, not %s", in.Name, e.Grade, w.o.Require)})
			}
		}
		w.t.Edges = append(w.t.Edges, e)
		if in.Statement != "" && w.g.Record(in.Statement) == nil && !w.o.Roots[in.Identity()] {
			w.find(Finding{Kind: Lost, Artifact: in.Identity(), Name: in.Name, Statement: in.Statement, Fatal: true,
				Detail: "statement " + Short(r.ID) + " names it as the origin, and it is not in the store: it was removed or replaced"})
		}
		w.visit(in, path)
	}
}

// own writes, once, what a record itself gives reason to.
func (w *walk) own(i int) {
	if w.records[i] {
		return
	}
	w.records[i] = true
	r := &w.g.records[i]
	s := r.Statement
	add := func(k Kind, fatal bool, format string, args ...any) {
		w.find(Finding{Kind: k, Name: string(s.Step), Statement: r.ID, Fatal: fatal, Detail: fmt.Sprintf(format, args...)})
	}
	switch r.Standing {
	case Unsigned:
		add(NotSigned, !w.o.Unsigned, "nobody signed it: whoever can write to the store can have written it")
	case Untrusted:
		add(NotTrusted, !w.o.Unsigned, "%s", r.Note)
	}
	if c := s.Command; c != nil && c.Status != 0 {
		add(Failed, true, "its command ended with status %d: what it made may be half of something", c.Status)
	}
	for j := range s.Inputs {
		if a := &s.Inputs[j]; a.Changed {
			add(Changed, true, "%s changed while the command ran: which content went in is not known", a.Name)
		}
	}
	w.observed(r, add)
	if len(r.descending()) == 0 && s.Step != Dataset {
		add(Sourceless, true, "step %s names no model and no dataset that went in", s.Step)
	}
	if e, ok := w.o.Evidence[r.ID]; ok && e.Grade == Refuted {
		add(Contradict, true, "%s", e.Detail)
	}
}

func (w *walk) observed(r *Record, add func(Kind, bool, string, ...any)) {
	o := r.Statement.Observed
	if o == nil || len(o.Reads) == 0 {
		return
	}
	changed := 0
	for j := range o.Reads {
		if o.Reads[j].Changed {
			changed++
		}
	}
	add(Undeclared, false, "its command read %d files that are in no declared input, the first is %s; %d of them changed in between", len(o.Reads)+o.Lost, o.Reads[0].Path, changed)
}
