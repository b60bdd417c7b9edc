package archtest

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"
)

// root is the folder of the module's go.mod.
func root(t *testing.T) string {
	t.Helper()
	dir, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	for {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return dir
		}
		parent := filepath.Dir(dir)
		if parent == dir {
			t.Fatal("no go.mod above the test")
		}
		dir = parent
	}
}

func TestHouse(t *testing.T) {
	tree, err := Parse(os.DirFS(root(t)))
	if err != nil {
		t.Fatal(err)
	}
	for name, rule := range Rules() {
		t.Run(name, func(t *testing.T) {
			for _, f := range sorted(rule(tree)) {
				t.Error(f)
			}
		})
	}
}

func TestDocuments(t *testing.T) {
	fsys := os.DirFS(root(t))
	for name, rule := range map[string]func() ([]Finding, error){
		"dependencies": func() ([]Finding, error) { return Dependencies(fsys) },
		"links":        func() ([]Finding, error) { return Links(fsys) },
	} {
		t.Run(name, func(t *testing.T) {
			found, err := rule()
			if err != nil {
				t.Fatal(err)
			}
			for _, f := range sorted(found) {
				t.Error(f)
			}
		})
	}
}

const module = "module example.org/house\n\nrequire (\n\tgithub.com/a/b v1.0.0\n\tgithub.com/c/d v1.0.0\n\tgithub.com/e/f v1.0.0 // indirect\n)\n"

// house is a module of the given files, "dir/file.go: body" lines apart from the package clause, which is made up
// from the folder.
func house(files map[string]string) fstest.MapFS {
	m := fstest.MapFS{"go.mod": {Data: []byte(module)}}
	for name, body := range files {
		m[name] = &fstest.MapFile{Data: []byte(body)}
	}
	return m
}

const imp = "import \"example.org/house/"

