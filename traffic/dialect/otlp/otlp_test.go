package otlp

import (
	"errors"
	"fmt"
	"os"
	"reflect"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/palladium-guard/palladium"
	"github.com/palladium-guard/palladium/traffic/dialect"
)

const trace = "5b8efff798038103d269b633813fc60c-"

func sample(t testing.TB) []string {
	t.Helper()
	b, err := os.ReadFile("testdata/sample.jsonl")
	if err != nil {
		t.Fatal(err)
	}
	return strings.Split(strings.TrimSpace(string(b)), "\n")
}

// decode copies the exchanges so far that the tests can compare them; the decoder is not used again.
func decode(line string) ([]palladium.Exchange, error) {
	var all []palladium.Exchange
	err := new(Decoder).Decode([]byte(line), func(r *dialect.Record) error {
		e := r.Exchange
		e.Messages = nil
		for _, m := range r.Exchange.Messages {
			m.Text = strings.Clone(m.Text)
			m.Digest = m.Digest[:min(5, len(m.Digest))]
			e.Messages = append(e.Messages, m)
		}
		e.Tools = append([]string(nil), e.Tools...)
		e.Output, e.System = strings.Clone(e.Output), strings.Clone(e.System)
		e.Outcome.Finish = strings.Clone(e.Outcome.Finish)
		all = append(all, e)
		return nil
	})
	return all, err
}

func want(t *testing.T, line string, n int) []palladium.Exchange {
	t.Helper()
	all, err := decode(line)
	if err != nil || len(all) != n {
		t.Fatalf("got %d records, %v, want %d", len(all), err, n)
	}
	return all
}

func TestPresentConventions(t *testing.T) {
	e := want(t, sample(t)[0], 1)[0]
	p := palladium.HasTemperature | palladium.HasTopP | palladium.HasMaxTokens | palladium.HasN | palladium.HasSeed |
		palladium.HasStream | palladium.HasStop
	w := palladium.Exchange{ID: trace + "bbbbbbbbbbbbbbbb", Time: time.Date(2026, 5, 3, 12, 0, 0, 250e6, time.UTC),
		Account: "u-17", Credential: "s-9", API: "openai.chat", Model: "gpt-4", System: "Be brief.",
		Client: palladium.Client{IP: "203.0.113.9", UserAgent: "curl/8.5", TLS: "t13d"},
		Messages: []palladium.Message{{Role: "user", Text: "Weather in Paris?"}, {Role: "assistant", Digest: "xxh3:"},
			{Role: "tool", Digest: "xxh3:"}},
		Params: palladium.Params{Has: p, Temperature: 0.5, TopP: 1, MaxTokens: 200, N: 3, Seed: 100, Stream: true,
			Stop: []string{"forest", "lived"}},
		Tools: []string{"get_weather"}, Outcome: palladium.Outcome{Status: 200, Finish: "stop", MS: 2500, TTFTMS: 180},
		Usage: palladium.Usage{Input: 97, Output: 52, Reasoning: 12, Cached: 40}, Output: "It rains."}
	if !reflect.DeepEqual(e, w) {
		t.Errorf("\n got %+v\nwant %+v", e, w)
	}
}

func TestNumberedAttributes(t *testing.T) {
	e := want(t, sample(t)[1], 1)[0]
	m := []palladium.Message{{Role: "user", Text: "Hello"}, {Role: "user", Digest: "xxh3:"}, {Role: "assistant", Text: "Hi"}, {Role: "user", Text: "Last"}}
	if e.Account != "res-user" || e.API != "anthropic.messages" || e.System != "You are kind." || !reflect.DeepEqual(e.Messages, m) ||
		e.Output != "Yes?" || e.Outcome.Finish != "end_turn" || e.Outcome.Status != 200 || e.Usage.Input != 11 || e.Usage.Output != 5 ||
		e.Params.Has != palladium.HasStream || e.Tools[0] != "zoom" {
		t.Errorf("got %+v", e)
	}
}

func TestEvents(t *testing.T) {
	lines := sample(t)
	two := want(t, lines[2], 2)
	a, b := two[0], two[1]
	if a.ID != trace+"1111111111111111" || a.Account != "u-3" || a.System != "Be brief." || a.Output != "Because." ||
		a.Outcome.Finish != "stop" || !reflect.DeepEqual(a.Messages, []palladium.Message{{Role: "user", Text: "Why?"}}) {
		t.Errorf("got %+v", a)
	}
	if b.ID != trace+"2222222222222222" || b.Messages[0].Text != "Other" || b.Output != "" {
		t.Errorf("got %+v", b)
	}
	c := want(t, lines[3], 1)[0]
	if c.ID != "resp_1" || c.Account != "5" || c.API != "openai.responses" || c.Messages[0].Text != "One\nTwo" ||
		c.Output != "Three" || c.Outcome.Status != 429 || c.Outcome.Finish != "length" {
		t.Errorf("got %+v", c)
	}
	for i, e := range want(t, lines[4], 2) {
		if q, o := e.Messages[0].Text, e.Output; q+o != []string{"PC", "QA"}[i] {
			t.Errorf("got %+v", e)
		}
	}
}

