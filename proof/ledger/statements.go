package ledger

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"strconv"
	"strings"
)

// statementsPath holds the statements, in packs. A pack holds the statements of consecutive entries, 32 bits of length
// before each, big endian. Its name is the index of the first: 12 digits, in groups of three. Packs are written before the
// entries: what a pack holds beyond the first entry of the next one, or beyond the log's end, has never become an entry.
// A writer removes the packs that begin beyond the log's end before it writes others.
const statementsPath = "statements"

const maxIndex = 1_000_000_000_000

// PackPath is where the statements of entries from index on lie.
func PackPath(index uint64) string {
	return fmt.Sprintf("%s/%03d/%03d/%03d/%03d", statementsPath, index/1e9, index/1e6%1000, index/1000%1000, index%1000)
}

// AppendPack appends the body of a statement to a pack.
func AppendPack(pack, body []byte) []byte {
	return append(binary.BigEndian.AppendUint32(pack, uint32(len(body))), body...)
}

func parsePackPath(name string) (uint64, bool) {
	digits := strings.ReplaceAll(strings.TrimPrefix(name, statementsPath+"/"), "/", "")
	n, err := strconv.ParseUint(digits, 10, 64)
	return n, err == nil && PackPath(n) == name
}

// packReader reads one pack in order.
type packReader struct {
	f    fs.File
	r    *bufio.Reader
	name string
	next uint64 // index of the entry whose statement comes next
}

func openPack(fsys fs.FS, first uint64) (*packReader, error) {
	p := &packReader{name: PackPath(first), next: first}
	var err error
	if p.f, err = fsys.Open(p.name); err != nil {
		return nil, err
	}
	p.r = bufio.NewReaderSize(p.f, 64<<10)
	return p, nil
}

func (p *packReader) close() { p.f.Close() }

// read returns the next statement, io.EOF at the end of the pack.
func (p *packReader) read() ([]byte, error) {
	var n [4]byte
	if _, err := io.ReadFull(p.r, n[:]); err != nil {
		if errors.Is(err, io.ErrUnexpectedEOF) {
			err = fmt.Errorf("%w: %s ends within a length", ErrFormat, p.name)
		}
		return nil, err
	}
	size := binary.BigEndian.Uint32(n[:])
	if size > MaxStatement {
		return nil, fmt.Errorf("%w: %s claims a statement of %d bytes", ErrFormat, p.name, size)
	}
	body, err := io.ReadAll(io.LimitReader(p.r, int64(size)))
	if err != nil {
		return nil, err
	}
	if len(body) < int(size) {
		return nil, fmt.Errorf("%w: %s ends within a statement", ErrFormat, p.name)
	}
	p.next++
	return body, nil
}

// packs calls f for the first index of each pack, in rising order, until f says false.
func packs(fsys fs.FS, f func(first uint64) bool) error {
	stop := errors.New("stop")
	err := fs.WalkDir(fsys, statementsPath, func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			if name == statementsPath && errors.Is(err, fs.ErrNotExist) {
				return nil
			}
			return err
		}
		if first, ok := parsePackPath(name); ok && !d.IsDir() && !f(first) {
			return stop
		}
		return nil
	})
	if errors.Is(err, stop) {
		return nil
	}
	return err
}

// packOf returns the first index of the pack that holds the statement of entry index: the greatest that is not above it.
func packOf(fsys fs.FS, index uint64) (uint64, bool, error) {
	return packBelow(fsys, statementsPath, PackPath(index)[len(statementsPath)+1:], true)
}

// LastPack returns the first index of the last pack; ok is false when there is none.
func LastPack(fsys fs.FS) (first uint64, ok bool, err error) { return packOf(fsys, maxIndex-1) }

// packBelow descends dir. bound is the rest of the greatest path allowed, while tight; otherwise all is allowed.
func packBelow(fsys fs.FS, dir, bound string, tight bool) (uint64, bool, error) {
	entries, err := fs.ReadDir(fsys, dir)
	if err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			err = nil
		}
		return 0, false, err
	}
	group, rest, deeper := strings.Cut(bound, "/")
	for i := len(entries) - 1; i >= 0; i-- {
		e := entries[i]
		name := e.Name()
		if len(name) != 3 || e.IsDir() != deeper || tight && name > group {
			continue
		}
		sub := path.Join(dir, name)
		if !deeper {
			if first, ok := parsePackPath(sub); ok {
				return first, true, nil
			}
			continue
		}
		if first, ok, err := packBelow(fsys, sub, rest, tight && name == group); ok || err != nil {
			return first, ok, err
		}
	}
	return 0, false, nil
}

// ReadStatement returns the body of the statement of an entry, checked against the entry. Errors wrap ErrMissing when it
// is not there and ErrTampered when it is another one.
func ReadStatement(fsys fs.FS, index uint64, e *Entry) ([]byte, error) {
	first, ok, err := packOf(fsys, index)
	if err != nil {
		return nil, fmt.Errorf("read the statement of entry %d: %w", index, err)
	}
	if !ok {
		return nil, fmt.Errorf("read the statement of entry %d: %w", index, ErrMissing)
	}
	p, err := openPack(fsys, first)
	if err != nil {
		return nil, fmt.Errorf("read the statement of entry %d: %w", index, err)
	}
	defer p.close()
	for {
		at := p.next
		body, err := p.read()
		switch {
		case errors.Is(err, io.EOF):
			return nil, fmt.Errorf("read the statement of entry %d: %w", index, ErrMissing)
		case err != nil:
			return nil, fmt.Errorf("read the statement of entry %d: %w", index, err)
		case at < index:
			continue
		}
		return body, e.check(body)
	}
}
