//go:build unix

package catalog_test

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"math"
	"math/rand/v2"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/palladium-guard/palladium/store"
	"github.com/palladium-guard/palladium/store/backup"
	"github.com/palladium-guard/palladium/store/catalog"
)

// engine makes empty databases of one form.
type engine struct {
	name string
	url  func() string
}

// engines gives both forms, and skips what cannot be had.
func engines(t *testing.T) []engine {
	t.Helper()
	server := postgres(t)
	return []engine{
		{"SQLite", func() string { return "sqlite:" + filepath.Join(t.TempDir(), "c.db") }},
		{"PostgreSQL", func() string { return server.Database(t) }},
	}
}

func connect(t *testing.T, url string) *store.DB {
	t.Helper()
	db, err := catalog.Connect(t.Context(), catalog.Config{URL: url}, nil, false)
	check(t, err)
	t.Cleanup(func() { db.Close() })
	return db
}

func known(t *testing.T) int {
	t.Helper()
	n, err := catalog.Schema().Known()
	check(t, err)
	return n
}

// nullable lists the columns that may be missing in the schema of a version, as table.column.
func nullable(t *testing.T, version int) map[string]bool {
	t.Helper()
	db := connect(t, "sqlite:"+filepath.Join(t.TempDir(), "n.db"))
	check(t, db.Update(t.Context(), func(tx *store.DB) error { return tx.MigrateTo(t.Context(), version) }))
	out := map[string]bool{}
	check(t, db.Each(t.Context(), `SELECT m.name || '.' || c.name FROM sqlite_master m, pragma_table_info(m.name) c
		WHERE m.type = 'table' AND c."notnull" = 0 AND c.pk = 0`, nil, func(rows *sql.Rows) error {
		var name string
		err := rows.Scan(&name)
		out[name] = true
		return err
	}))
	return out
}

// truths lists the columns that hold truth values, which SQLite has no type for.
func truths(t *testing.T) map[string]bool {
	t.Helper()
	out := map[string]bool{}
	check(t, fs.WalkDir(catalog.Schema().Files, "schema/postgres", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		script, err := fs.ReadFile(catalog.Schema().Files, path)
		for _, m := range regexp.MustCompile(`(\w+) +BOOLEAN`).FindAllSubmatch(script, -1) {
			out[string(m[1])] = true
		}
		return err
	}))
	return out
}

// awkward texts, none of them empty.
func awkward() []string {
	return []string{"a", `"quoted" \ back`, "line\nbreak\r\tand tab", "Ünï ☃ 🏛", "<&> \u2028\u2029", "\x01\x7f", "'; DROP TABLE users; --", "\uFFFD", "  "}
}

// fill brings a database to a version and puts rows into each of its tables, those of one number belonging together.
func fill(t *testing.T, db *store.DB, version, rows int) {
	t.Helper()
	ctx := t.Context()
	missing, truth := nullable(t, version), truths(t)
	rnd := rand.New(rand.NewPCG(7, uint64(version)))
	check(t, db.Update(ctx, func(tx *store.DB) error {
		if err := tx.MigrateTo(ctx, version); err != nil {
			return err
		}
		tables, err := catalog.Schema().Tables(db.Form(), version)
		if err != nil {
			return err
		}
		for _, table := range tables {
			shape, err := tx.Shape(ctx, table)
			if err != nil {
				return err
			}
			for i := range rows {
				args := make([]any, len(shape))
				for k, s := range shape {
					if args[k] = value(rnd, s, i); s.Cell == store.CellWhole && truth[s.Name] {
						args[k] = rnd.Int64N(2)
					}
					if missing[table+"."+s.Name] && rnd.IntN(2) == 0 {
						args[k] = nil
					}
				}
				if _, err := tx.Exec(ctx, `INSERT INTO "`+table+`" VALUES (?`+strings.Repeat(", ?", len(shape)-1)+")", args...); err != nil {
					return fmt.Errorf("%s: %w", table, err)
				}
			}
		}
		for _, name := range []string{"verdicts", "credentials", "events"} {
			if _, err := tx.Exec(ctx, "INSERT INTO numbers (name, value) VALUES (?, ?)", name, rows); err != nil {
				return err
			}
		}
		return nil
	}))
}

