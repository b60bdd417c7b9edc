package catalog

import (
	"context"
	"database/sql"
	"fmt"
	"slices"
	"time"

	"github.com/palladium-guard/palladium"
	"github.com/palladium-guard/palladium/store"
	"github.com/palladium-guard/palladium/store/catalog/record"
)

// PutVerdicts stores verdicts by id in one transaction and raises the version. It gives the new version.
func (s *Store) PutVerdicts(ctx context.Context, verdicts []Verdict) (version uint64, err error) {
	if len(verdicts) == 0 {
		return s.VerdictVersion(ctx)
	}
	for i := range verdicts {
		if err := verdicts[i].Check(); err != nil {
			return 0, invalid(err)
		}
	}
	verdicts = lastOf(verdicts, func(v *Verdict) string { return v.ID })
	err = s.db.Update(ctx, func(tx *store.DB) error {
		if err := verdictTable().Upsert(ctx, tx, "id", verdicts); err != nil {
			return err
		}
		n, err := tx.Bump(ctx, "verdicts", 1)
		version = uint64(n)
		return err
	})
	return version, err
}

// Revocation says which verdicts end, and why. Decision or Campaign or Accounts must be given; those given must all hold.
type Revocation struct {
	Decision, Campaign string
	Accounts           []string
	By, Reason         string
	At                 time.Time
	LedgerIndex        int64 // -1 for none: keeps the one of the verdict
}

// RevokeVerdicts revokes the verdicts in force, pending or proposed that r selects, in one transaction, and raises the
// version when there were any. It gives them as they are now.
func (s *Store) RevokeVerdicts(ctx context.Context, r Revocation) ([]Verdict, error) {
	if r.Decision == "" && r.Campaign == "" && len(r.Accounts) == 0 {
		return nil, fmt.Errorf("%w: a revocation needs a decision, a campaign or accounts", ErrInvalid)
	}
	out := []Verdict{}
	err := s.db.Update(ctx, func(tx *store.DB) error {
		out = out[:0]
		for part := range slices.Chunk(append(r.Accounts, make([]string, btoi(len(r.Accounts) == 0))...), 2000) {
			var w store.Where
			store.In(&w, "state", []string{StateEnforced, StateShadow, StatePending, StateProposed})
			w.Equal("decision", r.Decision)
			w.Equal("campaign", r.Campaign)
			if len(r.Accounts) > 0 {
				store.In(&w, "account", part)
			}
			clause, args := w.Clause()
			some, err := verdictTable().All(ctx, tx, clause+" ORDER BY account, id", args...)
			if err != nil {
				return err
			}
			out = append(out, some...)
		}
		for i := range out {
			v := &out[i]
			v.State, v.RevokedAt, v.RevokedBy, v.RevokeReason = StateRevoked, &r.At, r.By, r.Reason
			if r.LedgerIndex >= 0 {
				v.LedgerIndex = r.LedgerIndex
			}
		}
		if len(out) == 0 {
			return nil
		}
		if err := verdictTable().Upsert(ctx, tx, "id", out); err != nil {
			return err
		}
		_, err := tx.Bump(ctx, "verdicts", 1)
		return err
	})
	return out, err
}

// released selects whom people let go since a time. Its terms are those of the index verdicts_by_release; grouped or ordered by
// account it would be answered by reading all.
const released = `SELECT v.account, v.revoked_at FROM verdicts v LEFT JOIN decisions d ON d.id = v.decision
	WHERE v.revoked_at > ? AND substr(v.revoked_by, 1, 7) <> 'policy:' AND (v.automated = TRUE AND v.state IN ('revoked', 'refused')
		OR v.state = 'revoked' AND (d.undone_at IS NULL OR d.undone_at <> v.revoked_at))`

