package budget

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"
)

// Cap is a cap as an operator writes it: a whole number, which may end in k, M or G for thousands, millions and thousands
// of millions, or the word unlimited. One that is left out is taken from the plan named default.
type Cap struct {
	N      int64
	Stated bool
}

// UnmarshalText reads a cap.
func (c *Cap) UnmarshalText(text []byte) error {
	s, factor := string(text), int64(1)
	if s == "unlimited" {
		*c = Cap{Unlimited, true}
		return nil
	}
	for suffix, f := range map[string]int64{"k": 1e3, "M": 1e6, "G": 1e9} {
		if digits, ok := strings.CutSuffix(s, suffix); ok {
			s, factor = digits, f
		}
	}
	n, err := strconv.ParseInt(strings.ReplaceAll(s, "_", ""), 10, 64)
	if err != nil || n < 0 || n > math.MaxInt64/factor-1 {
		return fmt.Errorf("cap %q is not a number such as 500, 20k or 1M, nor the word unlimited", text)
	}
	*c = Cap{n * factor, true}
	return nil
}

// MarshalText writes a cap as it is read; one that is left out is empty.
func (c Cap) MarshalText() ([]byte, error) {
	switch {
	case !c.Stated:
		return nil, nil
	case c.N == Unlimited:
		return []byte("unlimited"), nil
	}
	return strconv.AppendInt(nil, c.N, 10), nil
}

// IsZero reports whether the cap is left out.
func (c Cap) IsZero() bool { return !c.Stated }

func (c Cap) or(n int64) int64 {
	if c.Stated {
		return c.N
	}
	return n
}

// Caps are the caps of one period.
type Caps struct {
	Requests Cap `yaml:"requests,omitempty"`
	Input    Cap `yaml:"input,omitempty"`  // tokens
	Output   Cap `yaml:"output,omitempty"` // tokens
}

func (c Caps) over(a Amount) Amount {
	return Amount{c.Requests.or(a.Requests), c.Input.or(a.Input), c.Output.or(a.Output)}
}

// Share is what one principal may draw.
type Share struct {
	Day   Caps `yaml:"day,omitempty"`
	Month Caps `yaml:"month,omitempty"`
}

func (s Share) over(l Limits) Limits { return Limits{s.Day.over(l.Day), s.Month.over(l.Month)} }

// Minute is the rate of each account of a plan, in units a minute.
type Minute struct {
	Requests Cap `yaml:"requests,omitempty"`
	Tokens   Cap `yaml:"tokens,omitempty"` // input and output together
}

// Plan is what the accounts and organisations of one plan may draw. What it leaves out is as in the plan default.
type Plan struct {
	Account      Share  `yaml:"account,omitempty"`
	Organization Share  `yaml:"organization,omitempty"`
	PerMinute    Minute `yaml:"per_minute,omitempty"`
}

// Settings is the section budget of the configuration.
type Settings struct {
	Plans map[string]Plan  `yaml:"plans,omitempty"` // by the plan that a credential names
	Pools map[string]Share `yaml:"pools,omitempty"` // by the name that credentials list as budgets
}

// Default is the name of the plan for callers whose plan is unknown or not named.
const Default = "default"

// Defaults returns the plan that fills what the operator's own plan default leaves out: an account may send 60 requests
// and 200,000 tokens a minute, and in a day 5,000 requests, 20 million input and 2 million output tokens; in a month 20
// times as much, and an organisation 10 times an account.
func Defaults() (account, organization Limits, requests, tokens int64) {
	day := Amount{Requests: 5_000, Input: 20_000_000, Output: 2_000_000}
	account = Limits{day, day.times(20)}
	return account, Limits{day.times(10), day.times(200)}, 60, 200_000
}

func (a Amount) times(n int64) Amount { return Amount{a.Requests * n, a.Input * n, a.Output * n} }

