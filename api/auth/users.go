package auth

import (
	"context"
	"errors"
	"strings"
	"time"

	"github.com/palladium-guard/palladium/api"
	"github.com/palladium-guard/palladium/store/catalog"
)

// invitationTime is how long an invitation is good.
const invitationTime = 7 * 24 * time.Hour

// userView is a user as the API shows one.
type userView struct {
	ID        string     `json:"id"`
	Name      string     `json:"name"`
	Email     string     `json:"email"`
	Role      string     `json:"role"`
	Subject   string     `json:"subject"`
	Local     bool       `json:"local"`
	TOTP      bool       `json:"totp"`
	Passkeys  int        `json:"passkeys"`
	Disabled  bool       `json:"disabled"`
	Created   time.Time  `json:"created"`
	LastLogin *time.Time `json:"last_login"`
}

func show(u *catalog.User) userView {
	return userView{u.ID, u.Name, u.Email, u.Role, u.Subject, u.PasswordHash != "", len(u.TOTP) > 0, len(passkeysOf(u)), u.Disabled, u.Created, u.LastLogin}
}

type invited struct {
	User       userView   `json:"user"`
	Invitation string     `json:"invitation"`
	Expires    *time.Time `json:"expires"`
}

func (a *Auth) listUsers(q *api.Request) (*api.Answer, error) {
	users, next, err := a.o.Catalog.ListUsers(q.Context(), catalog.Page{Cursor: q.Param("cursor"), Limit: q.Limit()})
	if err != nil {
		return nil, err
	}
	views := []userView{}
	for i := range users {
		views = append(views, show(&users[i]))
	}
	return api.OK(api.NewPage(views, next))
}

// listPeople gives every signed-in role the names behind ids, and who can be given work.
func (a *Auth) listPeople(q *api.Request) (*api.Answer, error) {
	users, next, err := a.o.Catalog.ListUsers(q.Context(), catalog.Page{Cursor: q.Param("cursor"), Limit: q.Limit()})
	if err != nil {
		return nil, err
	}
	type person struct {
		ID       string `json:"id"`
		Name     string `json:"name"`
		Role     string `json:"role"`
		Disabled bool   `json:"disabled"`
	}
	people := make([]person, len(users))
	for i := range users {
		people[i] = person{users[i].ID, users[i].Name, users[i].Role, users[i].Disabled}
	}
	return api.OK(api.NewPage(people, next))
}

func (a *Auth) createUser(q *api.Request) (*api.Answer, error) {
	var in struct {
		Name    string   `json:"name"`
		Email   string   `json:"email"`
		Role    api.Role `json:"role"`
		Subject string   `json:"subject"`
	}
	if err := q.Decode(&in); err != nil {
		return nil, err
	}
	u := catalog.User{ID: newID("u_"), Name: strings.TrimSpace(in.Name), Email: in.Email, Role: string(in.Role), Subject: in.Subject,
		Handle: handle(), Created: q.Now}
	if u.Name == "" {
		return nil, api.BadRequest("name is empty")
	}
	out := invited{}
	err := q.Update(func(ctx context.Context, tx *catalog.Store) (*catalog.Event, error) {
		put, err := tx.PutUser(ctx, u)
		if errors.Is(err, catalog.ErrConflict) {
			return nil, api.Conflict("there is a user of this name or subject already")
		}
		if err != nil {
			return nil, err
		}
		out.User = show(&put)
		if u.Subject == "" {
			if err := invite(ctx, tx, q.Now, u.ID, &out); err != nil {
				return nil, err
			}
		}
		return q.Event("user.created", "user:"+u.ID, map[string]string{"name": u.Name, "role": u.Role}), nil
	})
	if err != nil {
		return nil, err
	}
	return api.Created("/users/"+u.ID, out)
}

// invite gives a user an invitation; one given before is no longer good.
func invite(ctx context.Context, tx *catalog.Store, now time.Time, user string, out *invited) error {
	if err := tx.DropTickets(ctx, ticketInvitation, user); err != nil {
		return err
	}
	expires := now.Add(invitationTime)
	out.Invitation, out.Expires = secret("pli_"), &expires
	return tx.PutTicket(ctx, catalog.Ticket{ID: digest(out.Invitation), Kind: ticketInvitation, User: user, Expires: expires})
}

func (a *Auth) inviteUser(q *api.Request) (*api.Answer, error) {
	out := invited{}
	err := q.Update(func(ctx context.Context, tx *catalog.Store) (*catalog.Event, error) {
		u, err := tx.GetUser(ctx, q.Param("id"))
		if err != nil {
			return nil, err
		}
		if u.Subject != "" {
			return nil, api.Conflict("this user signs in through the identity provider: mend it there")
		}
		if err := forget(ctx, tx, &u); err != nil {
			return nil, err
		}
		if u, err = tx.PutUser(ctx, u); err != nil {
			return nil, err
		}
		out.User = show(&u)
		return q.Event("user.invited", "user:"+u.ID, nil), invite(ctx, tx, q.Now, u.ID, &out)
	})
	if err != nil {
		return nil, err
	}
	return api.OK(out)
}

func (a *Auth) changeUser(q *api.Request) (*api.Answer, error) {
	var in struct {
		Email    *string   `json:"email"`
		Role     *api.Role `json:"role"`
		Disabled *bool     `json:"disabled"`
	}
	if err := q.Decode(&in); err != nil {
		return nil, err
	}
	var view userView
	err := q.Update(func(ctx context.Context, tx *catalog.Store) (*catalog.Event, error) {
		u, err := tx.GetUser(ctx, q.Param("id"))
		if err != nil {
			return nil, err
		}
		before := u
		if in.Email != nil {
			u.Email = *in.Email
		}
		if in.Role != nil {
			u.Role = string(*in.Role)
		}
		if in.Disabled != nil {
			u.Disabled = *in.Disabled
		}
		lost := before.Role != u.Role || u.Disabled && !before.Disabled
		if lost && before.Role == string(api.Admin) && !before.Disabled {
			if n, err := tx.CountUsers(ctx, before.Role); err != nil || n < 2 {
				return nil, errors.Join(err, api.Conflict("this is the last administrator: make another one first"))
			}
		}
		if lost {
			if _, err := tx.EndSessions(ctx, u.ID, ""); err != nil {
				return nil, err
			}
			if _, err := tx.RevokeTokens(ctx, u.ID, q.By.ID, q.Now); err != nil {
				return nil, err
			}
		}
		if u, err = tx.PutUser(ctx, u); err != nil {
			return nil, err
		}
		view = show(&u)
		return q.Event("user.changed", "user:"+u.ID, map[string]any{"role": u.Role, "disabled": u.Disabled}), nil
	})
	if err != nil {
		return nil, err
	}
	return api.OK(view)
}
