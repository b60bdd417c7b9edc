// Package world makes a seeded world of honest and hostile accounts and streams their exchanges in time order,
// together with the truth: which account belongs to which campaign, and how much it harvested when.
//
// The same scenario, seed and corpus always give the same exchanges.
package world

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"time"

	"go.yaml.in/yaml/v3"
)

// Scenario describes a world. It is plain data and can be read from YAML.
type Scenario struct {
	Name      string         `yaml:"name"`
	Seed      uint64         `yaml:"seed"`
	Start     time.Time      `yaml:"start"`
	Days      float64        `yaml:"days"`
	Release   float64        `yaml:"release"` // day on which a new model comes out; 0 = none does
	Benign    Benign         `yaml:"benign"`
	Campaigns []CampaignSpec `yaml:"campaigns"`
	Style     Style          `yaml:"style"`
}

// Benign is the honest population. Groups counts groups, not accounts, of each hard-negative class.
type Benign struct {
	People int           `yaml:"people"` // accounts of single people
	Apps   int           `yaml:"apps"`   // accounts of single applications
	Groups map[Class]int `yaml:"groups"`
}

// Class says what an account honestly is.
type Class string

// The classes. ClassCampaign marks hostile accounts; all others are honest. From ClassOrganization on they are hard
// negatives: groups that share more than strangers do.
const (
	ClassPerson       Class = "person"
	ClassApp          Class = "app"
	ClassCampaign     Class = "campaign"
	ClassOrganization Class = "organization" // one customer with 2-50 keys
	ClassTool         Class = "tool"         // users of one open tool, with its system prompt
	ClassEvaluator    Class = "evaluator"    // independent runs of one public benchmark
	ClassCohort       Class = "cohort"       // a class: one campus, one homework, sign-ups within days
	ClassNAT          Class = "nat"          // people behind one address, unrelated otherwise
	ClassReseller     Class = "reseller"     // honest: many customers over many accounts
	ClassCron         Class = "cron"         // batch programs without day and night
	ClassSupport      Class = "support"      // support bots: short near-duplicates
	ClassRelease      Class = "release"      // independent benchmarking within a day of a model's release
	ClassNightly      Class = "nightly"      // nightly evaluation suite of one organisation
	ClassJudge        Class = "judge"        // a model as judge: rubric and candidate answer
	ClassSynthetic    Class = "synthetic"    // synthetic data for one organisation's own small model
	ClassRouter       Class = "router"       // failover between the accounts of one organisation
	ClassAgency       Class = "agency"       // seats bought in bulk: one card, one day, different people
	ClassReview       Class = "review"       // code review from short-lived build machines
	ClassBackfill     Class = "backfill"     // a document collection read once, in a burst
	ClassDrift        Class = "drift"        // the same probes every day, to see quality change
	ClassShared       Class = "shared"       // one key used by a team from many places
	ClassGateway      Class = "gateway"      // a gateway that strips what identifies clients
	ClassAudit        Class = "audit"        // asks for the reasoning, for an audit trail
)

// HardNegatives lists the honest classes that are reported one by one.
func HardNegatives() []Class {
	return []Class{ClassOrganization, ClassTool, ClassEvaluator, ClassCohort, ClassNAT, ClassReseller, ClassCron,
		ClassSupport, ClassRelease, ClassNightly, ClassJudge, ClassSynthetic, ClassRouter, ClassAgency, ClassReview,
		ClassBackfill, ClassDrift, ClassShared, ClassGateway, ClassAudit}
}

