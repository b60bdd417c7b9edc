package litellm

import (
	"errors"
	"os"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/palladium-guard/palladium"
	"github.com/palladium-guard/palladium/traffic/dialect"
)

func sample(t testing.TB) []string {
	t.Helper()
	b, err := os.ReadFile("testdata/sample.jsonl")
	if err != nil {
		t.Fatal(err)
	}
	return strings.Split(strings.TrimSpace(string(b)), "\n")
}

// decode decodes one line with a fresh decoder, whose memory nobody reuses.
func decode(line string) ([]palladium.Exchange, error) {
	var all []palladium.Exchange
	err := new(Decoder).Decode([]byte(line), func(r *dialect.Record) error {
		e := r.Exchange
		e.Messages = append([]palladium.Message(nil), e.Messages...)
		all = append(all, e)
		return nil
	})
	return all, err
}

func one(t *testing.T, line string) palladium.Exchange {
	t.Helper()
	all, err := decode(line)
	if err != nil || len(all) != 1 {
		t.Fatalf("got %d records, %v", len(all), err)
	}
	return all[0]
}

func TestChat(t *testing.T) {
	e := one(t, sample(t)[0])
	for i, m := range e.Messages {
		if m.Digest != "" {
			e.Messages[i].Digest = m.Digest[:5]
		}
	}
	want := palladium.Exchange{ID: "chatcmpl-9f1", Time: time.Date(2026, 5, 3, 12, 0, 0, 250e6, time.UTC), Account: "u-17",
		Credential: "88dc28d0", API: "openai.chat", Model: "gpt-4o", System: "Be brief.",
		Client: palladium.Client{IP: "203.0.113.9", UserAgent: "OpenAI/Python 1.30.1"},
		Messages: []palladium.Message{{Role: "user", Text: "What is in\nthis picture?"}, {Role: "user", Digest: "xxh3:"},
			{Role: "assistant"}, {Role: "assistant", Digest: "xxh3:"}, {Role: "tool", Text: "A \"cat\"\n"}},
		Params: palladium.Params{Has: palladium.HasStop<<1 - 1, Temperature: 0.2, TopP: 1, MaxTokens: 512, N: 2, Seed: 7,
			Logprobs: true, TopLogprobs: 5, LogitBias: []palladium.TokenBias{{Token: 1734, Bias: -100}}, Reasoning: "low",
			Stream: true, Stop: []string{"END"}},
		Tools: []string{"zoom", "crop"}, Outcome: palladium.Outcome{Status: 200, Finish: "stop", MS: 2500, TTFTMS: 250},
		Usage: palladium.Usage{Input: 30, Output: 300, Reasoning: 64, Cached: 8}, Output: "A cat."}
	if !reflect.DeepEqual(e, want) {
		t.Errorf("\n got %+v\nwant %+v", e, want)
	}
}

func TestFailureWithoutText(t *testing.T) {
	e := one(t, sample(t)[1])
	if e.Account != "customer-4" || e.Credential != "99aa" || e.API != "anthropic.messages" || e.Model != "claude-x" ||
		e.System != "You are kind." || e.Outcome.Status != 429 || e.Client.UserAgent != "curl/8.5" ||
		!reflect.DeepEqual(e.Messages, []palladium.Message{{Role: "user"}}) ||
		e.Params.Reasoning != `{"type":"enabled","budget_tokens":2048}` || e.Params.MaxTokens != 1024 ||
		!reflect.DeepEqual(e.Params.Stop, []string{"\n\nHuman:"}) {
		t.Errorf("got %+v", e)
	}
}

func TestEmbedding(t *testing.T) {
	e := one(t, sample(t)[2])
	if e.Account != "99aa" || e.API != "openai.embeddings" || len(e.Messages) != 2 || e.Messages[1].Text != "two" ||
		e.Output != "" || !e.Time.Equal(time.Date(2026, 5, 3, 12, 3, 20, 500e6, time.UTC)) {
		t.Errorf("got %+v", e)
	}
}

