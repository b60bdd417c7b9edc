package tap_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/palladium-guard/palladium"
	"github.com/palladium-guard/palladium/traffic/dialect"
	"github.com/palladium-guard/palladium/traffic/dialect/litellm"
	"github.com/palladium-guard/palladium/traffic/dialect/native"
	"github.com/palladium-guard/palladium/traffic/dialect/otlp"
	"github.com/palladium-guard/palladium/traffic/measure"
	"github.com/palladium-guard/palladium/traffic/tap"
)

// sink keeps what it is given, and fails where it is told to.
type sink struct {
	accounts []string
	ids      []uint64
	models   map[uint64]string
	named    map[uint64]bool // models that were named before they were observed
	flushed  int
	failAt   int // fail the n-th call of ObserveWait from now; 0 never
	flushErr error
}

func (s *sink) DescribeWait(_ context.Context, a *palladium.Account) error {
	s.accounts = append(s.accounts, a.ID+"/"+a.Plan)
	return nil
}

func (s *sink) ObserveWait(_ context.Context, o *palladium.Observation) error {
	if s.failAt > 0 {
		if s.failAt--; s.failAt == 0 {
			return errors.New("no room")
		}
	}
	if s.models[o.Model] != "" {
		s.named[o.Model] = true
	}
	s.ids = append(s.ids, o.ID)
	return nil
}

func (s *sink) NameModel(hash uint64, name string) { s.models[hash] = name }

func (s *sink) Flush(context.Context) error {
	if s.flushErr != nil {
		return s.flushErr
	}
	s.flushed = len(s.ids)
	return nil
}

func newSink() *sink { return &sink{models: map[uint64]string{}, named: map[uint64]bool{}} }

func meters() func(*palladium.Exchange, *palladium.Observation) {
	return measure.New([32]byte{1}, nil).Measure
}

func formats() []dialect.Format {
	return []dialect.Format{native.Format(), litellm.Format(), otlp.Format()}
}

func open(t testing.TB, s tap.Sink, o tap.Options) *tap.Intake {
	t.Helper()
	o.Formats, o.Measure, o.Sink = formats(), meters, s
	in, err := tap.New(o)
	if err != nil {
		t.Fatal(err)
	}
	return in
}

func exchange(id int) string {
	return fmt.Sprintf(`{"kind":"exchange","id":"x%d","time":"2026-03-01T10:00:00Z","account":"a%d","api":"openai.chat","model":"m%d","messages":[{"role":"user","content":"what is %d plus one"}]}`,
		id, id%7, id%3, id)
}

const account = `{"kind":"account","account":"acct-1","plan":"free"}`

func records(values ...string) (out []tap.Record) {
	for i, v := range values {
		out = append(out, tap.Record{Value: []byte(v), Source: "test", At: int64(i)})
	}
	return out
}

// Whatever form a record has, what it holds arrives, and what it does not hold is named.
func TestForms(t *testing.T) {
	const lite = `{"id":"l1","call_type":"acompletion","startTime":1772359200.0,"endTime":1772359201.0,"model":"gpt","status":"success","metadata":{"user_api_key_user_id":"u1","user_api_key_hash":"h"},"messages":[{"role":"user","content":"hi there"}],"response":{"choices":[{"message":{"content":"hello"}}]}}`
	const span = `{"resourceSpans":[{"scopeSpans":[{"spans":[{"traceId":"5b8efff798038103d269b633813fc60c","spanId":"eee19b7ec3c1b174","startTimeUnixNano":"1772359200000000000","endTimeUnixNano":"1772359201000000000","attributes":[{"key":"gen_ai.operation.name","value":{"stringValue":"chat"}},{"key":"gen_ai.request.model","value":{"stringValue":"gpt"}},{"key":"user.id","value":{"stringValue":"u2"}}]},{"traceId":"5b8efff798038103d269b633813fc60c","spanId":"eee19b7ec3c1b175","startTimeUnixNano":"1772359200000000000","attributes":[{"key":"gen_ai.operation.name","value":{"stringValue":"chat"}}]},{"traceId":"5b8efff798038103d269b633813fc60c","spanId":"eee19b7ec3c1b176","startTimeUnixNano":"1772359200000000000","attributes":[{"key":"gen_ai.operation.name","value":{"stringValue":"chat"}}]}]}]}]}`
	far := time.Now().Add(48 * time.Hour).UTC().Format(time.RFC3339)
	for name, c := range map[string]struct {
		value     string
		exchanges int64
		accounts  int64
		rejected  int64
		reason    string
	}{
		"one":              {exchange(1), 1, 0, 0, ""},
		"account":          {account, 0, 1, 0, ""},
		"lines":            {account + "\n" + exchange(1) + "\r\n\n" + exchange(2) + "\n", 2, 1, 0, ""},
		"spread over":      {strings.ReplaceAll(exchange(1), `,"`, ",\n\""), 1, 0, 0, ""},
		"litellm":          {lite, 1, 0, 0, ""},
		"otlp":             {span, 1, 0, 2, "user.id"},
		"one line broken":  {exchange(1) + "\n{\n" + exchange(2), 2, 0, 1, "JSON"},
		"no JSON":          {"\x00\x01", 0, 0, 1, "JSON"},
		"too long":         {strings.Repeat(" ", 5) + `{"a":"` + strings.Repeat("x", dialect.MaxLine) + `"}`, 0, 0, 1, "16 MiB"},
		"of 1999":          {strings.Replace(exchange(1), "2026", "1999", 1), 0, 0, 1, "2000"},
		"of the future":    {strings.Replace(exchange(1), "2026-03-01T10:00:00Z", far, 1), 0, 0, 1, "future"},
		"without an owner": {strings.Replace(exchange(1), `"account":"a1",`, "", 1), 0, 0, 1, "account"},
	} {
		s := newSink()
		got, reason, err := open(t, s, tap.Options{Workers: 1}).Take(t.Context(), records(c.value))
		want := tap.Taken{Exchanges: c.exchanges, Accounts: c.accounts, Rejected: c.rejected}
		if err != nil || got != want || !strings.Contains(reason, c.reason) || (c.reason == "") != (reason == "") {
			t.Errorf("%s: took %+v (%s), wanted %+v, reason with %q; error %v", name, got, reason, want, c.reason, err)
		}
		if s.flushed != int(c.exchanges) || len(s.named) != min(len(s.named), int(c.exchanges)) {
			t.Errorf("%s: %d kept, %d models named", name, s.flushed, len(s.named))
		}
	}
}

