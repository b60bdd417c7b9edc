package export

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/palladium-guard/palladium/weights/lineage"
)

const (
	spdxContext   = "https://spdx.org/rdf/3.0.1/spdx-context.jsonld"
	spdxVersion   = "3.0.1"
	noLicence     = "https://spdx.org/rdf/3.0.1/terms/ExpandedLicensing/NoAssertionLicense"
	spdxNamespace = "https://github.com/palladium-guard/palladium/spdx/"
	creation      = "_:creation"
	spdxTime      = "2006-01-02T15:04:05Z"
)

// element is an object of SPDX's JSON-LD. What it may hold is a matter of its type.
type element map[string]any

type spdxDocument struct {
	elements []element
	ids      []string
	prefix   string
	relation int
}

// SPDX returns an SPDX 3.0.1 document in JSON-LD, of the profiles core, software, ai and dataset. Licences, suppliers and
// places of download are not known to lineage, nor when something was made that no statement makes; the profiles demand
// values for all of them, and the document says where there is none. by names who says it.
func SPDX(g *lineage.Graph, t *lineage.Trace, when time.Time, by string) ([]byte, error) {
	stamp := when.UTC().Format(spdxTime)
	d := &spdxDocument{prefix: spdxNamespace + strings.TrimPrefix(serial(t, when), "urn:uuid:") + "#"}
	agent := d.prefix + "agent"
	d.add(element{"type": "SoftwareAgent", "spdxId": agent, "name": by})
	somebody := d.prefix + "supplier"
	d.add(element{"type": "Agent", "spdxId": somebody, "name": "not known", "comment": "no statement says who supplies or collects what is listed here"})
	for i := range t.Nodes {
		d.artifact(g, t, &t.Nodes[i], somebody, stamp)
	}
	for i := range t.Edges {
		d.edge(t, &t.Edges[i])
	}
	root := d.id(t.Model)
	document := element{
		"type": "SpdxDocument", "spdxId": d.prefix + "document", "creationInfo": creation, "name": "Lineage of " + t.Node(t.Model).Artifact.Name,
		"profileConformance": []string{"core", "software", "ai", "dataset"}, "rootElement": []string{root}, "element": d.ids,
	}
	graph := []element{{"type": "CreationInfo", "@id": creation, "specVersion": spdxVersion, "created": stamp, "createdBy": []string{agent}}}
	graph = append(append(graph, d.elements...), document)
	return encode(map[string]any{"@context": spdxContext, "@graph": graph}, "  ")
}

func (d *spdxDocument) add(e element) {
	e["creationInfo"] = creation
	d.elements = append(d.elements, e)
	id, _ := e["spdxId"].(string)
	d.ids = append(d.ids, id)
}

func (d *spdxDocument) id(identity string) string {
	return d.prefix + strings.ReplaceAll(identity, ":", "-")
}

func (d *spdxDocument) relate(from, kind, comment string, to ...string) {
	d.relation++
	e := element{"type": "Relationship", "spdxId": d.prefix + "relationship-" + strconv.Itoa(d.relation), "from": from, "relationshipType": kind, "to": to}
	if comment != "" {
		e["comment"] = comment
	}
	d.add(e)
}

func (d *spdxDocument) artifact(g *lineage.Graph, t *lineage.Trace, n *lineage.Node, supplier, stamp string) {
	a := &n.Artifact
	id := d.id(n.Identity)
	e := element{"type": "software_Package", "spdxId": id, "name": a.Name, "software_packageVersion": n.Identity, "software_downloadLocation": location(a),
		"suppliedBy": supplier, "releaseTime": stamp, "verifiedUsing": hashes(a)}
	if r := g.Record(g.Origin(a)); r != nil && r.Statement != nil && !r.Statement.Time.IsZero() {
		made := r.Statement.Time.UTC().Format(spdxTime)
		e["releaseTime"], e["builtTime"] = made, made
	} else {
		e["comment"] = "no statement says how or when it was made: the time of release is that of this document"
	}
	switch {
	case isModel(n):
		e["type"] = "ai_AIPackage"
		e["software_primaryPurpose"] = "model"
		var figures []element
		if n.Identity == t.Model {
			for _, m := range measures(g, t) {
				figures = append(figures, element{"type": "DictionaryEntry", "key": m.Name, "value": strconv.FormatFloat(m.Value, 'g', -1, 64)})
			}
		}
		if len(figures) > 0 {
			e["ai_metric"] = figures
		}
		var how []string
		for _, x := range edges(t, n.Identity) {
			if x.Step != "" {
				how = append(how, known(x))
			}
		}
		if len(how) > 0 {
			e["ai_informationAboutTraining"] = strings.Join(how, "; ")
		}
	case a.Role == lineage.Data:
		e["type"] = "dataset_DatasetPackage"
		e["software_primaryPurpose"] = "data"
		e["originatedBy"] = []string{supplier}
		e["dataset_datasetType"] = []string{"noAssertion"}
		if a.Rows > 0 {
			e["dataset_datasetSize"] = a.Rows
		}
	default:
		e["software_primaryPurpose"] = "other"
	}
	d.add(e)
	if e["type"] != "software_Package" {
		d.relate(id, "hasConcludedLicense", "", noLicence)
		d.relate(id, "hasDeclaredLicense", "", noLicence)
	}
}

// location is where an artifact came from; an IRI that says nothing when that is not known.
func location(a *lineage.Artifact) string {
	if strings.Contains(a.URI, ":") {
		return a.URI
	}
	return "urn:palladium:" + a.Identity()
}

// hashes writes SHA-256 of a file. Digests of directories are no hashes of bytes: they stand in the version and a comment.
func hashes(a *lineage.Artifact) []element {
	if a.Form == lineage.OneFile {
		return []element{{"type": "Hash", "algorithm": "sha256", "hashValue": a.Digest["sha256"]}}
	}
	out := []element{}
	for _, name := range digests(a) {
		comment := map[string]string{
			"dirHash":  "in-toto dirHash: SHA-256 over the lines 'SHA-256, two spaces, path', sorted by path",
			"listHash": "SHA-256 over the lines 'SHA-256, two spaces, name', in order",
			"sha256":   "root of the OpenSSF Model Signing manifest with method files",
		}[name]
		out = append(out, element{"type": "Hash", "algorithm": "sha256", "hashValue": a.Digest[name], "comment": comment})
	}
	return out
}

func (d *spdxDocument) edge(t *lineage.Trace, e *lineage.Edge) {
	from, to := t.Node(e.From), t.Node(e.To)
	if from == nil || to == nil {
		return
	}
	kind, a, b := "dependsOn", e.To, e.From
	switch {
	case e.Step == "":
		kind, a, b = "contains", e.From, e.To
	case e.Role == lineage.Data && isModel(to):
		kind = "trainedOn"
	case isModel(from) && isModel(to):
		kind = "descendantOf"
	}
	comment := known(e)
	if e.Detail != "" {
		comment = fmt.Sprintf("%s (%s)", comment, e.Detail)
	}
	d.relate(d.id(a), kind, comment, d.id(b))
}
