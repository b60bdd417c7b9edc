package store

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/stdlib"
)

// postgresForm is a PostgreSQL server, 14 or newer. Writers of all processes take turns by an advisory lock.
type postgresForm struct {
	config  *pgx.ConnConfig
	channel string // of notifications; also names the lock
}

// turn is how long a process may hold the turn of writing without a word, after which the server ends its session: one that is
// stopped in the middle of a transaction must not keep all others waiting. Between two statements of ours there is no waiting.
const turn = "5s"

// settleFor is how long a lost commit is asked after.
const settleFor = 20 * time.Second

func openPostgres(ctx context.Context, c Config, sh *shared) error {
	cfg, err := pgx.ParseConfig(c.URL)
	if err != nil {
		return errors.New("the URL cannot be read: give postgres://USER@HOST:PORT/DATABASE?sslmode=verify-full") // the driver's error may quote it
	}
	if c.PasswordFile != "" {
		b, err := os.ReadFile(c.PasswordFile)
		if err != nil {
			return fmt.Errorf("read the password file: %w", err)
		}
		cfg.Password = strings.TrimRight(string(b), "\r\n")
	}
	for k, v := range map[string]string{"application_name": "palladium", "lock_timeout": "20s", "idle_in_transaction_session_timeout": "60s"} {
		if _, ok := cfg.RuntimeParams[k]; !ok {
			cfg.RuntimeParams[k] = v
		}
	}
	f := &postgresForm{config: cfg}
	connected := stdlib.OptionAfterConnect(func(ctx context.Context, conn *pgx.Conn) error {
		_, err := conn.Exec(ctx, "SELECT set_config('synchronous_commit', 'on', false) WHERE current_setting('synchronous_commit') = 'off'")
		return err
	})
	sh.form, sh.read, sh.write = f, stdlib.OpenDB(*cfg, connected), stdlib.OpenDB(*cfg, connected)
	sh.read.SetMaxOpenConns(c.Connections)
	sh.read.SetMaxIdleConns(c.Connections)
	sh.write.SetMaxOpenConns(2)
	sh.write.SetMaxIdleConns(2)
	if err := f.suits(ctx, sh); err != nil {
		if kind, _ := f.class(err); kind != nil && !errors.Is(err, kind) {
			err = fmt.Errorf("%w: %w", kind, err)
		}
		return errors.Join(err, sh.read.Close(), sh.write.Close())
	}
	return nil
}

// suits asks the server for what it must be.
func (f *postgresForm) suits(ctx context.Context, sh *shared) error {
	var version int
	var encoding, schema, fsync, full string
	if err := sh.read.QueryRowContext(ctx, `SELECT current_setting('server_version_num')::int, current_setting('server_encoding'),
		coalesce(current_schema(), ''), current_setting('fsync'), current_setting('full_page_writes')`).
		Scan(&version, &encoding, &schema, &fsync, &full); err != nil {
		return err
	}
	switch {
	case version < 140000:
		return fmt.Errorf("PostgreSQL %d is too old: use 14 or newer", version/10000)
	case encoding != "UTF8":
		return fmt.Errorf("the database is encoded in %s: make one with ENCODING 'UTF8'", encoding)
	case schema == "":
		return errors.New("the search path leads to no schema: create one, or set search_path in the URL")
	}
	if fsync != "on" || full != "on" {
		sh.log.Warn("PostgreSQL runs with fsync or full_page_writes off: a crash can lose or damage what was acknowledged")
	}
	f.channel = "palladium_" + sh.schema.Name + "_" + schema
	return nil
}

func (f *postgresForm) name() string { return "postgres" }

func (f *postgresForm) bind(query string) string {
	if strings.IndexByte(query, '?') < 0 {
		return query
	}
	b := make([]byte, 0, len(query)+32)
	n := 0
	for i := range len(query) {
		if query[i] != '?' {
			b = append(b, query[i])
			continue
		}
		n++
		b = fmt.Appendf(b, "$%d", n)
	}
	return string(b)
}

func (f *postgresForm) begun(ctx context.Context, tx *sql.Tx) (id string, err error) {
	err = tx.QueryRowContext(ctx, "SELECT pg_current_xact_id()::text FROM (SELECT pg_advisory_xact_lock(hashtextextended($1, 0))) AS turn, "+
		"(SELECT set_config('idle_in_transaction_session_timeout', $2, true)) AS bound", f.channel, turn).Scan(&id)
	return id, err
}

