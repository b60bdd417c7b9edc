// Package figures counts what the catalog holds.
package figures

import (
	"context"
	"database/sql"
	"errors"
	"time"

	"github.com/palladium-guard/palladium"
	"github.com/palladium-guard/palladium/store"
	"github.com/palladium-guard/palladium/store/catalog/record"
)

// At counts at now, within one View.
func At(ctx context.Context, tx *store.DB, now time.Time) (record.Figures, error) {
	f := record.Figures{Verdicts: make(map[string]int64)}
	err := errors.Join(verdicts(ctx, tx, &f, now), appeals(ctx, tx, &f, now), campaigns(ctx, tx, &f))
	return f, err
}

func verdicts(ctx context.Context, tx *store.DB, f *record.Figures, now time.Time) error {
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
		f.InForce = record.Tally(f.InForce, palladium.Measure(measure), state, n)
		return err
	})
}

func appeals(ctx context.Context, tx *store.DB, f *record.Figures, now time.Time) error {
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

func campaigns(ctx context.Context, tx *store.DB, f *record.Figures) error {
	if err := tx.Each(ctx, `SELECT peak, resolution, count(*) FROM campaigns WHERE resolution <> '' GROUP BY peak, resolution ORDER BY peak, resolution`, nil, func(rows *sql.Rows) error {
		var o record.Outcome
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
