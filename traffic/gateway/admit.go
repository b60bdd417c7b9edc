package gateway

import (
	"errors"
	"net/http"
	"strings"
	"time"

	"github.com/palladium-guard/palladium"
	"github.com/palladium-guard/palladium/internal/wire"
	"github.com/palladium-guard/palladium/traffic/restrict"
	"github.com/palladium-guard/palladium/traffic/verdict"
)

// scratch is what reading and judging one request needs. It is used again for the next one and then holds no text.
type scratch struct {
	request  wire.Request
	decision restrict.Decision
}

// admit decides whether the exchange goes to an upstream, and in what form.
func (x *exchange) admit() *refusal {
	rt, allowed := x.s.routes.find(x.r)
	if rt == nil {
		return &refusal{status: http.StatusNotFound, reason: "route.denied", says: "This gateway does not serve the path."}
	}
	x.route = rt
	if !allowed {
		return &refusal{status: http.StatusMethodNotAllowed, reason: "route.method", says: "This gateway does not serve the method on this path."}
	}
	if x.s.callers == nil {
		return identity(ErrIdentity)
	}
	var err error
	if x.caller, err = x.s.callers.Identify(x.r); err != nil {
		return identity(err)
	}
	if !x.caller.Scopes.Endpoint(rt.Name) {
		return &refusal{status: http.StatusForbidden, reason: "scope.endpoint", says: "The credential may not use this endpoint."}
	}
	if f := x.readBody(); f != nil {
		return f
	}
	if !rt.policed() {
		if name, ok := x.namedModel(); ok {
			if x.model = name; !x.caller.Scopes.Model(name) {
				return &refusal{status: http.StatusForbidden, reason: "scope.model", param: "model", says: "The credential may not use this model."}
			}
		}
		if f := x.judge(); f != nil {
			return f
		}
		return x.allow(nil)
	}
	sc := x.g.scratch.Get().(*scratch)
	defer x.g.forget(sc)
	return x.police(sc)
}

// forget puts a scratch back without the text it held.
func (g *Gateway) forget(sc *scratch) {
	_ = sc.request.Begin(wire.Chat, []byte("{}")) // an empty object is valid
	sc.decision.Patch.Reset()
	g.scratch.Put(sc)
}

// police holds the request to scope, verdict, policy, rate and budget, and gives the body its final form.
func (x *exchange) police(sc *scratch) *refusal {
	r, d := &sc.request, x.dialect()
	if err := d.Read(r, x.route.Kind, x.body); err != nil {
		w := restrict.Explain(err)
		return policyRefusal(&w)
	}
	x.model, x.stream = strings.Clone(r.Model), r.Stream
	if f := x.inScope(r); f != nil {
		return f
	}
	x.may = true
	if f := x.judge(); f != nil {
		return f
	}
	x.context = r.Context
	x.g.memory.Recall(r, x.caller.Account, x.start)
	x.s.policy.Decide(&sc.decision, r, x.caller.Plan, x.standing.Enforced && x.standing.Verdict.Measure == palladium.MeasureWithhold)
	if sc.decision.Refused {
		return policyRefusal(&sc.decision.Refusal)
	}
	for i := range sc.decision.Changes {
		x.g.meters.changed(&sc.decision.Changes[i])
	}
	x.redaction = sc.decision.Redaction
	p := &sc.decision.Patch
	if x.standing.Enforced && x.standing.Verdict.Measure == palladium.MeasureSmaller {
		x.model = x.standing.Verdict.Model
		r.SetModel(p, x.model)
	}
	if f := x.allow(r); f != nil {
		return f
	}
	x.clamp(r, p)
	if x.s.cfg.Usage == "ask" && x.reserved != nil && d.WantUsage(p, r) {
		x.redaction.UsageChunk = true
	}
	if !p.Empty() {
		x.sent = p.Apply(make([]byte, 0, len(x.body)+128), &r.Document)
	}
	return nil
}

func policyRefusal(w *wire.Refusal) *refusal {
	return &refusal{status: w.Status, reason: w.Code, says: w.Message, param: w.Param}
}

