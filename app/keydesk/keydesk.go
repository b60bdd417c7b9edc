// Package keydesk gives the operator's API the file of keys that the gateway reads.
package keydesk

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"slices"
	"time"

	"github.com/palladium-guard/palladium/api"
	"github.com/palladium-guard/palladium/store/catalog"
	"github.com/palladium-guard/palladium/traffic/gateway/credential"
)

// Desk gives the operator's API the file of keys that the gateway reads.
type Desk struct{ Keys *credential.Keys }

// List returns keys, newest first; the cursor is the id of the last one given.
func (k Desk) List(_ context.Context, q catalog.CredentialQuery) ([]catalog.Credential, string, error) {
	if err := k.Keys.Reload(); err != nil {
		return nil, "", api.Unavailable("the file of keys cannot be read")
	}
	all := k.Keys.List()
	slices.Reverse(all)
	limit := q.Limit
	if limit <= 0 {
		limit = 50
	}
	out, past := []catalog.Credential{}, q.Cursor == ""
	for _, key := range all {
		switch {
		case !past:
			past = key.ID == q.Cursor
		case q.Account != "" && key.Account != q.Account, q.State != "" && key.State(q.Now) != q.State:
		case len(out) == limit:
			return out, out[limit-1].ID, nil
		default:
			out = append(out, shown(key))
		}
	}
	return out, "", nil
}

// Create makes a key.
func (k Desk) Create(_ context.Context, now time.Time, c catalog.Credential) (catalog.Credential, string, error) {
	var expires time.Time
	if c.Expires != nil {
		expires = *c.Expires
	}
	key, secret, err := k.Keys.Create(now, rand.Reader, credential.Grant{
		Account: c.Account, Organization: c.Organization, Plan: c.Plan, Budgets: c.Budgets,
		Models: c.Models, Endpoints: c.Endpoints, Features: c.Features,
		RequestsPerMinute: c.RequestsPerMinute, TokensPerMinute: c.TokensPerMinute,
	}, expires, c.Note)
	if err != nil {
		return c, "", api.BadRequest("%s", err)
	}
	return shown(key), secret.Reveal(), nil
}

// Revoke ends a key.
func (k Desk) Revoke(_ context.Context, now time.Time, id, reason string) (catalog.Credential, error) {
	key, err := k.Keys.Revoke(now, id, reason)
	return known(key, err)
}

// Rotate gives a key a new secret.
func (k Desk) Rotate(_ context.Context, now time.Time, id string, overlap time.Duration) (catalog.Credential, string, error) {
	key, secret, err := k.Keys.Rotate(now, rand.Reader, id, overlap)
	c, err := known(key, err)
	if err != nil {
		return c, "", err
	}
	return c, secret.Reveal(), nil
}

func known(key *credential.Key, err error) (catalog.Credential, error) {
	switch {
	case errors.Is(err, credential.ErrUnknownKey):
		return catalog.Credential{}, api.NotFound("key")
	case err != nil:
		return catalog.Credential{}, api.Conflict("%s", err)
	}
	return shown(key), nil
}

// shown is what the API tells of a key.
func shown(key *credential.Key) catalog.Credential {
	maybe := func(t time.Time) *time.Time {
		if t.IsZero() {
			return nil
		}
		return &t
	}
	c := catalog.Credential{
		ID: key.ID, Account: key.Account, Organization: key.Organization, Plan: key.Plan, Models: key.Models, Endpoints: key.Endpoints,
		Features: key.Features, Budgets: key.Budgets, RequestsPerMinute: key.RequestsPerMinute, TokensPerMinute: key.TokensPerMinute, Note: key.Note,
		Created: key.Created, Expires: maybe(key.Expires), Rotated: maybe(key.Rotated), Revoked: maybe(key.Revoked), Reason: key.Reason,
	}
	for _, d := range key.Digests {
		c.Digests = append(c.Digests, catalog.CredentialHash{SHA256: hex.EncodeToString(d.SHA256[:]), Until: maybe(d.Until)})
	}
	return c
}
