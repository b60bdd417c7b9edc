package gateway_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/palladium-guard/palladium"
	"github.com/palladium-guard/palladium/traffic/budget"
	"github.com/palladium-guard/palladium/traffic/gateway"
)

// Whatever is refused is refused in the caller's dialect, with a reason, a request id, and word on whether to try again.
func TestRefusals(t *testing.T) {
	r := start(t, func(o *gateway.Options, r *rig) {
		r.callers.keys["narrow"] = gateway.Caller{Account: "narrow", Scopes: gateway.Scopes{Models: []string{"gpt-*"}, Endpoints: []string{"chat", "models"}, Features: []string{"stream"}}}
		o.Config.Limits.Body = 4096
		o.Config.Upstreams[0].Models = []string{"test-*", "gpt-*", "m"}
	})
	big := `{"model":"m","messages":[{"role":"user","content":"` + strings.Repeat("x", 5000) + `"}]}`
	for _, c := range []struct {
		name, path, body string
		headers          []string
		status           int
		reason           string
		param            string
	}{
		{"no credential", "/v1/chat/completions", chatPlain, []string{"Authorization", ""}, 401, "credential.missing", ""},
		{"bad credential", "/v1/chat/completions", chatPlain, []string{"Authorization", "Bearer pal_wrong"}, 401, "credential.invalid", ""},
		{"no credential, anthropic", "/v1/messages", messages, []string{"Authorization", ""}, 401, "credential.missing", ""},
		{"unknown path", "/v1/files", chatPlain, nil, 404, "route.denied", ""},
		{"unknown path, anthropic", "/v1/messages/batches", messages, []string{"Anthropic-Version", "2023-06-01"}, 404, "route.denied", ""},
		{"dots", "/v1/models/../chat/completions", chatPlain, nil, 404, "route.denied", ""},
		{"encoded", "/v1/chat%2fcompletions", chatPlain, nil, 404, "route.denied", ""},
		{"double slash", "/v1//chat/completions", chatPlain, nil, 404, "route.denied", ""},
		{"method", "/v1/chat/completions", "", nil, 405, "route.method", ""},
		{"endpoint scope", "/v1/messages", messages, []string{"Authorization", "Bearer narrow"}, 403, "scope.endpoint", ""},
		{"model scope", "/v1/chat/completions", chatPlain, []string{"Authorization", "Bearer narrow"}, 403, "scope.model", "model"},
		{"model scope, one model", "/v1/models/test-model", "", []string{"Authorization", "Bearer narrow"}, 403, "scope.model", "model"},
		{"feature scope", "/v1/chat/completions", `{"model":"gpt-x","messages":[],"seed":3}`, []string{"Authorization", "Bearer narrow"}, 403, "scope.feature", "seed"},
		{"tools scope", "/v1/chat/completions", `{"model":"gpt-x","messages":[],"tools":[]}`, []string{"Authorization", "Bearer narrow"}, 403, "scope.feature", "tools"},
		{"model nobody serves", "/v1/chat/completions", `{"model":"other","messages":[]}`, nil, 404, "model.unknown", "model"},
		{"too large", "/v1/chat/completions", big, nil, 413, "request.size", ""},
		{"too large, anthropic", "/v1/messages", big, nil, 413, "request.size", ""},
		{"compressed", "/v1/chat/completions", chatPlain, []string{"Content-Encoding", "gzip"}, 415, "request.encoding", ""},
		{"duplicate key", "/v1/chat/completions", `{"model":"m","messages":[],"logprobs":false,"logprobs":true}`, nil, 400, "", ""},
		{"bias and logprobs", "/v1/chat/completions", `{"model":"m","messages":[],"logprobs":true,"logit_bias":{"1":5}}`, nil, 400, "restrict.bias_with_logprobs", "logprobs"},
	} {
		t.Run(c.name, func(t *testing.T) {
			resp := r.send(c.path, c.body, c.headers...)
			body := text(t, resp)
			if resp.StatusCode != c.status {
				t.Fatalf("status %d, wanted %d: %s", resp.StatusCode, c.status, body)
			}
			var e struct {
				Type      string
				RequestID string `json:"request_id"`
				Error     struct {
					Type, Message, Code string
					Param               *string
				}
			}
			if err := json.Unmarshal([]byte(body), &e); err != nil || e.Error.Type == "" || e.Error.Message == "" {
				t.Fatalf("error %v in %s", err, body)
			}
			id := resp.Header.Get("X-Palladium-Request-Id")
			if c.reason != "" && resp.Header.Get("X-Palladium-Reason") != c.reason {
				t.Errorf("reason %q, wanted %q", resp.Header.Get("X-Palladium-Reason"), c.reason)
			}
			if resp.Header.Get("X-Should-Retry") != "false" {
				t.Errorf("x-should-retry is %q", resp.Header.Get("X-Should-Retry"))
			}
			if !strings.HasPrefix(id, "req_") || !strings.Contains(e.Error.Message, id) {
				t.Errorf("request id %q is not in %q", id, e.Error.Message)
			}
			if anthropic := strings.HasPrefix(c.path, "/v1/messages"); anthropic != (e.Type == "error") || anthropic && (e.RequestID != id || resp.Header.Get("Request-Id") != id) ||
				!anthropic && resp.Header.Get("X-Request-Id") != id {
				t.Errorf("not in the caller's dialect: %s", body)
			}
			if c.param != "" && (e.Error.Param == nil || *e.Error.Param != c.param) {
				t.Errorf("param %v, wanted %q: %s", e.Error.Param, c.param, body)
			}
		})
	}
	if n := len(r.model.Seen()); n != 0 {
		t.Errorf("%d of the refused requests reached the upstream", n)
	}
}

