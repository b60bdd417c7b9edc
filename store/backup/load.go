package backup

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/palladium-guard/palladium/store"
)

// Options say how a file is restored.
type Options struct {
	Replace bool // what the database holds is deleted; without it, it must be empty
	// Settle is called last in the transaction, when the schema is the newest and the rows are there. had are the rows of the
	// table `numbers` that were replaced, by name.
	Settle func(ctx context.Context, tx *store.DB, had map[string]int64) error
}

// Load puts the rows of a file into the database, all in one transaction, and brings them to the newest schema. Check must have
// read the file and given sum, so that it is known to be whole before anything is changed; what is not so any more is ErrDamaged,
// and undone. ErrHolds without Replace when there are rows already.
func Load(ctx context.Context, db *store.DB, file io.ReadSeeker, sum Summary, o Options) error {
	st, err := db.Status(ctx)
	if err != nil {
		return err
	}
	return db.Update(ctx, func(tx *store.DB) error {
		if _, err := file.Seek(0, io.SeekStart); err != nil {
			return err
		}
		in, err := newReader(file, db.Schema().Name, st.Known)
		if err != nil {
			return err
		}
		defer in.close()
		l := &loading{in: in, tx: tx, had: map[string]int64{}}
		if err := l.clear(ctx, o.Replace); err != nil {
			return err
		}
		if err := l.rows(ctx); err != nil {
			return err
		}
		if in.summary != sum {
			return damaged("it was changed while it was read")
		}
		if err := tx.MigrateTo(ctx, st.Known); err != nil {
			return err
		}
		if o.Settle != nil {
			return o.Settle(ctx, tx, l.had)
		}
		return nil
	})
}

// loading is one Load under way, within its transaction.
type loading struct {
	in     *reader
	tx     *store.DB
	had    map[string]int64
	shape  []store.Shape // of the table whose rows are read
	insert string
	args   []any
	wait   int // rows in args
}

// clear brings the database to empty tables of the file's schema.
func (l *loading) clear(ctx context.Context, replace bool) error {
	st, err := l.tx.Status(ctx)
	if err != nil {
		return err
	}
	tables, err := l.tx.Schema().Tables(st.Form, st.Version)
	if err != nil {
		return err
	}
	for _, t := range tables {
		var n int64
		if err := l.tx.Row(ctx, `SELECT count(*) FROM (SELECT 1 FROM "`+t+`" LIMIT 1) AS held`, nil, &n); err != nil {
			return err
		}
		if n > 0 && !replace {
			return fmt.Errorf("%w: the table %s has rows", ErrHolds, t)
		}
	}
	if slices.Contains(tables, "numbers") {
		if err := l.numbers(ctx); err != nil {
			return err
		}
	}
	if st.Version == l.in.summary.Schema {
		return l.tx.Empty(ctx)
	}
	if err := l.tx.Drop(ctx); err != nil {
		return err
	}
	return l.tx.MigrateTo(ctx, l.in.summary.Schema)
}

func (l *loading) numbers(ctx context.Context) error {
	type number struct {
		name  string
		value int64
	}
	all, err := store.Table[number]{Name: "numbers", Bind: func(c *store.Columns, v *number) {
		c.Key("name", &v.name)
		c.Value("value", &v.value)
	}}.All(ctx, l.tx, "")
	for _, n := range all {
		l.had[n.name] = n.value
	}
	return err
}

// maxArgs and maxBytes bound one statement.
const (
	maxArgs  = 8000
	maxBytes = 4 << 20
)

// rows puts in what the file holds. Its tables must be those of its schema.
func (l *loading) rows(ctx context.Context) error {
	st, err := l.tx.Status(ctx)
	if err != nil {
		return err
	}
	tables, err := l.tx.Schema().Tables(st.Form, st.Version)
	if err != nil {
		return err
	}
	next, size := 0, 0
	for {
		row, err := l.in.next(ctx)
		switch {
		case errors.Is(err, io.EOF):
			if next != len(tables) {
				return damaged("it lacks the table %q", tables[next])
			}
			return l.flush(ctx)
		case err != nil:
			return err
		case row.cells == nil:
			if err := l.flush(ctx); err != nil {
				return err
			}
			if next == len(tables) || tables[next] != l.in.table.Table {
				return damaged("table %q is not where the schema has it", l.in.table.Table)
			}
			next++
			if err := l.begin(ctx); err != nil {
				return err
			}
		default:
			for i, v := range row.cells {
				if n, ok := v.(int64); ok && l.shape[i].Cell == store.CellTruth {
					v = n != 0
				}
				l.args = append(l.args, v)
			}
			l.wait++
			if size += len(l.in.line); len(l.args)+len(l.shape) > maxArgs || size > maxBytes {
				if err := l.flush(ctx); err != nil {
					return err
				}
				size = 0
			}
		}
	}
}

// begin prepares for the rows of a table, whose columns must be those of the database.
func (l *loading) begin(ctx context.Context) error {
	table := l.in.table.Table
	shape, err := l.tx.Shape(ctx, table)
	if err != nil {
		return err
	}
	if !slices.Equal(columns(shape), l.in.table.Columns) {
		return damaged("the columns of table %q are not those of its schema", table)
	}
	names := make([]string, len(shape))
	for i, s := range shape {
		names[i] = `"` + s.Name + `"`
	}
	l.shape, l.insert = shape, `INSERT INTO "`+table+`" (`+strings.Join(names, ", ")+`) VALUES `
	return nil
}

// flush writes the rows that wait.
func (l *loading) flush(ctx context.Context) error {
	if l.wait == 0 {
		return nil
	}
	one := "(?" + strings.Repeat(", ?", len(l.shape)-1) + ")"
	_, err := l.tx.Exec(ctx, l.insert+one+strings.Repeat(", "+one, l.wait-1), l.args...)
	l.args, l.wait = l.args[:0], 0
	switch {
	case errors.Is(err, store.ErrConflict), errors.Is(err, store.ErrNotFound), errors.Is(err, store.ErrInvalid):
		return damaged("rows of table %q contradict each other: %v", l.in.table.Table, err)
	case err != nil:
		return fmt.Errorf("restore: %w", err)
	}
	return nil
}
