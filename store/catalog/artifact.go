package catalog

import (
	"context"
	"encoding/json"
	"time"

	"github.com/palladium-guard/palladium/store"
)

// Artifact is a model that is known.
type Artifact struct {
	ID         string          `json:"id"`
	Name       string          `json:"name"`
	Digest     string          `json:"digest"`
	Path       string          `json:"path"`
	Signed     string          `json:"signed"`    // verified, refused or unknown
	Inspected  string          `json:"inspected"` // allowed, refused or unknown
	Signature  json.RawMessage `json:"signature"` // these three are empty in lists
	Inspection json.RawMessage `json:"inspection"`
	Lineage    json.RawMessage `json:"lineage"`
	LoadCount  int64           `json:"load_count"`
	Loads      []Load          `json:"loads"` // newest first, 100 at most; empty in lists
	Updated    time.Time       `json:"updated"`
}

// Load is one time that a model was loaded, or refused.
type Load struct {
	At          time.Time `json:"at"`
	By          string    `json:"by"`
	Host        string    `json:"host"`
	Allowed     bool      `json:"allowed"`
	Reason      string    `json:"reason"`
	LedgerIndex int64     `json:"ledger_index"` // -1 for none

	artifact string
	number   int64
}

// PutArtifact stores an artifact by id. Its loads are not written: see AddLoad.
func (s *Store) PutArtifact(ctx context.Context, a Artifact) error {
	a.LoadCount = 0
	return s.db.Update(ctx, func(tx *store.DB) error {
		return artifacts(true).Upsert(ctx, tx, "id", []Artifact{a}, "load_count")
	})
}

// AddLoad notes that an artifact was loaded; ErrNotFound when there is no such artifact.
func (s *Store) AddLoad(ctx context.Context, artifact string, l Load) error {
	return s.db.Update(ctx, func(tx *store.DB) error {
		l.artifact = artifact
		if err := tx.Row(ctx, "UPDATE artifacts SET load_count = load_count + 1 WHERE id = ? RETURNING load_count", []any{artifact}, &l.number); err != nil {
			return err
		}
		return loads().Insert(ctx, tx, l)
	})
}

// GetArtifact gives one artifact.
func (s *Store) GetArtifact(ctx context.Context, id string) (Artifact, error) {
	a, err := artifacts(true).Get(ctx, s.db, "WHERE id = ?", id)
	if err == nil {
		a.Loads, err = loads().All(ctx, s.db, "WHERE artifact = ? ORDER BY number DESC LIMIT 100", id)
	}
	return a, err
}

// ListArtifacts gives artifacts by name; with text, those with it in the name or at the beginning of the digest.
func (s *Store) ListArtifacts(ctx context.Context, text string, p Page) ([]Artifact, string, error) {
	var w store.Where
	if text != "" {
		w.And("(lower(name) LIKE ? ESCAPE '!' OR digest >= ? AND digest < ?)", store.Like(text), text, text+"\U0010FFFF")
	}
	return artifacts(false).Page(ctx, s.db, w, store.Order{Name: "artifacts", Key: "name", ID: "id", Kind: "ss"}, p)
}

// Credential is a key of a caller of the gateway. Only hashes of its secrets are here.
type Credential struct {
	ID                string           `json:"id"`
	Revision          int64            `json:"revision"`
	Account           string           `json:"account"`
	Organization      string           `json:"organization"`
	Plan              string           `json:"plan"`
	Models            []string         `json:"models"`
	Endpoints         []string         `json:"endpoints"`
	Features          []string         `json:"features"`
	Budgets           []string         `json:"budgets"`
	RequestsPerMinute int64            `json:"requests_per_minute"`
	TokensPerMinute   int64            `json:"tokens_per_minute"`
	Note              string           `json:"note"`
	Created           time.Time        `json:"created"`
	Expires           *time.Time       `json:"expires"` // nil: never
	Rotated           *time.Time       `json:"rotated"`
	Revoked           *time.Time       `json:"revoked"`
	Reason            string           `json:"reason"` // of the revocation
	Digests           []CredentialHash `json:"-"`
}

// CredentialHash is the hash of one secret of a key.
type CredentialHash struct {
	SHA256 string     `json:"sha256"`          // hexadecimal
	Until  *time.Time `json:"until,omitempty"` // nil: as long as the key
}

