// Package rules holds the rule files that the binary carries, so that it runs without any installed beside it.
package rules

import "embed"

//go:embed *.yaml
var files embed.FS

// Cues returns a copy of the extraction cues, in the form that package measure parses.
func Cues() []byte {
	b, err := files.ReadFile("cues.yaml")
	if err != nil { // the build would have failed
		panic(err)
	}
	return b
}
