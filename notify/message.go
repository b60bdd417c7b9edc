package notify

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/palladium-guard/palladium"
	"github.com/palladium-guard/palladium/store/catalog"
)

// Severity says how soon somebody should look.
type Severity string

// The severities.
const (
	Info     Severity = "info"
	Warning  Severity = "warning"
	Critical Severity = "critical"
)

// Message is one event in the form in which it is told. It names no account and holds no text of traffic: what is behind it is read
// in the console by those who may.
type Message struct {
	Kind     string    `json:"kind"` // one of Kinds, or KindTest
	At       time.Time `json:"at"`
	Severity Severity  `json:"severity"`
	Title    string    `json:"title"`
	Text     string    `json:"text"`
	Subject  string    `json:"subject"`            // kind:ID of what it is about
	Campaign string    `json:"campaign,omitempty"` // ID, where it is about one
	Link     string    `json:"link,omitempty"`     // into the console
	Facts    []Fact    `json:"facts,omitempty"`

	fires *alert  // what begins with it
	ends  []alert // what ends with it
}

// Fact is one thing to know of an event.
type Fact struct {
	Name  string `json:"name"` // small letters and _
	Value string `json:"value"`
}

// alert is something that lasts: it has begun, and another event ends it.
type alert struct {
	name     string
	severity Severity
	key, id  string // label that tells it from others of the name
	until    time.Time
}

// The kinds of events that are told.
const (
	KindReview     = "campaign.review"
	KindAct        = "campaign.act"
	KindCleared    = "campaign.cleared"
	KindProposed   = "measure.proposed"
	KindEnforced   = "measure.enforced"
	KindApproved   = "measure.approved"
	KindRefused    = "measure.refused"
	KindUndone     = "measure.undone"
	KindExpired    = "measure.expired"
	KindApproval   = "approval.wanted"
	KindUnapproved = "approval.expired"
	KindRevoked    = "verdict.revoked"
	KindAppeal     = "appeal.opened"
	KindWithdrawn  = "appeal.withdrawn"
	KindDecided    = "appeal.decided"
	KindLedger     = "ledger.failed"
	KindLedgerGood = "ledger.restored"
	KindFailing    = "health.failing"
	KindRestored   = "health.restored"
	KindTest       = "test" // a sample; every sink takes it
)

// Kinds lists what a sink can ask for.
func Kinds() []string {
	return []string{KindReview, KindAct, KindCleared, KindProposed, KindEnforced, KindApproved, KindRefused, KindUndone, KindExpired, KindApproval,
		KindUnapproved, KindRevoked, KindAppeal, KindWithdrawn, KindDecided, KindLedger, KindLedgerGood, KindFailing, KindRestored}
}

// detail is what the events of the catalog say of themselves, as far as it is told.
type detail struct {
	Stage    palladium.Stage   `json:"stage"`
	From     palladium.Stage   `json:"from"`
	To       palladium.Stage   `json:"to"`
	Accounts int               `json:"accounts"`
	Measure  palladium.Measure `json:"measure"`
	State    string            `json:"state"`
	Expires  time.Time         `json:"expires"`
	Outcome  string            `json:"outcome"`
	Verdicts int               `json:"verdicts"`
	Says     string            `json:"says"`
}

// FromEvent puts an event of the catalog into words; false for one that nobody is told of. origin is the scheme and host of the
// console, or empty.
func FromEvent(e *catalog.Event, origin string) (*Message, bool) {
	var d detail
	if len(e.Data) > 0 {
		if err := json.Unmarshal(e.Data, &d); err != nil {
			d = detail{} // an event of an older form: what it is about is told all the same
		}
	}
	_, id, _ := strings.Cut(e.Subject, ":")
	m := &Message{At: e.At.UTC(), Severity: Info, Subject: e.Subject}
	for _, ref := range append([]string{e.Subject}, e.Refs...) {
		if c, ok := strings.CutPrefix(ref, "campaign:"); ok {
			m.Campaign = c
			break
		}
	}
	switch area, _, _ := strings.Cut(e.Kind, "."); area {
	case "campaign":
		m.campaign(e.Kind, id, &d)
	case "decision":
		m.measure(e.Kind, id, &d)
	case "approval":
		m.approval(e, &d)
	case "appeal":
		m.appeal(e.Kind, id, &d)
	case "ledger", "health":
		m.part(e.Kind, id, &d)
	}
	if m.Kind == "" {
		return nil, false
	}
	m.fact("actor", e.Actor)
	if e.LedgerIndex >= 0 {
		m.fact("ledger_index", strconv.FormatInt(e.LedgerIndex, 10))
	}
	m.Link = link(origin, m)
	return m, true
}

