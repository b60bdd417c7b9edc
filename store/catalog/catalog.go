// Package catalog holds the small state that changes: campaigns and what people did with them, accounts, decisions and
// the verdicts that follow from them, cases, appeals, policies, users, and the history of it all. It is the truth about
// these; streams and gateways hold copies. It stands on SQLite, or on PostgreSQL where several processes share it.
//
// Reads see what was committed before they began. A write is durable when its method returns nil, and not done at all
// when it returns an error, except that an error in the connection to PostgreSQL during the commit leaves the outcome open.
// Times are kept in milliseconds, UTC. Text that is not UTF-8, and NUL, are kept as U+FFFD.
package catalog

import (
	"cmp"
	"context"
	"embed"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"github.com/klauspost/compress/zstd"

	"github.com/palladium-guard/palladium/store"
	"github.com/palladium-guard/palladium/store/retention"
	"github.com/palladium-guard/palladium/store/texts"
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
	// Keep is how long decisions that ended are kept, with their verdicts; 400d unless it is said, forever for no end.
	Keep retention.Keep `yaml:"keep"`
}

// Fill puts the defaults where nothing was said.
func (c *Config) Fill() {
	c.Connections, c.Keep = cmp.Or(c.Connections, 8), cmp.Or(c.Keep, retention.Default)
}

// Check says what is wrong, without a look at the database; nil when nothing is.
func (c *Config) Check() error {
	scheme, _, ok := strings.Cut(c.URL, "://")
	switch {
	case ok && scheme != "postgres" && scheme != "postgresql" && scheme != "sqlite":
		return errors.New("catalog: url must be sqlite:FILE, or postgres://USER@HOST/DATABASE")
	case c.Connections < 0:
		return errors.New("catalog: connections must not be negative")
	case c.Keep != 0 && c.Keep != retention.Forever && c.Keep < retention.Shortest:
		return errors.New("catalog: keep must be a day at least, such as 400d, or forever")
	}
	return nil
}

// Store is the catalog. Its methods may be called from several goroutines. All that is said of a method holds too when
// the Store is bound to a transaction by Update.
type Store struct {
	db    *store.DB
	zip   *zstd.Encoder
	unzip *zstd.Decoder
	index *texts.Index // nil within a transaction
}

//go:embed schema
var schemas embed.FS

// Open opens the catalog, making the file or the tables where they are missing. An older schema is an error that tells
// to migrate, unless migrate is set; a newer one is always an error.
func Open(ctx context.Context, c Config, log *slog.Logger, migrate bool) (*Store, error) {
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	db, err := store.Open(ctx, c.store(), Schema(), log, migrate)
	if err != nil {
		return nil, fmt.Errorf("open the catalog: %w", err)
	}
	s := &Store{db: db, index: &texts.Index{}}
	if s.zip, err = zstd.NewWriter(nil, zstd.WithEncoderConcurrency(1), zstd.WithEncoderLevel(zstd.SpeedFastest)); err == nil {
		s.unzip, err = zstd.NewReader(nil, zstd.WithDecoderConcurrency(0), zstd.WithDecoderMaxMemory(maxDetail))
	}
	if err != nil {
		return nil, errors.Join(err, db.Close())
	}
	if migrate {
		if err := texts.Fill(ctx, db); err != nil {
			return nil, fmt.Errorf("prepare the search: %w", errors.Join(err, s.Close()))
		}
	}
	return s, nil
}

func (c Config) store() store.Config {
	return store.Config{URL: c.URL, PasswordFile: c.PasswordFile, Connections: c.Connections}
}

// Schema gives the catalog's tables.
func Schema() store.Schema { return store.Schema{Name: "catalog", Files: schemas} }

// maxDetail bounds what is unpacked of one campaign, in bytes.
const maxDetail = 512 << 20

// Close ends all connections. Channels of Changed are closed.
func (s *Store) Close() error {
	err := errors.Join(s.db.Close(), s.zip.Close())
	s.unzip.Close()
	return err
}

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

func (s *Store) bound(tx *store.DB) *Store { return &Store{db: tx, zip: s.zip, unzip: s.unzip} }

// Changed gives a channel that receives after other processes or this one have committed a change; several changes may
// count as one. It is closed when ctx ends. What has changed is read with EventsAfter and the versions.
func (s *Store) Changed(ctx context.Context) <-chan struct{} { return s.db.Changed(ctx) }

// Page asks for part of a list. The zero Page asks for the first 50; never more than 1000 are given.
type Page = store.Page

