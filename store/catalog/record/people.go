package record

import (
	"encoding/json"
	"strings"
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
	Name         string          `json:"name"` // what one signs in with; unique without regard to case
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

// Ticket is good for one use until it expires: an invitation, the state of a sign-in by OIDC, a passkey ceremony. ID is a
// hash of the secret.
type Ticket struct {
	ID      string
	Kind    string
	User    string
	Data    json.RawMessage
	Expires time.Time
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

// Bind ties each field to its column.
func (v *User) Bind(c Columns) {
	c.Key("id", &v.ID)
	c.Value("revision", &v.Revision)
	c.Key("name", &v.Name)
	c.Derived("login", func() any { return strings.ToLower(v.Name) })
	c.Value("email", &v.Email)
	c.Value("role", &v.Role)
	c.Ref("subject", &v.Subject)
	c.Value("password_hash", &v.PasswordHash)
	c.Value("totp", &v.TOTP)
	c.Value("totp_step", &v.TOTPStep)
	c.Value("passkeys", &v.Passkeys)
	c.Hex("handle", &v.Handle)
	c.Value("disabled", &v.Disabled)
	c.Value("created", &v.Created)
	c.Value("last_login", &v.LastLogin)
}

// Bind ties each field to its column.
func (v *Session) Bind(c Columns) {
	c.Key("id", &v.ID)
	c.Key("user_id", &v.User)
	c.Value("method", &v.Method)
	c.Value("created", &v.Created)
	c.Value("seen", &v.Seen)
	c.Value("expires", &v.Expires)
	c.Value("data", &v.Data)
}

// Bind ties each field to its column.
func (v *Token) Bind(c Columns) {
	c.Key("id", &v.ID)
	c.Key("user_id", &v.User)
	c.Value("name", &v.Name)
	c.Key("hash", &v.Hash)
	c.Value("scopes", &v.Scopes)
	c.Value("created", &v.Created)
	c.Value("expires", &v.Expires)
	c.Value("last_used", &v.LastUsed)
	c.Value("revoked_at", &v.RevokedAt)
	c.Ref("revoked_by", &v.RevokedBy)
}

// Bind ties each field to its column.
func (v *Ticket) Bind(c Columns) {
	c.Key("id", &v.ID)
	c.Value("kind", &v.Kind)
	c.Ref("user_id", &v.User)
	c.Value("data", &v.Data)
	c.Value("expires", &v.Expires)
}

// Bind ties each field to its column.
func (v *Request) Bind(c Columns) {
	c.Key("key", &v.Key)
	c.Value("digest", &v.Digest)
	c.Value("done", &v.Done)
	c.Value("status", &v.Status)
	c.Value("answer", &v.Answer)
	c.Value("expires", &v.Expires)
}
