package archive

import (
	"strings"
	"time"

	"github.com/palladium-guard/palladium"
)

// The rows of the archive's files. Their columns are a promise to whoever queries them: names stay, columns are only added, and a
// reader takes a column that is not there for empty. In nullable columns zero, the word for absent, is NULL; so is what is no longer
// kept. An empty list is a list of nothing, NULL one that is no longer kept.

// observation is a palladium.Observation. Class connection is kept shortest, then fingerprints, then all else: see class.
type observation struct {
	Seq      uint64 `parquet:"seq,delta"`     // place in its log, from 1, shared with accounts
	Log      string `parquet:"log,dict,zstd"` // stream or another that was written from
	Time     int64  `parquet:"time,delta,timestamp(millisecond)"`
	Exchange uint64 `parquet:"exchange_id"`
	Account  string `parquet:"account,dict,zstd"`

	Credential uint64 `parquet:"credential,optional,dict,zstd"`
	IP         uint64 `parquet:"ip,optional,dict,zstd"`
	Net        uint64 `parquet:"net,optional,dict,zstd"`
	ASN        uint32 `parquet:"asn,optional,dict,zstd"`
	Client     uint64 `parquet:"client,optional,dict,zstd"`
	TLS        uint64 `parquet:"tls,optional,dict,zstd"`
	Headers    uint64 `parquet:"headers,optional,dict,zstd"`
	UserAgent  uint64 `parquet:"user_agent,optional,dict,zstd"`
	Device     uint64 `parquet:"device,optional,dict,zstd"`

	API       uint64 `parquet:"api,optional,dict,zstd"`
	Model     uint64 `parquet:"model,optional,dict,zstd"`
	System    uint64 `parquet:"system,optional,dict,zstd"`
	Tools     uint64 `parquet:"tools,optional,dict,zstd"`
	Params    uint64 `parquet:"params,optional,dict,zstd"`
	ParamHas  uint16 `parquet:"params_sent,dict,zstd"`
	MaxTokens uint32 `parquet:"max_tokens,dict,zstd"`
	Turns     uint16 `parquet:"turns,dict,zstd"`
	Words     uint32 `parquet:"words,zstd"`
	Chars     uint32 `parquet:"chars,zstd"`
	Digests   uint16 `parquet:"digests,dict,zstd"`

	Prompt   uint64   `parquet:"prompt,optional,zstd"`
	SimHash  uint64   `parquet:"simhash,optional,zstd"`
	MinHash  []byte   `parquet:"minhash,optional,plain,zstd"`
	Shingles []uint64 `parquet:"shingles,optional,list,zstd"`
	Terms    []uint16 `parquet:"terms,optional,list,zstd"`
	Chain    []uint64 `parquet:"chain,optional,list,zstd"`
	Quotes   []uint64 `parquet:"quotes,optional,list,zstd"`
	Answer   uint64   `parquet:"answer,optional,zstd"`
	Answers  []uint64 `parquet:"answers,optional,list,zstd"`
	Biased   []uint32 `parquet:"biased,optional,list,zstd"`

	Cues        uint16 `parquet:"cues,dict,zstd"`
	TopLogprobs uint8  `parquet:"top_logprobs,dict,zstd"`

	Status    int32   `parquet:"status,optional,dict,zstd"`
	Finish    string  `parquet:"finish,optional,dict,zstd"`
	MS        float64 `parquet:"ms,optional,zstd"`
	TTFT      float64 `parquet:"ttft_ms,optional,zstd"`
	Input     int64   `parquet:"input_tokens,zstd"`
	Output    int64   `parquet:"output_tokens,zstd"`
	Reasoning int64   `parquet:"reasoning_tokens,zstd"`
	Cached    int64   `parquet:"cached_tokens,zstd"`
}