func TestIdentityErrors(t *testing.T) {
	r := start(t, nil)
	for err, want := range map[error]string{gateway.ErrExpired: "401 credential.expired", gateway.ErrRevoked: "401 credential.revoked",
		gateway.ErrAmbiguous: "401 credential.ambiguous", gateway.ErrIdentity: "503 credential.unavailable", errors.New("other"): "401 credential.invalid"} {
		r.callers.mu.Lock()
		r.callers.err = fmt.Errorf("%w: with a detail", err)
		r.callers.mu.Unlock()
		resp := r.send("/v1/chat/completions", chatPlain)
		if got := strconv.Itoa(resp.StatusCode) + " " + resp.Header.Get("X-Palladium-Reason"); got != want || strings.Contains(text(t, resp), "detail") {
			t.Errorf("got %s, wanted %s", got, want)
		}
	}
}

// A list of models shows those that the credential may use.
func TestModelsInScope(t *testing.T) {
	r := start(t, func(_ *gateway.Options, r *rig) {
		r.callers.keys[key] = gateway.Caller{Account: "acme", Scopes: gateway.Scopes{Models: []string{"test-model"}}}
	})
	body := text(t, r.send("/v1/models", ""))
	var list struct{ Data []struct{ ID string } }
	if err := json.Unmarshal([]byte(body), &list); err != nil || len(list.Data) != 1 || list.Data[0].ID != "test-model" {
		t.Errorf("error %v, got %s", err, body)
	}
}

