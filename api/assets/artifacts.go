package assets

import (
	"encoding/json"
	"time"

	"github.com/palladium-guard/palladium/api"
	"github.com/palladium-guard/palladium/store/catalog"
	"github.com/palladium-guard/palladium/weights/lineage"
)

// artifactItem is a model in the list.
type artifactItem struct {
	ID        string    `json:"id"`
	Name      string    `json:"name"`
	Digest    string    `json:"digest"`
	Path      string    `json:"path"`
	Updated   time.Time `json:"updated"`
	Signed    string    `json:"signed"`
	Inspected string    `json:"inspected"`
	Loads     int64     `json:"loads"`
}

func (d *Desk) listArtifacts(q *api.Request) (*api.Answer, error) {
	list, next, err := d.o.Catalog.ListArtifacts(q.Context(), q.Param("q"), pageOf(q))
	if err != nil {
		return nil, err
	}
	out := make([]artifactItem, len(list))
	for i, a := range list {
		out[i] = artifactItem{a.ID, a.Name, a.Digest, a.Path, a.Updated, a.Signed, a.Inspected, a.LoadCount}
	}
	return api.OK(api.NewPage(out, next))
}

// artifact is one model.
type artifact struct {
	ID         string          `json:"id"`
	Name       string          `json:"name"`
	Digest     string          `json:"digest"`
	Path       string          `json:"path"`
	Updated    time.Time       `json:"updated"`
	Signed     string          `json:"signed"`
	Inspected  string          `json:"inspected"`
	Signature  json.RawMessage `json:"signature"`
	Inspection json.RawMessage `json:"inspection"`
	Loads      []catalog.Load  `json:"loads"`
}

func (d *Desk) getArtifact(q *api.Request) (*api.Answer, error) {
	a, err := d.o.Catalog.GetArtifact(q.Context(), q.Param("id"))
	if err != nil {
		return nil, err
	}
	return api.OK(artifact{a.ID, a.Name, a.Digest, a.Path, a.Updated, a.Signed, a.Inspected, valid(a.Signature), valid(a.Inspection), a.Loads})
}

// valid returns m, or nil when it is no JSON.
func valid(m json.RawMessage) json.RawMessage {
	if !json.Valid(m) {
		return nil
	}
	return m
}

func (d *Desk) getLineage(q *api.Request) (*api.Answer, error) {
	a, err := d.o.Catalog.GetArtifact(q.Context(), q.Param("id"))
	if err != nil {
		return nil, err
	}
	trace := lineage.Trace{Model: a.Digest}
	if len(a.Lineage) > 0 {
		if err := json.Unmarshal(a.Lineage, &trace); err != nil {
			return nil, api.Conflict("the lineage of this model was stored in another form: trace it anew")
		}
	}
	return api.OK(struct {
		Model    string            `json:"model"`
		Nodes    []lineage.Node    `json:"nodes"`
		Edges    []lineage.Edge    `json:"edges"`
		Uses     []lineage.Edge    `json:"uses"`
		Findings []lineage.Finding `json:"findings"`
	}{trace.Model, trace.Nodes, trace.Edges, trace.Uses, trace.Findings})
}
