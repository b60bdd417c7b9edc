package score

import (
	"errors"
	"fmt"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/palladium-guard/palladium"
	"github.com/palladium-guard/palladium/world"
)

func start() time.Time { return time.Date(2026, 5, 4, 0, 0, 0, 0, time.UTC) }

// truth has two campaigns of ten accounts, a negative control of ten, 100 people and an organisation of four.
func truth() *world.Truth {
	t := &world.Truth{Scenario: "t", Seed: 1, Start: start(), Days: 1, Step: time.Hour}
	add := func(prefix string, n int, class world.Class, campaign, group string) (ids []string) {
		for i := range n {
			id := fmt.Sprintf("%s%d", prefix, i)
			ids = append(ids, id)
			t.Accounts = append(t.Accounts, world.AccountTruth{ID: id, Class: class, Campaign: campaign, Group: group})
		}
		return ids
	}
	add("p", 100, world.ClassPerson, "", "")
	add("o", 4, world.ClassOrganization, "", "organization-1")
	for _, c := range []struct{ id, text string }{{"a", world.TextTemplate}, {"b", world.TextGenerated}, {"n", world.TextPeople}} {
		t.Campaigns = append(t.Campaigns, world.CampaignTruth{ID: c.id, Spec: world.CampaignSpec{Text: c.text}, Harvest: 100,
			Accounts: add(c.id, 10, world.ClassCampaign, c.id, ""), Timeline: []uint32{0, 50, 50}})
	}
	return t
}

func members(prefix string, n int) (out []palladium.Member) {
	for i := range n {
		out = append(out, palladium.Member{ID: fmt.Sprintf("%s%d", prefix, i), Membership: 1})
	}
	return out
}

func TestScore(t *testing.T) {
	at := start().Add(90 * time.Minute)
	report := &palladium.Report{
		Campaigns: []palladium.Campaign{
			{ID: "1", Stage: palladium.StageAct, DetectedAt: &at, Accounts: append(members("a", 8), members("p", 2)...)},
			{ID: "2", Stage: palladium.StageReview, DetectedAt: &at, Accounts: members("n", 3)},
			{ID: "3", Stage: palladium.StageWatch, Accounts: members("b", 10)},
		},
		Linked: []palladium.Linked{{ID: "l", Accounts: members("o", 3)}},
	}
	s := Score(report, truth())
	near := func(name string, got, want float64) {
		t.Helper()
		if math.Abs(got-want) > 1e-9 {
			t.Errorf("%s = %v, want %v", name, got, want)
		}
	}
	near("precision at act", s.Act.Precision, 0.8)
	near("recall at act", s.Act.Recall, 0.4)
	near("precision at review", s.Review.Precision, 8.0/13)
	near("recall at review", s.Review.Recall, 0.4)
	near("benign", float64(s.Benign), 114)
	near("false at act", float64(s.Act.False), 2)
	if len(s.Campaigns) != 2 || len(s.Negatives) != 1 {
		t.Fatalf("%d campaigns, %d negatives", len(s.Campaigns), len(s.Negatives))
	}
	a, b, n := s.Campaigns[0], s.Campaigns[1], s.Negatives[0]
	near("leak of a", a.Leak, 0.25)
	near("purity of a", a.Purity, 0.8)
	near("hours of a", a.Hours, 0.5)
	near("leak of b", b.Leak, 1)
	near("any of b", b.RecallAny, 1)
	near("review of b", b.RecallReview, 0)
	near("review of the control", n.RecallReview, 0.3)
	near("median leak", s.MedianLeak, 0.625)
	if len(s.Groups) != 1 || s.Groups[0].Linked != 1 {
		t.Errorf("groups %+v", s.Groups)
	}
	var text strings.Builder
	if err := Text(&text, s); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"negative control", "organization", "0.8000", "62.5 %"} {
		if !strings.Contains(text.String(), want) {
			t.Errorf("text lacks %q:\n%s", want, text.String())
		}
	}
}

func TestPerfectAndEmptyReports(t *testing.T) {
	s := Score(&palladium.Report{}, truth())
	if s.Act.Precision != 1 || s.Act.Recall != 0 || s.Act.FalseHigh < 30000 || s.Act.FalseLow != 0 {
		t.Errorf("empty report: %+v", s.Act)
	}
	at := start()
	s = Score(&palladium.Report{Campaigns: []palladium.Campaign{{Stage: palladium.StageAct, DetectedAt: &at, Accounts: members("a", 10)},
		{Stage: palladium.StageAct, DetectedAt: &at, Accounts: members("b", 10)}}}, truth())
	if s.Act.Precision != 1 || s.Review.Recall != 1 || s.MedianLeak != 0 || s.Review.False != 0 {
		t.Errorf("perfect report: %+v", s)
	}
}

type full struct{}

func (full) Write([]byte) (int, error) { return 0, errors.New("full") }

func TestTextSaysThatItCouldNotWrite(t *testing.T) {
	if err := Text(full{}, Score(&palladium.Report{}, truth())); err == nil {
		t.Error("no error")
	}
}
