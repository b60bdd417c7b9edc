package restrict

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"

	"github.com/palladium-guard/palladium/internal/wire"
)

// The dialects stand beside this package, so the tests read requests by a table like theirs.
func read(t testing.TB, e wire.Endpoint, body string) *wire.Request {
	t.Helper()
	rows := append([]wire.Field{{Name: "stream", Shape: wire.Flag}, {Name: "model"}, {Name: "messages"}, {Name: "include"}, {Name: "thinking"},
		{Name: "reasoning"}, {Name: "input"}, {Name: "prompt"}, {Name: "temperature"}, {Name: "max_tokens", Shape: wire.Limit}}, wire.Common()...)
	r := new(wire.Request)
	if err := r.Begin(e, []byte(body)); err != nil {
		t.Fatal(err)
	}
	if err := wire.NewFields(rows, wire.Containers()).Take(r); err != nil {
		t.Fatal(err)
	}
	if i := r.Find("model"); i >= 0 {
		r.Model = wire.Unquote(r.Members[i].Value.Of(r.Body))
	}
	return r
}

// ask adds an ask for what a dialect finds deeper within a member, where it first says so.
func ask(t testing.TB, r *wire.Request, f wire.Feature, name, member, text string, count int64) {
	t.Helper()
	i := r.Find(member)
	m := r.Members[i]
	at := strings.Index(string(m.Value.Of(r.Body)), text)
	if at < 0 {
		t.Fatalf("%s is not in %s", text, member)
	}
	s := wire.Span{Start: m.Value.Start + at, End: m.Value.Start + at + len(text)}
	a := wire.Ask{Feature: f, Name: name, Member: i, Value: s, Count: count}
	if s != m.Value {
		a.Within = s
	}
	r.Asks = append(r.Asks, a)
}

