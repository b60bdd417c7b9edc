package catalog

import (
	"cmp"
	"context"
	"database/sql"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/palladium-guard/palladium"
	"github.com/palladium-guard/palladium/store"
)

// maxFilters and maxValues bound what one hunt asks.
const (
	maxFilters = 20
	maxValues  = 100
)

// Hunt gives the accounts that q selects. ErrInvalid names what is wrong with a filter.
func (s *Store) Hunt(ctx context.Context, q HuntQuery) ([]Account, string, error) {
	w, err := q.where()
	if err != nil {
		return nil, "", err
	}
	order := map[string]store.Order{
		SortID:        {Name: "hunt id", ID: "id", Kind: "s"},
		SortExchanges: {Name: "hunt exchanges", Key: "exchanges", ID: "id", Kind: "is", Desc: true},
		SortOutput:    {Name: "hunt output", Key: "tokens_output", ID: "id", Kind: "is", Desc: true},
		SortLast:      {Name: "hunt last", Key: "recency", ID: "id", Kind: "is", Desc: true},
	}
	o, ok := order[cmp.Or(q.Sort, SortID)]
	if !ok {
		return nil, "", fmt.Errorf("%w: sort %q is none of id, exchanges, output, last", ErrInvalid, store.Cut(q.Sort, 40))
	}
	out, next, err := accountTable().Page(ctx, s.db, w, o, q.Page)
	if err != nil {
		return nil, "", err
	}
	return out, next, joined(ctx, s.db, out)
}

// CountHunt says how many accounts q selects on all pages.
func (s *Store) CountHunt(ctx context.Context, q HuntQuery) (int64, error) {
	w, err := q.where()
	if err != nil {
		return 0, err
	}
	return accountTable().Count(ctx, s.db, w)
}

// Pivot is a value that accounts have in common.
type Pivot struct {
	Value     string           `json:"value"`
	Family    palladium.Family `json:"family,omitempty"` // of a token
	Accounts  int64            `json:"accounts"`
	Exchanges int64            `json:"exchanges"` // of these accounts
	Output    int64            `json:"output"`
}

// textFields are the filters' text fields that are columns of accounts.
func textFields() []string {
	return []string{"id", "organization", "plan", "email_domain", "email_shape", "payment", "bin", "phone_prefix", "device", "signup_ip", "relation"}
}

// PivotHunt counts what the accounts that q selects have in common by a text field of Filter but id and family, most
// accounts first, limit at most. Empty values are left out.
func (s *Store) PivotHunt(ctx context.Context, q HuntQuery, field string, limit int) ([]Pivot, error) {
	w, err := q.where()
	if err != nil {
		return nil, err
	}
	clause, args := w.Clause()
	limit = min(max(limit, 1), store.MaxPage)
	tail := fmt.Sprintf(" ORDER BY n DESC, value LIMIT %d", limit)
	var query string
	switch {
	case field == "campaign":
		query = "SELECT m.campaign AS value, '' AS family, count(*) AS n, sum(a.exchanges), sum(a.tokens_output) FROM members m JOIN (SELECT * FROM accounts " + clause +
			") a ON a.id = m.account GROUP BY m.campaign" + tail
	case field == "token":
		query = "SELECT l.token AS value, l.family AS family, count(*) AS n, sum(a.exchanges), sum(a.tokens_output) FROM (SELECT DISTINCT account, token, family FROM links) l " +
			"JOIN (SELECT * FROM accounts " + clause + ") a ON a.id = l.account GROUP BY l.token, l.family" + tail
	case field != "id" && slices.Contains(textFields(), field):
		query = "SELECT " + field + " AS value, '' AS family, count(*) AS n, sum(exchanges), sum(tokens_output) FROM (SELECT * FROM accounts " + clause +
			") a WHERE " + field + " <> '' GROUP BY " + field + tail
	default:
		return nil, fmt.Errorf("%w: accounts cannot be counted by %q", ErrInvalid, store.Cut(field, 40))
	}
	out := []Pivot{}
	err = s.db.Each(ctx, query, args, func(rows *sql.Rows) error {
		var p Pivot
		err := rows.Scan(&p.Value, &p.Family, &p.Accounts, &p.Exchanges, &p.Output)
		out = append(out, p)
		return err
	})
	return out, err
}