// Expire ends what has run out by now: verdicts; decisions; approvals, and with them the decisions that waited for them; with
// an event for each decision and approval. It forgets sessions, tickets and idempotency keys. It returns how many verdicts ended.
func (s *Store) Expire(ctx context.Context, now time.Time) (int, error) {
	at := now.UnixMilli()
	var due bool
	if err := s.db.Row(ctx, `SELECT EXISTS (SELECT 1 FROM verdicts WHERE state IN ('proposed', 'pending', 'enforced', 'shadow') AND expires <= ?)
		OR EXISTS (SELECT 1 FROM decisions WHERE state IN ('pending', 'enforced', 'shadow') AND expires <= ?)
		OR EXISTS (SELECT 1 FROM approvals WHERE state = 'open' AND expires <= ?)
		OR EXISTS (SELECT 1 FROM sessions WHERE expires <= ?) OR EXISTS (SELECT 1 FROM tickets WHERE expires <= ?)
		OR EXISTS (SELECT 1 FROM requests WHERE expires <= ?)`, []any{at, at, at, at, at, at}, &due); err != nil || !due {
		return 0, err
	}
	var ended int64
	err := s.db.Update(ctx, func(tx *store.DB) (err error) {
		ended = 0
		var events []*Event
		tell := func(kind, subject, ref string) {
			refs := []string{}
			if !strings.HasSuffix(ref, ":") {
				refs = append(refs, ref)
			}
			events = append(events, &Event{At: now, Actor: "system", Kind: kind, Subject: subject, Refs: refs, LedgerIndex: -1})
		}
		open, err := approvals().All(ctx, tx, "WHERE state = 'open' AND expires <= ? ORDER BY expires, id", at)
		if err != nil {
			return err
		}
		for i := range open {
			tell("approval.expired", "approval:"+open[i].ID, open[i].Subject)
		}
		over, err := decisions().All(ctx, tx, `WHERE state IN ('pending', 'enforced', 'shadow') AND expires <= ? OR state = 'pending' AND approval IN
			(SELECT id FROM approvals WHERE state = 'open' AND expires <= ?) ORDER BY expires, id`, at, at)
		if err != nil {
			return err
		}
		for i := range over {
			d := &over[i]
			tell("decision.expired", "decision:"+d.ID, "campaign:"+d.Campaign)
			if _, err := tx.Exec(ctx, "UPDATE decisions SET state = 'expired', revision = revision + 1 WHERE id = ?", d.ID); err != nil {
				return err
			}
			n, err := tx.Exec(ctx, "UPDATE verdicts SET state = 'expired' WHERE decision = ? AND state IN ('proposed', 'pending')", d.ID)
			if err != nil {
				return err
			}
			ended += n
		}
		for _, stmt := range []string{
			"UPDATE approvals SET state = 'expired', revision = revision + 1 WHERE state = 'open' AND expires <= ?",
			"DELETE FROM sessions WHERE expires <= ?", "DELETE FROM tickets WHERE expires <= ?", "DELETE FROM requests WHERE expires <= ?",
		} {
			if _, err := tx.Exec(ctx, stmt, at); err != nil {
				return err
			}
		}
		n, err := tx.Exec(ctx, "UPDATE verdicts SET state = 'expired' WHERE state IN ('proposed', 'pending', 'enforced', 'shadow') AND expires <= ?", at)
		if ended += n; err == nil && ended > 0 {
			_, err = tx.Bump(ctx, "verdicts", 1)
		}
		if err != nil {
			return err
		}
		return s.bound(tx).Append(ctx, events...)
	})
	return int(ended), err
}

// Forget deletes decisions that ended before a time, each whole with its verdicts, notices, approval and decided appeals, but those
// that something open or later still needs; with an event for each. Writers have their turns between its transactions. It returns
// how many decisions and verdicts went. The version of verdicts stays, since none that was in force is among them.
func (s *Store) Forget(ctx context.Context, before time.Time) (decisions, verdicts int64, err error) {
	return retention.Pass(ctx, s.db, before, func(ctx context.Context, tx *store.DB, gone []retention.Gone) error {
		events := make([]*Event, len(gone))
		for i, g := range gone {
			events[i] = &Event{At: time.Now().UTC(), Actor: "system", Kind: "decision.forgotten", Subject: "decision:" + g.ID, LedgerIndex: -1}
			if g.Campaign != "" {
				events[i].Refs = []string{"campaign:" + g.Campaign}
			}
			events[i].Data = fmt.Appendf(nil, `{"verdicts":%d}`, g.Verdicts)
		}
		return s.bound(tx).Append(ctx, events...)
	})
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

// newest orders by a time, latest first.
func newest(column string) store.Order {
	return store.Order{Name: "newest " + column, Key: column, ID: "id", Kind: "is", Desc: true}
}

// invalid marks what a noun refuses.
func invalid(err error) error { return fmt.Errorf("%w: %w", ErrInvalid, err) }

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

func btoi(b bool) int {
	if b {
		return 1
	}
	return 0
}
