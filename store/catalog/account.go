package catalog

import (
	"context"
	"database/sql"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/palladium-guard/palladium"
	"github.com/palladium-guard/palladium/store"
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
func (s *Store) PutAccounts(ctx context.Context, accounts []Account) error {
	accounts = lastOf(accounts, func(a *Account) string { return a.ID })
	now := time.Now().UTC()
	return s.db.Update(ctx, func(tx *store.DB) error {
		rows := make([]Account, len(accounts))
		for i := range accounts {
			rows[i] = accounts[i]
			rows[i].Updated = now
		}
		_, err := accountTable().Save(ctx, tx, "ON CONFLICT (id) DO UPDATE SET "+described()+", "+counted(), rows...)
		return err
	})
}

// described is the part of an update that takes over what describes an account.
func described() string {
	var set []string
	for _, c := range []string{"created", "organization", "plan", "email_domain", "email_shape", "payment", "bin", "phone_prefix", "device", "signup_ip", "verified", "relation", "updated"} {
		set = append(set, c+" = excluded."+c)
	}
	return strings.Join(set, ", ")
}

// counted is the part of an update that raises counts.
func counted() string {
	var set []string
	for _, c := range []string{"exchanges", "tokens_input", "tokens_output", "tokens_reasoning", "recency"} {
		set = append(set, fmt.Sprintf("%s = CASE WHEN excluded.%s > accounts.%s THEN excluded.%s ELSE accounts.%s END", c, c, c, c, c))
	}
	for c, op := range map[string]string{"last": ">", "first": "<"} {
		set = append(set, fmt.Sprintf("%s = CASE WHEN excluded.%s IS NULL THEN accounts.%s WHEN accounts.%s IS NULL OR excluded.%s %s accounts.%s THEN excluded.%s ELSE accounts.%s END",
			c, c, c, c, c, op, c, c, c))
	}
	return strings.Join(set, ", ")
}

// countAccounts takes over what members drew, and leaves alone what describes them.
func countAccounts(ctx context.Context, tx *store.DB, members []Membership) error {
	now := time.Now().UTC()
	rows := make([]Account, len(members))
	for i := range members {
		m := &members[i]
		rows[i] = Account{ID: m.ID, Verified: []string{}, Exchanges: m.Exchanges, Tokens: m.Tokens, Updated: now}
		if !m.Last.IsZero() {
			rows[i].First, rows[i].Last = &m.First, &m.Last
		}
	}
	_, err := accountTable().Save(ctx, tx, "ON CONFLICT (id) DO UPDATE SET updated = excluded.updated, "+counted(), rows...)
	return err
}

func accountTable() store.Table[Account] {
	return store.Table[Account]{Name: "accounts", Bind: func(c *store.Columns, v *Account) {
		c.Key("id", &v.ID)
		c.Maybe("created", &v.Created)
		c.Word("organization", &v.Organization)
		c.Word("plan", &v.Plan)
		c.Word("email_domain", &v.EmailDomain)
		c.Word("email_shape", &v.EmailShape)
		c.Word("payment", &v.Payment)
		c.Word("bin", &v.BIN)
		c.Word("phone_prefix", &v.PhonePrefix)
		c.Word("device", &v.Device)
		c.Word("signup_ip", &v.SignupIP)
		store.List(c, "verified", &v.Verified)
		store.Named(c, "relation", &v.Relation)
		store.Int(c, "exchanges", &v.Exchanges)
		store.Int(c, "tokens_input", &v.Tokens.Input)
		store.Int(c, "tokens_output", &v.Tokens.Output)
		store.Int(c, "tokens_reasoning", &v.Tokens.Reasoning)
		c.Maybe("first", &v.First)
		c.Maybe("last", &v.Last)
		c.Derived("recency", func() any {
			if v.Last == nil {
				return int64(0)
			}
			return v.Last.UnixMilli()
		})
		c.Time("updated", &v.Updated)
	}}
}

// joined puts in the campaigns to which accounts belong.
func joined(ctx context.Context, d *store.DB, list []Account) error {
	at := make(map[string]int, len(list))
	ids := make([]string, len(list))
	for i := range list {
		list[i].Campaigns = []string{}
		at[list[i].ID], ids[i] = i, list[i].ID
	}
	for part := range slices.Chunk(ids, 2000) {
		var w store.Where
		store.In(&w, "account", part)
		clause, args := w.Clause()
		err := d.Each(ctx, "SELECT account, campaign FROM members "+clause+" ORDER BY account, campaign", args, func(rows *sql.Rows) error {
			var account, campaign string
			if err := rows.Scan(&account, &campaign); err != nil {
				return err
			}
			a := &list[at[account]]
			a.Campaigns = append(a.Campaigns, campaign)
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// GetAccount gives one account.
func (s *Store) GetAccount(ctx context.Context, id string) (Account, error) {
	list, err := s.GetAccounts(ctx, []string{id})
	if err == nil && len(list) == 0 {
		err = ErrNotFound
	}
	if err != nil {
		return Account{}, err
	}
	return list[0], nil
}

// GetAccounts gives those of the accounts that are known, in the order of ids.
func (s *Store) GetAccounts(ctx context.Context, ids []string) ([]Account, error) {
	out := []Account{}
	for part := range slices.Chunk(ids, 2000) {
		var w store.Where
		store.In(&w, "id", part)
		clause, args := w.Clause()
		some, err := accountTable().All(ctx, s.db, clause+" ORDER BY id", args...)
		if err != nil {
			return nil, err
		}
		out = append(out, some...)
	}
	slices.SortFunc(out, func(a, b Account) int { return strings.Compare(a.ID, b.ID) })
	return out, joined(ctx, s.db, out)
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
