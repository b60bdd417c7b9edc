package anthropic

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/palladium-guard/palladium"
	"github.com/palladium-guard/palladium/internal/wire"
	"github.com/palladium-guard/palladium/traffic/dialect"
)

// message is a stream with reasoning, text and a tool call.
func message() string {
	var b strings.Builder
	for _, e := range [][2]string{
		{"message_start", `"message":{"id":"msg_1","type":"message","role":"assistant","content":[],"model":"claude-x","stop_reason":null,"usage":{"input_tokens":10,"cache_creation_input_tokens":3,"cache_read_input_tokens":7,"output_tokens":1}}`},
		{"content_block_start", `"index":0,"content_block":{"type":"thinking","thinking":"","signature":""}`},
		{"ping", ""},
		{"content_block_delta", `"index":0,"delta":{"type":"thinking_delta","thinking":"Let me \"see\"."}`},
		{"content_block_delta", `"index":0,"delta":{"type":"signature_delta","signature":"Eq"}`},
		{"content_block_delta", `"index":0,"delta":{"type":"signature_delta","signature":"Xy+/="}`},
		{"content_block_stop", `"index":0`},
		{"content_block_start", `"index":1,"content_block":{"type":"text","text":""}`},
		{"content_block_delta", `"index":1,"delta":{"type":"text_delta","text":"Bonjour \u00e9 "}`},
		{"content_block_delta", `"index":1,"delta":{"type":"text_delta","text":"\"wörld\" 😀"}`},
		{"content_block_stop", `"index":1`},
		{"content_block_start", `"index":2,"content_block":{"type":"tool_use","id":"t","name":"f","input":{}}`},
		{"content_block_delta", `"index":2,"delta":{"type":"input_json_delta","partial_json":"{\"text\":1}"}`},
		{"a_new_event", `"delta":{"type":"new","new":"x"}`},
		{"message_delta", `"delta":{"stop_reason":"tool_use","stop_sequence":null},"usage":{"output_tokens":42}`},
		{"message_stop", ""},
	} {
		fmt.Fprintf(&b, "event: %s\ndata: {\"type\":\"%s\"", e[0], e[0])
		if e[1] != "" {
			b.WriteString("," + e[1])
		}
		b.WriteString("}\n\n")
	}
	return b.String()
}

func scan(stream bool, pieces ...string) *wire.Scanner {
	s := new(wire.Scanner)
	s.Reset(New().Answer(wire.Messages), stream, make([]byte, 0, 1<<16))
	for _, p := range pieces {
		s.Scan([]byte(p))
	}
	s.Close()
	return s
}

func TestStream(t *testing.T) {
	for name, in := range map[string]string{"line feeds": message(), "both": strings.ReplaceAll(message(), "\n", "\r\n"), "carriage returns": strings.ReplaceAll(message(), "\n", "\r")} {
		s := scan(true, in)
		if want := (palladium.Usage{Input: 20, Output: 42, Cached: 7}); s.Usage != want || !s.HasUsage {
			t.Errorf("%s: usage is %+v", name, s.Usage)
		}
		if s.Events != 16 || s.Deltas != 4 || s.Reasoning != 1 || !s.Ended || s.Failed || !s.Finish.Is("tool_use") || s.Unread != 0 {
			t.Errorf("%s: got %+v", name, s.Tally)
		}
		if s.Answer() != "Bonjour é \"wörld\" 😀" || s.SealsN == 0 {
			t.Errorf("%s: answer is %q, %d seals", name, s.Answer(), s.SealsN)
		}
	}
	if s := scan(true, strings.TrimSuffix(message(), "event: message_stop\ndata: {\"type\":\"message_stop\"}\n\n")); s.Ended {
		t.Error("a stream that was cut counts as ended")
	}
	s := scan(true, "event: error\ndata: {\"type\":\"error\",\"error\":{\"type\":\"overloaded_error\",\"message\":\"m\"}}\n\n")
	if !s.Failed || s.Ended || !s.Fault.Is("overloaded_error") {
		t.Errorf("got %+v", s.Tally)
	}
}

func TestUnary(t *testing.T) {
	s := scan(false, `{"id":"m","type":"message","content":[{"type":"thinking","thinking":"hm","signature":"S1"},{"type":"text","text":"one "},{"type":"tool_use","input":{"text":"no","thinking":"no"}},{"type":"text","text":"two"}],"stop_reason":"end_turn","usage":{"input_tokens":5,"output_tokens":6}}`)
	if s.Answer() != "one two" || s.Usage != (palladium.Usage{Input: 5, Output: 6}) || !s.Finish.Is("end_turn") || !s.Ended || s.SealsN != 1 {
		t.Errorf("got %q %+v", s.Answer(), s.Tally)
	}
	if s := scan(false, `{"input_tokens":9}`); s.Unread != 0 {
		t.Error("a count of tokens cannot be read")
	}
}

