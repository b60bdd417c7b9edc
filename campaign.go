package palladium

import "time"

// Family is a kind of evidence. Families of one Key are not independent of each other.
type Family string

// The evidence families.
const (
	Identity   Family = "identity"   // payment, device, sign-up data
	Network    Family = "network"    // addresses, TLS and header fingerprints
	Template   Family = "template"   // wording that an account repeats
	Continuity Family = "continuity" // a conversation or an answer that moves between accounts
	Twins      Family = "twins"      // one distribution of topics
	Queue      Family = "queue"      // one work list, dealt out without repeats
	Schedule   Family = "schedule"   // equal loads, failover, common birth
	Parameters Family = "parameters" // a rare tuple of request parameters
)

// Families lists all families in the order in which they are shown.
func Families() []Family {
	return []Family{Identity, Network, Template, Continuity, Twins, Queue, Schedule, Parameters}
}

// Key is a group of families that one mistake, or one innocent cause, can trip together. Enforcement needs two keys.
type Key string

// The keys of the two-key rule.
const (
	KeyWho  Key = "who"  // identity, network
	KeyWhat Key = "what" // template, continuity, twins, queue
	KeyHow  Key = "how"  // schedule, parameters
)

// Key returns the independent group to which f belongs.
func (f Family) Key() Key {
	switch f {
	case Identity, Network:
		return KeyWho
	case Schedule, Parameters:
		return KeyHow
	}
	return KeyWhat
}

// Stage is how far a campaign may be acted on.
type Stage string

// The stages. StageLinked marks a group under one operator whose use is not extraction.
const (
	StageAct    Stage = "act"    // safe to enforce automatically
	StageReview Stage = "review" // for a person
	StageWatch  Stage = "watch"  // neither yet
	StageLinked Stage = "linked"
)

// Campaign is a group of accounts with the evidence that joined them. Its JSON form without Detail is the
// campaign object of the report format.
type Campaign struct {
	ID                       string     `json:"id"`
	Stage                    Stage      `json:"stage"`
	OperatorP                float64    `json:"operator_p"`   // p-value of "the accounts act independently"
	ExtractionP              float64    `json:"extraction_p"` // p-value of "one more benign linked group"
	First                    time.Time  `json:"first"`
	Last                     time.Time  `json:"last"`
	DetectedAt               *time.Time `json:"detected_at"` // first reached review or act; nil when it never did
	Exchanges                int64      `json:"exchanges"`
	ExchangesBeforeDetection int64      `json:"exchanges_before_detection"`
	Tokens                   Tokens     `json:"tokens"`
	Accounts                 []Member   `json:"accounts"`
	Evidence                 []Evidence `json:"evidence"`
	CounterEvidence          []Counter  `json:"counter_evidence"`
	Techniques               []string   `json:"techniques"`
	Detail                   *Detail    `json:"detail,omitempty"`
}

// Tokens is what a group drew.
type Tokens struct {
	Input     int64 `json:"input"`
	Output    int64 `json:"output"`
	Reasoning int64 `json:"reasoning"`
}

// Member is an account of a group. Membership is the posterior probability that it belongs, in [0,1].
type Member struct {
	ID         string  `json:"id"`
	Membership float64 `json:"membership"`
}

// Evidence is one family's case: how many of the accounts show it, and its mean weight in nats per account.
type Evidence struct {
	Family   Family  `json:"family"`
	Says     string  `json:"says"`
	Accounts int     `json:"accounts"`
	Weight   float64 `json:"weight"`
}

// Counter is something that speaks against a campaign.
type Counter struct {
	Says string `json:"says"`
}

