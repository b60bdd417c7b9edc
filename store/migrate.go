package store

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io/fs"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Status is how far a database is.
type Status struct {
	Form    string
	Version int // of the schema; 0 for an empty database
	Known   int // the newest that this program has
	Pending []string
}

// step is one migration.
type step struct {
	version  int
	name     string
	script   string
	checksum string // SHA-256 of script with unix line ends
}

const history = `CREATE TABLE IF NOT EXISTS schema_history (version BIGINT PRIMARY KEY, name TEXT NOT NULL, checksum TEXT NOT NULL, applied BIGINT NOT NULL)`

// steps lists the migrations of a form in order.
func (s Schema) steps(form string) ([]step, error) {
	files, err := fs.Glob(s.Files, "*/"+form+"/*.sql")
	if err != nil {
		return nil, fmt.Errorf("list migrations: %w", err)
	}
	slices.Sort(files)
	var out []step
	for _, f := range files {
		number, rest, _ := strings.Cut(path.Base(f), "_")
		n, err := strconv.Atoi(number)
		if err != nil || n != len(out)+1 {
			return nil, fmt.Errorf("migration %s: number it %04d", f, len(out)+1)
		}
		b, err := fs.ReadFile(s.Files, f)
		if err != nil {
			return nil, fmt.Errorf("read a migration: %w", err)
		}
		script := strings.ReplaceAll(string(b), "\r\n", "\n")
		sum := sha256.Sum256([]byte(script))
		out = append(out, step{n, strings.TrimSuffix(rest, ".sql"), script, hex.EncodeToString(sum[:])})
	}
	return out, nil
}

// Known gives the newest version of the schema.
func (s Schema) Known() (int, error) {
	steps, err := s.steps("sqlite")
	return len(steps), err
}

// Tables lists the tables that the migrations up to version make, in their order: what is referred to stands first.
func (s Schema) Tables(form string, version int) ([]string, error) {
	steps, err := s.steps(form)
	if err != nil {
		return nil, err
	}
	if version < 0 || version > len(steps) {
		return nil, fmt.Errorf("%w (schema %d, this program has %d)", ErrNewer, version, len(steps))
	}
	made := regexp.MustCompile(`(?m)^CREATE TABLE (\w+)`)
	var out []string
	for _, st := range steps[:version] {
		for _, m := range made.FindAllStringSubmatch(st.script, -1) {
			out = append(out, m[1])
		}
	}
	return out, nil
}

// Status compares the database with the migrations of this program. A migration that was changed after it was applied is
// ErrDamaged, a schema newer than the program ErrNewer.
func (d *DB) Status(ctx context.Context) (st Status, err error) {
	err = d.View(ctx, func(tx *DB) error {
		st, err = tx.status(ctx)
		return err
	})
	return st, err
}

func (d *DB) status(ctx context.Context) (Status, error) {
	steps, err := d.schema.steps(d.form.name())
	if err != nil {
		return Status{}, err
	}
	st := Status{Form: d.form.name(), Known: len(steps)}
	there, err := d.form.has(ctx, d.tx, "schema_history")
	if err != nil {
		return st, fmt.Errorf("read the schema's version: %w", d.fault(err))
	}
	if there {
		applied, err := d.applied(ctx)
		if err != nil {
			return st, err
		}
		st.Version = len(applied)
		for i, a := range applied {
			switch {
			case i >= len(steps):
				return st, fmt.Errorf("%w (schema %d, this program has %d)", ErrNewer, st.Version, st.Known)
			case a.version != i+1, a.checksum != steps[i].checksum:
				return st, fmt.Errorf("%w: migration %d in it is not the one of this program", ErrDamaged, i+1)
			}
		}
	}
	for _, s := range steps[st.Version:] {
		st.Pending = append(st.Pending, fmt.Sprintf("%04d %s", s.version, s.name))
	}
	return st, nil
}

func (d *DB) applied(ctx context.Context) ([]step, error) {
	t := Table[step]{"schema_history", func(c *Columns, s *step) {
		c.Value("version", &s.version)
		c.Value("name", &s.name)
		c.Value("checksum", &s.checksum)
	}}
	return t.All(ctx, d, "ORDER BY version")
}

// Migrate brings the schema to the newest version, in one transaction for all that is missing, and says from where.
func (d *DB) Migrate(ctx context.Context) (from Status, err error) {
	err = d.Update(ctx, func(tx *DB) error {
		if from, err = tx.status(ctx); err != nil {
			return err
		}
		return tx.migrate(ctx, from.Version, from.Known)
	})
	return from, err
}

// MigrateTo is Migrate up to a version, within an Update.
func (d *DB) MigrateTo(ctx context.Context, version int) error {
	st, err := d.status(ctx)
	if err != nil {
		return err
	}
	if version < st.Version || version > st.Known {
		return fmt.Errorf("%w: the schema cannot go from %d to %d", ErrInvalid, st.Version, version)
	}
	if err := d.form.settle(ctx, d.tx); err != nil {
		return fmt.Errorf("check what the rows refer to: %w", d.fault(err))
	}
	return d.migrate(ctx, st.Version, version)
}

// Drop takes out all tables of the schema with what is in them, within an Update.
func (d *DB) Drop(ctx context.Context) error {
	st, err := d.status(ctx)
	if err != nil || st.Version == 0 {
		return err
	}
	tables, err := d.schema.Tables(d.form.name(), st.Version)
	if err != nil {
		return err
	}
	slices.Reverse(tables)
	for _, stmt := range d.form.drops(append(tables, "schema_history")) {
		if _, err := d.Exec(ctx, stmt); err != nil {
			return err
		}
	}
	return nil
}

// Empty deletes all rows of the tables of the schema, within an Update.
func (d *DB) Empty(ctx context.Context) error {
	st, err := d.status(ctx)
	if err != nil {
		return err
	}
	tables, err := d.schema.Tables(d.form.name(), st.Version)
	if err != nil {
		return err
	}
	slices.Reverse(tables)
	for _, stmt := range d.form.empties(tables) {
		if _, err := d.Exec(ctx, stmt); err != nil {
			return err
		}
	}
	return nil
}

// migrate applies the migrations after version from up to version to.
func (d *DB) migrate(ctx context.Context, from, to int) error {
	steps, err := d.schema.steps(d.form.name())
	if err != nil {
		return err
	}
	if _, err := d.Exec(ctx, history); err != nil {
		return err
	}
	for _, s := range steps[from:to] {
		if err := d.form.script(ctx, d.tx, s.script); err != nil {
			return fmt.Errorf("migrate the schema to version %d (%s): %w", s.version, s.name, d.fault(err))
		}
		if _, err := d.Exec(ctx, "INSERT INTO schema_history (version, name, checksum, applied) VALUES (?, ?, ?, ?)",
			s.version, s.name, s.checksum, time.Now().UnixMilli()); err != nil {
			return err
		}
	}
	return nil
}