func TestRead(t *testing.T) {
	d := New()
	var r wire.Request
	body := `{"model":"claude-x","max_tokens":100,"stream":true,"thinking":{"type":"enabled","budget_tokens":50},"system":"S","messages":[
		{"role":"user","content":"one"},
		{"role":"assistant","content":[{"type":"thinking","thinking":"hm","signature":"S1"},{"type":"redacted_thinking","data":"D1"},{"type":"tool_use","id":"t","name":"f","input":{}}]},
		{"role":"user","content":[{"type":"tool_result","tool_use_id":"t","content":"x"}]},
		{"role":"assistant","content":[{"type":"text","text":"{\"a\":"}]}]}`
	if err := d.Read(&r, wire.Messages, []byte(body)); err != nil {
		t.Fatal(err)
	}
	var asks []string
	for _, a := range r.Asks {
		asks = append(asks, fmt.Sprintf("%s:%d", a.Feature, a.Count))
	}
	if got := strings.Join(asks, " "); got != "reasoning:1 prior_reasoning:1 prior_reasoning:1 prefill:7" {
		t.Errorf("asks for %s", got)
	}
	one := wire.Hash(wire.HashStart, []byte("one"))
	if r.Model != "claude-x" || !r.Stream || r.MaxTokens != 100 || len(r.Seals) != 2 || r.Seals[0].Context != one || r.Context != one ||
		r.Seals[0].Hash != wire.Hash(wire.HashStart, []byte("S1")) {
		t.Errorf("got %+v", r)
	}
	var p wire.Patch
	if d.WantUsage(&p, &r) || !p.Empty() {
		t.Error("usage was asked for")
	}
	var e palladium.Exchange
	if err := d.Fill(&e, &r, scan(true, message())); err != nil || e.API != "anthropic.messages" || e.System != "S" || e.Params.MaxTokens != 100 ||
		e.Params.Has&palladium.HasReasoning == 0 || e.Messages[0].Text != "one" || e.Usage.Output != 42 || !strings.HasPrefix(e.Output, "Bonjour") {
		t.Errorf("got %+v, %v", e, err)
	}
	for body, want := range map[string]error{
		`{"messages":[]}`:                              dialect.ErrMissing,
		`{"model":"m","messages":"x"}`:                 wire.ErrType,
		`{"model":1}`:                                  wire.ErrType,
		`{"model":"m","max_tokens":"9"}`:               wire.ErrType,
		`{"model":"m","Max_Tokens":9}`:                 wire.ErrSpelling,
		`{"model":"m","thinking":{"type":1,"type":2}}`: wire.ErrDuplicate,
	} {
		if err := d.Read(&r, wire.Messages, []byte(body)); !errors.Is(err, want) {
			t.Errorf("%s: got %v, want %v", body, err, want)
		}
	}
	if err := d.Read(&r, wire.Messages, []byte(`{"model":"m","thinking":{"type":"disabled"},"messages":[{"role":"user","content":"x"}]}`)); err != nil || len(r.Asks) != 0 {
		t.Errorf("asks for %+v, %v", r.Asks, err)
	}
}

func TestRefuse(t *testing.T) {
	r := &wire.Refusal{Status: 403, Code: "verdict.suspend", Message: "The account is suspended.", RequestID: "req_1", Appeal: "https://example.org/a"}
	const body = `{"type":"error","error":{"type":"permission_error","message":"The account is suspended. To appeal: https://example.org/a. Request id: req_1.","code":"verdict.suspend"},"request_id":"req_1"}`
	d := New()
	if got := string(d.Refuse(nil, r)); got != body {
		t.Errorf("got %s", got)
	}
	ev := string(d.RefuseEvent(nil, wire.Messages, r, 0))
	if ev != "event: error\ndata: "+body+"\n\n" {
		t.Errorf("got %s", ev)
	}
	if s := scan(true, ev); !s.Failed || s.Ended || !s.Fault.Is("permission_error") {
		t.Errorf("got %+v", s.Tally)
	}
	for status, want := range map[int]string{400: "invalid_request_error", 401: "authentication_error", 402: "billing_error", 404: "not_found_error",
		413: "request_too_large", 429: "rate_limit_error", 500: "api_error", 503: "overloaded_error", 504: "timeout_error", 529: "overloaded_error"} {
		if kind(status) != want {
			t.Errorf("%d is %s", status, kind(status))
		}
	}
}

