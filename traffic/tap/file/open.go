package file

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"

	"github.com/palladium-guard/palladium/traffic/dialect"
)

// source is one file to read.
type source struct {
	index  int
	path   string
	size   int64     // on disk
	once   bool      // can be read only once: standard input, a pipe
	stdin  io.Reader // what to read in place of path
	start  Position
	format *dialect.Format // nil until the first lines were seen
	first  int64           // Unix ms of about the first exchange; the smallest number when not known
	looked int64           // up to where its account records were delivered before all else
}

// find lists the files in the order in which they are named, directories walked in the order of names.
func (r *reading[T]) find() ([]*source, error) {
	var all []*source
	seen := map[string]bool{}
	type stamp struct{ size, changed int64 }
	files := map[stamp][]fs.FileInfo{}
	add := func(path string, info fs.FileInfo) {
		// One file under two names, such as a link to the newest of the folder, is read once.
		at := stamp{info.Size(), info.ModTime().UnixNano()}
		if seen[path] || slices.ContainsFunc(files[at], func(f fs.FileInfo) bool { return os.SameFile(f, info) }) {
			return
		}
		seen[path], files[at] = true, append(files[at], info)
		all = append(all, &source{index: len(all), path: path, size: info.Size(), once: !info.Mode().IsRegular(), first: never})
		r.progress.Total += info.Size()
	}
	for _, p := range r.o.Paths {
		if p == "-" {
			if !seen[p] && r.o.Stdin != nil {
				seen[p] = true
				all = append(all, &source{index: len(all), path: p, stdin: r.o.Stdin, once: true, first: never})
			}
			continue
		}
		info, err := os.Stat(p)
		if err != nil {
			return nil, fmt.Errorf("read traffic: %w", err)
		}
		if !info.IsDir() {
			if err := readable(p, info); err != nil {
				return nil, fmt.Errorf("read traffic: %w", err)
			}
			add(filepath.Clean(p), info)
			continue
		}
		if err := r.walk(p, add); err != nil {
			return nil, err
		}
	}
	for _, s := range all {
		if s.once {
			r.progress.Total = 0
		}
	}
	r.stats.Position = make([]Position, len(all))
	return all, nil
}

const never = -1 << 63

// readable tries to open a file that was named, so that one that cannot be read fails before anything is read.
func readable(path string, info fs.FileInfo) error {
	if !info.Mode().IsRegular() {
		return nil // opening a pipe waits for its writer
	}
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	return f.Close()
}

func (r *reading[T]) walk(dir string, add func(string, fs.FileInfo)) error {
	// With a separator after it, a link to a directory is followed.
	return filepath.WalkDir(dir+string(filepath.Separator), func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			if filepath.Clean(path) == filepath.Clean(dir) {
				return fmt.Errorf("read traffic: %w", err)
			}
			r.reject(path, 0, "cannot be read: check its permissions")
			if d != nil && d.IsDir() {
				return fs.SkipDir
			}
			return nil
		}
		if d.IsDir() || !hasTrafficName(path) {
			return nil
		}
		info, err := os.Stat(path) // follows a link
		if err == nil && info.Mode().IsRegular() {
			add(filepath.Clean(path), info)
		} else if err != nil {
			r.reject(path, 0, "cannot be read: check what it links to")
		}
		return nil
	})
}

func hasTrafficName(path string) bool {
	name := strings.ToLower(filepath.Base(path))
	if strings.HasPrefix(name, ".") {
		return false
	}
	name = strings.TrimSuffix(strings.TrimSuffix(name, ".gz"), ".zst")
	switch filepath.Ext(name) {
	case ".jsonl", ".json", ".ndjson", ".log":
		return true
	}
	return false
}

// maxWindow bounds the memory that a zstd stream can ask for.
const maxWindow = 128 << 20

// unpack finds out by the first bytes how in is compressed.
func unpack(in io.Reader, done func()) (*stream, error) {
	b := bufio.NewReaderSize(in, 128<<10)
	magic, _ := b.Peek(4)
	switch {
	case bytes.HasPrefix(magic, []byte{0x1f, 0x8b}):
		z, err := gzip.NewReader(b)
		if err != nil {
			return &stream{Reader: failed{err}, packed: "gzip", close: done}, nil
		}
		return &stream{Reader: z, packed: "gzip", close: done}, nil
	case bytes.Equal(magic, []byte{0x28, 0xb5, 0x2f, 0xfd}):
		z, err := zstd.NewReader(b, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxWindow(maxWindow))
		if err != nil {
			done()
			return nil, fmt.Errorf("zstd: %w", err)
		}
		return &stream{Reader: z, packed: "zstd", close: func() { z.Close(); done() }}, nil
	}
	if name := foreign(magic); name != "" {
		return &stream{Reader: failed{fmt.Errorf("%w: it is %s", errForeign, name)}, packed: name, close: done}, nil
	}
	return &stream{Reader: b, close: done}, nil
}

// errForeign is of a file that cannot be JSON.
var errForeign = errors.New("not JSON Lines, plain or in gzip or zstd")

// foreign names what a file is that begins with bytes no JSON begins with.
func foreign(magic []byte) string {
	for _, f := range []struct{ magic, name string }{
		{"BZh", "bzip2"}, {"\xfd7zX", "xz"}, {"PK\x03\x04", "zip"}, {"\x04\x22\x4d\x18", "lz4"}, {"\xff\x06\x00\x00", "snappy"},
		{"PAR1", "Parquet"}, {"Obj\x01", "Avro"}, {"SQLi", "SQLite"},
		{"\xff\xfe", "UTF-16 text: convert it to UTF-8"}, {"\xfe\xff", "UTF-16 text: convert it to UTF-8"},
	} {
		if bytes.HasPrefix(magic, []byte(f.magic)) {
			return f.name
		}
	}
	return ""
}

// broke says in words why a stream ended early, after line.
func (s *stream) broke(err error, line int64) string {
	switch {
	case errors.Is(err, errForeign):
		return err.Error()
	case s.packed == "":
		return fmt.Sprintf("reading failed after line %d: check the disk and read it again: %v", line, err)
	case errors.Is(err, io.ErrUnexpectedEOF):
		return fmt.Sprintf("truncated %s stream after line %d: copy the file again", s.packed, line)
	case errors.Is(err, zstd.ErrUnknownDictionary):
		return fmt.Sprintf("zstd stream that needs a dictionary after line %d: compress the file without one", line)
	case errors.Is(err, zstd.ErrWindowSizeExceeded), errors.Is(err, zstd.ErrDecoderSizeExceeded):
		return fmt.Sprintf("zstd stream with a window above %d MiB after line %d: compress the file without --long", maxWindow>>20, line)
	case line > 0 && (errors.Is(err, gzip.ErrHeader) || errors.Is(err, zstd.ErrMagicMismatch)):
		return fmt.Sprintf("what follows the %s stream after line %d is not %s: it is left out", s.packed, line, s.packed)
	}
	return fmt.Sprintf("damaged %s stream after line %d: copy the file again", s.packed, line)
}

// failed is a stream that could not even begin.
type failed struct{ err error }

func (f failed) Read([]byte) (int, error) {
	if f.err == io.EOF {
		return 0, io.ErrUnexpectedEOF
	}
	return 0, f.err
}

type counter struct {
	r io.Reader
	n *atomic.Int64
}

func (c *counter) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	c.n.Add(int64(n))
	return n, err
}
