package backup

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"hash"
	"io"
	"math"
	"strconv"
	"time"

	"github.com/klauspost/compress/zstd"

	"github.com/palladium-guard/palladium/store"
)

// Write copies the database as it is at one moment to w, while others may read and write it. now and by go into the header.
// An empty database is store.ErrNotFound.
func Write(ctx context.Context, db *store.DB, w io.Writer, now time.Time, by string) (Summary, error) {
	var sum Summary
	err := db.View(ctx, func(tx *store.DB) error {
		st, err := tx.Status(ctx)
		if err != nil {
			return err
		}
		if st.Version == 0 {
			return fmt.Errorf("%w: the database has no tables yet", store.ErrNotFound)
		}
		sum = Summary{Header: Header{
			Format: format, Version: Version, Store: db.Schema().Name, Schema: st.Version, From: st.Form, Made: now.UTC().Truncate(time.Second), By: by,
		}}
		tables, err := db.Schema().Tables(st.Form, st.Version)
		if err != nil {
			return err
		}
		zip, err := zstd.NewWriter(w, zstd.WithEncoderCRC(true), zstd.WithEncoderConcurrency(1))
		if err != nil {
			return err
		}
		out := &writer{out: zip, sum: sha256.New()}
		out.json(sum.Header)
		rows := make(map[string]int64, len(tables))
		for _, t := range tables {
			if rows[t], err = out.table(ctx, tx, t); err != nil {
				zip.Close() // what was written is of no use
				return err
			}
			sum.Rows += rows[t]
		}
		sum.Tables, sum.SHA256 = len(tables), hex.EncodeToString(out.sum.Sum(nil))
		out.json(closing{true, rows, sum.SHA256})
		if err := zip.Close(); out.err == nil {
			out.err = err
		}
		return out.err
	})
	return sum, err
}

// writer writes lines and keeps the first error.
type writer struct {
	out  io.Writer
	sum  hash.Hash
	line []byte
	err  error
}

// flush writes the line.
func (w *writer) flush() {
	if len(w.line) >= maxLine && w.err == nil {
		w.err = fmt.Errorf("%w: a row of %d bytes is too long for a backup", store.ErrInvalid, len(w.line))
	}
	if w.err != nil {
		return
	}
	w.line = append(w.line, '\n')
	w.sum.Write(w.line)
	_, w.err = w.out.Write(w.line)
}

func (w *writer) json(v any) {
	line, err := json.Marshal(v)
	if err != nil && w.err == nil {
		w.err = err
	}
	w.line = append(w.line[:0], line...)
	w.flush()
}

// table writes one table and says how many rows it has.
func (w *writer) table(ctx context.Context, tx *store.DB, name string) (int64, error) {
	shape, err := tx.Shape(ctx, name)
	if err != nil {
		return 0, err
	}
	w.json(opening{name, columns(shape)})
	cells, dest := make([]any, len(shape)), make([]any, len(shape))
	for i := range cells {
		dest[i] = &cells[i]
	}
	var n int64
	err = tx.Each(ctx, `SELECT * FROM "`+name+`"`, nil, func(rows *sql.Rows) error {
		if err := rows.Scan(dest...); err != nil {
			return err
		}
		n++
		w.line = append(w.line[:0], '[')
		for i, c := range cells {
			if i > 0 {
				w.line = append(w.line, ',')
			}
			if w.line, err = appendCell(w.line, shape[i].Cell, c); err != nil {
				return fmt.Errorf("column %s of %s: %w", shape[i].Name, name, err)
			}
		}
		w.line = append(w.line, ']')
		w.flush()
		return w.err
	})
	if err == nil {
		err = w.err
	}
	return n, err
}

// appendCell appends a value as the file has it.
func appendCell(to []byte, cell store.Cell, v any) ([]byte, error) {
	if v == nil {
		return append(to, "null"...), nil
	}
	switch cell {
	case store.CellText:
		if s, ok := v.(string); ok {
			text, err := json.Marshal(s)
			return append(to, text...), err
		}
	case store.CellWhole, store.CellTruth:
		switch n := v.(type) {
		case int64:
			return strconv.AppendInt(to, n, 10), nil
		case bool:
			if n {
				return append(to, '1'), nil
			}
			return append(to, '0'), nil
		}
	case store.CellReal:
		if f, ok := v.(float64); ok && !math.IsNaN(f) && !math.IsInf(f, 0) {
			return strconv.AppendFloat(to, f, 'g', -1, 64), nil
		}
	case store.CellBytes:
		if b, ok := v.([]byte); ok {
			to = append(to, '"')
			to = base64.StdEncoding.AppendEncode(to, b)
			return append(to, '"'), nil
		}
	}
	return to, fmt.Errorf("%w: it holds %T in place of %s", store.ErrDamaged, v, cell)
}
