package auth

import (
	"context"
	"crypto/subtle"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"golang.org/x/oauth2"

	"github.com/palladium-guard/palladium/api"
	"github.com/palladium-guard/palladium/store/catalog"
)

// provider is the OpenID Connect provider. It is asked for its addresses when first needed, so that the site starts
// without it.
type provider struct {
	name string
	c    OIDCConfig
	back string // where it sends the browser
	http *http.Client

	mu    sync.Mutex
	found *oidc.Provider
}

// pending is what is kept of a sign-in while the browser is at the provider.
type pending struct {
	Nonce    string `json:"nonce"`
	Verifier string `json:"verifier"`
	Next     string `json:"next"`
	Browser  string `json:"browser"` // digest of the cookie that ties it to one browser
}

// roleOrder says which role a user gets to whom several are given: the one that decides, then the one that reads.
func roleOrder() []string {
	return []string{string(api.Approver), string(api.Analyst), string(api.Auditor), string(api.Admin), string(api.Viewer)}
}

// Check says what is wrong, without asking the provider; nil when nothing is.
func (c *OIDCConfig) Check() error {
	u, err := url.Parse(c.Issuer)
	loopback := err == nil && u.Scheme == "http" && (u.Hostname() == "127.0.0.1" || u.Hostname() == "localhost" || u.Hostname() == "::1")
	if err != nil || u.Host == "" || u.Scheme != "https" && !loopback {
		return fmt.Errorf("sign_in.oidc.issuer %q must be an https address, such as https://id.example.com", c.Issuer)
	}
	if c.ClientID == "" {
		return errors.New("sign_in.oidc.client_id is missing: register this site with the identity provider")
	}
	for value, role := range c.Roles {
		if !api.Role(role).Known() {
			return fmt.Errorf("sign_in.oidc.roles: %s: there is no role %q; there are %v", value, role, api.Roles())
		}
	}
	if (c.RoleClaim == "") != (len(c.Roles) == 0) {
		return errors.New("sign_in.oidc: role_claim and roles belong together: give both or neither")
	}
	return nil
}

func newProvider(o Options, origin *url.URL) (*provider, error) {
	c := *o.OIDC
	if err := c.Check(); err != nil {
		return nil, err
	}
	name := c.Name
	if name == "" {
		u, err := url.Parse(c.Issuer)
		if err != nil {
			return nil, fmt.Errorf("sign_in.oidc.issuer: %w", err)
		}
		name = u.Host
	}
	return &provider{name: name, c: c, http: o.HTTP, back: origin.Scheme + "://" + origin.Host + "/api/v1/session/oidc/callback"}, nil
}

