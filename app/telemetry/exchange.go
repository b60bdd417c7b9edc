package telemetry

import (
	"context"
	"strconv"
	"strings"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/propagation"
	semconv "go.opentelemetry.io/otel/semconv/v1.41.0"
	"go.opentelemetry.io/otel/trace"

	"github.com/palladium-guard/palladium/internal/wire"
	"github.com/palladium-guard/palladium/traffic/gateway"
)

const statusError = codes.Error

// longestModel bounds a name that a caller chose, in bytes.
const longestModel = 128

// Trace implements gateway.Tracer: one span for the request as it was served, and one below it for the model's part, where
// a model was reached.
func (t *Traces) Trace(x *gateway.Traced) {
	ctx := t.parents.Extract(context.Background(), propagation.MapCarrier{"traceparent": x.Traceparent, "tracestate": x.Tracestate})
	ctx, span := t.tracer.Start(ctx, serverName(x), trace.WithSpanKind(trace.SpanKindServer), trace.WithTimestamp(x.Start))
	if span.IsRecording() {
		span.SetAttributes(served(x)...)
		if x.Status >= 500 || early(x) {
			span.SetStatus(codes.Error, "")
		}
		if x.Upstream != "" {
			t.model(ctx, x)
		}
	}
	span.End(trace.WithTimestamp(x.End))
}

// early reports whether an answer was not whole.
func early(x *gateway.Traced) bool {
	switch x.Reason {
	case "caller.left", "upstream.cut", "upstream.broken", "upstream.slow":
		return true
	}
	return false
}

func serverName(x *gateway.Traced) string {
	if x.Route == "" {
		return method(x.Method)
	}
	return method(x.Method) + " " + x.Route
}

// method is one of the known ones, as the conventions have it: a caller may have made up another.
func method(m string) string {
	switch m {
	case "GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH", "QUERY":
		return m
	}
	return "HTTP"
}

func served(x *gateway.Traced) []attribute.KeyValue {
	m := method(x.Method)
	if m == "HTTP" {
		m = "_OTHER"
	}
	out := []attribute.KeyValue{
		semconv.HTTPRequestMethodKey.String(m), semconv.HTTPResponseStatusCode(x.Status), attribute.String("palladium.request.id", x.ID),
	}
	if x.Route != "" {
		out = append(out, semconv.HTTPRoute(x.Route))
	}
	if x.Reason != "" {
		out = append(out, attribute.String("palladium.reason", x.Reason))
	}
	if x.Status >= 500 {
		out = append(out, semconv.ErrorTypeKey.String(strconv.Itoa(x.Status)))
	}
	if x.Standing.Enforced {
		out = append(out, attribute.String("palladium.measure", string(x.Standing.Verdict.Measure)))
	}
	if x.Standing.Shadowed {
		out = append(out, attribute.String("palladium.shadow", string(x.Standing.Shadow.Measure)))
	}
	return out
}

// model sends the span of the model's part.
func (t *Traces) model(ctx context.Context, x *gateway.Traced) {
	operation, name := operationOf(x.Kind), clip(x.Model)
	attrs := []attribute.KeyValue{attribute.String("palladium.upstream", x.Upstream)}
	title := strings.TrimSpace(operation + " " + name)
	if title == "" {
		title = x.Upstream
	}
	if operation != "" {
		attrs = append(attrs, semconv.GenAIOperationNameKey.String(operation), semconv.GenAIProviderNameKey.String(x.Dialect))
	}
	if name != "" {
		attrs = append(attrs, semconv.GenAIRequestModel(name))
	}
	if x.Stream {
		attrs = append(attrs, semconv.GenAIRequestStream(true))
	}
	if !x.FirstByte.IsZero() {
		attrs = append(attrs, semconv.GenAIResponseTimeToFirstChunk(x.FirstByte.Sub(x.Start).Seconds()))
	}
	if x.Status >= 400 {
		attrs = append(attrs, semconv.ErrorTypeKey.String(strconv.Itoa(x.Status)))
	}
	attrs = append(attrs, used(x.Tally)...)
	_, span := t.tracer.Start(ctx, title, trace.WithSpanKind(trace.SpanKindClient), trace.WithTimestamp(x.Start), trace.WithAttributes(attrs...))
	if x.Status >= 400 || early(x) {
		span.SetStatus(codes.Error, "")
	}
	span.End(trace.WithTimestamp(x.End))
}

// used says what an answer took.
func used(t *wire.Tally) (out []attribute.KeyValue) {
	if t == nil {
		return nil
	}
	if finish := t.Finish.String(); finish != "" {
		out = append(out, semconv.GenAIResponseFinishReasons(finish))
	}
	if !t.HasUsage {
		return out
	}
	u := &t.Usage
	out = append(out, semconv.GenAIUsageInputTokens(int(u.Input)), semconv.GenAIUsageOutputTokens(int(u.Output)))
	if u.Reasoning > 0 {
		out = append(out, semconv.GenAIUsageReasoningOutputTokens(int(u.Reasoning)))
	}
	if u.Cached > 0 {
		out = append(out, semconv.GenAIUsageCacheReadInputTokens(int(u.Cached)))
	}
	return out
}

// operationOf is the conventions' name of what an endpoint does; empty for endpoints that ask no model.
func operationOf(e wire.Endpoint) string {
	switch e {
	case wire.Chat, wire.Responses, wire.Messages:
		return "chat"
	case wire.Completions:
		return "text_completion"
	case wire.Embeddings:
		return "embeddings"
	}
	return ""
}

// clip bounds a name that a caller chose, and leaves out what is no text in UTF-8: exporters send nothing of a batch with such.
func clip(s string) string {
	return strings.ToValidUTF8(s[:min(len(s), longestModel)], "")
}
