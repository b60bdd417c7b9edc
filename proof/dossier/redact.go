package dossier

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/palladium-guard/palladium"
)

// Profile says for whom a dossier is made, and so what it leaves out.
type Profile string

// The profiles.
const (
	Internal Profile = "internal" // everything
	Agency   Profile = "agency"   // an authority: accounts, but neither staff nor thresholds nor other customers
	Partner  Profile = "partner"  // another site: no account, only keyed pseudonyms
)

// Profiles returns all profiles.
func Profiles() []Profile { return []Profile{Internal, Partner, Agency} }

// LeftOut returns what a profile leaves out, in words.
func (p Profile) LeftOut() []string {
	agency := []string{
		"names of staff: they are numbered instead; statements of the ledger that name staff, their proofs stay",
		"thresholds: the ranges of benign groups, the policy's rules and what would clear the campaign",
		"benign groups of other customers",
		"what account holders wrote in appeals, and the replies",
		"labels of the site's own",
	}
	switch p {
	case Internal:
		return []string{}
	case Agency:
		return agency
	}
	return append(agency,
		"account ids: keyed pseudonyms stand in their place, the same in every dossier of this site for partners",
		"what is known of accounts beyond their use: sign-up data, organisation, plan",
		"labels of pieces of evidence: keyed pseudonyms stand in their place",
		"the words of decisions; their reason codes stay",
		"statements of the ledger, which name accounts; entries with their digests stay",
	)
}

// Pseudonyms makes the names that stand for accounts and pieces of evidence in dossiers for partners: HMAC-SHA256 under a
// key of the site, so that a partner can tell two apart and find one again, and cannot find out whom it stands for by trying.
type Pseudonyms [32]byte

func (k *Pseudonyms) name(kind, value string) string {
	mac := hmac.New(sha256.New, k[:])
	mac.Write([]byte(kind + "\x00" + value))
	return kind + "-" + hex.EncodeToString(mac.Sum(nil)[:8])
}

// Account returns the pseudonym of an account.
func (k *Pseudonyms) Account(id string) string { return k.name("account", id) }

// Token returns the pseudonym of a piece of evidence.
func (k *Pseudonyms) Token(f palladium.Family, label string) string { return k.name(string(f), label) }

// redactor leaves out what a profile does not show.
type redactor struct {
	profile Profile
	names   *Pseudonyms
	staff   map[string]string // user id -> number
	scrub   *strings.Replacer // what may stand in free text, by its pseudonym; nil when nothing is to be replaced
}

func newRedactor(m *Material, p Profile, names *Pseudonyms) *redactor {
	r := &redactor{profile: p, names: names, staff: map[string]string{}}
	if p != Partner {
		return r
	}
	known := map[string]string{}
	add := func(value, by string) {
		if len(value) > 2 {
			known[value] = by
		}
	}
	for _, a := range m.Accounts {
		add(a.Organization, "[organisation]")
		add(a.EmailDomain, "[domain]")
		add(a.SignupIP, "[address]")
		add(a.BIN, "[card range]")
		add(a.PhonePrefix, "[phone prefix]")
		add(a.ID, names.Account(a.ID))
	}
	for _, a := range m.Campaign.Accounts {
		add(a.ID, names.Account(a.ID))
	}
	if d := m.Campaign.Detail; d != nil {
		for _, l := range d.Links {
			add(l.Token, names.Token(l.Family, l.Token))
		}
	}
	// Longest first: an id that begins like another is not cut.
	var pairs []string
	for _, v := range slices.SortedFunc(maps.Keys(known), func(a, b string) int { return len(b) - len(a) }) {
		pairs = append(pairs, v, known[v])
	}
	r.scrub = strings.NewReplacer(pairs...)
	return r
}

// text returns free text without the names that the profile does not show.
func (r *redactor) text(s string) string {
	if r.scrub == nil {
		return s
	}
	return r.scrub.Replace(s)
}

