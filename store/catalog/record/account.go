package record

import (
	"time"

	"github.com/palladium-guard/palladium"
)

// Account is what is known of an account, and what it drew.
type Account struct {
	ID           string             `json:"id"`
	Created      *time.Time         `json:"created"` // nil when unknown
	Organization string             `json:"organization"`
	Plan         string             `json:"plan"`
	EmailDomain  string             `json:"email_domain"`
	EmailShape   string             `json:"email_shape"`
	Payment      string             `json:"payment"` // opaque fingerprint
	BIN          string             `json:"bin"`
	PhonePrefix  string             `json:"phone_prefix"`
	Device       string             `json:"device"`
	SignupIP     string             `json:"signup_ip"`
	Verified     []string           `json:"verified"`
	Relation     palladium.Relation `json:"relation"`
	Campaigns    []string           `json:"campaigns"` // read only: follows from the reports
	Exchanges    int64              `json:"exchanges"`
	Tokens       palladium.Tokens   `json:"tokens"`
	First        *time.Time         `json:"first"`
	Last         *time.Time         `json:"last"`
	Updated      time.Time          `json:"updated"`
}

// Describe makes a catalog account of what the operator knows of it.
func Describe(a *palladium.Account) Account {
	out := Account{ID: a.ID, Organization: a.Organization, Plan: a.Plan, EmailDomain: a.EmailDomain, EmailShape: a.EmailShape,
		Payment: a.Payment, BIN: a.BIN, PhonePrefix: a.PhonePrefix, Device: a.Device, SignupIP: a.SignupIP,
		Verified: a.Verified, Relation: a.Relation}
	if !a.Created.IsZero() {
		out.Created = &a.Created
	}
	return out
}

// Pivot is a value that accounts have in common.
type Pivot struct {
	Value     string           `json:"value"`
	Family    palladium.Family `json:"family,omitempty"` // of a token
	Accounts  int64            `json:"accounts"`
	Exchanges int64            `json:"exchanges"` // of these accounts
	Output    int64            `json:"output"`
}

// Bind ties each field to its column.
func (v *Account) Bind(c Columns) {
	c.Key("id", &v.ID)
	c.Value("created", &v.Created)
	c.Word("organization", &v.Organization)
	c.Word("plan", &v.Plan)
	c.Word("email_domain", &v.EmailDomain)
	c.Word("email_shape", &v.EmailShape)
	c.Word("payment", &v.Payment)
	c.Word("bin", &v.BIN)
	c.Word("phone_prefix", &v.PhonePrefix)
	c.Word("device", &v.Device)
	c.Word("signup_ip", &v.SignupIP)
	c.Value("verified", &v.Verified)
	c.Value("relation", &v.Relation)
	c.Value("exchanges", &v.Exchanges)
	c.Value("tokens_input", &v.Tokens.Input)
	c.Value("tokens_output", &v.Tokens.Output)
	c.Value("tokens_reasoning", &v.Tokens.Reasoning)
	c.Value("first", &v.First)
	c.Value("last", &v.Last)
	c.Derived("recency", func() any {
		if v.Last == nil {
			return int64(0)
		}
		return v.Last.UnixMilli()
	})
	c.Value("updated", &v.Updated)
}
