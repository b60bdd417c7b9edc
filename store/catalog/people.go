package catalog

import (
	"context"
	"encoding/hex"
	"errors"
	"strings"
	"time"

	"github.com/palladium-guard/palladium/store"
)

// PutUser stores a user: a new one when u.Revision is 0, else a change of that revision. It gives it as it is now.
// ErrConflict when the Revision is not the stored one, or when id, name or subject are another's.
func (s *Store) PutUser(ctx context.Context, u User) (User, error) {
	if err := u.Check(); err != nil {
		return User{}, invalid(err)
	}
	return users().Put(ctx, s.db, &u, u.ID, &u.Revision)
}

// GetUser gives one user.
func (s *Store) GetUser(ctx context.Context, id string) (User, error) {
	return users().Get(ctx, s.db, "WHERE id = ?", id)
}

// GetUserByName gives the user with this name, without regard to case.
func (s *Store) GetUserByName(ctx context.Context, name string) (User, error) {
	return users().Get(ctx, s.db, "WHERE login = ?", strings.ToLower(name))
}

// GetUserBySubject gives the user with this OIDC subject.
func (s *Store) GetUserBySubject(ctx context.Context, subject string) (User, error) {
	return users().Get(ctx, s.db, "WHERE subject = ? AND subject <> ''", subject)
}

// GetUserByHandle gives the user with this WebAuthn handle.
func (s *Store) GetUserByHandle(ctx context.Context, handle []byte) (User, error) {
	return users().Get(ctx, s.db, "WHERE handle = ? AND handle <> ''", hex.EncodeToString(handle))
}

// CountUsers counts users that are not disabled; with this role when it is not empty.
func (s *Store) CountUsers(ctx context.Context, role string) (int64, error) {
	var w store.Where
	w.And("disabled = FALSE")
	w.Equal("role", role)
	return users().Count(ctx, s.db, w)
}

// ListUsers gives users by name.
func (s *Store) ListUsers(ctx context.Context, p Page) ([]User, string, error) {
	return users().Page(ctx, s.db, store.Where{}, store.Order{Name: "users", Key: "login", ID: "id", Kind: "ss"}, p)
}

// PutSession stores a session by id.
func (s *Store) PutSession(ctx context.Context, v Session) error {
	return s.db.Update(ctx, func(tx *store.DB) error { return sessions().Upsert(ctx, tx, "id", []Session{v}) })
}

// GetSession gives a session that has not expired at now.
func (s *Store) GetSession(ctx context.Context, id string, now time.Time) (Session, error) {
	return sessions().Get(ctx, s.db, "WHERE id = ? AND expires > ?", id, now.UnixMilli())
}

// EndSession forgets a session; it is no error when there is none.
func (s *Store) EndSession(ctx context.Context, id string) error {
	_, err := s.exec(ctx, "DELETE FROM sessions WHERE id = ?", id)
	return err
}

// EndSessions forgets the sessions of a user but the one with the id except, and says how many.
func (s *Store) EndSessions(ctx context.Context, user, except string) (int, error) {
	return s.exec(ctx, "DELETE FROM sessions WHERE user_id = ? AND id <> ?", user, except)
}

// AddToken stores a token; ErrConflict when id or hash are taken.
func (s *Store) AddToken(ctx context.Context, t Token) error {
	return s.db.Update(ctx, func(tx *store.DB) error { return tokens().Insert(ctx, tx, t) })
}

// GetToken gives one token.
func (s *Store) GetToken(ctx context.Context, id string) (Token, error) {
	return tokens().Get(ctx, s.db, "WHERE id = ?", id)
}

// GetTokenByHash gives the token with this hash, revoked and expired ones too.
func (s *Store) GetTokenByHash(ctx context.Context, hash string) (Token, error) {
	return tokens().Get(ctx, s.db, "WHERE hash = ?", hash)
}

// UseToken notes when a token was used. It is written at most once a minute for each token.
func (s *Store) UseToken(ctx context.Context, id string, at time.Time) error {
	t, err := s.GetToken(ctx, id)
	if err != nil || t.LastUsed != nil && at.Sub(*t.LastUsed) < time.Minute {
		return err
	}
	_, err = s.exec(ctx, "UPDATE tokens SET last_used = ? WHERE id = ?", at.UnixMilli(), id)
	return err
}