func TestMeasures(t *testing.T) {
	r := start(t, func(o *gateway.Options, _ *rig) {
		o.Config.Appeal, o.Config.Verify = "https://example.com/appeal", "https://example.com/who"
	})
	put := func(v palladium.Verdict) {
		t.Helper()
		if err := r.swap(v); err != nil {
			t.Fatal(err)
		}
	}
	t.Run("suspend", func(t *testing.T) {
		put(palladium.Verdict{Measure: palladium.MeasureSuspend, Appeal: "A-17"})
		for path, body := range map[string]string{"/v1/chat/completions": chatStream, "/v1/messages": messages, "/v1/models": ""} {
			resp := r.send(path, body)
			got := text(t, resp)
			if resp.StatusCode != 403 || resp.Header.Get("X-Palladium-Reason") != "campaign.extraction" || !strings.Contains(got, "https://example.com/appeal") || !strings.Contains(got, "A-17") {
				t.Errorf("%s: status %d, %s", path, resp.StatusCode, got)
			}
		}
	})
	t.Run("step-up", func(t *testing.T) {
		put(palladium.Verdict{Measure: palladium.MeasureStepUp})
		for path, body := range map[string]string{"/v1/chat/completions": chatPlain, "/v1/messages": messages} {
			resp := r.send(path, body)
			got := text(t, resp)
			if resp.StatusCode != 403 || !strings.Contains(got, "verified") || !strings.Contains(got, "https://example.com/who") || resp.Header.Get("X-Palladium-Verify") != "https://example.com/who" {
				t.Errorf("%s: status %d, %s", path, resp.StatusCode, got)
			}
		}
	})
	t.Run("shadow", func(t *testing.T) {
		put(palladium.Verdict{Measure: palladium.MeasureSuspend, Shadow: true})
		if resp := r.send("/v1/chat/completions", chatPlain); resp.StatusCode != 200 {
			t.Errorf("status %d", resp.StatusCode)
		}
		if m := metrics(t, r.gateway); m[`palladium_gateway_shadow_measures_total{measure="suspend"}`] != 1 {
			t.Errorf("what would have been done is not counted: %v", m)
		}
	})
	t.Run("observe", func(t *testing.T) {
		put(palladium.Verdict{Measure: palladium.MeasureObserve})
		if resp := r.send("/v1/chat/completions", chatPlain); resp.StatusCode != 200 {
			t.Errorf("status %d", resp.StatusCode)
		}
		if m := metrics(t, r.gateway); m[`palladium_gateway_verdict_measures_total{measure="observe"}`] != 1 {
			t.Errorf("not counted: %v", m)
		}
	})
	t.Run("slow", func(t *testing.T) {
		put(palladium.Verdict{Measure: palladium.MeasureSlow, Delay: 100 * time.Millisecond, TokensPerSecond: 100})
		for _, body := range []string{chatStream, chatPlain} {
			at := time.Now()
			want := text(t, r.sendTo(r.up.URL, context.Background(), "/v1/chat/completions", body))
			got := text(t, r.send("/v1/chat/completions", body))
			if took := time.Since(at); took < 280*time.Millisecond || took > 3*time.Second || got != want {
				t.Errorf("20 tokens took %v", took)
			}
		}
	})
	t.Run("withhold", func(t *testing.T) {
		put(palladium.Verdict{Measure: palladium.MeasureWithhold})
		resp := r.send("/v1/chat/completions", `{"model":"m","messages":[{"role":"user","content":"hi"}],"logprobs":true,"top_logprobs":5,"n":3}`)
		got := text(t, resp)
		var a struct{ Choices []struct{ Logprobs any } }
		if err := json.Unmarshal([]byte(got), &a); err != nil || resp.StatusCode != 200 || len(a.Choices) != 1 || a.Choices[0].Logprobs != nil {
			t.Errorf("status %d, %s", resp.StatusCode, got)
		}
	})
	t.Run("smaller model", func(t *testing.T) {
		put(palladium.Verdict{Measure: palladium.MeasureSmaller, Model: "test-small"})
		if got := text(t, r.send("/v1/chat/completions", chatPlain)); !strings.Contains(got, `"model":"test-small"`) {
			t.Errorf("got %s", got)
		}
	})
	t.Run("budget", func(t *testing.T) {
		put(palladium.Verdict{Measure: palladium.MeasureBudget, Campaign: "c1", Tokens: 30})
		if got := text(t, r.send("/v1/chat/completions", chatStream)); !strings.HasSuffix(got, "[DONE]\n\n") {
			t.Errorf("got %s", tail(got))
		}
		resp := r.send("/v1/chat/completions", chatStream)
		got := text(t, resp)
		if strings.Contains(got, "[DONE]") || !strings.Contains(got, `"code":"campaign.extraction"`) || !strings.Contains(got, "https://example.com/appeal") {
			t.Errorf("status %d, got %s", resp.StatusCode, tail(got))
		}
		if resp := r.send("/v1/chat/completions", chatStream); resp.StatusCode != 429 || resp.Header.Get("X-Should-Retry") != "false" {
			t.Errorf("status %d", resp.StatusCode)
		}
	})
	t.Run("other account", func(t *testing.T) {
		put(palladium.Verdict{Account: "other", Measure: palladium.MeasureSuspend})
		if resp := r.send("/v1/chat/completions", chatPlain); resp.StatusCode != 200 {
			t.Errorf("status %d", resp.StatusCode)
		}
	})
}

