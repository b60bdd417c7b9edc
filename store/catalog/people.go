package catalog

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"time"

	"github.com/palladium-guard/palladium/store"
)

// The roles of users.
const (
	RoleViewer   = "viewer"
	RoleAnalyst  = "analyst"
	RoleApprover = "approver"
	RoleAdmin    = "admin"
	RoleAuditor  = "auditor"
)

// User is a person who may sign in. The catalog gets nothing but hashes and sealed secrets.
type User struct {
	ID           string          `json:"id"`
	Revision     int64           `json:"revision"`
	Name         string          `json:"name"` // what one signs in with; unique without regard to ASCII case
	Email        string          `json:"email"`
	Role         string          `json:"role"`
	Subject      string          `json:"subject"` // OIDC: issuer|subject; unique unless empty
	PasswordHash string          `json:"-"`       // argon2id; empty for none
	TOTP         []byte          `json:"-"`       // sealed; empty for none
	TOTPStep     int64           `json:"-"`       // the last time step used, so that no code is taken twice
	Passkeys     json.RawMessage `json:"-"`
	Handle       []byte          `json:"-"` // WebAuthn user handle
	Disabled     bool            `json:"disabled"`
	Created      time.Time       `json:"created"`
	LastLogin    *time.Time      `json:"last_login"`
}

// PutUser stores a user: a new one when u.Revision is 0, else a change of that revision. It gives it as it is now.
// ErrConflict when the Revision is not the stored one, or when id, name or subject are another's.
func (s *Store) PutUser(ctx context.Context, u User) (User, error) {
	if err := oneOf("role", u.Role, []string{RoleViewer, RoleAnalyst, RoleApprover, RoleAdmin, RoleAuditor}); err != nil {
		return User{}, err
	}
	return users().Put(ctx, s.db, &u, u.ID, &u.Revision)
}

// GetUser gives one user.
func (s *Store) GetUser(ctx context.Context, id string) (User, error) {
	return users().Get(ctx, s.db, "WHERE id = ?", id)
}

// GetUserByName gives the user with this name, without regard to ASCII case.
func (s *Store) GetUserByName(ctx context.Context, name string) (User, error) {
	return users().Get(ctx, s.db, "WHERE login = ?", store.Lower(name))
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

// Session is a signed-in browser. ID is a hash of what the cookie holds.
type Session struct {
	ID      string          `json:"-"`
	User    string          `json:"user"`
	Method  string          `json:"method"` // password, passkey or oidc
	Created time.Time       `json:"created"`
	Seen    time.Time       `json:"seen"`
	Expires time.Time       `json:"expires"`
	Data    json.RawMessage `json:"-"` // the api's own
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

// Token lets a program in, with a part of its user's rights. Hash is of the secret.
type Token struct {
	ID        string     `json:"id"`
	User      string     `json:"user"`
	Name      string     `json:"name"`
	Hash      string     `json:"-"`
	Scopes    []string   `json:"scopes"`
	Created   time.Time  `json:"created"`
	Expires   time.Time  `json:"expires"`
	LastUsed  *time.Time `json:"last_used"`
	RevokedAt *time.Time `json:"revoked_at"`
	RevokedBy string     `json:"revoked_by"`
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

// Ticket is good for one use until it expires: an invitation, the state of a sign-in by OIDC, a passkey ceremony. ID is a
// hash of the secret.
type Ticket struct {
	ID      string
	Kind    string
	User    string
	Data    json.RawMessage
	Expires time.Time
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

// Request is what is remembered of a write with an idempotency key.
type Request struct {
	Key     string // with who sent it in front
	Digest  string // of method, path and body
	Done    bool
	Status  int
	Answer  []byte // header and body as the api encodes them
	Expires time.Time
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

func users() store.Table[User] {
	return store.Table[User]{Name: "users", Bind: func(c *store.Columns, v *User) {
		c.Key("id", &v.ID)
		store.Int(c, "revision", &v.Revision)
		c.Key("name", &v.Name)
		c.Derived("login", func() any { return store.Lower(v.Name) })
		c.Text("email", &v.Email)
		c.Text("role", &v.Role)
		c.Ref("subject", &v.Subject)
		c.Text("password_hash", &v.PasswordHash)
		c.Bytes("totp", &v.TOTP)
		store.Int(c, "totp_step", &v.TOTPStep)
		c.Raw("passkeys", &v.Passkeys)
		c.Hex("handle", &v.Handle)
		c.Bool("disabled", &v.Disabled)
		c.Time("created", &v.Created)
		c.Maybe("last_login", &v.LastLogin)
	}}
}

func sessions() store.Table[Session] {
	return store.Table[Session]{Name: "sessions", Bind: func(c *store.Columns, v *Session) {
		c.Key("id", &v.ID)
		c.Key("user_id", &v.User)
		c.Text("method", &v.Method)
		c.Time("created", &v.Created)
		c.Time("seen", &v.Seen)
		c.Time("expires", &v.Expires)
		c.Raw("data", &v.Data)
	}}
}

func tokens() store.Table[Token] {
	return store.Table[Token]{Name: "tokens", Bind: func(c *store.Columns, v *Token) {
		c.Key("id", &v.ID)
		c.Key("user_id", &v.User)
		c.Text("name", &v.Name)
		c.Key("hash", &v.Hash)
		store.List(c, "scopes", &v.Scopes)
		c.Time("created", &v.Created)
		c.Time("expires", &v.Expires)
		c.Maybe("last_used", &v.LastUsed)
		c.Maybe("revoked_at", &v.RevokedAt)
		c.Ref("revoked_by", &v.RevokedBy)
	}}
}

func tickets() store.Table[Ticket] {
	return store.Table[Ticket]{Name: "tickets", Bind: func(c *store.Columns, v *Ticket) {
		c.Key("id", &v.ID)
		c.Text("kind", &v.Kind)
		c.Ref("user_id", &v.User)
		c.Raw("data", &v.Data)
		c.Time("expires", &v.Expires)
	}}
}

func requests() store.Table[Request] {
	return store.Table[Request]{Name: "requests", Bind: func(c *store.Columns, v *Request) {
		c.Key("key", &v.Key)
		c.Text("digest", &v.Digest)
		c.Bool("done", &v.Done)
		store.Int(c, "status", &v.Status)
		c.Bytes("answer", &v.Answer)
		c.Time("expires", &v.Expires)
	}}
}
