package record

import (
	"cmp"
	"encoding/json"
	"slices"
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

// InForce counts verdicts of one measure.
type InForce struct {
	Measure  palladium.Measure `json:"measure"`
	Enforced int64             `json:"enforced"`
	Shadow   int64             `json:"shadow"`
}

// Tally adds n verdicts to the count of their measure, keeping the mildest measure first.
func Tally(all []InForce, m palladium.Measure, state string, n int64) []InForce {
	i := slices.IndexFunc(all, func(c InForce) bool { return c.Measure == m })
	if i < 0 {
		order := palladium.Measures()
		i, _ = slices.BinarySearchFunc(all, m, func(c InForce, m palladium.Measure) int {
			return cmp.Compare(slices.Index(order, c.Measure), slices.Index(order, m))
		})
		all = slices.Insert(all, i, InForce{Measure: m})
	}
	if state == StateShadow {
		all[i].Shadow += n
	} else {
		all[i].Enforced += n
	}
	return all
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

// Brief ties what gateways need, and the state.
func (v *Verdict) Brief(c Columns) {
	c.Key("id", &v.ID)
	c.Key("account", &v.Account)
	c.Ref("campaign", &v.Campaign)
	c.Value("stage", &v.Stage)
	c.Value("measure", &v.Measure)
	c.Value("reason", &v.Reason)
	c.Value("issued", &v.Issued)
	c.Value("expires", &v.Expires)
	c.Ref("appeal", &v.Appeal)
	c.Value("delay", &v.Delay)
	c.Value("tokens_per_second", &v.TokensPerSecond)
	c.Value("tokens", &v.Tokens)
	c.Value("model", &v.Model)
	c.Value("state", &v.State)
}

// Bind ties each field to its column.
func (v *Verdict) Bind(c Columns) {
	v.Brief(c)
	c.Ref("decision", &v.Decision)
	c.Ref("decided_by", &v.DecidedBy)
	c.Value("automated", &v.Automated)
	c.Value("policy_revision", &v.PolicyRevision)
	c.Ref("approval", &v.Approval)
	c.Value("explanation", &v.Explanation)
	c.Value("revoked_at", &v.RevokedAt)
	c.Ref("revoked_by", &v.RevokedBy)
	c.Value("revoke_reason", &v.RevokeReason)
	c.Value("ledger_index", &v.LedgerIndex)
}

// Bind ties each field to its column.
func (v *Decision) Bind(c Columns) {
	c.Key("id", &v.ID)
	c.Value("revision", &v.Revision)
	c.Ref("campaign", &v.Campaign)
	c.Value("measure", &v.Measure)
	c.Value("accounts", &v.Accounts)
	c.Value("reason", &v.Reason)
	c.Value("says", &v.Text)
	c.Ref("decided_by", &v.By)
	c.Value("automated", &v.Automated)
	c.Value("at", &v.At)
	c.Value("expires", &v.Expires)
	c.Value("state", &v.State)
	c.Ref("approval", &v.Approval)
	c.Value("seen", &v.Seen)
	c.Ref("undone_by", &v.UndoneBy)
	c.Value("undone_at", &v.UndoneAt)
	c.Value("delay", &v.Delay)
	c.Value("tokens_per_second", &v.TokensPerSecond)
	c.Value("tokens", &v.Tokens)
	c.Value("model", &v.Model)
}

// Bind ties each field to its column.
func (v *Approval) Bind(c Columns) {
	c.Key("id", &v.ID)
	c.Value("revision", &v.Revision)
	c.Value("kind", &v.Kind)
	c.Ref("subject", &v.Subject)
	c.Value("request", &v.Request)
	c.Ref("requested_by", &v.RequestedBy)
	c.Value("reason", &v.Reason)
	c.Value("at", &v.At)
	c.Value("expires", &v.Expires)
	c.Value("state", &v.State)
	c.Ref("decided_by", &v.DecidedBy)
	c.Value("decided_at", &v.DecidedAt)
	c.Value("comment", &v.Comment)
}