func (m *Message) campaign(kind, id string, d *detail) {
	was, now := d.From, d.To
	switch kind {
	case "campaign.found":
		was, now = "", d.Stage
	case "campaign.gone":
		was, now = d.Stage, ""
	case "campaign.staged":
	default:
		return
	}
	of := func(s palladium.Stage) *alert {
		severity := Warning
		if s == palladium.StageAct {
			severity = Critical
		}
		return &alert{name: "PalladiumCampaign", severity: severity, key: "campaign", id: id}
	}
	told := func(s palladium.Stage) bool { return s == palladium.StageAct || s == palladium.StageReview }
	if told(was) && was != now {
		m.ends = append(m.ends, *of(was))
	}
	switch {
	case now == palladium.StageAct:
		m.Kind, m.fires = KindAct, of(now)
		m.Title = "Campaign " + id + " reached the stage act"
		m.Text = fmt.Sprintf("%d accounts seem to be run by one operator that extracts the model. Policy may put measures in force.", d.Accounts)
	case now == palladium.StageReview:
		m.Kind, m.fires = KindReview, of(now)
		m.Title = "Campaign " + id + " is to be reviewed"
		m.Text = fmt.Sprintf("%d accounts seem to be run together. A person should look at the evidence and at what speaks against it.", d.Accounts)
	case told(was):
		m.Kind, m.Title = KindCleared, "Campaign "+id+" is no longer at "+string(was)
		m.Text = "What was found no longer supports that stage."
	default:
		return
	}
	if m.fires != nil {
		m.Severity = m.fires.severity
	}
	if d.Accounts > 0 {
		m.fact("accounts", strconv.Itoa(d.Accounts))
	}
	m.fact("stage", string(now))
	m.fact("stage_before", string(was))
}

func (m *Message) measure(kind, id string, d *detail) {
	force := alert{name: "PalladiumMeasure", severity: Info, key: "decision", id: id, until: d.Expires}
	wanted := alert{name: "PalladiumApproval", severity: Warning, key: "decision", id: id, until: d.Expires}
	what := fmt.Sprintf("%s on %d accounts", d.Measure, d.Accounts)
	switch {
	case kind == "decision.made" && d.State == catalog.StatePending:
		m.Kind, m.Severity, m.fires = KindApproval, Warning, &wanted
		m.Title, m.Text = "Approval is wanted: "+what, "A measure is proposed and waits for a second person. Nothing happens to anybody until then."
	case kind == "decision.made" && d.State == catalog.StateShadow:
		m.Kind, m.Title, m.Text = KindProposed, "In shadow: "+what, "A measure is recorded as what would be done. Nothing happens to anybody."
	case kind == "decision.made":
		m.Kind, m.fires = KindEnforced, &force
		m.Title, m.Text = "In force: "+what, "A measure is in force. It expires by itself and can be undone in the console."
	case kind == "decision.approved":
		m.Kind, m.fires, m.ends = KindApproved, &force, []alert{wanted}
		m.Title, m.Text = "Approved and in force: "+what, "A second person approved a measure. It expires by itself and can be undone in the console."
	case kind == "decision.refused":
		m.Kind, m.ends = KindRefused, []alert{wanted}
		m.Title, m.Text = "Refused: "+what, "A second person refused a measure. Nothing happened to anybody."
	case kind == "decision.undone":
		m.Kind, m.ends = KindUndone, []alert{force, wanted}
		m.Title, m.Text = "Undone: "+what, "A measure was taken back. Its verdicts ended at once."
	case kind == "decision.expired":
		m.Kind, m.ends = KindExpired, []alert{force, wanted}
		m.Title, m.Text = "A measure expired", "A measure has run out, as was said when it was decided."
	case kind == "decision.released":
		m.Kind, m.fires = KindRevoked, &alert{name: "PalladiumRevoked", severity: Info, key: "decision", id: id, until: m.At.Add(time.Hour)}
		m.Title = fmt.Sprintf("%d verdicts were revoked", d.Verdicts)
		m.Text = "Accounts were let go from a measure, as after an appeal. It holds for the others."
		m.fact("verdicts", strconv.Itoa(d.Verdicts))
	default:
		return
	}
	m.fact("measure", string(d.Measure))
	if d.Accounts > 0 {
		m.fact("accounts", strconv.Itoa(d.Accounts))
	}
	if !d.Expires.IsZero() {
		m.fact("expires", d.Expires.UTC().Format(time.RFC3339))
	}
}

