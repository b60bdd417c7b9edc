// Package otlp reads OpenTelemetry's OTLP in its JSON form, one ExportTraceServiceRequest or ExportLogsServiceRequest
// a line, as the collector's file exporter writes it, or an array of them, and takes from it what follows the semantic conventions for
// generative AI. Other spans and log records are passed over.
//
// An exchange is a span of an inference operation; or a log event with an operation's details; or all message events
// of one span that stand in one line. Its id is made of trace and span id. Spans and logs of the same operations
// hold the same exchanges, of which the reader keeps the first: give it those that hold the text.
//
// The account is user.id (or an older name for it), which may stand on the span, on one of its ancestors in the same
// line, such as the HTTP server's span, or on the resource.
package otlp

import (
	"bytes"
	"math"
	"time"

	"github.com/valyala/fastjson"

	"github.com/palladium-guard/palladium/traffic/dialect"
)

// Format describes the format. It has no account records.
func Format() dialect.Format {
	return dialect.Format{Name: "otlp", Sniff: Sniff, New: func() dialect.Decoder { return new(Decoder) }}
}

// Sniff reports whether line is an export request for spans or logs.
func Sniff(line []byte) bool {
	head := line[:min(len(line), 256)]
	for _, key := range []string{"resourceSpans", "resourceLogs", "resource_spans", "resource_logs"} {
		if at := bytes.Index(head, []byte(key)); at > 0 && head[at-1] == '"' {
			return true
		}
	}
	return false
}

// Decoder reads export requests.
type Decoder struct {
	p     fastjson.Parser
	inner []*fastjson.Parser // for JSON in strings: their values live as long as the record
	used  int
	arena fastjson.Arena
	rec   dialect.Record
	spans map[string]*fastjson.Value // of the line, by id
	left  []error
}

// maxAncestors is how far up a span's users and addresses are looked for.
const maxAncestors = 16

// Decode implements dialect.Decoder. Required are a span's ids, its time and a user.
func (d *Decoder) Decode(line []byte, emit func(*dialect.Record) error) error {
	v, err := dialect.Parse(&d.p, line)
	if err != nil {
		return err
	}
	requests := []*fastjson.Value{v}
	if v.Type() == fastjson.TypeArray {
		if requests = v.GetArray(); len(requests) == 0 {
			return dialect.WrongType("(whole line)", "an object or an array of objects")
		}
	}
	d.left = d.left[:0]
	for _, v := range requests {
		if err := d.request(v, emit); err != nil {
			return err
		}
	}
	return dialect.Left(d.left)
}

func (d *Decoder) request(v *fastjson.Value, emit func(*dialect.Record) error) error {
	if v.Type() != fastjson.TypeObject {
		d.left = append(d.left, dialect.WrongType("(whole line)", "an object or an array of objects"))
		return nil
	}
	traces, logs := get(v, "resourceSpans", "resource_spans"), get(v, "resourceLogs", "resource_logs")
	if traces == nil && logs == nil {
		if get(v, "resourceMetrics", "resource_metrics") == nil { // a file of several signals
			d.left = append(d.left, dialect.Missing("resourceSpans"))
		}
		return nil
	}
	if err := d.traces(traces.GetArray(), emit); err != nil {
		return err
	}
	return d.logs(logs.GetArray(), emit)
}

// get returns a field by its name in OTLP's JSON, or by the one in its protobuf definition, which some writers keep.
func get(v *fastjson.Value, name, proto string) *fastjson.Value {
	if x := v.Get(name); x != nil {
		return x
	}
	return v.Get(proto)
}

func getTraceID(v *fastjson.Value) string { return dialect.Text(get(v, "traceId", "trace_id")) }
func getSpanID(v *fastjson.Value) string  { return dialect.Text(get(v, "spanId", "span_id")) }

// nanos reads a time, 0 when there is none.
func nanos(v *fastjson.Value) int64 {
	if n, ok := dialect.Whole(v); ok {
		return n
	}
	if f, ok := dialect.Number(v); ok && math.Abs(f) < 1<<63 {
		return int64(f)
	}
	return 0
}

