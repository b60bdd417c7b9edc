package check

import (
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/palladium-guard/palladium"
	"github.com/palladium-guard/palladium/traffic/verdict"
)

// Answer is what a gateway is told of one request. It is the body of an answer in JSON form.
type Answer struct {
	Allow    bool              `json:"allow"`
	Status   int               `json:"status"` // for the caller: 200, 401, 403, 429 or 503
	Measure  palladium.Measure `json:"measure,omitempty"`
	Reason   string            `json:"reason,omitempty"`  // code: why it is refused, or why the measure
	Says     string            `json:"says,omitempty"`    // for people
	Verdict  string            `json:"verdict,omitempty"` // id
	Expires  *time.Time        `json:"expires,omitempty"`
	Appeal   string            `json:"appeal,omitempty"` // where to object, and the reference to quote
	Verify   string            `json:"verify,omitempty"` // where to verify
	After    int64             `json:"retry_after,omitempty"`
	Shadow   palladium.Measure `json:"shadow,omitempty"`   // what would have been done, and is not
	Verdicts string            `json:"verdicts,omitempty"` // state of the table, where it cannot be relied on

	// What the gateway that asked has to do by itself.
	Delay           float64 `json:"delay_seconds,omitempty"`     // before the request goes on
	TokensPerSecond float64 `json:"tokens_per_second,omitempty"` // pace of the answer
	Tokens          int64   `json:"tokens_left,omitempty"`       // output tokens that are left today
	Model           string  `json:"model,omitempty"`             // what answers instead
	Withhold        bool    `json:"withhold,omitempty"`          // no log probabilities, one answer, no reasoning text

	wait time.Duration // Delay
}

// headerPrefix begins every header of an answer but Retry-After.
const headerPrefix = "X-Palladium-"

// headerNames are those of an answer, in lower case, all of which a caller could have sent.
func headerNames() []string {
	return []string{
		"x-palladium-status", "x-palladium-measure", "x-palladium-reason", "x-palladium-verdict", "x-palladium-expires", "x-palladium-appeal",
		"x-palladium-verify", "x-palladium-shadow", "x-palladium-verdicts", "x-palladium-delay", "x-palladium-tokens-per-second",
		"x-palladium-tokens-left", "x-palladium-model", "x-palladium-withhold",
	}
}

// header gives what an answer says as pairs of name, in lower case, and value.
func (a *Answer) header(put func(name, value string)) {
	set := func(name, value string) {
		if value != "" {
			put("x-palladium-"+name, plainValue(value))
		}
	}
	number := func(v float64) string {
		if v == 0 {
			return ""
		}
		return strconv.FormatFloat(v, 'f', -1, 64)
	}
	set("status", strconv.Itoa(a.Status))
	set("measure", string(a.Measure))
	set("reason", a.Reason)
	set("verdict", a.Verdict)
	if a.Expires != nil {
		set("expires", a.Expires.UTC().Format(time.RFC3339))
	}
	set("appeal", a.Appeal)
	set("verify", a.Verify)
	set("shadow", string(a.Shadow))
	set("verdicts", a.Verdicts)
	set("delay", number(a.Delay))
	set("tokens-per-second", number(a.TokensPerSecond))
	set("tokens-left", number(float64(a.Tokens)))
	set("model", a.Model)
	if a.Withhold {
		set("withhold", "true")
	}
	if a.After > 0 {
		put("retry-after", strconv.FormatInt(a.After, 10))
	}
}

// plainValue keeps what may stand in a header.
func plainValue(s string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r > '~' {
			return -1
		}
		return r
	}, s)
}

func pass() Answer { return Answer{Allow: true, Status: http.StatusOK} }

func refuse(status int, reason, says string) Answer {
	return Answer{Status: status, Reason: reason, Says: says}
}

// question is one request that a gateway asks about.
type question struct {
	identity Identity
	path     string
	now      time.Time
}

