package catalog

import (
	"context"
	"encoding/json"
	"time"
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
func (s *Store) PutUser(ctx context.Context, u User) (User, error) { return User{}, errNotBuilt }

// GetUser gives one user.
func (s *Store) GetUser(ctx context.Context, id string) (User, error) { return User{}, errNotBuilt }

// GetUserByName gives the user with this name, without regard to ASCII case.
func (s *Store) GetUserByName(ctx context.Context, name string) (User, error) {
	return User{}, errNotBuilt
}

// GetUserBySubject gives the user with this OIDC subject.
func (s *Store) GetUserBySubject(ctx context.Context, subject string) (User, error) {
	return User{}, errNotBuilt
}

// GetUserByHandle gives the user with this WebAuthn handle.
func (s *Store) GetUserByHandle(ctx context.Context, handle []byte) (User, error) {
	return User{}, errNotBuilt
}

// CountUsers counts users that are not disabled; with this role when it is not empty.
func (s *Store) CountUsers(ctx context.Context, role string) (int64, error) { return 0, errNotBuilt }

// ListUsers gives users by name.
func (s *Store) ListUsers(ctx context.Context, p Page) ([]User, string, error) {
	return nil, "", errNotBuilt
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
func (s *Store) PutSession(ctx context.Context, v Session) error { return errNotBuilt }

// GetSession gives a session that has not expired at now.
func (s *Store) GetSession(ctx context.Context, id string, now time.Time) (Session, error) {
	return Session{}, errNotBuilt
}

// EndSession forgets a session; it is no error when there is none.
func (s *Store) EndSession(ctx context.Context, id string) error { return errNotBuilt }

// EndSessions forgets the sessions of a user but the one with the id except, and says how many.
func (s *Store) EndSessions(ctx context.Context, user, except string) (int, error) {
	return 0, errNotBuilt
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
func (s *Store) AddToken(ctx context.Context, t Token) error { return errNotBuilt }

// GetToken gives one token.
func (s *Store) GetToken(ctx context.Context, id string) (Token, error) { return Token{}, errNotBuilt }

// GetTokenByHash gives the token with this hash, revoked and expired ones too.
func (s *Store) GetTokenByHash(ctx context.Context, hash string) (Token, error) {
	return Token{}, errNotBuilt
}

// UseToken notes when a token was used. It is written at most once a minute for each token.
func (s *Store) UseToken(ctx context.Context, id string, at time.Time) error { return errNotBuilt }

// RevokeToken ends a token; of one that has ended already it changes nothing.
func (s *Store) RevokeToken(ctx context.Context, id, by string, at time.Time) error {
	return errNotBuilt
}

// RevokeTokens ends all tokens of a user, and says how many.
func (s *Store) RevokeTokens(ctx context.Context, user, by string, at time.Time) (int, error) {
	return 0, errNotBuilt
}

// ListTokens gives tokens, newest first; of one user when it is not empty.
func (s *Store) ListTokens(ctx context.Context, user string, p Page) ([]Token, string, error) {
	return nil, "", errNotBuilt
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
func (s *Store) PutTicket(ctx context.Context, t Ticket) error { return errNotBuilt }

// PeekTicket gives a ticket of this kind that has not expired at now.
func (s *Store) PeekTicket(ctx context.Context, kind, id string, now time.Time) (Ticket, error) {
	return Ticket{}, errNotBuilt
}

// TakeTicket gives a ticket of this kind that has not expired at now, and forgets it: of several callers one gets it, the
// others ErrNotFound.
func (s *Store) TakeTicket(ctx context.Context, kind, id string, now time.Time) (Ticket, error) {
	return Ticket{}, errNotBuilt
}

// DropTickets forgets the tickets of a kind that belong to a user.
func (s *Store) DropTickets(ctx context.Context, kind, user string) error { return errNotBuilt }

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
	return Request{}, false, errNotBuilt
}

// FinishRequest stores the answer of a claimed request.
func (s *Store) FinishRequest(ctx context.Context, key string, status int, answer []byte) error {
	return errNotBuilt
}

// DropRequest forgets a claimed request that was not done, so that it can be sent again.
func (s *Store) DropRequest(ctx context.Context, key string) error { return errNotBuilt }