// inScope refuses models and features that the credential is not for.
func (x *exchange) inScope(r *wire.Request) *refusal {
	s := &x.caller.Scopes
	if !s.Model(r.Model) {
		return &refusal{status: http.StatusForbidden, reason: "scope.model", param: "model", says: "The credential may not use this model."}
	}
	if len(s.Features) == 0 {
		return nil
	}
	if r.Stream && !s.Feature("stream") {
		return outOfScope("stream")
	}
	if r.Find("tools") >= 0 && !s.Feature("tools") {
		return outOfScope("tools")
	}
	for i := range r.Asks {
		if !s.Feature(r.Asks[i].Feature.String()) {
			return outOfScope(r.Asks[i].Name)
		}
	}
	return nil
}

func outOfScope(field string) *refusal {
	return &refusal{status: http.StatusForbidden, reason: "scope.feature", param: field, says: "The credential may not use this feature."}
}

// judge looks the account up in the verdict table.
func (x *exchange) judge() *refusal {
	if x.s.verdicts == nil {
		return nil
	}
	now := x.start
	standing, state := x.s.verdicts.Find(x.caller.Account, now)
	if !state.Reliable() {
		x.g.meters.unreliable.WithLabelValues(string(x.route.failure)).Inc()
		if x.route.failure == FailClosed {
			return &refusal{status: http.StatusServiceUnavailable, reason: "verdict.unavailable",
				says: "The gateway cannot tell at the moment whether this request may be served. Try again soon.", after: time.Second, retry: true}
		}
	}
	x.standing = standing
	if standing.Shadowed {
		x.g.meters.shadow.WithLabelValues(string(standing.Shadow.Measure)).Inc()
	}
	if !standing.Enforced {
		return nil
	}
	v := &standing.Verdict
	x.g.meters.measures.WithLabelValues(string(v.Measure)).Inc()
	switch v.Measure {
	case palladium.MeasureStepUp:
		return &refusal{status: http.StatusForbidden, reason: reasonOf(v.Reason), appeal: x.appeal(v), verify: x.s.cfg.Verify,
			says: "This account must be verified before it is served again (" + string(v.Measure) + ")."}
	case palladium.MeasureSuspend:
		return &refusal{status: http.StatusForbidden, reason: reasonOf(v.Reason), appeal: x.appeal(v),
			says: "This account is suspended until " + v.Expires.UTC().Format(time.RFC3339) + " (" + string(v.Measure) + ")."}
	case palladium.MeasureSlow:
		return x.delay(v.Delay)
	}
	return nil
}

func reasonOf(code string) string {
	if code == "" {
		return "verdict"
	}
	return code
}

// appeal is where the account holder can object, with the reference to quote.
func (x *exchange) appeal(v *palladium.Verdict) string {
	return verdict.AppealAt(x.s.cfg.Appeal, v.Appeal)
}

// delay waits before the request goes on, or until the caller leaves.
func (x *exchange) delay(d time.Duration) *refusal {
	if d <= 0 {
		return nil
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-x.r.Context().Done():
		x.reason = "caller.left"
		panic(http.ErrAbortHandler)
	}
	return nil
}

// identity turns an Authenticator's error into a refusal.
func identity(err error) *refusal {
	f := &refusal{status: http.StatusUnauthorized, reason: "credential.invalid", says: "The credential is not valid."}
	switch {
	case errors.Is(err, ErrNoCredential):
		f.reason, f.says = "credential.missing", "Send a key as Authorization: Bearer, x-api-key or api-key."
	case errors.Is(err, ErrExpired):
		f.reason, f.says = "credential.expired", "The credential has expired."
	case errors.Is(err, ErrRevoked):
		f.reason, f.says = "credential.revoked", "The credential was revoked."
	case errors.Is(err, ErrAmbiguous):
		f.reason, f.says = "credential.ambiguous", "The request carries two different credentials: send one."
	case errors.Is(err, ErrIdentity):
		return &refusal{status: http.StatusServiceUnavailable, reason: "credential.unavailable",
			says: "Identities cannot be checked at the moment. Try again soon.", after: time.Second, retry: true}
	}
	return f
}