// decide answers a question. It waits for nothing.
func (d *Door) decide(q *question) Answer {
	r := d.c.route(q.path)
	if r.Skip {
		return pass()
	}
	if r.Mode == Shadow {
		r.Failure = FailOpen // nothing is refused
	}
	if a, known := d.known(&q.identity, r); !known {
		return a
	}
	standing, state := d.verdicts.Find(q.identity.Account, q.now)
	a := Answer{}
	if !state.Reliable() {
		d.meters.unreliable.WithLabelValues(string(r.Failure)).Inc()
		if r.Failure == FailClosed {
			a = refuse(http.StatusServiceUnavailable, "verdict.unavailable", "It cannot be told at the moment whether this request may be served. Try again soon.")
			a.After = 1
			a.Verdicts = state.String()
			return a
		}
	}
	shadow := palladium.Measure("")
	if standing.Shadowed {
		shadow = standing.Shadow.Measure
	}
	if standing.Enforced && r.Mode == Shadow {
		if shadow == "" || stricter(standing.Verdict.Measure, shadow) {
			shadow = standing.Verdict.Measure
		}
		standing.Enforced = false
	}
	if shadow != "" {
		d.meters.measures.WithLabelValues(string(shadow), "shadow").Inc()
	}
	if a = pass(); standing.Enforced {
		d.meters.measures.WithLabelValues(string(standing.Verdict.Measure), "enforce").Inc()
		a = d.apply(&standing, q.now)
	}
	a.Shadow = shadow
	if !state.Reliable() {
		a.Verdicts = state.String()
	}
	return a
}

// stricter reports whether a stands behind b among the measures.
func stricter(a, b palladium.Measure) bool {
	for _, m := range palladium.Measures() {
		switch m {
		case a:
			return false
		case b:
			return true
		}
	}
	return false
}

// known answers for callers of whom no account is known.
func (d *Door) known(id *Identity, r Route) (Answer, bool) {
	switch {
	case id.Unavailable && r.Failure == FailClosed:
		a := refuse(http.StatusServiceUnavailable, "credential.unavailable", "Identities cannot be checked at the moment. Try again soon.")
		a.After = 1
		return a, false
	case id.Unavailable:
		d.meters.unreliable.WithLabelValues(string(r.Failure)).Inc()
		return pass(), false
	case id.Account != "":
		return Answer{}, true
	case d.c.Account.Missing == "pass" && (id.Reason == "" || id.Reason == missing):
		return pass(), false
	case r.Mode == Shadow:
		return pass(), false
	}
	reason := id.Reason
	or(&reason, missing)
	return refuse(http.StatusUnauthorized, reason, "It is not known which account this request is of."), false
}

const missing = "credential.missing"

// apply says what an enforced verdict asks for.
func (d *Door) apply(s *verdict.Standing, now time.Time) Answer {
	v := &s.Verdict
	a := pass()
	switch v.Measure {
	case palladium.MeasureStepUp:
		a = refuse(http.StatusForbidden, "", "This account must be verified before it is served again.")
		a.Verify = d.c.Verify
	case palladium.MeasureSuspend:
		a = refuse(http.StatusForbidden, "", "This account is suspended until "+v.Expires.UTC().Format(time.RFC3339)+".")
	case palladium.MeasureSlow:
		a.wait, a.Delay, a.TokensPerSecond = v.Delay, v.Delay.Seconds(), v.TokensPerSecond
	case palladium.MeasureSmaller:
		a.Model = v.Model
	case palladium.MeasureWithhold:
		a.Withhold = true
	case palladium.MeasureBudget:
		a.Tokens = v.Tokens
		if d.spending == nil {
			break
		}
		left, renewed := d.spending.Left(v.Campaign, v.Tokens, now)
		if a.Tokens = max(left, 0); left <= 0 {
			a = refuse(http.StatusTooManyRequests, "", "The budget that this account shares is used up.")
			a.After = seconds(renewed)
		}
	}
	a.Measure, a.Reason, a.Verdict = v.Measure, v.Reason, v.ID
	or(&a.Reason, "verdict")
	expires := v.Expires.UTC()
	a.Expires = &expires
	if !a.Allow {
		a.Appeal = d.appeal(v)
	}
	return a
}

func seconds(d time.Duration) int64 { return max(1, int64((d+time.Second-1)/time.Second)) }

// appeal is where the account holder can object, with the reference to quote.
func (d *Door) appeal(v *palladium.Verdict) string { return verdict.AppealAt(d.c.Appeal, v.Appeal) }
