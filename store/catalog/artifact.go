package catalog

import (
	"context"
	"encoding/json"
	"time"
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
}

// PutArtifact stores an artifact by id. Its loads are not written: see AddLoad.
func (s *Store) PutArtifact(ctx context.Context, a Artifact) error { return errNotBuilt }

// AddLoad notes that an artifact was loaded; ErrNotFound when there is no such artifact.
func (s *Store) AddLoad(ctx context.Context, artifact string, l Load) error { return errNotBuilt }

// GetArtifact gives one artifact.
func (s *Store) GetArtifact(ctx context.Context, id string) (Artifact, error) {
	return Artifact{}, errNotBuilt
}

// ListArtifacts gives artifacts by name; with text, those with it in the name or at the beginning of the digest.
func (s *Store) ListArtifacts(ctx context.Context, text string, p Page) ([]Artifact, string, error) {
	return nil, "", errNotBuilt
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
	return Credential{}, errNotBuilt
}

// GetCredential gives one key.
func (s *Store) GetCredential(ctx context.Context, id string) (Credential, error) {
	return Credential{}, errNotBuilt
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
	return nil, "", errNotBuilt
}

// CredentialsInForce gives the keys that are neither revoked nor expired at now, by id, and the version that they belong to,
// which rises with every change of a key.
func (s *Store) CredentialsInForce(ctx context.Context, now time.Time) ([]Credential, uint64, error) {
	return nil, 0, errNotBuilt
}