func policy(t testing.TB, text string) *Policy {
	t.Helper()
	var c Config
	if err := yaml.Unmarshal([]byte(text), &c); err != nil {
		t.Fatal(err)
	}
	p, err := New(c)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// outcome is the code of a refusal, else the body that goes upstream.
func outcome(d *Decision, r *wire.Request) string {
	if d.Refused {
		return d.Refusal.Code
	}
	return string(d.Patch.Apply(nil, &r.Document))
}

func TestDecide(t *testing.T) {
	for _, c := range []struct {
		name, rules, plan string
		e                 wire.Endpoint
		body, want        string
		rd                wire.Redaction
		less              bool
	}{
		{name: "plain", body: `{"model":"m", "messages":[]}`, want: `{"model":"m", "messages":[]}`},
		{name: "strip logprobs", body: `{"model":"m","logprobs":true , "top_logprobs":5,"stream":true}`, want: `{"model":"m","stream":true}`, rd: wire.Redaction{Logprobs: true}},
		{name: "cap", plan: "eval", body: `{"model":"m","logprobs":true,"top_logprobs":20}`, want: `{"model":"m","logprobs":true,"top_logprobs":5}`},
		{name: "all there are", plan: "eval", body: `{"model":"m","logprobs":true,"top_logprobs":-1}`, want: `{"model":"m","logprobs":true,"top_logprobs":5}`},
		{name: "cap a number", plan: "eval", e: wire.Completions, body: `{"model":"m","logprobs":100}`, want: `{"model":"m","logprobs":5}`},
		{name: "within the cap", plan: "eval", e: wire.Completions, body: `{"model":"m","logprobs":3}`, want: `{"model":"m","logprobs":3}`},
		{name: "allow the flag alone", rules: `rules: [{features: {logprobs: allow}}]`, e: wire.Completions, body: `{"model":"m","logprobs":3}`, want: `{"model":"m","logprobs":0}`},
		{name: "tokens of the caller's choice", plan: "eval", body: `{"model":"m","logprobs":true,"logprob_token_ids":[1,2]}`, want: "restrict.top_logprobs"},
		{name: "n", body: `{"model":"m","n":4}`, want: `{"model":"m","n":4}`},
		{name: "too many", body: `{"model":"m","n":5}`, want: "restrict.n"},
		{name: "n capped", rules: `rules: [{features: {n: cap 2}}]`, body: `{"model":"m","n":5}`, want: `{"model":"m","n":2}`},
		{name: "n stripped", rules: `rules: [{features: {n: strip}}]`, body: `{"n":5,"model":"m"}`, want: `{"model":"m"}`},
		{name: "later rules win", rules: "rules: [{features: {n: refuse}}, {models: ['m*'], plans: [pro], features: {n: allow}}]", plan: "pro", body: `{"model":"m1","n":50}`, want: `{"model":"m1","n":50}`},
		{name: "for other plans they do not", rules: "rules: [{features: {n: refuse}}, {models: ['m*'], plans: [pro], features: {n: allow}}]", plan: "free", body: `{"model":"m1","n":2}`, want: "restrict.n"},
		{name: "container", plan: "eval", body: `{"extra_body":{"a":1,"top_logprobs":9},"model":"m"}`, want: `{"extra_body":{"a":1,"top_logprobs":5},"model":"m"}`},
		{name: "container stripped", body: `{"extra_body":{"a":1,"logprobs":true},"model":"m"}`, want: `{"extra_body":{"a":1},"model":"m"}`, rd: wire.Redaction{Logprobs: true}},
		{name: "container emptied", body: `{"extra_body":{"logprobs":true},"model":"m"}`, want: `{"model":"m"}`, rd: wire.Redaction{Logprobs: true}},
		{name: "unknown passes", body: `{"model":"m","mystery":{"a":1}}`, want: `{"model":"m","mystery":{"a":1}}`},
		{name: "unknown refused", rules: `rules: [{unknown: refuse}]`, body: `{"model":"m","mystery":1}`, want: "restrict.unknown"},
		{name: "unknown stripped", rules: `rules: [{unknown: strip}]`, body: `{"mystery":1,"model":"m"}`, want: `{"model":"m"}`},
		{name: "one field", rules: `rules: [{fields: {mystery: refuse, min_p: strip}}]`, body: `{"model":"m","mystery":1}`, want: "restrict.field"},
		{name: "another field", rules: `rules: [{fields: {mystery: refuse, min_p: strip}}]`, body: `{"model":"m","min_p":1}`, want: `{"model":"m"}`},
		{name: "field against its feature", rules: `rules: [{fields: {return_token_ids: allow}}]`, body: `{"model":"m","return_token_ids":true}`, want: `{"model":"m","return_token_ids":true}`},
		{name: "but not its companion", rules: `rules: [{fields: {return_token_ids: allow}}]`, body: `{"model":"m","return_token_ids":true,"return_hidden_states":true}`, want: "restrict.internals"},
		{name: "internals stripped", rules: `rules: [{features: {internals: strip}}]`, body: `{"model":"m","return_token_ids":true}`, want: `{"model":"m"}`, rd: wire.Redaction{Hidden: true}},
		{name: "seed alone", body: `{"model":"m","seed":7}`, want: `{"model":"m","seed":7}`},
		{name: "seed and bias", body: `{"model":"m","seed":7,"logit_bias":{"5":-100}}`, want: `{"model":"m","logit_bias":{"5":-100}}`},
		{name: "embeddings", e: wire.Embeddings, body: `{"model":"m","input":"x"}`, want: `{"model":"m","input":"x"}`, rd: wire.Redaction{Round: true, Decimals: 5}},
		{name: "embeddings as they are", rules: `rules: [{embedding_decimals: -1}]`, e: wire.Embeddings, body: `{"model":"m","input":"x"}`, want: `{"model":"m","input":"x"}`},
		{name: "withheld by verdict", plan: "eval", less: true, body: `{"model":"m","n":3,"best_of":2,"logprobs":true,"top_logprobs":2}`, want: `{"model":"m","n":1,"best_of":1}`,
			rd: wire.Redaction{Logprobs: true, Reasoning: true}},
		{name: "what is refused stays so", rules: `rules: [{features: {n: refuse}}]`, less: true, body: `{"model":"m","n":3}`, want: "restrict.n"},
		{name: "reasoning withheld", rules: `rules: [{reasoning: withhold}]`, body: `{"model":"m","separate_reasoning":false}`, want: `{"model":"m"}`, rd: wire.Redaction{Reasoning: true}},
		{name: "nor does it show in probabilities", rules: `rules: [{reasoning: withhold, features: {logprobs: allow, top_logprobs: cap 5, internals: allow}}]`,
			body: `{"model":"m","logprobs":true,"top_logprobs":9,"return_token_ids":true}`, want: `{"model":"m"}`, rd: wire.Redaction{Logprobs: true, Reasoning: true, Hidden: true}},
		{name: "reasoning passed", body: `{"model":"m","separate_reasoning":false}`, want: `{"model":"m","separate_reasoning":false}`},
		{name: "counting tokens", e: wire.CountTokens, body: `{"model":"m","n":500}`, want: `{"model":"m","n":500}`},
	} {
		if c.e == 0 {
			c.e = wire.Chat
		}
		p, r := policy(t, c.rules), read(t, c.e, c.body)
		var d Decision
		for range 2 { // its memory is used again
			p.Decide(&d, r, c.plan, c.less)
		}
		if got := outcome(&d, r); got != c.want || d.Redaction != c.rd {
			t.Errorf("%s: got %s %+v, want %s %+v", c.name, got, d.Redaction, c.want, c.rd)
		}
		if same := c.body == c.want; !d.Refused && (d.Patch.Empty() != same || (len(d.Changes) == 0) != same) {
			t.Errorf("%s: empty patch is %v, changes %v", c.name, d.Patch.Empty(), d.Changes)
		}
		if d.Refused && (d.Refusal.Status != 400 || d.Refusal.Message == "" || !d.Patch.Empty()) {
			t.Errorf("%s: refused with %+v", c.name, d.Refusal)
		}
	}
}

func TestReasoningOptions(t *testing.T) {
	p := policy(t, `rules: [{reasoning: summarise}]`)
	for _, c := range []struct {
		e                        wire.Endpoint
		member, body, text, want string
	}{
		{wire.Messages, "thinking", `{"model":"m","thinking":{"type":"enabled","budget_tokens":9}}`, `{"type":"enabled","budget_tokens":9}`,
			`{"model":"m","thinking":{"display":"summarized","type":"enabled","budget_tokens":9}}`},
		{wire.Messages, "thinking", `{"model":"m","thinking":{"type":"enabled","display":"omitted"}}`, `{"type":"enabled","display":"omitted"}`,
			`{"model":"m","thinking":{"type":"enabled","display":"omitted"}}`},
		{wire.Messages, "thinking", `{"model":"m","thinking":{"type":"enabled","display":"full"}}`, `{"type":"enabled","display":"full"}`,
			`{"model":"m","thinking":{"type":"enabled","display":"summarized"}}`},
		{wire.Responses, "reasoning", `{"model":"m","reasoning":{"effort":"high"}}`, `{"effort":"high"}`, `{"model":"m","reasoning":{"summary":"auto","effort":"high"}}`},
		{wire.Chat, "reasoning", `{"model":"m","reasoning":{"effort":"high"}}`, `{"effort":"high"}`, `{"model":"m","reasoning":{"effort":"high"}}`},
	} {
		r := read(t, c.e, c.body)
		ask(t, r, wire.Reasoning, c.member, c.member, c.text, 1)
		var d Decision
		p.Decide(&d, r, "", false)
		if got := outcome(&d, r); got != c.want || !d.Redaction.Reasoning || d.Redaction.Summaries != (c.e != wire.Chat) {
			t.Errorf("got %s %+v, want %s", got, d.Redaction, c.want)
		}
	}
}

func TestDeeper(t *testing.T) {
	const include = `{"include":["reasoning.encrypted_content", "message.output_text.logprobs"],"model":"m"}`
	const turns = `{"model":"m","messages":[{"role":"user","content":"a"},{"role":"assistant","content":[{"type":"thinking","t":1},{"type":"text"}]},{"role":"assistant","content":[{"type":"thinking","t":2}]}]}`
	const prefill = `{"model":"m","messages":[{"role":"user","content":"a"} , {"role":"assistant","content":"{"}]}`
	for _, c := range []struct {
		name, rules, body, want string
		add                     func(r *wire.Request)
	}{
		{"include", "", include, `{"include":["reasoning.encrypted_content"],"model":"m"}`, func(r *wire.Request) {
			ask(t, r, wire.Logprobs, "include", "include", `"message.output_text.logprobs"`, 1)
		}},
		{"include alone", "", `{"include":["message.output_text.logprobs"],"model":"m"}`, `{"model":"m"}`, func(r *wire.Request) {
			ask(t, r, wire.Logprobs, "include", "include", `"message.output_text.logprobs"`, 1)
		}},
		{"prior reasoning", `rules: [{features: {prior_reasoning: strip}}]`, turns,
			`{"model":"m","messages":[{"role":"user","content":"a"},{"role":"assistant","content":[{"type":"text"}]}]}`, func(r *wire.Request) {
				ask(t, r, wire.PriorReasoning, "thinking block", "messages", `{"type":"thinking","t":1}`, 1)
				ask(t, r, wire.PriorReasoning, "thinking block", "messages", `{"type":"thinking","t":2}`, 1)
			}},
		{"prefill", "", prefill, prefill, func(r *wire.Request) {
			ask(t, r, wire.Prefill, "last message", "messages", `{"role":"assistant","content":"{"}`, 1)
		}},
		{"long prefill", "", prefill, "restrict.prefill", func(r *wire.Request) {
			ask(t, r, wire.Prefill, "last message", "messages", `{"role":"assistant","content":"{"}`, 17)
		}},
		{"prefill of reasoning", "", prefill, "restrict.prefill", func(r *wire.Request) {
			ask(t, r, wire.Prefill, "last message", "messages", `{"role":"assistant","content":"{"}`, 7)
			r.Asks[0].Marked = true
		}},
		{"prefill stripped", `rules: [{features: {prefill: strip}}]`, prefill, `{"model":"m","messages":[{"role":"user","content":"a"}]}`, func(r *wire.Request) {
			ask(t, r, wire.Prefill, "last message", "messages", `{"role":"assistant","content":"{"}`, 1)
		}},
		{"edited reasoning", "", turns, "restrict.edited_reasoning", func(r *wire.Request) { r.Edited = 1 }},
		{"edited reasoning stripped", `rules: [{features: {edited_reasoning: strip}}]`, turns,
			`{"model":"m","messages":[{"role":"user","content":"a"},{"role":"assistant","content":[{"type":"text"}]},{"role":"assistant","content":[{"type":"thinking","t":2}]}]}`, func(r *wire.Request) {
				r.Edited = 1
				ask(t, r, wire.PriorReasoning, "thinking block", "messages", `{"type":"thinking","t":1}`, 1)
			}},
		{"sweep", "", `{"model":"m","logit_bias":{"5":1}}`, "restrict.bias_sweep", func(r *wire.Request) { r.Biases = 301 }},
		{"no sweep", "", `{"model":"m","logit_bias":{"5":1}}`, `{"model":"m","logit_bias":{"5":1}}`, func(r *wire.Request) { r.Biases = 300 }},
	} {
		p, r := policy(t, c.rules), read(t, wire.Chat, c.body)
		c.add(r)
		var d Decision
		p.Decide(&d, r, "", false)
		got := outcome(&d, r)
		if got != c.want || !d.Refused && !json.Valid([]byte(got)) {
			t.Errorf("%s: got %s, want %s", c.name, got, c.want)
		}
	}
}

func TestConfigRefuses(t *testing.T) {
	for text, want := range map[string]string{
		`rules: [{features: {logprob: allow}}]`:    `unknown feature "logprob"`,
		`rules: [{features: {n: maybe}}]`:          `unknown action "maybe"`,
		`rules: [{features: {n: cap}}]`:            `unknown action "cap"`,
		`rules: [{features: {n: cap -1}}]`:         `unknown action`,
		`rules: [{features: {n: allow 5}}]`:        `unknown action`,
		`rules: [{features: {logprobs: cap 5}}]`:   `features.logprobs: "cap 5" makes no sense`,
		`rules: [{features: {logit_bias: cap 5}}]`: `features.logit_bias`,
		`rules: [{features: {bias_sweep: strip}}]`: `features.bias_sweep`,
		`rules: [{features: {reasoning: strip}}]`:  `unknown feature "reasoning"`,
		`rules: [{fields: {x: limit 5}}]`:          `fields.x`,
		`rules: [{unknown: cap 1}]`:                `unknown: "cap 1"`,
		`rules: [{reasoning: hide}]`:               `reasoning: unknown word "hide"`,
		`rules: [{embedding_decimals: 18}]`:        `embedding_decimals: 18`,
		"rules: [{reasoning: pass}, {plans: [a]}]": "rule 2: it changes nothing",
	} {
		var c Config
		err := yaml.Unmarshal([]byte(text), &c)
		if err == nil {
			_, err = New(c)
		}
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want %s", text, err, want)
		}
	}
	out, err := yaml.Marshal(Default())
	if err != nil || !strings.Contains(string(out), "top_logprobs: cap 5") {
		t.Errorf("the default is written as %s, %v", out, err)
	}
	var c Config
	if err := yaml.Unmarshal(out, &c); err != nil {
		t.Error(err)
	} else if _, err := New(c); err != nil {
		t.Error(err)
	}
}

