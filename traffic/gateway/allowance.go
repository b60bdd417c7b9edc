package gateway

import (
	"errors"
	"net/http"
	"strconv"
	"time"

	"github.com/palladium-guard/palladium"
	"github.com/palladium-guard/palladium/internal/wire"
	"github.com/palladium-guard/palladium/traffic/budget"
)

// Allowance is what callers may draw, and how fast. All three parts are needed.
type Allowance struct {
	Book    *budget.Book
	Ledger  *budget.Ledger
	Limiter *budget.Limiter
}

// bytesPerToken is how many bytes of a request make a token, about, where the upstream does not say.
const bytesPerToken = 4

// allow takes the request from the caller's rate and reserves what it can cost. r is nil where there is no body to read.
func (x *exchange) allow(r *wire.Request) *refusal {
	a := x.s.allowance
	if a.Ledger == nil {
		return nil
	}
	generates := r != nil && x.route.Kind.Generates()
	var input, asked, most int64
	if r != nil && x.route.Kind != wire.CountTokens {
		m := x.s.cfg.model(x.model)
		input = int64(len(x.body)) // no token is shorter than a byte
		if m.Input > 0 {
			input = min(input, m.Input)
		}
		if generates {
			asked = r.MaxTokens
			asked = min(asked, maxTokens)
			most = min(max(asked, m.Output), maxTokens) * min(max(r.Answers, 1), maxTokens)
		}
	}
	if f := x.takeRate(a, input, max(asked, 0)); f != nil {
		return f
	}
	d := budget.Demand{Principals: x.principals(a.Book), Input: input, Output: most}
	if generates {
		d.Least = 1 // the answer is ended where the rest is used up
		if x.unbending(r) && !r.Stream {
			d.Least = most
			if asked > 0 {
				d.Least = asked
			}
		}
	}
	var err error
	if x.reserved, err = a.Ledger.Reserve(x.start, d); err == nil {
		return nil
	}
	x.returnRate(0)
	var met *budget.Exceeded
	if errors.As(err, &met) {
		f := &refusal{status: http.StatusTooManyRequests, reason: "budget." + met.Level.String(), after: met.RetryAfter(x.start),
			says: "The " + met.Error() + "."}
		if met.Level == budget.Campaign {
			f.appeal = x.appeal(&x.standing.Verdict)
			f.reason = reasonOf(x.standing.Verdict.Reason)
		}
		return f
	}
	x.g.log.Error("budgets cannot be kept", "error", err)
	return unkept()
}

// maxTokens bounds what is reckoned with for one answer, so that no product of what a request asks for overflows.
const maxTokens = 1<<31 - 1

// unbending reports whether the limit on output cannot be lowered in the request: a reasoning budget of its own would have
// to be lowered with it. A stream is ended at its limit all the same; anything else needs to be granted in full.
func (x *exchange) unbending(r *wire.Request) bool {
	return r.Endpoint == wire.Messages && r.Asked(wire.Reasoning) != nil
}

// unkept is the refusal of what cannot be written down.
func unkept() *refusal {
	return &refusal{status: http.StatusServiceUnavailable, reason: "budget.unavailable",
		says: "The gateway cannot reserve the request's budget at the moment. Try again soon.", after: time.Second, retry: true}
}

// principals are who is charged.
func (x *exchange) principals(b *budget.Book) []budget.Principal {
	c := &x.caller
	p := append(x.charged[:0], b.Account(c.Account, c.Plan))
	if c.Organization != "" {
		p = append(p, b.Organization(c.Organization, c.Plan))
	}
	for _, name := range c.Budgets {
		if len(p) < budget.MaxPrincipals-1 {
			p = append(p, b.Pool(name))
		}
	}
	if v := &x.standing.Verdict; x.standing.Enforced && v.Measure == palladium.MeasureBudget {
		p = append(p, budget.CampaignDay(v.Campaign, v.Tokens))
	}
	return p
}

// takeRate claims one request and its tokens.
func (x *exchange) takeRate(a Allowance, input, output int64) *refusal {
	requests, tokens := a.Book.Rates(x.caller.Plan, x.caller.Rate.Requests, x.caller.Rate.Tokens)
	n := min(input/bytesPerToken+output, tokens.Count)
	x.claims = [2]budget.Claim{
		{Level: budget.Account, ID: x.caller.Account, Measure: budget.Requests, Rate: requests, N: 1},
		{Level: budget.Account, ID: x.caller.Account, Measure: budget.Input, Rate: tokens, N: n},
	}
	paces, stopped := a.Limiter.TakeAll(x.start, x.claims[:], x.paces[:0])
	x.rated = len(paces)
	if stopped < 0 {
		return nil
	}
	f := &refusal{status: http.StatusTooManyRequests, reason: "rate.requests", after: paces[stopped].RetryAfter, retry: true,
		says: "Too many requests a minute. Slow down."}
	if stopped == 1 {
		f.reason, f.says = "rate.tokens", "Too many tokens a minute. Slow down."
	}
	x.claims[1].N = 0
	return f
}

