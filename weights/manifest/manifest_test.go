package manifest

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/fstest"
	"time"
)

func TestOrders(t *testing.T) {
	names := []string{"a.b", "a/b", "a-b", "a", "ab", "a/b/c", "é", "Z"}
	for _, row := range []struct {
		name string
		sort func([]Resource)
		want string
	}{
		{"specification", SortSpec, "Z a a-b a.b a/b a/b/c ab é"},
		{"reference", SortReference, "Z a a/b a/b/c a-b a.b ab é"},
	} {
		var rs []Resource
		for _, n := range names {
			rs = append(rs, Resource{Path: n})
		}
		row.sort(rs)
		var got []string
		for _, r := range rs {
			got = append(got, r.Path)
		}
		if g := strings.Join(got, " "); g != row.want {
			t.Errorf("%s: %s, want %s", row.name, g, row.want)
		}
	}
	// Eleven shards and more: the reference counts, the specification compares text.
	var rs []Resource
	for i := range int64(11) {
		rs = append(rs, Resource{Path: "w", Start: i * 10, End: i*10 + 10})
	}
	SortSpec(rs)
	if rs[1].Name() != "w:100:110" {
		t.Errorf("the second shard by the specification is %s", rs[1].Name())
	}
	SortReference(rs)
	if rs[1].Name() != "w:10:20" {
		t.Errorf("the second shard by the reference is %s", rs[1].Name())
	}
}

func TestNames(t *testing.T) {
	for _, row := range []struct {
		name   string
		method Method
		want   Resource
		ok     bool
	}{
		{"a/b", Files, Resource{Path: "a/b"}, true},
		{".", Files, Resource{Path: "."}, true},
		{"a:1:2", Files, Resource{Path: "a:1:2"}, true},
		{"a:1:2", Shards, Resource{Path: "a", Start: 1, End: 2}, true},
		{"a:b:0:8", Shards, Resource{Path: "a:b", End: 8}, true},
		{"../a", Files, Resource{}, false},
		{"/a", Files, Resource{}, false},
		{"a/../b", Files, Resource{}, false},
		{"a//b", Files, Resource{}, false},
		{"a/", Files, Resource{}, false},
		{"", Files, Resource{}, false},
		{"a\xff", Files, Resource{}, false},
		{"a", Shards, Resource{}, false},
		{"a:1", Shards, Resource{}, false},
		{"a:2:2", Shards, Resource{}, false},
		{"a:3:2", Shards, Resource{}, false},
		{"a:01:2", Shards, Resource{}, false},
		{"a:-1:2", Shards, Resource{}, false},
		{"a:0:99999999999999999999", Shards, Resource{}, false},
		{"../a:0:1", Shards, Resource{}, false},
		{":0:1", Shards, Resource{}, false},
	} {
		got, err := ParseName(row.name, row.method)
		if (err == nil) != row.ok || err != nil && !errors.Is(err, ErrMalformed) {
			t.Errorf("%q: %v", row.name, err)
		}
		if row.ok && (got.Path != row.want.Path || got.Start != row.want.Start || got.End != row.want.End || got.Name() != row.name) {
			t.Errorf("%q: %+v", row.name, got)
		}
	}
}

