package palladium

import "time"

// Account is what the operator knows of one account. Every field but ID may be empty.
type Account struct {
	ID           string
	Created      time.Time // when it signed up; zero when unknown
	Organization string    // the organisation that it declares
	Plan         string    // free, trial, pro, team, enterprise, education, research, startup … an open set
	EmailDomain  string
	EmailShape   string // local part with letters as 'a' and digits as '0'
	Payment      string // opaque fingerprint of the payment instrument
	BIN          string // issuer range of the card
	PhonePrefix  string
	Device       string
	SignupIP     string
	Verified     []string // of email, phone, card, id
	Relation     Relation
}

// Relation is what the operator itself vouches for. It is trusted: no outsider can set it.
type Relation string

// The relations of the traffic contract. Any other word is kept and treated as RelationUnknown.
const (
	RelationUnknown  Relation = ""
	RelationTenant   Relation = "tenant"   // many keys of one verified customer
	RelationReseller Relation = "reseller" // an honest reseller known to the operator
	RelationCohort   Relation = "cohort"   // a class, a programme
	RelationInternal Relation = "internal" // the operator's own
)

// Vouched reports whether the operator stands for accounts of this relation.
func (r Relation) Vouched() bool {
	switch r {
	case RelationTenant, RelationReseller, RelationCohort, RelationInternal:
		return true
	}
	return false
}

// Exchange is one request and its answer. Its strings may alias a buffer that the dialect reuses: they are valid
// until the next call on the same decoder, so whoever keeps one copies it.
type Exchange struct {
	ID         string
	Time       time.Time // when the request arrived
	Account    string    // who is billed
	Credential string    // id of the key or session, never the secret
	Client     Client
	API        string // openai.chat, anthropic.messages … an open set
	Model      string
	System     string
	Messages   []Message // the conversation as sent
	Params     Params
	Tools      []string // names of the tools offered
	Outcome    Outcome
	Usage      Usage
	Output     string // the answer's text, where the operator keeps it
}

// Client is what the connection showed. Every field may be empty.
type Client struct {
	IP        string
	ASN       uint32
	Country   string // carried through, never evidence
	UserAgent string
	TLS       string // JA4
	Headers   string // hash of the header order
	Device    string
}

// Message is one turn. A part that is not text has a Digest in place of Text.
type Message struct {
	Role   string
	Text   string
	Digest string
}

// Params are the request's parameters. The Has bits tell a value that was sent from one that was not.
type Params struct {
	Has         ParamSet
	Temperature float64
	TopP        float64
	MaxTokens   int
	N           int
	TopLogprobs int
	Seed        int64
	Logprobs    bool
	Stream      bool
	Reasoning   string // effort or budget as sent, in its JSON form when it is not a string
	Stop        []string
	LogitBias   []TokenBias
}

// TokenBias is one entry of logit_bias.
type TokenBias struct {
	Token uint32
	Bias  float64
}

// ParamSet says which parameters a request carried.
type ParamSet uint16

// One bit for each parameter of Params.
const (
	HasTemperature ParamSet = 1 << iota
	HasTopP
	HasMaxTokens
	HasN
	HasLogprobs
	HasTopLogprobs
	HasLogitBias
	HasSeed
	HasReasoning
	HasStream
	HasStop
)

// Outcome is how the request ended. Milliseconds are zero when unknown.
type Outcome struct {
	Status int // HTTP status; 0 when unknown
	Finish string
	MS     float64
	TTFTMS float64
}

// Usage is in tokens. Output includes Reasoning where the provider counts it so.
type Usage struct {
	Input, Output, Reasoning, Cached int64
}

// Reset empties e and keeps its slices' memory for the next record.
func (e *Exchange) Reset() {
	m, t, s, b := e.Messages[:0], e.Tools[:0], e.Params.Stop[:0], e.Params.LogitBias[:0]
	*e = Exchange{Messages: m, Tools: t}
	e.Params.Stop, e.Params.LogitBias = s, b
}