// The order of deliveries is that of the records, whatever the number of workers.
func TestOrder(t *testing.T) {
	var values []string
	for i := range 3000 {
		values = append(values, exchange(i))
	}
	var want []uint64
	for _, workers := range []int{1, 2, 7} {
		s := newSink()
		got, _, err := open(t, s, tap.Options{Workers: workers}).Take(t.Context(), records(values...))
		if err != nil || got.Exchanges != 3000 || len(s.models) != 3 || len(s.named) != 3 {
			t.Fatalf("took %+v, models %v: %v", got, s.models, err)
		}
		if want == nil {
			want = s.ids
		}
		for i := range want {
			if s.ids[i] != want[i] {
				t.Fatalf("with %d workers delivery %d differs", workers, i)
			}
		}
	}
}

// Whatever fails, giving the same records again delivers each exchange once.
func TestAgain(t *testing.T) {
	var values []string
	for i := range 200 {
		values = append(values, exchange(i))
	}
	all := records(append(values, "{")...)
	s := newSink()
	var told int
	in := open(t, s, tap.Options{Rejected: func(palladium.Reject) { told++ }})
	s.failAt = 150
	if _, _, err := in.Take(t.Context(), all); err == nil {
		t.Fatal("a full sink was not noticed")
	}
	s.flushErr = errors.New("disk full")
	if _, _, err := in.Take(t.Context(), all); err == nil || !strings.Contains(err.Error(), "disk full") {
		t.Fatalf("a sink that keeps nothing was not noticed: %v", err)
	}
	if in.Total() != (tap.Taken{}) || told != 0 {
		t.Fatalf("counted %+v, told of %d before anything was kept", in.Total(), told)
	}
	s.flushErr = nil
	if _, _, err := in.Take(t.Context(), all); err != nil {
		t.Fatal(err)
	}
	seen := map[uint64]int{}
	for _, id := range s.ids {
		seen[id]++
	}
	if len(seen) != 200 || len(s.ids) != 200 || s.flushed != 200 || told != 1 {
		t.Fatalf("%d ids, %d deliveries, %d kept, told %d", len(seen), len(s.ids), s.flushed, told)
	}
	cancelled, cancel := context.WithCancel(t.Context())
	cancel()
	if _, _, err := in.Take(cancelled, records(values...)); !errors.Is(err, context.Canceled) {
		t.Fatalf("an end was not noticed: %v", err)
	}
}

func TestOptions(t *testing.T) {
	whole := dialect.Format{Name: "binary", Whole: true, New: native.Format().New}
	for name, c := range map[string]struct {
		o    tap.Options
		want string
	}{
		"nothing":      {tap.Options{}, "needs formats"},
		"unknown":      {tap.Options{Formats: formats(), Measure: meters, Sink: newSink(), Dialect: "x"}, "choose one of native litellm otlp"},
		"none by look": {tap.Options{Formats: []dialect.Format{whole}, Measure: meters, Sink: newSink()}, "name a dialect"},
		"named":        {tap.Options{Formats: []dialect.Format{whole}, Measure: meters, Sink: newSink(), Dialect: "binary"}, ""},
	} {
		_, err := tap.New(c.o)
		if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func BenchmarkTake(b *testing.B) {
	var values []string
	for i := range 4096 {
		values = append(values, strings.Replace(exchange(i), "plus one", strings.Repeat("plus one and then some more words ", 40), 1))
	}
	all := records(values...)
	bytes := 0
	for _, v := range values {
		bytes += len(v)
	}
	b.SetBytes(int64(bytes))
	for b.Loop() {
		in := open(b, newSink(), tap.Options{})
		if _, _, err := in.Take(context.Background(), all); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.N)*4096/b.Elapsed().Seconds(), "exchanges/s")
}
