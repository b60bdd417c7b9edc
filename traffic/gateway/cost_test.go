package gateway_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/palladium-guard/palladium/traffic/budget"
	"github.com/palladium-guard/palladium/traffic/gateway"
	"github.com/palladium-guard/palladium/traffic/gateway/pool"
)

// used is what the rig's account has drawn today, once nothing is open any more.
func (r *rig) used() budget.Amount {
	r.t.Helper()
	for range 1000 {
		if r.gateway.InFlight() == 0 && r.ledger.Stats().Open == 0 {
			return r.ledger.Used(time.Now(), budget.Account, "acme", budget.Day)
		}
		time.Sleep(5 * time.Millisecond)
	}
	r.t.Fatal("an exchange or its reservation is never over")
	return budget.Amount{}
}

// An answer without figures costs what its bytes show, be it that the upstream gives none, or that the caller takes all of
// the text and leaves before they come.
func TestCostsWithoutUsage(t *testing.T) {
	content := strings.Repeat("word ", 4000)
	up := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		fmt.Fprintf(w, `{"choices":[{"index":0,"message":{"role":"assistant","content":"%s"},"finish_reason":"stop"}]`, content)
		if q.Header.Get("X-Wait") != "" {
			w.(http.Flusher).Flush()
			<-q.Context().Done()
		}
		_, _ = io.WriteString(w, `}`)
	}))
	defer up.Close()
	r := start(t, func(o *gateway.Options, _ *rig) { o.Config.Upstreams = []pool.Config{{URL: up.URL}} })
	body := strings.Replace(chatPlain, `"max_tokens":20`, `"max_tokens":8000`, 1)
	text(t, r.send("/v1/chat/completions", body))
	if got := r.used().Output; got != 5000 {
		t.Errorf("an answer of 20000 bytes without usage is charged with %d tokens", got)
	}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	resp := r.sendTo(r.server.URL, ctx, "/v1/chat/completions", body, "X-Wait", "1")
	if _, err := io.ReadFull(resp.Body, make([]byte, len(content))); err != nil {
		t.Fatal(err)
	}
	cancel()
	if got := r.used().Output - 5000; got < 4900 || got > 5000 {
		t.Errorf("an answer that was read but for its end is charged with %d tokens", got)
	}
}

// Where the limit of a request cannot be lowered it is granted in full or not at all; a stream is ended at what is left.
func TestThinkingHoldsBudget(t *testing.T) {
	r := start(t, func(o *gateway.Options, _ *rig) {
		settings(t, o, budget.Plan{Account: budget.Share{Day: budget.Caps{Output: limit(2000)}}})
	})
	const thinking = `{"model":"m","max_tokens":%d,"stream":%t,"thinking":{"type":"enabled","budget_tokens":1024},"messages":[{"role":"user","content":"hi"}]}`
	if resp := r.send("/v1/messages", fmt.Sprintf(thinking, 3000, false), "X-Upstream-Fault", "tokens=3000"); resp.StatusCode != 429 {
		t.Errorf("status %d with less left than the answer can cost", resp.StatusCode)
	}
	if resp := r.send("/v1/messages", fmt.Sprintf(thinking, 1500, false), "X-Upstream-Fault", "tokens=1500"); resp.StatusCode != 200 {
		t.Errorf("status %d with enough left", resp.StatusCode)
	}
	if used := r.used().Output; used != 1500 { // what was reserved beyond it is given back when the answer is over
		t.Errorf("%d tokens are charged for 1500", used)
	}
	got := text(t, r.send("/v1/messages", fmt.Sprintf(thinking, 3000, true), "X-Upstream-Fault", "tokens=3000"))
	if !strings.Contains(got, "budget.output") {
		t.Errorf("the stream was not ended: %s", tail(got))
	}
	if used := r.used().Output; used != 2000 {
		t.Errorf("%d tokens are charged, the cap is 2000", used)
	}
}

// A number that no answer can have reserves as much as can be reckoned with, not what is left of it by overflow.
func TestGiantLimit(t *testing.T) {
	r := start(t, func(o *gateway.Options, _ *rig) {
		settings(t, o, budget.Plan{Account: budget.Share{Day: budget.Caps{Output: limit(1 << 40)}}})
	})
	prompts := strings.TrimSuffix(strings.Repeat(`"a",`, 8), ",")
	body := fmt.Sprintf(`{"model":"m","prompt":[%s],"n":4,"max_tokens":%d}`, prompts, 1<<59+1)
	resp := r.send("/v1/completions", body, "X-Upstream-Fault", "tokens=5")
	if resp.StatusCode != 200 || r.model.Seen()[0].Header == nil || strings.Contains(string(r.model.Seen()[0].Body), `"max_tokens":1}`) {
		t.Errorf("status %d, the upstream got %s", resp.StatusCode, r.model.Seen()[0].Body)
	}
}

// What cannot be counted is not passed on where a budget has to be held.
func TestEncodedAnswer(t *testing.T) {
	up := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Encoding", "gzip")
		_, _ = w.Write([]byte{0x1f, 0x8b})
	}))
	defer up.Close()
	r := start(t, func(o *gateway.Options, _ *rig) { o.Config.Upstreams = []pool.Config{{URL: up.URL}} })
	if resp := r.send("/v1/chat/completions", chatPlain); resp.StatusCode != 502 {
		t.Errorf("status %d", resp.StatusCode)
	}
}