// returnRate corrects the claim of tokens when the true number is known.
func (x *exchange) returnRate(tokens int64) {
	c := &x.claims[1]
	if c.N == 0 && tokens == 0 {
		return
	}
	l := x.s.allowance.Limiter
	if tokens <= c.N {
		l.Return(*c, c.N-tokens)
	} else {
		more := *c
		more.N = min(tokens-c.N, c.Rate.Count)
		l.Take(time.Now(), more) // what does not fit any more is let go
	}
	c.N = 0
}

// rateHeaders tells the caller what is left of its rate, in place of what the upstream says of the gateway's own.
func (x *exchange) rateHeaders(h http.Header) {
	if x.rated == 0 {
		return
	}
	for i := range x.rated {
		p := &x.paces[i]
		if p.Limit == budget.Unlimited {
			continue // the upstream's own is all there is
		}
		limit, left := strconv.FormatInt(p.Limit, 10), strconv.FormatInt(max(p.Remaining, 0), 10)
		what := "Requests"
		if i == 1 {
			what = "Tokens"
		}
		if x.name() == anthropic {
			h["Anthropic-Ratelimit-"+what+"-Limit"] = []string{limit}
			h["Anthropic-Ratelimit-"+what+"-Remaining"] = []string{left}
			h["Anthropic-Ratelimit-"+what+"-Reset"] = []string{x.start.Add(p.Reset).UTC().Format(time.RFC3339)}
			continue
		}
		h["X-Ratelimit-Limit-"+what] = []string{limit}
		h["X-Ratelimit-Remaining-"+what] = []string{left}
		h["X-Ratelimit-Reset-"+what] = []string{p.Reset.Round(time.Millisecond).String()}
	}
}

// clamp has the upstream generate no more than was granted, where that is less than was asked for. A stream may have one
// token more: the gateway ends it there, and says why.
func (x *exchange) clamp(r *wire.Request, p *wire.Patch) {
	if x.reserved == nil || !x.route.Kind.Generates() {
		return
	}
	granted := x.reserved.Output() / max(r.Answers, 1)
	most := r.MaxTokens
	if most < 0 {
		most = x.s.cfg.model(x.model).Output
	}
	if granted >= most || x.unbending(r) {
		return
	}
	if r.Stream {
		granted++
	}
	value := strconv.AppendInt(nil, max(granted, 1), 10)
	found := false
	for _, name := range []string{"max_tokens", "max_completion_tokens", "max_output_tokens"} {
		if i := r.Find(name); i >= 0 {
			p.Replace(r.Members[i].Value, value)
			found = true
		}
	}
	if found {
		return
	}
	switch r.Endpoint {
	case wire.Chat:
		p.Add("max_completion_tokens", value)
	case wire.Responses:
		p.Add("max_output_tokens", value)
	default:
		p.Add("max_tokens", value)
	}
}

// settle charges what the exchange cost and gives back the rest.
func (x *exchange) settle() {
	if x.reserved == nil {
		return
	}
	if x.up == nil || x.status >= http.StatusBadRequest && x.out == 0 {
		x.reserved.Release()
		x.returnRate(0)
		return
	}
	input, output := x.cost()
	if x.status >= http.StatusBadRequest && output == 0 {
		x.reserved.Release() // the upstream refused
		x.returnRate(0)
		return
	}
	x.reserved.Settle(input, output)
	x.returnRate(input + output)
}

// cost is the exchange's tokens: the upstream's own figures, or what was counted where it gave none to the end.
func (x *exchange) cost() (input, output int64) {
	t := &x.passing.Scan.Tally
	input, output = (x.reserved.Input()+bytesPerToken-1)/bytesPerToken, x.passing.Tokens()
	if x.passing.Follows && x.route.Kind.Generates() && !(t.HasUsage && t.Ended) {
		output = max(output, min(x.passing.Estimate(), x.reserved.Output()))
	}
	if t.HasUsage {
		input = t.Usage.Input
	}
	if x.passing.Stopped {
		return input, x.passing.Drawn // the event that met the limit was not passed on
	}
	if t.HasUsage {
		if t.Ended {
			output = t.Usage.Output
		} else {
			output = max(output, t.Usage.Output)
		}
	}
	return input, output
}
