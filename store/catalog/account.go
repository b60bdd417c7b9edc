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
	"github.com/palladium-guard/palladium/store/catalog/record"
)

// PutAccounts stores accounts in one transaction. What describes an account replaces what was known; counts and Last only
// rise, and First only falls, so that descriptions and counts may come from different writers in any order. Accounts whose id
// the catalog cannot hold (longer than 1000 bytes, not UTF-8, with a NUL) are left out.
func (s *Store) PutAccounts(ctx context.Context, accounts []Account) error {
	accounts = slices.DeleteFunc(slices.Clone(accounts), func(a Account) bool { return !store.Storable(a.ID) })
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

// Describe makes a catalog account of what the operator knows of it.
func Describe(a *palladium.Account) Account { return record.Describe(a) }

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

// GetAccounts gives those of the accounts that are known, by id.
func (s *Store) GetAccounts(ctx context.Context, ids []string) ([]Account, error) {
	out := []Account{}
	ids = slices.DeleteFunc(slices.Compact(slices.Sorted(slices.Values(ids))), func(id string) bool { return !store.Storable(id) })
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

// Filter is one condition on accounts. Its fields are id, organization, plan, email_domain, email_shape, payment, bin,
// phone_prefix, device, signup_ip, relation, campaign, family, token (text); created, first, last (time); exchanges, output
// (number).
type Filter = store.Filter