// Without a reliable table each route does what it is configured to, and health says which does what.
func TestFailOpenOrClosed(t *testing.T) {
	r := start(t, func(o *gateway.Options, _ *rig) {
		o.Config.Routes = []gateway.RouteConfig{{Path: "/v1/messages", Failure: gateway.FailClosed}}
	})
	if err := r.swap(palladium.Verdict{Measure: palladium.MeasureSuspend, Account: "bad"}); err != nil {
		t.Fatal(err)
	}
	r.callers.keys["bad"] = gateway.Caller{Account: "bad"}
	r.verdicts.Fail(errors.New("gone"))
	if resp := r.send("/v1/chat/completions", chatPlain); resp.StatusCode != 200 {
		t.Errorf("an open route answers %d", resp.StatusCode)
	}
	if resp := r.send("/v1/chat/completions", chatPlain, "Authorization", "Bearer bad"); resp.StatusCode != 403 {
		t.Errorf("what the last table said no longer holds: status %d", resp.StatusCode)
	}
	if resp := r.send("/v1/messages", messages); resp.StatusCode != 503 || resp.Header.Get("Retry-After") == "" || resp.Header.Get("X-Should-Retry") != "true" {
		t.Errorf("a closed route answers %d, retry-after %q", resp.StatusCode, resp.Header.Get("Retry-After"))
	}
	found := false
	for _, p := range r.gateway.Health() {
		if p.Name == "verdicts" {
			found = !p.OK && strings.Contains(p.Says, "closed on /v1/messages") && strings.Contains(p.Says, "open on /v1/chat/completions")
		}
	}
	if !found {
		t.Errorf("health does not say how routes fail: %v", r.gateway.Health())
	}
}

// A stream that meets its limit is ended at the event, in the dialect, without an end mark, and the sum holds exactly.
func TestStreamMeetsBudget(t *testing.T) {
	for _, c := range []struct{ path, body, fault, end, wants string }{
		{"/v1/chat/completions", chatStream, "", "[DONE]", `"code":"budget.output"`},
		{"/v1/chat/completions", chatStream, "split=5", "[DONE]", `"code":"budget.output"`},
		{"/v1/chat/completions", chatStream, "join=6", "[DONE]", `"code":"budget.output"`},
		{"/v1/completions", `{"model":"m","stream":true,"prompt":"hi","max_tokens":20}`, "", "[DONE]", `"code":"budget.output"`},
		{"/v1/responses", `{"model":"m","stream":true,"input":"hi","max_output_tokens":20}`, "split=9", "response.completed", `event: error`},
		{"/v1/messages", messages, "split=9", "message_stop", "event: error\ndata: {\"type\":\"error\""},
	} {
		t.Run(c.path+" "+c.fault, func(t *testing.T) {
			r := start(t, func(o *gateway.Options, _ *rig) {
				settings(t, o, budget.Plan{Account: budget.Share{Day: budget.Caps{Output: limit(7)}}})
			})
			// The upstream takes no notice of the lowered max_tokens.
			fault := strings.Trim("tokens=20,"+c.fault, ",")
			resp := r.send(c.path, strings.Replace(c.body, "20}", "20}", 1), "X-Upstream-Fault", fault)
			got := text(t, resp)
			if resp.StatusCode != 200 || strings.Contains(got, c.end) || !strings.Contains(got, c.wants) || strings.Contains(got, "\n\n\n") {
				t.Fatalf("status %d, got %s", resp.StatusCode, tail(got))
			}
			for event := range strings.SplitSeq(strings.TrimSuffix(got, "\n\n"), "\n\n") {
				data := event[strings.Index(event, "data:")+5:]
				if !json.Valid([]byte(data)) {
					t.Errorf("an event is not whole: %q", event)
				}
			}
			if used := r.ledger.Used(time.Now(), budget.Account, "acme", budget.Day); used.Output != 7 || used.Requests != 1 {
				t.Errorf("used %+v, wanted 7 output tokens of one request", used)
			}
			if resp := r.send(c.path, c.body); resp.StatusCode != 429 || resp.Header.Get("Retry-After") == "" || resp.Header.Get("X-Should-Retry") != "false" {
				t.Errorf("the next request is answered %d", resp.StatusCode)
			}
		})
	}
}

