package telemetry

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/ptrace"
	"go.opentelemetry.io/collector/pdata/ptrace/ptraceotlp"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"google.golang.org/grpc"

	"github.com/palladium-guard/palladium"
	"github.com/palladium-guard/palladium/internal/wire"
	"github.com/palladium-guard/palladium/traffic/gateway"
	"github.com/palladium-guard/palladium/traffic/verdict"
)

// collector receives what is exported, on both transports.
type collector struct {
	ptraceotlp.UnimplementedGRPCServer
	mu       sync.Mutex
	spans    map[string]ptrace.Span
	resource map[string]any
	schema   string
}

func (c *collector) take(r ptraceotlp.ExportRequest) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, rs := range r.Traces().ResourceSpans().All() {
		c.resource = rs.Resource().Attributes().AsRaw()
		for _, ss := range rs.ScopeSpans().All() {
			c.schema = ss.SchemaUrl()
			for _, s := range ss.Spans().All() {
				kept := ptrace.NewSpan()
				s.CopyTo(kept)
				c.spans[s.Name()] = kept
			}
		}
	}
}

func (c *collector) Export(_ context.Context, r ptraceotlp.ExportRequest) (ptraceotlp.ExportResponse, error) {
	c.take(r)
	return ptraceotlp.NewExportResponse(), nil
}

func (c *collector) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	b, _ := io.ReadAll(r.Body)
	in := ptraceotlp.NewExportRequest()
	if err := in.UnmarshalProto(b); err != nil || r.URL.Path != "/v1/traces" {
		w.WriteHeader(400)
		return
	}
	c.take(in)
	w.Header().Set("Content-Type", "application/x-protobuf")
}

func newCollector(t *testing.T) (c *collector, overGRPC, overHTTP string) {
	t.Helper()
	c = &collector{spans: map[string]ptrace.Span{}}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	g := grpc.NewServer()
	ptraceotlp.RegisterGRPCServer(g, c)
	go func() { _ = g.Serve(l) }()
	t.Cleanup(g.Stop)
	h := httptest.NewServer(c)
	t.Cleanup(h.Close)
	return c, "http://" + l.Addr().String(), h.URL
}

func environment(t *testing.T, values map[string]string) func(string) string {
	for name, v := range values {
		t.Setenv(name, v) // the exporters read it themselves
	}
	return func(name string) string { return values[name] }
}

func traced() *gateway.Traced {
	now := time.Now()
	return &gateway.Traced{
		ID: "req_1", Start: now.Add(-time.Second), FirstByte: now.Add(-750 * time.Millisecond), End: now, Method: "POST", Route: "/v1/chat/completions",
		Kind: wire.Chat, Dialect: "openai", Upstream: "gpu-1", Model: "llama", Stream: true, Status: 200,
		Standing: verdict.Standing{
			Shadowed: true, Shadow: palladium.Verdict{Account: "canary-account", Measure: palladium.MeasureSuspend},
			Enforced: true, Verdict: palladium.Verdict{Account: "canary-account", Campaign: "canary-campaign", Measure: palladium.MeasureSlow},
		},
		Tally:       &wire.Tally{HasUsage: true, Usage: palladium.Usage{Input: 12, Output: 34, Reasoning: 5, Cached: 6}},
		Traceparent: "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
	}
}

