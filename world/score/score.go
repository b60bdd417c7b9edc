// Package score compares a report with the truth of the world that it was made on.
package score

import (
	"cmp"
	"slices"
	"time"

	"github.com/palladium-guard/palladium"
	"github.com/palladium-guard/palladium/internal/stats"
	"github.com/palladium-guard/palladium/world"
)

// Confidence is that of all intervals (Clopper and Pearson 1934, exact).
const Confidence = 0.95

// Scores is a report measured against the truth. Accounts of a negative control count as honest ones.
type Scores struct {
	World      string          `json:"world"`
	Seed       uint64          `json:"seed"`
	Accounts   int             `json:"accounts"`
	Benign     int             `json:"benign"`
	Act        Level           `json:"act"`
	Review     Level           `json:"review"` // review or act
	Campaigns  []CampaignScore `json:"campaigns"`
	Negatives  []CampaignScore `json:"negatives"` // controls that must stay undetected
	MedianLeak float64         `json:"median_leak"`
	Classes    []ClassScore    `json:"classes"`
	Groups     []GroupScore    `json:"groups"` // benign groups under one owner: were they reported as linked?
}

// Level is how the accounts fared at one stage.
type Level struct {
	True            int     `json:"true"`   // hostile accounts listed
	False           int     `json:"false"`  // honest accounts listed
	Missed          int     `json:"missed"` // hostile accounts not listed
	Precision       float64 `json:"precision"`
	PrecisionLow    float64 `json:"precision_low"`
	Recall          float64 `json:"recall"`
	RecallLow       float64 `json:"recall_low"`
	FalsePerMillion float64 `json:"false_per_million"` // of benign accounts
	FalseLow        float64 `json:"false_per_million_low"`
	FalseHigh       float64 `json:"false_per_million_high"`
}

// CampaignScore is how one campaign fared. Shares are in [0,1].
type CampaignScore struct {
	ID           string             `json:"id"`
	Spec         world.CampaignSpec `json:"spec"`
	Accounts     int                `json:"accounts"`
	PerAccount   float64            `json:"harvest_per_account"`
	RecallAct    float64            `json:"recall_act"`
	RecallReview float64            `json:"recall_review"` // at review or act
	RecallAny    float64            `json:"recall_any"`    // watch and linked included
	Purity       float64            `json:"purity"`        // of the reported campaign that holds most of it
	Parts        int                `json:"parts"`         // reported campaigns, at review or act, with accounts of it
	Stage        palladium.Stage    `json:"stage"`         // of the reported campaign that holds most of it
	DetectedAt   *time.Time         `json:"detected_at"`
	Hours        float64            `json:"hours"` // from its first exchange to its detection
	Leak         float64            `json:"leak"`  // share of the harvest drawn before detection; 1 when undetected
	Leaked       int64              `json:"leaked"`
}

// ClassScore is how often honest accounts of one class were listed.
type ClassScore struct {
	Class      world.Class `json:"class"`
	Accounts   int         `json:"accounts"`
	Act        int         `json:"act"`
	Review     int         `json:"review"` // at review or act
	Watch      int         `json:"watch"`
	Linked     int         `json:"linked"`
	ActHigh    float64     `json:"act_per_million_high"` // upper bounds
	ReviewHigh float64     `json:"review_per_million_high"`
}

// GroupScore is how many benign groups of a class, of three accounts or more, were recognised as linked.
type GroupScore struct {
	Class  world.Class `json:"class"`
	Groups int         `json:"groups"`
	Linked int         `json:"linked"` // half of the accounts or more stand in one linked group
}

// place is where a report lists an account.
type place struct {
	stage palladium.Stage
	group int // index of the campaign, or of the linked group after them
}

// reviewed reports whether s reaches review.
func reviewed(s palladium.Stage) bool { return s == palladium.StageReview || s == palladium.StageAct }

