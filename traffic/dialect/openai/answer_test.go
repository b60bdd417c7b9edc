package openai

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	"github.com/palladium-guard/palladium"
	"github.com/palladium-guard/palladium/internal/wire"
)

// chat is a stream of chat completions: text, reasoning, a tool call, a second answer, usage.
func chat() string {
	var b strings.Builder
	for _, data := range []string{
		`{"id":"c1","object":"chat.completion.chunk","choices":[{"index":0,"delta":{"role":"assistant","content":""},"logprobs":null,"finish_reason":null}],"usage":null}`,
		`{"id":"c1","choices":[{"index":0,"delta":{"reasoning_content":"Let me \"think\"."},"finish_reason":null}]}`,
		`{"id":"c1","choices":[{"index":0,"delta":{"content":"Hé\"llo\\ \u00e9"},"logprobs":{"content":[{"token":"x","logprob":-0.1,"bytes":[1],"top_logprobs":[]}],"refusal":null},"finish_reason":null}]}`,
		`{"id":"c1","choices":[{"index":1,"delta":{"content":"other"},"finish_reason":null}]}`,
		`{"id":"c1","choices":[{"index":0,"delta":{"content":" wörld 😀"},"finish_reason":null}]}`,
		`{"id":"c1","choices":[{"index":0,"delta":{"tool_calls":[{"index":0,"id":"t","type":"function","function":{"name":"f","arguments":"{\"content\":\"no\"}"}}]},"finish_reason":null}]}`,
		`{"id":"c1","choices":[{"index":0,"delta":{},"finish_reason":"tool_calls"}]}`,
		`{"id":"c1","choices":[],"usage":{"prompt_tokens":12,"completion_tokens":34,"total_tokens":46,"prompt_tokens_details":{"cached_tokens":8},"completion_tokens_details":{"reasoning_tokens":5}}}`,
		`[DONE]`,
	} {
		fmt.Fprintf(&b, "data: %s\n\n", data)
	}
	return b.String()
}

// answers is a stream of the responses API.
func answers() string {
	var b strings.Builder
	for i, e := range [][2]string{
		{"response.created", `"response":{"id":"r","status":"in_progress","output":[],"usage":null}`},
		{"response.output_item.added", `"output_index":0,"item":{"id":"rs","type":"reasoning","summary":[],"encrypted_content":"half"}`},
		{"response.reasoning_summary_part.added", `"part":{"type":"summary_text","text":""}`},
		{"response.reasoning_summary_text.delta", `"delta":"I think"`},
		{"response.reasoning_text.delta", `"delta":"raw"`},
		{"response.output_item.done", `"item":{"id":"rs","type":"reasoning","summary":[{"type":"summary_text","text":"I think"}],"content":[{"type":"reasoning_text","text":"raw"}],"encrypted_content":"gAAA"}`},
		{"response.content_part.added", `"part":{"type":"output_text","text":"","annotations":[],"logprobs":[]}`},
		{"response.output_text.delta", `"delta":"One ","logprobs":[{"token":"One","logprob":-1,"top_logprobs":[]}]`},
		{"response.output_text.delta", `"delta":"two","logprobs":[]`},
		{"response.content_part.done", `"part":{"type":"output_text","text":"One two","logprobs":[{"token":"One","logprob":-1}]}`},
		{"response.function_call_arguments.delta", `"delta":"{}"`},
		{"response.completed", `"response":{"id":"r","status":"completed","reasoning":{"effort":"low","summary":"auto"},"output":[{"type":"reasoning","summary":[{"type":"summary_text","text":"I think"}],"encrypted_content":"gAAA","content":[{"type":"reasoning_text","text":"raw"}]},{"type":"message","content":[{"type":"output_text","text":"One two","logprobs":[{"token":"One","logprob":-1}]}]}],"usage":{"input_tokens":3,"input_tokens_details":{"cached_tokens":1},"output_tokens":9,"output_tokens_details":{"reasoning_tokens":4},"total_tokens":12}}`},
	} {
		// Some servers write the type last.
		fmt.Fprintf(&b, "event: %s\ndata: {%s,\"sequence_number\":%d,\"type\":\"%s\"}\n\n", e[0], e[1], i, e[0])
	}
	return b.String()
}