// CampaignSpec is one hostile campaign. The words allowed in the text fields are the constants below each.
type CampaignSpec struct {
	Name         string        `yaml:"name" json:"name"`
	Accounts     int           `yaml:"accounts" json:"accounts"`
	Rate         float64       `yaml:"rate" json:"rate"`   // requests per account per day, camouflage included
	Start        float64       `yaml:"start" json:"start"` // day
	Days         float64       `yaml:"days" json:"days"`   // 0 = to the end
	Camouflage   float64       `yaml:"camouflage" json:"camouflage"`
	Cover        string        `yaml:"cover" json:"cover"`           // pooled, persona
	Text         string        `yaml:"text" json:"text"`             // template, paraphrased, generated, queue, people, persona
	Forms        int           `yaml:"forms" json:"forms"`           // number of wordings around the tasks
	Narrow       bool          `yaml:"narrow" json:"narrow"`         // keeps to a few topics, as an application does
	Cues         bool          `yaml:"cues" json:"cues"`             // wordings ask for the reasoning itself
	Scheduler    string        `yaml:"scheduler" json:"scheduler"`   // lru, random, quota, independent
	Failover     float64       `yaml:"failover" json:"failover"`     // share refused with 429 and sent again by another account
	Jitter       time.Duration `yaml:"jitter" json:"jitter"`         // delay of each request, uniform from 0
	Rhythm       float64       `yaml:"rhythm" json:"rhythm"`         // 0 flat, 1 full day and night
	MultiTurn    float64       `yaml:"multi_turn" json:"multi_turn"` // chance that a request is followed up
	Grade        float64       `yaml:"grade" json:"grade"`           // share that quotes an answer given to another account
	Probe        float64       `yaml:"probe" json:"probe"`           // share that sweeps logit_bias
	Pivot        bool          `yaml:"pivot" json:"pivot"`           // moves to the new model within a day of its release
	Network      string        `yaml:"network" json:"network"`       // shared, datacenter, sticky, rotating
	Client       string        `yaml:"client" json:"client"`         // sdk, spoofed, popular
	Identity     string        `yaml:"identity" json:"identity"`     // shared, virtual, clean
	Email        string        `yaml:"email" json:"email"`           // batch, clean
	Age          string        `yaml:"age" json:"age"`               // burst, aged, spread
	Organization string        `yaml:"organization" json:"organization"`
	Rotate       float64       `yaml:"rotate,omitempty" json:"rotate,omitempty"` // share of the accounts given up each day, new ones in their place
}

// The words of CampaignSpec.
const (
	CoverPooled  = "pooled"  // customers of a reseller, over all accounts
	CoverPersona = "persona" // each account has a person of its own

	TextTemplate    = "template"    // tasks in a few wordings
	TextParaphrased = "paraphrased" // the same, reworded for each request
	TextGenerated   = "generated"   // instruction data, no wording around it
	TextQueue       = "queue"       // a public list of questions, each sent once
	TextPeople      = "people"      // drawn at random from what benign people write
	TextPersona     = "persona"     // each account writes as one benign person: nothing to find

	SchedulerLRU         = "lru"         // least recently used, a conversation keeps its account for an hour
	SchedulerRandom      = "random"      // any account
	SchedulerQuota       = "quota"       // unequal shares
	SchedulerIndependent = "independent" // no dispatcher: each account keeps a person's hours

	NetworkShared     = "shared"     // a few addresses for all
	NetworkDatacenter = "datacenter" // an address in a data centre for each account
	NetworkSticky     = "sticky"     // a residential address for each account, changing now and then
	NetworkRotating   = "rotating"   // a new residential address for each request

	ClientSDK     = "sdk"     // one tuple for all, uncommon among honest accounts
	ClientPopular = "popular" // one tuple for all, the most common one
	ClientSpoofed = "spoofed" // a popular tuple for each account

	IdentityShared  = "shared"  // a few cards, one issuer range
	IdentityVirtual = "virtual" // a card for each account, one issuer range
	IdentityClean   = "clean"   // as honest accounts

	EmailBatch = "batch" // one pattern, one domain
	EmailClean = "clean"

	AgeBurst  = "burst"  // signed up within a few days before the start
	AgeAged   = "aged"   // the same, 60 days before
	AgeSpread = "spread" // as honest accounts

	OrganizationSame    = "same"    // all declare one organisation
	OrganizationStartup = "startup" // each an own one, in a start-up programme
)

// Style is how the operator logs and how the honest population behaves. Varying it keeps a detector from leaning on
// one simulator's habits. Shares are in [0,1].
type Style struct {
	MultiTurn  float64 `yaml:"multi_turn"` // share of people's requests that continue a conversation
	Params     float64 `yaml:"params"`     // share of accounts that send parameters
	UserAgent  bool    `yaml:"user_agent"` // which client traits are logged
	TLS        bool    `yaml:"tls"`
	Headers    bool    `yaml:"headers"`
	Device     bool    `yaml:"device"`
	IP         bool    `yaml:"ip"`
	ASN        bool    `yaml:"asn"`
	Usage      bool    `yaml:"usage"`     // token counts are known
	Reasoning  bool    `yaml:"reasoning"` // reasoning tokens are known
	Outputs    float64 `yaml:"outputs"`   // share of answers kept
	Records    float64 `yaml:"records"`   // share of accounts with an account record
	Created    bool    `yaml:"created"`   // sign-up time is known
	Payments   float64 `yaml:"payments"`  // share of records with payment data
	NAT        float64 `yaml:"nat"`       // share of people behind carrier-grade NAT
	Rate       float64 `yaml:"rate"`      // requests per benign account, relative
	Spread     float64 `yaml:"spread"`    // standard deviation of the log of people's rates
	Length     float64 `yaml:"length"`    // length of answers, relative
	RealText   float64 `yaml:"real_text"` // share of people who write from real threads, given that there are any
	Credential bool    `yaml:"credential"`
}

