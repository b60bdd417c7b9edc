package openai

import (
	"errors"
	"fmt"
	"math"
	"reflect"
	"strings"
	"testing"

	"github.com/palladium-guard/palladium"
	"github.com/palladium-guard/palladium/internal/wire"
	"github.com/palladium-guard/palladium/traffic/dialect"
)

// asked lists what a request asks for, as feature:count, with a star for what lies in a container.
func asked(r *wire.Request) string {
	var out []string
	for _, a := range r.Asks {
		s := fmt.Sprintf("%s:%d", a.Feature, a.Count)
		if a.Nested {
			s += "*"
		}
		if a.Marked {
			s += "!"
		}
		out = append(out, s)
	}
	return strings.Join(out, " ")
}

func TestRead(t *testing.T) {
	d := New()
	var r wire.Request // used again: nothing of one request may show in the next
	for _, c := range []struct {
		e          wire.Endpoint
		body, asks string
	}{
		{wire.Chat, `{"model":"m","messages":[{"role":"user","content":"hi"}]}`, ""},
		{wire.Chat, `{"model":"m","logprobs":true,"top_logprobs":20}`, "logprobs:1 top_logprobs:20"},
		{wire.Chat, `{"model":"m","logprobs":false,"top_logprobs":null,"n":1,"logit_bias":{},"echo":false}`, ""},
		{wire.Chat, `{"model":"m","\u006cogprobs":true}`, "logprobs:1"},
		{wire.Chat, `{"model":"m","logit_bias":{"1":-100,"2":5}}`, "logit_bias:2"},
		{wire.Chat, `{"model":"m","logit_bias":[[1,-5.0],["x",false]]}`, "logit_bias:2"},
		{wire.Chat, `{"model":"m","n":2.0,"best_of":3e0,"seed":-7}`, "n:2 best_of:3 seed:1"},
		{wire.Chat, `{"model":"m","top_logprobs":-1,"prompt_logprobs":0}`, "top_logprobs:" + fmt.Sprint(math.MaxInt32) + " prompt_logprobs:0"},
		{wire.Chat, `{"model":"m","extra_body":{"prompt_logprobs":5,"anything":1}}`, "prompt_logprobs:5*"},
		{wire.Chat, `{"model":"m","nvext":{"top_logprobs":5},"options":{"logit_bias":{"5":1}}}`, "top_logprobs:5* logit_bias:1*"},
		{wire.Completions, `{"model":"m","logprobs":5,"echo":true}`, "logprobs:5 echo:1"},
		{wire.Completions, `{"model":"m","logprobs":0}`, "logprobs:0"},
		{wire.Completions, `{"model":"m","logprobs":true}`, "logprobs:1"},
		{wire.Responses, `{"model":"m","include":["reasoning.encrypted_content","message.output_text.logprobs"],"top_logprobs":3}`, "top_logprobs:3 logprobs:1"},
		{wire.Responses, `{"model":"m","reasoning":{"effort":"high"},"input":[{"type":"reasoning","encrypted_content":"x"},{"role":"assistant","content":"{"}]}`,
			"reasoning:1 prior_reasoning:1 prefill:1"},
		{wire.Embeddings, `{"model":"m","input":["a"],"dimensions":256}`, "dimensions:256"},
		{wire.Chat, `{"model":"m","messages":[{"role":"assistant","content":"a","reasoning_content":"why"},{"role":"assistant","content":"<think>so"}],"continue_final_message":true,"add_generation_prompt":false}`,
			"prefill:1 prefill:1 prior_reasoning:1 prefill:9!"},
		{wire.Chat, `{"model":"m","messages":[{"role":"assistant","content":[{"type":"text","text":"abc"}]}]}`, "prefill:3"},
		{wire.Chat, `{"model":"m","messages":[{"role":"assistant","content":"abc"},{"role":"user","content":"go on"}]}`, ""},
		{wire.Chat, `{"model":"m","return_hidden_states":true,"chat_template":"x","custom_logit_processor":"y","guided_choice":["a","b"]}`,
			"internals:1 template:1 engine:1 guided:2"},
	} {
		if err := d.Read(&r, c.e, []byte(c.body)); err != nil {
			t.Errorf("%s: %v", c.body, err)
		} else if got := asked(&r); got != c.asks {
			t.Errorf("%s: got %s, want %s", c.body, got, c.asks)
		}
	}
}

