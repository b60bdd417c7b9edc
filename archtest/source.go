package archtest

import (
	"fmt"
	"go/ast"
	"go/token"
	"path"
	"slices"
	"strings"
	"unicode"
)

// Sizes finds packages, files and functions over the limits.
func Sizes(t *Tree) (out []Finding) {
	for _, p := range t.Packages {
		total := 0
		for _, f := range p.Files {
			limit := maxFile
			if p.Floor == Cmd {
				limit = maxCommand
			}
			if f.Test {
				limit = maxTestFile
			} else {
				total += f.Lines
			}
			if f.Lines > limit {
				out = append(out, Finding{f.Path, "sizes", fmt.Sprintf("%d lines, the limit is %d: split it by subject", f.Lines, limit)})
			}
			if !f.Test {
				out = append(out, longFunctions(t, f)...)
			}
		}
		if total > maxPackage && p.Floor != Cmd {
			out = append(out, Finding{p.place(), "sizes", fmt.Sprintf("%d lines of code, the limit of a package is %d: give one part a package of its own", total, maxPackage)})
		}
	}
	return out
}

func longFunctions(t *Tree, f *File) (out []Finding) {
	for _, d := range f.AST.Decls {
		fn, ok := d.(*ast.FuncDecl)
		if !ok || fn.Body == nil {
			continue
		}
		if n := t.Fset.Position(fn.End()).Line - t.Fset.Position(fn.Pos()).Line + 1; n > maxFunction {
			out = append(out, Finding{t.pos(fn), "sizes", fmt.Sprintf("function %s has %d lines, the limit is %d", fn.Name.Name, n, maxFunction)})
		}
	}
	return out
}

// Names finds packages named after nothing, folders that differ from their package, and types that repeat it.
func Names(t *Tree) (out []Finding) {
	for _, p := range t.Packages {
		if p.Name == "" {
			continue
		}
		folder := path.Base(p.Dir)
		if slices.Contains(bannedNames(), p.Name) || slices.Contains(bannedNames(), folder) {
			out = append(out, Finding{p.place(), "names", "package " + p.Name + " says nothing of what is inside: put the code with its noun"})
		}
		if p.Dir != "" && p.Name != "main" && p.Name != folder {
			out = append(out, Finding{p.place(), "names", "package " + p.Name + " is in a folder of another name"})
		}
		for _, f := range p.code() {
			for _, spec := range typeSpecs(f) {
				if stutters(p.Name, spec.Name.Name) {
					out = append(out, Finding{t.pos(spec), "names", "type " + p.Name + "." + spec.Name.Name + " repeats its package"})
				}
			}
		}
	}
	return out
}

func typeSpecs(f *File) (out []*ast.TypeSpec) {
	for _, d := range f.AST.Decls {
		if gen, ok := d.(*ast.GenDecl); ok && gen.Tok == token.TYPE {
			for _, s := range gen.Specs {
				out = append(out, s.(*ast.TypeSpec))
			}
		}
	}
	return out
}

func stutters(pkg, name string) bool {
	if len(name) <= len(pkg) || !strings.EqualFold(name[:len(pkg)], pkg) {
		return false
	}
	return ast.IsExported(name) && unicode.IsUpper(rune(name[len(pkg)]))
}

// State finds init functions and package variables. Errors, embedded files, assertions that a type implements an
// interface, and what the linker stamps into main are allowed.
func State(t *Tree) (out []Finding) {
	for _, p := range t.Packages {
		for _, f := range p.code() {
			for _, d := range f.AST.Decls {
				switch d := d.(type) {
				case *ast.FuncDecl:
					if d.Recv == nil && d.Name.Name == "init" {
						out = append(out, Finding{t.pos(d), "state", "function init: build the table in app and hand it over"})
					}
				case *ast.GenDecl:
					if d.Tok != token.VAR {
						continue
					}
					for _, s := range d.Specs {
						if spec := s.(*ast.ValueSpec); !allowedVar(p, d, spec) {
							out = append(out, Finding{t.pos(spec), "state", "package variable " + spec.Names[0].Name + ": use a constant, a field, or a function that returns the table"})
						}
					}
				}
			}
		}
	}
	return out
}

