package live

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/palladium-guard/palladium/store/catalog"
)

// exempt knows who is left alone. It lives for one decision, or one round of policy.
type exempt struct {
	cat      *catalog.Store
	accounts map[string]bool // named on the list, or let go by a person
	groups   map[string]bool // organization:NAME and domain:NAME
	known    map[string]bool // answers for accounts that had to be looked up
}

// allowed reads the allow-list and the registry of researchers and evaluators.
func (b *Board) allowed(ctx context.Context, now time.Time) (*exempt, error) {
	list, err := b.cat.AllowsInForce(ctx, now)
	if err != nil {
		return nil, fmt.Errorf("read the allow-list: %w", err)
	}
	e := &exempt{cat: b.cat, accounts: map[string]bool{}, groups: map[string]bool{}, known: map[string]bool{}}
	for _, a := range list {
		if id, ok := strings.CutPrefix(a.Subject, "account:"); ok {
			e.accounts[id] = true
		} else {
			e.groups[a.Subject] = true
		}
	}
	return e, nil
}

// released adds accounts that a person let go since the given time: by undoing a decision of policy, or refusing to agree to it, or
// after an appeal. Who undoes what a person decided puts back what was before it, and policy's measures were: they go on.
func (e *exempt) released(ctx context.Context, since time.Time) error {
	undone := map[string]*time.Time{} // when decisions of people were undone as a whole, by decision
	q := catalog.VerdictQuery{State: []string{catalog.StateRevoked, catalog.StateRefused}}
	q.Limit = 1000
	for {
		page, next, err := e.cat.ListVerdicts(ctx, q)
		if err != nil {
			return fmt.Errorf("read who was let go: %w", err)
		}
		for i := range page {
			v := &page[i]
			if v.State == catalog.StateRefused && !v.Automated {
				continue
			}
			if v.RevokedAt == nil || !v.RevokedAt.After(since) || strings.HasPrefix(v.RevokedBy, policyActor) || e.accounts[v.Account] {
				continue
			}
			if !v.Automated {
				if _, ok := undone[v.Decision]; !ok {
					d, err := e.cat.GetDecision(ctx, v.Decision)
					if err != nil && !errors.Is(err, catalog.ErrNotFound) {
						return fmt.Errorf("read a decision that was undone: %w", err)
					}
					undone[v.Decision] = d.UndoneAt
				}
				if at := undone[v.Decision]; at != nil && at.Equal(*v.RevokedAt) {
					continue
				}
			}
			e.accounts[v.Account] = true
		}
		if next == "" || len(page) > 0 && page[len(page)-1].Issued.Before(since.Add(-maxTime)) {
			return nil
		}
		q.Cursor = next
	}
}

// account reports whether the account is left alone. One that cannot be looked up is: a false alarm is worse than a late one.
func (e *exempt) account(ctx context.Context, id string) bool {
	if e.accounts[id] {
		return true
	}
	if len(e.groups) == 0 {
		return false
	}
	if out, ok := e.known[id]; ok {
		return out
	}
	return e.group(ctx, []string{id})[id]
}

// group looks many accounts up at once, and remembers the answers.
func (e *exempt) group(ctx context.Context, ids []string) map[string]bool {
	const most = 500
	for len(ids) > 0 && len(e.groups) > 0 {
		part := ids[:min(most, len(ids))]
		ids = ids[len(part):]
		list, err := e.cat.GetAccounts(ctx, part)
		for _, id := range part {
			e.known[id] = err != nil
		}
		for i := range list {
			a := &list[i]
			e.known[a.ID] = a.Organization != "" && e.groups["organization:"+a.Organization] || a.EmailDomain != "" && e.groups["domain:"+a.EmailDomain]
		}
	}
	return e.known
}