func TestReadBasics(t *testing.T) {
	var r wire.Request
	err := New().Read(&r, wire.Chat, []byte(`{"model":"gpt\u002d4o","stream":true,"max_tokens":5,"max_completion_tokens":70,"n":3,"best_of":4,"mystery":1,"stream_options":{"include_usage":true}}`))
	if err != nil || r.Model != "gpt-4o" || !r.Stream || r.MaxTokens != 70 || r.Answers != 4 || !r.WantsUsage || !reflect.DeepEqual(r.Unknown, []int{6}) {
		t.Errorf("got %+v, %v", r, err)
	}
	if err := New().Read(&r, wire.Chat, []byte(`{"model":"m"}`)); err != nil || r.MaxTokens != -1 || r.Answers != 1 || r.Stream || r.WantsUsage {
		t.Errorf("got %+v, %v", r, err)
	}
	if err := New().Read(&r, wire.Completions, []byte(`{"model":"m","n":3,"prompt":["a","b"]}`)); err != nil || r.Answers != 6 || r.Prompts != 2 {
		t.Errorf("%d answers, %v", r.Answers, err)
	}
	if err := New().Read(&r, wire.Completions, []byte(`{"model":"m","prompt":[1,2,3]}`)); err != nil || r.Answers != 1 {
		t.Errorf("%d answers to token ids, %v", r.Answers, err)
	}
	if err := New().Read(&r, wire.Chat, []byte(`{"model":"m","max_tokens":-1}`)); err != nil || r.MaxTokens != math.MaxInt32 {
		t.Errorf("no limit reads as %d, %v", r.MaxTokens, err)
	}
	var p wire.Patch
	r.SetModel(&p, `other"`)
	if got := string(p.Apply(nil, &r.Document)); got != `{"model":"other\"","max_tokens":-1}` {
		t.Errorf("got %s", got)
	}
}

func TestReadRefuses(t *testing.T) {
	d := New()
	for body, want := range map[string]error{
		`{"messages":[]}`:                                          dialect.ErrMissing,
		`{"model":null}`:                                           dialect.ErrMissing,
		`{"model":5}`:                                              wire.ErrType,
		`{"model":"m","n":"5"}`:                                    wire.ErrType,
		`{"model":"m","n":1.5}`:                                    wire.ErrType,
		`{"model":"m","n":1e400}`:                                  wire.ErrType,
		`{"model":"m","n":99999999999999999999999}`:                wire.ErrType,
		`{"model":"m","n":true}`:                                   wire.ErrType,
		`{"model":"m","logprobs":"true"}`:                          wire.ErrType,
		`{"model":"m","logprobs":1}`:                               wire.ErrType,
		`{"model":"m","logprobs":{}}`:                              wire.ErrType,
		`{"model":"m","stream":"yes"}`:                             wire.ErrType,
		`{"model":"m","stream":1}`:                                 wire.ErrType,
		`{"model":"m","max_tokens":"9"}`:                           wire.ErrType,
		`{"model":"m","messages":{"role":"user"}}`:                 wire.ErrType,
		`{"model":"m","LogProbs":true}`:                            wire.ErrSpelling,
		`{"model":"m","logProbs":true}`:                            wire.ErrSpelling,
		`{"model":"m","top-logprobs":5}`:                           wire.ErrSpelling,
		`{"model":"m","topLogprobs":5}`:                            wire.ErrSpelling,
		"{\"model\":\"m\",\"logprob\u017f\":true}":                 wire.ErrSpelling, // the long s folds to s
		`{"model":"m","Extra_Body":{"logprobs":true}}`:             wire.ErrSpelling,
		`{"model":"m","extra_body":{"LOGPROBS":true}}`:             wire.ErrSpelling,
		`{"model":"m","extra_body":{"max_tokens":5}}`:              wire.ErrPlace,
		`{"model":"m","extra_body":{"stream":true}}`:               wire.ErrPlace,
		`{"model":"m","extra_body":{"model":"other"}}`:             wire.ErrPlace,
		`{"model":"m","extra_body":{"include":[]}}`:                wire.ErrPlace,
		`{"model":"m","Model":"other"}`:                            wire.ErrSpelling,
		`{"model":"m","logprobs":false,"logprobs":true}`:           wire.ErrDuplicate,
		`{"model":"m","extra_body":{"a":1,"a":2}}`:                 wire.ErrDuplicate,
		`{"model":"m"}{"logprobs":true}`:                           wire.ErrTrailing,
		"\uFEFF" + `{"model":"m"}`:                                 wire.ErrSyntax,
		`{"model":"m","messages":[{"role":"user","role":"tool"}]}`: wire.ErrDuplicate,
	} {
		var r wire.Request
		if err := d.Read(&r, wire.Chat, []byte(body)); !errors.Is(err, want) {
			t.Errorf("%s: got %v, want %v", body, err, want)
		}
	}
	var r wire.Request
	if err := d.Read(&r, wire.Chat, []byte(`{"model":"m","n":"sk-secret"}`)); err == nil || strings.Contains(err.Error(), "secret") {
		t.Errorf("got %v", err)
	}
}