func value(rnd *rand.Rand, s store.Shape, i int) any {
	switch s.Cell {
	case store.CellText:
		if slices.Contains([]string{"id", "campaign", "case_id", "user_id", "artifact"}, s.Name) {
			return fmt.Sprintf("k%d", i)
		}
		return awkward()[rnd.IntN(len(awkward()))] + strconv.Itoa(i)
	case store.CellWhole:
		if s.Name == "seq" || s.Name == "number" {
			return int64(i)
		}
		return []int64{0, 1, -1, math.MaxInt64, math.MinInt64, rnd.Int64()}[rnd.IntN(6)]
	case store.CellReal:
		return []float64{0, 1, 0.1, -1e-300, math.MaxFloat64, math.SmallestNonzeroFloat64, rnd.NormFloat64()}[rnd.IntN(7)]
	case store.CellTruth:
		return rnd.IntN(2) == 0
	}
	b := make([]byte, rnd.IntN(300))
	for j := range b {
		b[j] = byte(rnd.Uint32())
	}
	return b
}

// rowsOf gives each row of each table as text, in the same form for both engines; raised leaves out the numbers that
// a restore raises.
func rowsOf(t *testing.T, db *store.DB, raised bool) map[string][]string {
	t.Helper()
	ctx := t.Context()
	out := map[string][]string{}
	check(t, db.View(ctx, func(tx *store.DB) error {
		st, err := tx.Status(ctx)
		if err != nil {
			return err
		}
		tables, err := catalog.Schema().Tables(st.Form, st.Version)
		if err != nil {
			return err
		}
		for _, table := range tables {
			shape, err := tx.Shape(ctx, table)
			if err != nil {
				return err
			}
			cells, dest := make([]any, len(shape)), make([]any, len(shape))
			for i := range cells {
				dest[i] = &cells[i]
			}
			out[table] = []string{}
			if err := tx.Each(ctx, `SELECT * FROM "`+table+`"`, nil, func(rows *sql.Rows) error {
				err := rows.Scan(dest...)
				line := ""
				for i, c := range cells {
					switch v := c.(type) {
					case bool:
						c = int64(0)
						if v {
							c = int64(1)
						}
					case float64:
						c = strconv.FormatFloat(v, 'x', -1, 64)
					}
					if b, ok := c.([]byte); ok {
						line += fmt.Sprintf("%s=%x|", shape[i].Name, b)
						continue
					}
					line += fmt.Sprintf("%s=%T:%q|", shape[i].Name, c, fmt.Sprint(c))
				}
				if table == "campaign_texts" && raised {
					line, _, _ = strings.Cut(line, "version=")
				}
				if table == "numbers" && raised && (strings.Contains(line, `"verdicts"`) || strings.Contains(line, `"credentials"`) || strings.Contains(line, `"texts"`)) {
					return err
				}
				out[table] = append(out[table], line)
				return err
			}); err != nil {
				return err
			}
			slices.Sort(out[table])
		}
		return nil
	}))
	return out
}

func same(t *testing.T, got, want map[string][]string) {
	t.Helper()
	if len(got) != len(want) {
		t.Errorf("%d tables, wanted %d", len(got), len(want))
	}
	for table := range want {
		if len(got[table]) != len(want[table]) {
			t.Errorf("%s has %d rows, wanted %d", table, len(got[table]), len(want[table]))
			continue
		}
		for i := range want[table] {
			if got[table][i] != want[table][i] {
				t.Errorf("%s differs:\n got %s\nwant %s", table, got[table][i], want[table][i])
				break
			}
		}
	}
}

