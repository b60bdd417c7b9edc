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
	"errors"
	"log/slog"
	"time"
)

// The errors that callers tell apart with errors.Is.
var (
	ErrNotFound = errors.New("not in the catalog")                                 // Get of what is not there
	ErrConflict = errors.New("changed by somebody else meanwhile: fetch it again") // the Revision is not the stored one, or the id is taken
	ErrInvalid  = errors.New("refused by the catalog")                             // a value that breaks the noun's contract, or a bad cursor
	errNotBuilt = errors.New("not built")
)

// Config is the section `catalog` of the configuration.
type Config struct {
	URL          string `yaml:"url"`           // sqlite:PATH or a path for a file, postgres://… for PostgreSQL; empty: catalog.db in the state folder
	PasswordFile string `yaml:"password_file"` // PostgreSQL: a file that holds the password, so that it need not stand in the URL
	Connections  int    `yaml:"connections"`   // to PostgreSQL, and readers of SQLite; 0: 8
}

// Store is the catalog. Its methods may be called from several goroutines. All that is said of a method holds too when
// the Store is bound to a transaction by Update.
type Store struct{}

// Open opens the catalog, making the file or the tables where they are missing. An older schema is an error that tells
// to migrate, unless migrate is set; a newer one is always an error.
func Open(ctx context.Context, c Config, log *slog.Logger, migrate bool) (*Store, error) {
	return nil, errNotBuilt
}

// Close ends all connections. Channels of Changed are closed.
func (s *Store) Close() error { return errNotBuilt }

// Health reports whether the catalog can be read and written, and says what is wrong.
func (s *Store) Health(ctx context.Context) (ok bool, says string) { return false, "not built" }

// Update calls do with a Store that is bound to one transaction: all that do changes through it becomes visible at once, or
// not at all when do or the commit fails. Writers take turns, so that what do has read stays true until it ends: keep it
// short, and do no other I/O in it. do may be called again after a lost connection or a deadlock.
func (s *Store) Update(ctx context.Context, do func(tx *Store) error) error { return errNotBuilt }

// Changed gives a channel that receives after other processes or this one have committed a change; several changes may
// count as one. It is closed when ctx ends. What has changed is read with EventsAfter and the versions.
func (s *Store) Changed(ctx context.Context) <-chan struct{} { return nil }

// Page asks for part of a list. The zero Page asks for the first 50.
type Page struct {
	Cursor string // as the page before gave it; empty: from the beginning
	Limit  int    // at most; 0: 50, never more than 1000
}

// Expire ends what has run out by now: verdicts, then decisions and approvals, with an event for each decision and approval;
// and forgets sessions, tickets and idempotency keys. It returns how many verdicts ended.
func (s *Store) Expire(ctx context.Context, now time.Time) (int, error) { return 0, errNotBuilt }
