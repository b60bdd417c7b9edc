package catalog

import (
	"context"
	"errors"
	"fmt"

	"github.com/palladium-guard/palladium/store"
)

// ErrFenced says that another has begun to lead since, so that nothing of this one is written any more.
var ErrFenced = errors.New("another leads by now: nothing was written")

// Lead begins the lead of name by this process, which has won it elsewhere, and ends that of whoever led before: writes under the
// context that it returns fail with ErrFenced once another has called Lead, however late they come.
func (s *Store) Lead(ctx context.Context, name string) (context.Context, error) {
	key := "leader:" + name
	var mine int64
	err := s.db.Update(ctx, func(tx *store.DB) (err error) {
		mine, err = tx.Bump(ctx, key, 1)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("begin to lead: %w", err)
	}
	return store.Guarded(ctx, func(ctx context.Context, tx *store.DB) error {
		now, err := tx.Number(ctx, key)
		if err == nil && now != mine {
			err = ErrFenced
		}
		return err
	}), nil
}