func TestAccountAndAnswer(t *testing.T) {
	const head = `{"id":"a","startTime":1777809600,"metadata":{"user_api_key_hash":"h"`
	for _, c := range []struct{ line, account, output string }{
		{head + `,"user_api_key_user_id":"u"},"end_user":"e"}`, "u", ""},
		{head + `},"end_user":"e","response":"hi"}`, "e", "hi"},
		{head + `,"user_api_key_end_user_id":"f"},"response":{"choices":[{"text":"t"}]}}`, "f", "t"},
		{head + `},"response":{"content":[{"type":"text","text":"a"},{"type":"text","text":"b"}]}}`, "h", "a\nb"},
		{head + `},"response":{"output":[{"type":"reasoning","content":[]},{"type":"message","content":[{"type":"output_text","text":"r"}]}]}}`, "h", "r"},
		{`{"kwargs":1,"standard_logging_object":` + head + `}}}`, "h", ""},
	} {
		if e := one(t, c.line); e.Account != c.account || e.Output != c.output {
			t.Errorf("%s: got %q and %q", c.line, e.Account, e.Output)
		}
	}
}

func TestRejects(t *testing.T) {
	for line, want := range map[string]error{
		`{`:                             dialect.ErrSyntax,
		`7`:                             dialect.ErrType,
		`{}`:                            dialect.ErrMissing,
		"{\"id\":\"\xfe\"}":             dialect.ErrUTF8,
		`{"id":"a"}`:                    dialect.ErrMissing,
		`{"id":"a","startTime":"soon"}`: dialect.ErrType,
		`{"id":"a","startTime":-1}`:     dialect.ErrType,
		`{"id":"a","startTime":1}`:      dialect.ErrMissing,
		strings.Repeat("[", 1000) + strings.Repeat("]", 1000): dialect.ErrSyntax,
	} {
		if all, err := decode(line); !errors.Is(err, want) || len(all) != 0 {
			t.Errorf("%.40s: got %v, want %v", line, err, want)
		}
	}
	_, err := decode(`{"id": sk-secret}`)
	if err == nil || strings.Contains(err.Error(), "secret") || !strings.Contains(err.Error(), "at byte 8") {
		t.Errorf("got %v", err)
	}
	lines := sample(t)
	all, err := decode("[" + lines[0] + `,{"id":"bad"},` + lines[1] + ",5]")
	if len(all) != 2 || err == nil || !strings.Contains(err.Error(), "1 more") {
		t.Errorf("got %d records of an array, %v", len(all), err)
	}
}

// TestShapes are the places and spellings in which payloads have been seen.
func TestShapes(t *testing.T) {
	in := func(start string) string {
		return `{"id":"a","call_type":"acompletion","startTime":` + start + `,"metadata":{"user_api_key_hash":"h","user_api_key_user_id":"u"}}`
	}
	row := `{"request_id":"a","call_type":"acompletion","startTime":"2026-05-03T12:00:00.25Z","user":"u","metadata":{"user_api_key":"h"}}`
	for _, line := range []string{in("1777809600.25"), in("1777809600250"), in("1777809600250000000"), in(`"1777809600.25"`),
		in(`"2026-05-03 12:00:00.25"`), in(`"2026-05-03T12:00:00.250000"`), in(`"2026-05-03 14:00:00.25+02:00"`), in(`"2026-05-03T12:00:00.25z"`),
		"[" + in("1777809600.25") + "]", `{"level":"info","standard_logging_object":` + in("1777809600.25") + "}",
		`{"kwargs":{"standard_logging_object":` + in("1777809600.25") + "}}", row} {
		e := one(t, line)
		if e.ID != "a" || e.Account != "u" || e.Credential != "h" || e.Time.UnixMilli() != 1777809600250 || !Sniff([]byte(line)) {
			t.Errorf("%s: got %+v", line, e)
		}
	}
}

func TestSniff(t *testing.T) {
	for _, l := range sample(t) {
		if !Sniff([]byte(l)) {
			t.Errorf("not known: %.60s", l)
		}
	}
	if Sniff([]byte(`{"kind":"exchange","id":"a"}`)) {
		t.Error("a native line is taken for a payload")
	}
}

func FuzzDecode(f *testing.F) {
	for _, l := range sample(f) {
		f.Add([]byte(l))
	}
	f.Add([]byte(`[{"id":"a","startTime":1e9,"end_user":"e","messages":[[],{},1,"x",{"role":"user","content":[1,{"type":"text"}]}]}]`))
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
