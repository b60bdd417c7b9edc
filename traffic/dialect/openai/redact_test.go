package openai

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/palladium-guard/palladium/internal/wire"
)

// edit passes a stream through an editor in pieces of n bytes.
func edit(t testing.TB, e wire.Endpoint, stream string, rd wire.Redaction, n int) string {
	t.Helper()
	var ed wire.Editor
	ed.Reset(New(), e, rd)
	var out []byte
	var err error
	for at := 0; at < len(stream); at += n {
		if out, err = ed.Write(out, []byte(stream[at:min(at+n, len(stream))])); err != nil {
			t.Fatal(err)
		}
	}
	return string(ed.Close(out))
}

func TestEditChat(t *testing.T) {
	in := chat()
	for _, c := range []struct {
		name         string
		rd           wire.Redaction
		gone, stays  []string
		fewer, lines int
	}{
		{"nothing", wire.Redaction{}, nil, []string{in}, 0, 0},
		{"logprobs", wire.Redaction{Logprobs: true}, []string{"-0.1", "top_logprobs"}, []string{`"logprobs":null,"finish_reason":null`, "include"}, 0, 0},
		{"reasoning", wire.Redaction{Reasoning: true}, []string{"think"}, []string{`"reasoning_content":null`}, 0, 0},
		{"usage", wire.Redaction{UsageChunk: true}, []string{`"choices":[]`, "prompt_tokens"}, []string{`"usage":null`, "[DONE]"}, 1, 0},
	} {
		for _, n := range []int{1, 7, 100, 1 << 20} {
			out := edit(t, wire.Chat, in, c.rd, n)
			for _, g := range c.gone {
				if strings.Contains(out, g) {
					t.Errorf("%s: %q is still there", c.name, g)
				}
			}
			for _, s := range c.stays {
				if s != "include" && !strings.Contains(out, s) {
					t.Errorf("%s: %q is gone", c.name, s)
				}
			}
			if got, want := strings.Count(out, "\n\n"), strings.Count(in, "\n\n")-c.fewer; got != want {
				t.Errorf("%s: %d events, want %d", c.name, got, want)
			}
			a, b := scan(wire.Chat, true, in), scan(wire.Chat, true, out)
			if a.Answer() != b.Answer() || !b.Ended || b.Unread != 0 {
				t.Errorf("%s: the answer changed to %q", c.name, b.Answer())
			}
		}
	}
	// Other line ends, names, comments and an event that is cut off stay as they are.
	odd := ": hello\r\rid: 7\r\nevent: x\r\ndata: {\"choices\":[{\"logprobs\":null}]}\r\n\r\ndata: {\"cho"
	if got := edit(t, wire.Chat, odd, wire.Redaction{Logprobs: true}, 3); got != odd {
		t.Errorf("got %q", got)
	}
	two := "event: x\ndata: {\"choices\":[{\ndata: \"logprobs\":{\"a\":1}}]}\nid: 5\n\n"
	if got := edit(t, wire.Chat, two, wire.Redaction{Logprobs: true}, 5); got != "event: x\ndata: {\"choices\":[{ \"logprobs\":null}]}\nid: 5\n\n" {
		t.Errorf("got %q", got)
	}
}

func TestEditResponses(t *testing.T) {
	for _, in := range []string{answers(), strings.ReplaceAll(answers(), "event: ", "id: ")} {
		out := edit(t, wire.Responses, in, wire.Redaction{Logprobs: true, Reasoning: true}, 50)
		for _, gone := range []string{"I think", `"raw"`, `"token"`, "reasoning_text", "response.reasoning_summary"} {
			if strings.Contains(out, gone) {
				t.Errorf("%q is still there", gone)
			}
		}
		for _, stays := range []string{`"reasoning":{"effort":"low","summary":"auto"}`, "gAAA", `"text":"One two"`, "response.completed"} {
			if !strings.Contains(out, stays) {
				t.Errorf("%q is gone", stays)
			}
		}
		if s := scan(wire.Responses, true, out); s.Answer() != "One two" || !s.Ended || s.Unread != 0 || s.Reasoning != 0 {
			t.Errorf("got %q, %+v", s.Answer(), s.Tally)
		}
		out = edit(t, wire.Responses, in, wire.Redaction{Reasoning: true, Summaries: true}, 50)
		if strings.Contains(out, `"raw"`) || !strings.Contains(out, "I think") || !strings.Contains(out, `"token"`) {
			t.Error("summaries are gone, or raw reasoning is still there")
		}
	}
}

func TestEditorRefuses(t *testing.T) {
	var ed wire.Editor
	ed.Reset(New(), wire.Chat, wire.Redaction{Logprobs: true})
	good := "data: {\"choices\":[]}\n\n"
	out, err := ed.Write(nil, []byte(good+"data: {\"logprobs\":{{\n\n"+good))
	if !errors.Is(err, wire.ErrAnswer) || string(out) != good {
		t.Errorf("got %q, %v", out, err)
	}
	ed.Reset(New(), wire.Chat, wire.Redaction{Logprobs: true})
	if out, _ := ed.Write(nil, []byte("data: {\"logprobs\":{\"a\"")); len(out) != 0 || len(ed.Close(nil)) != 0 {
		t.Error("half an event that cannot be read was passed on")
	}
	if _, err := New().Redact(nil, []byte(`{"choices":[`), wire.Chat, wire.Redaction{Logprobs: true}); !errors.Is(err, wire.ErrAnswer) {
		t.Errorf("got %v", err)
	}
}

