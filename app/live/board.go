package live

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base32"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/palladium-guard/palladium"
	"github.com/palladium-guard/palladium/api"
	"github.com/palladium-guard/palladium/api/process"
	"github.com/palladium-guard/palladium/store/catalog"
	"github.com/palladium-guard/palladium/traffic/sanction"
	"github.com/palladium-guard/palladium/traffic/verdict"
)

// Ledger is where acts are written down before they are done. Append returns once the entry is durable; index is -1 where
// no ledger is kept.
type Ledger interface {
	Append(ctx context.Context, kind string, statement []byte) (index int64, err error)
}

// NoLedger keeps none.
type NoLedger struct{}

// Append does nothing.
func (NoLedger) Append(context.Context, string, []byte) (int64, error) { return -1, nil }

// The kinds of the board's statements.
const (
	KindDecision = "palladium/decision/v1" // a measure is about to be decided on
	KindChange   = "palladium/change/v1"   // a decision is about to be approved, refused, undone or released from
)

// The errors that callers of a Board tell apart.
var (
	ErrDraft    = errors.New("decision refused")                // the draft breaks a rule; the text says which
	ErrSame     = errors.New("a second person is needed")       // who asked cannot approve
	ErrDecided  = errors.New("it has been decided already")     // of an approval or a decision that no longer waits, or holds
	ErrNoLedger = errors.New("the ledger takes nothing")        // and what it does not take is not done
	ErrNobody   = errors.New("nobody would be touched by this") // all accounts are exempt, or none is named
)

// problem makes of an error what the operator's API tells; errors of the catalog it knows itself.
func problem(err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, ErrDraft), errors.Is(err, ErrNobody):
		return errors.Join(api.BadRequest("%s", err), err)
	case errors.Is(err, ErrSame):
		return errors.Join(api.SamePerson(err.Error()), err)
	case errors.Is(err, ErrDecided):
		return errors.Join(api.Conflict("%s", err), err)
	case errors.Is(err, ErrNoLedger):
		return errors.Join(api.Unavailable("the ledger takes nothing, and what it does not take is not done"), err)
	}
	return err
}

// BoardOptions set up a Board.
type BoardOptions struct {
	Catalog *catalog.Store
	Ledger  Ledger // nil: NoLedger
	Policy  *sanction.Policy
	Now     func() time.Time // by which all is decided and ends, for good: must not follow a clock that jumps ahead; nil: time.Now
	Log     *slog.Logger
}

// Board is where decisions are made, approved and undone, by people and by policy. The catalog is the truth; what goes
// into it was in the ledger before. Its methods may be called from several goroutines and several processes.
type Board struct {
	cat    *catalog.Store
	ledger Ledger
	now    func() time.Time
	log    *slog.Logger
	rules  atomic.Pointer[rules]
	kick   chan struct{} // there is something to publish
	other  chan struct{} // another policy is in force

	published atomic.Uint64 // version of the table that was published last
	took      atomic.Int64  // ns from the change to the stream's acknowledgement, of the last table
}

// rules is a policy with the name under which it decides.
type rules struct {
	policy   *sanction.Policy
	revision string
}

// NewBoard returns a board. Publish must run for its decisions to reach gateways.
func NewBoard(o BoardOptions) *Board {
	b := &Board{cat: o.Catalog, ledger: o.Ledger, now: o.Now, log: o.Log, kick: make(chan struct{}, 1), other: make(chan struct{}, 1)}
	if b.ledger == nil {
		b.ledger = NoLedger{}
	}
	if b.now == nil {
		b.now = time.Now
	}
	if b.log == nil {
		b.log = slog.New(slog.DiscardHandler)
	}
	b.SetPolicy(o.Policy, Configured)
	return b
}

// Configured is the name under which the policy of the configuration decides, while the catalog holds none that is in use.
const Configured = "config"

// SetPolicy puts a policy in force under a revision's name.
func (b *Board) SetPolicy(p *sanction.Policy, revision string) {
	b.rules.Store(&rules{p, revision})
	select {
	case b.other <- struct{}{}:
	default:
	}
}

// Other receives after another policy was put in force; several may count as one. It is for one receiver.
func (b *Board) Other() <-chan struct{} { return b.other }

// Policy returns the policy in force and its revision.
func (b *Board) Policy() (*sanction.Policy, string) {
	r := b.rules.Load()
	return r.policy, r.revision
}

// approvalTime is how long a decision waits for a second person.
const approvalTime = 48 * time.Hour

// maxTime is how long a decision can hold.
const maxTime = 90 * 24 * time.Hour

// Decide makes a decision and its verdicts, or asks for a second person where policy wants one: the decision is then pending and
// nothing happens to anybody. Accounts that are on the allow-list are left out. Errors wrap ErrDraft, ErrNobody or ErrNoLedger,
// or are the catalog's; after one nothing was decided.
func (b *Board) Decide(ctx context.Context, d api.Draft) (catalog.Decision, error) {
	dec, err := b.decide(ctx, &d)
	return dec, problem(err)
}

