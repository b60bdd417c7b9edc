package catalog_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/palladium-guard/palladium/store/catalog"
)

// A leader that is stopped in the middle of a transaction holds the turn of writing for some seconds only, and what it had begun is
// not written when it wakes, since another leads by then.
func TestLeaderStopped(t *testing.T) {
	if testing.Short() {
		t.Skip("waits for some seconds")
	}
	server := postgres(t)
	url := server.Database(t)
	stopped, next := open(t, url), open(t, url)
	defer stopped.Close()
	defer next.Close()
	led, err := stopped.Lead(t.Context(), "detector")
	check(t, err)
	begun, wake, ended := make(chan struct{}), make(chan struct{}), make(chan error, 1)
	put := func(ctx context.Context, tx *catalog.Store, id string) error {
		return tx.PutAccounts(ctx, []catalog.Account{{ID: id}})
	}
	go func() {
		tries := 0
		ended <- stopped.Update(led, func(tx *catalog.Store) error {
			if err := put(led, tx, "half"); err != nil {
				return err
			}
			if tries++; tries == 1 {
				close(begun)
				<-wake
			}
			return put(led, tx, "whole")
		})
	}()
	<-begun
	since := time.Now()
	ctx, err := next.Lead(t.Context(), "detector")
	check(t, err)
	took := time.Since(since)
	check(t, put(ctx, next, "other"))
	close(wake)
	if err := <-ended; !errors.Is(err, catalog.ErrFenced) {
		t.Errorf("what the stopped one had begun ended with %v", err)
	}
	for _, id := range []string{"half", "whole"} {
		if _, err := next.GetAccount(t.Context(), id); !errors.Is(err, catalog.ErrNotFound) {
			t.Errorf("%s is there: %v", id, err)
		}
	}
	if took > 8*time.Second {
		t.Errorf("the other led after %s", took)
	}
	t.Logf("the other led after %s", took.Round(100*time.Millisecond))
}
