// Package catalog holds the small state that changes: campaigns and what people did with them, accounts, decisions and
// the verdicts that follow from them, cases, appeals, policies, users, and the history of it all. It is the truth about
// these; streams and gateways hold copies. It stands on SQLite, or on PostgreSQL where several processes share it.
//
// Reads see what was committed before they began. A write is durable when its method returns nil, and not done at all
// when it returns an error, except that an error in the connection to PostgreSQL during the commit leaves the outcome open.
// Times are kept in milliseconds, UTC. Text that is not UTF-8, and NUL, are kept as U+FFFD.
package catalog

import (
	"context"
	"embed"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"time"

	"github.com/palladium-guard/palladium/store"
)

// The errors that callers tell apart with errors.Is.
var (
	ErrNotFound = store.ErrNotFound // Get of what is not there
	ErrConflict = store.ErrConflict // the Revision is not the stored one, or the id is taken
	ErrInvalid  = store.ErrInvalid  // a value that breaks the noun's contract, or a bad cursor
)

// Config is the section `catalog` of the configuration.
type Config struct {
	URL          string `yaml:"url"`           // sqlite:PATH or a path for a file, postgres://… for PostgreSQL; empty: catalog.db in the state folder
	PasswordFile string `yaml:"password_file"` // PostgreSQL: a file that holds the password, so that it need not stand in the URL
	Connections  int    `yaml:"connections"`   // to PostgreSQL, and readers of SQLite; 0: 8
}

// Store is the catalog. Its methods may be called from several goroutines. All that is said of a method holds too when
// the Store is bound to a transaction by Update.
type Store struct{ db *store.DB }

//go:embed schema
var schemas embed.FS

// Open opens the catalog, making the file or the tables where they are missing. An older schema is an error that tells
// to migrate, unless migrate is set; a newer one is always an error.
func Open(ctx context.Context, c Config, log *slog.Logger, migrate bool) (*Store, error) {
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	db, err := store.Open(ctx, store.Config{URL: c.URL, PasswordFile: c.PasswordFile, Connections: c.Connections}, store.Schema{Name: "palladium_catalog", Files: schemas}, log, migrate)
	if err != nil {
		return nil, fmt.Errorf("open the catalog: %w", err)
	}
	return &Store{db}, nil
}

// Close ends all connections. Channels of Changed are closed.
func (s *Store) Close() error { return s.db.Close() }

// Health reports whether the catalog can be read and written, and says what is wrong.
func (s *Store) Health(ctx context.Context) (ok bool, says string) {
	if err := s.db.Health(ctx); err != nil {
		return false, err.Error()
	}
	return true, s.db.Form()
}

// Update calls do with a Store that is bound to one transaction: all that do changes through it becomes visible at once, or
// not at all when do or the commit fails. Writers take turns, so that what do has read stays true until it ends: keep it
// short, and do no other I/O in it. do may be called again after a lost connection or a deadlock.
func (s *Store) Update(ctx context.Context, do func(tx *Store) error) error {
	return s.db.Update(ctx, func(tx *store.DB) error { return do(s.bound(tx)) })
}

func (*Store) bound(tx *store.DB) *Store { return &Store{tx} }

// Changed gives a channel that receives after other processes or this one have committed a change; several changes may
// count as one. It is closed when ctx ends. What has changed is read with EventsAfter and the versions.
func (s *Store) Changed(ctx context.Context) <-chan struct{} { return s.db.Changed(ctx) }

// Page asks for part of a list. The zero Page asks for the first 50; never more than 1000 are given.
type Page = store.Page

