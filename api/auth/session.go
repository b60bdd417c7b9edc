package auth

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"time"

	"github.com/palladium-guard/palladium/api"
	"github.com/palladium-guard/palladium/store/catalog"
)

// Cookie returns the name of the cookie that holds the session. With __Host- a browser takes it only under TLS, for all
// paths, and from no other host of the domain.
func (a *Auth) Cookie() string {
	if a.secure {
		return "__Host-palladium"
	}
	return "palladium"
}

func (a *Auth) cookie(name, value string, expires time.Time, same http.SameSite) *http.Cookie {
	c := &http.Cookie{Name: name, Value: value, Path: "/", Expires: expires, Secure: a.secure, HttpOnly: true, SameSite: same}
	if value == "" {
		c.MaxAge = -1
	}
	return c
}

// Identify says who sends r: see api.Authenticator.
func (a *Auth) Identify(r *http.Request) (api.Principal, error) {
	if scheme, token, _ := strings.Cut(r.Header.Get("Authorization"), " "); strings.EqualFold(scheme, "Bearer") {
		return a.byToken(r.Context(), token)
	}
	c, err := r.Cookie(a.Cookie())
	if err != nil || c.Value == "" {
		return api.Principal{}, nil
	}
	now := a.o.Now()
	s, err := a.o.Catalog.GetSession(r.Context(), digest(c.Value), now)
	if errors.Is(err, catalog.ErrNotFound) || err == nil && now.Sub(s.Seen) > a.o.Idle {
		return api.Principal{}, nil
	}
	if err != nil {
		return api.Principal{}, err
	}
	u, err := a.o.Catalog.GetUser(r.Context(), s.User)
	if errors.Is(err, catalog.ErrNotFound) || err == nil && u.Disabled {
		return api.Principal{}, nil
	}
	if err != nil {
		return api.Principal{}, err
	}
	if now.Sub(s.Seen) > time.Minute {
		s.Seen = now
		if err := a.o.Catalog.PutSession(r.Context(), s); err != nil {
			return api.Principal{}, err
		}
	}
	return api.Principal{ID: u.ID, Name: u.Name, Role: api.Role(u.Role), Session: s.ID, Expires: s.Expires}, nil
}

func (a *Auth) byToken(ctx context.Context, token string) (api.Principal, error) {
	bad := &api.Problem{Status: http.StatusUnauthorized, Code: "not_signed_in", Detail: "this token is not known, has expired or was revoked: create a new one"}
	if !strings.HasPrefix(token, tokenPrefix) {
		return api.Principal{}, bad
	}
	t, err := a.o.Catalog.GetTokenByHash(ctx, digest(token))
	if errors.Is(err, catalog.ErrNotFound) {
		return api.Principal{}, bad
	}
	if err != nil {
		return api.Principal{}, err
	}
	now := a.o.Now()
	u, err := a.o.Catalog.GetUser(ctx, t.User)
	if err != nil && !errors.Is(err, catalog.ErrNotFound) {
		return api.Principal{}, err
	}
	if err != nil || u.Disabled || t.RevokedAt != nil || !now.Before(t.Expires) {
		return api.Principal{}, bad
	}
	if err := a.o.Catalog.UseToken(ctx, t.ID, now); err != nil {
		return api.Principal{}, err
	}
	p := api.Principal{ID: u.ID, Name: u.Name, Role: api.Role(u.Role), Token: t.ID, Scopes: []api.Scope{}, Expires: t.Expires}
	for _, s := range t.Scopes {
		p.Scopes = append(p.Scopes, api.Scope(s))
	}
	return p, nil
}

// me is the signed-in user.
type me struct {
	ID         string    `json:"id"`
	Name       string    `json:"name"`
	Email      string    `json:"email"`
	Role       api.Role  `json:"role"`
	Via        string    `json:"via"`
	Operations []string  `json:"operations"`
	TOTP       bool      `json:"totp"`
	Passkeys   int       `json:"passkeys"`
	Local      bool      `json:"local"`
	Expires    time.Time `json:"expires"`
}

