package record

import (
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

// Brief ties what lists hold.
func (v *Policy) Brief(c Columns) {
	c.Key("id", &v.ID)
	c.Value("kind", &v.Kind)
	c.Value("revision", &v.Revision)
	c.Ref("author", &v.Author)
	c.Value("at", &v.At)
	c.Value("active", &v.Active)
	c.Ref("activated_by", &v.ActivatedBy)
	c.Value("activated_at", &v.ActivatedAt)
}

// Bind ties each field to its column.
func (v *Policy) Bind(c Columns) {
	v.Brief(c)
	c.Value("says", &v.Text)
}