func backedUp(t *testing.T, db *store.DB) []byte {
	t.Helper()
	var b bytes.Buffer
	_, err := backup.Write(t.Context(), db, &b, at(9), "test")
	check(t, err)
	return b.Bytes()
}

func load(t *testing.T, db *store.DB, data []byte, replace bool) error {
	t.Helper()
	sum, err := backup.Check(t.Context(), bytes.NewReader(data), "catalog", known(t))
	check(t, err)
	return backup.Load(t.Context(), db, bytes.NewReader(data), sum, backup.Options{Replace: replace, Settle: catalog.Restored(time.Now())})
}

// Of every schema that there was, a backup of either engine is restored into either, and comes to what a migration in place
// comes to, row by row.
func TestBackup(t *testing.T) {
	all := engines(t)
	for version := 1; version <= known(t); version++ {
		for _, from := range all {
			url := from.url()
			source := connect(t, url)
			fill(t, source, version, 40)
			data := backedUp(t, source)
			before := rowsOf(t, source, true)
			check(t, open(t, url).Close())
			want := rowsOf(t, source, true)
			for table, rows := range before {
				if len(rows) != len(want[table]) {
					t.Errorf("schema %d of %s: the migration makes %d rows of the %d in %s", version, from.name, len(want[table]), len(rows), table)
				}
			}
			for _, to := range all {
				t.Run(fmt.Sprintf("schema=%d/%s→%s", version, from.name, to.name), func(t *testing.T) {
					target := connect(t, to.url())
					check(t, load(t, target, data, false))
					same(t, rowsOf(t, target, true), want)
					if err := load(t, target, data, false); !errors.Is(err, backup.ErrHolds) {
						t.Errorf("into a catalog that is not empty: %v", err)
					}
					check(t, target.Update(t.Context(), func(tx *store.DB) error {
						_, err := tx.Exec(t.Context(), "UPDATE accounts SET plan = 'other'")
						return err
					}))
					check(t, load(t, target, data, true))
					same(t, rowsOf(t, target, true), want)
				})
			}
		}
	}
}

// The list of tables is what the engines have, so that none is left out.
func TestTables(t *testing.T) {
	query := map[string]string{
		"sqlite":   "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite!_%' ESCAPE '!'",
		"postgres": "SELECT tablename FROM pg_tables WHERE schemaname = current_schema()",
	}
	for _, e := range engines(t) {
		for version := 1; version <= known(t); version++ {
			db := connect(t, e.url())
			check(t, db.Update(t.Context(), func(tx *store.DB) error { return tx.MigrateTo(t.Context(), version) }))
			var got []string
			check(t, db.Each(t.Context(), query[db.Form()], nil, func(rows *sql.Rows) error {
				var name string
				err := rows.Scan(&name)
				if name != "schema_history" {
					got = append(got, name)
				}
				return err
			}))
			want, err := catalog.Schema().Tables(db.Form(), version)
			check(t, err)
			slices.Sort(got)
			slices.Sort(want)
			if !slices.Equal(got, want) {
				t.Errorf("%s, schema %d: the database has %v, the list %v", e.name, version, got, want)
			}
		}
	}
}

