package catalog

import (
	"context"
	"encoding/json"
	"time"

	"github.com/palladium-guard/palladium"
)

// The states of verdicts and decisions. Proposed is of verdicts alone.
const (
	StateProposed = "proposed"
	StatePending  = "pending"  // waits for approval
	StateEnforced = "enforced" // in force until it expires
	StateShadow   = "shadow"   // recorded, not enforced
	StateRevoked  = "revoked"
	StateExpired  = "expired"
	StateRefused  = "refused" // by the second person
)

// Verdict is a decision about one account with its history.
type Verdict struct {
	palladium.Verdict
	State          string     `json:"state"`
	Decision       string     `json:"decision"`   // id of the decision that made it: one decision makes many verdicts
	DecidedBy      string     `json:"decided_by"` // user id, or policy:REVISION
	Automated      bool       `json:"automated"`
	PolicyRevision string     `json:"policy_revision"`
	Approval       string     `json:"approval"`
	Explanation    string     `json:"explanation"`
	RevokedAt      *time.Time `json:"revoked_at"`
	RevokedBy      string     `json:"revoked_by"`
	RevokeReason   string     `json:"revoke_reason"`
	LedgerIndex    int64      `json:"ledger_index"` // -1 for none
}

// PutVerdicts stores verdicts by id in one transaction and raises the version. It gives the new version.
func (s *Store) PutVerdicts(ctx context.Context, verdicts []Verdict) (version uint64, err error) {
	return 0, errNotBuilt
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
	return nil, errNotBuilt
}

// VerdictsInForce gives the enforced and shadow verdicts that have not expired at now, those not yet issued among them, by
// account and id, and the version that they belong to. Shadow is set for those in state shadow.
func (s *Store) VerdictsInForce(ctx context.Context, now time.Time) ([]palladium.Verdict, uint64, error) {
	return nil, 0, errNotBuilt
}

// VerdictVersion gives the version alone. It rises in the same transaction as any change of verdicts.
func (s *Store) VerdictVersion(ctx context.Context) (uint64, error) { return 0, errNotBuilt }

// GetVerdict gives one verdict.
func (s *Store) GetVerdict(ctx context.Context, id string) (Verdict, error) {
	return Verdict{}, errNotBuilt
}

// GetVerdictByAppeal gives the verdict with this appeal reference.
func (s *Store) GetVerdictByAppeal(ctx context.Context, ref string) (Verdict, error) {
	return Verdict{}, errNotBuilt
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
	return nil, "", errNotBuilt
}

// InForce counts verdicts of one measure.
type InForce struct {
	Measure  palladium.Measure `json:"measure"`
	Enforced int64             `json:"enforced"`
	Shadow   int64             `json:"shadow"`
}

// CountInForce counts the verdicts in force at now by campaign and measure, mildest measure first.
func (s *Store) CountInForce(ctx context.Context, campaigns []string, now time.Time) (map[string][]InForce, error) {
	return nil, errNotBuilt
}

// Terms say how a measure is applied, as in palladium.Verdict.
type Terms struct {
	Delay           time.Duration `json:"delay,omitempty"`
	TokensPerSecond float64       `json:"tokens_per_second,omitempty"`
	Tokens          int64         `json:"tokens,omitempty"`
	Model           string        `json:"model,omitempty"`
}

// Decision is one act about accounts of a campaign; its verdicts carry its id.
type Decision struct {
	ID        string            `json:"id"`
	Revision  int64             `json:"revision"`
	Campaign  string            `json:"campaign"`
	Measure   palladium.Measure `json:"measure"`
	Accounts  int               `json:"accounts"`
	Reason    string            `json:"reason"` // code shown to the caller
	Text      string            `json:"text"`   // in words that the account holder may read
	By        string            `json:"by"`
	Automated bool              `json:"automated"`
	At        time.Time         `json:"at"`
	Expires   time.Time         `json:"expires"`
	State     string            `json:"state"`
	Approval  string            `json:"approval"`
	Seen      bool              `json:"seen"` // a person has looked at it
	UndoneBy  string            `json:"undone_by"`
	UndoneAt  *time.Time        `json:"undone_at"`
	Terms
}

// PutDecision stores a decision: a new one when d.Revision is 0, else a change of that revision. It gives it as it is now.
// A new one of a campaign keeps the campaign's evidence as it is now, see EvidenceAt. ErrConflict when the Revision is not
// the stored one.
func (s *Store) PutDecision(ctx context.Context, d Decision) (Decision, error) {
	return Decision{}, errNotBuilt
}

// GetDecision gives one decision.
func (s *Store) GetDecision(ctx context.Context, id string) (Decision, error) {
	return Decision{}, errNotBuilt
}

// DecisionQuery selects decisions. An empty field selects all.
type DecisionQuery struct {
	Page
	Campaign string
	State    []string
}

// ListDecisions gives decisions, newest first.
func (s *Store) ListDecisions(ctx context.Context, q DecisionQuery) ([]Decision, string, error) {
	return nil, "", errNotBuilt
}

// The states of approvals; they expire with StateExpired, and are refused with StateRefused.
const (
	ApprovalOpen     = "open"
	ApprovalApproved = "approved"
)

// Approval is what waits for a second person.
type Approval struct {
	ID          string          `json:"id"`
	Revision    int64           `json:"revision"`
	Kind        string          `json:"kind"`    // decision, policy or allow
	Subject     string          `json:"subject"` // such as decision:ID
	Request     json.RawMessage `json:"request"`
	RequestedBy string          `json:"requested_by"`
	Reason      string          `json:"reason"`
	At          time.Time       `json:"at"`
	Expires     time.Time       `json:"expires"`
	State       string          `json:"state"`
	DecidedBy   string          `json:"decided_by"`
	DecidedAt   *time.Time      `json:"decided_at"`
	Comment     string          `json:"comment"`
}

// PutApproval stores an approval as PutDecision does a decision.
func (s *Store) PutApproval(ctx context.Context, a Approval) (Approval, error) {
	return Approval{}, errNotBuilt
}

// GetApproval gives one approval.
func (s *Store) GetApproval(ctx context.Context, id string) (Approval, error) {
	return Approval{}, errNotBuilt
}

// ListApprovals gives approvals, newest first; of these states where any is given.
func (s *Store) ListApprovals(ctx context.Context, states []string, p Page) ([]Approval, string, error) {
	return nil, "", errNotBuilt
}
