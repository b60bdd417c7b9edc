package catalog

import (
	"context"
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

// PutCase stores a case: a new one when c.Revision is 0, else a change of that revision. It gives it as it is now.
// ErrConflict when the Revision is not the stored one.
func (s *Store) PutCase(ctx context.Context, c Case) (Case, error) { return Case{}, errNotBuilt }

// GetCase gives one case.
func (s *Store) GetCase(ctx context.Context, id string) (Case, error) { return Case{}, errNotBuilt }

// CaseQuery selects cases. An empty field selects all.
type CaseQuery struct {
	Page
	State                       []string
	Campaign, Account, Assignee string
}

// ListCases gives cases: open ones by Due, those without one after, then resolved and closed ones, newest first.
func (s *Store) ListCases(ctx context.Context, q CaseQuery) ([]Case, string, error) {
	return nil, "", errNotBuilt
}

// Note is a remark on a case. Notes are not changed.
type Note struct {
	ID   string    `json:"id"`
	Case string    `json:"case"`
	By   string    `json:"by"`
	At   time.Time `json:"at"`
	Text string    `json:"text"`
}

// AddNote stores a note. ErrNotFound when there is no such case, ErrConflict when the note's id is taken.
func (s *Store) AddNote(ctx context.Context, n Note) error { return errNotBuilt }

// ListNotes gives the notes of a case, oldest first.
func (s *Store) ListNotes(ctx context.Context, caseID string, p Page) ([]Note, string, error) {
	return nil, "", errNotBuilt
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

// AddNotices stores notices in one transaction; ErrConflict when an id is taken.
func (s *Store) AddNotices(ctx context.Context, n []Notice) error { return errNotBuilt }

// GetNoticeByRef gives the newest notice with this appeal reference.
func (s *Store) GetNoticeByRef(ctx context.Context, ref string) (Notice, error) {
	return Notice{}, errNotBuilt
}

// NoticeQuery selects notices. An empty field selects all.
type NoticeQuery struct {
	Page
	Account, Decision string
}

// ListNotices gives notices, newest first.
func (s *Store) ListNotices(ctx context.Context, q NoticeQuery) ([]Notice, string, error) {
	return nil, "", errNotBuilt
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

// PutAppeal stores an appeal: a new one when a.Revision is 0, else a change of that revision. It gives it as it is now.
// ErrConflict when the Revision is not the stored one, or when another appeal with this Ref is open or in review.
func (s *Store) PutAppeal(ctx context.Context, a Appeal) (Appeal, error) {
	return Appeal{}, errNotBuilt
}

// GetAppeal gives one appeal.
func (s *Store) GetAppeal(ctx context.Context, id string) (Appeal, error) {
	return Appeal{}, errNotBuilt
}

// AppealQuery selects appeals. An empty field selects all.
type AppealQuery struct {
	Page
	State                  []string
	Account, Ref, Decision string
}

// ListAppeals gives appeals: open ones and those in review by Due, then the others, newest first.
func (s *Store) ListAppeals(ctx context.Context, q AppealQuery) ([]Appeal, string, error) {
	return nil, "", errNotBuilt
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

// PutAllow stores an entry: a new one when a.Revision is 0, else a change of that revision. It gives it as it is now.
// ErrConflict when the Revision is not the stored one.
func (s *Store) PutAllow(ctx context.Context, a Allow) (Allow, error) { return Allow{}, errNotBuilt }

// GetAllow gives one entry.
func (s *Store) GetAllow(ctx context.Context, id string) (Allow, error) { return Allow{}, errNotBuilt }

// AllowQuery selects entries. An empty field selects all.
type AllowQuery struct {
	Page
	Kind    []string
	Subject []string
	InForce *time.Time // neither expired nor revoked at this time
}

// ListAllow gives entries, those that expire first at the top.
func (s *Store) ListAllow(ctx context.Context, q AllowQuery) ([]Allow, string, error) {
	return nil, "", errNotBuilt
}

// AllowsInForce gives every entry that is neither expired nor revoked at now.
func (s *Store) AllowsInForce(ctx context.Context, now time.Time) ([]Allow, error) {
	return nil, errNotBuilt
}