// scan follows a stream that comes in the given pieces.
func scan(e wire.Endpoint, stream bool, pieces ...string) *wire.Scanner {
	s := new(wire.Scanner)
	s.Reset(New().Answer(e), stream, make([]byte, 0, 1<<16))
	for _, p := range pieces {
		s.Scan([]byte(p))
	}
	s.Close()
	return s
}

// shown is what of a scanner has to be the same in whatever pieces the bytes come.
func shown(s *wire.Scanner) string {
	return fmt.Sprintf("%+v %v %s %s %q %v", s.Tally, s.AtBoundary(), s.Finish.String(), s.Fault.String(), s.Answer(), s.SealsN)
}

func TestChatStream(t *testing.T) {
	s := scan(wire.Chat, true, chat())
	if want := (palladium.Usage{Input: 12, Output: 34, Reasoning: 5, Cached: 8}); s.Usage != want || !s.HasUsage {
		t.Errorf("usage is %+v", s.Usage)
	}
	if s.Events != 9 || s.Deltas != 5 || s.Reasoning != 1 || s.Unread != 0 || !s.Ended || s.Failed || !s.Finish.Is("tool_calls") {
		t.Errorf("got %+v", s.Tally)
	}
	if s.Answer() != "Hé\"llo\\ é wörld 😀" {
		t.Errorf("answer is %q", s.Answer())
	}
}

func TestResponsesStream(t *testing.T) {
	for name, stream := range map[string]string{"named": answers(), "unnamed": strings.ReplaceAll(answers(), "event: ", "id: ")} {
		s := scan(wire.Responses, true, stream)
		if want := (palladium.Usage{Input: 3, Output: 9, Reasoning: 4, Cached: 1}); s.Usage != want {
			t.Errorf("%s: usage is %+v", name, s.Usage)
		}
		if s.Events != 12 || s.Deltas != 5 || s.Reasoning != 2 || !s.Ended || s.Failed || !s.Finish.Is("completed") || s.Sequence != 11 {
			t.Errorf("%s: got %+v, finish %s", name, s.Tally, s.Finish.String())
		}
		if s.Answer() != "One two" {
			t.Errorf("%s: answer is %q", name, s.Answer())
		}
		if name == "named" && (s.SealsN != 1 || s.Seals[0] != wire.Hash(wire.HashStart, []byte("gAAA"))) {
			t.Errorf("%s: %d seals", name, s.SealsN)
		}
	}
}

func TestUnary(t *testing.T) {
	for _, c := range []struct {
		e          wire.Endpoint
		body, text string
		usage      palladium.Usage
		finish     string
	}{
		{wire.Chat, `{"choices":[{"index":0,"message":{"role":"assistant","content":"Hi \"you\"","reasoning":"r"},"finish_reason":"stop"},
			{"index":1,"message":{"content":"no"}}],"usage":{"prompt_tokens":1,"completion_tokens":2}}`, `Hi "you"`, palladium.Usage{Input: 1, Output: 2}, "stop"},
		{wire.Chat, `{"choices":[{"message":{"content":[{"type":"text","text":"in parts"}]}}]}`, "in parts", palladium.Usage{}, ""},
		{wire.Completions, `{"choices":[{"text":"abc","index":0,"logprobs":{"text":"no"},"finish_reason":"length"}],"usage":{"prompt_tokens":7,"completion_tokens":1}}`, "abc", palladium.Usage{Input: 7, Output: 1}, "length"},
		{wire.Responses, `{"status":"incomplete","incomplete_details":{"reason":"max_output_tokens"},"output":[{"type":"reasoning","content":[{"text":"raw","type":"reasoning_text"}]},
			{"type":"message","content":[{"type":"output_text","text":"yes"}]}],"usage":{"input_tokens":4,"output_tokens":5}}`, "yes", palladium.Usage{Input: 4, Output: 5}, "max_output_tokens"},
		{wire.Embeddings, `{"data":[{"embedding":[0.1,0.2],"index":0}],"usage":{"prompt_tokens":9,"total_tokens":9}}`, "", palladium.Usage{Input: 9}, ""},
	} {
		s := scan(c.e, false, c.body)
		if s.Answer() != c.text || s.Usage != c.usage || !s.Finish.Is(c.finish) || !s.Ended || s.Unread != 0 {
			t.Errorf("%s: got %q %+v %s %+v", c.e, s.Answer(), s.Usage, s.Finish.String(), s.Tally)
		}
	}
	if s := scan(wire.Chat, false, `{"choices":[{"mess`); s.Ended || s.Unread != 1 {
		t.Error("a body that is cut counts as whole")
	}
	if s := scan(wire.Chat, false, `<html>`); s.Ended || s.Unread != 1 {
		t.Error("a page counts as an answer")
	}
}

