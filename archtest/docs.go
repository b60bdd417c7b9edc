package archtest

import (
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"
)

// Dependencies finds direct dependencies in go.mod for which no decision gives a reason. Decisions are the Markdown
// files of docs/decisions.
func Dependencies(fsys fs.FS) ([]Finding, error) {
	mod, err := fs.ReadFile(fsys, "go.mod")
	if err != nil {
		return nil, fmt.Errorf("read the module file: %w", err)
	}
	files, err := fs.Glob(fsys, "docs/decisions/*.md")
	if err != nil {
		return nil, fmt.Errorf("list decisions: %w", err)
	}
	var decided strings.Builder
	for _, name := range files {
		text, err := fs.ReadFile(fsys, name)
		if err != nil {
			return nil, fmt.Errorf("read a decision: %w", err)
		}
		decided.Write(text)
	}
	var out []Finding
	for _, dep := range direct(string(mod)) {
		if !strings.Contains(decided.String(), "`"+dep+"`") {
			out = append(out, Finding{"go.mod", "dependencies", dep + " has no reason: add a line to docs/decisions"})
		}
	}
	return out, nil
}

// direct lists the required modules of a module file that are not marked as indirect.
func direct(mod string) (out []string) {
	block := false
	for line := range strings.Lines(mod) {
		line = strings.TrimSpace(line)
		switch {
		case line == "require (":
			block = true
		case line == ")":
			block = false
		case strings.HasSuffix(line, "// indirect"):
		case block || strings.HasPrefix(line, "require "):
			if words := strings.Fields(strings.TrimPrefix(line, "require ")); len(words) >= 2 {
				out = append(out, words[0])
			}
		}
	}
	return out
}

// Links finds links in Markdown files that lead to no file of the repository. Links to other sites, and anchors, are
// not followed.
func Links(fsys fs.FS) ([]Finding, error) {
	var out []Finding
	err := fs.WalkDir(fsys, ".", func(p string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() {
			if p != "." && skipped(d.Name()) {
				return fs.SkipDir
			}
			return nil
		}
		if path.Ext(p) != ".md" {
			return nil
		}
		text, err := fs.ReadFile(fsys, p)
		if err != nil {
			return fmt.Errorf("read a document: %w", err)
		}
		for _, l := range links(string(text)) {
			target, _, _ := strings.Cut(l.target, "#")
			if target == "" || strings.Contains(target, ":") {
				continue
			}
			to := path.Join(path.Dir(p), target)
			if strings.HasPrefix(target, "/") || strings.HasPrefix(to, "../") || !exists(fsys, to) {
				out = append(out, Finding{fmt.Sprintf("%s:%d", p, l.line), "links", "leads to " + l.target + ", which is not there"})
			}
		}
		return nil
	})
	return out, err
}

func exists(fsys fs.FS, name string) bool {
	_, err := fs.Stat(fsys, name)
	return err == nil
}

type link struct {
	target string
	line   int // 1-based
}

// links lists the targets of inline Markdown links outside fenced code.
func links(text string) (out []link) {
	fenced, n := false, 0
	for line := range strings.Lines(text) {
		n++
		if strings.HasPrefix(strings.TrimSpace(line), "```") {
			fenced = !fenced
		}
		if fenced {
			continue
		}
		for {
			_, rest, ok := strings.Cut(line, "](")
			if !ok {
				break
			}
			target, after, ok := strings.Cut(rest, ")")
			if !ok {
				break
			}
			if words := strings.Fields(target); len(words) > 0 {
				out = append(out, link{strings.Trim(words[0], "<>"), n})
			}
			line = after
		}
	}
	return out
}

// Rules lists every rule on source, by the name of its test.
func Rules() map[string]func(*Tree) []Finding {
	return map[string]func(*Tree) []Finding{
		"floors": Floors, "purity": Purity, "exits": Exits, "sizes": Sizes, "names": Names, "state": State, "comments": Comments,
	}
}

// sorted orders findings by place, for stable output.
func sorted(f []Finding) []Finding {
	slices.SortFunc(f, func(a, b Finding) int { return strings.Compare(a.String(), b.String()) })
	return f
}
