package archive

import (
	"context"
	"errors"
	"fmt"

	"github.com/palladium-guard/palladium/internal/table"
)

// openPart opens a file of rows. close closes it.
func (a *Archive) openPart(ctx context.Context, p part, whole bool) (f *table.File, close func(), err error) {
	name := p.name()
	b, err := a.place.Open(ctx, name, whole)
	if err != nil {
		return nil, nil, fmt.Errorf("read %s in %s: %w", name, a.place, err)
	}
	buffer := min(max(b.Size()/64, 4<<10), 64<<10) // for each column
	if !whole {
		buffer = 256 << 10
	}
	f, err = table.Open(name, b, b.Size(), mark(), int(buffer), whole)
	if err != nil {
		b.Close()
		if errors.Is(err, table.ErrVersion) {
			err = fmt.Errorf("%w: %w", ErrFormat, err)
		}
		return nil, nil, err
	}
	return f, func() { b.Close() }, nil
}

// placed is a pointer to a row that knows its place.
type placed[T any] interface {
	*T
	place() uint64
}

// cursor reads the rows of a part in order, those after part.after.
type cursor[T any, P placed[T]] struct {
	part
	*table.Rows[T]
	file   *table.File
	closes func()
	loose  bool // rows may share places, and all of them count
	at     uint64
}

// openCursor opens a part at its first row.
func openCursor[T any, P placed[T]](ctx context.Context, a *Archive, p part, whole bool) (*cursor[T, P], error) {
	f, closes, err := a.openPart(ctx, p, whole)
	if err != nil {
		return nil, err
	}
	c := &cursor[T, P]{part: p, file: f, closes: closes, at: max(p.first, 1) - 1}
	_, c.loose = any(new(T)).(*model)
	if c.Rows, err = table.NewRows[T](f); err != nil {
		closes()
		return nil, err
	}
	return c, nil
}

// next returns the next row, or nil at the end. It is valid as table.Rows says.
func (c *cursor[T, P]) next() (P, error) {
	for {
		r, err := c.Next()
		row := P(r)
		if row == nil || err != nil || c.loose {
			return row, err
		}
		at := row.place()
		if at <= c.at || at > c.last {
			return nil, c.file.Damaged(fmt.Errorf("a row has place %d after %d, within %d to %d", at, c.at, c.first, c.last))
		}
		if c.at = at; at > c.after {
			return row, nil
		}
	}
}

func (c *cursor[T, P]) close() {
	c.Close()
	c.closes()
}
