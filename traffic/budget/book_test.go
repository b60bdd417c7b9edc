package budget

import (
	"strings"
	"testing"
	"time"

	"go.yaml.in/yaml/v3"
)

func TestBook(t *testing.T) {
	var s Settings
	err := yaml.Unmarshal([]byte(`
plans:
  default:
    account: {day: {requests: 100, output: 20k}}
  pro:
    account: {day: {output: 2M}, month: {output: unlimited}}
    organization: {day: {requests: unlimited}}
    per_minute: {requests: 600}
pools:
  lab: {day: {output: 1_000}}
`), &s)
	if err != nil {
		t.Fatal(err)
	}
	b, err := NewBook(s)
	if err != nil {
		t.Fatal(err)
	}
	account, organization, requests, tokens := Defaults()
	pro := b.Account("a", "pro").Limits
	for _, c := range []struct {
		name      string
		got, want int64
	}{
		{"stated", pro.Day.Output, 2_000_000},
		{"unlimited only where it is stated", pro.Month.Output, Unlimited},
		{"left out: as the plan default", pro.Day.Requests, 100},
		{"left out there too: built in", pro.Day.Input, account.Day.Input},
		{"organisation", b.Organization("o", "pro").Limits.Day.Requests, Unlimited},
		{"organisation left out", b.Organization("o", "pro").Limits.Day.Input, organization.Day.Input},
		{"unknown plan", b.Account("a", "no such").Limits.Day.Output, 20_000},
		{"no plan", b.Account("a", "").Limits.Day.Requests, 100},
		{"pool", b.Pool("lab").Limits.Day.Output, 1000},
		{"unknown pool", b.Pool("no such").Limits.Day.Output, 20_000},
		{"campaign", CampaignDay("c", 5).Limits.Day.Output, 5},
		{"campaign without tokens", CampaignDay("c", -5).Limits.Day.Output, 0},
	} {
		if c.got != c.want {
			t.Errorf("%s: %d, want %d", c.name, c.got, c.want)
		}
	}
	if r, n := b.Rates("pro", 0, 0); r != PerMinute(600) || n != PerMinute(tokens) {
		t.Errorf("rates %v, %v", r, n)
	}
	if r, n := b.Rates("no such", 7, 0); r != (Rate{Count: 7, Per: time.Minute}) || n.Count != tokens || requests != 60 {
		t.Errorf("rates %v, %v", r, n)
	}
}

func TestSettingsRefused(t *testing.T) {
	for text, want := range map[string]string{
		"plans: {default: {account: {day: {requests: -1}}}}":            "not a number such as",
		"plans: {default: {account: {day: {requests: many}}}}":          "not a number such as",
		"plans: {default: {account: {day: {output: 99999999999G}}}}":    "not a number such as",
		"plans: {default: {account: {day: {output: infinite}}}}":        "nor the word unlimited",
		"plans: {free: {per_minute: {requests: 0}}}":                    "per_minute allows nothing",
		"pools: {'': {day: {output: 5}}}":                               "empty name",
		"plans: {default: {account: {day: {requests: [1, 2, three]}}}}": "cannot unmarshal",
	} {
		var s Settings
		err := yaml.Unmarshal([]byte(text), &s)
		if err == nil {
			_, err = NewBook(s)
		}
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", text, err, want)
		}
	}
}