// Stranger counts the accounts of the report's groups that truth does not know, and names one: such a report was made
// on another world, and its score would mean nothing.
func Stranger(report *palladium.Report, truth *world.Truth) (id string, n int) {
	known := make(map[string]bool, len(truth.Accounts))
	for i := range truth.Accounts {
		known[truth.Accounts[i].ID] = true
	}
	look := func(ms []palladium.Member) {
		for _, m := range ms {
			if !known[m.ID] {
				id, n = m.ID, n+1
			}
		}
	}
	for i := range report.Campaigns {
		look(report.Campaigns[i].Accounts)
	}
	for i := range report.Linked {
		look(report.Linked[i].Accounts)
	}
	return id, n
}

// Score measures report against truth.
func Score(report *palladium.Report, truth *world.Truth) *Scores {
	listed := map[string]place{}
	for i := range report.Linked {
		for _, m := range report.Linked[i].Accounts {
			listed[m.ID] = place{palladium.StageLinked, len(report.Campaigns) + i}
		}
	}
	for i := len(report.Campaigns) - 1; i >= 0; i-- {
		for _, m := range report.Campaigns[i].Accounts {
			listed[m.ID] = place{report.Campaigns[i].Stage, i}
		}
	}
	negative := map[string]bool{}
	for i := range truth.Campaigns {
		c := &truth.Campaigns[i]
		negative[c.ID] = c.Spec.Negative()
	}
	s := &Scores{World: truth.Scenario, Seed: truth.Seed, Accounts: len(truth.Accounts)}
	classes := map[world.Class]*ClassScore{}
	hostile := map[string]string{} // account to campaign
	for i := range truth.Accounts {
		a := &truth.Accounts[i]
		at := listed[a.ID]
		if a.Campaign != "" && !negative[a.Campaign] {
			hostile[a.ID] = a.Campaign
			s.Act.hostile(at.stage == palladium.StageAct)
			s.Review.hostile(reviewed(at.stage))
			continue
		}
		s.Benign++
		class := a.Class
		if a.Campaign != "" {
			class = "negative control"
		}
		if classes[class] == nil {
			classes[class] = &ClassScore{Class: class}
		}
		s.Act.benign(at.stage == palladium.StageAct)
		s.Review.benign(reviewed(at.stage))
		classes[class].count(at.stage)
	}
	s.Act.settle(s.Benign)
	s.Review.settle(s.Benign)
	s.classes(classes)
	s.campaigns(report, truth, listed, negative)
	s.groups(truth, listed)
	return s
}

func (l *Level) hostile(found bool) {
	if found {
		l.True++
	} else {
		l.Missed++
	}
}

func (l *Level) benign(found bool) {
	if found {
		l.False++
	}
}

// settle computes the shares. Precision without any account listed is 1: nothing false was said.
func (l *Level) settle(benign int) {
	l.Precision, l.Recall = 1, 1
	if n := l.True + l.False; n > 0 {
		l.Precision = float64(l.True) / float64(n)
		l.PrecisionLow, _ = stats.ClopperPearson(l.True, n, Confidence)
	}
	if n := l.True + l.Missed; n > 0 {
		l.Recall = float64(l.True) / float64(n)
		l.RecallLow, _ = stats.ClopperPearson(l.True, n, Confidence)
	}
	if benign > 0 {
		l.FalsePerMillion = 1e6 * float64(l.False) / float64(benign)
		lo, hi := stats.ClopperPearson(l.False, benign, Confidence)
		l.FalseLow, l.FalseHigh = 1e6*lo, 1e6*hi
	}
}

func (c *ClassScore) count(stage palladium.Stage) {
	c.Accounts++
	switch stage {
	case palladium.StageAct:
		c.Act++
		c.Review++
	case palladium.StageReview:
		c.Review++
	case palladium.StageWatch:
		c.Watch++
	case palladium.StageLinked:
		c.Linked++
	}
}

func (s *Scores) classes(classes map[world.Class]*ClassScore) {
	for _, c := range classes {
		_, hi := stats.ClopperPearson(c.Act, c.Accounts, Confidence)
		c.ActHigh = 1e6 * hi
		_, hi = stats.ClopperPearson(c.Review, c.Accounts, Confidence)
		c.ReviewHigh = 1e6 * hi
		s.Classes = append(s.Classes, *c)
	}
	slices.SortFunc(s.Classes, func(a, b ClassScore) int { return cmp.Compare(a.Class, b.Class) })
}