// DefaultStyle is an operator that logs everything but half of the answers.
func DefaultStyle() Style {
	return Style{MultiTurn: 0.35, Params: 0.5, UserAgent: true, TLS: true, Headers: true, Device: true, IP: true,
		ASN: true, Usage: true, Reasoning: true, Outputs: 0.5, Records: 1, Created: true, Payments: 0.85, NAT: 0.2,
		Rate: 1, Spread: 1.2, Length: 1, RealText: 0.7, Credential: true}
}

// Decode reads a scenario in YAML. Unknown keys are refused. Style starts from DefaultStyle.
func Decode(r io.Reader) (Scenario, error) {
	data, err := io.ReadAll(r)
	if err != nil {
		return Scenario{}, fmt.Errorf("read scenario: %w", err)
	}
	s := Scenario{Name: "custom", Start: defaultStart(), Days: 14, Style: DefaultStyle()}
	dec := yaml.NewDecoder(bytes.NewReader(data))
	dec.KnownFields(true)
	if err := dec.Decode(&s); err != nil && !errors.Is(err, io.EOF) {
		return Scenario{}, fmt.Errorf("decode scenario, mend the line named: %w", err)
	}
	return s, s.check()
}

func defaultStart() time.Time { return time.Date(2026, 5, 4, 0, 0, 0, 0, time.UTC) }

// check refuses what cannot be played.
func (s *Scenario) check() error {
	if s.Days <= 0 || s.Days > 400 {
		return fmt.Errorf("scenario %s: set days to a number above 0 and at most 400, not %g", s.Name, s.Days)
	}
	known := map[Class]bool{}
	for _, c := range HardNegatives() {
		known[c] = true
	}
	for c := range s.Benign.Groups {
		if !known[c] {
			return fmt.Errorf("scenario %s: benign.groups has unknown class %q, use one of %v", s.Name, c, HardNegatives())
		}
	}
	for i := range s.Campaigns {
		if err := s.Campaigns[i].check(); err != nil {
			return fmt.Errorf("scenario %s, campaign %d: %w", s.Name, i+1, err)
		}
	}
	return nil
}

// check fills the defaults and refuses unknown words.
func (c *CampaignSpec) check() error {
	for _, f := range []struct {
		name  string
		value *string
		words []string
	}{
		{"cover", &c.Cover, []string{CoverPooled, CoverPersona}},
		{"text", &c.Text, []string{TextTemplate, TextParaphrased, TextGenerated, TextQueue, TextPeople, TextPersona}},
		{"scheduler", &c.Scheduler, []string{SchedulerLRU, SchedulerRandom, SchedulerQuota, SchedulerIndependent}},
		{"network", &c.Network, []string{NetworkSticky, NetworkShared, NetworkDatacenter, NetworkRotating}},
		{"client", &c.Client, []string{ClientSpoofed, ClientSDK, ClientPopular}},
		{"identity", &c.Identity, []string{IdentityClean, IdentityShared, IdentityVirtual}},
		{"email", &c.Email, []string{EmailClean, EmailBatch}},
		{"age", &c.Age, []string{AgeBurst, AgeAged, AgeSpread}},
		{"organization", &c.Organization, []string{"", OrganizationSame, OrganizationStartup}},
	} {
		if *f.value == "" {
			*f.value = f.words[0]
		}
		ok := false
		for _, w := range f.words {
			ok = ok || w == *f.value
		}
		if !ok {
			return fmt.Errorf("%s %q is unknown, use one of %q", f.name, *f.value, f.words)
		}
	}
	if c.Accounts <= 0 || c.Rate <= 0 {
		return fmt.Errorf("set accounts and rate above 0")
	}
	if c.Camouflage < 0 || c.Camouflage >= 1 {
		return fmt.Errorf("camouflage %g is not in [0,1)", c.Camouflage)
	}
	if c.Rotate < 0 || c.Rotate > 4 || c.Rotate > 0 && (c.Scheduler == SchedulerIndependent || c.Cover == CoverPersona) {
		return fmt.Errorf("rotate %g is not in [0,4], or not behind a dispatcher: set scheduler to %s and cover to %s", c.Rotate, SchedulerLRU, CoverPooled)
	}
	if c.Scheduler == SchedulerIndependent && c.Camouflage > 0 {
		return fmt.Errorf("camouflage needs a dispatcher: set it to 0, or scheduler to %s", SchedulerLRU)
	}
	if c.Forms <= 0 {
		c.Forms = 3
		if c.Text == TextParaphrased {
			c.Forms = 120
		}
	}
	return nil
}
