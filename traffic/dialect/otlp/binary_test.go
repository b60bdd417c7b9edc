package otlp

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"go.opentelemetry.io/collector/pdata/plog/plogotlp"
	"go.opentelemetry.io/collector/pdata/ptrace/ptraceotlp"

	"github.com/palladium-guard/palladium/traffic/dialect"
)

const binarySpans = `{"resourceSpans":[{"resource":{"attributes":[{"key":"client.address","value":{"stringValue":"192.0.2.1"}}]},"scopeSpans":[{"spans":[{"traceId":"5b8efff798038103d269b633813fc60c","spanId":"eee19b7ec3c1b174","startTimeUnixNano":"1772359200000000000","endTimeUnixNano":"1772359201000000000","attributes":[{"key":"gen_ai.operation.name","value":{"stringValue":"chat"}},{"key":"gen_ai.usage.output_tokens","value":{"intValue":"12"}},{"key":"gen_ai.request.temperature","value":{"doubleValue":0.5}},{"key":"gen_ai.input.messages","value":{"arrayValue":{"values":[{"kvlistValue":{"values":[{"key":"role","value":{"stringValue":"user"}},{"key":"content","value":{"stringValue":"why? "}}]}}]}}},{"key":"user.id","value":{"stringValue":"u2"}}]},{"traceId":"5b8efff798038103d269b633813fc60c","spanId":"eee19b7ec3c1b175","startTimeUnixNano":"1","attributes":[{"key":"gen_ai.operation.name","value":{"stringValue":"chat"}}]}]}]}]}`
const binaryLogs = `{"resourceLogs":[{"scopeLogs":[{"logRecords":[{"timeUnixNano":"1772359200000000000","eventName":"gen_ai.client.inference.operation.details","traceId":"5b8efff798038103d269b633813fc60c","spanId":"eee19b7ec3c1b174","attributes":[{"key":"gen_ai.operation.name","value":{"stringValue":"chat"}},{"key":"user.id","value":{"stringValue":"u2"}}]}]}]}]}`

func decodeAll(t testing.TB, f dialect.Format, value []byte) (out []string) {
	t.Helper()
	err := f.New().Decode(value, func(r *dialect.Record) error {
		out = append(out, fmt.Sprintf("%+v", r.Exchange))
		return nil
	})
	if err != nil {
		if !dialect.IsReason(err) {
			t.Errorf("%v is no reason", err)
		}
		out = append(out, err.Error())
	}
	return out
}

// A request says the same in both of its forms.
func TestBinarySame(t *testing.T) {
	traces, records := ptraceotlp.NewExportRequest(), plogotlp.NewExportRequest()
	if err := errors.Join(traces.UnmarshalJSON([]byte(binarySpans)), records.UnmarshalJSON([]byte(binaryLogs))); err != nil {
		t.Fatal(err)
	}
	a, err := traces.MarshalProto()
	if err != nil {
		t.Fatal(err)
	}
	b, err := records.MarshalProto()
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		f      dialect.Format
		json   string
		binary []byte
		n      int
	}{{Spans(), binarySpans, a, 2}, {Logs(), binaryLogs, b, 1}} {
		got, want := decodeAll(t, c.f, c.binary), decodeAll(t, Format(), []byte(c.json))
		if len(want) != c.n || strings.Join(got, "\n") != strings.Join(want, "\n") {
			t.Errorf("%s: %q, in JSON %q", c.f.Name, got, want)
		}
		if got := decodeAll(t, c.f, []byte("\xff{canary")); len(got) != 1 || strings.Contains(got[0], "canary") {
			t.Errorf("%s: %q", c.f.Name, got)
		}
	}
}

func FuzzBinary(f *testing.F) {
	r := ptraceotlp.NewExportRequest()
	_ = r.UnmarshalJSON([]byte(binarySpans))
	b, _ := r.MarshalProto()
	f.Add(b)
	f.Fuzz(func(t *testing.T, b []byte) {
		decodeAll(t, Spans(), b)
		decodeAll(t, Logs(), b)
	})
}
