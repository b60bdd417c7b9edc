package catalog

import (
	"cmp"
	"context"
	"database/sql"
	"fmt"
	"slices"

	"github.com/palladium-guard/palladium/store"
)

// maxFilters bounds what one hunt asks.
const maxFilters = 20

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
	fields := map[string]store.Field{
		"created": {Column: "created", Kind: 't'}, "first": {Column: "first", Kind: 't'}, "last": {Column: "last", Kind: 't'},
		"exchanges": {Column: "exchanges", Kind: 'i'}, "output": {Column: "tokens_output", Kind: 'i'},
		"campaign": {Column: "campaign", Kind: 's', Within: "id IN (SELECT account FROM members WHERE %s)"},
		"token":    {Column: "token", Kind: 's', Within: "id IN (SELECT account FROM links WHERE %s)"},
		"family":   {Column: "family", Kind: 's', Within: "id IN (SELECT account FROM links WHERE %s)"},
	}
	for _, name := range textFields() {
		fields[name] = store.Field{Column: name, Kind: 's'}
	}
	return w, w.Filter(fields, q.Filters)
}