// A file that is damaged in any way is refused, and the catalog stays as it was.
func TestBackupDamaged(t *testing.T) {
	db := connect(t, "sqlite:"+filepath.Join(t.TempDir(), "c.db"))
	fill(t, db, known(t), 40)
	data := backedUp(t, db)
	whole, err := backup.Check(t.Context(), bytes.NewReader(data), "catalog", known(t))
	check(t, err)
	refused := func(what string, data []byte) {
		t.Helper()
		got, err := backup.Check(t.Context(), bytes.NewReader(data), "catalog", known(t))
		if err == nil && got == whole { // bits of the packing that mean nothing
			return
		}
		if !errors.Is(err, backup.ErrDamaged) && !errors.Is(err, backup.ErrForeign) {
			t.Errorf("%s: %v", what, err)
		}
	}
	for n := 0; n < len(data); n += 1 + len(data)/400 {
		refused(fmt.Sprintf("cut after %d bytes", n), data[:n])
		other := slices.Clone(data)
		other[n] ^= 1 << (n % 8)
		refused(fmt.Sprintf("a bit turned at %d", n), other)
	}
	if _, err := backup.Check(t.Context(), bytes.NewReader(data[:len(data)-1]), "catalog", known(t)); err == nil {
		t.Error("a file that lacks its last byte is taken")
	}
	if _, err := backup.Check(t.Context(), bytes.NewReader(append(slices.Clone(data), data...)), "catalog", known(t)); !errors.Is(err, backup.ErrDamaged) {
		t.Errorf("a file twice: %v", err)
	}

	// What is damaged between the check and the restore is undone.
	before := rowsOf(t, db, false)
	other := slices.Clone(data)
	other[len(other)/2] ^= 1
	if err := backup.Load(t.Context(), db, bytes.NewReader(other), whole, backup.Options{Replace: true}); err == nil {
		t.Error("a file that was changed after its check is restored")
	}
	same(t, rowsOf(t, db, false), before)
}

// What newer programs made is refused, with what to do.
func TestNewer(t *testing.T) {
	for _, e := range engines(t) {
		url := e.url()
		db := connect(t, url)
		fill(t, db, known(t), 3)
		data := backedUp(t, db)
		if _, err := backup.Check(t.Context(), bytes.NewReader(data), "catalog", known(t)-1); !errors.Is(err, backup.ErrNewer) || !strings.Contains(err.Error(), "restore it with that version") {
			t.Errorf("%s: a backup of a newer schema: %v", e.name, err)
		}
		if _, err := backup.Check(t.Context(), bytes.NewReader(data), "other", known(t)); !errors.Is(err, backup.ErrForeign) {
			t.Errorf("%s: a backup of another store: %v", e.name, err)
		}
		check(t, db.Update(t.Context(), func(tx *store.DB) error {
			_, err := tx.Exec(t.Context(), "INSERT INTO schema_history (version, name, checksum, applied) VALUES (?, 'later', 'x', 0)", known(t)+1)
			return err
		}))
		before, err := db.Status(t.Context())
		if !errors.Is(err, store.ErrNewer) {
			t.Errorf("%s: status %+v: %v", e.name, before, err)
		}
		for _, migrate := range []bool{false, true} {
			_, err := catalog.Open(t.Context(), catalog.Config{URL: url}, nil, migrate)
			if !errors.Is(err, store.ErrNewer) || !strings.Contains(err.Error(), "use that version") {
				t.Errorf("%s: a catalog of a newer schema, migrate %v: %v", e.name, migrate, err)
			}
		}
		if err := backup.Load(t.Context(), db, bytes.NewReader(data), backup.Summary{}, backup.Options{Replace: true}); !errors.Is(err, store.ErrNewer) {
			t.Errorf("%s: a restore into a catalog of a newer schema: %v", e.name, err)
		}
		if _, err := backup.Write(t.Context(), db, &bytes.Buffer{}, at(9), "test"); !errors.Is(err, store.ErrNewer) {
			t.Errorf("%s: a backup of a catalog of a newer schema: %v", e.name, err)
		}
	}
}

// An older schema is brought up to date when it may be, and refused with what to do when not.
func TestOlder(t *testing.T) {
	for _, e := range engines(t) {
		for version := 1; version < known(t); version++ {
			url := e.url()
			db := connect(t, url)
			fill(t, db, version, 5)
			if _, err := catalog.Open(t.Context(), catalog.Config{URL: url}, nil, false); !errors.Is(err, store.ErrOutdated) || !strings.Contains(err.Error(), "palladium serve") {
				t.Errorf("%s, schema %d: %v", e.name, version, err)
			}
			s := open(t, url)
			if n, err := s.CountHunt(t.Context(), catalog.HuntQuery{}); err != nil || n != 5 {
				t.Errorf("%s, schema %d: after the migration %d accounts of 5: %v", e.name, version, n, err)
			}
			check(t, s.Close())
		}
	}
}