// PutCredential stores a key: a new one when c.Revision is 0, else a change of that revision, and raises the version of
// CredentialsInForce. It gives it as it is now. ErrConflict when the Revision is not the stored one.
func (s *Store) PutCredential(ctx context.Context, c Credential) (Credential, error) {
	var out Credential
	err := s.db.Update(ctx, func(tx *store.DB) (err error) {
		if out, err = credentials().Put(ctx, tx, &c, c.ID, &c.Revision); err == nil {
			_, err = bump(ctx, tx, "credentials", 1)
		}
		return err
	})
	return out, err
}

// GetCredential gives one key.
func (s *Store) GetCredential(ctx context.Context, id string) (Credential, error) {
	return credentials().Get(ctx, s.db, "WHERE id = ?", id)
}

// CredentialQuery selects keys. An empty field selects all.
type CredentialQuery struct {
	Page
	Account string
	State   string    // active, expired or revoked
	Now     time.Time // for State
}

// ListCredentials gives keys, newest first.
func (s *Store) ListCredentials(ctx context.Context, q CredentialQuery) ([]Credential, string, error) {
	var w store.Where
	w.Equal("account", q.Account)
	switch now := q.Now.UnixMilli(); q.State {
	case "":
	case "revoked":
		w.And("revoked IS NOT NULL")
	case "expired":
		w.And("revoked IS NULL AND expires <= ?", now)
	case "active":
		w.And("revoked IS NULL AND (expires IS NULL OR expires > ?)", now)
	default:
		return nil, "", oneOf("state", q.State, []string{"active", "expired", "revoked"})
	}
	return credentials().Page(ctx, s.db, w, newest("created"), q.Page)
}

// CredentialsInForce gives the keys that are neither revoked nor expired at now, by id, and the version that they belong to,
// which rises with every change of a key.
func (s *Store) CredentialsInForce(ctx context.Context, now time.Time) ([]Credential, uint64, error) {
	var out []Credential
	var version int64
	err := s.db.View(ctx, func(tx *store.DB) (err error) {
		if out, err = credentials().All(ctx, tx, "WHERE revoked IS NULL AND (expires IS NULL OR expires > ?) ORDER BY id", now.UnixMilli()); err == nil {
			version, err = number(ctx, tx, "credentials")
		}
		return err
	})
	return out, uint64(version), err
}

func artifacts(whole bool) store.Table[Artifact] {
	return store.Table[Artifact]{Name: "artifacts", Bind: func(c *store.Columns, v *Artifact) {
		c.Key("id", &v.ID)
		c.Word("name", &v.Name)
		c.Text("digest", &v.Digest)
		c.Text("path", &v.Path)
		c.Text("signed", &v.Signed)
		c.Text("inspected", &v.Inspected)
		if whole {
			c.Raw("signature", &v.Signature)
			c.Raw("inspection", &v.Inspection)
			c.Raw("lineage", &v.Lineage)
		}
		store.Int(c, "load_count", &v.LoadCount)
		c.Time("updated", &v.Updated)
	}}
}

func loads() store.Table[Load] {
	return store.Table[Load]{Name: "loads", Bind: func(c *store.Columns, v *Load) {
		c.Key("artifact", &v.artifact)
		store.Int(c, "number", &v.number)
		c.Time("at", &v.At)
		c.Text("loaded_by", &v.By)
		c.Text("host", &v.Host)
		c.Bool("allowed", &v.Allowed)
		c.Text("reason", &v.Reason)
		store.Int(c, "ledger_index", &v.LedgerIndex)
	}}
}

func credentials() store.Table[Credential] {
	return store.Table[Credential]{Name: "credentials", Bind: func(c *store.Columns, v *Credential) {
		c.Key("id", &v.ID)
		store.Int(c, "revision", &v.Revision)
		c.Key("account", &v.Account)
		c.Text("organization", &v.Organization)
		c.Text("plan", &v.Plan)
		store.List(c, "models", &v.Models)
		store.List(c, "endpoints", &v.Endpoints)
		store.List(c, "features", &v.Features)
		store.List(c, "budgets", &v.Budgets)
		store.Int(c, "requests_per_minute", &v.RequestsPerMinute)
		store.Int(c, "tokens_per_minute", &v.TokensPerMinute)
		c.Text("note", &v.Note)
		c.Time("created", &v.Created)
		c.Maybe("expires", &v.Expires)
		c.Maybe("rotated", &v.Rotated)
		c.Maybe("revoked", &v.Revoked)
		c.Text("reason", &v.Reason)
		store.List(c, "digests", &v.Digests)
	}}
}
