package live

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/palladium-guard/palladium/store/catalog"
)

// Approve has a pending decision take effect. Who asked for it cannot approve it.
func (b *Board) Approve(ctx context.Context, approval, by, comment string) error {
	return problem(b.settle(ctx, approval, by, comment, true))
}

// Refuse ends a pending decision without effect. Where it was policy's own, policy leaves its accounts alone for the time that it holds
// off, rather than ask for the same again.
func (b *Board) Refuse(ctx context.Context, approval, by, comment string) error {
	return problem(b.settle(ctx, approval, by, comment, false))
}

func (b *Board) settle(ctx context.Context, id, by, comment string, yes bool) error {
	now := b.now().UTC()
	a, d, err := b.waiting(ctx, id, by, now, yes)
	if err != nil {
		return err
	}
	a.DecidedBy, a.DecidedAt, a.Comment = by, &now, comment
	a.State, d.State = catalog.ApprovalApproved, catalog.StateEnforced
	kind := "decision.approved"
	shadow := yes && !b.rules.Load().policy.Enforced(d.Measure) // enforcement was turned off while it waited
	if shadow {
		d.State = catalog.StateShadow
	}
	if !yes {
		a.State, d.State, kind = catalog.StateRefused, catalog.StateRefused, "decision.refused"
	}
	d.Seen = true
	free, err := b.spared(ctx, &d, now, yes)
	if err != nil {
		return err
	}
	index, err := b.record(ctx, KindChange, act(kind, d.ID, by, comment, now))
	if err != nil {
		return err
	}
	err = b.cat.Update(ctx, func(tx *catalog.Store) error {
		if _, err := tx.PutApproval(ctx, a); err != nil {
			return err
		}
		kept, err := tx.PutDecision(ctx, d)
		if err != nil {
			return err
		}
		verdicts, err := allVerdicts(ctx, tx, catalog.VerdictQuery{Decision: d.ID, State: []string{catalog.StatePending}})
		if err != nil {
			return err
		}
		var hit []catalog.Verdict
		for i := range verdicts {
			v := &verdicts[i]
			switch v.State = kept.State; {
			case free[v.Account]:
				v.State = catalog.StateRefused
			case yes:
				v.Issued, v.LedgerIndex, v.Shadow = now, index, shadow
				hit = append(hit, *v)
			default:
				v.RevokedAt, v.RevokedBy, v.RevokeReason = &now, by, comment
			}
		}
		if _, err := tx.PutVerdicts(ctx, verdicts); err != nil {
			return err
		}
		if yes && !shadow {
			if err := tx.AddNotices(ctx, b.notices(&kept, hit, now)); err != nil {
				return err
			}
		}
		return tx.Append(ctx, event(now, by, kind, &kept, index))
	})
	if err != nil {
		return fmt.Errorf("keep the approval: %w", err)
	}
	b.Kick()
	return nil
}

// spared are the accounts of a decision that have come onto the allow-list while it waited: it does not hit them when it is approved.
// Where nobody else is left that is refused with ErrNobody. It counts those that are left.
func (b *Board) spared(ctx context.Context, d *catalog.Decision, now time.Time, yes bool) (map[string]bool, error) {
	if !yes {
		return nil, nil
	}
	free, err := b.allowed(ctx, now)
	if err != nil {
		return nil, err
	}
	verdicts, err := allVerdicts(ctx, b.cat, catalog.VerdictQuery{Decision: d.ID, State: []string{catalog.StatePending}})
	if err != nil {
		return nil, fmt.Errorf("look at whom the decision hits: %w", err)
	}
	ids := make([]string, len(verdicts))
	for i := range verdicts {
		ids[i] = verdicts[i].Account
	}
	free.group(ctx, ids)
	out := map[string]bool{}
	for _, id := range ids {
		if free.account(ctx, id) {
			out[id] = true
		}
	}
	if len(out) > 0 && len(out) == len(ids) {
		return nil, fmt.Errorf("%w: every account of the decision is on the allow-list or in the registry by now: refuse it, or undo it", ErrNobody)
	}
	d.Accounts -= len(out)
	return out, nil
}