// Filled returns the plan default with what Defaults put in the place of what it leaves out, to be shown.
func (p Plan) Filled() Plan {
	account, organization, requests, tokens := Defaults()
	share := func(s Share, l Limits) Share { return Share{s.Day.filled(l.Day), s.Month.filled(l.Month)} }
	return Plan{
		share(p.Account, account), share(p.Organization, organization),
		Minute{Cap{p.PerMinute.Requests.or(requests), true}, Cap{p.PerMinute.Tokens.or(tokens), true}},
	}
}

func (c Caps) filled(a Amount) Caps {
	a = c.over(a)
	return Caps{Cap{a.Requests, true}, Cap{a.Input, true}, Cap{a.Output, true}}
}

// Book says what each principal may draw. It is immutable and never answers with unlimited what nobody stated so.
type Book struct {
	plans map[string]planLimits
	pools map[string]Limits
}

type planLimits struct {
	account, organization Limits
	requests, tokens      int64
}

// NewBook reads s. Errors name the plan or pool at fault.
func NewBook(s Settings) (*Book, error) {
	var d planLimits
	d.account, d.organization, d.requests, d.tokens = Defaults()
	d = s.Plans[Default].over(d)
	b := &Book{plans: map[string]planLimits{Default: d}, pools: make(map[string]Limits, len(s.Pools))}
	for _, name := range slices.Sorted(maps.Keys(s.Plans)) {
		l := s.Plans[name].over(d)
		if l.requests == 0 || l.tokens == 0 {
			return nil, fmt.Errorf("plan %q: per_minute allows nothing: suspend an account by a verdict instead", name)
		}
		b.plans[name] = l
	}
	for _, name := range slices.Sorted(maps.Keys(s.Pools)) {
		if name == "" {
			return nil, fmt.Errorf("a pool has an empty name: give it one that credentials can list")
		}
		b.pools[name] = s.Pools[name].over(d.account)
	}
	return b, nil
}

func (p Plan) over(d planLimits) planLimits {
	return planLimits{
		p.Account.over(d.account), p.Organization.over(d.organization),
		p.PerMinute.Requests.or(d.requests), p.PerMinute.Tokens.or(d.tokens),
	}
}

func (b *Book) plan(name string) planLimits {
	if p, ok := b.plans[name]; ok {
		return p
	}
	return b.plans[Default]
}

// Account returns the account as a principal of the plan; an unknown plan is the plan default.
func (b *Book) Account(id, plan string) Principal {
	return Principal{Account, id, b.plan(plan).account}
}

// Organization returns the organisation as a principal of the plan; an unknown plan is the plan default.
func (b *Book) Organization(id, plan string) Principal {
	return Principal{Organization, id, b.plan(plan).organization}
}

// Pool returns the named pool. One that no configuration names has the caps of one account of the plan default.
func (b *Book) Pool(name string) Principal {
	if l, ok := b.pools[name]; ok {
		return Principal{Pool, name, l}
	}
	return Principal{Pool, name, b.plans[Default].account}
}

// CampaignDay returns the campaign as a principal that draws at most tokens output tokens a day, as a verdict of measure
// budget says; its requests, its input and its month have no cap of their own.
func CampaignDay(id string, tokens int64) Principal {
	free := Amount{Unlimited, Unlimited, Unlimited}
	return Principal{Campaign, id, Limits{Day: Amount{Unlimited, Unlimited, max(0, tokens)}, Month: free}}
}

// Rates returns the rates of an account of the plan, requests and tokens. A positive requests or tokens, in units a
// minute, takes the plan's place. Unlimited gives a rate so high that it is never met.
func (b *Book) Rates(plan string, requests, tokens int64) (Rate, Rate) {
	p := b.plan(plan)
	if requests > 0 {
		p.requests = requests
	}
	if tokens > 0 {
		p.tokens = tokens
	}
	return PerMinute(p.requests), PerMinute(p.tokens)
}