func (b *Board) decide(ctx context.Context, d *api.Draft) (catalog.Decision, error) {
	now := b.now().UTC()
	if err := check(d, now); err != nil {
		return catalog.Decision{}, err
	}
	c, err := b.cat.WholeCampaign(ctx, d.Campaign)
	if err != nil {
		return catalog.Decision{}, fmt.Errorf("decide on campaign %s: %w", d.Campaign, err)
	}
	accounts, err := members(d, &c)
	if err != nil {
		return catalog.Decision{}, err
	}
	exempt, err := b.allowed(ctx, now)
	if err != nil {
		return catalog.Decision{}, err
	}
	accounts = slices.DeleteFunc(accounts, func(a string) bool { return exempt.account(ctx, a) })
	if len(accounts) == 0 {
		return catalog.Decision{}, fmt.Errorf("%w: every account named is on the allow-list or in the registry", ErrNobody)
	}
	if accounts, err = b.nameable(d.Campaign, accounts); err != nil {
		return catalog.Decision{}, err
	}
	r := b.rules.Load()
	dec := catalog.Decision{
		ID: newID("d"), Campaign: d.Campaign, Measure: d.Measure, Accounts: len(accounts), Reason: d.Reason, Text: d.Text, By: d.By,
		Automated: d.Automated, At: now, Expires: d.Expires.UTC(), State: catalog.StateEnforced, Terms: d.Terms,
	}
	var ask *catalog.Approval
	switch {
	case !r.policy.Enforced(d.Measure):
		dec.State = catalog.StateShadow
	case r.policy.NeedsApproval(d.Measure) || d.Approval:
		dec.State, dec.Approval = catalog.StatePending, newID("a")
		expires := now.Add(approvalTime)
		if dec.Expires.Before(expires) {
			expires = dec.Expires
		}
		request, err := json.Marshal(map[string]any{"decision": dec.ID, "campaign": dec.Campaign, "measure": dec.Measure, "accounts": dec.Accounts, "expires": dec.Expires})
		if err != nil {
			return catalog.Decision{}, fmt.Errorf("write the request for approval: %w", err)
		}
		ask = &catalog.Approval{
			ID: dec.Approval, Kind: "decision", Subject: "decision:" + dec.ID, Request: request, RequestedBy: d.By, Reason: d.Text, At: now,
			Expires: expires, State: catalog.ApprovalOpen,
		}
	}
	index, err := b.record(ctx, KindDecision, statement(&dec, accounts, r.revision))
	if err != nil {
		return catalog.Decision{}, err
	}
	verdicts := makeVerdicts(&dec, &c, accounts, r.revision, index)
	err = b.cat.Update(ctx, func(tx *catalog.Store) error {
		kept, err := tx.PutDecision(ctx, dec)
		if err != nil {
			return err
		}
		if _, err := tx.PutVerdicts(ctx, verdicts); err != nil {
			return err
		}
		if ask != nil {
			if _, err := tx.PutApproval(ctx, *ask); err != nil {
				return err
			}
		} else if kept.State == catalog.StateEnforced {
			if err := tx.AddNotices(ctx, b.notices(&kept, verdicts, now)); err != nil {
				return err
			}
		}
		dec = kept
		return tx.Append(ctx, event(now, d.By, "decision.made", &dec, index))
	})
	if err != nil {
		return catalog.Decision{}, fmt.Errorf("keep the decision: %w", err)
	}
	b.Kick()
	return dec, nil
}

// nameable leaves out accounts that no verdict can name, so that they keep nobody else from being decided about.
func (b *Board) nameable(campaign string, accounts []string) ([]string, error) {
	all := len(accounts)
	accounts = slices.DeleteFunc(accounts, func(a string) bool { return !verdict.Names(a) })
	switch left := all - len(accounts); {
	case left == all:
		return nil, fmt.Errorf("%w: the ids of these accounts are longer than 255 bytes or no text, and no verdict can name them", ErrNobody)
	case left > 0:
		b.log.Warn("accounts are left out of a decision: their ids are longer than 255 bytes or no text, and no verdict can name them", "campaign", campaign, "accounts", left)
	}
	return accounts, nil
}

