package backup

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"io"
	"maps"
	"math"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/klauspost/compress/zstd"

	"github.com/palladium-guard/palladium/store"
)

// Check reads a whole file and says what it holds. known is the newest version of the schema that can be restored. What cannot
// be restored is ErrForeign, ErrNewer or ErrDamaged; other errors are those of r.
func Check(ctx context.Context, r io.Reader, name string, known int) (Summary, error) {
	in, err := newReader(r, name, known)
	if err != nil {
		return Summary{}, err
	}
	defer in.close()
	for {
		switch _, err := in.next(ctx); {
		case errors.Is(err, io.EOF):
			return in.summary, nil
		case err != nil:
			return Summary{}, err
		}
	}
}

// reader reads a file row by row, and finds at its end whether it was whole.
type reader struct {
	source  *faults
	unzip   *zstd.Decoder
	in      *bufio.Reader
	sum     hash.Hash
	line    []byte
	summary Summary
	table   opening          // whose rows are being read
	rows    map[string]int64 // read by table
}

// row is a table's row, or with no cells the beginning of a table.
type row struct {
	cells []any // nil, string, int64, float64, []byte
}

// faults remembers what was wrong with the source, to tell a disk that fails from a file that is damaged.
type faults struct {
	io.Reader
	err error
}

func (f *faults) Read(b []byte) (int, error) {
	n, err := f.Reader.Read(b)
	if err != nil && !errors.Is(err, io.EOF) {
		f.err = err
	}
	return n, err
}

func newReader(r io.Reader, name string, known int) (*reader, error) {
	source := &faults{Reader: r}
	unzip, err := zstd.NewReader(source, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxWindow(maxWindow), zstd.WithDecoderLowmem(true))
	if err != nil {
		return nil, err
	}
	in := &reader{source: source, unzip: unzip, in: bufio.NewReaderSize(unzip, 1<<16), sum: sha256.New(), rows: map[string]int64{}}
	if err := in.header(name, known); err != nil {
		in.close()
		return nil, err
	}
	return in, nil
}

func (r *reader) close() { r.unzip.Close() }

func (r *reader) header(name string, known int) error {
	err := r.read()
	switch {
	case r.source.err != nil:
		return r.source.err
	case errors.Is(err, zstd.ErrMagicMismatch):
		return ErrForeign
	case err != nil:
		return damaged("its beginning cannot be read")
	}
	h := &r.summary.Header
	if json.Unmarshal(r.line, h) != nil || h.Format != format {
		return ErrForeign
	}
	switch {
	case h.Version > Version:
		return fmt.Errorf("%w (form %d, this program reads %d)", ErrNewer, h.Version, Version)
	case h.Store != name:
		return fmt.Errorf("%w: it holds the %s, not the %s", ErrForeign, store.Cut(store.Clean(h.Store), 40), name)
	case h.Schema > known:
		return fmt.Errorf("%w (schema %d, this program has %d)", ErrNewer, h.Schema, known)
	case h.Version < 1 || h.Schema < 1:
		return damaged("its versions are impossible")
	}
	return nil
}

func damaged(how string, args ...any) error {
	return fmt.Errorf("%w: %s", ErrDamaged, fmt.Sprintf(how, args...))
}

// read takes the next line, without its end, into r.line. The last line is not in the sum.
func (r *reader) read() error {
	r.line = r.line[:0]
	for {
		part, err := r.in.ReadSlice('\n')
		if len(r.line)+len(part) > maxLine+1 {
			return errors.New("a line is too long")
		}
		r.line = append(r.line, part...)
		if err == nil {
			break
		}
		if !errors.Is(err, bufio.ErrBufferFull) {
			if errors.Is(err, io.EOF) {
				err = io.ErrUnexpectedEOF
			}
			return err
		}
	}
	if !bytes.HasPrefix(r.line, []byte(`{"end"`)) {
		r.sum.Write(r.line)
	}
	r.line = r.line[:len(r.line)-1]
	return nil
}

