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
	"strings"
	"sync/atomic"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
	"github.com/zeebo/xxh3"

	"github.com/palladium-guard/palladium/traffic/dialect"
)

// Identity recognises a file by how it begins, so that it stays the same when the file grows or is renamed.
type Identity struct {
	Prefix int64  `json:"prefix"` // bytes hashed: at most 64 KiB
	Hash   uint64 `json:"hash"`   // xxh3 of them
}

// Position is how far a file was taken in: whole lines, and the bytes of text (uncompressed) that they take.
type Position struct {
	Path     string   `json:"path"`
	Identity Identity `json:"identity"` // zero for standard input
	Lines    int64    `json:"lines"`
	Bytes    int64    `json:"bytes"`
}

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
}

// find lists the files in the order in which they are named, directories walked in the order of names.
func (r *reading[T]) find() ([]*source, error) {
	var all []*source
	seen := map[string]bool{}
	add := func(path string, info fs.FileInfo) {
		if seen[path] {
			return
		}
		seen[path] = true
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

func (r *reading[T]) walk(dir string, add func(string, fs.FileInfo)) error {
	return filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
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

// stream is an open source: its text from the start position on.
type stream struct {
	io.Reader
	packed string // gzip, zstd or empty
	close  func()
}

// open opens s and skips what was taken in before. Bytes taken from disk are added to read.
func (s *source) open(resume map[Identity]Position, read *atomic.Int64) (*stream, error) {
	if s.stdin != nil {
		s.start = Position{Path: s.path}
		return unpack(&counter{r: s.stdin, n: read}, func() {})
	}
	f, err := os.Open(s.path)
	if err != nil {
		return nil, err
	}
	if s.once {
		s.start = Position{Path: s.path}
		return unpack(&counter{r: f, n: read}, func() { f.Close() })
	}
	if err := s.identify(f, resume); err != nil {
		f.Close()
		return nil, err
	}
	st, err := unpack(&counter{r: f, n: read}, func() { f.Close() })
	if err != nil {
		return nil, err
	}
	if s.start.Bytes > 0 {
		if err := s.skip(st, f, read); err != nil {
			st.close()
			return nil, err
		}
	}
	return st, nil
}

// skip goes to the start position. A last line that had no end then may have got one since.
func (s *source) skip(st *stream, f *os.File, read *atomic.Int64) error {
	before := s.start.Bytes - 1
	var err error
	if st.packed == "" {
		_, err = f.Seek(before, io.SeekStart)
		read.Add(before)
		st.Reader = &counter{r: f, n: read}
	} else {
		_, err = io.CopyN(io.Discard, st.Reader, before)
	}
	b := bufio.NewReader(st.Reader)
	st.Reader = b
	var last byte
	if err == nil {
		last, err = b.ReadByte()
	}
	if errors.Is(err, io.EOF) {
		return errors.New("shorter than when it was read before: restore it, or read it without the state")
	}
	if err != nil {
		return err
	}
	if last == '\n' {
		return nil
	}
	if next, err := b.Peek(1); err == nil && next[0] == '\n' {
		_, _ = b.Discard(1)
		s.start.Bytes++
	}
	return nil
}

// identify finds the file's identity and start position. A known identity is kept as long as the file begins with it.
func (s *source) identify(f *os.File, resume map[Identity]Position) error {
	head := make([]byte, min(s.size, 64<<10))
	n, err := f.ReadAt(head, 0)
	if err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	head = head[:n]
	s.start = Position{Path: s.path, Identity: Identity{Prefix: prefix(int64(n))}}
	s.start.Identity.Hash = xxh3.Hash(head[:s.start.Identity.Prefix])
	tried := map[int64]uint64{}
	longest := int64(0)
	for id, at := range resume {
		if id.Prefix <= longest || id.Prefix > int64(n) {
			continue
		}
		h, ok := tried[id.Prefix]
		if !ok {
			h = xxh3.Hash(head[:id.Prefix])
			tried[id.Prefix] = h
		}
		if h == id.Hash {
			longest = id.Prefix
			s.start = Position{Path: s.path, Identity: id, Lines: at.Lines, Bytes: at.Bytes}
		}
	}
	return nil
}

// prefix rounds a length down to four significant bits, so that the identities of many files that grow have few
// different lengths to try.
func prefix(n int64) int64 {
	step := int64(1)
	for n/step >= 16 {
		step *= 2
	}
	return n / step * step
}

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
		z, err := zstd.NewReader(b, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxWindow(128<<20))
		if err != nil {
			done()
			return nil, fmt.Errorf("zstd: %w", err)
		}
		return &stream{Reader: z, packed: "zstd", close: func() { z.Close(); done() }}, nil
	}
	return &stream{Reader: b, close: done}, nil
}

// broke says in words why a stream ended early, after line.
func (s *stream) broke(err error, line int64) string {
	switch {
	case s.packed == "":
		return fmt.Sprintf("reading failed after line %d: check the disk and read it again: %v", line, err)
	case errors.Is(err, io.ErrUnexpectedEOF):
		return fmt.Sprintf("truncated %s stream after line %d: copy the file again", s.packed, line)
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
