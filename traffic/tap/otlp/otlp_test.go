package otlp

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/exporters/otlp/otlplog/otlploggrpc"
	"go.opentelemetry.io/otel/exporters/otlp/otlplog/otlploghttp"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracegrpc"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	"go.opentelemetry.io/otel/log"
	sdklog "go.opentelemetry.io/otel/sdk/log"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"

	"github.com/palladium-guard/palladium"
	"github.com/palladium-guard/palladium/traffic/dialect"
	"github.com/palladium-guard/palladium/traffic/dialect/otlp"
	"github.com/palladium-guard/palladium/traffic/measure"
	"github.com/palladium-guard/palladium/traffic/tap"
)

// sink keeps what it is given.
type sink struct {
	mu     sync.Mutex
	kept   map[uint64]palladium.Observation
	models map[uint64]string
	times  int
	fail   error
	hold   chan struct{} // Flush waits for it
}

func newSink() *sink {
	return &sink{kept: map[uint64]palladium.Observation{}, models: map[uint64]string{}}
}

func (s *sink) DescribeWait(context.Context, *palladium.Account) error { return nil }

func (s *sink) ObserveWait(_ context.Context, o *palladium.Observation) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.fail != nil {
		return s.fail
	}
	s.times++
	s.kept[o.ID] = *o
	return nil
}

func (s *sink) NameModel(hash uint64, name string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.models[hash] = name
}

func (s *sink) Flush(ctx context.Context) error {
	s.mu.Lock()
	hold := s.hold
	s.mu.Unlock()
	if hold == nil {
		return nil
	}
	select {
	case <-hold:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (s *sink) set(fail error, hold chan struct{}) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.fail, s.hold = fail, hold
}

func (s *sink) count() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.kept)
}

// serve runs a tap and returns where it listens.
func serve(t *testing.T, s *sink, change func(*Config)) (tp *Tap, overGRPC, overHTTP string) {
	t.Helper()
	c := Config{GRPC: "127.0.0.1:0", HTTP: "127.0.0.1:0"}
	if change != nil {
		change(&c)
	}
	c.Fill()
	tp, err := Open(c, tap.Options{
		Formats: []dialect.Format{otlp.Format()}, Sink: s,
		Measure: func() func(*palladium.Exchange, *palladium.Observation) { return measure.New([32]byte{1}, nil).Measure },
	}, nil)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- tp.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	g, h := tp.Addresses()
	return tp, g.String(), h.String()
}

// asked makes a span as an instrumented gateway does: the server's span with who calls, and the model's below it.
func asked(tr trace.Tracer, user, text string) {
	ctx, server := tr.Start(context.Background(), "POST /v1/chat/completions", trace.WithSpanKind(trace.SpanKindServer),
		trace.WithAttributes(attribute.String("user.id", user), attribute.String("client.address", "192.0.2.7")))
	_, span := tr.Start(ctx, "chat m-1", trace.WithSpanKind(trace.SpanKindClient), trace.WithAttributes(
		attribute.String("gen_ai.operation.name", "chat"), attribute.String("gen_ai.provider.name", "openai"),
		attribute.String("gen_ai.request.model", "m-1"), attribute.Float64("gen_ai.request.temperature", 0.5),
		attribute.Int("gen_ai.usage.input_tokens", 12), attribute.Int("gen_ai.usage.output_tokens", 34),
		attribute.StringSlice("gen_ai.response.finish_reasons", []string{"stop"}),
		attribute.String("gen_ai.input.messages", fmt.Sprintf(`[{"role":"user","parts":[{"type":"text","content":%q}]}]`, text)),
	))
	span.End()
	server.End()
}

// alone makes the model's span only, with who calls on it.
func alone(tr trace.Tracer) {
	_, span := tr.Start(context.Background(), "chat m-1", trace.WithAttributes(attribute.String("gen_ai.operation.name", "chat"), attribute.String("user.id", "u")))
	span.End()
}

