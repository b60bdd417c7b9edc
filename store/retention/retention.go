// Package retention deletes from the catalog what ended long ago: decisions, each whole, with its verdicts, the notices and the
// approval that belong to it, the appeals that were decided, and what the detector had said of the campaign where nothing else needs it.
// Events are the history of everything and stay.
package retention

import (
	"context"
	"database/sql"
	"errors"
	"time"

	"github.com/palladium-guard/palladium/internal/span"
	"github.com/palladium-guard/palladium/store"
)

// Keep says for how long what has ended is kept. The zero Keep says nothing.
type Keep span.Span

// The Keep of who says nothing, the shortest there can be, and the one without an end.
const (
	Default  = 400 * Keep(span.Day)
	Shortest = Keep(span.Day)
	Forever  = Keep(span.Forever)
)

// UnmarshalText reads days such as 400d, what time.ParseDuration reads, and 0 or forever for Forever.
func (k *Keep) UnmarshalText(text []byte) error {
	if string(text) == "0" {
		*k = Forever
		return nil
	}
	if (*span.Span)(k).UnmarshalText(text) != nil {
		return errors.New("want a span such as 400d or 9600h, or forever")
	}
	return nil
}

// MarshalText writes what UnmarshalText reads.
func (k Keep) MarshalText() ([]byte, error) { return span.Span(k).MarshalText() }

// Gone is a decision that was deleted.
type Gone struct {
	ID, Campaign string
	Verdicts     int64
}

const (
	rows   = 1000 // of one transaction; a decision of more has one of its own
	looked = 256  // decisions that are looked at together, outside of a transaction
)

// Due selects decisions that ended before a time, oldest first, from a place in their order on. Its terms are those of the index
// decisions_by_end.
const Due = `SELECT id, expires, accounts FROM decisions WHERE state IN ('revoked', 'expired', 'refused') AND expires < ? AND (expires, id) > (?, ?)
	ORDER BY expires, id LIMIT ?`

// Over selects one decision if nothing holds it back at a time: it and all of its verdicts ended before, nobody waits for an approval or
// an appeal of it or had one decided since, nobody works on its campaign, and no case of its campaign or of one of its accounts is open.
const Over = `SELECT d.campaign, d.approval, d.detail FROM decisions d WHERE d.id = ? AND d.state IN ('revoked', 'expired', 'refused') AND d.expires < ?
	AND (d.undone_at IS NULL OR d.undone_at < ?)
	AND NOT EXISTS (SELECT 1 FROM verdicts v WHERE v.decision = d.id AND (v.state NOT IN ('revoked', 'expired', 'refused') OR v.expires >= ? OR v.revoked_at >= ?))
	AND NOT EXISTS (SELECT 1 FROM approvals a WHERE a.id = d.approval AND (a.state = 'open' OR a.expires >= ? OR a.decided_at >= ?))
	AND NOT EXISTS (SELECT 1 FROM appeals a WHERE a.decision = d.id AND a.decision <> '' AND (a.state IN ('open', 'in_review') OR a.at >= ? OR a.decided_at >= ?))
	AND NOT EXISTS (SELECT 1 FROM campaigns c WHERE c.id = d.campaign AND c.state IN ('in_progress', 'on_hold'))
	AND NOT EXISTS (SELECT 1 FROM cases c WHERE c.campaign = d.campaign AND c.campaign <> '' AND c.state NOT IN ('resolved', 'closed'))
	AND NOT EXISTS (SELECT 1 FROM verdicts v JOIN cases c ON c.account = v.account WHERE v.decision = d.id AND c.state NOT IN ('resolved', 'closed'))`

// due is a decision that may have to go.
type due struct {
	id       string
	expires  int64
	accounts int64
}

