package catalog

import (
	"context"
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

// PutAccounts stores accounts in one transaction. What describes an account replaces what was known; counts and Last only
// rise, and First only falls, so that descriptions and counts may come from different writers in any order.
func (s *Store) PutAccounts(ctx context.Context, accounts []Account) error { return errNotBuilt }

// GetAccount gives one account.
func (s *Store) GetAccount(ctx context.Context, id string) (Account, error) {
	return Account{}, errNotBuilt
}

// GetAccounts gives those of the accounts that are known, in the order of ids.
func (s *Store) GetAccounts(ctx context.Context, ids []string) ([]Account, error) {
	return nil, errNotBuilt
}

// The further orders of Hunt: largest first.
const (
	SortOutput = "output"
	SortLast   = "last"
)

// HuntQuery selects accounts. All filters must hold.
type HuntQuery struct {
	Page
	Text    string   // beginning of an id, or part of the organisation or e-mail domain
	Filters []Filter // 20 at most
	Sort    string   // SortID (when empty), SortExchanges, SortOutput or SortLast
}

// Filter is one condition on accounts.
//
// Fields: id, organization, plan, email_domain, email_shape, payment, bin, phone_prefix, device, signup_ip, relation,
// campaign, family, token (text); created, first, last (time); exchanges, output (number).
// Ops: is, not, in for all; begins, has for text; from (inclusive) and to (exclusive) for times and numbers.
// A time stands in Values in RFC 3339, a number in decimal.
type Filter struct {
	Field, Op string
	Values    []string // one; for in, up to 100
}

// Hunt gives the accounts that q selects. ErrInvalid names what is wrong with a filter.
func (s *Store) Hunt(ctx context.Context, q HuntQuery) ([]Account, string, error) {
	return nil, "", errNotBuilt
}

// CountHunt says how many accounts q selects on all pages.
func (s *Store) CountHunt(ctx context.Context, q HuntQuery) (int64, error) { return 0, errNotBuilt }

// Pivot is a value that accounts have in common.
type Pivot struct {
	Value     string           `json:"value"`
	Family    palladium.Family `json:"family,omitempty"` // of a token
	Accounts  int64            `json:"accounts"`
	Exchanges int64            `json:"exchanges"` // of these accounts
	Output    int64            `json:"output"`
}

// PivotHunt counts what the accounts that q selects have in common by a text field of Filter but id and family, most
// accounts first, limit at most. Empty values are left out.
func (s *Store) PivotHunt(ctx context.Context, q HuntQuery, field string, limit int) ([]Pivot, error) {
	return nil, errNotBuilt
}