// waiting returns an open approval and the decision that waits for it.
func (b *Board) waiting(ctx context.Context, id, by string, now time.Time, yes bool) (a catalog.Approval, d catalog.Decision, err error) {
	if a, err = b.cat.GetApproval(ctx, id); err != nil {
		return a, d, fmt.Errorf("find approval %s: %w", id, err)
	}
	if a.Kind != "decision" {
		return a, d, fmt.Errorf("approval %s is of a %s, not of a decision: %w", id, a.Kind, ErrDraft)
	}
	if a.State != catalog.ApprovalOpen || !now.Before(a.Expires) {
		return a, d, fmt.Errorf("approval %s is %s: %w", id, a.State, ErrDecided)
	}
	if yes && a.RequestedBy == by {
		return a, d, fmt.Errorf("approval %s was asked for by the same person: %w", id, ErrSame)
	}
	if len(a.Subject) <= len("decision:") {
		return a, d, fmt.Errorf("approval %s names no decision: %w", id, ErrDraft)
	}
	if d, err = b.cat.GetDecision(ctx, a.Subject[len("decision:"):]); err != nil {
		return a, d, fmt.Errorf("find the decision that waits: %w", err)
	}
	if d.State != catalog.StatePending {
		return a, d, fmt.Errorf("decision %s is %s: %w", d.ID, d.State, ErrDecided)
	}
	return a, d, nil
}

// Undo takes a decision back: its verdicts end at once, and what else holds for its accounts holds on. Where the decision was
// policy's own, policy leaves its accounts alone for the time that it holds off.
func (b *Board) Undo(ctx context.Context, decision, by, reason string) error {
	return problem(b.undo(ctx, decision, by, reason))
}

func (b *Board) undo(ctx context.Context, decision, by, reason string) error {
	now := b.now().UTC()
	d, err := b.cat.GetDecision(ctx, decision)
	if err != nil {
		return fmt.Errorf("find decision %s: %w", decision, err)
	}
	switch d.State {
	case catalog.StateEnforced, catalog.StateShadow, catalog.StatePending:
	default:
		return fmt.Errorf("decision %s is %s: %w", decision, d.State, ErrDecided)
	}
	index, err := b.record(ctx, KindChange, act("decision.undone", decision, by, reason, now))
	if err != nil {
		return err
	}
	err = b.cat.Update(ctx, func(tx *catalog.Store) error {
		if _, err := tx.RevokeVerdicts(ctx, catalog.Revocation{Decision: decision, By: by, Reason: reason, At: now, LedgerIndex: index}); err != nil {
			return err
		}
		d.State, d.UndoneBy, d.UndoneAt, d.Seen = catalog.StateRevoked, by, &now, true
		kept, err := tx.PutDecision(ctx, d)
		if err != nil {
			return err
		}
		if kept.Approval != "" {
			if a, err := tx.GetApproval(ctx, kept.Approval); err == nil && a.State == catalog.ApprovalOpen {
				a.State, a.DecidedBy, a.DecidedAt, a.Comment = catalog.StateRefused, by, &now, reason
				if _, err := tx.PutApproval(ctx, a); err != nil {
					return err
				}
			}
		}
		return tx.Append(ctx, event(now, by, "decision.undone", &kept, index))
	})
	if err != nil {
		return fmt.Errorf("keep the undoing: %w", err)
	}
	b.Kick()
	return nil
}

// Release ends a decision's verdicts on some accounts, as after an appeal that was heard. It holds for the others; policy leaves
// those that were let go alone.
func (b *Board) Release(ctx context.Context, decision string, accounts []string, by, reason string) error {
	if len(accounts) == 0 {
		return problem(fmt.Errorf("%w: no account is named", ErrDraft))
	}
	now := b.now().UTC()
	index, err := b.record(ctx, KindChange, act("decision.released", decision, by, reason, now))
	if err != nil {
		return problem(err)
	}
	err = b.cat.Update(ctx, func(tx *catalog.Store) error {
		gone, err := tx.RevokeVerdicts(ctx, catalog.Revocation{Decision: decision, Accounts: accounts, By: by, Reason: reason, At: now, LedgerIndex: index})
		if err != nil {
			return err
		}
		data, err := json.Marshal(map[string]any{"verdicts": len(gone)})
		if err != nil {
			return err
		}
		e := &catalog.Event{At: now, Actor: by, Kind: "decision.released", Subject: "decision:" + decision, Data: data, LedgerIndex: index}
		for _, v := range gone {
			e.Refs = append(e.Refs, "account:"+v.Account)
		}
		return tx.Append(ctx, e)
	})
	if err != nil {
		return fmt.Errorf("keep the release: %w", err)
	}
	b.Kick()
	return nil
}

func act(kind, subject, by, reason string, at time.Time) []byte {
	s, err := json.Marshal(map[string]any{"act": kind, "subject": subject, "by": by, "reason": reason, "at": at})
	if err != nil {
		return nil // maps of these types always marshal
	}
	return s
}

// allVerdicts reads every page.
func allVerdicts(ctx context.Context, c *catalog.Store, q catalog.VerdictQuery) ([]catalog.Verdict, error) {
	var out []catalog.Verdict
	q.Limit = 1000
	for {
		page, next, err := c.ListVerdicts(ctx, q)
		if err != nil {
			return nil, err
		}
		out = append(out, page...)
		if next == "" {
			return out, nil
		}
		q.Cursor = next
	}
}