// Each rule finds what it is for and leaves alone what is allowed.
func TestRules(t *testing.T) {
	for _, row := range []struct {
		name, rule, file, body string
		found                  string // part of the finding; empty for none
	}{
		{"lower floor", "floors", "traffic/judge/a.go", "package judge\n" + imp + "internal/stats\"\n", ""},
		{"root", "floors", "traffic/judge/a.go", "package judge\nimport _ \"example.org/house\"\n", ""},
		{"own parent", "floors", "traffic/dialect/native/a.go", "package native\n" + imp + "traffic/dialect\"\n", ""},
		{"its child", "floors", "traffic/dialect/a.go", "package dialect\n" + imp + "traffic/dialect/native\"\n", "traffic/dialect/a.go:2: floors: imports traffic/dialect/native"},
		{"sideways", "floors", "traffic/judge/a.go", "package judge\n" + imp + "traffic/campaign\"\n", "imports traffic/campaign"},
		{"engine to store", "floors", "traffic/judge/a.go", "package judge\n" + imp + "store/catalog\"\n", "imports store/catalog"},
		{"store to a reader of files", "floors", "store/stream/a.go", "package stream\n" + imp + "internal/tlsfile\"\n", ""},
		{"engine to a reader of files", "floors", "traffic/judge/a.go", "package judge\n" + imp + "internal/tlsfile\"\n", "imports internal/tlsfile"},
		{"up", "floors", "world/a.go", "package world\n" + imp + "app\"\n", "imports app"},
		{"up from the root", "floors", "a.go", "package house\n" + imp + "internal/stats\"\n", "imports internal/stats"},
		{"no room", "floors", "somewhere/a.go", "package somewhere\n", "somewhere: floors: the folder has no floor"},
		{"tests go where they like", "floors", "traffic/judge/a_test.go", "package judge_test\n" + imp + "world\"\n", ""},
		{"archtest is never imported", "floors", "cmd/palladium/a.go", "package main\n" + imp + "archtest\"\n", "imports archtest"},

		{"os in an engine", "purity", "traffic/judge/a.go", "package judge\nimport \"os\"\n", "imports os"},
		{"http in an engine", "purity", "traffic/judge/a.go", "package judge\nimport \"net/http/httputil\"\n", "imports net/http/httputil"},
		{"slog in an engine", "purity", "traffic/judge/a.go", "package judge\nimport \"log/slog\"\n", "imports log/slog"},
		{"addresses are values", "purity", "traffic/measure/a.go", "package measure\nimport \"net/netip\"\n", ""},
		{"os at a door", "purity", "traffic/tap/a.go", "package tap\nimport \"os\"\n", ""},
		{"the clock", "purity", "internal/stats/a.go", "package stats\nimport \"time\"\nfunc f() any { return time.Now() }\n", "a.go:3: purity: names time.Now"},
		{"the clock by another name", "purity", "internal/stats/a.go", "package stats\nimport clock \"time\"\nfunc f() any { return clock.Now }\n", "names clock.Now"},
		{"a duration", "purity", "internal/stats/a.go", "package stats\nimport \"time\"\nconst d = time.Hour\n", ""},
		{"chance", "purity", "internal/stats/a.go", "package stats\nimport \"math/rand/v2\"\nfunc f() any { return rand.IntN(3) }\n", "names rand.IntN"},
		{"chance from a seed", "purity", "internal/stats/a.go", "package stats\nimport \"math/rand/v2\"\nfunc f() any { return rand.New(rand.NewPCG(1, 2)) }\n", ""},

		{"exit", "exits", "app/a.go", "package app\nimport \"os\"\nfunc f() { os.Exit(1) }\n", "names os.Exit"},
		{"fatal", "exits", "app/a.go", "package app\nimport \"log\"\nfunc f() { log.Fatalf(\"\") }\n", "names log.Fatalf"},
		{"main exits", "exits", "cmd/palladium/a.go", "package main\nimport \"os\"\nfunc main() { os.Exit(1) }\n", ""},

		{"long file", "sizes", "app/a.go", "package app\n" + strings.Repeat("\n", 699), "700 lines, the limit is 699"},
		{"file at the limit", "sizes", "app/a.go", "package app\n" + strings.Repeat("\n", 698), ""},
		{"long test", "sizes", "app/a_test.go", "package app\n" + strings.Repeat("\n", 1499), "1500 lines"},
		{"test beyond a file's limit", "sizes", "app/a_test.go", "package app\n" + strings.Repeat("\n", 900), ""},
		{"long function", "sizes", "app/a.go", "package app\nfunc f() {\n" + strings.Repeat("\n", 98) + "}\n", "function f has 100 lines"},
		{"function at the limit", "sizes", "app/a.go", "package app\nfunc f() {\n" + strings.Repeat("\n", 97) + "}\n", ""},

		{"says nothing", "names", "internal/utils/a.go", "package utils\n", "package utils says nothing"},
		{"another folder", "names", "internal/stats/a.go", "package statistics\n", "folder of another name"},
		{"stutter", "names", "traffic/judge/a.go", "package judge\ntype JudgePolicy int\n", "type judge.JudgePolicy repeats"},
		{"no stutter", "names", "report/a.go", "package report\ntype Report int\ntype Reporting int\n", ""},

		{"init", "state", "app/a.go", "package app\nfunc init() {}\n", "function init"},
		{"variable", "state", "app/a.go", "package app\nvar cache = map[string]int{}\n", "package variable cache"},
		{"an error", "state", "app/a.go", "package app\nimport \"errors\"\nvar ErrX = errors.New(\"x\")\n", ""},
		{"another package's error", "state", "app/a.go", "package app\nimport \"io/fs\"\nvar ErrX = fs.ErrExist\n", ""},
		{"an error that is none", "state", "app/a.go", "package app\nvar ErrX = 3\n", "package variable ErrX"},
		{"assertion", "state", "app/a.go", "package app\nvar _ error = (*E)(nil)\n", ""},
		{"embedded", "state", "rules/a.go", "package rules\nimport _ \"embed\"\n//go:embed a.yaml\nvar text string\n", ""},
		{"stamped", "state", "cmd/palladium/a.go", "package main\nvar version, commit string\n", ""},
		{"stamped elsewhere", "state", "app/a.go", "package app\nvar version string\n", "package variable version"},

		{"no package comment", "comments", "app/a.go", "package app\n", "app: comments: 0 package comments"},
		{"other start", "comments", "app/a.go", "// App is it.\npackage app\n", `start the package comment with "Package app "`},
		{"undocumented", "comments", "app/a.go", "// Package app is it.\npackage app\nfunc F() {}\n", "a.go:3: comments: F has no comment"},
		{"undocumented method", "comments", "app/a.go", "// Package app is it.\npackage app\n// T is.\ntype T[K any] int\nfunc (*T[K]) Do() {}\n", "Do has no comment"},
		{"method of a hidden type", "comments", "app/a.go", "// Package app is it.\npackage app\ntype t int\nfunc (t) Do() {}\n", ""},
		{"undocumented constant", "comments", "app/a.go", "// Package app is it.\npackage app\nconst (\n\tA = 1 // a\n\tB = 2\n)\n", "B has no comment"},
		{"documented group", "comments", "app/a.go", "// Package app is it.\npackage app\n// The letters.\nconst (\n\tA = 1\n\tB = 2\n)\n", ""},
		{"generated", "comments", "app/gen/a.go", "package gen\nfunc F() {}\n", ""},
	} {
		t.Run(row.name, func(t *testing.T) {
			tree, err := Parse(house(map[string]string{row.file: row.body}))
			if err != nil {
				t.Fatal(err)
			}
			got := fmt.Sprint(sorted(Rules()[row.rule](tree)))
			if row.found == "" && got != "[]" || !strings.Contains(got, row.found) {
				t.Errorf("got %s, want %q", got, row.found)
			}
		})
	}
}