// next gives the next row of r.table, one without cells where a table begins, and io.EOF at the end of a file that is whole.
func (r *reader) next(ctx context.Context) (row, error) {
	if err := ctx.Err(); err != nil {
		return row{}, err
	}
	if err := r.read(); err != nil {
		if r.source.err != nil {
			return row{}, r.source.err
		}
		return row{}, damaged("it cannot be read beyond table %q, row %d: %v", r.table.Table, r.rows[r.table.Table], err)
	}
	switch {
	case len(r.line) == 0:
		return row{}, damaged("an empty line")
	case r.line[0] == '[':
		if r.table.Table == "" {
			return row{}, damaged("a row without a table")
		}
		r.rows[r.table.Table]++
		cells, err := r.cells()
		if err != nil {
			return row{}, damaged("table %q, row %d: %v", r.table.Table, r.rows[r.table.Table], err)
		}
		return row{cells}, nil
	case bytes.HasPrefix(r.line, []byte(`{"end"`)):
		return row{}, r.end()
	}
	return row{}, r.open()
}

func (r *reader) open() error {
	var o opening
	if err := json.Unmarshal(r.line, &o); err != nil || o.Table == "" || len(o.Columns) == 0 || !named(o.Table) {
		return damaged("a line that is neither table nor row")
	}
	if _, again := r.rows[o.Table]; again {
		return damaged("table %q comes twice", o.Table)
	}
	for _, c := range o.Columns {
		if !named(c.Name) {
			return damaged("a column of table %q has no name", o.Table)
		}
		switch c.Cell {
		case store.CellText, store.CellWhole, store.CellReal, store.CellBytes:
		default:
			return damaged("column %s of table %q holds an unknown kind", c.Name, o.Table)
		}
	}
	r.table = o
	r.rows[o.Table] = 0
	return nil
}

// named reports whether s is a name as the schema has them, so that it may stand in a statement.
func named(s string) bool {
	return s != "" && len(s) < 64 && strings.Trim(s, "abcdefghijklmnopqrstuvwxyz0123456789_") == ""
}

func (r *reader) end() error {
	var c closing
	if err := json.Unmarshal(r.line, &c); err != nil || !c.End {
		return damaged("its last line cannot be read")
	}
	if got := hex.EncodeToString(r.sum.Sum(nil)); got != c.SHA256 {
		return damaged("its checksum is wrong")
	}
	if !maps.Equal(c.Rows, r.rows) {
		return damaged("it does not hold the rows that it counts")
	}
	if n, err := r.in.Read(make([]byte, 1)); n > 0 || !errors.Is(err, io.EOF) {
		if r.source.err != nil {
			return r.source.err
		}
		return damaged("something follows its last line")
	}
	r.summary.Tables, r.summary.SHA256 = len(c.Rows), c.SHA256
	for _, n := range c.Rows {
		r.summary.Rows += n
	}
	return io.EOF
}

// cells reads the values of a row.
func (r *reader) cells() ([]any, error) {
	var raw []json.RawMessage
	if err := json.Unmarshal(r.line, &raw); err != nil {
		return nil, errors.New("it is no JSON")
	}
	if len(raw) != len(r.table.Columns) {
		return nil, fmt.Errorf("%d values for %d columns", len(raw), len(r.table.Columns))
	}
	out := make([]any, len(raw))
	for i, v := range raw {
		var err error
		if out[i], err = readCell(r.table.Columns[i].Cell, v); err != nil {
			return nil, fmt.Errorf("column %s: %w", r.table.Columns[i].Name, err)
		}
	}
	return out, nil
}

func readCell(cell store.Cell, v json.RawMessage) (any, error) {
	if string(v) == "null" {
		return nil, nil
	}
	switch cell {
	case store.CellWhole:
		if n, err := strconv.ParseInt(string(v), 10, 64); err == nil {
			return n, nil
		}
	case store.CellReal:
		if f, err := strconv.ParseFloat(string(v), 64); err == nil && !math.IsInf(f, 0) && !math.IsNaN(f) {
			return f, nil
		}
	case store.CellText:
		var s string
		if v[0] == '"' && json.Unmarshal(v, &s) == nil && utf8.ValidString(s) && !strings.Contains(s, "\x00") {
			return s, nil
		}
	case store.CellBytes:
		var s string
		if v[0] == '"' && json.Unmarshal(v, &s) == nil {
			if b, err := base64.StdEncoding.Strict().DecodeString(s); err == nil {
				return b, nil
			}
		}
	}
	return nil, fmt.Errorf("the value is no %s", cell)
}
