package store

import (
	"context"
	"fmt"
	"strings"
)

// Cell says what a column holds.
type Cell string

// What columns hold. A truth value is kept as a whole number where the database has no such type.
const (
	CellText  Cell = "text"
	CellWhole Cell = "whole"
	CellReal  Cell = "real"
	CellBytes Cell = "bytes"
	CellTruth Cell = "truth"
)

// Shape is one column of a table as the database has it.
type Shape struct {
	Name string
	Cell Cell
}

// Shape lists the columns of a table in their order. It needs the DB of a View or an Update.
func (d *DB) Shape(ctx context.Context, table string) ([]Shape, error) {
	if d.tx == nil {
		return nil, fmt.Errorf("%w: the shape of a table outside of a transaction", ErrInvalid)
	}
	rows, err := d.tx.QueryContext(ctx, `SELECT * FROM "`+table+`" LIMIT 0`)
	if err != nil {
		return nil, fmt.Errorf("read the columns of %s: %w", table, d.fault(err))
	}
	defer rows.Close()
	columns, err := rows.ColumnTypes()
	if err != nil {
		return nil, fmt.Errorf("read the columns of %s: %w", table, err)
	}
	out := make([]Shape, len(columns))
	for i, c := range columns {
		kind := strings.ToUpper(c.DatabaseTypeName())
		cell, ok := map[string]Cell{
			"TEXT": CellText, "INTEGER": CellWhole, "REAL": CellReal, "BLOB": CellBytes,
			"INT8": CellWhole, "FLOAT8": CellReal, "BYTEA": CellBytes, "BOOL": CellTruth,
		}[kind]
		if !ok {
			return nil, fmt.Errorf("%w: column %s of %s has the type %s", ErrDamaged, c.Name(), table, kind)
		}
		out[i] = Shape{c.Name(), cell}
	}
	return out, rows.Err()
}