// each calls f with every record below resources: spans or log records.
func each(resources []*fastjson.Value, scopes, records [2]string, f func(resource, record *fastjson.Value) error) error {
	for _, r := range resources {
		for _, s := range get(r, scopes[0], scopes[1]).GetArray() {
			for _, record := range get(s, records[0], records[1]).GetArray() {
				if err := f(r.Get("resource", "attributes"), record); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

func (d *Decoder) traces(resources []*fastjson.Value, emit func(*dialect.Record) error) error {
	if d.spans == nil {
		d.spans = map[string]*fastjson.Value{}
	}
	clear(d.spans)
	scopes, spans := [2]string{"scopeSpans", "scope_spans"}, [2]string{"spans", "spans"}
	_ = each(resources, scopes, spans, func(_, span *fastjson.Value) error {
		if id := getSpanID(span); id != "" {
			d.spans[id] = span
		}
		return nil
	})
	return each(resources, scopes, spans, func(resource, span *fastjson.Value) error {
		w := d.view(span.Get("attributes"))
		operation := dialect.Text(w.own(operationName))
		if !isInference(operation) && (operation != "" || w.own(requestModel()...) == nil) {
			return nil
		}
		parent := span
		for range maxAncestors {
			if parent = d.spans[dialect.Text(get(parent, "parentSpanId", "parent_span_id"))]; parent == nil {
				break
			}
			w.above = append(w.above, parent.Get("attributes"))
		}
		w.above = append(w.above, resource)
		return d.finish(w, span, get(span, "startTimeUnixNano", "start_time_unix_nano"), span.GetArray("events"), emit)
	})
}

// group is the message events of one span.
type group struct {
	resource *fastjson.Value
	records  []*fastjson.Value
}

func (d *Decoder) logs(resources []*fastjson.Value, emit func(*dialect.Record) error) error {
	var groups []*group
	bySpan := map[string]*group{}
	err := each(resources, [2]string{"scopeLogs", "scope_logs"}, [2]string{"logRecords", "log_records"}, func(resource, record *fastjson.Value) error {
		switch eventName(record) {
		case eventDetails:
			w := d.view(record.Get("attributes"))
			w.above = append(w.above, resource)
			return d.finish(w, record, get(record, "timeUnixNano", "time_unix_nano"), nil, emit)
		case eventSystem, eventUser, eventAssistant, eventTool, eventChoice:
			id := spanID(record)
			g := bySpan[id]
			if g == nil || id == "" {
				g = &group{resource: resource}
				groups = append(groups, g)
				bySpan[id] = g
			}
			g.records = append(g.records, record)
		}
		return nil
	})
	for _, g := range groups {
		if err != nil {
			return err
		}
		w := d.view(nil)
		for _, r := range g.records {
			w.add(r.Get("attributes"))
		}
		w.above = append(w.above, g.resource)
		err = d.finish(w, g.records[0], get(g.records[0], "timeUnixNano", "time_unix_nano"), g.records, emit)
	}
	return err
}

// eventName returns the name of a log record or of a span's event.
func eventName(record *fastjson.Value) string {
	for _, field := range []string{"eventName", "event_name", "name"} {
		if s := dialect.Text(record.Get(field)); s != "" {
			return s
		}
	}
	for _, a := range record.GetArray("attributes") {
		if dialect.Text(a.Get("key")) == eventNameKey {
			return dialect.Text(get(a.Get("value"), "stringValue", "string_value"))
		}
	}
	return ""
}

func spanID(record *fastjson.Value) string {
	trace, span := getTraceID(record), getSpanID(record)
	if trace == "" || span == "" {
		return ""
	}
	return trace + "-" + span
}

// finish makes the exchange of an operation and emits it, or notes why it cannot.
func (d *Decoder) finish(w *view, record, clock *fastjson.Value, events []*fastjson.Value, emit func(*dialect.Record) error) error {
	d.rec.Kind = dialect.KindExchange
	e := &d.rec.Exchange
	e.Reset()
	var missing string
	if e.ID = spanID(record); e.ID == "" {
		e.ID = dialect.Text(w.own(responseID))
	}
	nano := nanos(clock)
	if nano <= 0 {
		nano = nanos(get(record, "observedTimeUnixNano", "observed_time_unix_nano"))
	}
	e.Account = scalar(w.any(userID()))
	switch {
	case e.ID == "":
		missing = "spanId"
	case nano <= 0:
		missing = "startTimeUnixNano"
	case e.Account == "":
		missing = "user.id"
	}
	if missing != "" {
		d.left = append(d.left, dialect.Missing(missing))
		return nil
	}
	e.Time = time.Unix(0, nano).UTC()
	w.fill(e)
	w.conversation(e, events)
	if end := nanos(get(record, "endTimeUnixNano", "end_time_unix_nano")); end > nano {
		e.Outcome.MS = float64(end-nano) / 1e6
	}
	if e.Outcome.Status == 0 && e.Outcome.Finish != "" {
		e.Outcome.Status = 200
	}
	return emit(&d.rec)
}
