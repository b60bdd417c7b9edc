// Package archtest holds the rules of the house as a test: floors, forbidden imports, sizes, names, comments. Every
// rule is a function from the parsed source tree to findings; the tables that they follow are in floors.go.
package archtest

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path"
	"slices"
	"strings"
)

// Finding is one breach of a rule.
type Finding struct {
	Pos  string // file:line relative to the module, or a folder
	Rule string
	Says string // what is wrong and what to do
}

func (f Finding) String() string { return fmt.Sprintf("%s: %s: %s", f.Pos, f.Rule, f.Says) }

// Package is the Go code of one folder.
type Package struct {
	Dir   string // relative to the module, "" for its root
	Name  string // package clause of the files that are not tests; empty when there are only tests
	Floor Floor
	Files []*File
}

// File is one Go source file.
type File struct {
	Path  string // relative to the module
	Test  bool
	Lines int
	AST   *ast.File
}

// Tree is the source of a module.
type Tree struct {
	Module   string
	Fset     *token.FileSet
	Packages []*Package // by folder
}

// Parse reads every Go file of the module in fsys. It skips hidden folders, testdata, vendor, bin, out, node_modules,
// generated code in gen folders, and modules within the module: they are not the product.
func Parse(fsys fs.FS) (*Tree, error) {
	mod, err := fs.ReadFile(fsys, "go.mod")
	if err != nil {
		return nil, fmt.Errorf("read the module file: %w", err)
	}
	t := &Tree{Fset: token.NewFileSet(), Module: moduleName(string(mod))}
	byDir := make(map[string]*Package)
	err = fs.WalkDir(fsys, ".", func(p string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() {
			if p != "." && (skipped(d.Name()) || nested(fsys, p)) {
				return fs.SkipDir
			}
			return nil
		}
		if path.Ext(p) != ".go" {
			return nil
		}
		return t.add(fsys, p, byDir)
	})
	if err != nil {
		return nil, err
	}
	for _, p := range byDir {
		t.Packages = append(t.Packages, p)
	}
	slices.SortFunc(t.Packages, func(a, b *Package) int { return strings.Compare(a.Dir, b.Dir) })
	return t, nil
}

func skipped(folder string) bool {
	return strings.HasPrefix(folder, ".") || strings.HasPrefix(folder, "_") ||
		slices.Contains([]string{"testdata", "vendor", "bin", "out", "node_modules", "gen"}, folder)
}

// nested reports whether a folder is a module of its own.
func nested(fsys fs.FS, dir string) bool {
	_, err := fs.Stat(fsys, path.Join(dir, "go.mod"))
	return err == nil
}

func (t *Tree) add(fsys fs.FS, p string, byDir map[string]*Package) error {
	src, err := fs.ReadFile(fsys, p)
	if err != nil {
		return fmt.Errorf("read source: %w", err)
	}
	f, err := parser.ParseFile(t.Fset, p, src, parser.ParseComments|parser.SkipObjectResolution)
	if err != nil {
		return fmt.Errorf("parse source: %w", err)
	}
	dir := path.Dir(p)
	if dir == "." {
		dir = ""
	}
	pkg := byDir[dir]
	if pkg == nil {
		pkg = &Package{Dir: dir}
		byDir[dir] = pkg
		pkg.Floor, _ = FloorOf(dir)
	}
	file := &File{Path: p, Test: strings.HasSuffix(p, "_test.go"), Lines: strings.Count(string(src), "\n"), AST: f}
	if !file.Test {
		pkg.Name = f.Name.Name
	}
	pkg.Files = append(pkg.Files, file)
	return nil
}

func moduleName(mod string) string {
	for line := range strings.Lines(mod) {
		if name, ok := strings.CutPrefix(strings.TrimSpace(line), "module "); ok {
			return strings.TrimSpace(name)
		}
	}
	return ""
}

// code lists the files of p that are not tests.
func (p *Package) code() []*File {
	return slices.DeleteFunc(slices.Clone(p.Files), func(f *File) bool { return f.Test })
}

// place is the folder as findings show it.
func (p *Package) place() string {
	if p.Dir == "" {
		return "."
	}
	return p.Dir
}

func (t *Tree) pos(n ast.Node) string {
	at := t.Fset.Position(n.Pos())
	return fmt.Sprintf("%s:%d", at.Filename, at.Line)
}

// inside returns the folder of an import path of this module.
func (t *Tree) inside(importPath string) (string, bool) {
	if importPath == t.Module {
		return "", true
	}
	return strings.CutPrefix(importPath, t.Module+"/")
}