func TestStreamEnds(t *testing.T) {
	event := "data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"a\"}}]}\n\n"
	for _, c := range []struct {
		name, stream                   string
		e                              wire.Endpoint
		events, deltas, unread, bounds int
		ended, failed                  bool
	}{
		{"cut between events", event, wire.Chat, 1, 1, 0, 1, false, false},
		{"cut within an event", event + event[:20], wire.Chat, 1, 1, 0, 0, false, false},
		{"marker without a line end", event + "data: [DONE]", wire.Chat, 1, 1, 0, 0, true, false},
		{"marker without a space", event + "data:[DONE]\n\n", wire.Chat, 2, 1, 0, 1, true, false},
		{"something like the marker", event + "data: [DONE]x\n\ndata: [DO\n\n", wire.Chat, 3, 1, 2, 1, false, false},
		{"error", event + "data: {\"error\":{\"message\":\"m\",\"type\":\"server_error\",\"code\":null}}\n\n", wire.Chat, 2, 1, 0, 1, false, true},
		{"error as text", "data: {\"error\":\"boom\"}\n\n", wire.Chat, 1, 0, 0, 1, false, true},
		{"no error", "data: {\"error\":null,\"choices\":[]}\n\n", wire.Chat, 1, 0, 0, 1, false, false},
		{"error of responses", "event: error\ndata: {\"type\":\"error\",\"code\":\"x\",\"message\":\"m\"}\n\n", wire.Responses, 1, 0, 0, 1, false, true},
		{"failed response", "event: response.failed\ndata: {\"type\":\"response.failed\",\"response\":{\"status\":\"failed\",\"error\":{\"code\":\"c\"}}}\n\n", wire.Responses, 1, 0, 0, 1, false, true},
		{"comments and pings", ": ping\n\n:\n\nevent: ping\ndata: {}\n\nretry: 5\n\n" + event, wire.Chat, 2, 1, 0, 1, false, false},
		{"carriage returns", strings.ReplaceAll(event+"data: [DONE]\n\n", "\n", "\r"), wire.Chat, 2, 1, 0, 1, true, false},
		{"both", strings.ReplaceAll(event+"data: [DONE]\n\n", "\n", "\r\n"), wire.Chat, 2, 1, 0, 1, true, false},
		{"byte order mark", "\uFEFF" + event, wire.Chat, 1, 1, 0, 1, false, false},
		{"data in two lines", "data: {\"choices\":\ndata: [{\"delta\":{\"content\":\"a\"}}]}\n\n", wire.Chat, 1, 1, 0, 1, false, false},
		{"not JSON", "data: {\"choices\":[{\"delta\":{\"content\":\"a\"}\n\ndata: hello\n\n" + event, wire.Chat, 3, 1, 2, 1, false, false},
		{"a colon is missing", "data\n\ndatum: 5\n\n" + event, wire.Chat, 2, 1, 0, 1, false, false},
		{"deep", "data: " + strings.Repeat("[", 3000) + strings.Repeat("]", 3000) + "\n\n", wire.Chat, 1, 0, 1, 1, false, false},
		{"deep within", `data: {"choices":` + strings.Repeat("[", 3000) + strings.Repeat("]", 3000) + "}\n\n", wire.Chat, 1, 0, 0, 1, false, false},
	} {
		s := scan(c.e, true, c.stream)
		bounds := 0
		if s.AtBoundary() {
			bounds = 1
		}
		if s.Events != c.events || s.Deltas != c.deltas || s.Unread != c.unread || s.Ended != c.ended || s.Failed != c.failed || bounds != c.bounds {
			t.Errorf("%s: got %+v, boundary %d", c.name, s.Tally, bounds)
		}
	}
}

