//go:build unix

package catalog

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/palladium-guard/palladium/store"
	"github.com/palladium-guard/palladium/store/pgtest"
	"github.com/palladium-guard/palladium/store/retention"
)

// plan is how a database would carry out a query. PostgreSQL is told that reading a table whole is dear, since it would rather do
// that while there is little in it.
func plan(ctx context.Context, db *store.DB, query string, args ...any) (string, error) {
	var out strings.Builder
	err := db.Update(ctx, func(tx *store.DB) error {
		explain := "EXPLAIN QUERY PLAN "
		if tx.Form() == "postgres" {
			explain = "EXPLAIN "
			if _, err := tx.Exec(ctx, "SET LOCAL enable_seqscan = off"); err != nil {
				return err
			}
		}
		return tx.Each(ctx, explain+query, args, func(rows *sql.Rows) error {
			var a, b, c int
			var line string
			dest := []any{&a, &b, &c, &line}
			if tx.Form() == "postgres" {
				dest = dest[3:]
			}
			err := rows.Scan(dest...)
			fmt.Fprintln(&out, line)
			return err
		})
	})
	return out.String(), err
}

// What is asked each minute, and what is asked of each decision that ended, reads indexes, not all that there ever was.
func TestByIndex(t *testing.T) {
	urls := []string{"sqlite:" + filepath.Join(t.TempDir(), "c.db")}
	server, err := pgtest.Launch("")
	switch {
	case err == nil:
		t.Cleanup(func() { server.Stop() })
		urls = append(urls, server.Database(t))
	case errors.Is(err, pgtest.ErrMissing):
		t.Log(err)
	default:
		t.Fatal(err)
	}
	for _, url := range urls {
		s, err := Open(t.Context(), Config{URL: url}, nil, true)
		if err != nil {
			t.Fatal(err)
		}
		at := int64(1_800_000_000_000)
		for _, c := range []struct {
			query, index string
			args         []any
		}{
			{released, "verdicts_by_release", []any{at}},
			{retention.Due, "decisions_by_end", []any{at, at, "d", 10}},
			{retention.Over, "verdicts_by_decision", []any{"d", at, at, at, at, at, at, at, at}},
		} {
			got, err := plan(t.Context(), s.db, c.query, c.args...)
			if err != nil {
				t.Fatal(err)
			}
			if !strings.Contains(got, c.index) || regexp.MustCompile(`(?m)SCAN (v|d|decisions|a|c)\b|Seq Scan`).MatchString(got) {
				t.Errorf("%s: %.60s… is done by\n%s", s.db.Form(), c.query, got)
			}
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
}