// The exporters of the OpenTelemetry SDK, on both transports, compressed or not: all that they send arrives, with all that
// it says.
func TestSpansOfSDK(t *testing.T) {
	s := newSink()
	_, g, h := serve(t, s, nil)
	for name, open := range map[string]func() (sdktrace.SpanExporter, error){
		"grpc": func() (sdktrace.SpanExporter, error) {
			return otlptracegrpc.New(t.Context(), otlptracegrpc.WithEndpoint(g), otlptracegrpc.WithInsecure())
		},
		"grpc gzip": func() (sdktrace.SpanExporter, error) {
			return otlptracegrpc.New(t.Context(), otlptracegrpc.WithEndpoint(g), otlptracegrpc.WithInsecure(), otlptracegrpc.WithCompressor("gzip"))
		},
		"http": func() (sdktrace.SpanExporter, error) {
			return otlptracehttp.New(t.Context(), otlptracehttp.WithEndpoint(h), otlptracehttp.WithInsecure())
		},
		"http gzip": func() (sdktrace.SpanExporter, error) {
			return otlptracehttp.New(t.Context(), otlptracehttp.WithEndpoint(h), otlptracehttp.WithInsecure(), otlptracehttp.WithCompression(otlptracehttp.GzipCompression))
		},
	} {
		before := s.count()
		exporter, err := open()
		if err != nil {
			t.Fatal(err)
		}
		p := sdktrace.NewTracerProvider(sdktrace.WithBatcher(exporter))
		for i := range 300 {
			asked(p.Tracer("test"), fmt.Sprintf("u-%d", i%5), fmt.Sprintf("what is %d plus one, and why", i))
		}
		if err := p.Shutdown(t.Context()); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if n := s.count() - before; n != 300 {
			t.Errorf("%s: %d of 300 exchanges arrived", name, n)
		}
	}
	for _, o := range s.kept {
		if !strings.HasPrefix(o.Account, "u-") || o.Prompt == 0 || o.IP == 0 || o.Usage.Output != 34 || o.Words == 0 || s.models[o.Model] != "m-1" {
			t.Fatalf("an exchange lacks something: %+v", o)
		}
	}
}

// Log records with an operation's details do so too.
func TestLogsOfSDK(t *testing.T) {
	s := newSink()
	_, g, h := serve(t, s, nil)
	for name, open := range map[string]func() (sdklog.Exporter, error){
		"grpc": func() (sdklog.Exporter, error) {
			return otlploggrpc.New(t.Context(), otlploggrpc.WithEndpoint(g), otlploggrpc.WithInsecure(), otlploggrpc.WithCompressor("gzip"))
		},
		"http": func() (sdklog.Exporter, error) {
			return otlploghttp.New(t.Context(), otlploghttp.WithEndpoint(h), otlploghttp.WithInsecure())
		},
	} {
		before := s.count()
		exporter, err := open()
		if err != nil {
			t.Fatal(err)
		}
		p := sdklog.NewLoggerProvider(sdklog.WithProcessor(sdklog.NewBatchProcessor(exporter)))
		for i := range 50 {
			var r log.Record
			r.SetTimestamp(time.Now())
			r.SetEventName("gen_ai.client.inference.operation.details")
			r.AddAttributes(attribute.String("gen_ai.operation.name", "chat"), attribute.String("gen_ai.request.model", "m-1"), attribute.String("user.id", "u-1"),
				attribute.String("gen_ai.response.id", fmt.Sprintf("%s-%d", name, i)),
				attribute.Slice("gen_ai.input.messages", attribute.MapValue(attribute.String("role", "user"), attribute.Slice("parts", attribute.MapValue(attribute.String("type", "text"), attribute.String("content", "why not"))))))
			p.Logger("test").Emit(t.Context(), r)
		}
		if err := p.Shutdown(t.Context()); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if n := s.count() - before; n != 50 {
			t.Errorf("%s: %d of 50 exchanges arrived", name, n)
		}
	}
	for _, o := range s.kept {
		if o.Prompt == 0 || o.Words != 2 {
			t.Fatalf("an exchange lacks its text: %+v", o)
		}
	}
}

