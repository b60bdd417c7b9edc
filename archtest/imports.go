package archtest

import (
	"go/ast"
	"path"
	"slices"
	"strconv"
	"strings"
)

// Floors finds packages without a room and imports that go sideways or up.
func Floors(t *Tree) (out []Finding) {
	for _, p := range t.Packages {
		if p.Name == "" {
			continue
		}
		if _, ok := FloorOf(p.Dir); !ok {
			out = append(out, Finding{p.place(), "floors", "the folder has no floor: place it in Rooms of archtest/floors.go"})
			continue
		}
		for _, f := range p.code() {
			for _, spec := range f.AST.Imports {
				dir, ok := t.inside(importPath(spec))
				if !ok {
					continue
				}
				if floor, known := FloorOf(dir); !known || !mayImport(p, dir, floor) {
					out = append(out, Finding{t.pos(spec), "floors", "imports " + dir + ", which is not on a lower floor and not its parent: let app bring the two together"})
				}
			}
		}
	}
	return out
}

// mayImport reports whether p may import the package in dir. Root and outside import nothing.
func mayImport(p *Package, dir string, floor Floor) bool {
	if p.Floor == Outside {
		return p.Dir != dir && strings.HasPrefix(p.Dir, dir+"/") && dir != ""
	}
	if floor == Outside || floor == Files && p.Floor.pure() {
		return false
	}
	parent := path.Dir(p.Dir)
	return dir == parent && parent != "." || storey(floor) < storey(p.Floor)
}

// storey is the height of a floor: engines and stores stand on one.
func storey(f Floor) Floor {
	if f == Store {
		return Engine
	}
	return f
}

// Purity finds I/O, clocks and chance in packages that are replayed from recordings.
func Purity(t *Tree) (out []Finding) {
	for _, p := range t.Packages {
		if !p.Floor.pure() {
			continue
		}
		for _, f := range p.code() {
			for _, spec := range f.AST.Imports {
				if path := importPath(spec); denied(path, deniedImports()) {
					out = append(out, Finding{t.pos(spec), "purity", "imports " + path + ": take values, an io.Reader or an fs.FS, and return values and errors"})
				}
			}
			for _, use := range uses(f, deniedNames()) {
				out = append(out, Finding{t.pos(use), "purity", "names " + selector(use) + ": time comes from the exchange and chance from a seed"})
			}
		}
	}
	return out
}

// Exits finds code outside package main that ends the process.
func Exits(t *Tree) (out []Finding) {
	for _, p := range t.Packages {
		if p.Name == "main" {
			continue
		}
		for _, f := range p.code() {
			for _, use := range uses(f, exits()) {
				out = append(out, Finding{t.pos(use), "exits", "names " + selector(use) + ": return an error, only main exits"})
			}
		}
	}
	return out
}

func importPath(spec *ast.ImportSpec) string {
	p, err := strconv.Unquote(spec.Path.Value)
	if err != nil {
		return ""
	}
	return p
}

// uses finds selectors pkg.Name in f where Name is listed for the import path of pkg.
func uses(f *File, names map[string][]string) (out []*ast.SelectorExpr) {
	local := make(map[string][]string)
	for _, spec := range f.AST.Imports {
		p := importPath(spec)
		if list, ok := names[p]; ok {
			local[localName(spec, p)] = list
		}
	}
	if len(local) == 0 {
		return nil
	}
	ast.Inspect(f.AST, func(n ast.Node) bool {
		sel, ok := n.(*ast.SelectorExpr)
		if !ok {
			return true
		}
		if id, ok := sel.X.(*ast.Ident); ok && slices.Contains(local[id.Name], sel.Sel.Name) {
			out = append(out, sel)
		}
		return true
	})
	return out
}

// localName is the name by which a file knows an import: the one given, else the last part that is no version.
func localName(spec *ast.ImportSpec, p string) string {
	if spec.Name != nil {
		return spec.Name.Name
	}
	base := path.Base(p)
	if len(base) > 1 && base[0] == 'v' && strings.Trim(base[1:], "0123456789") == "" {
		base = path.Base(path.Dir(p))
	}
	return base
}

func selector(s *ast.SelectorExpr) string {
	if id, ok := s.X.(*ast.Ident); ok {
		return id.Name + "." + s.Sel.Name
	}
	return s.Sel.Name
}