func TestWholePackages(t *testing.T) {
	files := map[string]string{}
	for i := range 4 {
		files[fmt.Sprintf("app/f%d.go", i)] = "// Package app is it.\npackage app\n" + strings.Repeat("\n", 650)
	}
	tree, err := Parse(house(files))
	if err != nil {
		t.Fatal(err)
	}
	if got := fmt.Sprint(Sizes(tree)); !strings.Contains(got, "2608 lines of code") {
		t.Errorf("sizes: %s", got)
	}
	if got := fmt.Sprint(Comments(tree)); !strings.Contains(got, "4 package comments") {
		t.Errorf("comments: %s", got)
	}
}

func TestModulesWithin(t *testing.T) {
	fsys := house(map[string]string{"bench/a.go": "package main\n", "bench/go.mod": "module example.org/bench\n", "app/a.go": "// Package app is it.\npackage app\n"})
	tree, err := Parse(fsys)
	if err != nil || len(tree.Packages) != 1 || tree.Packages[0].Dir != "app" {
		t.Errorf("reads %d packages, %v", len(tree.Packages), err)
	}
}

func TestDocumentRules(t *testing.T) {
	fsys := house(map[string]string{
		"docs/decisions/0001.md": "- `github.com/a/b`: because\n",
		"README.md":              "[a](docs/decisions/0001.md#x) [b](https://example.org/) [c](#here)\n[d](gone.md \"title\")\n```\n[e](code.md)\n```\n",
		"docs/x.md":              "[up](../README.md) [out](../../other.md)\n",
	})
	deps, err := Dependencies(fsys)
	if err != nil {
		t.Fatal(err)
	}
	if got, want := fmt.Sprint(deps), "[go.mod: dependencies: github.com/c/d has no reason: add a line to docs/decisions]"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	found, err := Links(fsys)
	if err != nil {
		t.Fatal(err)
	}
	if got, want := fmt.Sprint(sorted(found)), "[README.md:2: links: leads to gone.md, which is not there docs/x.md:1: links: leads to ../../other.md, which is not there]"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}