func (r *redactor) texts(list []string) []string {
	out := []string{}
	for _, s := range list {
		out = append(out, r.text(s))
	}
	return out
}

// account returns the name of an account in this profile.
func (r *redactor) account(id string) string {
	if r.profile == Partner && id != "" {
		return r.names.Account(id)
	}
	return id
}

// token returns the label of a piece of evidence in this profile.
func (r *redactor) token(f palladium.Family, label string) string {
	if r.profile == Partner {
		return r.names.Token(f, label)
	}
	return label
}

// person returns how the profile names who acted. Policies and the system are no persons.
func (r *redactor) person(by string) string {
	if r.profile == Internal || by == "" || by == "system" || by == "anonymous" || strings.HasPrefix(by, "policy:") {
		return by
	}
	by, _, _ = strings.Cut(by, " ") // the token that was used
	if r.staff[by] == "" {
		r.staff[by] = fmt.Sprintf("person %d", len(r.staff)+1)
	}
	return r.staff[by]
}

// shows reports whether the profile shows the text of a statement. A statement cannot be shortened: it would no longer be the
// one that the ledger has.
func (r *redactor) shows(e *Entry) bool {
	switch {
	case r.profile == Internal:
		return true
	case r.profile == Partner || e.Staff:
		return false
	}
	for id := range r.staff {
		if bytes.Contains(e.Statement, []byte(id)) {
			return false
		}
	}
	return true
}

// only returns v in the internal profile, else its zero value.
func only[T any](r *redactor, v T) T {
	if r.profile == Internal {
		return v
	}
	var none T
	return none
}

// Facts are what was seen, without any conclusion.
type Facts struct {
	Campaign  string           `json:"campaign"`
	First     time.Time        `json:"first"`
	Last      time.Time        `json:"last"`
	Exchanges int64            `json:"exchanges"`
	Tokens    palladium.Tokens `json:"tokens"`
	Models    []Share          `json:"models"`
	Draws     []palladium.Draw `json:"draws"`
	Accounts  []FactsAccount   `json:"accounts"`
	Shared    []FactsLink      `json:"shared"` // who holds which piece of evidence; the strongest where there are many
	Known     []Account        `json:"known"`  // sign-up data; empty in profile partner
}

// Share is a named part of a whole.
type Share = palladium.Share

// FactsAccount is what one account drew.
type FactsAccount struct {
	ID        string           `json:"id"`
	Exchanges int64            `json:"exchanges"`
	Tokens    palladium.Tokens `json:"tokens"`
	First     *time.Time       `json:"first"`
	Last      *time.Time       `json:"last"`
}

// FactsLink says that an account holds a piece of evidence.
type FactsLink struct {
	Account string           `json:"account"`
	Family  palladium.Family `json:"family"`
	Token   string           `json:"token"`
}

// Inference is what is concluded from the facts, with what speaks against it.
type Inference struct {
	Claim           string                    `json:"claim"`
	Stage           palladium.Stage           `json:"stage"`
	OperatorP       float64                   `json:"operator_p"`
	ExtractionP     float64                   `json:"extraction_p"`
	DetectedAt      *time.Time                `json:"detected_at"`
	Evidence        []Evidence                `json:"evidence"`
	CounterEvidence []string                  `json:"counter_evidence"`
	Members         []palladium.Member        `json:"members"`
	Links           []Weight                  `json:"links"` // same order as shared in the facts
	Techniques      []string                  `json:"techniques"`
	Features        []Feature                 `json:"features"`
	Calibration     string                    `json:"calibration"`
	WhyStage        []string                  `json:"why_stage"`
	WouldClear      []string                  `json:"would_clear"`
	Benign          []Benign                  `json:"benign"`
	Days            []palladium.OperatorTrial `json:"days"`
}

// Evidence is one family's case with the independent key that it belongs to.
type Evidence struct {
	Key palladium.Key `json:"key"`
	palladium.Evidence
}

