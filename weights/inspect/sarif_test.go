package inspect

import (
	"bytes"
	"encoding/json"
	"os"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"
)

func sarifSample() []Report {
	return []Report{
		{Path: "c:olon.pt", Size: 1, Verdict: Unknown, Findings: []Finding{{RuleUnrecognised, Unknown, "", 0, "no known format"}}},
		{Path: "m/a b.pt", Size: 5, Format: "zip", Verdict: Hostile, Findings: []Finding{
			{RuleGlobal, Hostile, "m/data.pkl", 7, "loading calls os.system"}, {RuleTail, Suspicious, "", 3, "bytes follow"}, {RuleStreams, Safe, "", -1, "several"}}},
		{Path: "/abs/x.bin", Size: 1, Verdict: Unknown, Findings: []Finding{{RuleUnrecognised, Unknown, "", 0, "no known format"}}},
		{Path: "safe.txt", Format: "text", Findings: []Finding{}},
	}
}

func TestReference(t *testing.T) {
	for path, want := range map[string]string{"m/a.pt": "m/a.pt", "c:olon/x": "./c:olon/x", "m/c:x": "m/c:x", "#a?%.bin": "%23a%3F%25.bin", "../x": "../x",
		"/abs/x": "file:///abs/x", "//abs/x": "file:///abs/x", "a\xff\nb": "a%FF%0Ab", "ü": "%C3%BC"} {
		if got := reference(path); got != want {
			t.Errorf("%q is written %q, not %q", path, got, want)
		}
	}
}

func TestSARIF(t *testing.T) {
	var b bytes.Buffer
	if err := WriteSARIF(&b, sarifSample(), "v1"); err != nil {
		t.Fatal(err)
	}
	var log sarif
	d := json.NewDecoder(bytes.NewReader(b.Bytes()))
	d.DisallowUnknownFields()
	if err := d.Decode(&log); err != nil {
		t.Fatal(err)
	}
	run := log.Runs[0]
	if len(run.Results) != 5 || len(run.Artifacts) != 4 || run.Results[1].Level != "error" || run.Results[2].Level != "warning" ||
		run.Results[3].Kind != "informational" || run.Results[4].Kind != "open" || run.Artifacts[1].Location.URI != "m/a%20b.pt" ||
		run.Artifacts[2].Location.URI != "file:///abs/x.bin" || run.Tool.Driver.Rules[run.Results[1].RuleIndex].ID != RuleGlobal {
		t.Errorf("%s", b.Bytes())
	}
}

// TestSARIFSchema validates against the schema of the standard, sarif-schema-2.1.0.json of oasis-tcs/sarif-spec.
func TestSARIFSchema(t *testing.T) {
	path := "../../../shared/vectors/sarif/sarif-schema-2.1.0.json"
	if p := os.Getenv("SARIF_SCHEMA"); p != "" {
		path = p
	}
	f, err := os.Open(path)
	if err != nil {
		t.Skip("the schema of SARIF is not there; name it in SARIF_SCHEMA")
	}
	defer f.Close()
	schema, err := jsonschema.UnmarshalJSON(f)
	if err != nil {
		t.Fatal(err)
	}
	c := jsonschema.NewCompiler()
	if err := c.AddResource("sarif.json", schema); err != nil {
		t.Fatal(err)
	}
	c.AssertFormat()
	s, err := c.Compile("sarif.json")
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	if err := WriteSARIF(&b, sarifSample(), "v1"); err != nil {
		t.Fatal(err)
	}
	value, err := jsonschema.UnmarshalJSON(&b)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Validate(value); err != nil {
		t.Error(err)
	}
}
