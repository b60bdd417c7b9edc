package manifest

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/cases"
	"golang.org/x/text/unicode/norm"
)

// File is a file of a model.
type File struct {
	Path string      // its name in a manifest
	At   string      // its name in the file system, when that is another
	Info fs.FileInfo // of the content: behind a link, that of its target
	Link bool
}

// at returns the name of f in the file system.
func (f *File) at() string { return cmp.Or(f.At, f.Path) }

// Tree is what a model's directory holds.
type Tree struct {
	Files    []File // that belong to the model, sorted as the reference does
	Ignored  []File // below a path that is left out
	Bytes    int64  // of Files
	Problems []Problem
}

// Scope says what belongs to a model.
type Scope struct {
	Ignore   []string // exact relative paths, each with all below it; see CheckIgnored
	Symlinks bool     // follow links to files. Links to directories are never followed
	// Portable reports names that another system takes for other ones, or for the same: control characters,
	// backslashes, decomposed letters, names that differ in case only.
	Portable bool
}

// DefaultIgnored returns what is left out of every model: the specification's list (section 6.2), which counts at the top
// of the model only.
func DefaultIgnored() []string { return []string{".git", ".gitattributes", ".github", ".gitignore"} }

// CheckIgnored returns an error when p cannot stand in a list of paths to leave out (section 6.2.1). "." would leave out
// everything.
func CheckIgnored(p string) error {
	if !fs.ValidPath(p) || p == "." || strings.ContainsAny(p, "*?[") {
		return fmt.Errorf("ignored path %q: write an exact path relative to the model, without wildcards (*, ?, [), a leading / or .. in it", p)
	}
	return nil
}

// Within reports whether p is one of the paths or below one.
func Within(p string, paths []string) bool {
	return slices.ContainsFunc(paths, func(dir string) bool {
		return p == dir || len(p) > len(dir) && p[len(dir)] == '/' && strings.HasPrefix(p, dir)
	})
}

// Walk lists the model in fsys. What cannot be part of a model comes back as problems; an error is of reading. Links are
// told apart when fsys is an fs.ReadLinkFS; one that confines links, such as that of an os.Root, makes those that lead out
// of the model a problem.
func Walk(fsys fs.FS, scope Scope) (*Tree, error) {
	t := &Tree{}
	w := walk{fsys: fsys, scope: scope, tree: t, fold: cases.Fold(), folded: map[string]string{}}
	if err := fs.WalkDir(fsys, ".", w.visit); err != nil {
		return nil, err
	}
	byPath := func(a, b File) int { return comparePaths(a.Path, b.Path) }
	slices.SortFunc(t.Files, byPath)
	slices.SortFunc(t.Ignored, byPath)
	for i := range t.Files {
		t.Bytes += t.Files[i].Info.Size()
	}
	return t, nil
}

type walk struct {
	fsys   fs.FS
	scope  Scope
	tree   *Tree
	fold   cases.Caser
	folded map[string]string // folded path -> path
}

func (w *walk) problem(p string, k Kind, want, found, do string) {
	w.tree.Problems = append(w.tree.Problems, Problem{Path: p, Kind: k, Want: want, Found: found, Do: do})
}

func (w *walk) visit(p string, d fs.DirEntry, err error) error {
	if p == "." {
		return err
	}
	ignored := Within(p, w.scope.Ignore)
	if err != nil {
		if ignored && errors.Is(err, fs.ErrPermission) {
			return skip(d)
		}
		w.problem(p, Unread, "", reason(err), "make it readable, or move it out of the model")
		return skip(d)
	}
	if !ignored {
		w.name(p)
	}
	switch {
	case d.IsDir():
		return nil
	case d.Type()&fs.ModeSymlink != 0:
		w.link(p, ignored)
		return nil
	case !d.Type().IsRegular():
		if !ignored {
			w.problem(p, Special, "a file or a directory", kindOf(d.Type()), "move it out of the model")
		}
		return nil
	}
	info, err := d.Info()
	if err != nil {
		w.problem(p, Racing, "a file", reason(err), "run again when nothing writes to the model")
		return nil
	}
	w.add(File{Path: p, Info: info}, ignored)
	return nil
}

func skip(d fs.DirEntry) error {
	if d != nil && d.IsDir() {
		return fs.SkipDir
	}
	return nil
}

func (w *walk) add(f File, ignored bool) {
	if ignored {
		w.tree.Ignored = append(w.tree.Ignored, f)
		return
	}
	w.tree.Files = append(w.tree.Files, f)
}

// link takes in a link to a file. A link to a directory is refused even where links are followed: what is below it would
// be signed under two names or not at all, and following can go round in circles.
func (w *walk) link(p string, ignored bool) {
	info, err := fs.Stat(w.fsys, p)
	switch {
	case ignored:
		if err == nil && info.Mode().IsRegular() {
			w.add(File{Path: p, Info: info, Link: true}, true)
		}
	case !w.scope.Symlinks:
		w.problem(p, Link, "a file", "a symbolic link", "put the file in its place, or allow links when signing")
	case err != nil:
		w.problem(p, Link, "a link to a file of the model", "a link that leads nowhere, in a circle, or out of the model ("+reason(err)+")", "put the file in its place")
	case !info.Mode().IsRegular():
		w.problem(p, Link, "a link to a file", "a link to "+kindOf(info.Mode().Type()), "put its content in its place")
	default:
		w.add(File{Path: p, Info: info, Link: true}, false)
	}
}

// name looks for names that cannot be written in a manifest, or that other systems read differently.
func (w *walk) name(p string) {
	base := path.Base(p)
	if !utf8.ValidString(base) {
		w.problem(p, Name, "UTF-8", strconv.QuoteToASCII(base), "rename it: a manifest cannot hold its name")
		return
	}
	if !w.scope.Portable {
		return
	}
	switch {
	case strings.ContainsFunc(base, unicode.IsControl):
		w.problem(p, Name, "printable characters", "a control character, such as a line break", "rename it")
	case strings.ContainsRune(base, '\\'):
		w.problem(p, Name, "no backslash", "one, which some systems take for a separator", "rename it")
	case !norm.NFC.IsNormalString(base):
		w.problem(p, Name, "composed letters (Unicode NFC)", "decomposed ones, which some systems rename", "rename it to "+strconv.Quote(norm.NFC.String(base)))
	}
	key := w.fold.String(norm.NFC.String(p))
	if other, taken := w.folded[key]; taken {
		w.problem(p, Name, "names that differ in more than case", strconv.Quote(other)+", which some systems take for the same", "rename one of them")
		return
	}
	w.folded[key] = p
}

func kindOf(m fs.FileMode) string {
	switch {
	case m&fs.ModeDir != 0:
		return "a directory"
	case m&fs.ModeNamedPipe != 0:
		return "a named pipe"
	case m&fs.ModeSocket != 0:
		return "a socket"
	case m&fs.ModeDevice != 0:
		return "a device"
	}
	return "a special file"
}

// reason strips the path from an error, which the problem names already.
func reason(err error) string {
	var pe *fs.PathError
	if errors.As(err, &pe) {
		return pe.Err.Error()
	}
	return err.Error()
}