// Released gives the accounts that a person let go after since, with when it last was: by undoing a decision of policy, or
// refusing to agree to it, or releasing them alone from anybody's. Where a person's own decision was undone as a whole nobody was
// let go. It reads what was revoked since, however much there is from before.
func (s *Store) Released(ctx context.Context, since time.Time) (map[string]time.Time, error) {
	out := make(map[string]time.Time)
	err := s.db.Each(ctx, released, []any{since.UnixMilli()}, func(rows *sql.Rows) error {
		var account string
		var at int64
		err := rows.Scan(&account, &at)
		if t := time.UnixMilli(at).UTC(); t.After(out[account]) {
			out[account] = t
		}
		return err
	})
	return out, err
}

// VerdictsInForce gives the enforced and shadow verdicts that have not expired at now, those not yet issued among them, by
// account and id, and the version that they belong to. Shadow is set for those in state shadow.
func (s *Store) VerdictsInForce(ctx context.Context, now time.Time) (out []palladium.Verdict, version uint64, err error) {
	err = s.db.View(ctx, func(tx *store.DB) (err error) {
		t := store.Table[Verdict]{Name: "verdicts", Bind: func(c *store.Columns, v *Verdict) { v.Brief(c) }}
		all, err := t.All(ctx, tx, "WHERE state IN ('enforced', 'shadow') AND expires > ? ORDER BY account, id", now.UnixMilli())
		if err != nil {
			return err
		}
		out = make([]palladium.Verdict, len(all))
		for i := range all {
			out[i] = all[i].Verdict
			out[i].Shadow = all[i].State == StateShadow
		}
		version, err = s.bound(tx).VerdictVersion(ctx)
		return err
	})
	return out, version, err
}

// VerdictVersion gives the version alone. It rises in the same transaction as any change of verdicts but Forget's.
func (s *Store) VerdictVersion(ctx context.Context) (uint64, error) {
	n, err := s.db.Number(ctx, "verdicts")
	return uint64(n), err
}

// RaiseVerdicts has the version of verdicts go beyond the one that gateways were given, and reports whether it was lower.
func (s *Store) RaiseVerdicts(ctx context.Context, given uint64) (bool, error) {
	return s.db.Raise(ctx, "verdicts", int64(given))
}

// GetVerdict gives one verdict.
func (s *Store) GetVerdict(ctx context.Context, id string) (Verdict, error) {
	return shadowed(verdictTable().Get(ctx, s.db, "WHERE id = ?", id))
}

// GetVerdictByAppeal gives the verdict with this appeal reference.
func (s *Store) GetVerdictByAppeal(ctx context.Context, ref string) (Verdict, error) {
	return shadowed(verdictTable().Get(ctx, s.db, "WHERE appeal = ? AND appeal <> '' ORDER BY issued DESC, id DESC", ref))
}

// VerdictQuery selects verdicts. An empty field selects all.
type VerdictQuery struct {
	Page
	State    []string
	Campaign string
	Accounts []string
	Decision string
	InForce  *time.Time // enforced or shadow, issued and not expired at this time
}

// ListVerdicts gives verdicts, newest first.
func (s *Store) ListVerdicts(ctx context.Context, q VerdictQuery) ([]Verdict, string, error) {
	w, err := q.where()
	if err != nil {
		return nil, "", err
	}
	out, next, err := verdictTable().Page(ctx, s.db, w, newest("issued"), q.Page)
	for i := range out {
		out[i].Shadow = out[i].State == StateShadow
	}
	return out, next, err
}

// CountVerdicts says how many verdicts q selects on all pages.
func (s *Store) CountVerdicts(ctx context.Context, q VerdictQuery) (int64, error) {
	w, err := q.where()
	if err != nil {
		return 0, err
	}
	return verdictTable().Count(ctx, s.db, w)
}

func (q *VerdictQuery) where() (w store.Where, err error) {
	if len(q.Accounts) > store.MaxPage {
		return w, fmt.Errorf("%w: more than %d accounts in one query", ErrInvalid, store.MaxPage)
	}
	store.In(&w, "state", q.State)
	w.Equal("campaign", q.Campaign)
	store.In(&w, "account", q.Accounts)
	w.Equal("decision", q.Decision)
	if q.InForce != nil {
		w.And("state IN ('enforced', 'shadow') AND issued <= ? AND expires > ?", q.InForce.UnixMilli(), q.InForce.UnixMilli())
	}
	return w, nil
}

