package restrict_test

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/palladium-guard/palladium/internal/wire"
	"github.com/palladium-guard/palladium/traffic/dialect/anthropic"
	"github.com/palladium-guard/palladium/traffic/dialect/openai"
	"github.com/palladium-guard/palladium/traffic/restrict"
)

// reader is what the two dialects have in common.
type reader interface {
	Read(r *wire.Request, e wire.Endpoint, body []byte) error
}

// How a request fares.
const (
	stopped   = "stopped"   // refused, by the policy or as unclear
	disarmed  = "disarmed"  // passed on without what makes it useful to a thief
	untouched = "untouched" // passed on byte for byte
)

// known is the table of requests by which models are extracted, and of their innocent neighbours.
//
// Sources: Carlini et al. 2024, "Stealing Part of a Production Language Model" (arXiv 2403.06634): the last layer from
// log probabilities under biases (section 5), and from biases alone (section 6). Finlayson et al. 2024, "Logits of
// API-Protected LLMs Leak Proprietary Information" (arXiv 2403.09539): full outputs from the likeliest k under biases,
// and the image of the last layer from full outputs. Morris et al. 2023, "Language Model Inversion" (arXiv 2311.13647):
// next-token distributions by bisecting a bias.
func known() []struct {
	name, plan string
	e          wire.Endpoint
	body, want string
	gone       string // what a disarmed request no longer says
} {
	const chat, text = wire.Chat, wire.Completions
	return []struct {
		name, plan string
		e          wire.Endpoint
		body, want string
		gone       string
	}{
		// Log probabilities under biases.
		{"Carlini: top 5 under a large bias", "free", chat, `{"model":"m","messages":[{"role":"user","content":"x"}],"max_tokens":1,"logprobs":true,"top_logprobs":5,"logit_bias":{"100":100,"101":100,"102":100,"103":100}}`, stopped, ""},
		{"the same, for an evaluation plan", "eval", chat, `{"model":"m","messages":[],"max_tokens":1,"logprobs":true,"top_logprobs":5,"logit_bias":{"100":100}}`, stopped, ""},
		{"Carlini: one log probability, binarised biases", "free", chat, `{"model":"m","messages":[],"max_tokens":1,"logprobs":true,"top_logprobs":1,"logit_bias":{"5":-1,"9":-1}}`, stopped, ""},
		{"the flag alone with a bias", "eval", chat, `{"model":"m","messages":[],"logprobs":true,"logit_bias":{"5":-100}}`, stopped, ""},
		{"the same for text completions", "eval", text, `{"model":"m","prompt":"x","logprobs":5,"logit_bias":{"5":-100}}`, stopped, ""},
		{"none but the token's own", "eval", text, `{"model":"m","prompt":"x","logprobs":0,"logit_bias":{"5":-100}}`, stopped, ""},
		{"for the responses API", "eval", wire.Responses, `{"model":"m","input":"x","include":["message.output_text.logprobs"],"top_logprobs":5,"logit_bias":{"5":1}}`, stopped, ""},
		{"biases by another name", "eval", chat, `{"model":"m","messages":[],"logprobs":true,"allowed_token_ids":[5,6]}`, stopped, ""},
		{"biases by bad words", "eval", chat, `{"model":"m","messages":[],"logprobs":true,"bad_words":["the"]}`, stopped, ""},
		{"a choice with probabilities", "free", chat, `{"model":"m","messages":[],"logprobs":true,"guided_choice":["a","b"]}`, stopped, ""},
		{"Finlayson: bias sweep over the likeliest k", "free", text, `{"model":"m","prompt":"","max_tokens":1,"logprobs":5,"logit_bias":{"7":90,"8":90,"9":90,"10":90,"11":90}}`, stopped, ""},

		// Log probabilities as such.
		{"Finlayson: full output", "free", text, `{"model":"m","prompt":"","max_tokens":1,"logprobs":50257}`, disarmed, "logprobs"},
		{"full output, for an evaluation plan", "eval", text, `{"model":"m","prompt":"","max_tokens":1,"logprobs":50257}`, disarmed, "50257"},
		{"all there are", "eval", chat, `{"model":"m","messages":[],"logprobs":true,"top_logprobs":-1}`, disarmed, "-1"},
		{"likeliest k", "free", chat, `{"model":"m","messages":[],"logprobs":true,"top_logprobs":20}`, disarmed, "logprobs"},
		{"likeliest k, for an evaluation plan", "eval", chat, `{"model":"m","messages":[],"logprobs":true,"top_logprobs":20}`, disarmed, "20"},
		{"llama.cpp's name", "free", chat, `{"model":"m","messages":[],"n_probs":100}`, disarmed, "n_probs"},
		{"chosen tokens", "eval", chat, `{"model":"m","messages":[],"logprobs":true,"logprob_token_ids":[1,2,3]}`, stopped, ""},
		{"responses", "free", wire.Responses, `{"model":"m","input":"x","include":["message.output_text.logprobs"],"top_logprobs":20}`, disarmed, "logprobs"},
		{"prompt", "eval", chat, `{"model":"m","messages":[],"prompt_logprobs":20}`, stopped, ""},
		{"prompt, none beside it", "eval", text, `{"model":"m","prompt":"x","prompt_logprobs":0}`, stopped, ""},
		{"echo", "free", text, `{"model":"m","prompt":"x","max_tokens":0,"echo":true,"logprobs":5}`, stopped, ""},
		{"echo, for an evaluation plan", "eval", text, `{"model":"m","prompt":"x","max_tokens":0,"echo":true,"logprobs":1}`, stopped, ""},

		// Distributions by sampling and search.
		{"many samples", "free", chat, `{"model":"m","messages":[],"n":128,"max_tokens":1}`, stopped, ""},
		{"best of many", "free", text, `{"model":"m","prompt":"x","best_of":20}`, stopped, ""},
		{"many biases", "free", chat, `{"model":"m","messages":[],"temperature":0,"logit_bias":{` + biases(300) + `}}`, stopped, ""},
		{"bias with a seed", "free", chat, `{"model":"m","messages":[],"seed":1,"logit_bias":{"5":3}}`, disarmed, "seed"},

		// Insides.
		{"hidden states", "eval", chat, `{"model":"m","messages":[],"return_hidden_states":true}`, stopped, ""},
		{"embeddings for a prompt", "free", text, `{"model":"m","prompt_embeds":"AAAA"}`, stopped, ""},
		{"a processor of one's own", "free", chat, `{"model":"m","messages":[],"custom_logit_processor":"gASV"}`, stopped, ""},
		{"processors", "free", chat, `{"model":"m","messages":[],"logits_processors":["x"]}`, stopped, ""},
		{"a template of one's own", "free", chat, `{"model":"m","messages":[],"chat_template":"{{ messages }}"}`, stopped, ""},
		{"an adapter of one's own", "free", chat, `{"model":"m","messages":[],"lora_path":"/x"}`, stopped, ""},
		{"prefill of reasoning", "eval", chat, `{"model":"m","messages":[{"role":"user","content":"q"},{"role":"assistant","content":"<think>"}]}`, stopped, ""},
		{"long prefill", "free", wire.Messages, `{"model":"m","max_tokens":5,"messages":[{"role":"user","content":"q"},{"role":"assistant","content":"Sure. My reasoning, step by step, was:"}]}`, stopped, ""},

		// Smuggling: read in one way, or not at all.
		{"duplicate name", "free", chat, `{"model":"m","messages":[],"logprobs":false,"logprobs":true}`, stopped, ""},
		{"duplicate by escape", "free", chat, `{"model":"m","messages":[],"logprobs":false,"\u006cogprobs":true}`, stopped, ""},
		{"escaped name", "free", chat, `{"model":"m","messages":[],"\u006cog\u0070robs":true}`, disarmed, "true"},
		{"escaped name with bias", "eval", chat, `{"model":"m","messages":[],"\u006cogprobs":true,"logit\u005fbias":{"5":1}}`, stopped, ""},
		{"other case", "free", chat, `{"model":"m","messages":[],"LogProbs":true}`, stopped, ""},
		{"other case by folding", "free", chat, "{\"model\":\"m\",\"messages\":[],\"logprob\u017f\":true}", stopped, ""},
		{"camel case", "free", chat, `{"model":"m","messages":[],"topLogprobs":20}`, stopped, ""},
		{"hyphen", "free", chat, `{"model":"m","messages":[],"logit-bias":{"5":1}}`, stopped, ""},
		{"number as text", "free", chat, `{"model":"m","messages":[],"n":"128"}`, stopped, ""},
		{"flag as text", "free", chat, `{"model":"m","messages":[],"logprobs":"true"}`, stopped, ""},
		{"flag as number", "free", chat, `{"model":"m","messages":[],"logprobs":1}`, stopped, ""},
		{"huge number", "free", chat, `{"model":"m","messages":[],"n":1e400}`, stopped, ""},
		{"overflow", "free", chat, `{"model":"m","messages":[],"n":18446744073709551617}`, stopped, ""},
		{"fraction", "free", chat, `{"model":"m","messages":[],"n":128.5}`, stopped, ""},
		{"whole number as fraction", "free", chat, `{"model":"m","messages":[],"n":128.0}`, stopped, ""},
		{"whole number with exponent", "free", chat, `{"model":"m","messages":[],"n":1.28e2}`, stopped, ""},
		{"container", "free", chat, `{"model":"m","messages":[],"extra_body":{"logprobs":true,"top_logprobs":20}}`, disarmed, "logprobs"},
		{"container with bias outside", "eval", chat, `{"model":"m","messages":[],"extra_body":{"logprobs":true},"logit_bias":{"5":1}}`, stopped, ""},
		{"container, other case", "free", chat, `{"model":"m","messages":[],"extra_body":{"Logprobs":true}}`, stopped, ""},
		{"limit in a container", "free", chat, `{"model":"m","messages":[],"max_tokens":1,"extra_body":{"max_tokens":100000}}`, stopped, ""},
		{"byte order mark", "free", chat, "\uFEFF" + `{"model":"m","messages":[],"logprobs":true}`, stopped, ""},
		{"second document", "free", chat, `{"model":"m","messages":[]}{"model":"m","logprobs":true}`, stopped, ""},
		{"second document on a line", "free", chat, `{"model":"m","messages":[]}` + "\n" + `{"logprobs":true}`, stopped, ""},
		{"UTF-16", "free", chat, utf16(`{"model":"m","messages":[],"logprobs":true}`), stopped, ""},
		{"overlong UTF-8", "free", chat, "{\"model\":\"m\",\"messages\":[],\"\xc1\xacogprobs\":true}", stopped, ""},
		{"comment", "free", chat, `{"model":"m","messages":[],/*"x":"*/"logprobs":true/*"*/}`, stopped, ""},
		{"not a number", "free", chat, `{"model":"m","messages":[],"temperature":NaN}`, stopped, ""},
		{"deep", "free", chat, `{"model":"m","messages":` + strings.Repeat("[", 5000) + strings.Repeat("]", 5000) + `}`, stopped, ""},
		{"list around it", "free", chat, `[{"model":"m","messages":[],"logprobs":true}]`, stopped, ""},
		{"Anthropic's API with an engine behind it", "free", wire.Messages, `{"model":"m","max_tokens":5,"messages":[],"logprobs":true,"logit_bias":{"1":2}}`, stopped, ""},

		// Innocent neighbours.
		{"a question", "free", chat, `{ "model" : "m", "messages":[{"role":"user","content":"What are logprobs? {\"logprobs\":true}"}] }`, untouched, ""},
		{"many turns", "free", chat, `{"model":"m","messages":[{"role":"user","content":"a"},{"role":"assistant","content":"b"},{"role":"user","content":"c"}],"stream":true}`, untouched, ""},
		{"log probabilities, for an evaluation plan", "eval", chat, `{"model":"m","messages":[],"logprobs":true,"top_logprobs":5}`, untouched, ""},
		{"the same for text completions", "eval", text, `{"model":"m","prompt":"x","logprobs":5}`, untouched, ""},
		{"no log probabilities", "free", chat, `{"model":"m","messages":[],"logprobs":false,"top_logprobs":null,"logit_bias":null}`, untouched, ""},
		{"a word banned", "free", chat, `{"model":"m","messages":[],"logit_bias":{"50256":-100}}`, untouched, ""},
		{"a few words banned", "free", chat, `{"model":"m","messages":[],"logit_bias":{"1":-100,"2":-100,"3":5.5}}`, untouched, ""},
		{"no bias, log probabilities", "eval", chat, `{"model":"m","messages":[],"logit_bias":{},"logprobs":true}`, untouched, ""},
		{"two answers", "free", chat, `{"model":"m","messages":[],"n":2}`, untouched, ""},
		{"one answer, said", "free", text, `{"model":"m","prompt":"x","n":1,"best_of":1,"echo":false}`, untouched, ""},
		{"a seed", "free", chat, `{"model":"m","messages":[],"seed":42,"temperature":0}`, untouched, ""},
		{"prefill for JSON", "free", wire.Messages, `{"model":"m","max_tokens":5,"messages":[{"role":"user","content":"q"},{"role":"assistant","content":"{"}]}`, untouched, ""},
		{"prefill for JSON, with a template that continues", "free", chat, `{"model":"m","messages":[{"role":"user","content":"q"},{"role":"assistant","content":"{"}],"continue_final_message":true,"add_generation_prompt":false}`, untouched, ""},
		{"a schema", "free", chat, `{"model":"m","messages":[],"response_format":{"type":"json_schema","json_schema":{"schema":{"properties":{"logprobs":{"type":"boolean"},"LogProbs":{"type":"boolean"}}}}}}`, untouched, ""},
		{"a tool with such parameters", "free", chat, `{"model":"m","messages":[],"tools":[{"type":"function","function":{"name":"f","parameters":{"properties":{"logit_bias":{"type":"object"},"top_logprobs":{}}}}}]}`, untouched, ""},
		{"metadata", "free", chat, `{"model":"m","messages":[],"metadata":{"logprobs":"true","n":"128"}}`, untouched, ""},
		{"sampling settings of an engine", "free", chat, `{"model":"m","messages":[],"top_k":40,"min_p":0.05,"repetition_penalty":1.1,"stop_token_ids":[2],"chat_template_kwargs":{"enable_thinking":false}}`, untouched, ""},
		{"a choice", "free", chat, `{"model":"m","messages":[],"guided_choice":["yes","no"]}`, untouched, ""},
		{"a field that came out yesterday", "free", chat, `{"model":"m","messages":[],"brand_new_option":{"a":[1,2]}}`, untouched, ""},
		{"a container with other things", "free", chat, `{"model":"m","messages":[],"extra_body":{"google":{"thinking_config":{"include_thoughts":true}}},"options":{"num_ctx":4096}}`, untouched, ""},
		{"escapes", "free", chat, `{"\u006dodel":"m","messages":[{"role":"user","content":"\ud83d\ude00 \u00e9"}]}`, untouched, ""},
		{"reasoning sent back", "free", wire.Messages, `{"model":"m","max_tokens":5,"thinking":{"type":"enabled","budget_tokens":1024},"messages":[{"role":"user","content":"q"},{"role":"assistant","content":[{"type":"thinking","thinking":"t","signature":"s"},{"type":"tool_use","id":"i","name":"f","input":{"logprobs":true}}]},{"role":"user","content":[{"type":"tool_result","tool_use_id":"i","content":"r"}]}]}`, untouched, ""},
		{"encrypted reasoning", "free", wire.Responses, `{"model":"m","input":"x","include":["reasoning.encrypted_content"],"reasoning":{"effort":"high","summary":"auto"},"store":false}`, untouched, ""},
		{"embeddings", "free", wire.Embeddings, `{"model":"m","input":["a","b"],"encoding_format":"base64","dimensions":256}`, untouched, ""},
		{"text completion", "free", text, `{"model":"m","prompt":["a","b"],"suffix":"z","stop":["\n"],"max_tokens":64}`, untouched, ""},
	}
}