// Over both protocols, by the variables of the specification, what is told arrives in the conventions' terms.
func TestSends(t *testing.T) {
	for _, protocol := range []string{"grpc", "http/protobuf"} {
		t.Run(protocol, func(t *testing.T) {
			c, g, h := newCollector(t)
			endpoint := h
			if protocol == "grpc" {
				endpoint = g
			}
			getenv := environment(t, map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": endpoint, "OTEL_EXPORTER_OTLP_PROTOCOL": protocol,
				"OTEL_RESOURCE_ATTRIBUTES": "deployment.environment.name=test", "OTEL_SERVICE_NAME": "front"})
			tr, err := Open(t.Context(), getenv, "1.2.3", nil)
			if err != nil {
				t.Fatal(err)
			}
			tr.Gateway().Trace(traced())
			tr.Look(&Look{Start: time.Now().Add(-time.Second), End: time.Now(), Until: time.Unix(1_772_359_200, 0), Observations: 99, Accounts: 7, Campaigns: map[string]int{"act": 1}, Err: errors.New("canary-error")})
			if err := tr.Close(t.Context()); err != nil {
				t.Fatal(err)
			}
			server, model, look := c.spans["POST /v1/chat/completions"], c.spans["chat llama"], c.spans["detector look"]
			if len(c.spans) != 3 {
				t.Fatalf("spans: %v", c.spans)
			}
			want(t, server, map[string]any{"http.request.method": "POST", "http.route": "/v1/chat/completions", "http.response.status_code": int64(200),
				"palladium.request.id": "req_1", "palladium.measure": "slow", "palladium.shadow": "suspend"})
			want(t, model, map[string]any{"gen_ai.operation.name": "chat", "gen_ai.provider.name": "openai", "gen_ai.request.model": "llama",
				"gen_ai.request.stream": true, "gen_ai.usage.input_tokens": int64(12), "gen_ai.usage.output_tokens": int64(34),
				"gen_ai.usage.reasoning.output_tokens": int64(5), "gen_ai.usage.cache_read.input_tokens": int64(6),
				"gen_ai.response.time_to_first_chunk": 0.25, "palladium.upstream": "gpu-1"})
			want(t, look, map[string]any{"palladium.detector.observations": int64(99), "palladium.detector.accounts": int64(7),
				"palladium.detector.campaigns.act": int64(1), "palladium.detector.until": "2026-03-01T10:00:00Z"})
			if server.TraceID().String() != "0af7651916cd43dd8448eb211c80319c" || server.ParentSpanID().String() != "b7ad6b7169203331" || model.ParentSpanID() != server.SpanID() {
				t.Errorf("parents: %s %s, %s below %s", server.TraceID(), server.ParentSpanID(), model.ParentSpanID(), server.SpanID())
			}
			if server.Kind() != ptrace.SpanKindServer || model.Kind() != ptrace.SpanKindClient || look.Status().Code() != ptrace.StatusCodeError {
				t.Error("kinds or states are wrong")
			}
			if d := server.EndTimestamp() - server.StartTimestamp(); d != pcommon.Timestamp(time.Second) {
				t.Errorf("it took %d ns", d)
			}
			if c.resource["service.name"] != "front" || c.resource["service.version"] != "1.2.3" || c.resource["deployment.environment.name"] != "test" || !strings.HasSuffix(c.schema, "/1.41.0") {
				t.Errorf("resource %v, schema %s", c.resource, c.schema)
			}
			for _, s := range c.spans {
				if all := fmt.Sprint(s.Attributes().AsRaw(), s.Status().Message()); strings.Contains(all, "canary") {
					t.Errorf("something leaks: %s", all)
				}
			}
		})
	}
}

func want(t *testing.T, s ptrace.Span, attrs map[string]any) {
	t.Helper()
	got := s.Attributes().AsRaw()
	for name, v := range attrs {
		if got[name] != v {
			t.Errorf("%s: %s is %v, wanted %v", s.Name(), name, got[name], v)
		}
	}
	if len(got) != len(attrs) {
		t.Errorf("%s: %v has more than was wanted", s.Name(), got)
	}
}

