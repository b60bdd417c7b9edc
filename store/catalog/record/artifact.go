package record

import (
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

// Brief ties what lists hold.
func (v *Artifact) Brief(c Columns) {
	c.Key("id", &v.ID)
	c.Word("name", &v.Name)
	c.Value("digest", &v.Digest)
	c.Value("path", &v.Path)
	c.Value("signed", &v.Signed)
	c.Value("inspected", &v.Inspected)
	c.Value("load_count", &v.LoadCount)
	c.Value("updated", &v.Updated)
}

// Bind ties each field to its column.
func (v *Artifact) Bind(c Columns) {
	v.Brief(c)
	c.Value("signature", &v.Signature)
	c.Value("inspection", &v.Inspection)
	c.Value("lineage", &v.Lineage)
}

// Bind ties each field to its column.
func (v *Credential) Bind(c Columns) {
	c.Key("id", &v.ID)
	c.Value("revision", &v.Revision)
	c.Key("account", &v.Account)
	c.Value("organization", &v.Organization)
	c.Value("plan", &v.Plan)
	c.Value("models", &v.Models)
	c.Value("endpoints", &v.Endpoints)
	c.Value("features", &v.Features)
	c.Value("budgets", &v.Budgets)
	c.Value("requests_per_minute", &v.RequestsPerMinute)
	c.Value("tokens_per_minute", &v.TokensPerMinute)
	c.Value("note", &v.Note)
	c.Value("created", &v.Created)
	c.Value("expires", &v.Expires)
	c.Value("rotated", &v.Rotated)
	c.Value("revoked", &v.Revoked)
	c.Value("reason", &v.Reason)
	c.Value("digests", &v.Digests)
}

// Bind ties each field to its column.
func (v *Load) Bind(c Columns) {
	c.Value("at", &v.At)
	c.Value("loaded_by", &v.By)
	c.Value("host", &v.Host)
	c.Value("allowed", &v.Allowed)
	c.Value("reason", &v.Reason)
	c.Value("ledger_index", &v.LedgerIndex)
}
