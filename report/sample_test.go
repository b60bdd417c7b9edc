package report

import (
	"fmt"
	"math"
	"math/rand/v2"
	"strings"
	"time"

	"github.com/palladium-guard/palladium"
)

// hostile account ids, as an attacker might choose them.
func hostileIDs() []string {
	long := make([]byte, 5000)
	for i := range long {
		long[i] = 'a' + byte(i%26)
	}
	return []string{
		`<script>alert(1)</script>`, `"><img src=x onerror=alert(1)>`, `'+alert(1)+'`, "user\u202egnp.exe",
		"\x1b]0;owned\x07\x1b[31mred", "c1\u009b31m", "bad\xff\xfeutf8", "line\nfeed", "{{.Claim}}", string(long), "שלום-12", "", "</title><b>",
	}
}

// sample is a report with two campaigns, two candidates and three linked groups; the first campaign has n accounts.
func sample(n int) *palladium.Report {
	from := time.Date(2026, 5, 1, 0, 0, 0, 0, time.UTC)
	r := &palladium.Report{
		Schema: palladium.ReportSchema,
		Window: palladium.Window{From: from, To: from.Add(30*24*time.Hour - time.Minute)},
		Counts: palladium.Counts{Exchanges: 12_345_678, Accounts: 200_412, Rejected: 14},
	}
	act := build("c-7f3a91", palladium.StageAct, n, from.Add(52*time.Hour), r.Window.To.Add(-2*time.Hour), 1)
	review := build("c-1b22e0", palladium.StageReview, 64, from.Add(9*24*time.Hour), from.Add(17*24*time.Hour), 2)
	review.OperatorP, review.ExtractionP = 2.1e-4, 0.008
	review.Evidence = review.Evidence[3:]
	w1 := build("c-90aa01", palladium.StageWatch, 23, from.Add(20*24*time.Hour), r.Window.To, 3)
	w1.DetectedAt, w1.ExchangesBeforeDetection, w1.ExtractionP, w1.CounterEvidence, w1.Detail = nil, 0, 0.31, nil, nil
	w2 := build("c-90ab77", palladium.StageWatch, 1, from.Add(26*24*time.Hour), r.Window.To, 4)
	w2.DetectedAt, w2.ExchangesBeforeDetection, w2.ExtractionP, w2.Detail.Calibration = nil, 0, 0.9, "too few linked groups to calibrate on (7 of the 20 needed)"
	r.Campaigns = []palladium.Campaign{w2, review, act, w1}
	for i, why := range []string{
		"One verified customer with many keys: you vouch for all 38 accounts as tenant; their prompts follow the customer's own application",
		"A reseller: 212 unrelated conversations in 19 languages, no work list, uneven loads",
		"A class: 55 accounts of one campus share addresses and homework, each repeats the others' questions",
	} {
		l := palladium.Linked{ID: fmt.Sprintf("l-%02d4c", i+1), WhyNotExtraction: why}
		for j := range []int{38, 212, 55}[i] {
			l.Accounts = append(l.Accounts, palladium.Member{ID: fmt.Sprintf("g%d-%04d", i, j), Membership: 1})
		}
		if i == 0 {
			l.Detail = &palladium.Detail{WhyNot: "vouched for as tenant", WouldClear: []string{"nothing: the group is not listed"}}
		}
		r.Linked = append(r.Linked, l)
	}
	return r
}

// sampleRejects goes with sample.
func sampleRejects() []palladium.Reject {
	return []palladium.Reject{
		{File: "may/api-03.jsonl.gz", Line: 88121, Reason: "not valid JSON: unexpected end of the line"},
		{File: "may/api-03.jsonl.gz", Line: 90002, Reason: "the field account is missing"},
		{File: "may/api-19.jsonl.gz", Reason: "the gzip stream is cut short after 1,204,331 records"},
	}
}