func allowedVar(p *Package, d *ast.GenDecl, spec *ast.ValueSpec) bool {
	if embedded(d.Doc) || embedded(spec.Doc) {
		return true
	}
	blank, stamped := true, p.Name == "main"
	for _, n := range spec.Names {
		blank = blank && n.Name == "_"
		stamped = stamped && (n.Name == "version" || n.Name == "commit")
	}
	if blank || stamped {
		return true
	}
	for i, n := range spec.Names {
		if !strings.HasPrefix(n.Name, "Err") && !strings.HasPrefix(n.Name, "err") || i >= len(spec.Values) || !newError(spec.Values[i]) {
			return false
		}
	}
	return true
}

func embedded(doc *ast.CommentGroup) bool {
	return doc != nil && slices.ContainsFunc(doc.List, func(c *ast.Comment) bool { return strings.HasPrefix(c.Text, "//go:embed ") })
}

// newError reports whether e makes an error, or names one of another package, so that callers need to know one package only.
func newError(e ast.Expr) bool {
	if sel, ok := e.(*ast.SelectorExpr); ok {
		return strings.HasPrefix(sel.Sel.Name, "Err")
	}
	call, ok := e.(*ast.CallExpr)
	if !ok {
		return false
	}
	sel, ok := call.Fun.(*ast.SelectorExpr)
	return ok && (selector(sel) == "errors.New" || selector(sel) == "fmt.Errorf")
}

// Comments finds packages without exactly one package comment and exported names without a comment.
func Comments(t *Tree) (out []Finding) {
	for _, p := range t.Packages {
		if p.Name == "" {
			continue
		}
		var docs []string
		for _, f := range p.code() {
			if f.AST.Doc != nil && strings.TrimSpace(f.AST.Doc.Text()) != "" {
				docs = append(docs, f.Path)
				if text := f.AST.Doc.Text(); p.Name != "main" && !strings.HasPrefix(text, "Package "+p.Name+" ") {
					out = append(out, Finding{f.Path, "comments", `start the package comment with "Package ` + p.Name + ` "`})
				}
			}
			if p.Name != "main" {
				out = append(out, undocumented(t, f)...)
			}
		}
		if len(docs) != 1 {
			out = append(out, Finding{p.place(), "comments", fmt.Sprintf("%d package comments, one is wanted: %s", len(docs), strings.Join(docs, ", "))})
		}
	}
	return out
}

func undocumented(t *Tree, f *File) (out []Finding) {
	add := func(n ast.Node, name string) {
		out = append(out, Finding{t.pos(n), "comments", name + " has no comment: say its contract, shape, unit and errors"})
	}
	for _, d := range f.AST.Decls {
		switch d := d.(type) {
		case *ast.FuncDecl:
			if ast.IsExported(d.Name.Name) && exportedReceiver(d) && d.Doc == nil {
				add(d, d.Name.Name)
			}
		case *ast.GenDecl:
			for _, s := range d.Specs {
				switch s := s.(type) {
				case *ast.TypeSpec:
					if s.Name.IsExported() && d.Doc == nil && s.Doc == nil {
						add(s, s.Name.Name)
					}
				case *ast.ValueSpec:
					for _, n := range s.Names {
						if n.IsExported() && d.Doc == nil && s.Doc == nil && s.Comment == nil {
							add(s, n.Name)
						}
					}
				}
			}
		}
	}
	return out
}

// exportedReceiver reports whether d is a function, or a method of an exported type that is not one of the methods
// whose contract the standard library fixes.
func exportedReceiver(d *ast.FuncDecl) bool {
	if d.Recv == nil || len(d.Recv.List) == 0 {
		return true
	}
	if slices.Contains([]string{"Error", "String", "Unwrap", "Is", "As", "Len", "Less", "Swap"}, d.Name.Name) {
		return false
	}
	typ := d.Recv.List[0].Type
	for {
		switch x := typ.(type) {
		case *ast.StarExpr:
			typ = x.X
		case *ast.IndexExpr:
			typ = x.X
		case *ast.IndexListExpr:
			typ = x.X
		case *ast.Ident:
			return x.IsExported()
		default:
			return false
		}
	}
}