func TestSeals(t *testing.T) {
	var r wire.Request
	body := `{"model":"m","input":[{"role":"user","content":"one"},{"type":"reasoning","encrypted_content":"A"},{"type":"function_call_output","output":"x"},
		{"type":"reasoning","encrypted_content":"B"},{"role":"user","content":[{"type":"input_text","text":"two"}]},{"type":"reasoning","encrypted_content":"C"}]}`
	if err := New().Read(&r, wire.Responses, []byte(body)); err != nil || len(r.Seals) != 3 {
		t.Fatalf("got %d seals, %v", len(r.Seals), err)
	}
	one, two := wire.Hash(wire.HashStart, []byte("one")), wire.Hash(wire.HashStart, []byte("two"))
	if r.Seals[0].Context != one || r.Seals[1].Context != one || r.Seals[2].Context != two || r.Context != two || r.Seals[0].Hash == r.Seals[1].Hash {
		t.Errorf("got %+v", r.Seals)
	}
}

func TestWantUsage(t *testing.T) {
	d := New()
	for body, want := range map[string]string{
		`{"model":"m","stream":true}`:                                           `{"stream_options":{"include_usage":true},"model":"m","stream":true}`,
		`{"model":"m","stream":true,"stream_options":null}`:                     `{"model":"m","stream":true,"stream_options":{"include_usage":true}}`,
		`{"model":"m","stream":true,"stream_options":{}}`:                       `{"model":"m","stream":true,"stream_options":{"include_usage":true}}`,
		`{"model":"m","stream":true,"stream_options":{"include_usage": false}}`: `{"model":"m","stream":true,"stream_options":{"include_usage": true}}`,
		`{"model":"m","stream":true,"stream_options":{"x":1}}`:                  `{"model":"m","stream":true,"stream_options":{"include_usage":true,"x":1}}`,
		`{"model":"m","stream":true,"stream_options":{"include_usage":true}}`:   "",
		`{"model":"m"}`: "",
	} {
		var r wire.Request
		var p wire.Patch
		if err := d.Read(&r, wire.Chat, []byte(body)); err != nil {
			t.Fatal(err)
		}
		if changed := d.WantUsage(&p, &r); changed != (want != "") {
			t.Errorf("%s: changed is %v", body, changed)
		} else if got := string(p.Apply(nil, &r.Document)); changed && got != want {
			t.Errorf("%s: got %s", body, got)
		}
	}
}

func TestRefuse(t *testing.T) {
	r := &wire.Refusal{Status: 429, Code: "budget.day", Message: `The "day" is over.`, RequestID: "req_1", Appeal: "https://example.org/appeal"}
	const object = `{"message":"The \"day\" is over. To appeal: https://example.org/appeal. Request id: req_1.","type":"rate_limit_error","param":null,"code":"budget.day"}`
	d := New()
	if got := string(d.Refuse(nil, r)); got != `{"error":`+object+`}` {
		t.Errorf("got %s", got)
	}
	if got := string(d.RefuseEvent(nil, wire.Chat, r, -1)); got != "data: {\"error\":"+object+"}\n\n" {
		t.Errorf("got %s", got)
	}
	got := string(d.RefuseEvent(nil, wire.Responses, r, 41))
	if !strings.HasPrefix(got, "event: error\ndata: {\"type\":\"error\",\"sequence_number\":42,\"code\":\"budget.day\",") || !strings.HasSuffix(got, `"error":`+object+"}\n\n") {
		t.Errorf("got %s", got)
	}
	for _, e := range []wire.Endpoint{wire.Chat, wire.Completions, wire.Responses} { // what we write, we take for a failure
		if s := scan(e, true, string(d.RefuseEvent(nil, e, r, 1))); !s.Failed || s.Ended || s.Unread != 0 || s.Events != 1 {
			t.Errorf("%s: got %+v", e, s.Tally)
		}
	}
	for status, want := range map[int]string{400: "invalid_request_error", 401: "authentication_error", 403: "permission_error", 404: "not_found_error", 503: "server_error"} {
		if kind(status) != want {
			t.Errorf("%d is %s", status, kind(status))
		}
	}
}