// take copies o into the row, lists and strings included.
func (r *observation) take(o *palladium.Observation) {
	r.Time, r.Exchange, r.Account = o.Time, o.ID, strings.Clone(o.Account)
	r.Credential, r.IP, r.Net, r.ASN, r.Client = o.Credential, o.IP, o.Net, o.ASN, o.Client
	r.TLS, r.Headers, r.UserAgent, r.Device = o.TLS, o.Headers, o.UserAgent, o.Device
	r.API, r.Model, r.System, r.Tools, r.Params, r.ParamHas = o.API, o.Model, o.System, o.Tools, o.Params, uint16(o.ParamHas)
	r.MaxTokens, r.Turns, r.Words, r.Chars, r.Digests = o.MaxTokens, o.Turns, o.Words, o.Chars, o.Digests
	r.Prompt, r.SimHash, r.Answer = o.Prompt, o.SimHash, o.Answer
	r.MinHash = append(r.MinHash[:0], o.MinHash[:]...)
	r.Shingles, r.Terms = append(r.Shingles[:0], o.Shingles...), append(r.Terms[:0], o.Terms...)
	r.Chain, r.Quotes = append(r.Chain[:0], o.Chain...), append(r.Quotes[:0], o.Quotes...)
	r.Answers, r.Biased = append(r.Answers[:0], o.Answers...), append(r.Biased[:0], o.Biased...)
	r.Cues, r.TopLogprobs = uint16(o.Cues), o.TopLogprobs
	r.Status, r.Finish, r.MS, r.TTFT = int32(o.Outcome.Status), strings.Clone(o.Outcome.Finish), o.Outcome.MS, o.Outcome.TTFTMS
	r.Input, r.Output, r.Reasoning, r.Cached = o.Usage.Input, o.Usage.Output, o.Usage.Reasoning, o.Usage.Cached
}

// give makes o of the row; its lists are the row's.
func (r *observation) give(o *palladium.Observation) {
	*o = palladium.Observation{
		ID: r.Exchange, Time: r.Time, Account: r.Account,
		Credential: r.Credential, IP: r.IP, Net: r.Net, ASN: r.ASN, Client: r.Client, TLS: r.TLS, Headers: r.Headers,
		UserAgent: r.UserAgent, Device: r.Device,
		API: r.API, Model: r.Model, System: r.System, Tools: r.Tools, Params: r.Params, ParamHas: palladium.ParamSet(r.ParamHas),
		MaxTokens: r.MaxTokens, Turns: r.Turns, Words: r.Words, Chars: r.Chars, Digests: r.Digests,
		Prompt: r.Prompt, SimHash: r.SimHash, Shingles: r.Shingles, Terms: r.Terms, Chain: r.Chain, Quotes: r.Quotes,
		Answer: r.Answer, Answers: r.Answers, Biased: r.Biased, Cues: palladium.CueSet(r.Cues), TopLogprobs: r.TopLogprobs,
		Outcome: palladium.Outcome{Status: int(r.Status), Finish: r.Finish, MS: r.MS, TTFTMS: r.TTFT},
		Usage:   palladium.Usage{Input: r.Input, Output: r.Output, Reasoning: r.Reasoning, Cached: r.Cached},
	}
	copy(o.MinHash[:], r.MinHash)
}

// forget empties the columns of the classes that are not among kept.
func (r *observation) forget(kept class) {
	if kept&connection == 0 {
		r.Credential, r.IP, r.Net, r.ASN, r.Client, r.TLS, r.Headers, r.UserAgent, r.Device = 0, 0, 0, 0, 0, 0, 0, 0, 0
	}
	if kept&fingerprints == 0 {
		r.System, r.Tools, r.Params, r.Prompt, r.SimHash, r.Answer = 0, 0, 0, 0, 0, 0
		r.MinHash, r.Shingles, r.Terms, r.Chain, r.Quotes, r.Answers, r.Biased = nil, nil, nil, nil, nil, nil, nil
	}
}

// class is a set of the classes of columns that a file still holds. What belongs to none is kept as long as the row.
type class uint8

const (
	connection   class = 1 << iota // what the connection showed: credential to device
	fingerprints                   // what the text and the parameters were: system to params, prompt to biased
	everything   = connection | fingerprints
)

// String is the word in a file's name.
func (c class) String() string {
	return [...]string{"counts", "connection", "fingerprints", "all"}[c&everything]
}