// check finds what a draft breaks.
func check(d *api.Draft, now time.Time) error {
	wrong := func(text string) error { return fmt.Errorf("%w: %s", ErrDraft, text) }
	switch {
	case d.Campaign == "":
		return wrong("no campaign is named: no account is judged alone")
	case !slices.Contains(palladium.Measures(), d.Measure):
		return wrong("the measure is not known")
	case d.Reason == "":
		return wrong("it gives no reason code, which the account holder must be told")
	case strings.TrimSpace(d.Text) == "":
		return wrong("it gives no reason in words")
	case d.By == "":
		return wrong("nobody answers for it")
	case !d.Expires.After(now):
		return wrong("it would have expired already")
	case d.Expires.Sub(now) > maxTime:
		return wrong("it would hold for longer than 90 days: nothing is for ever, decide anew then")
	case d.Measure == palladium.MeasureSlow && d.Delay <= 0 && d.TokensPerSecond <= 0:
		return wrong("slow needs a delay or tokens a second")
	case d.Measure == palladium.MeasureBudget && d.Tokens <= 0:
		return wrong("budget needs tokens, the output tokens a day for the campaign together")
	case d.Measure == palladium.MeasureSmaller && d.Model == "":
		return wrong("smaller-model needs the model that answers instead")
	case d.Delay < 0 || d.Tokens < 0 || !(d.TokensPerSecond >= 0):
		return wrong("its terms are negative")
	}
	return nil
}

// members returns the accounts that the draft is about, sorted. One that is no member is refused.
func members(d *api.Draft, c *catalog.Campaign) ([]string, error) {
	all := make(map[string]bool, len(c.Accounts))
	for _, m := range c.Accounts {
		all[m.ID] = true
	}
	out := slices.Clone(d.Accounts)
	if len(out) == 0 {
		for id := range all {
			out = append(out, id)
		}
	}
	slices.Sort(out)
	out = slices.Compact(out)
	for _, id := range out {
		if !all[id] {
			return nil, fmt.Errorf("%w: an account that is named is no member of campaign %s", ErrDraft, d.Campaign)
		}
	}
	return out, nil
}

func (b *Board) record(ctx context.Context, kind string, s []byte) (int64, error) {
	index, err := b.ledger.Append(ctx, kind, s)
	if err != nil {
		return -1, fmt.Errorf("%w: %w: nothing was decided", ErrNoLedger, err)
	}
	return index, nil
}

// statement is what the ledger keeps of a decision: accounts as a digest, so that the log names nobody.
func statement(d *catalog.Decision, accounts []string, revision string) []byte {
	h := sha256.New()
	for _, a := range accounts {
		h.Write([]byte(a))
		h.Write([]byte{0})
	}
	s, err := json.Marshal(map[string]any{
		"decision": d.ID, "campaign": d.Campaign, "measure": d.Measure, "accounts": len(accounts),
		"accounts_sha256": hex.EncodeToString(h.Sum(nil)), "reason": d.Reason, "by": d.By, "automated": d.Automated, "policy": revision,
		"at": d.At, "expires": d.Expires, "state": d.State, "terms": d.Terms,
	})
	if err != nil {
		return nil // maps of these types always marshal
	}
	return s
}

func makeVerdicts(d *catalog.Decision, c *catalog.Campaign, accounts []string, revision string, index int64) []catalog.Verdict {
	out := make([]catalog.Verdict, len(accounts))
	for i, a := range accounts {
		out[i] = catalog.Verdict{
			Verdict: palladium.Verdict{
				ID: newID("v"), Account: a, Campaign: d.Campaign, Stage: c.Stage, Measure: d.Measure, Reason: d.Reason, Issued: d.At, Expires: d.Expires,
				Shadow: d.State == catalog.StateShadow, Appeal: process.NewReference(), Delay: d.Delay, TokensPerSecond: d.TokensPerSecond, Tokens: d.Tokens, Model: d.Model,
			},
			State: d.State, Decision: d.ID, DecidedBy: d.By, Automated: d.Automated, PolicyRevision: revision, Approval: d.Approval, Explanation: d.Text,
			LedgerIndex: index,
		}
	}
	return out
}

// notices tells account holders. What is only recorded, or only observed, touches nobody and is told to nobody.
func (b *Board) notices(d *catalog.Decision, verdicts []catalog.Verdict, now time.Time) []catalog.Notice {
	if d.Measure == palladium.MeasureObserve {
		return nil
	}
	return process.Notices(d, verdicts, b.rules.Load().policy.AppealAt(""), now)
}

func event(at time.Time, actor, kind string, d *catalog.Decision, index int64) *catalog.Event {
	data, err := json.Marshal(map[string]any{"measure": d.Measure, "accounts": d.Accounts, "state": d.State, "expires": d.Expires, "reason": d.Reason})
	if err != nil {
		data = nil
	}
	return &catalog.Event{At: at, Actor: actor, Kind: kind, Subject: "decision:" + d.ID, Refs: []string{"campaign:" + d.Campaign}, Data: data, LedgerIndex: index}
}

// newID returns 100 random bits in small letters and digits, after the prefix and an underscore.
func newID(prefix string) string {
	var raw [13]byte
	_, _ = rand.Read(raw[:]) // never fails
	id := strings.ToLower(base32.StdEncoding.WithPadding(base32.NoPadding).EncodeToString(raw[:]))[:20]
	return prefix + "_" + id
}
