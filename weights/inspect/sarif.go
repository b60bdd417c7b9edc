package inspect

import (
	"encoding/json"
	"fmt"
	"io"
	"net/url"
	"path/filepath"
	"strings"
)

// sarif is the part of SARIF 2.1.0 that is written.
type sarif struct {
	Schema  string     `json:"$schema"`
	Version string     `json:"version"`
	Runs    []sarifRun `json:"runs"`
}

type sarifRun struct {
	Tool      sarifTool       `json:"tool"`
	Artifacts []sarifArtifact `json:"artifacts"`
	Results   []sarifResult   `json:"results"`
	Columns   string          `json:"columnKind"`
}

type sarifTool struct {
	Driver struct {
		Name    string      `json:"name"`
		Version string      `json:"version,omitempty"`
		Rules   []sarifRule `json:"rules"`
	} `json:"driver"`
}

type sarifRule struct {
	ID    Rule      `json:"id"`
	Short sarifText `json:"shortDescription"`
	Help  sarifText `json:"help"`
}

type sarifText struct {
	Text string `json:"text"`
}

type sarifArtifact struct {
	Location   sarifURI          `json:"location"`
	Length     int64             `json:"length"`
	Properties map[string]string `json:"properties"`
}

type sarifURI struct {
	URI   string `json:"uri"`
	Index *int   `json:"index,omitempty"`
}

type sarifResult struct {
	Rule       Rule              `json:"ruleId"`
	RuleIndex  int               `json:"ruleIndex"`
	Kind       string            `json:"kind"`
	Level      string            `json:"level"`
	Message    sarifText         `json:"message"`
	Locations  []sarifLocation   `json:"locations"`
	Properties map[string]string `json:"properties"`
}

type sarifLocation struct {
	Physical struct {
		Artifact sarifURI     `json:"artifactLocation"`
		Region   *sarifRegion `json:"region,omitempty"`
	} `json:"physicalLocation"`
	Logical []sarifLogical `json:"logicalLocations,omitempty"`
}

type sarifRegion struct {
	ByteOffset int64 `json:"byteOffset"`
}

type sarifLogical struct {
	Name string `json:"fullyQualifiedName"`
	Kind string `json:"kind"`
}

// WriteSARIF writes reports as one run in SARIF 2.1.0, the format of code scanning. Suspicious and hostile findings are
// failures, of level warning and error; unknown ones are open; what is only worth knowing is informational. Offsets in
// members stand in the text of the result, since regions are of the outermost file.
func WriteSARIF(w io.Writer, reports []Report, version string) error {
	index := map[Rule]int{}
	run := sarifRun{Artifacts: []sarifArtifact{}, Results: []sarifResult{}, Columns: "utf16CodeUnits"}
	run.Tool.Driver.Name, run.Tool.Driver.Version = "palladium", version
	for i, d := range Descriptions() {
		index[d.Rule] = i
		run.Tool.Driver.Rules = append(run.Tool.Driver.Rules, sarifRule{d.Rule, sarifText{d.Short}, sarifText{d.Help}})
	}
	for i, r := range reports {
		uri := reference(r.Path)
		run.Artifacts = append(run.Artifacts, sarifArtifact{sarifURI{URI: uri}, r.Size, map[string]string{"verdict": r.Verdict.String(), "format": r.Format}})
		for _, f := range r.Findings {
			var l sarifLocation
			l.Physical.Artifact = sarifURI{uri, &i}
			text := f.Text
			switch {
			case f.Member != "":
				l.Logical = []sarifLogical{{f.Member, "member"}}
				if text += " (in " + f.Member; f.Offset >= 0 {
					text += fmt.Sprintf(" at byte %d", f.Offset)
				}
				text += ")"
			case f.Offset >= 0:
				l.Physical.Region = &sarifRegion{f.Offset}
			}
			kind, level := sarifLevel(f.Verdict)
			run.Results = append(run.Results, sarifResult{f.Rule, index[f.Rule], kind, level, sarifText{text}, []sarifLocation{l}, map[string]string{"verdict": f.Verdict.String()}})
		}
	}
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	return e.Encode(sarif{"https://json.schemastore.org/sarif-2.1.0.json", "2.1.0", []sarifRun{run}})
}

// reference writes a path as a URI, relative as it is. A colon in its first part is not taken for the end of a scheme.
func reference(path string) string {
	u := url.URL{Path: filepath.ToSlash(path)}
	if filepath.IsAbs(path) {
		u.Scheme, u.Path = "file", "/"+strings.TrimLeft(u.Path, "/")
	}
	return u.String()
}

// sarifLevel returns kind and level; the level is none for all kinds but fail.
func sarifLevel(v Verdict) (kind, level string) {
	switch v {
	case Safe:
		return "informational", "none"
	case Unknown:
		return "open", "none"
	case Suspicious:
		return "fail", "warning"
	}
	return "fail", "error"
}
