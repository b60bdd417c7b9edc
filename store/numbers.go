package store

import (
	"context"
	"errors"
)

// Bump adds n to a number of the table numbers, which begins at zero, and returns what it is then.
func (d *DB) Bump(ctx context.Context, name string, n int64) (int64, error) {
	if _, err := d.Exec(ctx, "INSERT INTO numbers (name, value) VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET value = numbers.value + excluded.value", name, n); err != nil {
		return 0, err
	}
	return d.Number(ctx, name)
}

// Number gives a number of the table numbers, 0 when there is none.
func (d *DB) Number(ctx context.Context, name string) (int64, error) {
	var n int64
	err := d.Row(ctx, "SELECT value FROM numbers WHERE name = ?", []any{name}, &n)
	if errors.Is(err, ErrNotFound) {
		return 0, nil
	}
	return n, err
}

// SetNumber sets a number of the table numbers.
func (d *DB) SetNumber(ctx context.Context, name string, value int64) error {
	_, err := d.Exec(ctx, "INSERT INTO numbers (name, value) VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET value = excluded.value", name, value)
	return err
}

// Raise sets a number of the table numbers to one beyond given, where it is below that, and reports whether it was.
func (d *DB) Raise(ctx context.Context, name string, given int64) (raised bool, err error) {
	err = d.Update(ctx, func(tx *DB) error {
		n, err := tx.Number(ctx, name)
		if raised = err == nil && n < given; !raised {
			return err
		}
		return tx.SetNumber(ctx, name, given+1)
	})
	return raised && err == nil, err
}