func TestCheck(t *testing.T) {
	d := make([]byte, 32)
	files := Serialization{Method: Files, Algorithm: SHA256}
	shards := Serialization{Method: Shards, Algorithm: SHA256, ShardSize: 10}
	for _, row := range []struct {
		name string
		s    Serialization
		rs   []Resource
		says string
	}{
		{"files", files, []Resource{{Path: "a", Digest: d}, {Path: "b", Digest: d}}, ""},
		{"shards", shards, []Resource{{Path: "a", Start: 10, End: 15, Digest: d}, {Path: "a", End: 10, Digest: d}}, ""},
		{"nothing", files, nil, "lists no file"},
		{"twice", files, []Resource{{Path: "a", Digest: d}, {Path: "a", Digest: d}}, "listed twice"},
		{"digest length", files, []Resource{{Path: "a", Digest: d[:31]}}, "31 bytes"},
		{"gap", shards, []Resource{{Path: "a", End: 10, Digest: d}, {Path: "a", Start: 20, End: 25, Digest: d}}, "gap"},
		{"overlap", shards, []Resource{{Path: "a", End: 10, Digest: d}, {Path: "a", Start: 5, End: 15, Digest: d}}, "overlaps"},
		{"no beginning", shards, []Resource{{Path: "a", Start: 10, End: 20, Digest: d}}, "gap"},
		{"short in the middle", shards, []Resource{{Path: "a", End: 5, Digest: d}, {Path: "a", Start: 5, End: 10, Digest: d}}, "not of 10 bytes"},
		{"too long", shards, []Resource{{Path: "a", End: 11, Digest: d}}, "not of 10 bytes"},
		{"a shard among files", files, []Resource{{Path: "a", End: 11, Digest: d}}, "not of method files"},
		{"a file among shards", shards, []Resource{{Path: "a", Digest: d}}, "not of method shards"},
		{"leads out", files, []Resource{{Path: "../a", Digest: d}}, "plain relative path"},
		{"single among others", files, []Resource{{Path: ".", Digest: d}, {Path: "a", Digest: d}}, "model of one file"},
		{"unknown hash", Serialization{Method: Files, Algorithm: "md5"}, nil, "md5"},
		{"unknown method", Serialization{Method: "tree", Algorithm: SHA256}, nil, "tree"},
		{"no shard size", Serialization{Method: Shards, Algorithm: SHA256}, nil, "shard size"},
		{"negative shard size", Serialization{Method: Shards, Algorithm: SHA256, ShardSize: -1}, nil, "shard size"},
		{"shard size with files", Serialization{Method: Files, Algorithm: SHA256, ShardSize: 1}, nil, "shard size"},
	} {
		err := (&Manifest{Serialization: row.s, Resources: row.rs}).Check()
		if row.says == "" && err != nil || row.says != "" && (!errors.Is(err, ErrMalformed) || !strings.Contains(err.Error(), row.says)) {
			t.Errorf("%s: got %v, want %q", row.name, err, row.says)
		}
	}
}

func kinds(t *Tree) string {
	var out []string
	for _, p := range t.Problems {
		out = append(out, string(p.Kind)+" "+p.Path)
	}
	slices.Sort(out)
	return strings.Join(out, ", ")
}

func paths(files []File) string {
	var out []string
	for _, f := range files {
		out = append(out, f.Path)
	}
	return strings.Join(out, " ")
}

