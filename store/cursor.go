package store

import (
	"context"
	"database/sql"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"math"
	"strings"
	"unicode/utf8"
)

// Page asks for part of a list.
type Page struct {
	Cursor string // as the page before gave it
	Limit  int    // at most; 0: 50, never more than MaxPage
}

// MaxPage is the longest page.
const MaxPage = 1000

// Order is the order of a list, by a key and then by an id that makes it total. An index over both serves it.
type Order struct {
	Name string // of the order; a cursor of another order is refused
	Key  string // expression that is never NULL; empty: by id alone
	ID   string // unique column
	Kind string // what Key and ID are, one letter each: i a whole number, f a number, s text; of ID alone without Key
	Desc bool
}

// Page gives the rows that w selects from the cursor on, and the cursor of the next page, empty at the end. A cursor that this
// list has not given is ErrInvalid.
func (t Table[T]) Page(ctx context.Context, d *DB, w Where, o Order, p Page) ([]T, string, error) {
	limit := p.Limit
	if limit <= 0 {
		limit = 50
	}
	limit = min(limit, MaxPage)
	keys := []string{o.ID}
	if o.Key != "" {
		keys = []string{o.Key, o.ID}
	}
	list := strings.Join(keys, ", ")
	op, dir := ">", " ASC"
	if o.Desc {
		op, dir = "<", " DESC"
	}
	if p.Cursor != "" {
		at, err := decodeCursor(p.Cursor, o.Name, o.Kind)
		if err != nil {
			return nil, "", err
		}
		w.And("("+list+") "+op+" (?"+strings.Repeat(", ?", len(keys)-1)+")", at...)
	}
	var v, zero T
	c := t.bound(&v)
	at := make([]any, len(keys))
	dest := c.dest()
	for i := range at {
		dest = append(dest, &at[i])
	}
	clause, args := w.Clause()
	query := "SELECT " + t.columns(c) + ", " + list + ` FROM "` + t.Name + `" ` + clause +
		" ORDER BY " + strings.Join(keys, dir+", ") + dir + fmt.Sprintf(" LIMIT %d", limit+1)
	items, next, last := []T{}, "", []any(nil)
	err := d.Each(ctx, query, args, func(rows *sql.Rows) error {
		if len(items) == limit {
			next = encodeCursor(o.Name, last)
			return nil
		}
		v = zero
		if err := rows.Scan(dest...); err != nil {
			return err
		}
		items, last = append(items, v), append(last[:0], at...)
		return nil
	})
	return items, next, err
}

// Count says how many rows w selects.
func (t Table[T]) Count(ctx context.Context, d *DB, w Where) (n int64, err error) {
	clause, args := w.Clause()
	err = d.Row(ctx, `SELECT count(*) FROM "`+t.Name+`" `+clause, args, &n)
	return n, err
}

// A cursor is base64url of: format 1, name of the order, and for each key its kind and value; whole numbers as varints,
// numbers in 8 bytes, texts and the name with their length before them.
const cursorFormat = 1

func encodeCursor(name string, at []any) string {
	b := append([]byte{cursorFormat, byte(len(name))}, name...)
	for _, v := range at {
		switch v := v.(type) {
		case int64:
			b = binary.AppendVarint(append(b, 'i'), v)
		case float64:
			b = binary.BigEndian.AppendUint64(append(b, 'f'), math.Float64bits(v))
		case []byte:
			b = append(binary.AppendUvarint(append(b, 's'), uint64(len(v))), v...)
		case string:
			b = append(binary.AppendUvarint(append(b, 's'), uint64(len(v))), v...)
		}
	}
	return base64.RawURLEncoding.EncodeToString(b)
}

func decodeCursor(s, name, kinds string) ([]any, error) {
	bad := func(why string) ([]any, error) {
		return nil, fmt.Errorf("%w: the cursor %s: begin again without one", ErrInvalid, why)
	}
	if len(s) > 4*MaxKey {
		return bad("is too long")
	}
	b, err := base64.RawURLEncoding.Strict().DecodeString(s)
	if err != nil || len(b) < 2 || b[0] != cursorFormat || len(b) < 2+int(b[1]) {
		return bad("cannot be read")
	}
	if string(b[2:2+b[1]]) != name {
		return bad("belongs to another order")
	}
	b = b[2+b[1]:]
	out := make([]any, 0, len(kinds))
	for i := range len(kinds) {
		if len(b) == 0 || b[0] != kinds[i] {
			return bad("cannot be read")
		}
		v, rest := cursorValue(b[0], b[1:])
		if v == nil {
			return bad("cannot be read")
		}
		out, b = append(out, v), rest
	}
	if len(b) > 0 {
		return bad("cannot be read")
	}
	return out, nil
}

// cursorValue reads one value; nil when it is damaged.
func cursorValue(kind byte, b []byte) (any, []byte) {
	switch kind {
	case 'i':
		if v, n := binary.Varint(b); n > 0 {
			return v, b[n:]
		}
	case 'f':
		if len(b) >= 8 {
			if v := math.Float64frombits(binary.BigEndian.Uint64(b)); !math.IsNaN(v) && !math.IsInf(v, 0) {
				return v, b[8:]
			}
		}
	case 's':
		if v, n := binary.Uvarint(b); n > 0 && v <= uint64(len(b)-n) {
			if t := b[n : n+int(v)]; utf8.Valid(t) && strings.IndexByte(string(t), 0) < 0 {
				return string(t), b[n+int(v):]
			}
		}
	}
	return nil, nil
}