// A stream may be cut at each boundary that Scan names, and only whole events stand before it.
func TestBoundaries(t *testing.T) {
	stream := []byte(chat())
	s := new(wire.Scanner)
	s.Reset(New().Answer(wire.Chat), true, nil)
	at := 0
	for n := 7; at < len(stream); n = n*5%41 + 1 {
		piece := stream[at:min(at+n, len(stream))]
		if b := s.Scan(piece); b >= 0 && !bytes.HasSuffix(stream[:at+b], []byte("\n\n")) {
			t.Fatalf("a boundary in the middle of an event at %d", at+b)
		}
		at += len(piece)
	}
	s.Reset(New().Answer(wire.Chat), true, nil)
	steps := 0
	for p := stream; len(p) > 0; steps++ {
		n, end := s.Step(p)
		if !end || !s.AtBoundary() || s.Events != steps+1 {
			t.Fatalf("step %d used %d bytes, end %v", steps, n, end)
		}
		p = p[n:]
	}
}

func TestTextIsBounded(t *testing.T) {
	s := new(wire.Scanner)
	s.Reset(New().Answer(wire.Chat), true, make([]byte, 0, 9))
	s.Scan([]byte(chat()))
	if !s.Cut || cap(s.Text) != 9 || !strings.HasPrefix("Hé\"llo\\ é wörld", s.Answer()) || s.Answer() == "" {
		t.Errorf("got %q, cut %v", s.Answer(), s.Cut)
	}
	for n := range 40 { // wherever the text is cut, what is left is text
		s.Reset(New().Answer(wire.Chat), true, make([]byte, 0, n+1))
		s.Scan([]byte(chat()))
		if !strings.HasPrefix("Hé\"llo\\ é wörld 😀", strings.TrimRight(s.Answer(), "\uFFFD")) {
			t.Errorf("%d bytes: %q", n+1, s.Answer())
		}
	}
}

func FuzzScan(f *testing.F) {
	for i, ev := range append(strings.SplitAfter(chat(), "\n\n"), strings.SplitAfter(answers(), "\n\n")...) {
		f.Add([]byte(ev), uint8(i/10), true, int64(i)) // one by one: the fuzzer is slow with long ones
	}
	f.Add([]byte("data: {\"error\":\"x\"}\r\rdata: [DONE]\r\n\r\n: c\n\n"), uint8(0), true, int64(5))
	f.Add([]byte(`{"choices":[{"message":{"content":"a\u0062"}}],"usage":{"prompt_tokens":1}}`), uint8(0), false, int64(3))
	f.Fuzz(func(t *testing.T, stream []byte, e uint8, sse bool, seed int64) {
		endpoint := []wire.Endpoint{wire.Chat, wire.Responses}[e%2]
		whole := shown(scan(endpoint, sse, string(stream)))
		var pieces []string
		for at, x := 0, uint64(seed); at < len(stream); {
			x = x*6364136223846793005 + 1442695040888963407
			n := min(1+int(x>>33)%9, len(stream)-at)
			pieces = append(pieces, string(stream[at:at+n]))
			at += n
		}
		if got := shown(scan(endpoint, sse, pieces...)); got != whole {
			t.Fatalf("in pieces %s\nas a whole %s", got, whole)
		}
		again := bytes.Repeat(stream, 3) // what is the same but for its text is not read again
		var got [2]string
		for i, form := range []*wire.Form{nil, new(wire.Form)} {
			var s wire.Scanner
			s.Reset(New().Answer(endpoint), sse, make([]byte, 0, 1<<10))
			s.Learn(form)
			s.Scan(again)
			s.Close()
			got[i] = shown(&s)
		}
		if got[0] != got[1] {
			t.Fatalf("plain %s\nby form %s", got[0], got[1])
		}
	})
}