func TestWalk(t *testing.T) {
	file := &fstest.MapFile{Data: []byte("x")}
	link := func(to string) *fstest.MapFile { return &fstest.MapFile{Data: []byte(to), Mode: fs.ModeSymlink} }
	for _, row := range []struct {
		name     string
		fsys     fstest.MapFS
		scope    Scope
		files    string
		ignored  string
		problems string
	}{
		{"plain", fstest.MapFS{"b": file, "a/b": file, "a.c": file}, Scope{}, "a/b a.c b", "", ""},
		{"git at the top only", fstest.MapFS{".git/x": file, "sub/.git/x": file, ".gitx": file}, Scope{Ignore: DefaultIgnored()}, ".gitx sub/.git/x", ".git/x", ""},
		{"ignored with all below", fstest.MapFS{"c/x": file, "c/y/z": file, "cc": file, "s/c": file}, Scope{Ignore: []string{"c"}}, "cc s/c", "c/x c/y/z", ""},
		{"a link", fstest.MapFS{"a": file, "l": link("a")}, Scope{}, "a", "", "link l"},
		{"a link that is followed", fstest.MapFS{"a": file, "l": link("a")}, Scope{Symlinks: true}, "a l", "", ""},
		{"a link to nothing", fstest.MapFS{"a": file, "l": link("b")}, Scope{Symlinks: true}, "a", "", "link l"},
		{"a link to the directory above", fstest.MapFS{"d/a": file, "d/l": link("../d")}, Scope{Symlinks: true}, "d/a", "", "link d/l"},
		{"an ignored link", fstest.MapFS{"a": file, "l": link("a")}, Scope{Ignore: []string{"l"}}, "a", "l", ""},
		{"a pipe", fstest.MapFS{"a": file, "p": {Mode: fs.ModeNamedPipe}}, Scope{}, "a", "", "special p"},
		{"a device", fstest.MapFS{"a": file, "p": {Mode: fs.ModeDevice}}, Scope{}, "a", "", "special p"},
		{"case", fstest.MapFS{"A/x": file, "a/y": file, "Model.py": file, "model.py": file}, Scope{Portable: true}, "A/x Model.py a/y model.py", "", "name a, name model.py"},
		{"case when verifying", fstest.MapFS{"Model.py": file, "model.py": file}, Scope{}, "Model.py model.py", "", ""},
		{"a line break", fstest.MapFS{"a\nb": file}, Scope{Portable: true}, "a\nb", "", "name a\nb"},
		{"a backslash", fstest.MapFS{`a\b`: file}, Scope{Portable: true}, `a\b`, "", `name a\b`},
		{"decomposed", fstest.MapFS{"e\u0301": file}, Scope{Portable: true}, "e\u0301", "", "name e\u0301"},
		{"composed and decomposed", fstest.MapFS{"e\u0301": file, "\u00e9": file}, Scope{Portable: true}, "e\u0301 \u00e9", "", "name e\u0301, name \u00e9"},
	} {
		t.Run(row.name, func(t *testing.T) {
			tree, err := Walk(row.fsys, row.scope)
			if err != nil {
				t.Fatal(err)
			}
			if got := paths(tree.Files); got != row.files {
				t.Errorf("files %q, want %q", got, row.files)
			}
			if got := paths(tree.Ignored); got != row.ignored {
				t.Errorf("ignored %q, want %q", got, row.ignored)
			}
			if got := kinds(tree); got != row.problems {
				t.Errorf("problems %q, want %q", got, row.problems)
			}
			for _, p := range tree.Problems {
				if p.Do == "" || strings.ContainsAny(p.Error(), "\n") {
					t.Errorf("says not what to do, or breaks the line: %s", p.Error())
				}
			}
		})
	}
}

