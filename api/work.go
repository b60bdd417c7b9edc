package api

import (
	"context"
	"errors"

	"github.com/palladium-guard/palladium/store/catalog"
)

// Settled makes sure that state and resolution go together: what is resolved says as what, what is open says nothing.
func Settled(state string, resolution *string, asked bool) error {
	done := state == catalog.WorkResolved || state == catalog.WorkClosed
	switch {
	case state == catalog.WorkResolved && *resolution == "":
		return BadRequest("state resolved needs a resolution")
	case !done && *resolution != "" && asked:
		return BadRequest("a resolution needs the state resolved or closed")
	case !done:
		*resolution = ""
	}
	return nil
}

// Assignee returns the user id that the caller means; it must be somebody who may sign in.
func Assignee(ctx context.Context, q *Request, tx *catalog.Store, who string) (string, error) {
	if who == "me" {
		who = q.By.ID
	}
	if who == "" {
		return "", nil
	}
	u, err := tx.GetUser(ctx, who)
	if errors.Is(err, catalog.ErrNotFound) || err == nil && u.Disabled {
		return "", BadRequest("assignee is nobody who may sign in here")
	}
	return who, err
}