// What is left of a budget limits an answer that is no stream through the upstream.
func TestUnaryIsClamped(t *testing.T) {
	r := start(t, func(o *gateway.Options, _ *rig) {
		settings(t, o, budget.Plan{Account: budget.Share{Day: budget.Caps{Output: limit(7)}}})
	})
	got := text(t, r.send("/v1/chat/completions", chatPlain))
	if !strings.Contains(got, `"completion_tokens":7`) || !strings.Contains(got, `"finish_reason":"length"`) {
		t.Errorf("got %s", got)
	}
	if used := r.ledger.Used(time.Now(), budget.Account, "acme", budget.Day); used.Output != 7 {
		t.Errorf("used %+v", used)
	}
}

// Usage is settled by the upstream's figures; what was reserved beyond them is given back, also when the caller leaves
// or the upstream fails.
func TestSettles(t *testing.T) {
	for _, c := range []struct {
		name, path, body, fault string
		want                    budget.Amount
		leave                   bool
	}{
		{"stream", "/v1/chat/completions", chatStream, "tokens=9", budget.Amount{Requests: 1, Input: 2, Output: 9}, false},
		{"unary", "/v1/chat/completions", chatPlain, "tokens=9", budget.Amount{Requests: 1, Input: 2, Output: 9}, false},
		{"messages", "/v1/messages", messages, "tokens=9", budget.Amount{Requests: 1, Input: 2, Output: 9}, false},
		{"responses", "/v1/responses", `{"model":"m","stream":true,"input":"hello there"}`, "tokens=9", budget.Amount{Requests: 1, Input: 2, Output: 9}, false},
		{"embeddings", "/v1/embeddings", `{"model":"m","input":"hello there"}`, "", budget.Amount{Requests: 1, Input: 2}, false},
		{"no usage", "/v1/chat/completions", chatStream, "tokens=9,nousage", budget.Amount{Requests: 1, Input: int64(len(chatStream)+3) / 4, Output: 9}, false},
		{"refused by the upstream", "/v1/chat/completions", chatPlain, "status=429", budget.Amount{}, false},
		{"caller leaves", "/v1/messages", messages, "tokens=20,pace=20ms", budget.Amount{Requests: 1, Input: 2, Output: 3}, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := start(t, nil)
			ctx, cancel := context.WithCancel(context.Background())
			defer cancel()
			resp := r.sendTo(r.server.URL, ctx, c.path, c.body, "X-Upstream-Fault", c.fault)
			if c.leave {
				seen := ""
				for buf := make([]byte, 512); strings.Count(seen, "text_delta") < 3; {
					n, err := resp.Body.Read(buf)
					if err != nil {
						t.Fatal(err)
					}
					seen += string(buf[:n])
				}
				cancel()
			} else {
				_, _ = io.Copy(io.Discard, resp.Body)
			}
			var used budget.Amount
			for range 200 {
				if used = r.ledger.Used(time.Now(), budget.Account, "acme", budget.Day); used == c.want {
					break
				}
				time.Sleep(5 * time.Millisecond)
			}
			if c.leave && used.Output >= 3 && used.Output <= 5 {
				used.Output = 3 // some more may have been on their way
			}
			if used != c.want {
				t.Errorf("used %+v, wanted %+v", used, c.want)
			}
			if open := r.ledger.Stats().Open; open != 0 {
				t.Errorf("%d reservations are still open", open)
			}
		})
	}
}