// What a caller makes up stands in no span's name.
func TestRefused(t *testing.T) {
	c, _, h := newCollector(t)
	tr, err := Open(t.Context(), environment(t, map[string]string{"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": h + "/v1/traces"}), "1", nil)
	if err != nil {
		t.Fatal(err)
	}
	x := traced()
	x.Method, x.Route, x.Upstream, x.Model, x.Status, x.Reason, x.Tally, x.Standing, x.Traceparent = "CANARY", "", "", "", 404, "route.denied", nil, verdict.Standing{}, "canary"
	tr.Trace(x)
	x.Method, x.Route, x.Status = "GET", "/v1/models", 503
	tr.Trace(x)
	x = traced()
	x.Kind, x.Model, x.Status, x.Reason, x.FirstByte = wire.Models, strings.Repeat("m", 500), 502, "upstream.broken", time.Time{}
	tr.Trace(x)
	x.Model = "ä\xff" + strings.Repeat("m", longestModel-4) + "é" // would have the whole batch dropped
	tr.Trace(x)
	if err := tr.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, ok := c.spans["ä"+strings.Repeat("m", longestModel-4)]; !ok {
		t.Errorf("a name that is no UTF-8: %v", c.spans)
	}
	delete(c.spans, "ä"+strings.Repeat("m", longestModel-4))
	want(t, c.spans["HTTP"], map[string]any{"http.request.method": "_OTHER", "http.response.status_code": int64(404), "palladium.request.id": "req_1", "palladium.reason": "route.denied"})
	if s := c.spans["GET /v1/models"]; s.Status().Code() != ptrace.StatusCodeError {
		t.Error("503 is no error")
	}
	if _, ok := c.spans[strings.Repeat("m", longestModel)]; !ok || len(c.spans) != 4 {
		t.Errorf("spans: %v", c.spans)
	}
}

func TestOff(t *testing.T) {
	for name, c := range map[string]struct {
		env  map[string]string
		on   bool
		want string
	}{
		"nothing":  {nil, false, ""},
		"none":     {map[string]string{"OTEL_TRACES_EXPORTER": "none", "OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1"}, false, ""},
		"disabled": {map[string]string{"OTEL_SDK_DISABLED": "true", "OTEL_TRACES_EXPORTER": "otlp"}, false, ""},
		"asked":    {map[string]string{"OTEL_TRACES_EXPORTER": "otlp"}, true, ""},
		"console":  {map[string]string{"OTEL_TRACES_EXPORTER": "console"}, false, "otlp or none"},
		"protocol": {map[string]string{"OTEL_TRACES_EXPORTER": "otlp", "OTEL_EXPORTER_OTLP_PROTOCOL": "http/json"}, false, "grpc or http/protobuf"},
	} {
		t.Run(name, func(t *testing.T) {
			tr, err := Open(t.Context(), environment(t, c.env), "1", nil)
			if (err != nil) != (c.want != "") || err != nil && !strings.Contains(err.Error(), c.want) || (tr != nil) != c.on {
				t.Fatalf("%v, %v", tr, err)
			}
			if tr == nil && (tr.Gateway() != nil || tr.Close(t.Context()) != nil) {
				t.Error("traces that are off are not nothing")
			}
			tr.Look(&Look{})
		})
	}
}

// A collector that is away delays nothing and is told of once.
func TestAway(t *testing.T) {
	var said strings.Builder
	log := slog.New(slog.NewTextHandler(&said, nil))
	tr, err := Open(t.Context(), environment(t, map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1", "OTEL_EXPORTER_OTLP_TIMEOUT": "100"}), "1", log)
	if err != nil {
		t.Fatal(err)
	}
	begun := time.Now()
	for range 20_000 { // more than the queue holds
		tr.Trace(traced())
	}
	if took := time.Since(begun); took > 10*time.Second {
		t.Errorf("20,000 exchanges took %s", took)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
	defer cancel()
	_ = tr.Close(ctx)
	if n := strings.Count(said.String(), "traces cannot be sent"); n != 1 {
		t.Errorf("told %d times: %s", n, said.String())
	}
}

func BenchmarkTrace(b *testing.B) {
	tr, err := open(b.Context(), discard{}, "1", nil)
	if err != nil {
		b.Fatal(err)
	}
	x := traced()
	b.ReportAllocs()
	for b.Loop() {
		tr.Trace(x)
	}
}

// discard is a processor that drops what it gets.
type discard struct{}

func (discard) OnStart(context.Context, sdktrace.ReadWriteSpan) {}
func (discard) OnEnd(sdktrace.ReadOnlySpan)                     {}
func (discard) Shutdown(context.Context) error                  { return nil }
func (discard) ForceFlush(context.Context) error                { return nil }
