package table

import (
	"errors"
	"fmt"
	"io"

	"github.com/parquet-go/parquet-go"
)

// Columns reads some columns of one group of rows, whole. The first error stays, and what is read after it means nothing.
type Columns struct {
	f     *File
	group parquet.RowGroup
	rows  int
	err   error
}

// Columns returns those of group i.
func (f *File) Columns(i int) *Columns {
	g := f.data.RowGroups()[i]
	return &Columns{f: f, group: g, rows: int(g.NumRows())}
}

// Rows is how many there are in the group: the length of what columns are read into.
func (c *Columns) Rows() int { return c.rows }

// Err returns the first error.
func (c *Columns) Err() error { return c.err }

// pages calls each for the pages of a column, with the row that it begins at.
func (c *Columns) pages(name string, kind parquet.Kind, each func(p parquet.Page, at int) error) {
	if c.err == nil {
		c.err = c.f.guarded(func() error { return c.walk(name, kind, each) })
	}
}

func (c *Columns) walk(name string, kind parquet.Kind, each func(p parquet.Page, at int) error) error {
	leaf, ok := c.f.data.Schema().Lookup(name)
	if !ok || leaf.Node.Type().Kind() != kind || leaf.MaxRepetitionLevel > 0 || leaf.MaxDefinitionLevel > 1 {
		return fmt.Errorf("column %s is not what it should be", name)
	}
	pages := c.group.ColumnChunks()[leaf.ColumnIndex].Pages()
	defer pages.Close()
	at := 0
	for {
		p, err := pages.ReadPage()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return err
		}
		n := int(p.NumRows())
		if n > c.rows-at {
			err = fmt.Errorf("column %s has too many rows", name)
		} else {
			err = each(p, at)
		}
		parquet.Release(p)
		if err != nil {
			return err
		}
		at += n
	}
	if at != c.rows {
		return fmt.Errorf("column %s has %d rows of %d", name, at, c.rows)
	}
	return nil
}

// Numbers reads a column of signed integers that is never null and has no dictionary.
func (c *Columns) Numbers(name string, into []int64) {
	c.pages(name, parquet.Int64, func(p parquet.Page, at int) error {
		if p.Dictionary() != nil || p.NumNulls() != 0 {
			return fmt.Errorf("column %s is not written as it should be", name)
		}
		data := p.Data()
		copy(into[at:at+int(p.NumRows())], data.Int64())
		return nil
	})
}

// Hashes reads a column of unsigned integers; null is zero.
func (c *Columns) Hashes(name string, into []uint64) {
	c.pages(name, parquet.Int64, func(p parquet.Page, at int) error {
		out := into[at : at+int(p.NumRows())]
		data := p.Data()
		var index []int32
		var values []uint64
		if d := p.Dictionary(); d != nil {
			table := d.Page().Data()
			index, values = data.Int32(), table.Uint64()
		} else {
			values = data.Uint64()
		}
		levels := p.DefinitionLevels()
		k := 0
		for i := range out {
			if levels != nil && levels[i] == 0 {
				out[i] = 0
				continue
			}
			if index != nil {
				out[i] = values[index[k]]
			} else {
				out[i] = values[k]
			}
			k++
		}
		return nil
	})
}

// Strings reads a column of strings that is never null, as what id makes of each. The bytes are id's until it returns.
func (c *Columns) Strings(name string, into []uint32, id func([]byte) uint32) {
	var table []uint32 // of the dictionary
	c.pages(name, parquet.ByteArray, func(p parquet.Page, at int) error {
		if p.NumNulls() != 0 {
			return fmt.Errorf("column %s is not written as it should be", name)
		}
		out := into[at : at+int(p.NumRows())]
		data := p.Data()
		if d := p.Dictionary(); d != nil {
			if table == nil {
				for i := range d.Len() {
					v := d.Index(int32(i))
					table = append(table, id(v.ByteArray()))
				}
			}
			for i, k := range data.Int32()[:len(out)] {
				out[i] = table[k]
			}
			return nil
		}
		values, offsets := data.ByteArray()
		for i := range out {
			out[i] = id(values[offsets[i]:offsets[i+1]])
		}
		return nil
	})
}
