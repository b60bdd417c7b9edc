package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"strings"
	"time"
)

// The errors that callers tell apart with errors.Is.
var (
	ErrNotFound    = errors.New("not there")
	ErrConflict    = errors.New("changed by somebody else meanwhile: fetch it again")
	ErrInvalid     = errors.New("value refused")
	ErrBusy        = errors.New("the database is busy: another process has been writing for too long; try again")
	ErrFull        = errors.New("no room left for the database: free space on its disk")
	ErrUnavailable = errors.New("the database cannot be reached: see that it runs and that the URL is right")
	ErrDamaged     = errors.New("not a database of this program, or damaged: restore a backup")
	ErrOutdated    = errors.New("the schema is older than this program: start `palladium serve` of this version once, which brings it up to date")
	ErrNewer       = errors.New("the schema was made by a newer Palladium: use that version, or restore a backup")
)

// Config says where the database is.
type Config struct {
	URL          string // postgres://…, or sqlite:PATH, or a path
	PasswordFile string // PostgreSQL: a file that holds the password
	Connections  int    // at most, for reading; 0: 8
	Existing     bool   // SQLite: a file that is not there is ErrNotFound, and not made
}

// Schema is the tables of one store as numbered migrations: FILES/sqlite/0001_name.sql and FILES/postgres/0001_name.sql, each
// applied once, in order, in a transaction. A released file is never changed.
type Schema struct {
	Name  string // of advisory locks and notifications
	Files fs.FS
}

// DB is an open database, or one bound to a transaction of it.
type DB struct {
	*shared
	tx    *sql.Tx // nil outside a transaction
	wrote *bool   // within Update: whether anything was; nil elsewhere
}

type shared struct {
	form   form
	schema Schema
	log    *slog.Logger
	write  *sql.DB // one connection at a time for SQLite
	read   *sql.DB
	news   *news
}

// form is what differs between SQLite and PostgreSQL.
type form interface {
	name() string
	// bind rewrites the placeholders of a statement.
	bind(query string) string
	// begun is called first in each writing transaction. It waits until no other writes, and gives what settled needs.
	begun(ctx context.Context, tx *sql.Tx) (id string, err error)
	// ending is called last before the commit.
	ending(ctx context.Context, tx *sql.Tx) error
	// settled finds out whether the transaction was committed whose commit failed with err.
	settled(ctx context.Context, db *sql.DB, id string, err error) (committed bool, known error)
	// view gives the options of a transaction that only reads and sees one state.
	view() *sql.TxOptions
	// script runs several statements.
	script(ctx context.Context, tx *sql.Tx, statements string) error
	// settle checks what is to be checked at the commit, so that tables can be changed.
	settle(ctx context.Context, tx *sql.Tx) error
	// has reports whether a table is there.
	has(ctx context.Context, tx *sql.Tx, table string) (bool, error)
	// drops gives statements that drop tables, whatever refers to them.
	drops(tables []string) []string
	// empties gives statements that delete all rows of tables, of which the first are referred to by none.
	empties(tables []string) []string
	// within is the condition that the text of a column holds the value of one placeholder.
	within(column string) string
	// listen calls changed after each commit by another process, until ctx ends.
	listen(ctx context.Context, read *sql.DB, changed func()) error
	// class gives which of the errors of this package an error of the driver is, nil for none; again says that the
	// transaction may be tried again.
	class(err error) (kind error, again bool)
	// health says what is wrong beyond failing statements.
	health(ctx context.Context) error
}

// Open opens a database and migrates it when migrate is set. Otherwise an older schema is ErrOutdated, but an empty
// database always gets its tables. A newer schema is ErrNewer.
func Open(ctx context.Context, c Config, s Schema, log *slog.Logger, migrate bool) (*DB, error) {
	db, err := Connect(ctx, c, s, log)
	if err != nil {
		return nil, err
	}
	st, err := db.Status(ctx)
	if err == nil && (migrate || st.Version == 0) {
		_, err = db.Migrate(ctx)
	} else if err == nil && st.Version < st.Known {
		err = fmt.Errorf("%w (schema %d, this program has %d)", ErrOutdated, st.Version, st.Known)
	}
	if err != nil {
		return nil, errors.Join(err, db.Close())
	}
	return db, nil
}

// Connect opens a database as it is: what its schema is, Status says.
func Connect(ctx context.Context, c Config, s Schema, log *slog.Logger) (*DB, error) {
	if c.Connections <= 0 {
		c.Connections = 8
	}
	open := openSQLite
	if strings.HasPrefix(c.URL, "postgres://") || strings.HasPrefix(c.URL, "postgresql://") {
		open = openPostgres
	} else if scheme, _, ok := strings.Cut(c.URL, "://"); ok {
		return nil, fmt.Errorf("open the database: %q is not known: give postgres://… or the path of a file", scheme+"://")
	}
	sh := &shared{schema: s, log: log}
	if err := open(ctx, c, sh); err != nil {
		return nil, fmt.Errorf("open the database: %w", err)
	}
	sh.news = &news{listen: func(ctx context.Context, changed func()) error { return sh.form.listen(ctx, sh.read, changed) }, log: log}
	return &DB{shared: sh}, nil
}

// Schema gives the schema that the database was opened with.
func (d *DB) Schema() Schema { return d.schema }

// Form gives "sqlite" or "postgres".
func (d *DB) Form() string { return d.form.name() }

// Within is the condition that the text of a column holds the value of one placeholder, byte for byte.
func (d *DB) Within(column string) string { return d.form.within(column) }

// Close ends all connections; the channels of Changed are closed.
func (d *DB) Close() error {
	d.news.close()
	return errors.Join(d.read.Close(), d.write.Close())
}

