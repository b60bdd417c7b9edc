// Package otlp reads OpenTelemetry's OTLP in its JSON form, one ExportTraceServiceRequest or ExportLogsServiceRequest
// a line, as the collector's file exporter writes it, and takes from it what follows the semantic conventions for
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
	return bytes.Contains(head, []byte(`"resourceSpans"`)) || bytes.Contains(head, []byte(`"resourceLogs"`))
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
	if v.Type() != fastjson.TypeObject {
		return dialect.WrongType("(whole line)", "an object")
	}
	traces, logs := v.Get("resourceSpans"), v.Get("resourceLogs")
	if traces == nil && logs == nil {
		return dialect.Missing("resourceSpans")
	}
	d.left = d.left[:0]
	if err := d.traces(traces.GetArray(), emit); err != nil {
		return err
	}
	if err := d.logs(logs.GetArray(), emit); err != nil {
		return err
	}
	return dialect.Left(d.left)
}

// each calls f with every record below resources: spans or log records.
func each(resources []*fastjson.Value, scopes, records string, f func(resource, record *fastjson.Value) error) error {
	for _, r := range resources {
		for _, s := range r.GetArray(scopes) {
			for _, record := range s.GetArray(records) {
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
	_ = each(resources, "scopeSpans", "spans", func(_, span *fastjson.Value) error {
		if id := dialect.Text(span.Get("spanId")); id != "" {
			d.spans[id] = span
		}
		return nil
	})
	return each(resources, "scopeSpans", "spans", func(resource, span *fastjson.Value) error {
		w := d.view(span.Get("attributes"))
		operation := dialect.Text(w.own(operationName))
		if !isInference(operation) && (operation != "" || w.own(requestModel()...) == nil) {
			return nil
		}
		parent := span
		for range maxAncestors {
			if parent = d.spans[dialect.Text(parent.Get("parentSpanId"))]; parent == nil {
				break
			}
			w.above = append(w.above, parent.Get("attributes"))
		}
		w.above = append(w.above, resource)
		return d.finish(w, span, "startTimeUnixNano", span.GetArray("events"), emit)
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
	err := each(resources, "scopeLogs", "logRecords", func(resource, record *fastjson.Value) error {
		switch eventName(record) {
		case eventDetails:
			w := d.view(record.Get("attributes"))
			w.above = append(w.above, resource)
			return d.finish(w, record, "timeUnixNano", nil, emit)
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
		err = d.finish(w, g.records[0], "timeUnixNano", g.records, emit)
	}
	return err
}

// eventName returns the name of a log record or of a span's event.
func eventName(record *fastjson.Value) string {
	for _, field := range []string{"eventName", "name"} {
		if s := dialect.Text(record.Get(field)); s != "" {
			return s
		}
	}
	for _, a := range record.GetArray("attributes") {
		if dialect.Text(a.Get("key")) == eventNameKey {
			return dialect.Text(a.Get("value", "stringValue"))
		}
	}
	return ""
}

func spanID(record *fastjson.Value) string {
	trace, span := dialect.Text(record.Get("traceId")), dialect.Text(record.Get("spanId"))
	if trace == "" || span == "" {
		return ""
	}
	return trace + "-" + span
}

// finish makes the exchange of an operation and emits it, or notes why it cannot.
func (d *Decoder) finish(w *view, record *fastjson.Value, clock string, events []*fastjson.Value, emit func(*dialect.Record) error) error {
	d.rec.Kind = dialect.KindExchange
	e := &d.rec.Exchange
	e.Reset()
	var missing string
	if e.ID = spanID(record); e.ID == "" {
		e.ID = dialect.Text(w.own(responseID))
	}
	nano, ok := dialect.Whole(record.Get(clock))
	if !ok || nano <= 0 {
		nano, ok = dialect.Whole(record.Get("observedTimeUnixNano"))
	}
	e.Account = scalar(w.any(userID()))
	switch {
	case e.ID == "":
		missing = "spanId"
	case !ok || nano <= 0:
		missing = clock
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
	if end, ok := dialect.Whole(record.Get("endTimeUnixNano")); ok && end > nano {
		e.Outcome.MS = float64(end-nano) / 1e6
	}
	if e.Outcome.Status == 0 && e.Outcome.Finish != "" {
		e.Outcome.Status = 200
	}
	return emit(&d.rec)
}
