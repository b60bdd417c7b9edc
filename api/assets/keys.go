package assets

import (
	"time"

	"github.com/palladium-guard/palladium/api"
	"github.com/palladium-guard/palladium/store/catalog"
)

// key is a key of a caller as the API shows one.
type key struct {
	catalog.Credential
	State string `json:"state"`
}

func keyOf(c *catalog.Credential, now time.Time) key {
	k := key{*c, "active"}
	switch {
	case c.Revoked != nil:
		k.State = "revoked"
	case c.Expires != nil && !now.Before(*c.Expires):
		k.State = "expired"
	}
	return k
}

// withSecret is a key with its secret, which is shown once.
type withSecret struct {
	Credential key    `json:"credential"`
	Secret     string `json:"secret"`
}

func noKeys() *api.Problem {
	return api.Conflict("this site keeps no keys of its own: callers are known by what the configuration names")
}

func (d *Desk) listCredentials(q *api.Request) (*api.Answer, error) {
	if d.o.Keys == nil {
		return api.OK(api.NewPage[key](nil, ""))
	}
	list, next, err := d.o.Keys.List(q.Context(), catalog.CredentialQuery{Page: pageOf(q), Account: q.Param("account"), State: q.Param("state"), Now: q.Now})
	if err != nil {
		return nil, err
	}
	out := make([]key, len(list))
	for i := range list {
		out[i] = keyOf(&list[i], q.Now)
	}
	return api.OK(api.NewPage(out, next))
}

func (d *Desk) createCredential(q *api.Request) (*api.Answer, error) {
	if d.o.Keys == nil {
		return nil, noKeys()
	}
	var in struct {
		Account           string     `json:"account"`
		Organization      string     `json:"organization"`
		Plan              string     `json:"plan"`
		Models            []string   `json:"models"`
		Endpoints         []string   `json:"endpoints"`
		Features          []string   `json:"features"`
		Budgets           []string   `json:"budgets"`
		RequestsPerMinute int64      `json:"requests_per_minute"`
		TokensPerMinute   int64      `json:"tokens_per_minute"`
		Note              string     `json:"note"`
		Expires           *time.Time `json:"expires"`
	}
	if err := q.Decode(&in); err != nil {
		return nil, err
	}
	if in.Expires != nil && !in.Expires.After(q.Now) {
		return nil, api.BadRequest("expires must lie in the future")
	}
	c := catalog.Credential{Account: in.Account, Organization: in.Organization, Plan: in.Plan, Models: in.Models, Endpoints: in.Endpoints, Features: in.Features,
		Budgets: in.Budgets, RequestsPerMinute: in.RequestsPerMinute, TokensPerMinute: in.TokensPerMinute, Note: in.Note, Created: q.Now, Expires: in.Expires}
	made, secret, err := d.o.Keys.Create(q.Context(), q.Now, c)
	if err != nil {
		return nil, err
	}
	if err := d.tell(q, "credential.created", &made); err != nil {
		return nil, err
	}
	return api.Created("/credentials/"+made.ID, withSecret{keyOf(&made, q.Now), secret})
}

func (d *Desk) tell(q *api.Request, kind string, c *catalog.Credential) error {
	return d.o.Catalog.Append(q.Context(), q.Event(kind, "credential:"+c.ID, nil, "account:"+c.Account))
}

func (d *Desk) revokeCredential(q *api.Request) (*api.Answer, error) {
	if d.o.Keys == nil {
		return nil, noKeys()
	}
	var in struct {
		Reason string `json:"reason"`
	}
	if err := q.Decode(&in); err != nil {
		return nil, err
	}
	c, err := d.o.Keys.Revoke(q.Context(), q.Now, q.Param("id"), in.Reason)
	if err != nil {
		return nil, err
	}
	if err := d.tell(q, "credential.revoked", &c); err != nil {
		return nil, err
	}
	return api.OK(keyOf(&c, q.Now))
}

func (d *Desk) rotateCredential(q *api.Request) (*api.Answer, error) {
	if d.o.Keys == nil {
		return nil, noKeys()
	}
	var in struct {
		Overlap int64 `json:"overlap_seconds"`
	}
	if err := q.Decode(&in); err != nil {
		return nil, err
	}
	c, secret, err := d.o.Keys.Rotate(q.Context(), q.Now, q.Param("id"), time.Duration(in.Overlap)*time.Second)
	if err != nil {
		return nil, err
	}
	if err := d.tell(q, "credential.rotated", &c); err != nil {
		return nil, err
	}
	return api.OK(withSecret{keyOf(&c, q.Now), secret})
}