// reach returns the provider's addresses.
func (p *provider) reach(ctx context.Context) (*oidc.Provider, error) {
	p.mu.Lock()
	found := p.found
	p.mu.Unlock()
	if found != nil {
		return found, nil
	}
	found, err := oidc.NewProvider(oidc.ClientContext(ctx, p.http), p.c.Issuer)
	if err != nil {
		return nil, fmt.Errorf("reach identity provider %s: %w", p.c.Issuer, err)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.found = found
	return found, nil
}

func (p *provider) client(found *oidc.Provider) *oauth2.Config {
	return &oauth2.Config{ClientID: p.c.ClientID, ClientSecret: p.c.ClientSecret, Endpoint: found.Endpoint(), RedirectURL: p.back,
		Scopes: append([]string{oidc.ScopeOpenID, "profile", "email"}, p.c.Scopes...)}
}

func (a *Auth) browserCookie() string { return a.Cookie() + "-oidc" }

// local returns a path of this site, "/" for anything else.
func local(next string) string {
	u, err := url.Parse(next)
	if err != nil || u.Scheme != "" || u.Host != "" || u.User != nil || !strings.HasPrefix(next, "/") || strings.HasPrefix(next, "//") ||
		strings.ContainsFunc(next, func(r rune) bool { return r < 0x21 || r == 0x7f || r == '\\' }) {
		return "/"
	}
	return next
}

func (a *Auth) startOIDC(q *api.Request) (*api.Answer, error) {
	if a.oidc == nil {
		return nil, api.NotFound("identity provider")
	}
	if _, err := a.attempt(q, ""); err != nil { // what is begun is stored
		return nil, err
	}
	found, err := a.oidc.reach(q.Context())
	if err != nil {
		a.o.Log.Error("identity provider cannot be reached", "request", q.ID, "error", err)
		return nil, api.Unavailable("the identity provider cannot be reached: try again, or sign in another way")
	}
	state, browser := secret(""), secret("")
	p := pending{Nonce: secret(""), Verifier: oauth2.GenerateVerifier(), Next: local(q.Param("next")), Browser: digest(browser)}
	data, err := json.Marshal(p)
	if err != nil {
		return nil, err
	}
	expires := q.Now.Add(10 * time.Minute)
	if err := a.o.Catalog.PutTicket(q.Context(), catalog.Ticket{ID: digest(state), Kind: ticketOIDC, Data: data, Expires: expires}); err != nil {
		return nil, err
	}
	to := a.oidc.client(found).AuthCodeURL(state, oidc.Nonce(p.Nonce), oauth2.S256ChallengeOption(p.Verifier))
	// Lax: the browser comes back from another site.
	return &api.Answer{Status: http.StatusFound, Location: to, Cookies: []*http.Cookie{a.cookie(a.browserCookie(), browser, expires, http.SameSiteLaxMode)}}, nil
}

// finishOIDC signs in who comes back from the provider. Whatever is wrong, the browser is sent to the console with a code.
func (a *Auth) finishOIDC(q *api.Request) (*api.Answer, error) {
	if a.oidc == nil {
		return nil, api.NotFound("identity provider")
	}
	away := []*http.Cookie{a.cookie(a.browserCookie(), "", time.Unix(1, 0), http.SameSiteLaxMode)}
	u, p, err := a.returned(q)
	if err != nil {
		a.o.Log.Warn("sign-in through the identity provider failed", "request", q.ID, "error", err)
		code := "failed"
		if errors.Is(err, errUnknown) {
			code = "unknown_user"
		}
		return &api.Answer{Status: http.StatusFound, Location: "/?sign_in=" + code, Cookies: away}, nil
	}
	_, cookies, err := a.begin(q, u, "oidc")
	if err != nil {
		return nil, err
	}
	return &api.Answer{Status: http.StatusFound, Location: p.Next, Cookies: append(away, cookies...)}, nil
}

var errUnknown = errors.New("nobody here has this subject: create the user, or map a claim to roles")

// returned checks what the provider sent the browser back with, and finds the user.
func (a *Auth) returned(q *api.Request) (u catalog.User, p pending, err error) {
	ticket, err := a.o.Catalog.TakeTicket(q.Context(), ticketOIDC, digest(q.Param("state")), q.Now)
	if err != nil {
		return u, p, fmt.Errorf("state is not one of ours, or older than 10 minutes: %w", err)
	}
	if err := json.Unmarshal(ticket.Data, &p); err != nil {
		return u, p, err
	}
	c, err := q.Cookie(a.browserCookie())
	if err != nil || subtle.ConstantTimeCompare([]byte(digest(c.Value)), []byte(p.Browser)) != 1 {
		return u, p, errors.New("sign-in began in another browser")
	}
	if q.Param("error") != "" {
		return u, p, errors.New("identity provider refused")
	}
	if iss := q.Param("iss"); iss != "" && iss != a.oidc.c.Issuer { // RFC 9207
		return u, p, errors.New("answer comes from another issuer")
	}
	found, err := a.oidc.reach(q.Context())
	if err != nil {
		return u, p, err
	}
	ctx := oidc.ClientContext(q.Context(), a.oidc.http)
	tokens, err := a.oidc.client(found).Exchange(ctx, q.Param("code"), oauth2.VerifierOption(p.Verifier))
	if err != nil {
		var refused *oauth2.RetrieveError
		if errors.As(err, &refused) {
			return u, p, fmt.Errorf("identity provider gave no token: %s", refused.ErrorCode) // its body may hold secrets
		}
		return u, p, errors.New("identity provider gave no token")
	}
	raw, _ := tokens.Extra("id_token").(string)
	id, err := found.VerifierContext(ctx, &oidc.Config{ClientID: a.oidc.c.ClientID, Now: a.o.Now}).Verify(ctx, raw)
	if err != nil {
		return u, p, fmt.Errorf("verify ID token: %w", err)
	}
	if subtle.ConstantTimeCompare([]byte(id.Nonce), []byte(p.Nonce)) != 1 {
		return u, p, errors.New("ID token belongs to another sign-in")
	}
	u, err = a.subject(q, id)
	return u, p, err
}

// subject finds the user of an ID token. Where a claim is mapped to roles it makes users, and the claim decides the role.
func (a *Auth) subject(q *api.Request, id *oidc.IDToken) (catalog.User, error) {
	var claims struct {
		Name     string `json:"name"`
		Username string `json:"preferred_username"`
		Email    string `json:"email"`
	}
	var all map[string]any
	if err := errors.Join(id.Claims(&claims), id.Claims(&all)); err != nil {
		return catalog.User{}, fmt.Errorf("read ID token: %w", err)
	}
	subject := id.Issuer + "|" + id.Subject
	role := a.oidc.role(all)
	u, err := a.o.Catalog.GetUserBySubject(q.Context(), subject)
	switch {
	case err != nil && !errors.Is(err, catalog.ErrNotFound):
		return u, err
	case err == nil && u.Disabled:
		return u, errUnknown
	case err == nil:
		if a.oidc.c.RoleClaim != "" {
			if role == "" {
				return u, errUnknown
			}
			u.Role = role
		}
		return u, nil
	case role == "":
		return u, errUnknown
	}
	name := claims.Username
	for _, other := range []string{claims.Email, claims.Name, id.Subject} {
		if name == "" {
			name = other
		}
	}
	u = catalog.User{ID: newID("u_"), Name: name, Email: claims.Email, Role: role, Subject: subject, Handle: handle(), Created: q.Now}
	if err := q.Record(api.Principal{ID: u.ID, Name: u.Name, Role: api.Role(u.Role)}); err != nil {
		return u, err
	}
	put, err := a.o.Catalog.PutUser(q.Context(), u)
	if errors.Is(err, catalog.ErrConflict) { // a local user has the name
		u.Name = name + " (" + a.oidc.name + ")"
		put, err = a.o.Catalog.PutUser(q.Context(), u)
	}
	return put, err
}

// role returns the role that the claims give, "" for none.
func (p *provider) role(claims map[string]any) string {
	if p.c.RoleClaim == "" {
		return ""
	}
	var values []string
	switch v := claims[p.c.RoleClaim].(type) {
	case string:
		values = []string{v}
	case []any:
		for _, one := range v {
			if s, ok := one.(string); ok {
				values = append(values, s)
			}
		}
	}
	var given []string
	for _, v := range values {
		if role, ok := p.c.Roles[v]; ok {
			given = append(given, role)
		}
	}
	for _, role := range roleOrder() {
		if slices.Contains(given, role) {
			return role
		}
	}
	return ""
}
