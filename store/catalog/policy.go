package catalog

import (
	"context"
	"time"

	"github.com/palladium-guard/palladium/store"
	"github.com/palladium-guard/palladium/store/figures"
)

// AddPolicy stores a version that is not in use; ErrConflict when its id is taken.
func (s *Store) AddPolicy(ctx context.Context, p Policy) error {
	if err := p.Check(); err != nil {
		return invalid(err)
	}
	p.Active, p.ActivatedBy, p.ActivatedAt = false, "", nil
	return s.db.Update(ctx, func(tx *store.DB) error { return policies().Insert(ctx, tx, p) })
}

// GetPolicy gives one version with its text.
func (s *Store) GetPolicy(ctx context.Context, id string) (Policy, error) {
	return policies().Get(ctx, s.db, "WHERE id = ?", id)
}

// ActivePolicy gives the version of a kind that is in use, with its text; ErrNotFound when there is none.
func (s *Store) ActivePolicy(ctx context.Context, kind string) (Policy, error) {
	return policies().Get(ctx, s.db, "WHERE kind = ? AND active = TRUE", kind)
}

// ActivatePolicy puts a version in use in place of the one before of its kind, and gives it as it is now.
func (s *Store) ActivatePolicy(ctx context.Context, id, by string, at time.Time) (Policy, error) {
	var out Policy
	err := s.db.Update(ctx, func(tx *store.DB) (err error) {
		if out, err = policies().Get(ctx, tx, "WHERE id = ?", id); err != nil {
			return err
		}
		if _, err = tx.Exec(ctx, "UPDATE policies SET active = FALSE WHERE kind = ? AND active = TRUE", out.Kind); err != nil {
			return err
		}
		out.Active, out.ActivatedBy, out.ActivatedAt = true, by, &at
		if _, err = policies().Set(ctx, tx, out, "id = ?", id); err == nil {
			out, err = policies().Get(ctx, tx, "WHERE id = ?", id)
		}
		return err
	})
	return out, err
}

// ListPolicies gives versions without their text, newest first; of one kind when it is not empty.
func (s *Store) ListPolicies(ctx context.Context, kind string, p Page) ([]Policy, string, error) {
	var w store.Where
	w.Equal("kind", kind)
	return briefPolicies().Page(ctx, s.db, w, newest("at"), p)
}

// Figures counts at now.
func (s *Store) Figures(ctx context.Context, now time.Time) (f Figures, err error) {
	err = s.db.View(ctx, func(tx *store.DB) error {
		f, err = figures.At(ctx, tx, now)
		return err
	})
	return f, err
}