func (m *Message) approval(e *catalog.Event, _ *detail) {
	if e.Kind != "approval.expired" {
		return
	}
	m.Kind, m.Title, m.Text = KindUnapproved, "A measure was not approved in time", "Nobody approved a measure that waited for a second person. Nothing happened to anybody."
	for _, ref := range e.Refs {
		if id, ok := strings.CutPrefix(ref, "decision:"); ok {
			m.ends = append(m.ends, alert{name: "PalladiumApproval", severity: Warning, key: "decision", id: id})
		}
	}
}

func (m *Message) appeal(kind, id string, d *detail) {
	open := alert{name: "PalladiumAppeal", severity: Warning, key: "appeal", id: id}
	switch kind {
	case "appeal.made":
		m.Kind, m.Severity, m.fires = KindAppeal, Warning, &open
		m.Title, m.Text = "An appeal was made", "An account holder asks for another look. Somebody other than who decided must take it up; the clock runs."
	case "appeal.withdrawn":
		m.Kind, m.ends = KindWithdrawn, []alert{open}
		m.Title, m.Text = "An appeal was withdrawn", "The account holder no longer asks for another look."
	case "appeal.decided":
		m.Kind, m.ends = KindDecided, []alert{open}
		m.Title, m.Text = "An appeal was decided", "The account holder is told of the outcome on the appeal page."
		m.fact("outcome", d.Outcome)
	}
}

func (m *Message) part(kind, id string, d *detail) {
	switch kind {
	case "ledger.failed":
		m.Kind, m.Severity, m.fires = KindLedger, Critical, &alert{name: "PalladiumLedger", severity: Critical, key: "part", id: id}
		m.Title, m.Text = "The ledger does not verify", "Its files do not agree with what was signed. Copy them before anything is repaired, then see palladium ledger verify."
	case "ledger.restored":
		m.Kind, m.ends = KindLedgerGood, []alert{{name: "PalladiumLedger", severity: Critical, key: "part", id: id}}
		m.Title, m.Text = "The ledger verifies again", "Its files agree with what was signed."
	case "health.failing":
		m.Kind, m.Severity, m.fires = KindFailing, Warning, &alert{name: "PalladiumHealth", severity: Warning, key: "part", id: id}
		m.Title, m.Text = "Part "+id+" is failing", "It has not worked for half a minute."
	case "health.restored":
		m.Kind, m.ends = KindRestored, []alert{{name: "PalladiumHealth", severity: Warning, key: "part", id: id}}
		m.Title, m.Text = "Part "+id+" works again", "It has worked for half a minute."
	default:
		return
	}
	m.fact("part", id)
	m.fact("says", d.Says)
}

// fact adds what is known; an empty value is left out, a long one cut.
func (m *Message) fact(name, value string) {
	if value != "" {
		m.Facts = append(m.Facts, Fact{name, clean(value, 300)})
	}
}

func link(origin string, m *Message) string {
	if origin == "" {
		return ""
	}
	kind, id, _ := strings.Cut(m.Subject, ":")
	switch {
	case kind == "appeal":
		return origin + "/appeals/" + id
	case kind == "approval":
		return origin + "/approvals/" + id
	case m.Kind == KindApproval:
		return origin + "/approvals"
	case m.Campaign != "":
		return origin + "/campaigns/" + m.Campaign
	case kind == "decision":
		return origin + "/decisions"
	case m.Kind == KindLedger || m.Kind == KindLedgerGood:
		return origin + "/ledger"
	}
	return origin + "/system"
}

// Sample is what a sink is sent to try it out.
func Sample(at time.Time, origin string) *Message {
	m := &Message{
		Kind: KindTest, At: at.UTC(), Severity: Info, Title: "A test of Palladium's notifications", Subject: "test:sample",
		Text:  "Somebody tries out whether this place is told. Nothing has happened.",
		fires: &alert{name: "PalladiumTest", severity: Info, key: "part", id: "test", until: at.Add(5 * time.Minute)},
	}
	m.Link = link(origin, m)
	return m
}

// clean takes line breaks and what cannot be printed out of a text, and cuts it after n bytes.
func clean(s string, n int) string {
	var b strings.Builder
	for _, r := range s {
		if b.Len()+4 > n {
			b.WriteString("…")
			break
		}
		if r < ' ' || r == 0x7f || r >= 0x80 && r <= 0x9f || r == 0x2028 || r == 0x2029 {
			r = ' '
		}
		b.WriteRune(r)
	}
	return b.String()
}