// Weight is what one shared piece of evidence adds for one account, in nats.
type Weight float64

// Feature is one input of the extraction test. P50 and P95 are null where the profile does not show thresholds.
type Feature struct {
	Name  string   `json:"name"`
	Says  string   `json:"says"`
	Value float64  `json:"value"`
	P50   *float64 `json:"p50"`
	P95   *float64 `json:"p95"`
}

// Actions is what was done about it.
type Actions struct {
	Work      Work       `json:"work"`
	Decisions []Decision `json:"decisions"`
	Appeals   []Appeal   `json:"appeals"`
	History   []Act      `json:"history"`
}

func facts(m *Material, r *redactor) Facts {
	c := &m.Campaign
	f := Facts{Campaign: c.ID, First: c.First, Last: c.Last, Exchanges: c.Exchanges, Tokens: c.Tokens}
	d := c.Detail
	if d == nil {
		d = &palladium.Detail{}
	}
	f.Models, f.Draws = d.Models, d.Timeline
	detail := make(map[string]*palladium.MemberDetail, len(d.Members))
	for i := range d.Members {
		detail[d.Members[i].ID] = &d.Members[i]
	}
	for _, a := range c.Accounts {
		out := FactsAccount{ID: r.account(a.ID)}
		if md := detail[a.ID]; md != nil {
			out.Exchanges, out.Tokens = md.Exchanges, md.Tokens
			if !md.First.IsZero() {
				out.First, out.Last = &md.First, &md.Last
			}
		}
		f.Accounts = append(f.Accounts, out)
	}
	for _, l := range d.Links {
		f.Shared = append(f.Shared, FactsLink{r.account(l.Account), l.Family, r.token(l.Family, l.Token)})
	}
	if r.profile != Partner {
		f.Known = m.Accounts
	}
	return f
}

func inference(m *Material, r *redactor) Inference {
	c := &m.Campaign
	out := Inference{Claim: m.Claim, Stage: c.Stage, OperatorP: c.OperatorP, ExtractionP: c.ExtractionP, DetectedAt: c.DetectedAt,
		Techniques: r.texts(c.Techniques), Benign: only(r, m.Benign)}
	for _, e := range c.Evidence {
		e.Says = r.text(e.Says)
		out.Evidence = append(out.Evidence, Evidence{e.Family.Key(), e})
	}
	for _, k := range c.CounterEvidence {
		out.CounterEvidence = append(out.CounterEvidence, r.text(k.Says))
	}
	for _, a := range c.Accounts {
		out.Members = append(out.Members, palladium.Member{ID: r.account(a.ID), Membership: a.Membership})
	}
	if d := c.Detail; d != nil {
		for _, l := range d.Links {
			out.Links = append(out.Links, Weight(l.Weight))
		}
		for _, f := range d.Features {
			out.Features = append(out.Features, Feature{f.Name, f.Says, f.Value, only(r, &f.P50), only(r, &f.P95)})
		}
		out.Calibration, out.Days = r.text(d.Calibration), d.Days
		out.WhyStage, out.WouldClear = only(r, d.WhyStage), only(r, d.WouldClear)
	}
	return out
}

func actions(m *Material, r *redactor) Actions {
	a := Actions{Work: Work{m.Work.State, m.Work.Resolution, r.person(m.Work.Assignee), only(r, m.Work.Labels)}}
	for _, d := range m.Decisions {
		d.By, d.UndoneBy = r.person(d.By), r.person(d.UndoneBy)
		if r.profile == Partner {
			d.Text = ""
		}
		a.Decisions = append(a.Decisions, d)
	}
	for _, p := range m.Appeals {
		p.Account, p.Reviewer, p.Text, p.Reply = r.account(p.Account), r.person(p.Reviewer), only(r, p.Text), only(r, p.Reply)
		a.Appeals = append(a.Appeals, p)
	}
	for _, h := range m.History {
		h.By = r.person(h.By)
		a.History = append(a.History, h)
	}
	return a
}