// Pass deletes all that ended before a time and that nothing holds back, in transactions of about a thousand rows; a decision goes whole
// in one of them, as it came. It calls told in each with what goes. Between two it leaves others as long as it took itself. What it
// was kept from by an error the next Pass deletes. It returns how many decisions and verdicts are gone.
func Pass(ctx context.Context, db *store.DB, before time.Time, told func(ctx context.Context, tx *store.DB, gone []Gone) error) (decisions, verdicts int64, err error) {
	from := due{expires: -1 << 62}
	for {
		list, err := after(ctx, db, before, from)
		if err != nil || len(list) == 0 {
			return decisions, verdicts, err
		}
		from = list[len(list)-1]
		for len(list) > 0 {
			var some []due
			if some, list, err = batch(ctx, db, before, list); err != nil {
				return decisions, verdicts, err
			}
			if len(some) == 0 {
				continue
			}
			begun := time.Now()
			gone, err := remove(ctx, db, before, some, told)
			if err != nil {
				return decisions, verdicts, err
			}
			for i := range gone {
				decisions++
				verdicts += gone[i].Verdicts
			}
			select {
			case <-ctx.Done():
				return decisions, verdicts, ctx.Err()
			case <-time.After(time.Since(begun)):
			}
		}
	}
}

func after(ctx context.Context, db *store.DB, before time.Time, from due) ([]due, error) {
	var out []due
	err := db.Each(ctx, Due, []any{before.UnixMilli(), from.expires, from.id, looked}, func(rows *sql.Rows) error {
		var d due
		err := rows.Scan(&d.id, &d.expires, &d.accounts)
		out = append(out, d)
		return err
	})
	return out, err
}

// batch takes from the front of a list what one transaction deletes, and leaves out what something holds back.
func batch(ctx context.Context, db *store.DB, before time.Time, list []due) (some, rest []due, err error) {
	for n := int64(0); len(list) > 0; list = list[1:] {
		d := list[0]
		if n += 4 + 2*d.accounts; n > rows && len(some) > 0 {
			break
		}
		switch _, _, _, err := over(ctx, db, before, d.id); {
		case err == nil:
			some = append(some, d)
		case !errors.Is(err, store.ErrNotFound):
			return nil, nil, err
		}
	}
	return some, list, nil
}

// over gives what belongs to a decision that nothing holds back; ErrNotFound when something does.
func over(ctx context.Context, db *store.DB, before time.Time, id string) (campaign, approval, detail string, err error) {
	args := []any{id}
	for range 8 {
		args = append(args, before.UnixMilli())
	}
	err = db.Row(ctx, Over, args, &campaign, &approval, &detail)
	return campaign, approval, detail, err
}

// remove deletes decisions in one transaction, but those that something holds back by then.
func remove(ctx context.Context, db *store.DB, before time.Time, some []due, told func(context.Context, *store.DB, []Gone) error) (gone []Gone, err error) {
	err = db.Update(ctx, func(tx *store.DB) error {
		gone = gone[:0]
		for _, d := range some {
			campaign, approval, detail, err := over(ctx, tx, before, d.id)
			if errors.Is(err, store.ErrNotFound) {
				continue
			}
			if err != nil {
				return err
			}
			g := Gone{ID: d.id, Campaign: campaign}
			if g.Verdicts, err = tx.Exec(ctx, "DELETE FROM verdicts WHERE decision = ?", d.id); err != nil {
				return err
			}
			for _, x := range []struct{ statement, id string }{
				{"DELETE FROM notices WHERE decision = ?", d.id}, {"DELETE FROM appeals WHERE decision = ? AND decision <> ''", d.id},
				{"DELETE FROM approvals WHERE id = ?", approval}, {"DELETE FROM decisions WHERE id = ?", d.id},
				{`DELETE FROM details WHERE digest = ? AND NOT EXISTS (SELECT 1 FROM decisions d WHERE d.detail = details.digest AND d.detail <> '')
					AND NOT EXISTS (SELECT 1 FROM campaigns c WHERE c.id = details.campaign AND c.detail = details.digest)`, detail},
			} {
				if _, err := tx.Exec(ctx, x.statement, x.id); err != nil {
					return err
				}
			}
			gone = append(gone, g)
		}
		if len(gone) == 0 {
			return nil
		}
		return told(ctx, tx, gone)
	})
	return gone, err
}
