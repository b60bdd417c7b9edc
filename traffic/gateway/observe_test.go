package gateway_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/palladium-guard/palladium"
	"github.com/palladium-guard/palladium/traffic/gateway"
)

// Each exchange becomes one observation, with the upstream's usage and what the texts show.
func TestObserves(t *testing.T) {
	r := start(t, nil)
	long := strings.Replace(chatStream, `"max_tokens":20`, `"max_tokens":80`, 1)
	text(t, r.send("/v1/chat/completions", long, "User-Agent", "sdk/1", "X-Upstream-Fault", "tokens=60"))
	text(t, r.send("/v1/messages", strings.Replace(long, `"stream":true,`, "", 1), "User-Agent", "sdk/1", "X-Upstream-Fault", "tokens=60"))
	all := r.seen.wait(t, 2)
	for i, o := range all {
		if o.Account != "acme" || o.Credential == 0 || o.IP == 0 || o.UserAgent == 0 || o.Model == 0 || o.Prompt == 0 || o.Words != 2 || o.Usage.Output != 60 || o.Usage.Input != 2 ||
			o.Outcome.Status != 200 || o.Outcome.MS <= 0 || o.Outcome.TTFTMS <= 0 || o.MaxTokens != 80 || o.Answer == 0 || o.Outcome.Finish == "" {
			t.Errorf("observation %d: %+v", i, o)
		}
	}
	if all[0].API == all[1].API || all[0].Prompt != all[1].Prompt {
		t.Error("the two endpoints are not told apart, or the same prompt is")
	}
	text(t, r.send("/v1/models", ""))
	r.send("/v1/chat/completions", "{")
	text(t, r.send("/v1/chat/completions", chatPlain))
	if r.seen.wait(t, 3); len(r.seen.all) != 3 {
		t.Errorf("%d observations, wanted 3", len(r.seen.all))
	}
}

// What a measure refuses is observed too, as refused: who goes on asking is how the rest of a campaign is found.
func TestObservesWhatAMeasureRefuses(t *testing.T) {
	r := start(t, nil)
	if err := r.swap(palladium.Verdict{Measure: palladium.MeasureSuspend}); err != nil {
		t.Fatal(err)
	}
	if resp := r.send("/v1/chat/completions", chatPlain); resp.StatusCode != http.StatusForbidden {
		t.Fatal(resp.StatusCode)
	}
	o := r.seen.wait(t, 1)[0]
	if o.Account != "acme" || o.Prompt == 0 || o.Outcome.Status != http.StatusForbidden || o.Usage.Output != 0 || o.Answer != 0 {
		t.Errorf("observation %+v", o)
	}
}

// What cannot be measured in time is dropped and counted; no request waits for it.
func TestDropsWhatIsTooMuch(t *testing.T) {
	for cause, o := range map[string]gateway.Observe{"queue": {Queue: 2}, "memory": {Memory: 300}} {
		t.Run(cause, func(t *testing.T) {
			r := start(t, func(opt *gateway.Options, _ *rig) { opt.Config.Observe = o })
			at := time.Now()
			for range 50 {
				req, _ := http.NewRequest(http.MethodPost, r.server.URL+"/v1/chat/completions", strings.NewReader(chatPlain))
				req.Header.Set("Authorization", "Bearer "+key)
				resp, err := http.DefaultTransport.RoundTrip(req)
				if err != nil {
					t.Fatal(err)
				}
				_, _ = io.Copy(io.Discard, resp.Body)
				resp.Body.Close()
			}
			if took := time.Since(at); took > 5*time.Second {
				t.Errorf("50 requests took %v", took)
			}
			for range 200 {
				if r.gateway.InFlight() == 0 {
					break
				}
				time.Sleep(5 * time.Millisecond)
			}
			r.observer.Close()
			m := metrics(t, r.observer)
			dropped, measured := m[fmt.Sprintf("palladium_gateway_observations_dropped_total{cause=%q}", cause)], m["palladium_gateway_observations_total"]
			if dropped == 0 || dropped+measured != 50 || m["palladium_gateway_observations_waiting_bytes"] != 0 {
				t.Errorf("%v dropped, %v measured of 50", dropped, measured)
			}
		})
	}
}

// Planted words of keys, prompts and answers are found in no log, metric, health or refusal, whatever goes wrong.
func TestNothingLeaks(t *testing.T) {
	t.Setenv("UPSTREAM_SECRET", "sk-canary-upstream")
	r := start(t, func(o *gateway.Options, r *rig) {
		r.callers.keys["pal_canarykey"] = gateway.Caller{Account: "acme"}
		o.Config.Upstreams[0].SecretEnv = "UPSTREAM_SECRET"
		o.Config.Limits.FirstByte, o.Config.Limits.Idle = 200*time.Millisecond, 200*time.Millisecond
	})
	var said strings.Builder
	for _, path := range []string{"/v1/chat/completions", "/v1/messages", "/v1/canarypath"} {
		for _, body := range []string{
			`{"model":"canarymodel","stream":true,"max_tokens":5,"messages":[{"role":"user","content":"canaryprompt"}]}`,
			`{"model":"canarymodel","messages":[{"role":"user","content":"canaryprompt"}]`,
			`{"model":"canarymodel","model":"canarymodel","canaryfield":1}`,
			`{"model":"m","max_tokens":5,"logprobs":true,"logit_bias":{"1":1},"messages":[{"role":"user","content":"canaryprompt"}]}`,
			`{"model":["canarymodel"],"messages":"canaryprompt"}`,
		} {
			for _, fault := range []string{"", "cut=2", "first=400ms", "hang=2", "status=500", "error=2"} {
				for _, k := range []string{"pal_canarykey", "pal_canarywrong"} {
					ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
					resp := r.sendTo(r.server.URL, ctx, path, body, "Authorization", "Bearer "+k, "X-Upstream-Fault", fault, "X-Canary", "canaryheader")
					b, _ := io.ReadAll(resp.Body)
					if reason := resp.Header.Get("X-Palladium-Reason"); reason != "" {
						said.Write(b)
						fmt.Fprint(&said, resp.Header)
					}
					cancel()
				}
			}
		}
	}
	for _, p := range r.gateway.Health() {
		fmt.Fprint(&said, p)
	}
	for name := range metrics(t, r.observer) {
		said.WriteString(name)
	}
	for name := range metrics(t, r.gateway) {
		said.WriteString(name)
	}
	said.WriteString(r.log.String())
	if i := strings.Index(strings.ToLower(said.String()), "canary"); i >= 0 {
		t.Errorf("leaked: …%s", said.String()[max(0, i-200):min(said.Len(), i+100)])
	}
	if said.Len() < 1000 {
		t.Error("nothing was said at all: the test tests nothing")
	}
}
