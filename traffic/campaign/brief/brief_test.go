package brief

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/palladium-guard/palladium"
	"github.com/palladium-guard/palladium/traffic/campaign"
	"github.com/palladium-guard/palladium/traffic/extraction"
	"github.com/palladium-guard/palladium/traffic/linkage"
)

const hour = 3_600_000

// containedFrom is the hour from which on nobody gets anything.
const containedFrom = 96

// traffic is eight days of honest people and of accounts that one operator runs, the first of which the operator of the
// model vouches for. The time is that of the last exchange.
func traffic(honest, run, vouched int, relation palladium.Relation) (*linkage.Index, int64) {
	r := rand.New(rand.NewPCG(8, 9))
	x := linkage.New(linkage.Options{RecallBits: 12, Hash: func(kind byte, s string) uint64 {
		h := uint64(kind) + 1469598103934665603
		for i := range len(s) {
			h = (h ^ uint64(s[i])) * 1099511628211
		}
		return h
	}})
	type person struct {
		rate        float64
		begin       int64
		ip, net, at uint64
	}
	people := make([]person, honest)
	for i := range run {
		a := palladium.Account{ID: fmt.Sprint("run-", i), Plan: "pro"}
		if i < vouched {
			a.Relation = relation
		}
		x.Describe(&a)
	}
	for i := range people {
		people[i] = person{0.02 + 0.3*r.Float64()*r.Float64()*r.Float64(), int64(r.IntN(150)), r.Uint64(), 1 + r.Uint64N(300), r.Uint64N(30)}
		x.Describe(&palladium.Account{ID: fmt.Sprint("person-", i), Plan: "pro"})
	}
	var last int64
	send := func(id string, h int64, ip, net, topic uint64, shingles ...uint64) {
		last = h*hour + int64(r.IntN(hour/2))
		o := palladium.Observation{Account: id, Time: last, IP: ip, Net: net, Prompt: r.Uint64(), Words: 30, Turns: 1, Shingles: shingles}
		if h < containedFrom {
			o.Usage = palladium.Usage{Input: 10, Output: 100, Reasoning: 40}
		}
		for range 3 {
			o.Shingles = append(o.Shingles, r.Uint64())
		}
		for range 10 {
			o.Terms = append(o.Terms, uint16(topic*400+r.Uint64N(150)), uint16(30_000+r.IntN(2000)))
		}
		x.Observe(&o)
	}
	for h := range int64(8 * 24) {
		for i := range run {
			if h >= 20+int64(i%12) && (h+int64(i))%3 == 0 {
				send(fmt.Sprint("run-", i), h, 1<<40+r.Uint64N(4), 1<<40, 40, 0x9e3779b97f4a7c15, 0xbf58476d1ce4e5b9, 0x94d049bb133111eb)
			}
		}
		for i, p := range people {
			if h >= p.begin && r.Float64() < p.rate {
				send(fmt.Sprint("person-", i), h, p.ip, p.net, p.at)
			}
		}
	}
	return x, last
}

// told renders the only group that a tracker finds in x.
func told(t *testing.T, x *linkage.Index, now int64) palladium.Campaign {
	t.Helper()
	tr := campaign.New(campaign.Options{Seed: 1, Extraction: extraction.New(extraction.Weights{})})
	tokens, _ := x.Dirty()
	slices.Sort(tokens)
	var seeds []campaign.Seed
	for _, k := range slices.Compact(tokens) {
		seeds = append(seeds, campaign.Seed{Token: k})
	}
	tr.Examine(now, x, seeds, x.Background())
	if len(tr.Groups()) != 1 {
		t.Fatalf("%d groups", len(tr.Groups()))
	}
	return Campaign(tr, tr.Groups()[0], x, x)
}

