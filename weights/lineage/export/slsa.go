// Package export writes lineage in the forms that other tools read: SLSA provenance, CycloneDX ML-BOM, SPDX 3.
//
// What these forms have no place for, such as the grade of an edge and the standing of its statement, is written into
// their own places for extensions, so that nothing looks better than it is.
package export

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/palladium-guard/palladium/weights/lineage"
)

const (
	slsaType  = "https://slsa.dev/provenance/v1"
	builderID = "https://github.com/palladium-guard/palladium/lineage/recorder/v1"
)

type slsaStatement struct {
	Type          string         `json:"_type"`
	Subject       []slsaResource `json:"subject"`
	PredicateType string         `json:"predicateType"`
	Predicate     slsaPredicate  `json:"predicate"`
}

type slsaResource struct {
	Name        string            `json:"name,omitempty"`
	URI         string            `json:"uri,omitempty"`
	Digest      map[string]string `json:"digest,omitempty"`
	Annotations map[string]any    `json:"annotations,omitempty"`
}

type slsaPredicate struct {
	Definition slsaDefinition `json:"buildDefinition"`
	Run        slsaRun        `json:"runDetails"`
}

type slsaDefinition struct {
	Type         string         `json:"buildType"`
	External     map[string]any `json:"externalParameters"`
	Internal     map[string]any `json:"internalParameters,omitempty"`
	Dependencies []slsaResource `json:"resolvedDependencies,omitempty"`
}

type slsaRun struct {
	Builder  slsaBuilder   `json:"builder"`
	Metadata *slsaMetadata `json:"metadata,omitempty"`
}

type slsaBuilder struct {
	ID string `json:"id"`
}

type slsaMetadata struct {
	Invocation string     `json:"invocationId,omitempty"`
	Started    *time.Time `json:"startedOn,omitempty"`
	Finished   *time.Time `json:"finishedOn,omitempty"`
}

// SLSA returns SLSA provenance v1 of one step, an in-toto statement that is to be signed. It stands on Build level 1 at
// most: whoever ran the command wrote it.
func SLSA(id string, s *lineage.Statement) ([]byte, error) {
	out := slsaStatement{Type: lineage.StatementType, PredicateType: slsaType, Predicate: slsaPredicate{
		Definition: slsaDefinition{Type: lineage.Namespace + "build/" + string(s.Step) + lineage.Version, External: map[string]any{"step": s.Step}},
		Run:        slsaRun{Builder: slsaBuilder{ID: builderID}, Metadata: &slsaMetadata{Invocation: id}},
	}}
	subjects := s.Outputs
	if len(subjects) == 0 {
		subjects = s.Inputs
	}
	for i := range subjects {
		out.Subject = append(out.Subject, slsaResource{Name: subjects[i].Name, Digest: subjects[i].Digest})
	}
	d := &out.Predicate.Definition
	if c := s.Command; c != nil {
		d.External["command"] = c.Arguments
		d.Internal = map[string]any{"environment": c.Environment, "platform": c.Platform, "exitStatus": c.Status}
		out.Predicate.Run.Metadata.Started, out.Predicate.Run.Metadata.Finished = &c.Started, &c.Finished
	}
	if t := s.Transformation; t != nil {
		d.External["transformation"] = t
	}
	for i := range s.Inputs {
		a := &s.Inputs[i]
		r := slsaResource{Name: a.Name, URI: a.URI, Digest: a.Digest, Annotations: map[string]any{"role": a.Role}}
		if a.Rows > 0 {
			r.Annotations["rows"] = a.Rows
		}
		if a.Changed {
			r.Annotations["changedDuringBuild"] = true
		}
		d.Dependencies = append(d.Dependencies, r)
	}
	if g := s.Source; g != nil {
		d.Dependencies = append(d.Dependencies, slsaResource{Name: "source", URI: g.URI, Digest: map[string]string{"gitCommit": g.Commit},
			Annotations: map[string]any{"role": "source", "modified": g.Modified}})
	}
	if o := s.Observed; o != nil {
		for i := range o.Reads {
			if r := &o.Reads[i]; r.SHA256 != "" {
				d.Dependencies = append(d.Dependencies, slsaResource{Name: r.Path, Digest: map[string]string{"sha256": r.SHA256}, Annotations: map[string]any{"role": "observed"}})
			}
		}
	}
	return encode(out, "")
}

func encode(v any, indent string) ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	e.SetIndent("", indent)
	if err := e.Encode(v); err != nil {
		return nil, fmt.Errorf("write the export: %w", err)
	}
	if indent == "" {
		return bytes.TrimSuffix(b.Bytes(), []byte("\n")), nil
	}
	return b.Bytes(), nil
}

// edges returns the edges into an artifact.
func edges(t *lineage.Trace, identity string) (out []*lineage.Edge) {
	for i := range t.Edges {
		if t.Edges[i].To == identity {
			out = append(out, &t.Edges[i])
		}
	}
	return out
}

// isModel reports whether an artifact is a model or an adapter.
func isModel(n *lineage.Node) bool {
	return n.Artifact.Role == lineage.Model || n.Artifact.Role == lineage.Adapter
}

// known describes an edge in one line.
func known(e *lineage.Edge) string {
	s := strings.TrimSpace(string(e.Step)+" as "+string(e.Role)) + ": " + string(e.Grade)
	if e.Standing != "" {
		s += ", statement " + e.Statement + " " + string(e.Standing)
	}
	return s
}

// digests returns the names of an artifact's digests, sorted.
func digests(a *lineage.Artifact) []string { return slices.Sorted(maps.Keys(a.Digest)) }

// measures returns the figures of evaluations of the model.
func measures(g *lineage.Graph, t *lineage.Trace) (out []lineage.Measure) {
	for i := range t.Uses {
		if r := g.Record(t.Uses[i].Statement); r != nil && r.Statement != nil {
			out = append(out, r.Statement.Measures...)
		}
	}
	return out
}
