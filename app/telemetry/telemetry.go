// Package telemetry sends traces by OTLP: of each exchange that the gateway has served or refused, and of each look of the
// detector. It is off unless the environment asks for it by the variables of the OpenTelemetry specification, and then
// costs the gateway one call after an answer has ended. Spans carry counts, codes and names of the configuration; no text,
// no credential, no account.
//
// Attributes follow the semantic conventions of the version that the import of semconv names, the last that has those for
// generative AI. Attributes of this program's own begin with palladium.
package telemetry

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"time"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracegrpc"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	semconv "go.opentelemetry.io/otel/semconv/v1.41.0"
	"go.opentelemetry.io/otel/trace"

	"github.com/palladium-guard/palladium/traffic/gateway"
)

// Traces sends spans. A nil Traces sends none.
type Traces struct {
	provider *sdktrace.TracerProvider
	tracer   trace.Tracer
	parents  propagation.TraceContext
}

// Open returns where spans go by what getenv says, such as os.Getenv; nil when it asks for no traces. What the exporter
// reads beyond that (headers, certificates, compression, timeouts), the sampler and the batches come from the process's
// environment. Endpoints that cannot be reached are no error: spans are dropped, and log is told now and then.
func Open(ctx context.Context, getenv func(string) string, version string, log *slog.Logger) (*Traces, error) {
	wanted, err := wanted(getenv)
	if err != nil || !wanted {
		return nil, err
	}
	var exporter sdktrace.SpanExporter
	switch p := first(getenv, "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL"); p {
	case "", "http/protobuf":
		exporter, err = otlptracehttp.New(ctx)
	case "grpc":
		exporter, err = otlptracegrpc.New(ctx)
	default:
		return nil, fmt.Errorf("open traces: OTEL_EXPORTER_OTLP_PROTOCOL %q is not understood: set grpc or http/protobuf", p)
	}
	if err != nil {
		return nil, fmt.Errorf("open traces: %w", err)
	}
	return open(ctx, sdktrace.NewBatchSpanProcessor(exporter), version, log)
}

func open(ctx context.Context, to sdktrace.SpanProcessor, version string, log *slog.Logger) (*Traces, error) {
	// What the environment says of the service comes last and so counts.
	about, err := resource.New(ctx, resource.WithSchemaURL(semconv.SchemaURL),
		resource.WithAttributes(semconv.ServiceName("palladium"), semconv.ServiceVersion(version)), resource.WithTelemetrySDK(), resource.WithFromEnv())
	if about == nil {
		return nil, fmt.Errorf("open traces: %w", err)
	}
	if err != nil && log != nil {
		log.Warn("OTEL_RESOURCE_ATTRIBUTES is not understood in full", "error", err)
	}
	quieten(log)
	p := sdktrace.NewTracerProvider(sdktrace.WithSpanProcessor(to), sdktrace.WithResource(about))
	tracer := p.Tracer("github.com/palladium-guard/palladium", trace.WithInstrumentationVersion(version), trace.WithSchemaURL(semconv.SchemaURL))
	return &Traces{provider: p, tracer: tracer}, nil
}

// quieten has the SDK's errors go to the log, one a minute.
func quieten(log *slog.Logger) {
	if log == nil {
		return
	}
	var mu sync.Mutex
	var told time.Time
	otel.SetErrorHandler(otel.ErrorHandlerFunc(func(err error) {
		mu.Lock()
		due := time.Since(told) > time.Minute
		if due {
			told = time.Now()
		}
		mu.Unlock()
		if due {
			log.Warn("traces cannot be sent", "error", err)
		}
	}))
}

// wanted reports whether the environment asks for traces.
func wanted(getenv func(string) string) (bool, error) {
	if strings.EqualFold(getenv("OTEL_SDK_DISABLED"), "true") {
		return false, nil
	}
	switch e := getenv("OTEL_TRACES_EXPORTER"); e {
	case "none":
		return false, nil
	case "otlp":
		return true, nil
	case "":
		return first(getenv, "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT") != "", nil
	default:
		return false, fmt.Errorf("open traces: OTEL_TRACES_EXPORTER %q is not understood: set otlp or none", e)
	}
}

func first(getenv func(string) string, names ...string) string {
	for _, name := range names {
		if v := getenv(name); v != "" {
			return v
		}
	}
	return ""
}

// Close sends what waits, as long as ctx lasts.
func (t *Traces) Close(ctx context.Context) error {
	if t == nil {
		return nil
	}
	if err := t.provider.Shutdown(ctx); err != nil && !errors.Is(err, context.Canceled) {
		return fmt.Errorf("send the last traces: %w", err)
	}
	return nil
}

// Gateway returns what the gateway is to tell of exchanges; nil when no traces are sent.
func (t *Traces) Gateway() gateway.Tracer {
	if t == nil {
		return nil
	}
	return t
}

// Look is one look of the detector over all that it knows.
type Look struct {
	Start, End   time.Time      // by this machine's clock
	Until        time.Time      // time of the last exchange that it knows
	Observations int64          // taken in so far
	Accounts     int            // known
	Campaigns    map[string]int // listed, by stage
	Err          error          // why it came to nothing; its text is not sent
}

// Look sends a span for a look.
func (t *Traces) Look(l *Look) {
	if t == nil {
		return
	}
	attrs := []attribute.KeyValue{
		attribute.Int64("palladium.detector.observations", l.Observations), attribute.Int("palladium.detector.accounts", l.Accounts),
	}
	if !l.Until.IsZero() {
		attrs = append(attrs, attribute.String("palladium.detector.until", l.Until.UTC().Format(time.RFC3339)))
	}
	for stage, n := range l.Campaigns {
		attrs = append(attrs, attribute.Int("palladium.detector.campaigns."+stage, n))
	}
	_, span := t.tracer.Start(context.Background(), "detector look", trace.WithTimestamp(l.Start), trace.WithAttributes(attrs...))
	if l.Err != nil {
		span.SetStatus(statusError, "")
	}
	span.End(trace.WithTimestamp(l.End))
}
