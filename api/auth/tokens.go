package auth

import (
	"context"
	"slices"
	"time"

	"github.com/palladium-guard/palladium/api"
	"github.com/palladium-guard/palladium/store/catalog"
)

const (
	tokenPrefix = "plt_" // so that scanners of source code find them
	tokenTime   = 366 * 24 * time.Hour
)

// seesAll reports whether p may see, and end, tokens of others.
func seesAll(p *api.Principal) bool { return p.Role == api.Admin || p.Role == api.Auditor }

func (a *Auth) listTokens(q *api.Request) (*api.Answer, error) {
	user := q.By.ID
	if seesAll(&q.By) {
		user = ""
	}
	tokens, next, err := a.o.Catalog.ListTokens(q.Context(), user, catalog.Page{Cursor: q.Param("cursor"), Limit: q.Limit()})
	if err != nil {
		return nil, err
	}
	return api.OK(api.NewPage(tokens, next))
}

func (a *Auth) createToken(q *api.Request) (*api.Answer, error) {
	var in struct {
		Name    string    `json:"name"`
		Scopes  []string  `json:"scopes"`
		Expires time.Time `json:"expires"`
	}
	if err := q.Decode(&in); err != nil {
		return nil, err
	}
	if !in.Expires.After(q.Now) || in.Expires.After(q.Now.Add(tokenTime)) {
		return nil, api.BadRequest("expires must lie in the future, within a year")
	}
	slices.Sort(in.Scopes)
	value := secret(tokenPrefix)
	t := catalog.Token{ID: newID("t_"), User: q.By.ID, Name: in.Name, Hash: digest(value), Scopes: slices.Compact(in.Scopes), Created: q.Now, Expires: in.Expires.UTC()}
	err := q.Update(func(ctx context.Context, tx *catalog.Store) (*catalog.Event, error) {
		return q.Event("token.created", "token:"+t.ID, map[string]any{"name": t.Name, "scopes": t.Scopes}, "user:"+t.User), tx.AddToken(ctx, t)
	})
	if err != nil {
		return nil, err
	}
	return api.Created("/tokens/"+t.ID, map[string]any{"token": t, "secret": value})
}

func (a *Auth) revokeToken(q *api.Request) (*api.Answer, error) {
	err := q.Update(func(ctx context.Context, tx *catalog.Store) (*catalog.Event, error) {
		t, err := tx.GetToken(ctx, q.Param("id"))
		if err != nil {
			return nil, err
		}
		if t.User != q.By.ID && q.By.Role != api.Admin {
			return nil, api.NotFound("token") // nor learns anybody that it is there
		}
		return q.Event("token.revoked", "token:"+t.ID, nil, "user:"+t.User), tx.RevokeToken(ctx, t.ID, q.By.ID, q.Now)
	})
	if err != nil {
		return nil, err
	}
	return api.Done()
}
