package catalog

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"github.com/palladium-guard/palladium/store"
	"github.com/palladium-guard/palladium/store/texts"
)

// Connect opens the catalog's database as it is, whatever its schema. With existing, a file of SQLite that is not there is
// ErrNotFound, else it is made.
func Connect(ctx context.Context, c Config, log *slog.Logger, existing bool) (*store.DB, error) {
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	sc := c.store()
	sc.Existing = existing
	db, err := store.Connect(ctx, sc, Schema(), log)
	if err != nil {
		return nil, fmt.Errorf("open the catalog: %w", err)
	}
	return db, nil
}

// Restored makes a restored catalog one that others follow. The versions of verdicts and credentials go beyond all that were
// given out before, since gateways keep the newest table that they know: beyond those that were replaced, and, where the
// catalog was lost, beyond what it can have had, as versions rise by less than one a millisecond. Sequence numbers of events
// that were replaced are not given again. had are the numbers that were replaced, by name.
func Restored(now time.Time) func(ctx context.Context, tx *store.DB, had map[string]int64) error {
	return func(ctx context.Context, tx *store.DB, had map[string]int64) error {
		for _, name := range []string{"verdicts", "credentials", "events"} {
			is, err := tx.Number(ctx, name)
			if err != nil {
				return err
			}
			beyond := max(is, had[name])
			if name != "events" {
				beyond = max(beyond+1, now.UnixMilli())
			}
			if beyond == is {
				continue
			}
			if err := tx.SetNumber(ctx, name, beyond); err != nil {
				return err
			}
		}
		if err := texts.Fill(ctx, tx); err != nil {
			return err
		}
		// Whoever has the texts of before in memory reads all anew.
		version, err := tx.Number(ctx, "texts")
		if err != nil {
			return err
		}
		version = max(version, had["texts"]) + 1
		if _, err := tx.Exec(ctx, "UPDATE campaign_texts SET version = ?", version); err != nil {
			return err
		}
		return tx.SetNumber(ctx, "texts", version)
	}
}