func TestMatches(t *testing.T) {
	for _, c := range []struct {
		pattern, name string
		want          bool
	}{
		{"*", "", true}, {"*", "a/b", true}, {"gpt-*", "gpt-4o", true}, {"gpt-*", "mygpt-4o", false}, {"*-mini", "gpt-4o-mini", true},
		{"*-mini", "gpt-mini-x", false}, {"a*b*c", "aXbYc", true}, {"a*b*c", "acb", false}, {"m", "m", true}, {"m", "mm", false}, {"a*a", "a", false},
		{"", "", true}, {"", "a", false},
	} {
		if matches([]string{c.pattern}, c.name) != c.want {
			t.Errorf("%q and %q: want %v", c.pattern, c.name, c.want)
		}
	}
}

func FuzzDecide(f *testing.F) {
	f.Add([]byte(`{"model":"m","logprobs":true,"top_logprobs":5,"logit_bias":{"1":2},"extra_body":{"n":9,"prompt_logprobs":3},"zz":1}`), uint16(0x1234))
	f.Add([]byte(`{"extra_body":{"logprobs":true,"top_logprobs":2},"n":7,"best_of":9,"seed":1}`), uint16(7))
	fields := wire.NewFields(wire.Common(), wire.Containers())
	f.Fuzz(func(t *testing.T, body []byte, choice uint16) {
		var r wire.Request
		if r.Begin(wire.Chat, body) != nil || fields.Take(&r) != nil {
			return
		}
		verbs := []string{"allow", "strip", "cap 1", "limit 2", "refuse"}
		c := Config{Rules: []Rule{{Features: map[string]Action{}, Unknown: &Action{Verb: []Verb{Allow, Strip}[choice>>15]}}}}
		for i, name := range sorted(names()) {
			var a Action
			if err := a.UnmarshalText([]byte(verbs[(int(choice)>>(i%12))%len(verbs)])); err != nil {
				t.Fatal(err)
			}
			if suits(names()[name], a) == nil {
				c.Rules[0].Features[name] = a
			}
		}
		if choice&2 > 0 {
			c.Rules[0].Reasoning = "withhold"
		}
		p, err := New(c)
		if err != nil {
			t.Fatal(err)
		}
		var d Decision
		p.Decide(&d, &r, "", choice&1 == 1)
		if d.Refused {
			return
		}
		out := d.Patch.Apply(nil, &r.Document)
		if d.Patch.Empty() && string(out) != string(body) {
			t.Fatal("an empty patch changed the body")
		}
		var again wire.Request
		if err := again.Begin(wire.Chat, out); err != nil {
			t.Fatalf("%q became %q: %v", body, out, err)
		}
		if err := fields.Take(&again); err != nil {
			t.Fatalf("%q became %q: %v", body, out, err)
		}
		// What has been decided stays decided.
		var d2 Decision
		p.Decide(&d2, &again, "", choice&1 == 1)
		if d2.Refused || !d2.Patch.Empty() {
			t.Fatalf("%q became %q, and then %s %v", body, out, d2.Refusal.Code, d2.Changes)
		}
	})
}

func BenchmarkDecide(b *testing.B) {
	p, err := New(Config{})
	if err != nil {
		b.Fatal(err)
	}
	for _, body := range []string{`{"model":"m","messages":[],"stream":true}`, `{"model":"m","messages":[],"logprobs":true,"top_logprobs":5}`} {
		b.Run(fmt.Sprint(len(body)), func(b *testing.B) {
			r := read(b, wire.Chat, body)
			var d Decision
			b.ReportAllocs()
			for b.Loop() {
				p.Decide(&d, r, "pro", false)
			}
		})
	}
}