// RevokeToken ends a token; of one that has ended already it changes nothing.
func (s *Store) RevokeToken(ctx context.Context, id, by string, at time.Time) error {
	if _, err := s.GetToken(ctx, id); err != nil {
		return err
	}
	_, err := s.exec(ctx, "UPDATE tokens SET revoked_at = ?, revoked_by = ? WHERE id = ? AND revoked_at IS NULL", at.UnixMilli(), by, id)
	return err
}

// RevokeTokens ends all tokens of a user, and says how many.
func (s *Store) RevokeTokens(ctx context.Context, user, by string, at time.Time) (int, error) {
	return s.exec(ctx, "UPDATE tokens SET revoked_at = ?, revoked_by = ? WHERE user_id = ? AND revoked_at IS NULL", at.UnixMilli(), by, user)
}

// ListTokens gives tokens, newest first; of one user when it is not empty.
func (s *Store) ListTokens(ctx context.Context, user string, p Page) ([]Token, string, error) {
	var w store.Where
	w.Equal("user_id", user)
	return tokens().Page(ctx, s.db, w, newest("created"), p)
}

// PutTicket stores a ticket by id.
func (s *Store) PutTicket(ctx context.Context, t Ticket) error {
	return s.db.Update(ctx, func(tx *store.DB) error { return tickets().Upsert(ctx, tx, "id", []Ticket{t}) })
}

// PeekTicket gives a ticket of this kind that has not expired at now.
func (s *Store) PeekTicket(ctx context.Context, kind, id string, now time.Time) (Ticket, error) {
	return tickets().Get(ctx, s.db, "WHERE id = ? AND kind = ? AND expires > ?", id, kind, now.UnixMilli())
}

// TakeTicket gives a ticket of this kind that has not expired at now, and forgets it: of several callers one gets it, the
// others ErrNotFound.
func (s *Store) TakeTicket(ctx context.Context, kind, id string, now time.Time) (Ticket, error) {
	var t Ticket
	err := s.db.Update(ctx, func(tx *store.DB) (err error) {
		if t, err = s.bound(tx).PeekTicket(ctx, kind, id, now); err == nil {
			_, err = tx.Exec(ctx, "DELETE FROM tickets WHERE id = ?", id)
		}
		return err
	})
	return t, err
}

// DropTickets forgets the tickets of a kind that belong to a user.
func (s *Store) DropTickets(ctx context.Context, kind, user string) error {
	_, err := s.exec(ctx, "DELETE FROM tickets WHERE kind = ? AND user_id = ?", kind, user)
	return err
}

// ClaimRequest remembers r, that is not Done, and gives claimed; when its key is known at now it changes nothing and gives
// what is remembered.
func (s *Store) ClaimRequest(ctx context.Context, r Request, now time.Time) (held Request, claimed bool, err error) {
	r.Done, r.Status, r.Answer = false, 0, nil
	err = s.db.Update(ctx, func(tx *store.DB) (err error) {
		held, err = requests().Get(ctx, tx, "WHERE key = ? AND expires > ?", r.Key, now.UnixMilli())
		if claimed = errors.Is(err, ErrNotFound); !claimed {
			return err
		}
		held = r
		return requests().Upsert(ctx, tx, "key", []Request{r})
	})
	return held, claimed && err == nil, err
}

// FinishRequest stores the answer of a claimed request.
func (s *Store) FinishRequest(ctx context.Context, key string, status int, answer []byte) error {
	n, err := s.exec(ctx, "UPDATE requests SET done = TRUE, status = ?, answer = ? WHERE key = ?", status, append([]byte{}, answer...), key)
	if err == nil && n == 0 {
		err = ErrNotFound
	}
	return err
}

// DropRequest forgets a claimed request that was not done, so that it can be sent again.
func (s *Store) DropRequest(ctx context.Context, key string) error {
	_, err := s.exec(ctx, "DELETE FROM requests WHERE key = ? AND done = FALSE", key)
	return err
}