// Detail is what a person needs beyond the report format: shown by explain and on the HTML page, kept in the state.
type Detail struct {
	Calibration string          `json:"calibration,omitempty"` // what the extraction test was calibrated on
	WhyStage    []string        `json:"why_stage,omitempty"`   // the policy rules that gave or withheld the stage
	WouldClear  []string        `json:"would_clear,omitempty"` // what would have to change for it not to be listed
	WhyNot      string          `json:"why_not,omitempty"`     // of a linked group: why it is not extraction
	Timeline    []Draw          `json:"timeline,omitempty"`    // what was drawn, in steps of equal length
	Members     []MemberDetail  `json:"members,omitempty"`     // same order as Accounts
	Links       []Link          `json:"links,omitempty"`       // strongest links first, for the graph
	Features    []Feature       `json:"features,omitempty"`    // inputs of the extraction test
	Models      []Share         `json:"models,omitempty"`
	Days        []OperatorTrial `json:"days,omitempty"` // the one-operator test, window by window
}

// Draw is what a group drew from Start on, for one step of the timeline.
type Draw struct {
	Start     time.Time `json:"start"`
	Exchanges int64     `json:"exchanges"`
	Tokens    Tokens    `json:"tokens"`
}

// MemberDetail says why one account is in the group.
type MemberDetail struct {
	ID        string     `json:"id"`
	Exchanges int64      `json:"exchanges"`
	Tokens    Tokens     `json:"tokens"`
	First     time.Time  `json:"first"`
	Last      time.Time  `json:"last"`
	Evidence  []Evidence `json:"evidence"` // Accounts is how many other members share it
}

// Link joins an account to a piece of evidence. Token is a short label, never the raw value of personal data.
type Link struct {
	Account string  `json:"account"`
	Token   string  `json:"token"`
	Family  Family  `json:"family"`
	Weight  float64 `json:"weight"` // nats
}

// Feature is one input of the extraction test beside the range of the benign linked groups.
type Feature struct {
	Name  string  `json:"name"`
	Says  string  `json:"says"`
	Value float64 `json:"value"`
	P50   float64 `json:"p50"` // median of the reference groups
	P95   float64 `json:"p95"`
}

// Share is a named part of a whole.
type Share struct {
	Name  string  `json:"name"`
	Share float64 `json:"share"`
}

// LinkedUse is how a group of linked accounts uses the model: what campaigns and benign groups are compared by.
type LinkedUse struct {
	Features []float64 // what was measured, in the order of the test that measured it; NaN for what the traffic does not show
	Score    float64   // log-odds of extraction that the features come to
	Accounts int
}

// OperatorTrial is one window of the one-operator test. E is what it adds: looks at what the accounts
// share add up, days multiply, and the two are averaged.
type OperatorTrial struct {
	From     time.Time `json:"from"`
	To       time.Time `json:"to"`
	Accounts int       `json:"accounts"`
	P        float64   `json:"p"`
	E        float64   `json:"e"`
}

// Linked is a group under one operator whose use is not extraction.
type Linked struct {
	ID               string   `json:"id"`
	Accounts         []Member `json:"accounts"`
	WhyNotExtraction string   `json:"why_not_extraction"`
	Detail           *Detail  `json:"detail,omitempty"`
}

// ReportSchema names the version of the report format.
const ReportSchema = "palladium.report/v1"

// Report is the outcome of a scan in the report format.
type Report struct {
	Schema    string     `json:"schema"`
	Window    Window     `json:"window"`
	Counts    Counts     `json:"counts"`
	Campaigns []Campaign `json:"campaigns"` // act before review before watch, larger draw first
	Linked    []Linked   `json:"linked"`
}

// Window is the time of the first and last exchange read.
type Window struct {
	From time.Time `json:"from"`
	To   time.Time `json:"to"`
}

// Counts says what was read.
type Counts struct {
	Exchanges int64 `json:"exchanges"`
	Accounts  int64 `json:"accounts"`
	Rejected  int64 `json:"rejected"`
}

// Reject is one record that was skipped.
type Reject struct {
	File   string
	Line   int64 // 1-based; 0 when it concerns the file as a whole
	Reason string
}
