package catalog

import (
	"context"
	"time"

	"github.com/palladium-guard/palladium"
)

// The kinds of policy.
const (
	PolicyJudge       = "judge"
	PolicyEnforcement = "enforcement"
)

// Policy is a version of a policy. Its text does not change.
type Policy struct {
	ID          string     `json:"id"`
	Kind        string     `json:"kind"`
	Revision    string     `json:"revision"` // as the text names it
	Text        string     `json:"text"`     // empty in lists
	Author      string     `json:"author"`
	At          time.Time  `json:"at"`
	Active      bool       `json:"active"`
	ActivatedBy string     `json:"activated_by"`
	ActivatedAt *time.Time `json:"activated_at"` // the last time
}

// AddPolicy stores a version that is not in use; ErrConflict when its id is taken.
func (s *Store) AddPolicy(ctx context.Context, p Policy) error { return errNotBuilt }

// GetPolicy gives one version with its text.
func (s *Store) GetPolicy(ctx context.Context, id string) (Policy, error) {
	return Policy{}, errNotBuilt
}

// ActivePolicy gives the version of a kind that is in use, with its text; ErrNotFound when there is none.
func (s *Store) ActivePolicy(ctx context.Context, kind string) (Policy, error) {
	return Policy{}, errNotBuilt
}

// ActivatePolicy puts a version in use in place of the one before of its kind, and gives it as it is now.
func (s *Store) ActivatePolicy(ctx context.Context, id, by string, at time.Time) (Policy, error) {
	return Policy{}, errNotBuilt
}

// ListPolicies gives versions without their text, newest first; of one kind when it is not empty.
func (s *Store) ListPolicies(ctx context.Context, kind string, p Page) ([]Policy, string, error) {
	return nil, "", errNotBuilt
}

// Figures are counts of what people and policy did.
type Figures struct {
	Verdicts          map[string]int64 // by state
	InForce           []InForce        // by measure, mildest first, at the time asked for
	AppealsOpen       int64
	AppealsOverdue    int64
	AppealsDecided    int64
	AppealsOverturned int64
	AppealMedian      time.Duration // from appeal to decision; 0 when none was decided
	ExpiredUnreviewed int64         // automated decisions that expired without a person having looked
	Outcomes          []Outcome
	CampaignsListed   int64 // that the detector lists now, linked groups not among them
	LinkedListed      int64
	ReportFrom        *time.Time // window and counts of the newest report; nil when there was none
	ReportTo          *time.Time
	ReportExchanges   int64
	ReportAccounts    int64
	ReportRejected    int64
}

// Outcome counts campaigns that people resolved, by the highest stage they had.
type Outcome struct {
	Peak       palladium.Stage
	Resolution string
	Campaigns  int64
}

// Figures counts at now.
func (s *Store) Figures(ctx context.Context, now time.Time) (Figures, error) {
	return Figures{}, errNotBuilt
}
