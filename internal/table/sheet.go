// Package table writes and reads Parquet files whose rows are one Go type, and takes nothing that it reads on trust: a damaged file
// gives an error that names it. Files carry a mark that says whose they are and in which version of their form.
package table

import (
	"bytes"
	"errors"
	"fmt"
	"io"

	"github.com/parquet-go/parquet-go"
)

// Mark is the key under which a file says in which version of its form it is. Versions are told apart by equality alone.
type Mark struct{ Key, Version string }

// dictionary is the most bytes of a column's dictionary; a column with more values goes on without one.
const dictionary = 1 << 20

func options(m Mark, rows int64) []parquet.WriterOption {
	return []parquet.WriterOption{
		parquet.MaxRowsPerRowGroup(rows), parquet.DictionaryMaxBytes(dictionary), parquet.CreatedBy("palladium", m.Version, ""),
		parquet.KeyValueMetadata(m.Key, m.Version),
	}
}

// Writer writes a file.
type Writer[T any] struct {
	mark    Mark
	sums    *summing
	encoder *parquet.GenericWriter[T]
}

// NewWriter returns a Writer to out with so many rows in a group.
func NewWriter[T any](out io.Writer, m Mark, rows int64) *Writer[T] {
	s := &summing{out: out}
	return &Writer[T]{m, s, parquet.NewGenericWriter[T](s, options(m, rows)...)}
}

// Append writes rows, which are the caller's again.
func (w *Writer[T]) Append(rows []T) error {
	_, err := w.encoder.Write(rows)
	return err
}

// Splice appends all rows of a file of the same columns as they lie there. It reports false, and has done nothing, when the columns
// are others. The error may be out's.
func (w *Writer[T]) Splice(f *File) (bool, error) {
	if !parquet.EqualNodes(f.data.Schema(), w.encoder.Schema()) {
		return false, nil
	}
	return true, f.guarded(func() error {
		for _, g := range f.data.RowGroups() {
			if _, err := w.encoder.WriteRowGroup(g); err != nil {
				return err
			}
		}
		return nil
	})
}

// Close ends the file; out stays open.
func (w *Writer[T]) Close() error {
	if err := w.encoder.Flush(); err != nil {
		return err
	}
	sums, tail := w.sums.turn()
	w.encoder.SetKeyValueMetadata(sumsKey(w.mark), sums)
	w.encoder.SetKeyValueMetadata(tailKey(w.mark), tail)
	if err := w.encoder.Close(); err != nil {
		return err
	}
	return w.sums.finish(w.mark)
}

func (w *Writer[T]) reset(out io.Writer) {
	w.sums.reset(out)
	w.encoder.Reset(w.sums)
}

// Sheet gathers the rows of a file in memory, encoded.
type Sheet[T any] struct {
	out     bytes.Buffer
	encoder *Writer[T]
	rows    []T // not encoded yet; their slices are used again
	n       int // of rows
	ended   bool
}

// gathered is how many rows are encoded at once.
const gathered = 64

// NewSheet returns an empty Sheet with so many rows in a group.
func NewSheet[T any](m Mark, rows int64) *Sheet[T] {
	s := &Sheet[T]{rows: make([]T, gathered)}
	s.encoder = NewWriter[T](&s.out, m, rows)
	return s
}

// ErrEncode is wrapped by the errors of a Sheet.
var ErrEncode = errors.New("rows cannot be encoded")

// Next returns the row to be filled. It is what an earlier row was, so that its slices can be used again.
func (s *Sheet[T]) Next() (*T, error) {
	if s.n == gathered {
		if err := s.encode(); err != nil {
			return nil, err
		}
	}
	s.n++
	return &s.rows[s.n-1], nil
}

func (s *Sheet[T]) encode() error {
	err := s.encoder.Append(s.rows[:s.n])
	s.n = 0
	if err != nil {
		return fmt.Errorf("%w: %w", ErrEncode, err)
	}
	return nil
}

// Finish returns the file, valid until Reset. It may be called again.
func (s *Sheet[T]) Finish() ([]byte, error) {
	if s.ended {
		return s.out.Bytes(), nil
	}
	if err := s.encode(); err != nil {
		return nil, err
	}
	if err := s.encoder.Close(); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrEncode, err)
	}
	s.ended = true
	return s.out.Bytes(), nil
}

// Reset makes the sheet empty and keeps its memory.
func (s *Sheet[T]) Reset() {
	s.out.Reset()
	s.encoder.reset(&s.out)
	s.n, s.ended = 0, false
}
