package catalog

import (
	"context"
	"database/sql"
	"errors"
	"time"

	"github.com/palladium-guard/palladium"
	"github.com/palladium-guard/palladium/store"
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
func (s *Store) Figures(ctx context.Context, now time.Time) (Figures, error) {
	f := Figures{Verdicts: make(map[string]int64)}
	err := s.db.View(ctx, func(tx *store.DB) error {
		return errors.Join(countVerdicts(ctx, tx, &f, now), countAppeals(ctx, tx, &f, now), countCampaigns(ctx, tx, &f))
	})
	return f, err
}

func countVerdicts(ctx context.Context, tx *store.DB, f *Figures, now time.Time) error {
	if err := tx.Each(ctx, "SELECT state, count(*) FROM verdicts GROUP BY state", nil, func(rows *sql.Rows) error {
		var state string
		var n int64
		err := rows.Scan(&state, &n)
		f.Verdicts[state] = n
		return err
	}); err != nil {
		return err
	}
	return tx.Each(ctx, `SELECT measure, state, count(*) FROM verdicts WHERE state IN ('enforced', 'shadow') AND issued <= ? AND expires > ?
		GROUP BY measure, state`, []any{now.UnixMilli(), now.UnixMilli()}, func(rows *sql.Rows) error {
		var measure, state string
		var n int64
		err := rows.Scan(&measure, &state, &n)
		f.InForce = tally(f.InForce, palladium.Measure(measure), state, n)
		return err
	})
}

func countAppeals(ctx context.Context, tx *store.DB, f *Figures, now time.Time) error {
	if err := tx.Row(ctx, `SELECT count(*), coalesce(sum(CASE WHEN due < ? THEN 1 ELSE 0 END), 0) FROM appeals WHERE state IN ('open', 'in_review')`,
		[]any{now.UnixMilli()}, &f.AppealsOpen, &f.AppealsOverdue); err != nil {
		return err
	}
	if err := tx.Row(ctx, `SELECT count(*), coalesce(sum(CASE WHEN state = 'overturned' THEN 1 ELSE 0 END), 0) FROM appeals
		WHERE state IN ('upheld', 'overturned') AND decided_at IS NOT NULL`, nil, &f.AppealsDecided, &f.AppealsOverturned); err != nil {
		return err
	}
	if f.AppealsDecided > 0 {
		var ms int64
		if err := tx.Row(ctx, `SELECT decided_at - at AS took FROM appeals WHERE state IN ('upheld', 'overturned') AND decided_at IS NOT NULL
			ORDER BY took LIMIT 1 OFFSET ?`, []any{f.AppealsDecided / 2}, &ms); err != nil {
			return err
		}
		f.AppealMedian = time.Duration(ms) * time.Millisecond
	}
	return tx.Row(ctx, "SELECT count(*) FROM decisions WHERE state = 'expired' AND automated = TRUE AND seen = FALSE", nil, &f.ExpiredUnreviewed)
}

func countCampaigns(ctx context.Context, tx *store.DB, f *Figures) error {
	if err := tx.Each(ctx, `SELECT peak, resolution, count(*) FROM campaigns WHERE resolution <> '' GROUP BY peak, resolution ORDER BY peak, resolution`, nil, func(rows *sql.Rows) error {
		var o Outcome
		err := rows.Scan(&o.Peak, &o.Resolution, &o.Campaigns)
		f.Outcomes = append(f.Outcomes, o)
		return err
	}); err != nil {
		return err
	}
	if err := tx.Row(ctx, `SELECT count(*), coalesce(sum(CASE WHEN stage = 'linked' THEN 1 ELSE 0 END), 0) FROM campaigns WHERE gone IS NULL`, nil,
		&f.CampaignsListed, &f.LinkedListed); err != nil {
		return err
	}
	f.CampaignsListed -= f.LinkedListed
	var from, to int64
	for name, p := range map[string]*int64{"report:from": &from, "report:to": &to, "report:exchanges": &f.ReportExchanges,
		"report:accounts": &f.ReportAccounts, "report:rejected": &f.ReportRejected} {
		var err error
		if *p, err = tx.Number(ctx, name); err != nil {
			return err
		}
	}
	if to != 0 {
		a, b := time.UnixMilli(from).UTC(), time.UnixMilli(to).UTC()
		f.ReportFrom, f.ReportTo = &a, &b
	}
	return nil
}