// Expire ends what has run out by now: verdicts, then decisions and approvals, with an event for each decision and approval;
// and forgets sessions, tickets and idempotency keys. It returns how many verdicts ended.
func (s *Store) Expire(ctx context.Context, now time.Time) (int, error) {
	var ended int64
	err := s.db.Update(ctx, func(tx *store.DB) (err error) {
		at := now.UnixMilli()
		ended, err = tx.Exec(ctx, "UPDATE verdicts SET state = 'expired' WHERE state IN ('proposed', 'pending', 'enforced', 'shadow') AND expires <= ?", at)
		if err != nil {
			return err
		}
		if ended > 0 {
			if _, err := bump(ctx, tx, "verdicts", 1); err != nil {
				return err
			}
		}
		over, err := decisions().All(ctx, tx, "WHERE state IN ('pending', 'enforced', 'shadow') AND expires <= ? ORDER BY expires, id", at)
		if err != nil {
			return err
		}
		var events []*Event
		for i := range over {
			events = append(events, &Event{At: now, Actor: "system", Kind: "decision.expired", Subject: "decision:" + over[i].ID, Refs: []string{"campaign:" + over[i].Campaign}, LedgerIndex: -1})
		}
		if _, err := tx.Exec(ctx, "UPDATE decisions SET state = 'expired', revision = revision + 1 WHERE state IN ('pending', 'enforced', 'shadow') AND expires <= ?", at); err != nil {
			return err
		}
		open, err := approvals().All(ctx, tx, "WHERE state = 'open' AND expires <= ? ORDER BY expires, id", at)
		if err != nil {
			return err
		}
		for i := range open {
			events = append(events, &Event{At: now, Actor: "system", Kind: "approval.expired", Subject: "approval:" + open[i].ID, Refs: []string{open[i].Subject}, LedgerIndex: -1})
		}
		if _, err := tx.Exec(ctx, "UPDATE approvals SET state = 'expired', revision = revision + 1 WHERE state = 'open' AND expires <= ?", at); err != nil {
			return err
		}
		for _, table := range []string{"sessions", "tickets", "requests"} {
			if _, err := tx.Exec(ctx, "DELETE FROM "+table+" WHERE expires <= ?", at); err != nil {
				return err
			}
		}
		return s.bound(tx).Append(ctx, events...)
	})
	return int(ended), err
}

// exec runs one statement in a transaction of its own.
func (s *Store) exec(ctx context.Context, query string, args ...any) (int, error) {
	var n int64
	err := s.db.Update(ctx, func(tx *store.DB) (err error) {
		n, err = tx.Exec(ctx, query, args...)
		return err
	})
	return int(n), err
}

// bump raises a named number by n and gives it as it is then.
func bump(ctx context.Context, tx *store.DB, name string, n int64) (int64, error) {
	if _, err := tx.Exec(ctx, "INSERT INTO numbers (name, value) VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET value = numbers.value + excluded.value", name, n); err != nil {
		return 0, err
	}
	return number(ctx, tx, name)
}

// number gives a named number, 0 when there is none.
func number(ctx context.Context, d *store.DB, name string) (int64, error) {
	var n int64
	err := d.Row(ctx, "SELECT value FROM numbers WHERE name = ?", []any{name}, &n)
	if errors.Is(err, store.ErrNotFound) {
		return 0, nil
	}
	return n, err
}

func setNumber(ctx context.Context, tx *store.DB, name string, value int64) error {
	_, err := tx.Exec(ctx, "INSERT INTO numbers (name, value) VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET value = excluded.value", name, value)
	return err
}

// newest orders by a time, latest first.
func newest(column string) store.Order {
	return store.Order{Name: "newest " + column, Key: column, ID: "id", Kind: "is", Desc: true}
}

// oneOf refuses a value that is none of the list.
func oneOf(field, value string, list []string) error {
	if slices.Contains(list, value) {
		return nil
	}
	return fmt.Errorf("%w: %s %q is none of %s", ErrInvalid, field, store.Cut(value, 40), strings.Join(list, ", "))
}

// lastOf leaves the last of those with the same key, in the order in which they stand.
func lastOf[T any](list []T, key func(*T) string) []T {
	at := make(map[string]int, len(list))
	for i := range list {
		at[key(&list[i])] = i
	}
	if len(at) == len(list) {
		return list
	}
	out := make([]T, 0, len(at))
	for i := range list {
		if at[key(&list[i])] == i {
			out = append(out, list[i])
		}
	}
	return out
}

// urgency orders lists of work: what is open by its due time, what has none after that, and what is done last, newest first.
func urgency(open bool, due *time.Time, since time.Time) int64 {
	const never = int64(1) << 50 // ms: beyond any date
	switch {
	case open && due != nil:
		return due.UnixMilli()
	case open:
		return never
	}
	return 3*never - since.UnixMilli()
}

func btoi(b bool) int {
	if b {
		return 1
	}
	return 0
}

func works() []string {
	return []string{WorkNew, WorkInProgress, WorkOnHold, WorkResolved, WorkClosed}
}

func resolutions() []string {
	return []string{"", ResolvedTruePositive, ResolvedBenign, ResolvedFalsePositive, ResolvedDuplicate, ResolvedAccepted}
}
