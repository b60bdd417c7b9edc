package process

import (
	"context"
	"time"

	"github.com/palladium-guard/palladium/api"
	"github.com/palladium-guard/palladium/store/catalog"
)

// longestAllow is how long an entry holds at most: who should stay is looked at once a year.
const longestAllow = 366 * 24 * time.Hour

func (d *Desk) listAllow(q *api.Request) (*api.Answer, error) {
	query := catalog.AllowQuery{Page: pageOf(q), Kind: q.List("kind")}
	if q.Param("all") != "true" {
		query.InForce = &q.Now
	}
	list, next, err := d.o.Catalog.ListAllow(q.Context(), query)
	if err != nil {
		return nil, err
	}
	out := make([]api.Allow, len(list))
	for i := range list {
		out[i] = api.AllowOf(&list[i], q.Now)
	}
	return api.OKCounted(q, out, next, func(ctx context.Context) (int64, error) { return d.o.Catalog.CountAllow(ctx, query) })
}

func (d *Desk) addAllow(q *api.Request) (*api.Answer, error) {
	var in struct {
		Kind    string    `json:"kind"`
		Subject string    `json:"subject"`
		Owner   string    `json:"owner"`
		Reason  string    `json:"reason"`
		Expires time.Time `json:"expires"`
	}
	if err := q.Decode(&in); err != nil {
		return nil, err
	}
	if !in.Expires.After(q.Now) || in.Expires.After(q.Now.Add(longestAllow)) {
		return nil, api.BadRequest("expires must lie in the future, within a year")
	}
	a := catalog.Allow{ID: "al_" + q.ID, Kind: in.Kind, Subject: in.Subject, Owner: in.Owner, Reason: in.Reason, Created: q.Now, Expires: in.Expires.UTC()}
	err := q.Update(func(ctx context.Context, tx *catalog.Store) (*catalog.Event, error) {
		put, err := tx.PutAllow(ctx, a)
		if err == nil {
			a = put
		}
		return q.Event("allow.added", "allow:"+a.ID, map[string]any{"kind": a.Kind, "owner": a.Owner, "expires": a.Expires}, a.Subject), err
	})
	if err != nil {
		return nil, err
	}
	return api.Created("/allow/"+a.ID, api.AllowOf(&a, q.Now))
}

func (d *Desk) revokeAllow(q *api.Request) (*api.Answer, error) {
	err := q.Update(func(ctx context.Context, tx *catalog.Store) (*catalog.Event, error) {
		a, err := tx.GetAllow(ctx, q.Param("id"))
		if err != nil {
			return nil, err
		}
		if a.RevokedAt != nil {
			return nil, api.Conflict("the entry was ended before")
		}
		a.RevokedAt, a.RevokedBy = &q.Now, q.By.ID
		_, err = tx.PutAllow(ctx, a)
		return q.Event("allow.revoked", "allow:"+a.ID, nil, a.Subject), err
	})
	if err != nil {
		return nil, err
	}
	return api.Done()
}