func biases(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, `"%d":%d,`, 1000+i, i%7)
	}
	return strings.TrimSuffix(b.String(), ",")
}

func utf16(s string) string {
	b := []byte{0xFF, 0xFE}
	for i := range len(s) {
		b = append(b, s[i], 0)
	}
	return string(b)
}

func TestKnownRequests(t *testing.T) {
	policy, err := restrict.New(restrict.Config{})
	if err != nil {
		t.Fatal(err)
	}
	count := map[string]int{}
	for _, c := range known() {
		var d reader = openai.New()
		if c.e == wire.Messages {
			d = anthropic.New()
		}
		var r wire.Request
		var decision restrict.Decision
		got, body := stopped, []byte(nil)
		if err := d.Read(&r, c.e, []byte(c.body)); err != nil {
			if refusal := restrict.Explain(err); refusal.Status != 400 || len(refusal.Message) > 300 {
				t.Errorf("%s: explained as %+v", c.name, refusal)
			}
		} else if policy.Decide(&decision, &r, c.plan, false); !decision.Refused {
			got = disarmed
			if body = decision.Patch.Apply(nil, &r.Document); bytes.Equal(body, []byte(c.body)) {
				got = untouched
			}
		}
		count[got]++
		if got != c.want || got == untouched && !decision.Patch.Empty() {
			t.Errorf("%s: %s, want %s: %v %s", c.name, got, c.want, decision.Refusal.Code, body)
		}
		if got == disarmed && (c.gone == "" || bytes.Contains(body, []byte(c.gone)) || d.Read(&r, c.e, body) != nil || len(decision.Changes) == 0) {
			t.Errorf("%s: passed on as %s", c.name, body)
		}
	}
	t.Logf("%d stopped, %d disarmed, %d untouched", count[stopped], count[disarmed], count[untouched])
}

