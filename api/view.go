package api

import (
	"time"

	"github.com/palladium-guard/palladium/store/catalog"
)

// Verdict is a verdict as the API shows one: the delay in milliseconds.
type Verdict struct {
	ID             string     `json:"id"`
	Account        string     `json:"account"`
	Campaign       string     `json:"campaign"`
	Stage          string     `json:"stage"`
	Measure        string     `json:"measure"`
	Reason         string     `json:"reason"`
	Issued         time.Time  `json:"issued"`
	Expires        time.Time  `json:"expires"`
	State          string     `json:"state"`
	Decision       string     `json:"decision"`
	DecidedBy      string     `json:"decided_by"`
	Automated      bool       `json:"automated"`
	PolicyRevision string     `json:"policy_revision"`
	Approval       string     `json:"approval"`
	Explanation    string     `json:"explanation"`
	RevokedAt      *time.Time `json:"revoked_at"`
	RevokedBy      string     `json:"revoked_by"`
	RevokeReason   string     `json:"revoke_reason"`
	LedgerIndex    int64      `json:"ledger_index"`
	Appeal         string     `json:"appeal"`
	Terms
}

// Terms are those of a measure as the API shows them.
type Terms struct {
	DelayMS         int64   `json:"delay_ms,omitzero"`
	TokensPerSecond float64 `json:"tokens_per_second,omitzero"`
	Tokens          int64   `json:"tokens,omitzero"`
	Model           string  `json:"model,omitzero"`
}

// VerdictOf returns the view of v.
func VerdictOf(v *catalog.Verdict) Verdict {
	return Verdict{v.ID, v.Account, v.Campaign, string(v.Stage), string(v.Measure), v.Reason, v.Issued, v.Expires, v.State, v.Decision, v.DecidedBy,
		v.Automated, v.PolicyRevision, v.Approval, v.Explanation, v.RevokedAt, v.RevokedBy, v.RevokeReason, v.LedgerIndex, v.Appeal,
		Terms{v.Delay.Milliseconds(), v.TokensPerSecond, v.Tokens, v.Model}}
}

// Decision is a decision as the API shows one.
type Decision struct {
	ID        string     `json:"id"`
	Revision  int64      `json:"revision"`
	Campaign  string     `json:"campaign"`
	Measure   string     `json:"measure"`
	Accounts  int        `json:"accounts"`
	Reason    string     `json:"reason"`
	Text      string     `json:"text"`
	By        string     `json:"by"`
	Automated bool       `json:"automated"`
	At        time.Time  `json:"at"`
	Expires   time.Time  `json:"expires"`
	State     string     `json:"state"`
	Approval  string     `json:"approval"`
	Seen      bool       `json:"seen"`
	UndoneBy  string     `json:"undone_by"`
	UndoneAt  *time.Time `json:"undone_at"`
	Terms
}

// DecisionOf returns the view of d.
func DecisionOf(d *catalog.Decision) Decision {
	return Decision{d.ID, d.Revision, d.Campaign, string(d.Measure), d.Accounts, d.Reason, d.Text, d.By, d.Automated, d.At, d.Expires, d.State, d.Approval,
		d.Seen, d.UndoneBy, d.UndoneAt, Terms{d.Delay.Milliseconds(), d.TokensPerSecond, d.Tokens, d.Model}}
}

// Appeal is an appeal as the API shows one.
type Appeal struct {
	catalog.Appeal
	Overdue bool `json:"overdue"`
}

// AppealOf returns the view of a at now.
func AppealOf(a *catalog.Appeal, now time.Time) Appeal {
	open := a.State == catalog.AppealOpen || a.State == catalog.AppealInReview
	return Appeal{*a, open && now.After(a.Due)}
}

// Allow is an entry of the allow-list as the API shows one.
type Allow struct {
	catalog.Allow
	InForce bool `json:"in_force"`
}

// AllowOf returns the view of a at now.
func AllowOf(a *catalog.Allow, now time.Time) Allow {
	return Allow{*a, a.RevokedAt == nil && now.Before(a.Expires)}
}
