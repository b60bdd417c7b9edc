package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	"modernc.org/sqlite"
	codes "modernc.org/sqlite/lib"
)

// sqliteForm is a file of SQLite in WAL mode: many readers beside one writer, in this process and others of the machine.
type sqliteForm struct{ path string }

// pollEvery is how often another process's commits are looked for.
const pollEvery = 150 * time.Millisecond

func openSQLite(ctx context.Context, c Config, sh *shared) error {
	path := strings.TrimPrefix(strings.TrimPrefix(c.URL, "sqlite:"), "//")
	if path == "" || path == ":memory:" {
		return errors.New("give the path of a file")
	}
	if _, err := os.Stat(path); c.Existing && errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("%w: no file %s", ErrNotFound, path)
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return fmt.Errorf("make the folder: %w", err)
	}
	// Made here so that nobody else may read it. One that is there is not touched: closing a second descriptor of an
	// open file would drop the locks of this process.
	if f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_RDWR, 0o600); err == nil {
		err = f.Close()
		if err != nil {
			return fmt.Errorf("make the file: %w", err)
		}
	} else if !errors.Is(err, os.ErrExist) {
		return fmt.Errorf("make the file: %w", err)
	}
	base := "file:" + (&url.URL{Path: path}).EscapedPath() + "?_pragma=busy_timeout(15000)&_pragma=foreign_keys(1)&_pragma=cache_size(-8000)"
	sh.form = &sqliteForm{path: path}
	var err error
	sh.write, err = sql.Open("sqlite", base+"&_pragma=journal_mode(WAL)&_pragma=synchronous(FULL)&_pragma=journal_size_limit(67108864)&_txlock=immediate")
	if err != nil {
		return err
	}
	sh.write.SetMaxOpenConns(1)
	sh.read, err = sql.Open("sqlite", base+"&_pragma=query_only(1)")
	if err == nil {
		sh.read.SetMaxOpenConns(c.Connections)
		sh.read.SetMaxIdleConns(c.Connections)
		var mode string
		if err = sh.write.QueryRowContext(ctx, "PRAGMA journal_mode").Scan(&mode); err == nil && mode != "wal" {
			err = fmt.Errorf("the file system of %s allows no WAL: keep the database on a local disk", path)
		}
	}
	if err != nil {
		kind, _ := sh.form.class(err)
		if kind != nil {
			err = fmt.Errorf("%s: %w: %w", path, kind, err)
		}
		return errors.Join(err, sh.write.Close(), closeIf(sh.read))
	}
	return nil
}

func closeIf(db *sql.DB) error {
	if db == nil {
		return nil
	}
	return db.Close()
}

func (f *sqliteForm) name() string { return "sqlite" }

func (f *sqliteForm) bind(query string) string { return query }

func (f *sqliteForm) begun(context.Context, *sql.Tx) (string, error) { return "", nil }

func (f *sqliteForm) ending(context.Context, *sql.Tx) error { return nil }

// settled: SQLite undoes what it could not commit. After a failed write or sync the next opening decides.
func (f *sqliteForm) settled(_ context.Context, _ *sql.DB, _ string, err error) (bool, error) {
	var e *sqlite.Error
	if errors.As(err, &e) && e.Code()&0xff == codes.SQLITE_IOERR {
		return false, errors.New("the disk failed: see its logs before going on")
	}
	return false, nil
}

func (f *sqliteForm) view() *sql.TxOptions { return nil }

func (f *sqliteForm) script(ctx context.Context, tx *sql.Tx, statements string) error {
	_, err := tx.ExecContext(ctx, statements)
	return err
}

func (f *sqliteForm) settle(context.Context, *sql.Tx) error { return nil }

func (f *sqliteForm) has(ctx context.Context, tx *sql.Tx, table string) (ok bool, err error) {
	err = tx.QueryRowContext(ctx, "SELECT count(*) > 0 FROM sqlite_master WHERE type = 'table' AND name = ?", table).Scan(&ok)
	return ok, err
}

func (f *sqliteForm) drops(tables []string) []string {
	out := []string{"PRAGMA defer_foreign_keys = ON"}
	for _, t := range tables {
		out = append(out, `DROP TABLE IF EXISTS "`+t+`"`)
	}
	return out
}

func (f *sqliteForm) empties(tables []string) (out []string) {
	for _, t := range tables {
		out = append(out, `DELETE FROM "`+t+`"`)
	}
	return out
}

func (f *sqliteForm) within(column string) string { return "instr(" + column + ", ?) > 0" }

// listen polls the counter that SQLite keeps of commits by others than the asking connection.
func (f *sqliteForm) listen(ctx context.Context, read *sql.DB, changed func()) error {
	conn, err := read.Conn(ctx)
	if err != nil {
		return err
	}
	defer conn.Close()
	tick := time.NewTicker(pollEvery)
	defer tick.Stop()
	last := int64(-1)
	for {
		var now int64
		if err := conn.QueryRowContext(ctx, "PRAGMA data_version").Scan(&now); err != nil {
			return err
		}
		if now != last {
			last = now
			changed()
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
		}
	}
}

func (f *sqliteForm) class(err error) (error, bool) {
	var e *sqlite.Error
	if !errors.As(err, &e) {
		return nil, false
	}
	switch e.Code() {
	case codes.SQLITE_CONSTRAINT_UNIQUE, codes.SQLITE_CONSTRAINT_PRIMARYKEY, codes.SQLITE_CONSTRAINT_ROWID:
		return ErrConflict, false
	case codes.SQLITE_CONSTRAINT_FOREIGNKEY:
		return ErrNotFound, false
	}
	switch e.Code() & 0xff {
	case codes.SQLITE_BUSY, codes.SQLITE_LOCKED:
		return ErrBusy, false
	case codes.SQLITE_FULL:
		return ErrFull, false
	case codes.SQLITE_CORRUPT, codes.SQLITE_NOTADB:
		return ErrDamaged, false
	case codes.SQLITE_CANTOPEN, codes.SQLITE_READONLY, codes.SQLITE_PERM, codes.SQLITE_IOERR:
		return ErrUnavailable, false
	}
	return nil, false
}

func (f *sqliteForm) health(context.Context) error {
	if _, err := os.Stat(f.path); err != nil {
		return fmt.Errorf("the file of the database is gone: %w", err)
	}
	return nil
}
