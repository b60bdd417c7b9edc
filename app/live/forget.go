package live

import (
	"context"
	"errors"
	"time"

	"github.com/palladium-guard/palladium/store/catalog"
	"github.com/palladium-guard/palladium/store/retention"
)

const (
	forgetMark  = "forgotten"    // when the catalog last got rid of all that it need not keep
	forgetEvery = 24 * time.Hour // from one round to the next
	forgetLook  = time.Hour      // how often it is looked whether a round is due, and after how long one that failed is tried again
)

// Forget deletes what ended longer ago than keep says, once a day, until ctx ends. It is for the detector that leads: after another has
// begun to, the catalog refuses what it would still delete, and that one goes on.
func (b *Board) Forget(ctx context.Context, keep retention.Keep) {
	if keep == retention.Forever {
		return
	}
	again := time.NewTicker(forgetLook)
	defer again.Stop()
	for {
		switch err := b.forget(ctx, keep); {
		case errors.Is(err, catalog.ErrFenced):
			return
		case err != nil && ctx.Err() == nil:
			b.log.Error("what the catalog need not keep any more is not deleted; it is tried again", "error", err)
		}
		select {
		case <-ctx.Done():
			return
		case <-again.C:
		}
	}
}

// forget is one look. Whom people let go is never forgotten while policy leaves them alone for it.
func (b *Board) forget(ctx context.Context, keep retention.Keep) error {
	now := b.now().UTC()
	last, err := b.cat.Mark(ctx, forgetMark)
	if err != nil {
		return err
	}
	if since := now.Sub(time.UnixMilli(last)); since >= 0 && since < forgetEvery {
		return nil
	}
	before := now.Add(-max(time.Duration(keep), b.rules.Load().policy.Hold()))
	decisions, verdicts, err := b.cat.Forget(ctx, before)
	if decisions > 0 {
		b.log.Info("the catalog has forgotten decisions that ended long ago", "decisions", decisions, "verdicts", verdicts, "before", before)
	}
	if err != nil {
		return err
	}
	return b.cat.SetMark(ctx, forgetMark, now.UnixMilli())
}
