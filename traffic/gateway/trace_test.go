package gateway_test

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/palladium-guard/palladium"
	"github.com/palladium-guard/palladium/traffic/gateway"
)

// tracer keeps what it is told.
type tracer struct {
	mu  sync.Mutex
	all []gateway.Traced
}

func (t *tracer) Trace(x *gateway.Traced) {
	t.mu.Lock()
	defer t.mu.Unlock()
	c := *x
	if c.Tally != nil {
		tally := *c.Tally
		c.Tally = &tally
	}
	t.all = append(t.all, c)
}

func (t *tracer) wait(tb testing.TB, n int) gateway.Traced {
	tb.Helper()
	for range 400 {
		t.mu.Lock()
		got := len(t.all)
		t.mu.Unlock()
		if got >= n {
			return t.all[n-1]
		}
		time.Sleep(5 * time.Millisecond)
	}
	tb.Fatalf("not told of exchange %d", n)
	return gateway.Traced{}
}

// Every exchange is told of once, however it ends, with what it came to and without what was said in it.
func TestTraces(t *testing.T) {
	told := &tracer{}
	r := start(t, func(o *gateway.Options, _ *rig) { o.Tracer = told })
	now := time.Now()
	const parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
	text(t, r.send("/v1/chat/completions", chatStream, "Traceparent", parent))
	x := told.wait(t, 1)
	if x.Route != "/v1/chat/completions" || x.Method != "POST" || x.Status != 200 || !x.Stream || x.Model == "" || x.Upstream == "" || x.Traceparent != parent ||
		x.Tally == nil || !x.Tally.HasUsage || x.Tally.Usage.Output == 0 || x.FirstByte.Before(x.Start) || x.End.Before(x.FirstByte) || x.Dialect != "openai" || x.ID == "" {
		t.Errorf("streamed: %+v", x)
	}
	text(t, r.send("/v1/messages", `{`))
	if x = told.wait(t, 2); x.Status != 400 || x.Reason == "" || x.Upstream != "" || x.Model != "" || x.Dialect != "anthropic" || x.Tally != nil {
		t.Errorf("refused: %+v", x)
	}
	text(t, r.send("/secret/path", ``))
	if x = told.wait(t, 3); x.Status != 404 || x.Route != "" {
		t.Errorf("not served: %+v", x)
	}
	if err := r.swap(palladium.Verdict{ID: "v", Measure: palladium.MeasureSuspend, Reason: "r", Issued: now.Add(-time.Hour), Expires: now.Add(time.Hour)}); err != nil {
		t.Fatal(err)
	}
	text(t, r.send("/v1/chat/completions", chatPlain))
	if x = told.wait(t, 4); x.Status != 403 || !x.Standing.Enforced {
		t.Errorf("suspended: %+v", x)
	}
	if err := r.swap(); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	_ = fmt.Sprint(r.sendTo(r.server.URL, ctx, "/v1/chat/completions", chatStream, "Authorization", "Bearer "+key, "X-Upstream-Fault", "hang=2"))
	<-ctx.Done()
	if x = told.wait(t, 5); x.Reason != "caller.left" {
		t.Errorf("left: %+v", x)
	}
	if len(told.all) != 5 {
		t.Errorf("told of %d exchanges, of 5", len(told.all))
	}
}
