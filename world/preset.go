package world

import (
	"math"
	"math/rand/v2"
	"time"
)

// Population returns an honest population of about n accounts with every hard-negative class in it.
func Population(n int) Benign {
	b := Benign{People: n * 58 / 100, Apps: n * 12 / 100, Groups: map[Class]int{}}
	// Mean accounts of a group, and the share of all accounts that the class shall have.
	for class, c := range map[Class][2]float64{ClassOrganization: {18, 0.05}, ClassTool: {70, 0.06}, ClassEvaluator: {12, 0.01}, ClassCohort: {34, 0.03},
		ClassNAT: {34, 0.05}, ClassReseller: {27, 0.03}, ClassCron: {1, 0.008}, ClassSupport: {2, 0.008}, ClassRelease: {12, 0.008},
		ClassNightly: {2, 0.004}, ClassJudge: {2, 0.004}, ClassSynthetic: {3, 0.004}, ClassRouter: {3, 0.004}, ClassAgency: {20, 0.02},
		ClassReview: {5, 0.005}, ClassBackfill: {1, 0.002}, ClassDrift: {1, 0.002}, ClassShared: {1, 0.004}, ClassGateway: {2, 0.003}, ClassAudit: {2, 0.003}} {
		b.Groups[class] = max(1, int(float64(n)*c[1]/c[0]))
	}
	return b
}

// Presets lists the names that Preset knows.
func Presets() []string {
	return []string{"demo", "quiet", "template", "paraphrased", "generated", "queue", "pooled", "persona", "probe", "pivot", "grade",
		"quota", "mixed", "large", "negative-control", "negative-people", "negative-lru"}
}

// Preset returns a named scenario. Its seed is 1: set another one for another world of the same kind.
func Preset(name string) (Scenario, bool) {
	s := Scenario{Name: name, Seed: 1, Start: defaultStart(), Days: 14, Release: 8, Benign: Population(6000), Style: DefaultStyle()}
	hydra := CampaignSpec{Accounts: 120, Rate: 12, Start: 2, Text: TextTemplate, Cues: true, Scheduler: SchedulerLRU, Failover: 0.01,
		Network: NetworkDatacenter, Client: ClientSpoofed, Identity: IdentityVirtual, Email: EmailClean, Age: AgeBurst}
	with := func(change func(c *CampaignSpec)) CampaignSpec {
		c := hydra
		change(&c)
		return c
	}
	one := func(change func(c *CampaignSpec)) { s.Campaigns = []CampaignSpec{with(change)} }
	switch name {
	case "demo":
		s.Benign, s.Days = Population(2000), 10
		one(func(c *CampaignSpec) {
			c.Rate, c.Camouflage, c.Pivot, c.Jitter, c.MultiTurn = 15, 0.3, true, time.Minute, 0.1
		})
	case "quiet":
	case "template":
		one(func(*CampaignSpec) {})
	case "paraphrased":
		one(func(c *CampaignSpec) { c.Text, c.Jitter = TextParaphrased, 10*time.Minute })
	case "generated":
		one(func(c *CampaignSpec) { c.Text, c.Cues, c.Network = TextGenerated, false, NetworkSticky })
	case "queue":
		one(func(c *CampaignSpec) { c.Text, c.Cues, c.Rate, c.Accounts = TextQueue, false, 5, 60 })
	case "pooled":
		one(func(c *CampaignSpec) { c.Camouflage, c.Rate, c.MultiTurn = 0.8, 25, 0.2 })
	case "persona":
		one(func(c *CampaignSpec) {
			c.Camouflage, c.Cover, c.Rate, c.Identity = 0.5, CoverPersona, 20, IdentityClean
		})
	case "probe":
		one(func(c *CampaignSpec) { c.Accounts, c.Probe, c.Rate = 30, 0.9, 60 })
	case "pivot":
		one(func(c *CampaignSpec) { c.Pivot, c.Text = true, TextGenerated })
	case "grade":
		one(func(c *CampaignSpec) { c.Grade, c.Text, c.MultiTurn = 0.3, TextGenerated, 0.2 })
	case "quota":
		one(func(c *CampaignSpec) { c.Scheduler, c.Text, c.Jitter = SchedulerQuota, TextParaphrased, time.Hour })
	case "mixed":
		s.Benign = Population(20000)
		s.Campaigns = []CampaignSpec{
			with(func(c *CampaignSpec) { c.Identity, c.Network, c.Client = IdentityShared, NetworkShared, ClientSDK }),
			with(func(c *CampaignSpec) { c.Text, c.Accounts, c.Network, c.Rate = TextGenerated, 200, NetworkRotating, 8 }),
			with(func(c *CampaignSpec) { c.Camouflage, c.Accounts, c.Rate, c.Start = 0.7, 150, 25, 4 }),
			with(func(c *CampaignSpec) { c.Text, c.Accounts, c.Age, c.Jitter = TextParaphrased, 60, AgeAged, time.Hour }),
		}
	case "large":
		s.Benign = Population(200000)
		s.Campaigns = []CampaignSpec{with(func(c *CampaignSpec) { c.Accounts, c.Rate = 1000, 10 }), with(func(c *CampaignSpec) { c.Text, c.Network, c.Accounts = TextGenerated, NetworkSticky, 300 })}
	case "negative-control":
		one(func(c *CampaignSpec) {
			c.Text, c.Scheduler, c.Age, c.Rate = TextPersona, SchedulerIndependent, AgeSpread, 6
		})
	case "negative-people":
		one(func(c *CampaignSpec) {
			c.Text, c.Scheduler, c.Age, c.Rate = TextPeople, SchedulerIndependent, AgeSpread, 6
		})
	case "negative-lru":
		one(func(c *CampaignSpec) {
			c.Text, c.Scheduler, c.Age, c.Rate, c.Failover = TextPeople, SchedulerLRU, AgeSpread, 6, 0
		})
	default:
		return Scenario{}, false
	}
	return s, true
}