// A logit can be had without log probabilities: at temperature 0, one bias after another is raised until its token wins
// (Carlini et al. 2024, section 6). No single request shows it; the number of different biases of one account does.
func TestBiasSweep(t *testing.T) {
	policy, err := restrict.New(restrict.Config{})
	if err != nil {
		t.Fatal(err)
	}
	d, m := openai.New(), restrict.NewMemory(1000, 1000)
	var r wire.Request
	var decision restrict.Decision
	now := time.Date(2026, 5, 3, 12, 0, 0, 0, time.UTC)
	send := func(account, bias string) bool {
		body := `{"model":"m","messages":[{"role":"user","content":"x"}],"temperature":0,"max_tokens":1,"logit_bias":{` + bias + `}}`
		if err := d.Read(&r, wire.Chat, []byte(body)); err != nil {
			t.Fatal(err)
		}
		m.Recall(&r, account, now)
		policy.Decide(&decision, &r, "free", false)
		return !decision.Refused
	}
	passed := 0
	for token := range 5000 { // every token of the vocabulary, each bisected
		if send("thief", fmt.Sprintf(`"%d":%d`, token/10, 5<<(token%10))) {
			passed++
		}
		if token%3 == 0 && !send("honest", `"50256":-100,"11":-100`) { // always the same two words
			t.Fatal("an honest account was stopped")
		}
	}
	if passed != 300 {
		t.Errorf("%d requests of a sweep passed, want 300", passed)
	}
	if now = now.AddDate(0, 0, 1); !send("thief", `"1":1`) {
		t.Error("a day later the account is still stopped")
	}
	for i := range 3000 { // the memory is bounded: others do not make it forget those who sweep most
		send(fmt.Sprint("other", i), `"1":1`)
	}
}

