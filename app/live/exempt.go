package live

import (
	"context"
	"fmt"
	"maps"
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

// releases are the accounts that people let go, as they were read last. They belong to an Actor.
type releases struct {
	at     map[string]time.Time // when an account was let go last
	from   time.Time            // what was let go since is known
	looked time.Time            // when they were read last
	whole  time.Time            // when they were last read from the start
}

const (
	// lateRelease is how long before the last look a release may be dated that it did not see: clocks of processes differ, and
	// what is written down first in the ledger is dated before that.
	lateRelease = time.Hour
	// wholeReleases is how often all are read again, so that a catalog that was put back is followed.
	wholeReleases = time.Hour
)

// released adds accounts that a person let go since the given time: by undoing a decision of policy, or refusing to agree to it, or
// after an appeal. Who undoes what a person decided puts back what was before it, and policy's measures were: they go on. Only what was
// revoked since the last look is read, but for once an hour.
func (a *Actor) released(ctx context.Context, e *exempt, now, since time.Time) error {
	r := &a.free
	after := r.looked.Add(-lateRelease)
	if r.at == nil || since.Before(r.from) || now.Before(r.looked) || now.Sub(r.whole) >= wholeReleases {
		r.at, r.from, r.whole, after = map[string]time.Time{}, since, now, since
	}
	fresh, err := e.cat.Released(ctx, after)
	if err != nil {
		r.at = nil
		return fmt.Errorf("read who was let go: %w", err)
	}
	r.looked = now
	maps.Copy(r.at, fresh)
	for id, at := range r.at {
		if at.After(since) {
			e.accounts[id] = true
		} else {
			delete(r.at, id)
		}
	}
	return nil
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