// What is counted by its form is what is counted by reading it.
func TestForm(t *testing.T) {
	event := func(id, name, text, more string) string {
		return `data: {"id":"` + id + `","choices":[{"index":0,"delta":{` + more + `"` + name + `":"` + text + `"},"finish_reason":null}]}` + "\n\n"
	}
	var b strings.Builder
	for i := range 200 {
		switch i % 23 {
		case 5:
			b.WriteString(event("a", "content", `line\n\"x`, ""))
		case 6:
			b.WriteString(event("a", "content", "", ""))
		case 7, 8, 9:
			b.WriteString(event("a", "reasoning_content", fmt.Sprint("think", i), ""))
		case 11, 12:
			b.WriteString(event("a", "content", "x", `"refusal":"no",`))
		case 13:
			b.WriteString(strings.ReplaceAll(event("a", "content", "x", ""), "\n", "\r\n"))
		case 14, 15, 16:
			b.WriteString(strings.ReplaceAll(event("a", "content", fmt.Sprint("other", i), ""), `"index":0`, `"index":1`))
		case 17:
			b.WriteString(event("a", "content", `x"},"finish_reason":"stop`, ""))
		case 18:
			b.WriteString(": comment\n\nevent: x\n" + event("a", "content", "named", ""))
		case 19:
			b.WriteString(event("a", "content", "x\ny", ""))
		default:
			b.WriteString(event("a", "content", fmt.Sprintf("é%d \\u00e9"[:3+i%5], i), ""))
		}
	}
	stream := []byte(b.String())
	for _, size := range []int{1 << 20, 1000, 100, 7, 1} {
		for _, room := range []int{0, 100, 1 << 16} {
			var plain, formed wire.Scanner
			var form wire.Form
			plain.Reset(New().Answer(wire.Chat), true, make([]byte, 0, room))
			formed.Reset(New().Answer(wire.Chat), true, make([]byte, 0, room))
			formed.Learn(&form)
			for at := 0; at < len(stream); at += size {
				p := stream[at:min(at+size, len(stream))]
				if a, b := plain.Scan(p), formed.Scan(bytes.Clone(p)); a != b || shown(&plain) != shown(&formed) {
					t.Fatalf("by %d at %d\nplain   %d %s\nby form %d %s", size, at, a, shown(&plain), b, shown(&formed))
				}
			}
		}
	}
}

func TestScanAllocatesNothing(t *testing.T) {
	stream := []byte(chat())
	long := []byte(answers())
	s := new(wire.Scanner)
	text := make([]byte, 0, 4096)
	c, r := New().Answer(wire.Chat), New().Answer(wire.Responses)
	s.Reset(c, true, text)
	if n := testing.AllocsPerRun(100, func() { s.Text = s.Text[:0]; s.Mark = 0; s.Scan(stream) }); n != 0 {
		t.Errorf("%v allocations a stream of chat completions", n)
	}
	s.Reset(r, true, text)
	if n := testing.AllocsPerRun(100, func() { s.Text = s.Text[:0]; s.Mark = 0; s.Scan(long) }); n != 0 {
		t.Errorf("%v allocations a stream of responses", n)
	}
}

func BenchmarkScanEvent(b *testing.B) {
	event := []byte(`data: {"id":"chatcmpl-AbCdEfGhIjKlMnOpQrStUvWxYz","object":"chat.completion.chunk","created":1777809600,"model":"gpt-4o-mini-2026","service_tier":"default","system_fingerprint":"fp_1234567890","choices":[{"index":0,"delta":{"content":" token"},"logprobs":null,"finish_reason":null}],"usage":null}` + "\n\n")
	s := new(wire.Scanner)
	s.Reset(New().Answer(wire.Chat), true, make([]byte, 0, 1<<20))
	b.SetBytes(int64(len(event)))
	b.ReportAllocs()
	s.Learn(new(wire.Form))
	for b.Loop() {
		if s.Scan(event); len(s.Text) > 1<<19 {
			s.Text, s.Mark = s.Text[:0], 0
		}
	}
}

func BenchmarkScanEventLogprobs(b *testing.B) {
	event := []byte(strings.Split(chat(), "\n\n")[2] + "\n\n")
	s := new(wire.Scanner)
	s.Reset(New().Answer(wire.Chat), true, nil)
	b.SetBytes(int64(len(event)))
	b.ReportAllocs()
	for b.Loop() {
		s.Scan(event)
	}
}