// CountInForce counts the verdicts in force at now by campaign and measure, mildest measure first.
func (s *Store) CountInForce(ctx context.Context, campaigns []string, now time.Time) (map[string][]InForce, error) {
	out := make(map[string][]InForce)
	if len(campaigns) == 0 {
		return out, nil
	}
	var w store.Where
	store.In(&w, "campaign", campaigns)
	w.And("state IN ('enforced', 'shadow') AND issued <= ? AND expires > ?", now.UnixMilli(), now.UnixMilli())
	clause, args := w.Clause()
	err := s.db.Each(ctx, "SELECT campaign, measure, state, count(*) FROM verdicts "+clause+" GROUP BY campaign, measure, state", args, func(rows *sql.Rows) error {
		var campaign, measure, state string
		var n int64
		if err := rows.Scan(&campaign, &measure, &state, &n); err != nil {
			return err
		}
		out[campaign] = record.Tally(out[campaign], palladium.Measure(measure), state, n)
		return nil
	})
	return out, err
}

// PutDecision stores a decision: a new one when d.Revision is 0, else a change of that revision. It gives it as it is now.
// A new one of a campaign keeps the campaign's evidence as it is now, see EvidenceAt. ErrConflict when the Revision is not
// the stored one.
func (s *Store) PutDecision(ctx context.Context, d Decision) (Decision, error) {
	if err := d.Check(); err != nil {
		return Decision{}, invalid(err)
	}
	var out Decision
	err := s.db.Update(ctx, func(tx *store.DB) (err error) {
		if out, err = decisions().Put(ctx, tx, &d, d.ID, &d.Revision); err != nil || d.Revision > 0 {
			return err
		}
		_, err = tx.Exec(ctx, "UPDATE decisions SET detail = coalesce((SELECT detail FROM campaigns WHERE id = ?), '') WHERE id = ?", d.Campaign, d.ID)
		return err
	})
	return out, err
}

// GetDecision gives one decision.
func (s *Store) GetDecision(ctx context.Context, id string) (Decision, error) {
	return decisions().Get(ctx, s.db, "WHERE id = ?", id)
}

// DecisionQuery selects decisions. An empty field selects all.
type DecisionQuery struct {
	Page
	Campaign string
	State    []string
}

// ListDecisions gives decisions, newest first.
func (s *Store) ListDecisions(ctx context.Context, q DecisionQuery) ([]Decision, string, error) {
	return decisions().Page(ctx, s.db, q.where(), newest("at"), q.Page)
}

// CountDecisions says how many decisions q selects on all pages.
func (s *Store) CountDecisions(ctx context.Context, q DecisionQuery) (int64, error) {
	return decisions().Count(ctx, s.db, q.where())
}

func (q *DecisionQuery) where() (w store.Where) {
	w.Equal("campaign", q.Campaign)
	store.In(&w, "state", q.State)
	return w
}

// PutApproval stores an approval as PutDecision does a decision.
func (s *Store) PutApproval(ctx context.Context, a Approval) (Approval, error) {
	if err := a.Check(); err != nil {
		return Approval{}, invalid(err)
	}
	return approvals().Put(ctx, s.db, &a, a.ID, &a.Revision)
}

// GetApproval gives one approval.
func (s *Store) GetApproval(ctx context.Context, id string) (Approval, error) {
	return approvals().Get(ctx, s.db, "WHERE id = ?", id)
}

// ListApprovals gives approvals, newest first; of these states where any is given.
func (s *Store) ListApprovals(ctx context.Context, states []string, p Page) ([]Approval, string, error) {
	var w store.Where
	store.In(&w, "state", states)
	return approvals().Page(ctx, s.db, w, newest("at"), p)
}

// CountApprovals says how many approvals there are; of these states where any is given.
func (s *Store) CountApprovals(ctx context.Context, states []string) (int64, error) {
	var w store.Where
	store.In(&w, "state", states)
	return approvals().Count(ctx, s.db, w)
}

func shadowed(v Verdict, err error) (Verdict, error) {
	v.Shadow = v.State == StateShadow
	return v, err
}
