package lineage

import (
	"cmp"
	_ "embed"
	"fmt"
	"html/template"
	"io"
	"slices"
	"strconv"
	"strings"
)

// Text draws the trace as a tree, the model on top, each artifact below what was made from it.
func (t *Trace) Text(w io.Writer) error {
	d := drawing{t: t, from: map[string][]int{}, seen: map[string]bool{}}
	for i := range t.Edges {
		d.from[t.Edges[i].To] = append(d.from[t.Edges[i].To], i)
	}
	d.text(t.Model, "", "", "")
	for i := range t.Uses {
		e := &t.Uses[i]
		d.line("  used by %s, statement %s%s\n", e.Step, Short(e.Statement), standing(e))
	}
	_, err := io.WriteString(w, d.b.String())
	return err
}

type drawing struct {
	t    *Trace
	from map[string][]int
	seen map[string]bool
	b    strings.Builder
}

func (d *drawing) line(format string, args ...any) { fmt.Fprintf(&d.b, format, args...) }

func (d *drawing) text(id, first, rest, how string) {
	n := d.t.Node(id)
	if n == nil {
		return
	}
	mark := ""
	switch {
	case n.Missing:
		mark = "  ORIGIN MISSING"
	case n.Root:
		mark = "  root"
	}
	again := d.seen[id]
	if again && len(d.from[id]) > 0 {
		mark += "  (drawn above)"
	}
	d.line("%s%s  %s%s%s\n", first, visible(n.Artifact.Name), shortIdentity(id), how, mark)
	if again {
		return
	}
	d.seen[id] = true
	edges := d.from[id]
	for i, at := range edges {
		e := &d.t.Edges[at]
		branch, stem := "├─ ", "│  "
		if i == len(edges)-1 {
			branch, stem = "└─ ", "   "
		}
		how := fmt.Sprintf("  [%s of %s, %s%s]", e.Role, e.Step, e.Grade, standing(e))
		if e.Step == "" {
			how = "  [holds it]"
		}
		d.text(e.From, rest+branch, rest+stem, how)
	}
}

func standing(e *Edge) string {
	switch {
	case e.Standing == "" || e.Standing == Unchecked:
		return ""
	case e.Standing == Trusted && e.Signer != "":
		return ", signed by " + cut(visible(e.Signer), 28)
	}
	return ", " + string(e.Standing)
}

func shortIdentity(id string) string {
	kind, digest, ok := strings.Cut(id, ":")
	if !ok {
		return id
	}
	return kind + ":" + Short(digest)
}

// visible keeps a name that a statement gives from taking over a terminal.
func visible(s string) string {
	const enough = 120
	s = strings.Map(func(r rune) rune {
		if !strconv.IsPrint(r) {
			return '?'
		}
		return r
	}, s)
	if r := []rune(s); len(r) > enough {
		s = string(r[:enough]) + "..."
	}
	return s
}

// DOT writes the trace in the language of Graphviz.
func (t *Trace) DOT(w io.Writer) error {
	var b strings.Builder
	b.WriteString("digraph lineage {\n  rankdir=BT;\n  node [shape=box, fontname=\"sans-serif\"];\n  edge [fontname=\"sans-serif\", fontsize=10];\n")
	for i := range t.Nodes {
		n := &t.Nodes[i]
		style := ""
		switch {
		case n.Missing:
			style = ", style=dashed, color=red"
		case n.Root:
			style = ", style=bold"
		}
		fmt.Fprintf(&b, "  %s [label=%s%s];\n", quoteDOT(n.Identity), quoteDOT(visible(n.Artifact.Name)+"\n"+shortIdentity(n.Identity)), style)
	}
	for i := range t.Edges {
		e := &t.Edges[i]
		fmt.Fprintf(&b, "  %s -> %s [label=%s, style=%s];\n", quoteDOT(e.To), quoteDOT(e.From), quoteDOT(cmp.Or(string(e.Step), "part of")+"\n"+string(e.Grade)+standing(e)), lineOf(e.Grade))
	}
	b.WriteString("}\n")
	_, err := io.WriteString(w, b.String())
	return err
}

func lineOf(g Grade) string {
	switch g {
	case Recomputed:
		return "bold"
	case Measured:
		return "solid"
	}
	return "dashed"
}

// quoteDOT writes a quoted string of DOT, in which a line break is \n.
func quoteDOT(s string) string {
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`, "\n", `\n`).Replace(s) + `"`
}

//go:embed page.html
var page string

// HTML writes the trace as one page that needs nothing else.
func (t *Trace) HTML(w io.Writer) error {
	p, err := template.New("lineage").Parse(page)
	if err != nil {
		return err
	}
	return p.Execute(w, t.layout())
}

type drawn struct {
	Trace         *Trace
	Width, Height int
	Boxes         []box
	Lines         []line
	Title         string
}

type box struct {
	X, Y, W, H int
	Name, ID   string
	Class      string
	Full       string
}

type line struct {
	X1, Y1, X2, Y2, XM, YM int
	Class, Label, Title    string
}

// The measures of the drawing, in pixels.
const (
	boxWidth, boxHeight = 230, 46
	columnGap, rowGap   = 40, 90
)

// layout puts each artifact one row below the lowest of what was made from it.
func (t *Trace) layout() drawn {
	row := map[string]int{}
	for range min(len(t.Nodes), 1000) { // longest paths; cycles end with the bound
		moved := false
		for i := range t.Edges {
			if e := &t.Edges[i]; row[e.From] < row[e.To]+1 && row[e.To] < len(t.Nodes) {
				row[e.From], moved = row[e.To]+1, true
			}
		}
		if !moved {
			break
		}
	}
	d := drawn{Trace: t, Title: "Lineage"}
	if n := t.Node(t.Model); n != nil {
		d.Title = "Lineage of " + n.Artifact.Name
	}
	column := map[int]int{}
	at := map[string]box{}
	for i := range t.Nodes {
		n := &t.Nodes[i]
		r := row[n.Identity]
		b := box{X: 20 + column[r]*(boxWidth+columnGap), Y: 20 + r*(boxHeight+rowGap), W: boxWidth, H: boxHeight,
			Name: cut(visible(n.Artifact.Name), 30), ID: shortIdentity(n.Identity), Full: n.Identity}
		switch {
		case n.Missing:
			b.Class = "missing"
		case n.Root:
			b.Class = "root"
		}
		column[r]++
		at[n.Identity] = b
		d.Boxes = append(d.Boxes, b)
		d.Width, d.Height = max(d.Width, b.X+boxWidth+20), max(d.Height, b.Y+boxHeight+20)
	}
	for i := range t.Edges {
		e := &t.Edges[i]
		from, to := at[e.From], at[e.To]
		l := line{X1: to.X + boxWidth/2, Y1: to.Y + boxHeight, X2: from.X + boxWidth/2, Y2: from.Y, Class: string(e.Grade),
			Label: cmp.Or(string(e.Step), "part of") + ", " + string(e.Grade), Title: string(e.Role) + standing(e) + " " + e.Detail}
		if !slices.Contains([]Standing{Trusted, Unchecked, ""}, e.Standing) {
			l.Label += ", " + string(e.Standing)
		}
		l.XM, l.YM = (l.X1+l.X2)/2, (l.Y1+l.Y2)/2
		d.Lines = append(d.Lines, l)
	}
	return d
}

func cut(s string, n int) string {
	if r := []rune(s); len(r) > n {
		return string(r[:n-1]) + "…"
	}
	return s
}