func (s *Scores) campaigns(report *palladium.Report, truth *world.Truth, listed map[string]place, negative map[string]bool) {
	var leaks []float64
	for i := range truth.Campaigns {
		c := scoreCampaign(report, truth, &truth.Campaigns[i], listed)
		if negative[c.ID] {
			s.Negatives = append(s.Negatives, c)
			continue
		}
		s.Campaigns = append(s.Campaigns, c)
		leaks = append(leaks, c.Leak)
	}
	if len(leaks) > 0 {
		s.MedianLeak = stats.Median(leaks)
	}
}

// scoreCampaign finds the reported campaign, at review or act, that holds most accounts of t. t counts as detected
// when that one detected it and has at least a tenth of its accounts, which make up at least half of the reported
// ones.
func scoreCampaign(report *palladium.Report, truth *world.Truth, t *world.CampaignTruth, listed map[string]place) CampaignScore {
	s := CampaignScore{ID: t.ID, Spec: t.Spec, Accounts: len(t.Accounts), PerAccount: float64(t.Harvest) / float64(max(1, len(t.Accounts))),
		Leak: 1, Leaked: t.Harvest}
	in := map[int]int{}
	var act, review, seen int
	for _, id := range t.Accounts {
		at, ok := listed[id]
		if !ok {
			continue
		}
		seen++
		if at.stage == palladium.StageAct {
			act++
		}
		if reviewed(at.stage) {
			review++
			in[at.group]++
		}
	}
	n := float64(max(1, len(t.Accounts)))
	s.RecallAct, s.RecallReview, s.RecallAny, s.Parts = float64(act)/n, float64(review)/n, float64(seen)/n, len(in)
	best, most := -1, 0
	for i, k := range in {
		if k > most || k == most && i < best {
			best, most = i, k
		}
	}
	if best < 0 {
		return s
	}
	c := &report.Campaigns[best]
	s.Stage, s.DetectedAt = c.Stage, c.DetectedAt
	s.Purity = float64(most) / float64(len(c.Accounts))
	if c.DetectedAt == nil || s.Purity < 0.5 || float64(most) < 0.1*n || t.Harvest == 0 {
		return s
	}
	s.Leaked = t.HarvestBefore(*c.DetectedAt, truth.Start, truth.Step)
	s.Leak = float64(s.Leaked) / float64(t.Harvest)
	s.Hours = c.DetectedAt.Sub(first(truth, t)).Hours()
	return s
}

// first is the start of the step of a campaign's first harvest.
func first(truth *world.Truth, t *world.CampaignTruth) time.Time {
	i := slices.IndexFunc(t.Timeline, func(n uint32) bool { return n > 0 })
	return truth.Start.Add(time.Duration(max(0, i)) * truth.Step)
}

// groups counts the benign groups that the report lists as linked.
func (s *Scores) groups(truth *world.Truth, listed map[string]place) {
	members := map[string][]string{}
	class := map[string]world.Class{}
	for i := range truth.Accounts {
		if a := &truth.Accounts[i]; a.Group != "" {
			members[a.Group] = append(members[a.Group], a.ID)
			class[a.Group] = a.Class
		}
	}
	scores := map[world.Class]*GroupScore{}
	for g, ids := range members {
		if len(ids) < 3 || !oneOwner(class[g]) {
			continue
		}
		c := scores[class[g]]
		if c == nil {
			c = &GroupScore{Class: class[g]}
			scores[class[g]] = c
		}
		c.Groups++
		in := map[int]int{}
		most := 0
		for _, id := range ids {
			if at, ok := listed[id]; ok && at.stage == palladium.StageLinked {
				in[at.group]++
				most = max(most, in[at.group])
			}
		}
		if 2*most >= len(ids) {
			c.Linked++
		}
	}
	for _, c := range scores {
		s.Groups = append(s.Groups, *c)
	}
	slices.SortFunc(s.Groups, func(a, b GroupScore) int { return cmp.Compare(a.Class, b.Class) })
}

// oneOwner reports whether the accounts of a group of class c belong to one operator.
func oneOwner(c world.Class) bool {
	switch c {
	case world.ClassTool, world.ClassEvaluator, world.ClassRelease, world.ClassNAT, world.ClassCohort:
		return false
	}
	return true
}
