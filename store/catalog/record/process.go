package record

import (
	"time"

	"github.com/palladium-guard/palladium"
)

// Case is a person's work on a campaign or an account.
type Case struct {
	ID         string     `json:"id"`
	Revision   int64      `json:"revision"`
	Campaign   string     `json:"campaign"`
	Account    string     `json:"account"`
	State      string     `json:"state"`
	Resolution string     `json:"resolution"`
	Assignee   string     `json:"assignee"`
	Opened     time.Time  `json:"opened"`
	Due        *time.Time `json:"due"`
	Closed     *time.Time `json:"closed"`
}

// Note is a remark on a case. Notes are not changed.
type Note struct {
	ID   string    `json:"id"`
	Case string    `json:"case"`
	By   string    `json:"by"`
	At   time.Time `json:"at"`
	Text string    `json:"text"`
}

// Notice is what an account holder was told.
type Notice struct {
	ID        string            `json:"id"`
	Account   string            `json:"account"`
	Verdict   string            `json:"verdict"`
	Decision  string            `json:"decision"`
	At        time.Time         `json:"at"`
	Reason    string            `json:"reason"`
	Measure   palladium.Measure `json:"measure"`
	Automated bool              `json:"automated"`
	Scope     string            `json:"scope"` // to what it applies
	Text      string            `json:"text"`
	Expires   time.Time         `json:"expires"`
	AppealRef string            `json:"appeal_ref"` // Verdict.Appeal: public, no secret
}

// The states of appeals.
const (
	AppealOpen       = "open"
	AppealInReview   = "in_review"
	AppealUpheld     = "upheld" // the decision stands
	AppealOverturned = "overturned"
	AppealWithdrawn  = "withdrawn"
)

// Appeal is what an account holder says against a decision.
type Appeal struct {
	ID        string     `json:"id"`
	Revision  int64      `json:"revision"`
	Ref       string     `json:"ref"` // the reference that was quoted
	Account   string     `json:"account"`
	Decision  string     `json:"decision"`
	Verdict   string     `json:"verdict"`
	Contact   string     `json:"contact"` // as given, not verified
	Text      string     `json:"text"`
	At        time.Time  `json:"at"`
	Due       time.Time  `json:"due"`
	State     string     `json:"state"`
	Reviewer  string     `json:"reviewer"`
	DecidedAt *time.Time `json:"decided_at"`
	Reply     string     `json:"reply"`
	Restored  bool       `json:"restored"` // access was given back
}

// The kinds of Allow.
const (
	KindAllow      = "allow"
	KindResearcher = "researcher"
	KindEvaluator  = "evaluator"
)

// Allow exempts a subject from measures until it expires or is revoked.
type Allow struct {
	ID        string     `json:"id"`
	Revision  int64      `json:"revision"`
	Kind      string     `json:"kind"`
	Subject   string     `json:"subject"` // account:ID, organization:NAME or domain:NAME
	Owner     string     `json:"owner"`   // who answers for it
	Reason    string     `json:"reason"`
	Created   time.Time  `json:"created"`
	Expires   time.Time  `json:"expires"`
	RevokedAt *time.Time `json:"revoked_at"`
	RevokedBy string     `json:"revoked_by"`
}

// Bind ties each field to its column.
func (v *Case) Bind(c Columns) {
	c.Key("id", &v.ID)
	c.Value("revision", &v.Revision)
	c.Ref("campaign", &v.Campaign)
	c.Ref("account", &v.Account)
	c.Value("state", &v.State)
	c.Value("resolution", &v.Resolution)
	c.Ref("assignee", &v.Assignee)
	c.Value("opened", &v.Opened)
	c.Value("due", &v.Due)
	c.Value("closed", &v.Closed)
	c.Derived("urgency", func() any {
		since := v.Opened
		if v.Closed != nil {
			since = *v.Closed
		}
		return Urgency(v.State != WorkResolved && v.State != WorkClosed, v.Due, since)
	})
}

// Bind ties each field to its column.
func (v *Note) Bind(c Columns) {
	c.Key("id", &v.ID)
	c.Key("case_id", &v.Case)
	c.Ref("author", &v.By)
	c.Value("at", &v.At)
	c.Value("says", &v.Text)
}

// Bind ties each field to its column.
func (v *Notice) Bind(c Columns) {
	c.Key("id", &v.ID)
	c.Ref("account", &v.Account)
	c.Ref("verdict", &v.Verdict)
	c.Ref("decision", &v.Decision)
	c.Value("at", &v.At)
	c.Value("reason", &v.Reason)
	c.Value("measure", &v.Measure)
	c.Value("automated", &v.Automated)
	c.Value("scope", &v.Scope)
	c.Value("says", &v.Text)
	c.Value("expires", &v.Expires)
	c.Ref("appeal_ref", &v.AppealRef)
}

// Bind ties each field to its column.
func (v *Appeal) Bind(c Columns) {
	c.Key("id", &v.ID)
	c.Value("revision", &v.Revision)
	c.Key("ref", &v.Ref)
	c.Ref("account", &v.Account)
	c.Ref("decision", &v.Decision)
	c.Ref("verdict", &v.Verdict)
	c.Value("contact", &v.Contact)
	c.Value("says", &v.Text)
	c.Value("at", &v.At)
	c.Value("due", &v.Due)
	c.Value("state", &v.State)
	c.Ref("reviewer", &v.Reviewer)
	c.Value("decided_at", &v.DecidedAt)
	c.Value("reply", &v.Reply)
	c.Value("restored", &v.Restored)
	c.Derived("urgency", func() any {
		since := v.At
		if v.DecidedAt != nil {
			since = *v.DecidedAt
		}
		return Urgency(v.State == AppealOpen || v.State == AppealInReview, &v.Due, since)
	})
}

// Bind ties each field to its column.
func (v *Allow) Bind(c Columns) {
	c.Key("id", &v.ID)
	c.Value("revision", &v.Revision)
	c.Value("kind", &v.Kind)
	c.Key("subject", &v.Subject)
	c.Value("owner", &v.Owner)
	c.Value("reason", &v.Reason)
	c.Value("created", &v.Created)
	c.Value("expires", &v.Expires)
	c.Value("revoked_at", &v.RevokedAt)
	c.Ref("revoked_by", &v.RevokedBy)
}
