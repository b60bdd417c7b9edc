package export

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"strconv"
	"time"

	cdx "github.com/CycloneDX/cyclonedx-go"

	"github.com/palladium-guard/palladium/weights/lineage"
)

// CycloneDX returns an ML-BOM in JSON, of version 1.6 or 1.7: the model as the subject with its card, what it comes from
// as its pedigree, everything else as components.
func CycloneDX(g *lineage.Graph, t *lineage.Trace, version string, when time.Time, tool string) ([]byte, error) {
	spec, ok := map[string]cdx.SpecVersion{"1.6": cdx.SpecVersion1_6, "1.7": cdx.SpecVersion1_7}[version]
	if !ok {
		return nil, fmt.Errorf("CycloneDX %q is not written: use 1.6 or 1.7", version)
	}
	model := t.Node(t.Model)
	bom := cdx.NewBOM()
	bom.SerialNumber = serial(t, when)
	subject := component(t, model)
	subject.ModelCard = card(g, t, model)
	subject.Pedigree = pedigree(t, model, map[string]bool{model.Identity: true})
	bom.Metadata = &cdx.Metadata{
		Timestamp: when.UTC().Format(time.RFC3339), Component: &subject,
		Tools: &cdx.ToolsChoice{Components: &[]cdx.Component{{Type: cdx.ComponentTypeApplication, Name: "palladium", Version: tool}}},
	}
	var components []cdx.Component
	var dependencies []cdx.Dependency
	for i := range t.Nodes {
		n := &t.Nodes[i]
		if n.Identity != t.Model {
			c := component(t, n)
			if isModel(n) {
				c.ModelCard = card(g, t, n)
			}
			components = append(components, c)
		}
		d := cdx.Dependency{Ref: n.Identity}
		var on []string
		for _, e := range edges(t, n.Identity) {
			if !contains(on, e.From) {
				on = append(on, e.From)
			}
		}
		if len(on) > 0 {
			d.Dependencies = &on
		}
		dependencies = append(dependencies, d)
	}
	if len(components) > 0 {
		bom.Components = &components
	}
	bom.Dependencies = &dependencies
	var b bytes.Buffer
	if err := cdx.NewBOMEncoder(&b, cdx.BOMFileFormatJSON).SetPretty(true).SetEscapeHTML(false).EncodeVersion(bom, spec); err != nil {
		return nil, fmt.Errorf("write the ML-BOM: %w", err)
	}
	return b.Bytes(), nil
}

func contains(list []string, s string) bool {
	for _, v := range list {
		if v == s {
			return true
		}
	}
	return false
}

// serial makes a UUID that is the same for the same model and time.
func serial(t *lineage.Trace, when time.Time) string {
	h := sha256.Sum256([]byte(t.Model + when.UTC().Format(time.RFC3339)))
	h[6], h[8] = h[6]&0x0f|0x80, h[8]&0x3f|0x80 // version 8, of one's own making
	return fmt.Sprintf("urn:uuid:%x-%x-%x-%x-%x", h[:4], h[4:6], h[6:8], h[8:10], h[10:16])
}

// component writes an artifact. Only a file has a hash in the sense of the format; those of directories are properties.
func component(t *lineage.Trace, n *lineage.Node) cdx.Component {
	a := &n.Artifact
	c := cdx.Component{BOMRef: n.Identity, Name: a.Name, Type: cdx.ComponentTypeFile}
	switch {
	case isModel(n):
		c.Type = cdx.ComponentTypeMachineLearningModel
	case a.Role == lineage.Data:
		c.Type = cdx.ComponentTypeData
		data := cdx.ComponentData{Type: cdx.ComponentDataTypeDataset, Name: a.Name}
		if a.URI != "" {
			data.Contents = &cdx.ComponentDataContents{URL: a.URI}
		}
		c.Data = &[]cdx.ComponentData{data}
	}
	var properties []cdx.Property
	add := func(name, value string) {
		properties = append(properties, cdx.Property{Name: "palladium:" + name, Value: value})
	}
	add("form", string(a.Form))
	for _, name := range digests(a) {
		if a.Form == lineage.OneFile {
			c.Hashes = &[]cdx.Hash{{Algorithm: cdx.HashAlgoSHA256, Value: a.Digest[name]}}
			continue
		}
		add("digest:"+name, a.Digest[name])
	}
	add("bytes", strconv.FormatInt(a.Size, 10))
	if a.Rows > 0 {
		add("rows", strconv.FormatInt(a.Rows, 10))
	}
	for _, e := range edges(t, n.Identity) {
		add("from:"+e.From, known(e))
	}
	if n.Missing {
		add("origin", "missing")
	}
	c.Properties = &properties
	return c
}

// card names the data sets that went into a model directly and, for the subject, the figures of its evaluations.
func card(g *lineage.Graph, t *lineage.Trace, n *lineage.Node) *cdx.MLModelCard {
	out := &cdx.MLModelCard{}
	var sets []cdx.MLDatasetChoice
	for _, e := range edges(t, n.Identity) {
		if e.Role == lineage.Data {
			sets = append(sets, cdx.MLDatasetChoice{Ref: e.From})
		}
	}
	if len(sets) > 0 {
		out.ModelParameters = &cdx.MLModelParameters{Datasets: &sets}
	}
	if n.Identity == t.Model {
		var metrics []cdx.MLPerformanceMetric
		for _, m := range measures(g, t) {
			metrics = append(metrics, cdx.MLPerformanceMetric{Type: m.Name, Value: strconv.FormatFloat(m.Value, 'g', -1, 64)})
		}
		if len(metrics) > 0 {
			out.QuantitativeAnalysis = &cdx.MLQuantitativeAnalysis{PerformanceMetrics: &metrics}
		}
	}
	if out.ModelParameters == nil && out.QuantitativeAnalysis == nil {
		return nil
	}
	return out
}

// pedigree nests the models from which a model comes.
func pedigree(t *lineage.Trace, n *lineage.Node, above map[string]bool) *cdx.Pedigree {
	var ancestors []cdx.Component
	for _, e := range edges(t, n.Identity) {
		from := t.Node(e.From)
		if from == nil || !isModel(from) || above[e.From] || len(above) > maxNesting {
			continue
		}
		c := cdx.Component{Type: cdx.ComponentTypeMachineLearningModel, Name: from.Artifact.Name, BOMRef: "pedigree-" + strconv.Itoa(len(above)) + "-" + n.Identity + "-" + e.From, Description: known(e)}
		if from.Artifact.Form == lineage.OneFile {
			c.Hashes = &[]cdx.Hash{{Algorithm: cdx.HashAlgoSHA256, Value: from.Identity[len("sha256:"):]}}
		}
		above[e.From] = true // each ancestor once: the dependencies tell the rest
		c.Pedigree = pedigree(t, from, above)
		ancestors = append(ancestors, c)
	}
	if len(ancestors) == 0 {
		return nil
	}
	return &cdx.Pedigree{Ancestors: &ancestors}
}

// maxNesting is how many ancestors are nested.
const maxNesting = 100