// A sink that is full for a while has clients wait and come again: nothing is lost, and nothing is kept twice.
func TestPressure(t *testing.T) {
	s := newSink()
	hold := make(chan struct{})
	s.set(nil, hold)
	tp, g, h := serve(t, s, func(c *Config) { c.Wait, c.Retry = 100*time.Millisecond, 50*time.Millisecond })
	grpcExporter, err := otlptracegrpc.New(t.Context(), otlptracegrpc.WithEndpoint(g), otlptracegrpc.WithInsecure())
	if err != nil {
		t.Fatal(err)
	}
	httpExporter, err := otlptracehttp.New(t.Context(), otlptracehttp.WithEndpoint(h), otlptracehttp.WithInsecure())
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	for _, e := range []sdktrace.SpanExporter{grpcExporter, httpExporter} {
		wg.Go(func() {
			p := sdktrace.NewTracerProvider(sdktrace.WithBatcher(e))
			for range 100 {
				asked(p.Tracer("test"), "u", "text")
			}
			if err := p.Shutdown(context.Background()); err != nil {
				t.Error(err)
			}
		})
	}
	for tp.refused[causeSink].Load() < 4 {
		time.Sleep(5 * time.Millisecond)
	}
	if ok, says := tp.Health(); ok || !strings.Contains(says, "try again") {
		t.Errorf("health: %v %s", ok, says)
	}
	s.set(errors.New("stream is down"), nil)
	close(hold)
	time.Sleep(300 * time.Millisecond)
	s.set(nil, nil)
	wg.Wait()
	if s.count() != 200 || s.times != 200 {
		t.Errorf("%d exchanges were kept, %d deliveries, of 200", s.count(), s.times)
	}
	if ok, says := tp.Health(); !ok {
		t.Errorf("health: %s", says)
	}
}

const oneSpan = `{"resourceSpans":[{"scopeSpans":[{"spans":[{"traceId":"5b8efff798038103d269b633813fc60c","spanId":"eee19b7ec3c1b17%d","startTimeUnixNano":"1772359200000000000","attributes":[{"key":"gen_ai.operation.name","value":{"stringValue":"chat"}}%s]}]}]}]}`

func spanOf(n int, user string) string {
	if user != "" {
		user = `,{"key":"user.id","value":{"stringValue":"` + user + `"}}`
	}
	return fmt.Sprintf(oneSpan, n, user)
}

func zipped(s string) string {
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	_, _ = z.Write([]byte(s))
	_ = z.Close()
	return b.String()
}

