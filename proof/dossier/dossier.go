// Package dossier makes one signed archive of what is known of a campaign, for people who were not there: facts apart from
// what is inferred from them, evidence beside counter-evidence, the method with its error rates, what was done, and proofs
// that the ledger holds it. Everybody who has the public key can check it without a network.
//
// It is an engine: it takes values and a signer, and gives bytes.
package dossier

import (
	"fmt"
	"math"
	"time"

	"github.com/palladium-guard/palladium"
)

// Schema names the version of the archive.
const Schema = "palladium.dossier/v1"

// Material is what a dossier is made of, before anything is left out.
type Material struct {
	Site      string // who makes it
	Software  string // name and version of the program
	Made      time.Time
	Claim     string             // what is said of the campaign, in one sentence that holds no name
	Campaign  palladium.Campaign // with Accounts and Detail
	Accounts  []Account          // what is known of the members
	Work      Work
	Benign    []Benign // benign groups that are used most like it
	Decisions []Decision
	Appeals   []Appeal
	History   []Act
	Policy    string // revision of the policy in use
	Rates     []Rate
	Ledger    Ledger
}

// Account is what the site knows of an account. Every field but ID may be empty.
type Account struct {
	ID           string     `json:"id"`
	Created      *time.Time `json:"created"`
	Organization string     `json:"organization"`
	Plan         string     `json:"plan"`
	EmailDomain  string     `json:"email_domain"`
	BIN          string     `json:"bin"`
	PhonePrefix  string     `json:"phone_prefix"`
	SignupIP     string     `json:"signup_ip"`
	Verified     []string   `json:"verified"`
	Relation     string     `json:"relation"`
}

// Work is what people did with the campaign.
type Work struct {
	State      string   `json:"state"`
	Resolution string   `json:"resolution"`
	Assignee   string   `json:"assignee"`
	Labels     []string `json:"labels"`
}

// Benign is a benign group beside which the campaign was seen. Distance is in units of the range of such groups.
type Benign struct {
	ID       string  `json:"id"`
	Size     int     `json:"size"`
	WhyNot   string  `json:"why_not_extraction"`
	Distance float64 `json:"distance"`
}

// Decision is one measure that was decided.
type Decision struct {
	ID        string            `json:"id"`
	Measure   palladium.Measure `json:"measure"`
	Accounts  int               `json:"accounts"`
	Reason    string            `json:"reason"`
	Text      string            `json:"text"`
	By        string            `json:"by"`
	Automated bool              `json:"automated"`
	At        time.Time         `json:"at"`
	Expires   time.Time         `json:"expires"`
	State     string            `json:"state"`
	UndoneBy  string            `json:"undone_by"`
	UndoneAt  *time.Time        `json:"undone_at"`
}

// Appeal is what an account holder said against a decision.
type Appeal struct {
	ID        string     `json:"id"`
	Account   string     `json:"account"`
	Decision  string     `json:"decision"`
	Text      string     `json:"text"`
	At        time.Time  `json:"at"`
	State     string     `json:"state"`
	Reviewer  string     `json:"reviewer"`
	DecidedAt *time.Time `json:"decided_at"`
	Reply     string     `json:"reply"`
	Restored  bool       `json:"restored"`
}

// Act is a line of the history. LedgerIndex is -1 for what the ledger does not hold.
type Act struct {
	At          time.Time `json:"at"`
	Kind        string    `json:"kind"`
	By          string    `json:"by"`
	LedgerIndex int64     `json:"ledger_index"`
}

// Rate is an error rate that is promised, beside what came out where people have decided. Low and High bound a 95 % interval.
type Rate struct {
	Name     string   `json:"name"`
	Says     string   `json:"says"`
	Stated   float64  `json:"stated"`
	Observed *float64 `json:"observed"` // nil when N is 0
	Low      float64  `json:"low"`
	High     float64  `json:"high"`
	N        int64    `json:"n"`
}

// Ledger is what the transparency log says.
type Ledger struct {
	Key        string // name and hash of the log's public key, for orientation: who checks has the key from elsewhere
	Checkpoint []byte // signed head
	Entries    []Entry
}

// Entry is one statement of the log about the campaign, and the proof that it is there.
type Entry struct {
	Index     uint64
	Type      string
	Statement []byte // nil when it was erased
	Proof     []byte // C2SP tlog-proof with the entry in its extra line
	Staff     bool   // it says which member of the staff did or read something
}

// probability writes a p-value so that it claims no more digits than it has.
func probability(p float64) string {
	switch {
	case math.IsNaN(p):
		return "unknown"
	case p < 1e-12:
		return "< 1e-12"
	case p < 1e-3:
		return fmt.Sprintf("= %.1e", p)
	}
	return fmt.Sprintf("= %.3f", p)
}