func parseClass(s string) (class, bool) {
	for c := range everything + 1 {
		if c.String() == s {
			return c, true
		}
	}
	return 0, false
}

// account is a palladium.Account as it was described at one place of its log.
type account struct {
	Seq          uint64   `parquet:"seq,delta"`
	Log          string   `parquet:"log,dict,zstd"`
	Described    int64    `parquet:"described,delta,timestamp(millisecond)"` // newest exchange before
	Account      string   `parquet:"account,zstd"`
	Created      int64    `parquet:"created,optional,timestamp(microsecond),zstd"`
	Organization string   `parquet:"organization,optional,dict,zstd"`
	Plan         string   `parquet:"plan,optional,dict,zstd"`
	EmailDomain  string   `parquet:"email_domain,optional,dict,zstd"`
	EmailShape   string   `parquet:"email_shape,optional,dict,zstd"`
	Payment      string   `parquet:"payment,optional,zstd"`
	BIN          string   `parquet:"bin,optional,dict,zstd"`
	PhonePrefix  string   `parquet:"phone_prefix,optional,dict,zstd"`
	Device       string   `parquet:"device,optional,zstd"`
	SignupIP     string   `parquet:"signup_ip,optional,zstd"`
	Verified     []string `parquet:"verified,list,zstd"`
	Relation     string   `parquet:"relation,optional,dict,zstd"`
}

func (r *account) take(a *palladium.Account) {
	*r = account{
		Account: strings.Clone(a.ID), Organization: strings.Clone(a.Organization), Plan: strings.Clone(a.Plan),
		EmailDomain: strings.Clone(a.EmailDomain), EmailShape: strings.Clone(a.EmailShape), Payment: strings.Clone(a.Payment),
		BIN: strings.Clone(a.BIN), PhonePrefix: strings.Clone(a.PhonePrefix), Device: strings.Clone(a.Device),
		SignupIP: strings.Clone(a.SignupIP), Relation: strings.Clone(string(a.Relation)),
	}
	if !a.Created.IsZero() {
		r.Created = a.Created.UnixMicro()
	}
	for _, v := range a.Verified {
		r.Verified = append(r.Verified, strings.Clone(v))
	}
}

func (r *account) give(a *palladium.Account) {
	*a = palladium.Account{
		ID: r.Account, Organization: r.Organization, Plan: r.Plan, EmailDomain: r.EmailDomain, EmailShape: r.EmailShape,
		Payment: r.Payment, BIN: r.BIN, PhonePrefix: r.PhonePrefix, Device: r.Device, SignupIP: r.SignupIP,
		Verified: r.Verified, Relation: palladium.Relation(r.Relation),
	}
	if r.Created != 0 {
		a.Created = time.UnixMicro(r.Created).UTC()
	}
}

// same reports whether two rows describe an account in the same words.
func (r *account) same(o *account) bool {
	if len(r.Verified) != len(o.Verified) {
		return false
	}
	for i, v := range r.Verified {
		if v != o.Verified[i] {
			return false
		}
	}
	return r.Account == o.Account && r.Created == o.Created && r.Organization == o.Organization && r.Plan == o.Plan &&
		r.EmailDomain == o.EmailDomain && r.EmailShape == o.EmailShape && r.Payment == o.Payment && r.BIN == o.BIN &&
		r.PhonePrefix == o.PhonePrefix && r.Device == o.Device && r.SignupIP == o.SignupIP && r.Relation == o.Relation
}

// model is the name behind a hash in the column model of observations. Seq is that of the row that follows.
type model struct {
	Seq   uint64 `parquet:"seq,delta"`
	Log   string `parquet:"log,dict,zstd"`
	Model uint64 `parquet:"model"`
	Name  string `parquet:"name,zstd"`
}

// The order of rows in a log.
func (r *observation) place() uint64 { return r.Seq }
func (r *account) place() uint64     { return r.Seq }
func (r *model) place() uint64       { return r.Seq }

// Rows of a group, from which a reader of a few columns has little to skip and a writer little to hold.
const (
	groupRows  = 32 << 10 // of what a Writer holds in memory
	mergedRows = 128 << 10
)