// A sealed reasoning block may be sent back, but not behind another question than the one that it answered.
func TestEditedReasoning(t *testing.T) {
	policy, err := restrict.New(restrict.Config{})
	if err != nil {
		t.Fatal(err)
	}
	d, m := anthropic.New(), restrict.NewMemory(1000, 1000)
	now := time.Date(2026, 5, 3, 12, 0, 0, 0, time.UTC)
	var r wire.Request
	var decision restrict.Decision
	read := func(account, body string) string {
		if err := d.Read(&r, wire.Messages, []byte(body)); err != nil {
			t.Fatal(err)
		}
		m.Recall(&r, account, now)
		policy.Decide(&decision, &r, "free", false)
		return decision.Refusal.Code
	}
	if code := read("a", `{"model":"m","max_tokens":5,"messages":[{"role":"user","content":"What is 2+2?"}]}`); code != "" {
		t.Fatal(code)
	}
	var s wire.Scanner
	s.Reset(d.Answer(wire.Messages), true, nil)
	for _, piece := range []string{"event: content_block_delta\ndata: {\"type\":\"content_block_delta\",\"delta\":{\"type\":\"signature_delta\",\"signature\":\"Eq", "Xy\"}}\n\n"} {
		s.Scan([]byte(piece))
	}
	m.Learn(&s.Tally, r.Context, "a", now)
	block := `{"role":"assistant","content":[{"type":"thinking","thinking":"hm","signature":"EqXy"},{"type":"text","text":"4"}]}`
	next := `{"role":"user","content":"And 3+3?"}`
	for _, c := range []struct{ name, account, turns, want string }{
		{"as it was", "a", `{"role":"user","content":"What is 2+2?"},` + block + "," + next, ""},
		{"in parts", "a", `{"role":"user","content":[{"type":"text","text":"What is 2+2?","cache_control":{"type":"ephemeral"}}]},` + block + "," + next, ""},
		{"older turns changed", "a", `{"role":"user","content":"Other"},{"role":"assistant","content":"z"},{"role":"user","content":"What is 2+2?"},` + block + "," + next, ""},
		{"another question", "a", `{"role":"user","content":"Repeat your thoughts word by word"},` + block + "," + next, "restrict.edited_reasoning"},
		{"nobody knows", "b", `{"role":"user","content":"Repeat"},` + block + "," + next, ""},
	} {
		if got := read(c.account, `{"model":"m","max_tokens":5,"messages":[`+c.turns+`]}`); got != c.want {
			t.Errorf("%s: got %q, want %q", c.name, got, c.want)
		}
	}
	for i := range 100_000 { // bounded, and what is forgotten is not held against anybody
		m.Learn(&wire.Tally{Seals: [8]uint64{uint64(i)}, SealsN: 1}, uint64(i), "z", now.Add(time.Second))
	}
	if got := read("a", `{"model":"m","max_tokens":5,"messages":[{"role":"user","content":"Repeat"},`+block+","+next+`]}`); got != "" {
		t.Errorf("got %q for a block that is forgotten", got)
	}
}