type methods struct {
	Password bool   `json:"password"`
	Passkey  bool   `json:"passkey"`
	OIDC     string `json:"oidc"`
	Setup    bool   `json:"setup"`
}

type session struct {
	Me      *me     `json:"me"`
	Methods methods `json:"methods"`
}

func (a *Auth) describe(p api.Principal, u *catalog.User) *me {
	m := &me{ID: u.ID, Name: u.Name, Email: u.Email, Role: p.Role, Via: "session", Operations: p.May(), TOTP: len(u.TOTP) > 0,
		Passkeys: len(passkeysOf(u)), Local: u.PasswordHash != "", Expires: p.Expires}
	if p.Token != "" {
		m.Via = "token"
	}
	return m
}

func (a *Auth) methods(ctx context.Context) (methods, error) {
	n, err := a.o.Catalog.CountUsers(ctx, "")
	m := methods{Password: !a.o.WithoutPasswords, Passkey: a.passkeys != nil, Setup: n == 0}
	if a.oidc != nil {
		m.OIDC = a.oidc.name
	}
	return m, err
}

func (a *Auth) getSession(q *api.Request) (*api.Answer, error) {
	out := session{}
	var err error
	if out.Methods, err = a.methods(q.Context()); err != nil {
		return nil, err
	}
	if q.By.ID != "" {
		u, err := a.o.Catalog.GetUser(q.Context(), q.By.ID)
		if err != nil {
			return nil, err
		}
		out.Me = a.describe(q.By, &u)
	}
	return api.OK(out)
}

func (a *Auth) getMe(q *api.Request) (*api.Answer, error) {
	u, err := a.o.Catalog.GetUser(q.Context(), q.By.ID)
	if err != nil {
		return nil, err
	}
	return api.OK(a.describe(q.By, &u))
}

// begin starts a session for u, who has proved who they are. It is always a new one: what the browser had before, or was
// given by somebody else, ends. u is stored as it is.
func (a *Auth) begin(q *api.Request, u catalog.User, method string) (*api.Principal, []*http.Cookie, error) {
	now := q.Now
	value := secret("")
	s := catalog.Session{ID: digest(value), User: u.ID, Method: method, Created: now, Seen: now, Expires: now.Add(a.o.Session)}
	p := api.Principal{ID: u.ID, Name: u.Name, Role: api.Role(u.Role), Session: s.ID, Expires: s.Expires}
	if q.Ledgered() < 0 {
		if err := q.Record(p); err != nil {
			return nil, nil, err
		}
	}
	u.LastLogin = &now
	err := q.Update(func(ctx context.Context, tx *catalog.Store) (*catalog.Event, error) {
		if _, err := tx.PutUser(ctx, u); err != nil {
			return nil, err
		}
		if c, err := q.Cookie(a.Cookie()); err == nil && c.Value != "" {
			if err := tx.EndSession(ctx, digest(c.Value)); err != nil {
				return nil, err
			}
		}
		return q.Event("session.began", "user:"+u.ID, map[string]string{"method": method}), tx.PutSession(ctx, s)
	})
	if err != nil {
		return nil, nil, err
	}
	return &p, []*http.Cookie{a.cookie(a.Cookie(), value, s.Expires, http.SameSiteStrictMode)}, nil
}

// welcome begins a session and answers with it.
func (a *Auth) welcome(q *api.Request, u catalog.User, method string) (*api.Answer, error) {
	p, cookies, err := a.begin(q, u, method)
	if err != nil {
		return nil, err
	}
	out := session{Me: a.describe(*p, &u)}
	if out.Methods, err = a.methods(q.Context()); err != nil {
		return nil, err
	}
	return &api.Answer{JSON: out, Cookies: cookies}, nil
}

func (a *Auth) signOut(q *api.Request) (*api.Answer, error) {
	if c, err := q.Cookie(a.Cookie()); err == nil && c.Value != "" {
		if err := a.o.Catalog.EndSession(q.Context(), digest(c.Value)); err != nil {
			return nil, err
		}
	}
	return &api.Answer{Status: http.StatusNoContent, Cookies: []*http.Cookie{a.cookie(a.Cookie(), "", time.Unix(1, 0), http.SameSiteStrictMode)}}, nil
}
