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

// attempt counts an attempt to prove who one is, by address, by name and by both together, and makes those wait who had too
// many. Attempts that succeed are taken back: only failures slow anybody down.
func (a *Auth) attempt(q *api.Request, name string) (good func(), err error) {
	ip, name, now := api.ClientIP(q.Request, a.o.Proxies), strings.ToLower(name), time.Now()
	var longest time.Duration
	var backs []func()
	take := func(l *api.Limiter, who string) {
		wait, back := l.Take(who, now)
		longest, backs = max(longest, wait), append(backs, back)
	}
	take(a.perIP, ip)
	if name != "" {
		take(a.perName, name)
		take(a.perPair, ip+"|"+name)
	}
	if longest > 0 {
		return nil, api.TooMany(longest)
	}
	return func() {
		for _, back := range backs {
			back()
		}
	}, nil
}

func (a *Auth) signIn(q *api.Request) (*api.Answer, error) {
	var in struct {
		User     string `json:"user"`
		Password string `json:"password"`
		TOTP     string `json:"totp"`
	}
	if err := q.Decode(&in); err != nil {
		return nil, err
	}
	succeeded, err := a.attempt(q, in.User)
	if err != nil {
		return nil, err
	}
	u, err := a.o.Catalog.GetUserByName(q.Context(), in.User)
	if err != nil && !errors.Is(err, catalog.ErrNotFound) {
		return nil, err
	}
	good, err := a.check(q.Context(), in.Password, u.PasswordHash)
	if err != nil {
		return nil, err
	}
	if !good || u.Disabled || a.o.WithoutPasswords {
		a.o.Log.Warn("sign-in failed", "request", q.ID)
		return nil, failed()
	}
	if len(u.TOTP) > 0 {
		if in.TOTP == "" {
			succeeded()
			return nil, &api.Problem{Status: http.StatusUnauthorized, Code: "totp_required", Detail: "send the one-time code too"}
		}
		if u.TOTPStep, err = a.checkCode(&u, u.TOTP, in.TOTP, q.Now); err != nil {
			return nil, err
		}
	}
	succeeded()
	return a.welcome(q, u, "password")
}

// setUp uses a bootstrap token or an invitation.
func (a *Auth) setUp(q *api.Request) (*api.Answer, error) {
	var in struct {
		Token    string `json:"token"`
		User     string `json:"user"`
		Password string `json:"password"`
	}
	if err := q.Decode(&in); err != nil {
		return nil, err
	}
	succeeded, err := a.attempt(q, "")
	if err != nil {
		return nil, err
	}
	kind := ticketInvitation
	if strings.HasPrefix(in.Token, "plb_") {
		kind = ticketBootstrap
	}
	ticket, err := a.o.Catalog.PeekTicket(q.Context(), kind, digest(in.Token), q.Now)
	if errors.Is(err, catalog.ErrNotFound) {
		return nil, failed()
	}
	if err != nil {
		return nil, err
	}
	succeeded()
	u := catalog.User{ID: newID("u_"), Name: strings.TrimSpace(in.User), Role: string(api.Admin), Handle: handle(), Created: q.Now}
	if kind == ticketBootstrap && u.Name == "" {
		return nil, api.BadRequest("user is missing: say what the first administrator signs in with")
	}
	if kind == ticketInvitation {
		if u, err = a.o.Catalog.GetUser(q.Context(), ticket.User); err != nil || u.Disabled {
			return nil, failed()
		}
	}
	if err := acceptable(in.Password, u.Name); err != nil {
		return nil, err
	}
	if u.PasswordHash, err = a.hash(q.Context(), in.Password); err != nil {
		return nil, err
	}
	if err := q.Record(api.Principal{ID: u.ID, Name: u.Name, Role: api.Role(u.Role)}); err != nil {
		return nil, err
	}
	err = q.Update(func(ctx context.Context, tx *catalog.Store) (*catalog.Event, error) {
		if _, err := tx.TakeTicket(ctx, kind, ticket.ID, q.Now); err != nil {
			return nil, failed()
		}
		if kind == ticketBootstrap {
			if n, err := tx.CountUsers(ctx, ""); err != nil || n > 0 {
				return nil, errors.Join(err, failed())
			}
		}
		put, err := tx.PutUser(ctx, u)
		if err == nil {
			u = put
		}
		return q.Event("user.set_up", "user:"+u.ID, nil), err
	})
	if err != nil {
		return nil, err
	}
	return a.welcome(q, u, "password")
}

func (a *Auth) changePassword(q *api.Request) (*api.Answer, error) {
	var in struct {
		Current string `json:"current"`
		New     string `json:"new"`
	}
	if err := q.Decode(&in); err != nil {
		return nil, err
	}
	u, err := a.confirmed(q, in.Current)
	if err != nil {
		return nil, err
	}
	if err := acceptable(in.New, u.Name); err != nil {
		return nil, err
	}
	if u.PasswordHash, err = a.hash(q.Context(), in.New); err != nil {
		return nil, err
	}
	return a.change(q, u, "user.password_changed")
}

// confirmed returns the signed-in user after checking their password anew.
func (a *Auth) confirmed(q *api.Request, password string) (catalog.User, error) {
	u, err := a.o.Catalog.GetUser(q.Context(), q.By.ID)
	if err != nil {
		return u, err
	}
	succeeded, err := a.attempt(q, u.Name)
	if err != nil {
		return u, err
	}
	good, err := a.check(q.Context(), password, u.PasswordHash)
	switch {
	case err != nil:
		return u, err
	case !good:
		return u, api.Forbidden("the password is wrong")
	}
	succeeded()
	return u, nil
}

// change stores what somebody changed about their own way in, and ends their other sessions.
func (a *Auth) change(q *api.Request, u catalog.User, kind string) (*api.Answer, error) {
	err := q.Update(func(ctx context.Context, tx *catalog.Store) (*catalog.Event, error) {
		if _, err := tx.PutUser(ctx, u); err != nil {
			return nil, err
		}
		_, err := tx.EndSessions(ctx, u.ID, q.By.Session)
		return q.Event(kind, "user:"+u.ID, nil), err
	})
	if err != nil {
		return nil, err
	}
	return api.Done()
}
