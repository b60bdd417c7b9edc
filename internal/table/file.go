package table

import (
	"errors"
	"fmt"
	"io"

	"github.com/parquet-go/parquet-go"
)

// What is wrong with a file.
var (
	ErrDamaged = errors.New("the file is damaged: restore it from a copy, or remove it and lose what it holds")
	ErrVersion = errors.New("the file is of another version")
)

// File is an open file. It belongs to one goroutine.
type File struct {
	name string
	in   *tracked
	data *parquet.File
}

// tracked keeps the error of what a file is read from, to tell it from damage.
type tracked struct {
	in  io.ReaderAt
	err error
}

func (t *tracked) ReadAt(p []byte, off int64) (int, error) {
	n, err := t.in.ReadAt(p, off)
	if err != nil && !errors.Is(err, io.EOF) {
		t.err = err
	}
	return n, err
}

// Open opens a file of a mark that is called name in errors. Columns are read in pieces of about buffer bytes. all says that most of
// it will be read: it is compared with its sums at once then, and otherwise as it is read.
func Open(name string, in io.ReaderAt, size int64, m Mark, buffer int, all bool) (*File, error) {
	f := &File{name: name, in: &tracked{in: in}}
	err := f.guarded(func() error {
		c, err := newChecked(f.in, size, m)
		if err != nil {
			return err
		}
		f.data, err = parquet.OpenFile(c, size, parquet.SkipPageIndex(true), parquet.SkipBloomFilters(true), parquet.ReadBufferSize(buffer))
		if err != nil {
			return err
		}
		if v, ok := f.data.Lookup(m.Key); !ok {
			return fmt.Errorf("it has no mark %s", m.Key)
		} else if v != m.Version {
			return fmt.Errorf("%s is %q: %w", m.Key, v, ErrVersion)
		}
		sums, _ := f.data.Lookup(sumsKey(m))
		if err := c.take(sums, all); err != nil {
			return err
		}
		return f.plausible()
	})
	if err != nil {
		return nil, err
	}
	return f, nil
}

// plausible refuses what a footer claims and a file cannot hold, before memory is laid out for it.
func (f *File) plausible() error {
	var rows int64
	for _, g := range f.data.Metadata().RowGroups {
		if g.NumRows < 0 || g.NumRows > 1<<31 {
			return errors.New("a group has an impossible number of rows")
		}
		rows += g.NumRows
		for i := range g.Columns {
			m := &g.Columns[i].MetaData
			if len(m.PathInSchema) == 0 || m.NumValues < 0 || m.TotalCompressedSize < 0 || m.DataPageOffset < 0 || m.DataPageOffset > f.data.Size() || m.TotalCompressedSize > f.data.Size() {
				return errors.New("a column lies outside the file")
			}
		}
	}
	if rows != f.data.NumRows() {
		return errors.New("its groups have other numbers of rows than the whole")
	}
	return nil
}

// guarded calls do, which reads the file, and makes what is wrong with the file an error that names it: the decoder panics at some of
// that. What the file is read from comes with its own error.
func (f *File) guarded(do func() error) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("%v", p)
		}
		switch {
		case err == nil:
		case f.in.err != nil:
			err = fmt.Errorf("read %s: %w", f.name, f.in.err)
		case errors.Is(err, ErrVersion):
			err = fmt.Errorf("read %s: %w", f.name, err)
		default:
			err = f.Damaged(err)
		}
	}()
	return do()
}

// Damaged names the file in an error that wraps ErrDamaged.
func (f *File) Damaged(why error) error {
	return fmt.Errorf("read %s: %w (%w)", f.name, ErrDamaged, why)
}

// Rows and Groups are how many there are.
func (f *File) Rows() int64 { return f.data.NumRows() }

// Groups is how many groups the rows lie in.
func (f *File) Groups() int { return len(f.data.RowGroups()) }

// Rows reads the rows of a file in order.
type Rows[T any] struct {
	f      *File
	reader *parquet.GenericReader[T]
	batch  []T
	i, n   int
	ended  bool
}

// batchRows is how many rows are decoded at once.
const batchRows = 128

// NewRows begins at the first row. A column that the file lacks is zero in all rows, one that T lacks is passed by.
func NewRows[T any](f *File) (*Rows[T], error) {
	r := &Rows[T]{f: f, batch: make([]T, batchRows)}
	err := f.guarded(func() error {
		r.reader = parquet.NewGenericReader[T](f.data)
		return nil
	})
	return r, err
}

// Next returns the next row, or nil at the end. It and its slices are valid as long as Left is above zero, and until the call after.
func (r *Rows[T]) Next() (*T, error) {
	for r.i == r.n {
		if r.ended {
			return nil, nil
		}
		err := r.f.guarded(func() (err error) {
			r.i, r.n = 0, 0
			r.n, err = r.reader.Read(r.batch)
			if r.ended = err != nil; errors.Is(err, io.EOF) {
				return nil
			}
			return err
		})
		if err != nil {
			return nil, err
		}
	}
	r.i++
	return &r.batch[r.i-1], nil
}

// Left is how many rows can be had before the ones that were given cease to be valid.
func (r *Rows[T]) Left() int { return r.n - r.i }

// Close frees what reading took; the file stays open.
func (r *Rows[T]) Close() { _ = r.f.guarded(r.reader.Close) }