// Whatever runs at once, callers get no more than the cap together.
func TestBudgetHoldsTogether(t *testing.T) {
	r := start(t, func(o *gateway.Options, _ *rig) {
		settings(t, o, budget.Plan{Account: budget.Share{Day: budget.Caps{Output: limit(100)}}})
	})
	var group sync.WaitGroup
	var mu sync.Mutex
	got := 0
	for range 8 {
		group.Go(func() {
			for range 6 {
				req, _ := http.NewRequest(http.MethodPost, r.server.URL+"/v1/messages", strings.NewReader(messages))
				req.Header.Set("X-Api-Key", key)
				req.Header.Set("X-Upstream-Fault", "tokens=20,pace=1ms")
				resp, err := http.DefaultTransport.RoundTrip(req)
				if err != nil {
					t.Error(err)
					return
				}
				b, _ := io.ReadAll(resp.Body)
				resp.Body.Close()
				mu.Lock()
				got += strings.Count(string(b), "text_delta")
				mu.Unlock()
			}
		})
	}
	group.Wait()
	used := r.ledger.Used(time.Now(), budget.Account, "acme", budget.Day).Output
	if got > 100 || used > 100 || got < 50 {
		t.Errorf("callers got %d tokens, %d are charged, the cap is 100", got, used)
	}
}

func TestRates(t *testing.T) {
	r := start(t, func(o *gateway.Options, _ *rig) {
		settings(t, o, budget.Plan{PerMinute: budget.Minute{Requests: limit(3)}})
	})
	for path, names := range map[string][]string{"/v1/chat/completions": {"X-Ratelimit-Limit-Requests", "X-Ratelimit-Remaining-Requests", "X-Ratelimit-Reset-Requests"},
		"/v1/messages": {"Anthropic-Ratelimit-Requests-Limit", "Anthropic-Ratelimit-Requests-Remaining", "Anthropic-Ratelimit-Requests-Reset"}} {
		h := r.send(path, messages).Header
		if h.Get(names[0]) != "3" || h.Get(names[1]) == "" || h.Get(names[2]) == "" {
			t.Errorf("%s: %v", path, h)
		}
	}
	r.send("/v1/chat/completions", chatPlain)
	resp := r.send("/v1/chat/completions", chatPlain)
	after, _ := strconv.Atoi(resp.Header.Get("Retry-After"))
	if resp.StatusCode != 429 || after < 1 || after > 20 || resp.Header.Get("X-Should-Retry") != "true" || resp.Header.Get("X-Palladium-Reason") != "rate.requests" ||
		resp.Header.Get("X-Ratelimit-Remaining-Requests") != "0" {
		t.Errorf("status %d, headers %v", resp.StatusCode, resp.Header)
	}
	if n := len(r.model.Seen()); n != 3 {
		t.Errorf("%d requests reached the upstream, wanted 3", n)
	}
	free := start(t, nil)
	if h := free.send("/v1/chat/completions", chatPlain).Header; len(h.Get("X-Ratelimit-Limit-Requests")) > 9 {
		t.Errorf("a rate that has no limit is told as %v", h)
	}
}

// A suspended account is refused from the moment the table is swapped, and a revoked one from the moment it is.
func TestTakesEffectAtOnce(t *testing.T) {
	r := start(t, nil)
	if resp := r.send("/v1/chat/completions", chatPlain); resp.StatusCode != 200 {
		t.Fatal(resp.StatusCode)
	}
	at := time.Now()
	r.callers.mu.Lock()
	delete(r.callers.keys, key)
	r.callers.mu.Unlock()
	if resp := r.send("/v1/chat/completions", chatPlain); resp.StatusCode != 401 || time.Since(at) > 100*time.Millisecond {
		t.Errorf("status %d after %v", resp.StatusCode, time.Since(at))
	}
}