func (f *postgresForm) ending(ctx context.Context, tx *sql.Tx) error {
	_, err := tx.ExecContext(ctx, "SELECT pg_notify($1, '')", f.channel)
	return err
}

// settled asks the server, when it can be reached again, what became of the transaction.
func (f *postgresForm) settled(ctx context.Context, db *sql.DB, id string, err error) (bool, error) {
	if kind, _ := f.class(err); kind != ErrUnavailable {
		return false, nil // the server itself has said that it did not commit
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), settleFor)
	defer cancel()
	for {
		var status sql.NullString
		err := db.QueryRowContext(ctx, "SELECT pg_xact_status($1::text::xid8)", id).Scan(&status)
		var e *pgconn.PgError
		switch {
		case err == nil && status.String == "committed":
			return true, nil
		case err == nil && status.String == "aborted", errors.As(err, &e) && e.Code == "22023": // not known there, after a fail-over
			return false, nil
		}
		select {
		case <-ctx.Done():
			return false, errors.Join(ctx.Err(), err)
		case <-time.After(200 * time.Millisecond):
		}
	}
}

func (f *postgresForm) view() *sql.TxOptions {
	return &sql.TxOptions{Isolation: sql.LevelRepeatableRead, ReadOnly: true}
}

func (f *postgresForm) script(ctx context.Context, tx *sql.Tx, statements string) error {
	_, err := tx.ExecContext(ctx, statements, pgx.QueryExecModeSimpleProtocol)
	return err
}

func (f *postgresForm) settle(ctx context.Context, tx *sql.Tx) error {
	_, err := tx.ExecContext(ctx, "SET CONSTRAINTS ALL IMMEDIATE")
	return err
}

func (f *postgresForm) has(ctx context.Context, tx *sql.Tx, table string) (ok bool, err error) {
	err = tx.QueryRowContext(ctx, "SELECT count(*) > 0 FROM pg_tables WHERE schemaname = current_schema() AND tablename = $1", table).Scan(&ok)
	return ok, err
}

func (f *postgresForm) drops(tables []string) (out []string) {
	for _, t := range tables {
		out = append(out, `DROP TABLE IF EXISTS "`+t+`" CASCADE`)
	}
	return out
}

// empties truncates, as a DELETE looks for what refers to each row, and takes that from a whole table where no index serves.
func (f *postgresForm) empties(tables []string) []string {
	return []string{"TRUNCATE " + quoted(tables, ", ")}
}

func (f *postgresForm) within(column string) string { return "strpos(" + column + ", ?) > 0" }

func (f *postgresForm) listen(ctx context.Context, _ *sql.DB, changed func()) error {
	conn, err := pgx.ConnectConfig(ctx, f.config)
	if err != nil {
		return err
	}
	defer conn.Close(context.WithoutCancel(ctx))
	if _, err := conn.Exec(ctx, "LISTEN "+pgx.Identifier{f.channel}.Sanitize()); err != nil {
		return err
	}
	changed() // what was committed while nobody listened
	for {
		if _, err := conn.WaitForNotification(ctx); err != nil {
			return err
		}
		changed()
	}
}

func (f *postgresForm) class(err error) (error, bool) {
	var e *pgconn.PgError
	if errors.As(err, &e) {
		switch {
		case e.Code == "23505":
			return ErrConflict, false
		case e.Code == "23503":
			return ErrNotFound, false
		case e.Code == "22021", e.Code == "22P05":
			return ErrInvalid, false
		case e.Code == "53100":
			return ErrFull, false
		case e.Code == "55P03", e.Code == "53300":
			return ErrBusy, false
		case e.Code == "40001", e.Code == "40P01":
			return ErrBusy, true
		case strings.HasPrefix(e.Code, "08"), strings.HasPrefix(e.Code, "57P"), e.Code == "25006", e.Code == "28P01", e.Code == "3D000", e.Code == "25P03":
			return ErrUnavailable, e.Code != "28P01" && e.Code != "3D000"
		case strings.HasPrefix(e.Code, "XX"):
			return ErrDamaged, false
		}
		return nil, false
	}
	var connect *pgconn.ConnectError
	var network net.Error
	if errors.As(err, &connect) || errors.As(err, &network) || errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, net.ErrClosed) || errors.Is(err, driver.ErrBadConn) {
		return ErrUnavailable, !errors.Is(err, context.Canceled) && !errors.Is(err, context.DeadlineExceeded)
	}
	return nil, false
}

func (f *postgresForm) health(context.Context) error { return nil }
