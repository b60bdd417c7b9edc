package export

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	slsa "github.com/in-toto/attestation/go/predicates/provenance/v1"
	intoto "github.com/in-toto/attestation/go/v1"
	"github.com/santhosh-tekuri/jsonschema/v6"
	"google.golang.org/protobuf/encoding/protojson"

	"github.com/palladium-guard/palladium/weights/lineage"
)

var when = time.Date(2026, 11, 1, 12, 0, 0, 0, time.UTC)

func file(name, text string) lineage.File {
	return lineage.File{Path: name, Size: int64(len(text)), SHA256: lineage.ID([]byte(text))}
}

// chain returns a lineage with every role and form: data, base, adapter, fine-tune, merge, evaluation, a hole.
func chain(t *testing.T) (*lineage.Graph, *lineage.Trace, *lineage.Statement) {
	t.Helper()
	data := lineage.NewDirectory("data", lineage.Data, []lineage.File{{Path: "a.jsonl", Size: 9, SHA256: lineage.ID([]byte("a")), Rows: 3}}, nil)
	list := lineage.NewList("more", lineage.Data, []lineage.File{file("x.jsonl", "x"), file("b.jsonl", "b")})
	base := lineage.NewDirectory("base", lineage.Model, []lineage.File{file("w", "base")}, nil)
	adapter := lineage.NewFile("lora.safetensors", lineage.Adapter, file("lora.safetensors", "lora"))
	code := lineage.NewFile("train.py", lineage.Code, file("train.py", "code"))
	lost := lineage.NewFile("other.gguf", lineage.Model, file("other.gguf", "other"))
	out := lineage.NewDirectory("out", lineage.Model, []lineage.File{file("w", "out")}, nil)
	last := &lineage.Statement{Step: lineage.Merge, Inputs: []lineage.Artifact{base, adapter, lost}, Outputs: []lineage.Artifact{out}, Time: when,
		Transformation: &lineage.Transformation{Kind: "lora", Parameters: map[string]string{"alpha": "16"}},
		Command:        &lineage.Command{Arguments: []string{"merge"}, Environment: []string{"HOME"}, Platform: "linux/amd64", Started: when, Finished: when},
		Source:         &lineage.Source{Commit: strings.Repeat("ab", 20), URI: "https://example.com/repo"},
		Observed:       &lineage.Observed{Method: "ptrace", Reads: []lineage.Seen{{Path: "x", Size: 1, SHA256: lineage.ID([]byte("x"))}}}}
	var records []lineage.Record
	for _, s := range []*lineage.Statement{
		{Step: lineage.Dataset, Outputs: []lineage.Artifact{data}, Time: when},
		{Step: lineage.Dataset, Outputs: []lineage.Artifact{list}, Time: when},
		{Step: lineage.Training, Inputs: []lineage.Artifact{data}, Outputs: []lineage.Artifact{base}, Time: when},
		{Step: lineage.FineTune, Inputs: []lineage.Artifact{base, list, code}, Outputs: []lineage.Artifact{adapter}, Time: when},
		last,
		{Step: lineage.Evaluate, Inputs: []lineage.Artifact{out}, Time: when, Measures: []lineage.Measure{{Name: "accuracy", Value: 0.5}}},
	} {
		payload, err := lineage.Encode(s)
		if err != nil {
			t.Fatal(err)
		}
		records = append(records, lineage.Record{ID: lineage.ID(payload), Statement: s, Standing: lineage.Trusted, Signer: "key abc"})
	}
	g := lineage.NewGraph(records)
	return g, g.Walk(out, lineage.Options{}), last
}

// checkSLSA goes by the types that in-toto makes from the definitions of the standard: unknown fields are errors.
func checkSLSA(t *testing.T, data []byte) (*intoto.Statement, *slsa.Provenance) {
	t.Helper()
	var st intoto.Statement
	if err := protojson.Unmarshal(data, &st); err != nil {
		t.Fatal(err)
	}
	if err := st.Validate(); err != nil {
		t.Fatal(err)
	}
	raw, err := protojson.Marshal(st.Predicate)
	if err != nil {
		t.Fatal(err)
	}
	var p slsa.Provenance
	if err := protojson.Unmarshal(raw, &p); err != nil {
		t.Fatal(err)
	}
	if err := p.Validate(); err != nil {
		t.Fatal(err)
	}
	return &st, &p
}

func TestSLSA(t *testing.T) {
	_, _, s := chain(t)
	data, err := SLSA("id", s)
	if err != nil {
		t.Fatal(err)
	}
	st, p := checkSLSA(t, data)
	if st.PredicateType != slsaType || len(p.BuildDefinition.ResolvedDependencies) != 5 {
		t.Errorf("%s, %d dependencies", st.PredicateType, len(p.BuildDefinition.ResolvedDependencies))
	}
}

func validate(t *testing.T, schema *jsonschema.Schema, data []byte) {
	t.Helper()
	v, err := jsonschema.UnmarshalJSON(bytes.NewReader(data))
	if err != nil {
		t.Fatal(err)
	}
	if err := schema.Validate(v); err != nil {
		t.Fatalf("%v\n%s", err, data)
	}
}

