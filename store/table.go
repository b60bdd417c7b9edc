package store

import (
	"context"
	"database/sql"
	"fmt"
	"strings"
)

// Table is a table whose rows are values of T.
type Table[T any] struct {
	Name string
	Bind func(c *Columns, v *T) // ties each column that is read or written
}

// quoted joins names as SQL writes them.
func quoted(names []string, with string) string {
	var b strings.Builder
	for i, n := range names {
		if i > 0 {
			b.WriteString(with)
		}
		b.WriteString(`"` + n + `"`)
	}
	return b.String()
}

// bound gives the columns tied to v.
func (t Table[T]) bound(v *T) *Columns {
	c := &Columns{}
	t.Bind(c, v)
	return c
}

// All gives the rows that tail selects: a join, a WHERE, an ORDER BY.
func (t Table[T]) All(ctx context.Context, d *DB, tail string, args ...any) ([]T, error) {
	var v, zero T
	c := t.bound(&v)
	dest, out := c.dest(), []T{}
	err := d.Each(ctx, "SELECT "+t.columns(c)+` FROM "`+t.Name+`" `+tail, args, func(rows *sql.Rows) error {
		v = zero
		if err := rows.Scan(dest...); err != nil {
			return err
		}
		out = append(out, v)
		return nil
	})
	return out, err
}

func (t Table[T]) columns(c *Columns) string {
	return `"` + t.Name + `".` + quoted(c.names, `, "`+t.Name+`".`)
}

// Get gives the first row that tail selects; ErrNotFound when there is none.
func (t Table[T]) Get(ctx context.Context, d *DB, tail string, args ...any) (T, error) {
	all, err := t.All(ctx, d, tail+" LIMIT 1", args...)
	if err == nil && len(all) == 0 {
		err = ErrNotFound
	}
	if err != nil {
		var zero T
		return zero, err
	}
	return all[0], nil
}

// maxArgs is how many values one statement takes: SQLite allows 32,766, PostgreSQL 65,535.
const maxArgs = 8000

// Insert stores new rows; ErrConflict when one is there already.
func (t Table[T]) Insert(ctx context.Context, d *DB, rows ...T) error {
	_, err := t.Save(ctx, d, "", rows...)
	return err
}

// Upsert stores rows; those that are there by the columns of key are replaced, but for the columns of keep.
func (t Table[T]) Upsert(ctx context.Context, d *DB, key string, rows []T, keep ...string) error {
	var v T
	var set []string
	for _, n := range t.bound(&v).names {
		if !listed(strings.Split(key, ","), n) && !listed(keep, n) {
			set = append(set, fmt.Sprintf(`"%s" = excluded."%s"`, n, n))
		}
	}
	_, err := t.Save(ctx, d, "ON CONFLICT ("+quoted(strings.Split(key, ","), ", ")+") DO UPDATE SET "+strings.Join(set, ", "), rows...)
	return err
}

func listed(names []string, name string) bool {
	for _, n := range names {
		if n == name {
			return true
		}
	}
	return false
}

// Save stores rows with a clause of the caller's for those that are there already, and says how many were written.
func (t Table[T]) Save(ctx context.Context, d *DB, onConflict string, rows ...T) (int64, error) {
	var v T
	c := t.bound(&v)
	width := len(c.names)
	head := `INSERT INTO "` + t.Name + `" (` + quoted(c.names, ", ") + ") VALUES "
	one := "(?" + strings.Repeat(", ?", width-1) + ")"
	var wrote int64
	args := make([]any, 0, min(len(rows)*width, maxArgs))
	for len(rows) > 0 {
		n := min(len(rows), maxArgs/width)
		args = args[:0]
		for _, r := range rows[:n] {
			v = r
			var err error
			if args, err = c.args(args); err != nil {
				return wrote, err
			}
		}
		k, err := d.Exec(ctx, head+one+strings.Repeat(", "+one, n-1)+" "+onConflict, args...)
		if err != nil {
			return wrote, err
		}
		wrote += k
		rows = rows[n:]
	}
	return wrote, nil
}

// Set writes the columns of v to the rows that where selects, and says how many they were.
func (t Table[T]) Set(ctx context.Context, d *DB, v T, where string, args ...any) (int64, error) {
	c := t.bound(&v)
	vals, err := c.args(nil)
	if err != nil {
		return 0, err
	}
	return d.Exec(ctx, `UPDATE "`+t.Name+`" SET `+quoted(c.names, " = ?, ")+" = ? WHERE "+where, append(vals, args...)...)
}

// Put stores v under optimistic concurrency and gives it as it is then. The table has columns id and revision, and revision
// points into v: 0 makes a new row with revision 1, else the stored revision must be the same and is raised by one. Else
// ErrConflict, or ErrNotFound when there is no row to change.
func (t Table[T]) Put(ctx context.Context, d *DB, v *T, id string, revision *int64) (now T, err error) {
	was := *revision
	*revision = was + 1
	err = d.Update(ctx, func(tx *DB) error {
		if was == 0 {
			err = t.Insert(ctx, tx, *v)
		} else {
			err = t.Change(ctx, tx, *v, id, was)
		}
		if err == nil {
			now, err = t.Get(ctx, tx, "WHERE id = ?", id)
		}
		return err
	})
	*revision = was
	return now, err
}

// Change writes the columns of v, the new revision among them, to the row with this id that has revision was.
func (t Table[T]) Change(ctx context.Context, tx *DB, v T, id string, was int64) error {
	n, err := t.Set(ctx, tx, v, "id = ? AND revision = ?", id, was)
	if err != nil || n == 1 {
		return err
	}
	var found int64
	if err := tx.Row(ctx, `SELECT revision FROM "`+t.Name+`" WHERE id = ?`, []any{id}, &found); err != nil {
		return err
	}
	return fmt.Errorf("%w (revision %d, not %d)", ErrConflict, found, was)
}

// Where collects conditions that must all hold.
type Where struct {
	terms []string
	args  []any
}

// And adds a condition.
func (w *Where) And(cond string, args ...any) {
	w.terms = append(w.terms, cond)
	w.args = append(w.args, args...)
}

// Equal adds that a column has this value, unless it is empty.
func (w *Where) Equal(column, value string) {
	if value != "" {
		w.And(column+" = ?", value)
	}
}

// In adds that a column has one of the values, unless there are none.
func In[T ~string](w *Where, column string, values []T) {
	if len(values) == 0 {
		return
	}
	args := make([]any, len(values))
	for i, v := range values {
		args[i] = string(v)
	}
	w.And(column+" IN (?"+strings.Repeat(", ?", len(values)-1)+")", args...)
}

// Begins adds that a column begins with prefix, in a way that an index serves.
func (w *Where) Begins(column, prefix string) {
	w.And(column+" >= ? AND "+column+" < ?", prefix, prefix+last)
}

// Clause gives the WHERE clause, empty when there is no condition, and its values.
func (w *Where) Clause() (string, []any) {
	if len(w.terms) == 0 {
		return "", nil
	}
	return "WHERE " + strings.Join(w.terms, " AND "), w.args
}

// Like makes a pattern for LIKE … ESCAPE '!' that finds s anywhere, without regard to ASCII case in a lowered column.
func Like(s string) string {
	return "%" + strings.NewReplacer("!", "!!", "%", "!%", "_", "!_").Replace(Lower(s)) + "%"
}

// Lower lowers ASCII letters, as both forms do it.
func Lower(s string) string {
	return strings.Map(func(r rune) rune {
		if 'A' <= r && r <= 'Z' {
			return r + 'a' - 'A'
		}
		return r
	}, s)
}