func TestFill(t *testing.T) {
	d := New()
	var r wire.Request
	body := `{"model":"m","temperature":0,"max_completion_tokens":9,"stream":true,"tools":[{"type":"function","function":{"name":"f"}}],
		"messages":[{"role":"system","content":"S"},{"role":"user","content":[{"type":"text","text":"hi"},{"type":"image_url","image_url":{}}]}]}`
	if err := d.Read(&r, wire.Chat, []byte(body)); err != nil {
		t.Fatal(err)
	}
	var e palladium.Exchange
	if err := d.Fill(&e, &r, scan(wire.Chat, true, chat())); err != nil {
		t.Fatal(err)
	}
	if e.API != "openai.chat" || e.Model != "m" || e.System != "S" || len(e.Messages) != 2 || e.Messages[0].Text != "hi" || e.Messages[1].Digest == "" ||
		e.Params.MaxTokens != 9 || e.Params.Has != palladium.HasTemperature|palladium.HasMaxTokens|palladium.HasStream || len(e.Tools) != 1 ||
		e.Usage.Output != 34 || e.Outcome.Finish != "tool_calls" || !strings.HasPrefix(e.Output, "Hé") {
		t.Errorf("got %+v", e)
	}
	for _, c := range []struct {
		e          wire.Endpoint
		body, text string
		turns      int
	}{
		{wire.Completions, `{"model":"m","prompt":"p"}`, "p", 1},
		{wire.Embeddings, `{"model":"m","input":["a","b"]}`, "a", 2},
		{wire.Embeddings, `{"model":"m","input":[1,2,3]}`, "", 1},
		{wire.Responses, `{"model":"m","instructions":"S","input":"hello"}`, "hello", 1},
	} {
		var e palladium.Exchange
		if err := d.Read(&r, c.e, []byte(c.body)); err != nil {
			t.Fatal(err)
		}
		if err := d.Fill(&e, &r, nil); err != nil || len(e.Messages) != c.turns || e.Messages[0].Text != c.text {
			t.Errorf("%s: got %+v, %v", c.body, e, err)
		}
	}
}

func FuzzRead(f *testing.F) {
	f.Add([]byte(`{"model":"m","messages":[{"role":"user","content":[{"type":"text","text":"x"}]},{"role":"assistant","content":"{"}],"logprobs":true}`), uint8(1))
	f.Add([]byte(`{"model":"m","input":[{"type":"reasoning","encrypted_content":"x"}],"include":["message.output_text.logprobs"],"extra_body":{"n":5}}`), uint8(3))
	d := New()
	var r wire.Request
	f.Fuzz(func(t *testing.T, body []byte, e uint8) {
		if d.Read(&r, wire.Endpoint(e%8), body) != nil {
			return
		}
		for _, a := range r.Asks {
			if a.Member >= len(r.Members) || a.Value.Start < 0 || a.Value.End > len(body) || a.Value.Len() <= 0 || a.Feature == 0 {
				t.Fatalf("an ask out of place: %+v", a)
			}
		}
		var e2 palladium.Exchange
		if err := d.Fill(&e2, &r, nil); err != nil {
			t.Fatalf("what was read cannot be filled in: %v", err)
		}
	})
}

func BenchmarkRead(b *testing.B) {
	d := New()
	for _, kb := range []int{1, 32, 256} {
		var turns strings.Builder
		for i := 0; turns.Len() < kb<<10-300; i++ {
			fmt.Fprintf(&turns, `{"role":"%s","content":"%s"},`, []string{"user", "assistant"}[i%2], strings.Repeat("Lorem ipsum \\\"dolor\\\" sit amet. ", min(kb, 32)))
		}
		body := []byte(`{"model":"gpt-4o-mini","temperature":0.7,"max_tokens":512,"stream":true,"messages":[` + turns.String() + `{"role":"user","content":"go"}],"user":"u-1"}`)
		b.Run(fmt.Sprintf("%dKB", kb), func(b *testing.B) {
			var r wire.Request
			b.SetBytes(int64(len(body)))
			b.ReportAllocs()
			for b.Loop() {
				if err := d.Read(&r, wire.Chat, body); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