func TestWalkDisk(t *testing.T) {
	dir := t.TempDir()
	for _, p := range []string{"a", "bad\xff"} {
		if err := os.WriteFile(filepath.Join(dir, p), []byte("x"), 0o600); err != nil {
			t.Skipf("this file system takes no such names: %v", err)
		}
	}
	outside := filepath.Join(t.TempDir(), "outside")
	if err := os.WriteFile(outside, []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, to := range map[string]string{"out": outside, "loop": "loop", "ping": "pong", "pong": "ping"} {
		if err := os.Symlink(to, filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	tree, err := Walk(root.FS(), Scope{Symlinks: true})
	if err != nil {
		t.Fatal(err)
	}
	if got := kinds(tree); got != "link loop, link out, link ping, link pong, name bad\xff" {
		t.Errorf("confined: %q", got)
	}
	if tree, err = Walk(os.DirFS(dir), Scope{Symlinks: true}); err != nil || kinds(tree) != "link loop, link ping, link pong, name bad\xff" {
		t.Errorf("anywhere: %q, %v", kinds(tree), err)
	}
}

func TestIgnoredPaths(t *testing.T) {
	for p, ok := range map[string]bool{"a": true, "a/b.py": true, ".git": true, ".": false, "": false, "..": false, "../a": false, "/a": false, "*.py": false, "a?": false, "a[1]": false, "a/": false} {
		if err := CheckIgnored(p); (err == nil) != ok {
			t.Errorf("%q: %v", p, err)
		}
	}
}

func TestLoadable(t *testing.T) {
	for _, row := range []struct {
		path, head string
		loadable   bool
	}{
		{"modeling_x.py", "", true}, {"__init__.py", "", true}, {"sub/__init__.py", "", true},
		{"pytorch_model.bin", "x", true}, {"model.pt", "", true}, {"a.pkl", "", true}, {"x.npy", "", true},
		{"model.safetensors", "x", true}, {"model.GGUF", "x", true}, {"tf_model.h5", "x", true},
		{"chat_template.jinja", "", true}, {"tokenizer.json", "", true}, {"tokenizer.model", "", true}, {"vocab.txt", "", true},
		{"config.json", "", true}, {"generation_config.json", "{}", true}, {"x.yaml", "", true}, {"notes.txt", "hi", true},
		{"lib.so", "", true}, {"lib.so.1", "", true}, {"run.sh", "", true}, {"data.zip", "", true},
		{"README.md", "# hi", false}, {"docs/LICENSE", "text", false}, {"LICENSE.txt", "text", false}, {"logo.png", "\x89PNG\r\n", false},
		{"model.sig", "{}", false}, {"claims.jsonl", "{}", false}, {"x.sigstore.json", "{}", false},
		{"README.md", "\x80\x04\x95", true}, {"README.md", "PK\x03\x04", true}, {"logo.png", "#!/bin/sh", true}, {"LICENSE", "a\x00b", true},
		{"README.md", "\xff\xfe\xfd\xfc\xfb", true}, {"model.sig", "\x7fELF", true},
		{"ignore-me", "", false}, {"ignore-me", "x", true}, {"noextension", "\x80\x02", true},
		{".git/hooks/pre-commit.sample", "#!/bin/sh", false}, {".git/config", "x", false}, {".git/evil.py", "", true}, {".git/x.pkl", "", true},
		{".github/workflows/ci.yml", "on: push", false}, {".github/evil.py", "", true}, {".github/x", "\x80\x04", true}, {".gitattributes", "*.bin lfs", false},
		{"sub/.git/hooks/x", "#!/bin/sh", true}, {"sub/.github/ci.yml", "", true},
	} {
		if got := Loadable(row.path, int64(len(row.head)), []byte(row.head)); (got != "") != row.loadable {
			t.Errorf("%s %q: %q", row.path, row.head, got)
		}
	}
	// A letter of two bytes that the end of the head cuts is no sign of binary content.
	if got := Loadable("README.md", 10, []byte("abc\xc3")); got != "" {
		t.Errorf("a cut letter: %s", got)
	}
	if got := Loadable("README.md", 4, []byte("abc\xc3")); got == "" {
		t.Error("a text that ends in half a letter")
	}
	m := fstest.MapFS{"a.md": {Data: []byte("hi")}}
	tree, _ := Walk(m, Scope{})
	if got := LoadableFile(m, &tree.Files[0]); got != "" {
		t.Error(got)
	}
	if got := LoadableFile(fstest.MapFS{}, &tree.Files[0]); got == "" {
		t.Error("a file that cannot be read was taken for inert")
	}
}

func TestHash(t *testing.T) {
	data := make([]byte, 1_000_003)
	for i := range data {
		data[i] = byte(i * i >> 3)
	}
	m := fstest.MapFS{"a": {Data: data}, "b/empty": {}, "c": {Data: data[:blockSize]}}
	tree, err := Walk(m, Scope{})
	if err != nil {
		t.Fatal(err)
	}
	for _, row := range []struct {
		s    Serialization
		want string // digest of the last resource's bytes
		n    int
	}{
		{Serialization{Method: Files, Algorithm: SHA256}, "", 3},
		{Serialization{Method: Files, Algorithm: BLAKE2b}, "", 3},
		{Serialization{Method: Files, Algorithm: BLAKE3}, "", 3},
		{Serialization{Method: Shards, Algorithm: SHA256, ShardSize: 100_000}, "", 11 + 2},
		{Serialization{Method: Shards, Algorithm: BLAKE3, ShardSize: 1 << 20}, "", 2},
	} {
		for _, workers := range []int{0, 1, 3, 64, -1, -2} {
			var last Progress
			opt := Options{Workers: max(workers, -workers), Progress: func(p Progress) { last = p }}
			if workers < 0 {
				opt.Pair = func(a, b hash.Hash, p, q []byte) { a.Write(p); b.Write(q) }
			}
			rs, err := Hash(context.Background(), m, tree.Files, row.s, opt)
			if err != nil {
				t.Fatal(err)
			}
			if len(rs) != row.n {
				t.Fatalf("%+v: %d resources, want %d", row.s, len(rs), row.n)
			}
			if last.Done != tree.Bytes || last.Total != tree.Bytes {
				t.Errorf("progress ended at %+v of %d", last, tree.Bytes)
			}
			for _, r := range rs {
				content := m[r.Path].Data
				if !r.Whole() {
					content = content[r.Start:r.End]
				}
				h := row.s.Algorithm.New()
				h.Write(content)
				if !bytes.Equal(h.Sum(nil), r.Digest) {
					t.Errorf("%+v: digest of %s", row.s, r.Name())
				}
			}
			if err := (&Manifest{Serialization: row.s, Resources: rs}).Check(); err != nil {
				t.Error(err)
			}
		}
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := Hash(ctx, m, tree.Files, Serialization{Method: Files, Algorithm: SHA256}, Options{}); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
}

// changing is a file system whose file changes at its nth reading.
type changing struct {
	fstest.MapFS
	how string
	mu  *sync.Mutex
	n   *int
}

func (c changing) Open(name string) (fs.File, error) {
	f, err := c.MapFS.Open(name)
	return &changingFile{f, c, name}, err
}

type changingFile struct {
	fs.File
	c    changing
	name string
}

func (f *changingFile) ReadAt(b []byte, off int64) (int, error) {
	n, err := f.File.(io.ReaderAt).ReadAt(b, off)
	f.c.mu.Lock()
	defer f.c.mu.Unlock()
	if *f.c.n++; *f.c.n == 1 {
		old := f.c.MapFS[f.name]
		switch f.c.how {
		case "replaced":
			f.c.MapFS[f.name] = &fstest.MapFile{Data: old.Data, ModTime: old.ModTime.Add(time.Second)}
		case "removed":
			delete(f.c.MapFS, f.name)
		case "shorter":
			return 1, io.EOF
		}
	}
	return n, err
}

func TestRacing(t *testing.T) {
	for _, how := range []string{"replaced", "removed", "shorter", "listed", "longer"} {
		c := changing{MapFS: fstest.MapFS{"a": {Data: bytes.Repeat([]byte("x"), 300_000)}}, how: how, mu: &sync.Mutex{}, n: new(int)}
		tree, err := Walk(c, Scope{})
		if err != nil {
			t.Fatal(err)
		}
		switch how {
		case "listed":
			c.MapFS["a"] = &fstest.MapFile{Data: c.MapFS["a"].Data, ModTime: time.Unix(5, 0)}
		case "longer": // without another size in its state: what a network file system may tell
			tree.Files[0].Info = shorter{tree.Files[0].Info}
			c.MapFS["a"] = &fstest.MapFile{Data: c.MapFS["a"].Data}
		}
		_, err = Hash(context.Background(), c, tree.Files, Serialization{Method: Files, Algorithm: SHA256}, Options{Workers: 1})
		var p *Problem
		if !errors.As(err, &p) || p.Kind != Racing || p.Path != "a" {
			t.Errorf("%s: %v", how, err)
		}
	}
}

type shorter struct{ fs.FileInfo }

func (s shorter) Size() int64 { return s.FileInfo.Size() - 1 }

// remembering is a Memory of digests by stamp and unit.
type remembering struct {
	mu    sync.Mutex
	known map[Unit][]byte
	kept  int
}

func (r *remembering) Recall(_ io.ReaderAt, s Stamp, u Unit) ([]byte, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	d, ok := r.known[u]
	return d, ok
}

func (r *remembering) Settle(io.ReaderAt, Stamp) bool { return true }

func (r *remembering) Keep(_ io.ReaderAt, _ Stamp, u Unit, d []byte) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.kept++
	r.known[u] = d
}

func TestMemory(t *testing.T) {
	m := fstest.MapFS{"a": {Data: []byte("abc")}}
	tree, _ := Walk(m, Scope{})
	mem := &remembering{known: map[Unit][]byte{}}
	opt := Options{Memory: mem, Stamp: func(i fs.FileInfo) (Stamp, bool) { return Stamp{Size: i.Size()}, true }}
	s := Serialization{Method: Files, Algorithm: SHA256}
	if _, err := Hash(context.Background(), m, tree.Files, s, opt); err != nil || mem.kept != 1 {
		t.Fatalf("%v, kept %d", err, mem.kept)
	}
	false32 := sha256.Sum256([]byte("what memory says"))
	mem.known[Unit{SHA256, 0, 3}] = false32[:]
	var last Progress
	opt.Progress = func(p Progress) { last = p }
	rs, err := Hash(context.Background(), m, tree.Files, s, opt)
	if err != nil || !bytes.Equal(rs[0].Digest, false32[:]) || last.Recalled != 3 {
		t.Errorf("%v %x %+v", err, rs[0].Digest, last)
	}
	mem.known[Unit{SHA256, 0, 3}] = []byte("short")
	if rs, _ = Hash(context.Background(), m, tree.Files, s, opt); len(rs[0].Digest) != 32 {
		t.Error("a digest of the wrong length was recalled")
	}
	opt.Stamp = func(fs.FileInfo) (Stamp, bool) { return Stamp{}, false }
	mem.known = map[Unit][]byte{{SHA256, 0, 3}: false32[:]}
	if rs, _ = Hash(context.Background(), m, tree.Files, s, opt); bytes.Equal(rs[0].Digest, false32[:]) {
		t.Error("a digest was recalled for a file without a stamp")
	}
}

func TestListedAndDifferences(t *testing.T) {
	m := fstest.MapFS{"a": {Data: []byte("abc")}, "b": {Data: []byte("abcd")}, "empty": {}}
	tree, _ := Walk(m, Scope{})
	never := func(*File) bool { return false }
	hash := func(s Serialization, files []File) *Manifest {
		rs, err := Hash(context.Background(), m, files, s, Options{})
		if err != nil {
			t.Fatal(err)
		}
		return &Manifest{Serialization: s, Resources: rs}
	}
	files := Serialization{Method: Files, Algorithm: SHA256}
	shards := Serialization{Method: Shards, Algorithm: SHA256, ShardSize: 2}
	all := hash(files, tree.Files)
	if p := all.Listed(tree.Files, never); p != nil {
		t.Errorf("nothing is wrong: %v", p)
	}
	if p := all.Differences(all.Resources); p != nil {
		t.Errorf("nothing is wrong: %v", p)
	}
	for _, row := range []struct {
		name  string
		m     *Manifest
		files []File
		want  string
	}{
		{"unsigned", hash(files, tree.Files[:2]), tree.Files, `unsigned "empty"`},
		{"missing", all, tree.Files[:2], `missing "empty"`},
		{"an empty file, with shards", hash(shards, tree.Files), tree.Files, `unsigned "empty"`},
		{"another size, with shards", &Manifest{Serialization: shards, Resources: hash(shards, tree.Files[:1]).Resources[:1]}, tree.Files[:1], `changed "a"`},
	} {
		var got []string
		for _, p := range row.m.Listed(row.files, never) {
			got = append(got, string(p.Kind)+" "+`"`+p.Path+`"`)
		}
		if g := strings.Join(got, ", "); g != row.want {
			t.Errorf("%s: %s, want %s", row.name, g, row.want)
		}
	}
	if p := hash(files, tree.Files[:2]).Listed(tree.Files, func(f *File) bool { return f.Path == "empty" }); p != nil {
		t.Errorf("allowed: %v", p)
	}
	other := slices.Clone(all.Resources)
	sum := sha256.Sum256([]byte("abcx"))
	other[1] = Resource{Path: "b", Digest: sum[:]}
	p := all.Differences(other)
	if len(p) != 1 || p[0].Kind != Changed || p[0].Path != "b" || p[0].Found != hex.EncodeToString(sum[:]) {
		t.Errorf("%v", p)
	}
	if p := all.Differences(other[:1]); len(p) != 2 || p[0].Kind != Missing {
		t.Errorf("%v", p)
	}
	if Equal(all.Resources, other) || !Equal(all.Resources, all.Resources) || Equal(all.Resources, other[:1]) {
		t.Error("Equal")
	}
}

func FuzzNames(f *testing.F) {
	for _, s := range []string{"a", "a:0:1", "../x", "a:b:1:2", ":", "::", "a:18446744073709551616:2"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		for _, m := range []Method{Files, Shards} {
			r, err := ParseName(s, m)
			if err != nil {
				continue
			}
			if r.Name() != s || !fs.ValidPath(r.Path) || cmp.Compare(r.Start, r.End) > 0 {
				t.Errorf("%q became %+v", s, r)
			}
		}
	})
}

func FuzzLoadable(f *testing.F) {
	f.Add("README.md", []byte("hi"))
	f.Add("x", []byte{0x80, 4})
	f.Fuzz(func(t *testing.T, p string, head []byte) {
		kind := Loadable(p, int64(len(head)), head)
		if len(head) >= 2 && head[0] == 0x80 && head[1] == 4 && kind == "" && !Within(p, []string{".git"}) {
			t.Errorf("a pickle named %q is inert", p)
		}
	})
}

func TestHashShares(t *testing.T) {
	m := fstest.MapFS{}
	for i := range 9 {
		m[fmt.Sprint(i)] = &fstest.MapFile{Data: make([]byte, blockSize)}
	}
	for _, row := range []struct{ files, workers, pairs int }{{1, 1, 0}, {2, 1, 1}, {2, 2, 0}, {9, 1, 4}} {
		tree, err := Walk(m, Scope{})
		if err != nil {
			t.Fatal(err)
		}
		var pairs atomic.Int64
		opt := Options{Workers: row.workers, Pair: func(a, b hash.Hash, p, q []byte) {
			if len(p) == len(q) {
				pairs.Add(1)
			}
			a.Write(p)
			b.Write(q)
		}}
		if _, err := Hash(t.Context(), m, tree.Files[:row.files], Serialization{Method: Files, Algorithm: SHA256}, opt); err != nil {
			t.Fatal(err)
		}
		if got := int(pairs.Load()); got != row.pairs && row.workers == 1 || got > row.pairs && row.workers > 1 {
			t.Errorf("%d files, %d workers: %d blocks in pairs, want %d", row.files, row.workers, got, row.pairs)
		}
	}
}

func BenchmarkHash(b *testing.B) {
	data := make([]byte, 64<<20)
	dir := b.TempDir()
	for _, n := range []string{"a", "b", "c", "d"} {
		if err := os.WriteFile(filepath.Join(dir, n), data, 0o600); err != nil {
			b.Fatal(err)
		}
	}
	fsys := os.DirFS(dir)
	tree, err := Walk(fsys, Scope{})
	if err != nil {
		b.Fatal(err)
	}
	for _, s := range []Serialization{
		{Method: Files, Algorithm: SHA256}, {Method: Shards, Algorithm: SHA256, ShardSize: 16 << 20}, {Method: Files, Algorithm: BLAKE3}, {Method: Files, Algorithm: BLAKE2b},
	} {
		for _, workers := range []int{1, 2} {
			b.Run(string(s.Method)+"/"+string(s.Algorithm)+"/workers="+string(rune('0'+workers)), func(b *testing.B) {
				b.SetBytes(tree.Bytes)
				for b.Loop() {
					if _, err := Hash(context.Background(), fsys, tree.Files, s, Options{Workers: workers}); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
}
