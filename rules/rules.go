// Package rules holds the rule files that the binary carries, so that it runs without any installed beside it.
package rules

import "embed"

//go:embed *.yaml *.json
var files embed.FS

// Cues returns a copy of the extraction cues, in the form that package measure parses.
func Cues() []byte {
	b, err := files.ReadFile("cues.yaml")
	if err != nil { // the build would have failed
		panic(err)
	}
	return b
}

// Extraction returns the coefficients of the extraction score, in the form that package campaign parses.
func Extraction() []byte {
	b, err := files.ReadFile("extraction.json")
	if err != nil { // the build would have failed
		panic(err)
	}
	return b
}