func TestWhatIsLeftOut(t *testing.T) {
	span := `{"traceId":"t","spanId":"s","startTimeUnixNano":"1777809600000000000","attributes":[{"key":"gen_ai.request.model","value":{"stringValue":"m"}}]}`
	user := strings.Replace(span, `"attributes":[`, `"attributes":[{"key":"user.id","value":{"stringValue":"u"}},`, 1)
	in := func(spans ...string) string {
		return `{"resourceSpans":[{"scopeSpans":[{"spans":[` + strings.Join(spans, ",") + `]}]}]}`
	}
	for _, c := range []struct {
		line string
		n    int
		is   error
		says string
	}{
		{in(user), 1, nil, ""},
		{in(), 0, nil, ""},
		{in(`{"name":"GET /"}`, user), 1, nil, ""},
		{in(span), 0, dialect.ErrMissing, `"user.id"`},
		{in(span, user, span), 1, dialect.ErrMissing, "1 more"},
		{in(strings.Replace(user, `"spanId":"s",`, "", 1)), 0, dialect.ErrMissing, `"spanId"`},
		{in(strings.Replace(user, `"1777809600000000000"`, `"soon"`, 1)), 0, dialect.ErrMissing, `"startTimeUnixNano"`},
		{`{}`, 0, dialect.ErrMissing, "resourceSpans"},
		{`[]`, 0, dialect.ErrType, ""},
		{`{"resourceSpans":[`, 0, dialect.ErrSyntax, "at byte 18"},
		{"{\"resourceSpans\":\"\xff\"}", 0, dialect.ErrUTF8, "at byte 18"},
	} {
		all, err := decode(c.line)
		if len(all) != c.n || !errors.Is(err, c.is) || (err != nil && !strings.Contains(err.Error(), c.says)) {
			t.Errorf("%s: got %d records, %v", c.line, len(all), err)
		}
	}
	stop := errors.New("stop")
	if err := new(Decoder).Decode([]byte(in(user)), func(*dialect.Record) error { return stop }); !errors.Is(err, stop) {
		t.Errorf("emit's error came back as %v", err)
	}
}

// TestProtobufNames has the fields' names as in the protobuf definitions, 64-bit integers as numbers, and arrays.
func TestProtobufNames(t *testing.T) {
	told := func(line string) (all []string, err error) {
		err = new(Decoder).Decode([]byte(line), func(r *dialect.Record) error {
			all = append(all, fmt.Sprintf("%+v", r.Exchange))
			return nil
		})
		return all, err
	}
	key := regexp.MustCompile(`"[a-z]+(?:[A-Z][a-z]*)+":`)
	upper := regexp.MustCompile(`[A-Z]`)
	number := regexp.MustCompile(`"((?:int_value|[a-z_]*unix_nano)"): ?"(\d+)"`)
	for _, l := range sample(t) {
		want, err := told(l)
		if err != nil {
			t.Fatal(err)
		}
		l = key.ReplaceAllStringFunc(l, func(k string) string {
			return upper.ReplaceAllStringFunc(k, func(c string) string { return "_" + strings.ToLower(c) })
		})
		l = number.ReplaceAllString(l, `"$1:$2`)
		if !strings.Contains(l, "_unix_nano") || !Sniff([]byte(l)) {
			t.Fatalf("not rewritten: %s", l)
		}
		for line, times := range map[string]int{l: 1, "[" + l + "]": 1, "[" + l + `,{"resourceMetrics":[]},` + l + "]": 2} {
			got, err := told(line)
			if err != nil || len(got) != times*len(want) {
				t.Fatalf("%s: got %d records, want %d, %v", line, len(got), times*len(want), err)
			}
			for i := range got {
				if got[i] != want[i%len(want)] {
					t.Errorf("got %s, want %s", got[i], want[i%len(want)])
				}
			}
		}
	}
	if all, err := told(`{"resourceMetrics":[]}`); len(all) != 0 || err != nil {
		t.Errorf("metrics: %v, %v", all, err)
	}
}

func TestSniff(t *testing.T) {
	for _, l := range sample(t) {
		if !Sniff([]byte(l)) {
			t.Errorf("not known: %.60s", l)
		}
	}
	if Sniff([]byte(`{"kind":"exchange","id":"a"}`)) {
		t.Error("a native line is taken for an export request")
	}
}

func FuzzDecode(f *testing.F) {
	for _, l := range sample(f) {
		f.Add([]byte(l))
	}
	f.Fuzz(func(t *testing.T, line []byte) {
		d := new(Decoder)
		for range 2 {
			err := d.Decode(line, func(r *dialect.Record) error {
				if r.Kind != dialect.KindExchange || r.Exchange.ID == "" || r.Exchange.Account == "" || r.Exchange.Time.IsZero() {
					t.Fatalf("a record without required fields: %+v", r)
				}
				return nil
			})
			if err != nil && !dialect.IsReason(err) {
				t.Fatal(err)
			}
		}
	})
}

func BenchmarkDecode(b *testing.B) {
	line, d := []byte(sample(b)[0]), new(Decoder)
	b.SetBytes(int64(len(line)))
	b.ReportAllocs()
	for b.Loop() {
		if err := d.Decode(line, func(*dialect.Record) error { return nil }); err != nil {
			b.Fatal(err)
		}
	}
}