// Health returns what keeps the database from being read and written.
func (d *DB) Health(ctx context.Context) error {
	if err := d.Update(ctx, func(tx *DB) error {
		var n int64
		return tx.Row(ctx, "SELECT count(*) FROM schema_history", nil, &n)
	}); err != nil {
		return err
	}
	return d.form.health(ctx)
}

// View calls do with a DB that sees one state of the database throughout, and cannot write.
func (d *DB) View(ctx context.Context, do func(tx *DB) error) error {
	if d.tx != nil {
		return do(d)
	}
	tx, err := d.read.BeginTx(ctx, d.form.view())
	if err != nil {
		return d.fault(err)
	}
	defer tx.Rollback()
	return do(&DB{shared: d.shared, tx: tx})
}

// guardKey is the key of a guard in a context.
type guardKey struct{}

// Guarded returns a context under which every writing transaction calls allowed first, and ends with its error: what may be written
// is asked where it is written, when nobody else writes. The database's news are not guarded.
func Guarded(ctx context.Context, allowed func(ctx context.Context, tx *DB) error) context.Context {
	return context.WithValue(ctx, guardKey{}, allowed)
}

// Update calls do with a DB bound to a writing transaction, and commits when do returns nil. Writers of all processes take
// turns. do may be called again when the database asks for it, or when the connection was lost before the commit.
func (d *DB) Update(ctx context.Context, do func(tx *DB) error) error {
	if d.tx != nil {
		if d.wrote == nil {
			return fmt.Errorf("%w: a write within a View", ErrInvalid)
		}
		return do(d)
	}
	for wait := 50 * time.Millisecond; ; wait *= 4 {
		wrote := false
		again, err := d.attempt(ctx, do, &wrote)
		if err == nil {
			if wrote {
				d.news.tell()
			}
			return nil
		}
		if !again || wait > time.Second {
			return err
		}
		select {
		case <-ctx.Done():
			return err
		case <-time.After(wait):
		}
	}
}

func (d *DB) attempt(ctx context.Context, do func(tx *DB) error, wrote *bool) (again bool, err error) {
	tx, err := d.write.BeginTx(ctx, nil)
	if err != nil {
		_, again = d.form.class(err)
		return again, d.fault(err)
	}
	defer tx.Rollback()
	id, err := d.form.begun(ctx, tx)
	bound := &DB{shared: d.shared, tx: tx, wrote: wrote}
	if allowed, ok := ctx.Value(guardKey{}).(func(context.Context, *DB) error); ok && err == nil {
		err = allowed(ctx, bound)
	}
	if err == nil {
		err = do(bound)
	}
	if err == nil && *wrote {
		err = d.form.ending(ctx, tx)
	}
	if err != nil {
		_, again = d.form.class(err)
		return again, d.fault(err)
	}
	if err = tx.Commit(); err == nil {
		return false, nil
	}
	committed, unknown := d.form.settled(ctx, d.write, id, err)
	switch {
	case unknown != nil:
		return false, fmt.Errorf("commit: whether it was done is not known: %w", errors.Join(d.fault(err), unknown))
	case committed:
		return false, nil
	}
	_, again = d.form.class(err)
	return again, d.fault(err)
}

// fault marks an error of the driver with the error of this package that it is.
func (d *DB) fault(err error) error {
	kind, _ := d.form.class(err)
	if kind == nil || errors.Is(err, kind) {
		return err
	}
	return fmt.Errorf("%w: %w", kind, err)
}

// Exec runs a statement and says how many rows it touched. It needs the DB of an Update. Statements that touch no row, and
// writes by Row, do not count for Changed.
func (d *DB) Exec(ctx context.Context, query string, args ...any) (int64, error) {
	if d.wrote == nil {
		return 0, fmt.Errorf("%w: a write outside of Update", ErrInvalid)
	}
	res, err := d.tx.ExecContext(ctx, d.form.bind(query), args...)
	if err != nil {
		return 0, fmt.Errorf("write: %w", d.fault(err))
	}
	n, err := res.RowsAffected()
	*d.wrote = *d.wrote || n > 0
	return n, err
}

// Row reads one row into dest; ErrNotFound when there is none.
func (d *DB) Row(ctx context.Context, query string, args []any, dest ...any) error {
	found := false
	err := d.Each(ctx, query, args, func(rows *sql.Rows) error {
		if found {
			return nil
		}
		found = true
		return rows.Scan(dest...)
	})
	if err == nil && !found {
		return ErrNotFound
	}
	return err
}

// Each calls do at each row of a query. A read whose connection turns out to be dead before the first row is tried again.
func (d *DB) Each(ctx context.Context, query string, args []any, do func(rows *sql.Rows) error) error {
	query = d.form.bind(query)
	began, err := d.each(ctx, query, args, do)
	if err != nil && !began && d.tx == nil && errors.Is(err, ErrUnavailable) && ctx.Err() == nil {
		_, err = d.each(ctx, query, args, do)
	}
	return err
}

func (d *DB) each(ctx context.Context, query string, args []any, do func(rows *sql.Rows) error) (began bool, err error) {
	var rows *sql.Rows
	if d.tx != nil {
		rows, err = d.tx.QueryContext(ctx, query, args...)
	} else {
		rows, err = d.read.QueryContext(ctx, query, args...)
	}
	if err != nil {
		return false, fmt.Errorf("read: %w", d.fault(err))
	}
	defer rows.Close()
	for rows.Next() {
		began = true
		if err := do(rows); err != nil {
			return true, err
		}
	}
	if err := rows.Err(); err != nil {
		return began, fmt.Errorf("read: %w", d.fault(err))
	}
	return began, nil
}
