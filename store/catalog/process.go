package catalog

import (
	"context"
	"time"

	"github.com/palladium-guard/palladium/store"
)

// PutCase stores a case: a new one when c.Revision is 0, else a change of that revision. It gives it as it is now.
// ErrConflict when the Revision is not the stored one.
func (s *Store) PutCase(ctx context.Context, c Case) (Case, error) {
	if err := c.Check(); err != nil {
		return Case{}, invalid(err)
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
	return cases().Page(ctx, s.db, q.where(), store.Order{Name: "cases", Key: "urgency", ID: "id", Kind: "is"}, q.Page)
}

// CountCases says how many cases q selects on all pages.
func (s *Store) CountCases(ctx context.Context, q CaseQuery) (int64, error) {
	return cases().Count(ctx, s.db, q.where())
}

func (q *CaseQuery) where() (w store.Where) {
	store.In(&w, "state", q.State)
	w.Equal("campaign", q.Campaign)
	w.Equal("account", q.Account)
	w.Equal("assignee", q.Assignee)
	return w
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
	return notices().Page(ctx, s.db, q.where(), newest("at"), q.Page)
}

// CountNotices says how many notices q selects on all pages.
func (s *Store) CountNotices(ctx context.Context, q NoticeQuery) (int64, error) {
	return notices().Count(ctx, s.db, q.where())
}

func (q *NoticeQuery) where() (w store.Where) {
	w.Equal("account", q.Account)
	w.Equal("decision", q.Decision)
	return w
}

// PutAppeal stores an appeal: a new one when a.Revision is 0, else a change of that revision. It gives it as it is now.
// ErrConflict when the Revision is not the stored one, or when another appeal with this Ref is open or in review.
func (s *Store) PutAppeal(ctx context.Context, a Appeal) (Appeal, error) {
	if err := a.Check(); err != nil {
		return Appeal{}, invalid(err)
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
	return appeals().Page(ctx, s.db, q.where(), store.Order{Name: "appeals", Key: "urgency", ID: "id", Kind: "is"}, q.Page)
}

// CountAppeals says how many appeals q selects on all pages.
func (s *Store) CountAppeals(ctx context.Context, q AppealQuery) (int64, error) {
	return appeals().Count(ctx, s.db, q.where())
}

func (q *AppealQuery) where() (w store.Where) {
	store.In(&w, "state", q.State)
	w.Equal("account", q.Account)
	w.Equal("ref", q.Ref)
	w.Equal("decision", q.Decision)
	return w
}

// PutAllow stores an entry: a new one when a.Revision is 0, else a change of that revision. It gives it as it is now.
// ErrConflict when the Revision is not the stored one.
func (s *Store) PutAllow(ctx context.Context, a Allow) (Allow, error) {
	if err := a.Check(); err != nil {
		return Allow{}, invalid(err)
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
	return allows().Page(ctx, s.db, q.where(), store.Order{Name: "allow", Key: "expires", ID: "id", Kind: "is"}, q.Page)
}

// CountAllow says how many entries q selects on all pages.
func (s *Store) CountAllow(ctx context.Context, q AllowQuery) (int64, error) {
	return allows().Count(ctx, s.db, q.where())
}

func (q *AllowQuery) where() (w store.Where) {
	store.In(&w, "kind", q.Kind)
	store.In(&w, "subject", q.Subject)
	if q.InForce != nil {
		w.And("expires > ? AND (revoked_at IS NULL OR revoked_at > ?)", q.InForce.UnixMilli(), q.InForce.UnixMilli())
	}
	return w
}

// AllowsInForce gives every entry that is neither expired nor revoked at now.
func (s *Store) AllowsInForce(ctx context.Context, now time.Time) ([]Allow, error) {
	at := now.UnixMilli()
	return allows().All(ctx, s.db, "WHERE expires > ? AND (revoked_at IS NULL OR revoked_at > ?) ORDER BY expires, id", at, at)
}
