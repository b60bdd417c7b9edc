package judge

import (
	"fmt"
	"slices"

	"go.yaml.in/yaml/v3"

	"github.com/palladium-guard/palladium"
)

// stageNone is how a policy's file writes None.
const stageNone = "none"

// runExamples decides the examples of the file and returns their number. An example gives some facts; of the others
// the p-values are 1 and all else is zero.
func (p *Policy) runExamples(n *yaml.Node) (int, error) {
	if n == nil || n.Tag == "!!null" {
		return 0, nil
	}
	if n.Kind != yaml.SequenceNode {
		return 0, refuse(n.Line, "write the examples as a list, each starting with `- name:`")
	}
	if len(n.Content) > maxExamples {
		return 0, refuse(n.Line, "more than %d examples", maxExamples)
	}
	for _, node := range n.Content {
		if err := p.runExample(node); err != nil {
			return 0, err
		}
	}
	return len(n.Content), nil
}

func (p *Policy) runExample(n *yaml.Node) error {
	m, err := mapping(n, "example", "name", "facts", "stage")
	if err != nil {
		return err
	}
	for _, key := range []string{"name", "facts", "stage"} {
		if m[key] == nil {
			return refuse(n.Line, "example: `%s:` is missing", key)
		}
	}
	name, err := text(m["name"], "`name:`")
	if err != nil {
		return err
	}
	want := palladium.Stage(m["stage"].Value)
	switch want {
	case palladium.StageAct, palladium.StageReview, palladium.StageWatch, palladium.StageLinked:
	case stageNone:
		want = None
	default:
		return refuse(m["stage"].Line, "example %q: no stage is called %q: the stages are act, review, watch, linked, none", name, want)
	}
	facts, err := readFacts(m["facts"])
	if err != nil {
		return refuse(m["facts"].Line, "example %q: %w", name, err)
	}
	if d := p.Decide(facts); d.Stage != want {
		got := string(d.Stage)
		if d.Stage == None {
			got = stageNone
		}
		return refuse(n.Line, "example %q comes out as %s, not %s: %s", name, got, m["stage"].Value, join(d.Because))
	}
	return nil
}

func readFacts(n *yaml.Node) (Facts, error) {
	f := Facts{OperatorP: 1, ExtractionP: 1}
	if _, err := mapping(n, "facts"); err != nil {
		return f, err
	}
	for i := 0; i+1 < len(n.Content); i += 2 {
		name, v := n.Content[i].Value, n.Content[i+1]
		p := f.pointer(name)
		if p == nil {
			return f, fmt.Errorf("no field is called %q: `palladium policy show --fields` lists the names", name)
		}
		if v.Decode(p) != nil {
			return f, fmt.Errorf("%s is not of the type that `palladium policy show --fields` says", name)
		}
	}
	names := slices.Clone(f.Families)
	for name := range f.Weight {
		names = append(names, name)
	}
	for _, name := range names {
		if !slices.Contains(palladium.Families(), palladium.Family(name)) {
			return f, fmt.Errorf("no family of evidence is called %q: the families are %s", name, familyList())
		}
	}
	return f, nil
}
