package catalog

import (
	"context"
	"errors"
	"time"

	"github.com/palladium-guard/palladium"
	"github.com/palladium-guard/palladium/store"
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
func (s *Store) PutCase(ctx context.Context, c Case) (Case, error) {
	if err := errors.Join(oneOf("state", c.State, works()), oneOf("resolution", c.Resolution, resolutions())); err != nil {
		return Case{}, err
	}
	return cases().Put(ctx, s.db, &c, c.ID, &c.Revision)
}

// GetCase gives one case.
func (s *Store) GetCase(ctx context.Context, id string) (Case, error) {
	return cases().Get(ctx, s.db, "WHERE id = ?", id)
}

// CaseQuery selects cases. An empty field selects all.
type CaseQuery struct {
	Page
	State                       []string
	Campaign, Account, Assignee string
}

// ListCases gives cases: open ones by Due, those without one after, then resolved and closed ones, newest first.
func (s *Store) ListCases(ctx context.Context, q CaseQuery) ([]Case, string, error) {
	var w store.Where
	store.In(&w, "state", q.State)
	w.Equal("campaign", q.Campaign)
	w.Equal("account", q.Account)
	w.Equal("assignee", q.Assignee)
	return cases().Page(ctx, s.db, w, store.Order{Name: "cases", Key: "urgency", ID: "id", Kind: "is"}, q.Page)
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
func (s *Store) AddNote(ctx context.Context, n Note) error {
	return s.db.Update(ctx, func(tx *store.DB) error { return notes().Insert(ctx, tx, n) })
}

// ListNotes gives the notes of a case, oldest first.
func (s *Store) ListNotes(ctx context.Context, caseID string, p Page) ([]Note, string, error) {
	var w store.Where
	w.And("case_id = ?", caseID)
	return notes().Page(ctx, s.db, w, store.Order{Name: "notes", Key: "at", ID: "id", Kind: "is"}, p)
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
func (s *Store) AddNotices(ctx context.Context, n []Notice) error {
	return s.db.Update(ctx, func(tx *store.DB) error { return notices().Insert(ctx, tx, n...) })
}

// GetNoticeByRef gives the newest notice with this appeal reference.
func (s *Store) GetNoticeByRef(ctx context.Context, ref string) (Notice, error) {
	return notices().Get(ctx, s.db, "WHERE appeal_ref = ? AND appeal_ref <> '' ORDER BY at DESC, id DESC", ref)
}

// NoticeQuery selects notices. An empty field selects all.
type NoticeQuery struct {
	Page
	Account, Decision string
}

// ListNotices gives notices, newest first.
func (s *Store) ListNotices(ctx context.Context, q NoticeQuery) ([]Notice, string, error) {
	var w store.Where
	w.Equal("account", q.Account)
	w.Equal("decision", q.Decision)
	return notices().Page(ctx, s.db, w, newest("at"), q.Page)
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
	if err := oneOf("state", a.State, []string{AppealOpen, AppealInReview, AppealUpheld, AppealOverturned, AppealWithdrawn}); err != nil {
		return Appeal{}, err
	}
	return appeals().Put(ctx, s.db, &a, a.ID, &a.Revision)
}

// GetAppeal gives one appeal.
func (s *Store) GetAppeal(ctx context.Context, id string) (Appeal, error) {
	return appeals().Get(ctx, s.db, "WHERE id = ?", id)
}

// AppealQuery selects appeals. An empty field selects all.
type AppealQuery struct {
	Page
	State                  []string
	Account, Ref, Decision string
}

// ListAppeals gives appeals: open ones and those in review by Due, then the others, newest first.
func (s *Store) ListAppeals(ctx context.Context, q AppealQuery) ([]Appeal, string, error) {
	var w store.Where
	store.In(&w, "state", q.State)
	w.Equal("account", q.Account)
	w.Equal("ref", q.Ref)
	w.Equal("decision", q.Decision)
	return appeals().Page(ctx, s.db, w, store.Order{Name: "appeals", Key: "urgency", ID: "id", Kind: "is"}, q.Page)
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
func (s *Store) PutAllow(ctx context.Context, a Allow) (Allow, error) {
	if err := oneOf("kind", a.Kind, []string{KindAllow, KindResearcher, KindEvaluator}); err != nil {
		return Allow{}, err
	}
	return allows().Put(ctx, s.db, &a, a.ID, &a.Revision)
}

// GetAllow gives one entry.
func (s *Store) GetAllow(ctx context.Context, id string) (Allow, error) {
	return allows().Get(ctx, s.db, "WHERE id = ?", id)
}

// AllowQuery selects entries. An empty field selects all.
type AllowQuery struct {
	Page
	Kind    []string
	Subject []string
	InForce *time.Time // neither expired nor revoked at this time
}

// ListAllow gives entries, those that expire first at the top.
func (s *Store) ListAllow(ctx context.Context, q AllowQuery) ([]Allow, string, error) {
	var w store.Where
	store.In(&w, "kind", q.Kind)
	store.In(&w, "subject", q.Subject)
	if q.InForce != nil {
		w.And("expires > ? AND (revoked_at IS NULL OR revoked_at > ?)", q.InForce.UnixMilli(), q.InForce.UnixMilli())
	}
	return allows().Page(ctx, s.db, w, store.Order{Name: "allow", Key: "expires", ID: "id", Kind: "is"}, q.Page)
}

// AllowsInForce gives every entry that is neither expired nor revoked at now.
func (s *Store) AllowsInForce(ctx context.Context, now time.Time) ([]Allow, error) {
	at := now.UnixMilli()
	return allows().All(ctx, s.db, "WHERE expires > ? AND (revoked_at IS NULL OR revoked_at > ?) ORDER BY expires, id", at, at)
}

func cases() store.Table[Case] {
	return store.Table[Case]{Name: "cases", Bind: func(c *store.Columns, v *Case) {
		c.Key("id", &v.ID)
		store.Int(c, "revision", &v.Revision)
		c.Ref("campaign", &v.Campaign)
		c.Ref("account", &v.Account)
		c.Text("state", &v.State)
		c.Text("resolution", &v.Resolution)
		c.Ref("assignee", &v.Assignee)
		c.Time("opened", &v.Opened)
		c.Maybe("due", &v.Due)
		c.Maybe("closed", &v.Closed)
		c.Derived("urgency", func() any {
			since := v.Opened
			if v.Closed != nil {
				since = *v.Closed
			}
			return urgency(v.State != WorkResolved && v.State != WorkClosed, v.Due, since)
		})
	}}
}

func notes() store.Table[Note] {
	return store.Table[Note]{Name: "notes", Bind: func(c *store.Columns, v *Note) {
		c.Key("id", &v.ID)
		c.Key("case_id", &v.Case)
		c.Ref("author", &v.By)
		c.Time("at", &v.At)
		c.Text("says", &v.Text)
	}}
}

func notices() store.Table[Notice] {
	return store.Table[Notice]{Name: "notices", Bind: func(c *store.Columns, v *Notice) {
		c.Key("id", &v.ID)
		c.Ref("account", &v.Account)
		c.Ref("verdict", &v.Verdict)
		c.Ref("decision", &v.Decision)
		c.Time("at", &v.At)
		c.Text("reason", &v.Reason)
		store.Named(c, "measure", &v.Measure)
		c.Bool("automated", &v.Automated)
		c.Text("scope", &v.Scope)
		c.Text("says", &v.Text)
		c.Time("expires", &v.Expires)
		c.Ref("appeal_ref", &v.AppealRef)
	}}
}

func appeals() store.Table[Appeal] {
	return store.Table[Appeal]{Name: "appeals", Bind: func(c *store.Columns, v *Appeal) {
		c.Key("id", &v.ID)
		store.Int(c, "revision", &v.Revision)
		c.Key("ref", &v.Ref)
		c.Ref("account", &v.Account)
		c.Ref("decision", &v.Decision)
		c.Ref("verdict", &v.Verdict)
		c.Text("contact", &v.Contact)
		c.Text("says", &v.Text)
		c.Time("at", &v.At)
		c.Time("due", &v.Due)
		c.Text("state", &v.State)
		c.Ref("reviewer", &v.Reviewer)
		c.Maybe("decided_at", &v.DecidedAt)
		c.Text("reply", &v.Reply)
		c.Bool("restored", &v.Restored)
		c.Derived("urgency", func() any {
			since := v.At
			if v.DecidedAt != nil {
				since = *v.DecidedAt
			}
			return urgency(v.State == AppealOpen || v.State == AppealInReview, &v.Due, since)
		})
	}}
}

func allows() store.Table[Allow] {
	return store.Table[Allow]{Name: "allows", Bind: func(c *store.Columns, v *Allow) {
		c.Key("id", &v.ID)
		store.Int(c, "revision", &v.Revision)
		c.Text("kind", &v.Kind)
		c.Key("subject", &v.Subject)
		c.Text("owner", &v.Owner)
		c.Text("reason", &v.Reason)
		c.Time("created", &v.Created)
		c.Time("expires", &v.Expires)
		c.Maybe("revoked_at", &v.RevokedAt)
		c.Ref("revoked_by", &v.RevokedBy)
	}}
}