// Gateways follow a restored catalog, and no event's number is given twice.
func TestRestoredVersions(t *testing.T) {
	for _, e := range engines(t) {
		url := e.url()
		s := open(t, url)
		check(t, s.Append(t.Context(), event(1)))
		db := connect(t, url)
		data := backedUp(t, db)
		for n := range 5 {
			check(t, s.Append(t.Context(), event(n)))
		}
		last, err := s.LastEvent(t.Context())
		check(t, err)
		check(t, load(t, db, data, true))
		if v, err := s.VerdictVersion(t.Context()); err != nil || v < uint64(at(0).UnixMilli()) {
			t.Errorf("%s: verdicts have version %d: %v", e.name, v, err)
		}
		first, err := s.VerdictVersion(t.Context())
		check(t, err)
		check(t, load(t, db, data, true))
		if again, err := s.VerdictVersion(t.Context()); err != nil || again <= first {
			t.Errorf("%s: verdicts have version %d after %d: %v", e.name, again, first, err)
		}
		next := event(9)
		check(t, s.Append(t.Context(), next))
		if next.Seq <= last {
			t.Errorf("%s: event %d comes after %d", e.name, next.Seq, last)
		}
		check(t, s.Close())
	}
}

// Backups that are taken while it is written to hold one state each.
func TestBackupWhileWritten(t *testing.T) {
	for _, e := range engines(t) {
		url := e.url()
		s := open(t, url)
		db := connect(t, url)
		ctx, stop := context.WithCancel(t.Context())
		done := make(chan int)
		go func() {
			n := 0
			for ; ctx.Err() == nil; n++ {
				// Mark and event are one transaction: a backup that has one without the other is none of one moment.
				if err := s.Update(t.Context(), func(tx *catalog.Store) error {
					ev := event(n)
					if err := tx.Append(t.Context(), ev); err != nil {
						return err
					}
					return tx.SetMark(t.Context(), "last", ev.Seq)
				}); err != nil {
					t.Error(err)
					break
				}
			}
			done <- n
		}()
		seen := int64(0)
		for range 10 {
			time.Sleep(20 * time.Millisecond)
			data := backedUp(t, db)
			other := "sqlite:" + filepath.Join(t.TempDir(), "o.db")
			check(t, load(t, connect(t, other), data, false))
			o := open(t, other)
			mark, err := o.Mark(t.Context(), "last")
			check(t, err)
			last, err := o.LastEvent(t.Context())
			check(t, err)
			if events, err := o.EventsAfter(t.Context(), 0, 10_000); err != nil || last != mark || int64(len(events)) != mark {
				t.Errorf("%s: mark %d, last event %d, %d events: %v", e.name, mark, last, len(events), err)
			}
			seen = mark
			check(t, o.Close())
		}
		stop()
		if n := <-done; int64(n) < seen || seen == 0 {
			t.Errorf("%s: %d written, %d seen", e.name, n, seen)
		}
		check(t, s.Close())
	}
}

// A backup of what is not there makes no catalog.
func TestBackupOfNothing(t *testing.T) {
	path := filepath.Join(t.TempDir(), "sub", "none.db")
	if _, err := catalog.Connect(t.Context(), catalog.Config{URL: path}, slog.New(slog.DiscardHandler), true); !errors.Is(err, store.ErrNotFound) {
		t.Error(err)
	}
	if list, _ := filepath.Glob(filepath.Join(filepath.Dir(filepath.Dir(path)), "*")); len(list) > 0 {
		t.Errorf("made %v", list)
	}
	if _, err := backup.Write(t.Context(), connect(t, path), &bytes.Buffer{}, at(0), ""); !errors.Is(err, store.ErrNotFound) {
		t.Error(err)
	}
}