func (q *HuntQuery) where() (w store.Where, err error) {
	if len(q.Filters) > maxFilters {
		return w, fmt.Errorf("%w: more than %d filters", ErrInvalid, maxFilters)
	}
	if q.Text != "" {
		like := store.Like(q.Text)
		w.And("(id >= ? AND id < ? OR lower(organization) LIKE ? ESCAPE '!' OR lower(email_domain) LIKE ? ESCAPE '!')", q.Text, q.Text+"\U0010FFFF", like, like)
	}
	for i := range q.Filters {
		if err := q.Filters[i].add(&w); err != nil {
			return w, fmt.Errorf("%w: filter %d, %s %s: %w", ErrInvalid, i+1, store.Cut(q.Filters[i].Field, 40), store.Cut(q.Filters[i].Op, 40), err)
		}
	}
	return w, nil
}

// add adds the filter's condition.
func (f *Filter) add(w *store.Where) error {
	if len(f.Values) == 0 || len(f.Values) > maxValues || f.Op != "in" && len(f.Values) != 1 {
		return fmt.Errorf("give one value, or for in up to %d", maxValues)
	}
	switch f.Field {
	case "created", "first", "last":
		return f.compare(w, f.Field, func(s string) (any, error) {
			t, err := time.Parse(time.RFC3339, s)
			if err != nil {
				return nil, fmt.Errorf("write a time such as 2026-05-04T00:00:00Z")
			}
			return t.UnixMilli(), nil
		})
	case "exchanges", "output":
		column := map[string]string{"exchanges": "exchanges", "output": "tokens_output"}[f.Field]
		return f.compare(w, column, func(s string) (any, error) {
			n, err := strconv.ParseInt(s, 10, 64)
			if err != nil {
				return nil, fmt.Errorf("write a whole number")
			}
			return n, nil
		})
	case "campaign":
		return f.within(w, "members", "campaign")
	case "token", "family":
		return f.within(w, "links", f.Field)
	}
	if !slices.Contains(textFields(), f.Field) {
		return fmt.Errorf("there is no such field")
	}
	cond, args, err := f.text(f.Field)
	if err == nil {
		w.And(cond, args...)
	}
	return err
}

// compare adds a condition on a column that is ordered.
func (f *Filter) compare(w *store.Where, column string, read func(string) (any, error)) error {
	args := make([]any, len(f.Values))
	for i, v := range f.Values {
		var err error
		if args[i], err = read(v); err != nil {
			return err
		}
	}
	ops := map[string]string{"is": "=", "not": "<>", "from": ">=", "to": "<"}
	switch op := ops[f.Op]; {
	case f.Op == "in":
		w.And(column+" IN (?"+strings.Repeat(", ?", len(args)-1)+")", args...)
	case op != "":
		w.And(column+" "+op+" ?", args...)
	default:
		return fmt.Errorf("the operators are is, not, in, from, to")
	}
	return nil
}

// text gives a condition on a text column.
func (f *Filter) text(column string) (string, []any, error) {
	args := make([]any, len(f.Values))
	for i, v := range f.Values {
		args[i] = v
	}
	switch f.Op {
	case "is":
		return column + " = ?", args, nil
	case "not":
		return column + " <> ?", args, nil
	case "in":
		return column + " IN (?" + strings.Repeat(", ?", len(args)-1) + ")", args, nil
	case "begins":
		return column + " >= ? AND " + column + " < ?", []any{f.Values[0], f.Values[0] + "\U0010FFFF"}, nil
	case "has":
		return "lower(" + column + ") LIKE ? ESCAPE '!'", []any{store.Like(f.Values[0])}, nil
	}
	return "", nil, fmt.Errorf("the operators are is, not, in, begins, has")
}

// within adds a condition on what is kept of an account in another table.
func (f *Filter) within(w *store.Where, table, column string) error {
	g, in := *f, "IN"
	if f.Op == "not" {
		g.Op, in = "is", "NOT IN"
	}
	cond, args, err := g.text(column)
	if err == nil {
		w.And("id "+in+" (SELECT account FROM "+table+" WHERE "+cond+")", args...)
	}
	return err
}