func TestRedact(t *testing.T) {
	all := wire.Redaction{Logprobs: true, Reasoning: true, Hidden: true}
	for _, c := range []struct {
		e        wire.Endpoint
		rd       wire.Redaction
		in, want string
	}{
		{wire.Chat, all, `{"prompt_logprobs":[null,{"5":{}}],"choices":[{"logprobs":{"content":[]},"token_ids":[1],"message":{"content":"{\"logprobs\":1}","reasoning":"x","reasoning_content":null}}],"extra":{"logprobs":5}}`,
			`{"prompt_logprobs":null,"choices":[{"logprobs":null,"token_ids":null,"message":{"content":"{\"logprobs\":1}","reasoning":null,"reasoning_content":null}}],"extra":{"logprobs":5}}`},
		{wire.Completions, all, `{"choices":[{"text":"a","logprobs":{"tokens":["a"]},"prompt_logprobs":[1]}]}`,
			`{"choices":[{"text":"a","logprobs":null,"prompt_logprobs":null}]}`},
		{wire.Responses, all, `{"reasoning":{"summary":null},"output":[{"type":"reasoning","summary":[{"text":"s"}],"content":[{"type":"reasoning_text","text":"r"},{"type":"reasoning_text","text":"q"}]},{"content":[{"type":"output_text","logprobs":[1],"text":"t"}]}]}`,
			`{"reasoning":{"summary":null},"output":[{"type":"reasoning","summary":[],"content":[]},{"content":[{"type":"output_text","logprobs":[],"text":"t"}]}]}`},
		{wire.Embeddings, wire.Redaction{Round: true, Decimals: 2}, `{"data":[{"embedding":[0.123456, -0.001, 1e-9 ,5],"index":0},{"embedding":[[0.555,-0.25]]}],"x":[0.123456]}`,
			`{"data":[{"embedding":[0.12, 0, 0 ,5],"index":0},{"embedding":[[0.56,-0.25]]}],"x":[0.123456]}`},
		{wire.Embeddings, wire.Redaction{Round: true, Decimals: 1}, `{"data":[{"embedding":"AACAPgAAQL8="}]}`, `{"data":[{"embedding":"zcxMPs3MTL8="}]}`},
		{wire.Chat, wire.Redaction{}, `{"choices":[{"logprobs":{}}]}`, `{"choices":[{"logprobs":{}}]}`},
	} {
		got, err := New().Redact(nil, []byte(c.in), c.e, c.rd)
		if err != nil || string(got) != c.want {
			t.Errorf("got  %s\nwant %s, %v", got, c.want, err)
		}
	}
	for _, bad := range []string{`{"data":[{"embedding":"AAA"}]}`, `{"data":[{"embedding":"AAAAAA=="}]}`, `{"data":[{"embedding":["x"]}]}`} {
		_, err := New().Redact(nil, []byte(bad), wire.Embeddings, wire.Redaction{Round: true})
		if (err != nil) != (bad != `{"data":[{"embedding":"AAAAAA=="}]}`) {
			t.Errorf("%s: got %v", bad, err)
		}
	}
}

func FuzzEdit(f *testing.F) {
	for i, ev := range append(strings.SplitAfter(chat(), "\n\n"), strings.SplitAfter(answers(), "\n\n")...) {
		f.Add([]byte(ev), uint8(i/10), uint8(31), uint8(i))
	}
	f.Add([]byte("data: {\"choices\":[{\"logprobs\":{\"a\":[1]}}]}\r\rdata: [DONE]\n\n"), uint8(0), uint8(7), uint8(1))
	f.Fuzz(func(t *testing.T, stream []byte, e, flags, n uint8) {
		endpoint := []wire.Endpoint{wire.Chat, wire.Responses}[e%2]
		rd := wire.Redaction{Logprobs: flags&1 > 0, Reasoning: flags&2 > 0, UsageChunk: flags&4 > 0, Hidden: flags&8 > 0, Summaries: flags&16 > 0}
		run := func(n int) (string, bool) {
			var ed wire.Editor
			ed.Reset(New(), endpoint, rd)
			var out []byte
			var err error
			for at := 0; at < len(stream); at += n {
				if out, err = ed.Write(out, stream[at:min(at+n, len(stream))]); err != nil {
					return string(out), false
				}
			}
			return string(ed.Close(out)), true
		}
		whole, ok := run(len(stream) + 1)
		if got, ok2 := run(1 + int(n)%9); got != whole || ok != ok2 {
			t.Fatalf("in pieces %q %v, as a whole %q %v", got, ok2, whole, ok)
		}
		if !rd.Any() && whole != string(stream) {
			t.Fatalf("%q became %q without need", stream, whole)
		}
		for _, line := range strings.FieldsFunc(whole, func(r rune) bool { return r == '\n' || r == '\r' }) {
			data, is := strings.CutPrefix(line, "data:")
			if is && ok && rd.Logprobs && strings.Contains(data, `"choices":[{"logprobs":{`) && json.Valid([]byte(data)) && endpoint == wire.Chat {
				t.Fatalf("log probabilities passed: %q", data)
			}
		}
	})
}

func BenchmarkEditEvent(b *testing.B) {
	for name, rd := range map[string]wire.Redaction{"usage": {UsageChunk: true}, "logprobs": {Logprobs: true}} {
		b.Run(name, func(b *testing.B) {
			event := []byte(strings.Split(chat(), "\n\n")[2] + "\n\n")
			var ed wire.Editor
			ed.Reset(New(), wire.Chat, rd)
			out := make([]byte, 0, 4096)
			b.ReportAllocs()
			for b.Loop() {
				out, _ = ed.Write(out[:0], event)
			}
		})
	}
}