// TestCycloneDX goes by the schemas that come with the CycloneDX library.
func TestCycloneDX(t *testing.T) {
	out, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}", "github.com/CycloneDX/cyclonedx-go").Output()
	dir := strings.TrimSpace(string(out))
	if err != nil || dir == "" {
		t.Skip("the source of the CycloneDX library, which holds the schemas, is not here")
	}
	g, trace, _ := chain(t)
	for _, version := range []string{"1.6", "1.7"} {
		c := jsonschema.NewCompiler()
		for _, name := range []string{"spdx.schema.json", "jsf-0.82.schema.json"} {
			path := filepath.Join(dir, "schema", name)
			if _, err := os.Stat(path); err != nil {
				path = filepath.Join(dir, "schema", "jsf-0.82.schemax.json")
			}
			add(t, c, "http://cyclonedx.org/schema/"+name, path)
		}
		url := "http://cyclonedx.org/schema/bom-" + version + ".schema.json"
		add(t, c, url, filepath.Join(dir, "schema", "bom-"+version+".schema.json"))
		c.UseLoader(none{})
		schema, err := c.Compile(url)
		if err != nil {
			t.Skipf("schema %s: %v", version, err)
		}
		data, err := CycloneDX(g, trace, version, when, "test")
		if err != nil {
			t.Fatal(err)
		}
		validate(t, schema, data)
		for _, want := range []string{`"machine-learning-model"`, `"ancestors"`, `"accuracy"`, `"palladium:origin"`, `"datasets"`} {
			if !bytes.Contains(data, []byte(want)) {
				t.Errorf("version %s: no %s", version, want)
			}
		}
	}
	if _, err := CycloneDX(g, trace, "1.2", when, "test"); err == nil {
		t.Error("version 1.2 was written")
	}
}

// none stands for schemas that are named and not needed.
type none struct{}

func (none) Load(url string) (any, error) {
	if strings.HasSuffix(url, "cryptography-defs.schema.json") { // not in the library; about keys and certificates
		return map[string]any{"definitions": map[string]any{"algorithmFamiliesEnum": map[string]any{}, "ellipticCurvesEnum": map[string]any{}}}, nil
	}
	return map[string]any{}, nil
}

func add(t *testing.T, c *jsonschema.Compiler, url, path string) {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	doc, err := jsonschema.UnmarshalJSON(f)
	if err != nil {
		t.Fatal(err)
	}
	if err := c.AddResource(url, doc); err != nil {
		t.Fatal(err)
	}
}

// TestSPDX goes by the schema that is published at https://spdx.org/schema/3.0.1/spdx-json-schema.json. It is not part of
// the repository: name it in SPDX_SCHEMA, or put it into ../shared.
func TestSPDX(t *testing.T) {
	g, trace, _ := chain(t)
	data, err := SPDX(g, trace, when, "palladium test")
	if err != nil {
		t.Fatal(err)
	}
	var doc struct {
		Graph []map[string]any `json:"@graph"`
	}
	if err := json.Unmarshal(data, &doc); err != nil {
		t.Fatal(err)
	}
	kinds := map[string]int{}
	for _, e := range doc.Graph {
		kinds[e["type"].(string)]++
		if kind, _ := e["relationshipType"].(string); strings.HasSuffix(kind, "License") && e["to"].([]any)[0] != "https://spdx.org/rdf/3.0.1/terms/ExpandedLicensing/NoAssertionLicense" {
			t.Errorf("%v is no element of the model", e["to"]) // that of Licensing is one of 3.0.0
		}
		if by, ok := e["suppliedBy"].(string); ok && !strings.HasSuffix(by, "#supplier") {
			t.Errorf("%s is called the supplier of %v", by, e["name"])
		}
		if _, built := e["builtTime"]; e["name"] == "other.gguf" && (built || e["comment"] == nil) || e["name"] == "out" && !built {
			t.Errorf("%v: built %v, %v", e["name"], e["builtTime"], e["comment"])
		}
		if e["type"] == "Relationship" {
			kinds[e["relationshipType"].(string)]++
		}
	}
	for kind, n := range map[string]int{"ai_AIPackage": 4, "dataset_DatasetPackage": 2, "software_Package": 1, "SpdxDocument": 1, "trainedOn": 2, "descendantOf": 4, "hasDeclaredLicense": 6} {
		if kinds[kind] != n {
			t.Errorf("%d %s, not %d", kinds[kind], kind, n)
		}
	}
	path := os.Getenv("SPDX_SCHEMA")
	if path == "" {
		path = filepath.Join("..", "..", "..", "..", "shared", "vectors", "spdx", "spdx-json-schema.json")
	}
	if _, err := os.Stat(path); err != nil {
		t.Skip("the schema of SPDX 3.0.1 is not here: name it in SPDX_SCHEMA")
	}
	c := jsonschema.NewCompiler()
	c.UseRegexpEngine(expression)
	add(t, c, "https://spdx.org/schema.json", path)
	schema, err := c.Compile("https://spdx.org/schema.json")
	if err != nil {
		t.Fatal(err)
	}
	validate(t, schema, data)
}

// iri is the one pattern of the schema that Go's expressions cannot hold: it looks ahead.
const iri = "^(?!_:).+:.+"

type iriPattern struct{ rest *regexp.Regexp }

func (iriPattern) String() string { return iri }

func (p iriPattern) MatchString(s string) bool {
	return !strings.HasPrefix(s, "_:") && p.rest.MatchString(s)
}

func expression(s string) (jsonschema.Regexp, error) {
	if s == iri {
		return iriPattern{regexp.MustCompile("^.+:.+")}, nil
	}
	return regexp.Compile(s)
}

// TestSLSAFiles checks files that the program has written: SLSA_FILES names them, joined as in PATH.
func TestSLSAFiles(t *testing.T) {
	files := filepath.SplitList(strings.TrimSuffix(os.Getenv("SLSA_FILES"), string(filepath.ListSeparator)))
	if len(files) == 0 {
		t.Skip("no files are named in SLSA_FILES")
	}
	for _, name := range files {
		data, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		checkSLSA(t, data)
	}
}