func TestRedact(t *testing.T) {
	rd := wire.Redaction{Reasoning: true}
	in := `{"content":[{"type":"thinking","thinking":"secret","signature":"S"},{"type":"tool_use","input":{"thinking":"mine"}},{"type":"text","text":"\"thinking\""}]}`
	want := `{"content":[{"type":"thinking","thinking":"","signature":"S"},{"type":"tool_use","input":{"thinking":"mine"}},{"type":"text","text":"\"thinking\""}]}`
	if got, err := New().Redact(nil, []byte(in), wire.Messages, rd); err != nil || string(got) != want {
		t.Errorf("got %s, %v", got, err)
	}
	for _, n := range []int{1, 13, 1 << 16} {
		var ed wire.Editor
		ed.Reset(New(), wire.Messages, rd)
		var out []byte
		var err error
		for at, in := 0, message(); at < len(in); at += n {
			if out, err = ed.Write(out, []byte(in[at:min(at+n, len(in))])); err != nil {
				t.Fatal(err)
			}
		}
		out = ed.Close(out)
		want := strings.Replace(message(), "event: content_block_delta\ndata: {\"type\":\"content_block_delta\",\"index\":0,\"delta\":{\"type\":\"thinking_delta\",\"thinking\":\"Let me \\\"see\\\".\"}}\n\n", "", 1)
		if string(out) != want {
			t.Errorf("got %s", out)
		}
	}
	if got, _ := New().Redact(nil, []byte(in), wire.Messages, wire.Redaction{Reasoning: true, Summaries: true}); string(got) != in {
		t.Error("a summary was taken away")
	}
	if _, err := New().Redact(nil, []byte(`{"thinking`), wire.Messages, rd); !errors.Is(err, wire.ErrAnswer) {
		t.Errorf("got %v", err)
	}
}

func FuzzScan(f *testing.F) {
	for i, ev := range strings.SplitAfter(message(), "\n\n") {
		f.Add([]byte(ev), int64(i))
		f.Add([]byte(strings.ReplaceAll(ev, "\n", "\r")), int64(i))
	}
	f.Fuzz(func(t *testing.T, stream []byte, seed int64) {
		show := func(s *wire.Scanner) string { return fmt.Sprintf("%+v %v %q", s.Tally, s.AtBoundary(), s.Answer()) }
		whole := show(scan(true, string(stream)))
		var pieces []string
		for at, x := 0, uint64(seed); at < len(stream); {
			x = x*6364136223846793005 + 1442695040888963407
			n := min(1+int(x>>33)%9, len(stream)-at)
			pieces = append(pieces, string(stream[at:at+n]))
			at += n
		}
		if got := show(scan(true, pieces...)); got != whole {
			t.Fatalf("in pieces %s\nas a whole %s", got, whole)
		}
		again := bytes.Repeat(stream, 3) // what is the same but for its text is not read again
		var got [2]string
		for i, form := range []*wire.Form{nil, new(wire.Form)} {
			var s wire.Scanner
			s.Reset(New().Answer(wire.Messages), true, make([]byte, 0, 1<<10))
			s.Learn(form)
			s.Scan(again)
			s.Close()
			got[i] = show(&s)
		}
		if got[0] != got[1] {
			t.Fatalf("plain %s\nby form %s", got[0], got[1])
		}
	})
}

func FuzzRead(f *testing.F) {
	f.Add([]byte(`{"model":"m","thinking":{"type":"enabled"},"messages":[{"role":"assistant","content":[{"type":"thinking","thinking":"x","signature":"y"},{"type":"text","text":"z"}]}]}`))
	d := New()
	var r wire.Request
	f.Fuzz(func(t *testing.T, body []byte) {
		if d.Read(&r, wire.Messages, body) != nil {
			return
		}
		for _, a := range r.Asks {
			if a.Member >= len(r.Members) || a.Value.End > len(body) || a.Value.Len() <= 0 {
				t.Fatalf("an ask out of place: %+v", a)
			}
		}
		var e palladium.Exchange
		if err := d.Fill(&e, &r, nil); err != nil {
			t.Fatal(err)
		}
	})
}

func TestScanAllocatesNothing(t *testing.T) {
	stream, s, m := []byte(message()), new(wire.Scanner), New().Answer(wire.Messages)
	s.Reset(m, true, make([]byte, 0, 4096))
	if n := testing.AllocsPerRun(100, func() { s.Text, s.Mark = s.Text[:0], 0; s.Scan(stream) }); n != 0 {
		t.Errorf("%v allocations a stream", n)
	}
}

func BenchmarkScanEvent(b *testing.B) {
	event := []byte("event: content_block_delta\ndata: {\"type\":\"content_block_delta\",\"index\":0,\"delta\":{\"type\":\"text_delta\",\"text\":\" token\"}}\n\n")
	s := new(wire.Scanner)
	s.Reset(New().Answer(wire.Messages), true, nil)
	b.ReportAllocs()
	for b.Loop() {
		s.Scan(event)
	}
}