// build makes a campaign of n accounts, active from first to last, the same for the same seed.
func build(id string, stage palladium.Stage, n int, first, last time.Time, seed uint64) palladium.Campaign {
	rng := rand.New(rand.NewPCG(seed, 7))
	at := first.Add(22 * time.Hour)
	c := palladium.Campaign{
		ID: id, Stage: stage, OperatorP: 3.3e-10, ExtractionP: 1e-4, First: first, Last: last, DetectedAt: &at,
		Techniques: []string{"AML.T0024.002"},
		Evidence: []palladium.Evidence{
			{Family: palladium.Schedule, Says: "equal loads: the spread of exchanges over accounts is 0.1 of what chance would give; 31 of 33 stopped accounts were replaced within 4 minutes", Accounts: n, Weight: 6.1},
			{Family: palladium.Identity, Says: "six card issuer ranges and one shape of e-mail name", Accounts: n * 9 / 10, Weight: 7.4},
			{Family: palladium.Template, Says: "the same 14 uncommon phrases, each used by 40 accounts or more", Accounts: n * 8 / 10, Weight: 9.2},
			{Family: palladium.Queue, Says: "11,204 tasks of one list with no repeat; separate users would have repeated 163", Accounts: n, Weight: 5.5},
			{Family: palladium.Network, Says: "one rare TLS and header fingerprint", Accounts: n / 2, Weight: 3.2},
			{Family: palladium.Twins, Says: "one mixture of topics (coding 61 %, mathematics 30 %)", Accounts: n, Weight: 4.4},
		},
		CounterEvidence: []palladium.Counter{
			{Says: "12 % of the exchanges are ordinary conversations of several turns, unlike the rest"},
			{Says: "41 accounts have a verified phone number"},
		},
		Detail: &palladium.Detail{
			Calibration: "212 linked groups of this traffic, 38 of them vouched for; the smallest figure that they allow is 1 in 10,000",
			WhyStage:    []string{"act: one operator below 1 in a million, extraction at or below 1 in 10,000, two independent kinds of evidence"},
			WouldClear: []string{"you vouch for the accounts as tenant, reseller or cohort", "the extraction test rises above 1 in 100, for example because comparable groups are vouched for",
				"fewer than 10 accounts keep two kinds of evidence for 14 days"},
			Models: []palladium.Share{{Name: "large-2", Share: 0.81}, {Name: "large-2-mini", Share: 0.17}, {Name: "embed-1", Share: 0.02}},
			Features: []palladium.Feature{
				{Name: "single-turn share", Says: "share of exchanges that are one question and one answer", Value: 0.97, P50: 0.41, P95: 0.88},
				{Name: "topic coverage", Says: "topic cells touched per 1,000 prompts, all accounts together", Value: 412, P50: 96, P95: 240},
				{Name: "extraction cues", Says: "share of prompts that ask for the working behind an answer", Value: 0.62, P50: 0.02, P95: 0.11},
				{Name: "repeat share", Says: "share of prompts asked before by another account", Value: 0.0, P50: 0.05, P95: 0.31},
				{Name: "output per input token", Says: "output tokens per input token", Value: 3.1, P50: 0.8, P95: 3.6},
			},
		},
	}
	members(&c, n, rng)
	timeline(&c, rng)
	days(&c, rng)
	return c
}

func members(c *palladium.Campaign, n int, rng *rand.Rand) {
	odd := hostileIDs()
	for i := range n {
		name := fmt.Sprintf("acct-%s-%05d", strings.TrimPrefix(c.ID, "c-"), i)
		if i >= 3 && i-3 < len(odd) && c.Stage == palladium.StageAct {
			name = odd[i-3]
		}
		x := 180 + rng.Int64N(40)
		m := palladium.MemberDetail{ID: name, Exchanges: x, First: c.First.Add(time.Duration(rng.Int64N(int64(time.Hour) * 30))), Last: c.Last.Add(-time.Duration(rng.Int64N(int64(time.Hour) * 20))),
			Tokens: palladium.Tokens{Input: x * 120, Output: x * 380, Reasoning: x * 90}}
		share := 1 - math.Pow(rng.Float64(), 6)*0.6
		for j, e := range c.Evidence {
			if (i+j*7)%n < e.Accounts {
				m.Evidence = append(m.Evidence, palladium.Evidence{Family: e.Family, Says: e.Says, Accounts: e.Accounts - 1, Weight: e.Weight})
			}
		}
		// A few tokens are held by many, most by a handful: as cards, hosts and templates are.
		for k, kind := range []struct {
			family palladium.Family
			name   string
			kinds  int
			show   float64
		}{
			{palladium.Identity, "issuer range", 6, 0.9}, {palladium.Network, "client fingerprint", 3, 0.5}, {palladium.Template, "phrase", 14, 0.8},
			{palladium.Continuity, "conversation", 60, 0.2}, {palladium.Queue, "work list", 2, 0.9}, {palladium.Parameters, "settings", 4, 0.3},
		} {
			if rng.Float64() < kind.show {
				which := int(math.Pow(rng.Float64(), 1.6) * float64(kind.kinds))
				c.Detail.Links = append(c.Detail.Links, palladium.Link{Account: name, Family: kind.family, Token: fmt.Sprintf("%s %d", kind.name, which+1), Weight: 9 - float64(k)})
			}
		}
		c.Accounts = append(c.Accounts, palladium.Member{ID: name, Membership: share})
		c.Detail.Members = append(c.Detail.Members, m)
		c.Exchanges += m.Exchanges
		c.Tokens.Input += m.Tokens.Input
		c.Tokens.Output += m.Tokens.Output
		c.Tokens.Reasoning += m.Tokens.Reasoning
	}
}

func timeline(c *palladium.Campaign, rng *rand.Rand) {
	const step = 6 * time.Hour
	n := int64(c.Last.Sub(c.First)/step) + 1
	for i := range n {
		f := (1 - math.Exp(-float64(i)/8)) * (0.8 + 0.4*rng.Float64()) / float64(n)
		start := c.First.Add(time.Duration(i) * step)
		x := int64(float64(c.Exchanges) * f)
		c.Detail.Timeline = append(c.Detail.Timeline, palladium.Draw{Start: start, Exchanges: x,
			Tokens: palladium.Tokens{Input: x * 120, Output: x * 380, Reasoning: x * 90}})
		if c.DetectedAt != nil && start.Before(*c.DetectedAt) {
			c.ExchangesBeforeDetection += x
		}
	}
}

func days(c *palladium.Campaign, rng *rand.Rand) {
	for t := c.First.Truncate(24 * time.Hour); t.Before(c.Last); t = t.Add(24 * time.Hour) {
		p := math.Pow(10, -1-2.7*rng.Float64())
		c.Detail.Days = append(c.Detail.Days, palladium.OperatorTrial{From: t, To: t.Add(24 * time.Hour), Accounts: len(c.Accounts), P: p, E: 0.5 + 0.25/math.Sqrt(p)})
	}
}
