package catalog

import (
	"context"
	"time"

	"github.com/palladium-guard/palladium"
)

// The states of work on a campaign or a case.
const (
	WorkNew        = "new"
	WorkInProgress = "in_progress"
	WorkOnHold     = "on_hold"
	WorkResolved   = "resolved"
	WorkClosed     = "closed"
)

// The resolutions of a campaign or a case; empty while there is none.
const (
	ResolvedTruePositive  = "true_positive"
	ResolvedBenign        = "benign"
	ResolvedFalsePositive = "false_positive"
	ResolvedDuplicate     = "duplicate"
	ResolvedAccepted      = "accepted"
)

// Campaign is what the detector last said of a group, and what people did with it. Groups under one operator whose use is
// not extraction are campaigns of palladium.StageLinked.
//
// Revision, and with it ErrConflict, counts what people change. What the detector says may change under one Revision;
// Updated moves with both.
type Campaign struct {
	palladium.Campaign                     // Accounts and Detail only from WholeCampaign
	Revision           int64               `json:"revision"`
	Updated            time.Time           `json:"updated"`
	Risk               float64             `json:"risk"`     // 0..1, orders the queue
	Trend              float64             `json:"trend"`    // draw of the last 24 h over that of the 24 h before; 0 when unknown
	Size               int                 `json:"size"`     // accounts
	Peak               palladium.Stage     `json:"peak"`     // the highest stage it ever had
	Gone               *time.Time          `json:"gone"`     // since when the detector no longer lists it
	WhyNot             string              `json:"why_not"`  // linked groups: why it is not extraction
	Features           []palladium.Feature `json:"features"` // linked groups only; else in Detail

	State      string     `json:"state"`
	Resolution string     `json:"resolution"`
	Assignee   string     `json:"assignee"` // user id
	Deadline   *time.Time `json:"deadline"`
	Labels     []string   `json:"labels"`
}

// The orders of ListCampaigns. Largest first, but SortDeadline earliest first and those without one last.
const (
	SortRisk     = "risk"
	SortDeadline = "deadline"
	SortDraw     = "draw" // output tokens
	SortSize     = "size"
	SortUpdated  = "updated"
)

// CampaignQuery selects campaigns. An empty field selects all; several values of one field are joined by or.
type CampaignQuery struct {
	Page
	State    []string
	Stage    []palladium.Stage // empty: all but linked
	Assignee string            // user id; "none" for those of nobody
	Label    string
	Text     string // part of an id, label or of what the evidence says; or the beginning of a member's id
	Sort     string // empty: SortRisk
	Listed   bool   // only those that the detector still lists
}

// ListCampaigns gives campaigns without Accounts and Detail, and the cursor of the next page, empty at the end.
func (s *Store) ListCampaigns(ctx context.Context, q CampaignQuery) ([]Campaign, string, error) {
	return nil, "", errNotBuilt
}

// CountCampaigns says how many campaigns q selects on all pages.
func (s *Store) CountCampaigns(ctx context.Context, q CampaignQuery) (int64, error) {
	return 0, errNotBuilt
}

// GetCampaign gives a campaign without Accounts and Detail.
func (s *Store) GetCampaign(ctx context.Context, id string) (Campaign, error) {
	return Campaign{}, errNotBuilt
}

// WholeCampaign gives a campaign with Accounts and Detail.
func (s *Store) WholeCampaign(ctx context.Context, id string) (Campaign, error) {
	return Campaign{}, errNotBuilt
}

// PutCampaign stores what people say of a campaign: State, Resolution, Assignee, Deadline and Labels. All else of c is the
// detector's and is not written. It gives the campaign as it is now. ErrConflict when c.Revision is not the stored one.
func (s *Store) PutCampaign(ctx context.Context, c Campaign) (Campaign, error) {
	return Campaign{}, errNotBuilt
}

// ReportChanges says what a report changed.
type ReportChanges struct {
	Found  []string // campaigns that were not known before, linked groups not among them
	Staged []Staged // campaigns whose stage changed
	Gone   []string // campaigns and linked groups that the report no longer lists
	Wrote  int      // campaigns and linked groups of which anything was written
}

// Staged is a change of stage.
type Staged struct {
	ID       string
	From, To palladium.Stage
}

// PutReport stores what the detector says now, in one transaction: campaigns and linked groups with their members and links.
// What people did with them stays; those that are not in r stay too, with Gone set. What did not change since the report
// before costs a comparison of hashes. It appends the events campaign.found, campaign.staged and campaign.gone.
func (s *Store) PutReport(ctx context.Context, r *palladium.Report) (ReportChanges, error) {
	return ReportChanges{}, errNotBuilt
}

// EvidenceAt gives a campaign with Accounts and Detail as the detector saw it when the decision was made, and ErrNotFound
// for a decision without a campaign. State, Revision and what else people do is as it is now.
func (s *Store) EvidenceAt(ctx context.Context, decision string) (Campaign, error) {
	return Campaign{}, errNotBuilt
}

// Membership is an account's place in a campaign.
type Membership struct {
	Campaign               string             `json:"campaign"`
	Stage                  palladium.Stage    `json:"stage"` // of the campaign
	Membership             float64            `json:"membership"`
	palladium.MemberDetail                    // ID is the account; zero but for ID where the detector gave no detail
	Families               []palladium.Family `json:"families"` // of Evidence
}

// The orders of ListMembers: largest first, SortID ascending.
const (
	SortMembership = "membership"
	SortExchanges  = "exchanges"
	SortID         = "id"
)

// MemberQuery selects members of a campaign.
type MemberQuery struct {
	Page
	Campaign string // must be given
	Family   palladium.Family
	Token    string // label of a piece of evidence: those that hold it
	Text     string // beginning of an account id
	Sort     string // SortMembership (when empty), SortDraw, SortExchanges or SortID
}

// ListMembers gives members of a campaign.
func (s *Store) ListMembers(ctx context.Context, q MemberQuery) ([]Membership, string, error) {
	return nil, "", errNotBuilt
}

// CountMembers says how many members q selects on all pages.
func (s *Store) CountMembers(ctx context.Context, q MemberQuery) (int64, error) {
	return 0, errNotBuilt
}

// Memberships gives the campaigns to which an account belongs, by campaign.
func (s *Store) Memberships(ctx context.Context, account string) ([]Membership, error) {
	return nil, errNotBuilt
}

// Holding is a piece of evidence that an account holds in a campaign.
type Holding struct {
	Campaign string `json:"campaign"`
	palladium.Link
	Others int `json:"others"` // other members of the campaign that hold it
}

// ListHoldings gives each piece of evidence that an account holds, strongest first.
func (s *Store) ListHoldings(ctx context.Context, account string, p Page) ([]Holding, string, error) {
	return nil, "", errNotBuilt
}

// Label is a person's word on whether accounts belong to an extraction; it feeds the calibration.
type Label struct {
	ID       string    `json:"id"`
	Campaign string    `json:"campaign"`
	Accounts []string  `json:"accounts"`
	Benign   bool      `json:"benign"`
	Why      string    `json:"why"`
	By       string    `json:"by"`
	At       time.Time `json:"at"`
}

// AddLabel stores a label; ErrConflict when its id is taken.
func (s *Store) AddLabel(ctx context.Context, l Label) error { return errNotBuilt }

// ListLabels gives labels, newest first; of one campaign when it is not empty.
func (s *Store) ListLabels(ctx context.Context, campaign string, p Page) ([]Label, string, error) {
	return nil, "", errNotBuilt
}