func TestWords(t *testing.T) {
	few := "only 0 benign linked groups to compare with, 20 are needed: the group stays at watch"
	for _, c := range []struct {
		name                 string
		honest, run, vouched int
		relation             palladium.Relation
		accounts             int
		evidence, counter    []string
		calibration          string
	}{
		{"a campaign", 160, 24, 0, "", 24, []string{
			"24 of 24 accounts come from the same addresses; 96 % of the group hold the commonest one, 310 times what is usual",
			"24 of 24 accounts repeat the same wording; 96 % of the group hold the commonest one, 310 times what is usual",
			"24 of 24 accounts ask about one mixture of topics, as if from one source",
			"24 of 24 accounts draw the load that one dispatcher would deal them; most began within",
		}, []string{
			"hardly any prompt asks for reasoning, grading or training data",
			"the accounts do not agree in sign-up data",
		}, few},
		{"with guests of a tenant", 160, 24, 5, palladium.RelationTenant, 19, []string{"19 of 19 accounts come from the same addresses"}, []string{
			"5 of the accounts linked to it belong to a tenant you vouch for",
		}, few},
		{"with guests of a reseller", 160, 24, 4, palladium.RelationReseller, 20, nil, []string{
			"4 of the accounts linked to it belong to a reseller you vouch for",
		}, few},
		{"with guests of a class", 160, 24, 3, palladium.RelationCohort, 21, nil, []string{
			"3 of the accounts linked to it belong to a class or programme you vouch for",
		}, few},
		{"with the operator's own", 160, 24, 2, palladium.RelationInternal, 22, nil, []string{"2 of the accounts linked to it are your own"}, few},
		{"mostly vouched for", 160, 24, 18, palladium.RelationTenant, 24, nil, []string{"the operator vouches for 75 % of the accounts"},
			few},
		{"among few accounts", 26, 12, 0, "", 12, nil, nil,
			"only 38 accounts are known, too few to tell chance from design, 40 are needed: the group stays at watch"},
	} {
		x, now := traffic(c.honest, c.run, c.vouched, c.relation)
		got := told(t, x, now)
		if len(got.Accounts) != c.accounts || len(got.Detail.Members) != c.accounts {
			t.Errorf("%s: %d accounts", c.name, len(got.Accounts))
		}
		var evidence, counter []string
		for _, e := range got.Evidence {
			evidence = append(evidence, e.Says)
		}
		for _, e := range got.CounterEvidence {
			counter = append(counter, e.Says)
		}
		if says(evidence, "no prompt was sent twice") {
			t.Errorf("%s: a queue is claimed that was not tested:\n%s", c.name, strings.Join(evidence, "\n"))
		}
		for _, want := range c.evidence {
			if !says(evidence, want) {
				t.Errorf("%s: no %q in the evidence:\n%s", c.name, want, strings.Join(evidence, "\n"))
			}
		}
		for _, want := range c.counter {
			if !says(counter, want) {
				t.Errorf("%s: no %q in the counter-evidence:\n%s", c.name, want, strings.Join(counter, "\n"))
			}
		}
		if !strings.Contains(got.Detail.Calibration, c.calibration) {
			t.Errorf("%s: calibration %q", c.name, got.Detail.Calibration)
		}
	}
}

// What a group drew stands where it drew it: nothing after it was contained, though it goes on asking.
func TestTimelineShowsWhenItDrew(t *testing.T) {
	x, now := traffic(160, 24, 0, "")
	c := told(t, x, now)
	var output, reasoning, after int64
	for _, d := range c.Detail.Timeline {
		if d.Start.UnixMilli() >= containedFrom*hour {
			if after += d.Exchanges; d.Tokens.Output != 0 || d.Tokens.Reasoning != 0 {
				t.Errorf("%d tokens after it was contained, at %s", d.Tokens.Output, d.Start)
			}
			continue
		}
		if d.Tokens.Output != 100*d.Exchanges {
			t.Errorf("%d tokens in %d exchanges of 100", d.Tokens.Output, d.Exchanges)
		}
		output, reasoning = output+d.Tokens.Output, reasoning+d.Tokens.Reasoning
	}
	if output != c.Tokens.Output || after == 0 || reasoning < c.Tokens.Reasoning*9/10 || reasoning > c.Tokens.Reasoning {
		t.Errorf("%d of %d tokens, %d of %d of reasoning, %d exchanges after", output, c.Tokens.Output, reasoning, c.Tokens.Reasoning, after)
	}
}

func says(lines []string, begin string) bool {
	return slices.ContainsFunc(lines, func(l string) bool { return strings.HasPrefix(l, begin) })
}

// Every kind and family that can be evidence has words of its own.
func TestEveryKindHasWords(t *testing.T) {
	labels := map[string]bool{}
	for k := palladium.Kind(0); int(k) < palladium.KindCount; k++ {
		l := kindLabel(k)
		if l == "" || labels[l] {
			t.Errorf("kind %d is called %q", k, l)
		}
		labels[l] = true
		switch k {
		case palladium.KindOrganization, palladium.KindChain, palladium.KindEcho, palladium.KindCell: // never told by a token
		default:
			if verb(k) == "agree" {
				t.Errorf("no verb for %s", l)
			}
		}
	}
	for i, r := range []palladium.Relation{palladium.RelationTenant, palladium.RelationReseller, palladium.RelationCohort, palladium.RelationInternal} {
		if relations()[i+1] == "" {
			t.Errorf("no words for %s", r)
		}
	}
}

func TestRounding(t *testing.T) {
	for _, c := range []struct {
		v    float64
		want string
	}{{1.26, "1.3"}, {9.94, "9.9"}, {12.4, "12"}, {1234, "1200"}, {98_765, "99000"}} {
		if got := round(c.v); got != c.want {
			t.Errorf("%v is written %q, want %q", c.v, got, c.want)
		}
	}
	for _, c := range []struct {
		hours float64
		want  string
	}{{0.2, "an hour"}, {30, "30 hours"}, {47.9, "48 hours"}, {48, "2 days"}, {170, "7 days"}} {
		if got := span(c.hours); got != c.want {
			t.Errorf("%v hours are written %q, want %q", c.hours, got, c.want)
		}
	}
}