// RandomStyle draws an operator and an honest population.
func RandomStyle(seed uint64) Style {
	r := rand.New(rand.NewPCG(seed, 0x57e1e))
	yes := func(p float64) bool { return r.Float64() < p }
	return Style{
		MultiTurn: r.Float64() * 0.7, Params: r.Float64(), UserAgent: yes(0.85), TLS: yes(0.6), Headers: yes(0.5), Device: yes(0.4),
		IP: yes(0.9), ASN: yes(0.7), Usage: yes(0.85), Reasoning: yes(0.6), Outputs: []float64{0, 0.1, 0.5, 1}[r.IntN(4)],
		Records: []float64{0, 0.5, 0.95, 1}[r.IntN(4)], Created: yes(0.8), Payments: 0.3 + 0.7*r.Float64(), NAT: r.Float64() * 0.6,
		Rate: math.Exp(math.Log(0.5) + r.Float64()*math.Log(5)), Spread: 0.7 + r.Float64(), Length: math.Exp((r.Float64() - 0.5) * 1.6),
		RealText: r.Float64(), Credential: yes(0.8),
	}
}

// RandomCampaign draws a campaign within the reach that a detector is asked to have, and somewhat beyond.
func RandomCampaign(seed uint64) CampaignSpec {
	r := rand.New(rand.NewPCG(seed, 0xca3b))
	return campaignFrom(r.Float64)
}

// Sweep draws n campaigns as a Latin hypercube (McKay, Beckman and Conover 1979): every knob takes each n-th part of
// its range once.
func Sweep(n int, seed uint64) []CampaignSpec {
	r := rand.New(rand.NewPCG(seed, 0x5ee9))
	var columns [][]int
	out := make([]CampaignSpec, n)
	for i := range out {
		knob := 0
		out[i] = campaignFrom(func() float64 {
			if knob == len(columns) {
				columns = append(columns, r.Perm(n))
			}
			knob++
			return (float64(columns[knob-1][i]) + r.Float64()) / float64(n)
		})
	}
	return out
}

// RandomScenario draws an operator, an honest population of about n accounts and some campaigns on them, together
// no more than a quarter of it.
func RandomScenario(seed uint64, n, campaigns int) Scenario {
	r := rand.New(rand.NewPCG(seed, 0x5ce0))
	s := Scenario{Name: "random", Seed: seed, Start: defaultStart().AddDate(0, 0, r.IntN(60)), Days: 8 + 10*r.Float64(), Benign: Population(n), Style: RandomStyle(seed)}
	s.Release = s.Days * (0.2 + 0.6*r.Float64())
	left := n / 4
	for _, c := range Sweep(campaigns, seed) {
		c.Accounts = min(c.Accounts, left)
		if c.Accounts < 5 {
			break
		}
		left -= c.Accounts
		s.Campaigns = append(s.Campaigns, c)
	}
	return s
}

// campaignFrom draws a campaign from numbers in [0,1), always the same number of them in the same order.
func campaignFrom(u func() float64) CampaignSpec {
	word := func(words ...string) string { return words[int(u()*float64(len(words)))] }
	number := func(numbers ...float64) float64 { return numbers[int(u()*float64(len(numbers)))] }
	return CampaignSpec{
		Accounts:     int(30 * math.Pow(20, u())),
		Rate:         4 * math.Pow(10, u()),
		Start:        5 * u(),
		Camouflage:   number(0, 0, 0.2, 0.5, 0.8),
		Cover:        word(CoverPooled, CoverPooled, CoverPersona),
		Text:         word(TextTemplate, TextParaphrased, TextGenerated, TextQueue),
		Forms:        int(number(0, 1, 3, 10, 40)),
		Cues:         u() < 0.5,
		Narrow:       u() < 0.25,
		Scheduler:    word(SchedulerLRU, SchedulerLRU, SchedulerRandom, SchedulerQuota),
		Failover:     number(0, 0.005, 0.02, 0.05),
		Jitter:       time.Duration(number(0, 1, 10, 60, 1440)) * time.Minute,
		Rhythm:       u(),
		MultiTurn:    number(0, 0.1, 0.4),
		Grade:        number(0, 0, 0, 0.2),
		Pivot:        u() < 0.33,
		Network:      word(NetworkShared, NetworkDatacenter, NetworkSticky, NetworkRotating),
		Client:       word(ClientSDK, ClientPopular, ClientSpoofed),
		Identity:     word(IdentityShared, IdentityVirtual, IdentityClean),
		Email:        word(EmailBatch, EmailClean),
		Age:          word(AgeBurst, AgeAged, AgeSpread),
		Organization: word("", "", OrganizationStartup, OrganizationSame),
	}
}
