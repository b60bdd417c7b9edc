package record

import (
	"slices"
	"strings"
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

// Membership is an account's place in a campaign.
type Membership struct {
	Campaign               string             `json:"campaign"`
	Stage                  palladium.Stage    `json:"stage"` // of the campaign
	Membership             float64            `json:"membership"`
	palladium.MemberDetail                    // ID is the account; zero but for ID where the detector gave no detail
	Families               []palladium.Family `json:"families"` // of Evidence
}

// Holding is a piece of evidence that an account holds in a campaign.
type Holding struct {
	Campaign string `json:"campaign"`
	palladium.Link
	Others int `json:"others"` // other members of the campaign that hold it
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

// Bind ties each field to its column.
func (v *Membership) Bind(c Columns) {
	c.Key("campaign", &v.Campaign)
	c.Key("account", &v.ID)
	c.Value("membership", &v.Membership)
	c.Value("exchanges", &v.Exchanges)
	c.Value("tokens_input", &v.Tokens.Input)
	c.Value("tokens_output", &v.Tokens.Output)
	c.Value("tokens_reasoning", &v.Tokens.Reasoning)
	c.Known("first", &v.First)
	c.Known("last", &v.Last)
	c.Value("evidence", &v.Evidence)
	c.Derived("families", func() any { return Bits(v.Families) })
}

// Bind ties each field to its column.
func (v *Label) Bind(c Columns) {
	c.Key("id", &v.ID)
	c.Ref("campaign", &v.Campaign)
	c.Value("accounts", &v.Accounts)
	c.Value("benign", &v.Benign)
	c.Value("why", &v.Why)
	c.Ref("author", &v.By)
	c.Value("at", &v.At)
}

// Bind ties each field that lists hold to its column.
func (v *Campaign) Bind(c Columns) {
	c.Key("id", &v.ID)
	c.Value("revision", &v.Revision)
	c.Value("updated", &v.Updated)
	c.Value("stage", &v.Stage)
	c.Value("peak", &v.Peak)
	c.Value("operator_p", &v.OperatorP)
	c.Value("extraction_p", &v.ExtractionP)
	c.Value("first", &v.First)
	c.Value("last", &v.Last)
	c.Value("detected_at", &v.DetectedAt)
	c.Value("exchanges", &v.Exchanges)
	c.Value("exchanges_before_detection", &v.ExchangesBeforeDetection)
	c.Value("tokens_input", &v.Tokens.Input)
	c.Value("tokens_output", &v.Tokens.Output)
	c.Value("tokens_reasoning", &v.Tokens.Reasoning)
	c.Value("evidence", &v.Evidence)
	c.Value("counter_evidence", &v.CounterEvidence)
	c.Value("techniques", &v.Techniques)
	c.Value("risk", &v.Risk)
	c.Value("trend", &v.Trend)
	c.Value("size", &v.Size)
	c.Value("gone", &v.Gone)
	c.Value("why_not", &v.WhyNot)
	c.Value("features", &v.Features)
	c.Value("state", &v.State)
	c.Value("resolution", &v.Resolution)
	c.Ref("assignee", &v.Assignee)
	c.Value("deadline", &v.Deadline)
	c.Value("labels", &v.Labels)
}

// Searched is what a campaign is searched by, folded: its id, labels and what its evidence says, a line each.
func Searched(id string, labels []string, evidence []palladium.Evidence) string {
	lines := append([]string{id}, labels...)
	for i := range evidence {
		lines = append(lines, evidence[i].Says)
	}
	return Fold(strings.Join(lines, "\n"))
}

// Fold makes texts comparable without regard to case.
func Fold(s string) string { return strings.ToLower(s) }

// Bits has one bit for each family, in the order of palladium.Families.
func Bits(list []palladium.Family) (bits int64) {
	for i, f := range palladium.Families() {
		if slices.Contains(list, f) {
			bits |= 1 << i
		}
	}
	return bits
}

// Linked is a linked group as a campaign. What it drew is what its members drew.
func Linked(l *palladium.Linked) Campaign {
	c := palladium.Campaign{ID: l.ID, Stage: palladium.StageLinked, OperatorP: 1, ExtractionP: 1, Accounts: l.Accounts, Detail: l.Detail}
	out := Campaign{WhyNot: l.WhyNotExtraction}
	if l.Detail != nil {
		out.Features = l.Detail.Features
		for i := range l.Detail.Members {
			m := &l.Detail.Members[i]
			c.Exchanges += m.Exchanges
			c.Tokens.Input += m.Tokens.Input
			c.Tokens.Output += m.Tokens.Output
			c.Tokens.Reasoning += m.Tokens.Reasoning
			if c.First.IsZero() || !m.First.IsZero() && m.First.Before(c.First) {
				c.First = m.First
			}
			if m.Last.After(c.Last) {
				c.Last = m.Last
			}
		}
	}
	out.Campaign = c
	return out
}