// What comes over HTTP is answered as the protocol says.
func TestHTTP(t *testing.T) {
	tokens := filepath.Join(t.TempDir(), "tokens")
	if err := os.WriteFile(tokens, []byte("# old and new\ntoken-of-sixteen-bytes\nanother-of-sixteen\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	s := newSink()
	tp, _, h := serve(t, s, func(c *Config) { c.Request, c.Identity.TokenFile = 4096, tokens })
	const good, form = "Bearer token-of-sixteen-bytes", "application/json"
	bomb := zipped(strings.Repeat(" ", 1<<20))
	for name, c := range map[string]struct {
		method, path, form, encoding, token, body string
		status                                    int
		has                                       string
	}{
		"span":          {"POST", "/v1/traces", form, "", good, spanOf(1, "u"), 200, "{"},
		"second token":  {"POST", "/v1/traces", form, "", "bearer another-of-sixteen", spanOf(2, "u"), 200, "{"},
		"charset":       {"POST", "/v1/traces", form + "; charset=utf-8", "gzip", good, zipped(spanOf(3, "u")), 200, "{"},
		"partly":        {"POST", "/v1/traces", form, "", good, spanOf(4, ""), 200, `"rejectedSpans":"1","errorMessage":"missing field \"user.id\""`},
		"partly, logs":  {"POST", "/v1/logs", form, "", good, `{"resourceLogs":[{"scopeLogs":[{"logRecords":[{"eventName":"gen_ai.client.inference.operation.details"}]}]}]}`, 200, `"rejectedLogRecords":"1"`},
		"nothing":       {"POST", "/v1/traces", form, "", good, `{}`, 200, ""},
		"empty":         {"POST", "/v1/traces", "application/x-protobuf", "", good, "", 200, ""},
		"no token":      {"POST", "/v1/traces", form, "", "", spanOf(5, "u"), 401, "Bearer"},
		"wrong token":   {"POST", "/v1/traces", form, "", good + "x", spanOf(5, "u"), 401, "Bearer"},
		"metrics":       {"POST", "/v1/metrics", form, "", good, `{}`, 404, ""},
		"method":        {"GET", "/v1/traces", form, "", good, ``, 405, ""},
		"type":          {"POST", "/v1/traces", "text/plain", "", good, `{}`, 415, "x-protobuf"},
		"encoding":      {"POST", "/v1/traces", form, "br", good, `{}`, 415, "gzip"},
		"not gzip":      {"POST", "/v1/traces", form, "gzip", good, `{}`, 400, "cannot be read"},
		"not JSON":      {"POST", "/v1/traces", form, "", good, `{`, 400, "cannot be read"},
		"not protobuf":  {"POST", "/v1/traces", "application/x-protobuf", "", good, "\xff\xff", 400, "cannot be read"},
		"large":         {"POST", "/v1/traces", form, "", good, strings.Repeat(" ", 5000), 413, "smaller"},
		"large, zipped": {"POST", "/v1/traces", form, "gzip", good, bomb, 413, "smaller"},
	} {
		r, _ := http.NewRequest(c.method, "http://"+h+c.path, strings.NewReader(c.body))
		r.Header.Set("Content-Type", c.form)
		r.Header.Set("Authorization", c.token)
		if c.encoding != "" {
			r.Header.Set("Content-Encoding", c.encoding)
		}
		resp, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		b, _ := io.ReadAll(resp.Body)
		resp.Body.Close()
		if resp.StatusCode != c.status || !strings.Contains(string(b), c.has) {
			t.Errorf("%s: %d %s, wanted %d with %s", name, resp.StatusCode, b, c.status, c.has)
		}
	}
	if s.count() != 3 {
		t.Errorf("%d exchanges were kept, wanted 3", s.count())
	}
	if err := os.WriteFile(tokens, []byte("short\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := tp.Reload(); err == nil || !strings.Contains(err.Error(), "16 characters") || !tp.keys.Allows(good) {
		t.Errorf("a bad token file was taken: %v", err)
	}
}

// Beyond what may be in hand at once, clients are sent away before their messages are read.
func TestAtOnce(t *testing.T) {
	s := newSink()
	hold := make(chan struct{})
	s.set(nil, hold)
	tp, g, h := serve(t, s, func(c *Config) { c.AtOnce = 1 })
	first := make(chan int, 1)
	post := func(n int) int {
		resp, err := http.Post("http://"+h+"/v1/traces", "application/json", strings.NewReader(spanOf(n, "u")))
		if err != nil {
			t.Error(err)
			return 0
		}
		defer resp.Body.Close()
		if resp.StatusCode == 429 && resp.Header.Get("Retry-After") != "2" {
			t.Errorf("no word on when to try again")
		}
		return resp.StatusCode
	}
	go func() { first <- post(1) }()
	for len(tp.slots) == 0 {
		time.Sleep(time.Millisecond)
	}
	if got := post(2); got != 429 {
		t.Errorf("the second request got %d", got)
	}
	e, err := otlptracegrpc.New(t.Context(), otlptracegrpc.WithEndpoint(g), otlptracegrpc.WithInsecure(), otlptracegrpc.WithRetry(otlptracegrpc.RetryConfig{}))
	if err != nil {
		t.Fatal(err)
	}
	p := sdktrace.NewTracerProvider(sdktrace.WithSyncer(e))
	t.Cleanup(func() { _ = p.Shutdown(context.Background()) })
	alone(p.Tracer("x"))
	if n := tp.refused[causeBusy].Load(); n != 2 {
		t.Errorf("%d were sent away", n)
	}
	close(hold)
	if got := <-first; got != 200 {
		t.Errorf("the first request got %d", got)
	}
	for len(tp.slots) > 0 {
		time.Sleep(time.Millisecond)
	}
	alone(p.Tracer("x"))
	if n := s.count(); n != 2 {
		t.Errorf("%d exchanges were kept", n)
	}
}

func TestConfig(t *testing.T) {
	for name, c := range map[string]struct {
		c    Config
		want string
	}{
		"no address":   {Config{}, "give an address"},
		"open":         {Config{HTTP: "0.0.0.0:4318"}, "can be reached from elsewhere"},
		"no port":      {Config{HTTP: "localhost"}, "host:port"},
		"half a pair":  {Config{HTTP: "127.0.0.1:0", Identity: identity("c", "", "", "")}, "together"},
		"no token":     {Config{HTTP: "127.0.0.1:0", Identity: identity("", "", "", "/nowhere")}, "read the tokens"},
		"no file":      {Config{HTTP: "127.0.0.1:0", Identity: identity("/nowhere", "/nowhere", "", "")}, "read the certificate"},
		"size":         {Config{HTTP: "127.0.0.1:0", Request: 5}, "request"},
		"cannot":       {Config{HTTP: "127.0.0.1:99999"}, "listen for HTTP"},
		"cannot, gRPC": {Config{GRPC: "127.0.0.1:99999"}, "listen for gRPC"},
	} {
		c.c.Fill()
		_, err := Open(c.c, tap.Options{Formats: []dialect.Format{otlp.Format()}, Sink: newSink(),
			Measure: func() func(*palladium.Exchange, *palladium.Observation) { return nil }}, nil)
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
