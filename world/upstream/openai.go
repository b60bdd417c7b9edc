package upstream

import (
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"iter"
	"math"
	"math/rand/v2"
	"net/http"
	"strings"
	"time"
)

// openAI is the manner that all OpenAI endpoints share.
type openAI struct{}

func (openAI) provider() string { return providerOpenAI }

func (openAI) problem(status int, code, message, _ string) any {
	kind := "invalid_request_error"
	switch {
	case status == http.StatusTooManyRequests:
		kind = "rate_limit_error"
		if code == "" {
			code = "rate_limit_exceeded"
		}
	case status >= 500:
		kind = "server_error"
	}
	e := map[string]any{"message": message, "type": kind, "param": nil, "code": nil}
	if code != "" {
		e["code"] = code
	}
	return map[string]any{"error": e}
}

func (openAI) failure() event {
	return event{data: []byte(`{"error":{"message":"the model failed, asked for by the caller","type":"server_error","param":null,"code":"upstream_failed"}}`)}
}

// made is the time that answers are dated: they must not depend on the clock.
func made() time.Time { return time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC) }

// note is a field of every answer that no client knows of.
func note() json.RawMessage { return json.RawMessage(`{"made_up":true,"n":9007199254740993}`) }

// usage is token counts as OpenAI gives them.
type usage struct {
	Prompt     int            `json:"prompt_tokens"`
	Completion int            `json:"completion_tokens"`
	Total      int            `json:"total_tokens"`
	In         map[string]int `json:"prompt_tokens_details,omitempty"`
	Out        map[string]int `json:"completion_tokens_details,omitempty"`
}

func used(a *answer) *usage {
	out := a.output()
	return &usage{
		Prompt: a.prompt, Completion: out, Total: a.prompt + out, In: map[string]int{"cached_tokens": 0},
		Out: map[string]int{"reasoning_tokens": len(a.reason)},
	}
}

func rawUsage(x *exchange, a *answer) json.RawMessage {
	if x.fault.NoUsage {
		return nil
	}
	return encode(used(a))
}

// chat is a request of chat completions.
type chat struct {
	openAI
	Model    string `json:"model"`
	Messages []struct {
		Role      string `json:"role"`
		Content   any    `json:"content"`
		ToolCalls []any  `json:"tool_calls"`
	} `json:"messages"`
	Stream        bool     `json:"stream"`
	Options       *options `json:"stream_options"`
	MaxTokens     int      `json:"max_tokens"`
	MaxCompletion int      `json:"max_completion_tokens"`
	N             int      `json:"n"`
	Logprobs      bool     `json:"logprobs"`
	TopLogprobs   int      `json:"top_logprobs"`
	Effort        string   `json:"reasoning_effort"`
	Parallel      *bool    `json:"parallel_tool_calls"`
	ToolChoice    any      `json:"tool_choice"`
	Tools         []struct {
		Function struct {
			Name       string `json:"name"`
			Parameters any    `json:"parameters"`
		} `json:"function"`
	} `json:"tools"`
	Format *struct {
		Type   string `json:"type"`
		Schema struct {
			Schema any `json:"schema"`
		} `json:"json_schema"`
	} `json:"response_format"`
}

func (c *chat) read(x *exchange) (ask, bool) {
	if !x.head(c, &c.Model) {
		return ask{}, false
	}
	if len(c.Messages) == 0 {
		x.refuse(http.StatusBadRequest, "", "messages is missing")
		return ask{}, false
	}
	q := ask{
		model: c.Model, choices: c.N, limit: max(c.MaxTokens, c.MaxCompletion), parallel: c.Parallel == nil || *c.Parallel,
		thinks: c.Effort != "" && c.Effort != "none", called: c.ToolChoice != "none",
	}
	for _, m := range c.Messages {
		plain(m.Content, &q.text)
		plain(m.ToolCalls, &q.text)
	}
	q.called = q.called && c.Messages[len(c.Messages)-1].Role != "tool"
	for _, t := range c.Tools {
		q.tools = append(q.tools, tool{t.Function.Name, t.Function.Parameters})
	}
	if c.Format != nil && c.Format.Type == "json_schema" {
		q.schema = c.Format.Schema.Schema
	} else if c.Format != nil && c.Format.Type == "json_object" {
		q.schema = map[string]any{"type": "object", "properties": map[string]any{"answer": map[string]any{"type": "string"}}}
	}
	return q, true
}

func (c *chat) streams() bool { return c.Stream }

func ending(a *answer) string {
	switch {
	case len(a.calls) > 0:
		return "tool_calls"
	case a.limited:
		return "length"
	}
	return "stop"
}

// odds are the log probabilities of some tokens, with k others each.
func odds(tokens []string, k int) []map[string]any {
	out := make([]map[string]any, 0, len(tokens))
	for i, t := range tokens {
		rng := rand.New(rand.NewPCG(uint64(len(t)), uint64(i)))
		first := -rng.Float64()
		top := []map[string]any{}
		for j, w := range append([]string{t}, words(rng, max(k-1, 0))...)[:min(k, k+1)] {
			top = append(top, map[string]any{"token": w, "logprob": first - float64(j), "bytes": octets(w)})
		}
		out = append(out, map[string]any{"token": t, "logprob": first, "bytes": octets(t), "top_logprobs": top})
	}
	return out
}

func octets(t string) []int {
	out := make([]int, len(t))
	for i := range len(t) {
		out[i] = int(t[i])
	}
	return out
}

func (c *chat) logprobs(tokens []string) any {
	if !c.Logprobs {
		return nil
	}
	return map[string]any{"content": odds(tokens, c.TopLogprobs), "refusal": nil}
}

func (c *chat) whole(x *exchange, a *answer) any {
	var choices []any
	for i, tokens := range a.choices {
		message := map[string]any{"role": "assistant", "content": strings.Join(tokens, ""), "refusal": nil, "annotations": []any{}}
		if len(a.reason) > 0 {
			message["reasoning_content"] = strings.Join(a.reason, "")
		}
		if len(a.calls) > 0 {
			message["content"] = nil
			message["tool_calls"] = toolCalls(a.calls)
		}
		choices = append(choices, map[string]any{"index": i, "message": message, "logprobs": c.logprobs(tokens), "finish_reason": ending(a)})
	}
	out := map[string]any{
		"id": "chatcmpl-" + a.id, "object": "chat.completion", "created": made().Unix(), "model": c.Model, "choices": choices,
		"service_tier": "default", "system_fingerprint": "fp_upstream", "x_upstream": note(),
	}
	if u := rawUsage(x, a); u != nil {
		out["usage"] = u
	}
	return out
}

func toolCalls(calls []call) (out []any) {
	for _, k := range calls {
		out = append(out, map[string]any{"id": "call_" + k.id, "type": "function", "function": map[string]any{"name": k.name, "arguments": k.arguments()}})
	}
	return out
}

// chunk is an event of a chat stream.
type chunk struct {
	ID          string          `json:"id"`
	Object      string          `json:"object"`
	Created     int64           `json:"created"`
	Model       string          `json:"model"`
	Tier        string          `json:"service_tier"`
	Fingerprint string          `json:"system_fingerprint"`
	Choices     []chunkChoice   `json:"choices"`
	Usage       json.RawMessage `json:"usage,omitempty"`
	Note        json.RawMessage `json:"x_upstream,omitempty"`
}

type chunkChoice struct {
	Index    int     `json:"index"`
	Delta    delta   `json:"delta"`
	Logprobs any     `json:"logprobs"`
	Finish   *string `json:"finish_reason"`
}

type delta struct {
	Role    string  `json:"role,omitempty"`
	Content *string `json:"content,omitempty"`
	Reason  string  `json:"reasoning_content,omitempty"`
	Calls   []any   `json:"tool_calls,omitempty"`
}

func (c *chat) events(x *exchange, a *answer) iter.Seq[event] {
	base := chunk{ID: "chatcmpl-" + a.id, Object: "chat.completion.chunk", Created: made().Unix(), Model: c.Model, Tier: "default", Fingerprint: "fp_upstream"}
	asked := c.Options != nil && c.Options.Usage
	if asked {
		base.Usage = json.RawMessage("null")
	}
	one := func(choice chunkChoice, token bool) event {
		k := base
		k.Choices = []chunkChoice{choice}
		return event{data: encode(&k), token: token}
	}
	return func(yield func(event) bool) {
		empty := ""
		for i := range a.choices {
			k := base
			k.Note = note()
			k.Choices = []chunkChoice{{Index: i, Delta: delta{Role: "assistant", Content: &empty}}}
			if !yield(event{data: encode(&k)}) {
				return
			}
		}
		for _, t := range a.reason {
			if !yield(one(chunkChoice{Delta: delta{Reason: t}}, true)) {
				return
			}
		}
		for j := 0; ; j++ {
			more := false
			for i, tokens := range a.choices {
				if j >= len(tokens) {
					continue
				}
				more = true
				if !yield(one(chunkChoice{Index: i, Delta: delta{Content: &tokens[j]}, Logprobs: c.logprobs(tokens[j : j+1])}, true)) {
					return
				}
			}
			if !more {
				break
			}
		}
		for i, k := range a.calls {
			head := map[string]any{"index": i, "id": "call_" + k.id, "type": "function", "function": map[string]any{"name": k.name, "arguments": ""}}
			if !yield(one(chunkChoice{Delta: delta{Calls: []any{head}}}, true)) {
				return
			}
			for _, p := range k.pieces {
				part := map[string]any{"index": i, "function": map[string]any{"arguments": p}}
				if !yield(one(chunkChoice{Delta: delta{Calls: []any{part}}}, true)) {
					return
				}
			}
		}
		c.close(x, a, base, asked, yield)
	}
}

func (c *chat) close(x *exchange, a *answer, base chunk, asked bool, yield func(event) bool) {
	if x.fault.Unknown && !yield(event{name: "upstream.note", data: []byte(`{"type":"upstream.note","id":"` + a.id + `","object":"upstream.note","choices":[]}`)}) {
		return
	}
	finish := ending(a)
	for i := range a.choices {
		k := base
		k.Choices = []chunkChoice{{Index: i, Finish: &finish}}
		if !yield(event{data: encode(&k)}) {
			return
		}
	}
	if u := rawUsage(x, a); asked && u != nil {
		k := base
		k.Choices, k.Usage = []chunkChoice{}, u
		if !yield(event{data: encode(&k)}) {
			return
		}
	}
	yield(event{data: []byte("[DONE]")})
}

// completion is a request of the older completions endpoint.
type completion struct {
	openAI
	Model     string   `json:"model"`
	Prompt    any      `json:"prompt"`
	Stream    bool     `json:"stream"`
	Options   *options `json:"stream_options"`
	MaxTokens int      `json:"max_tokens"`
	N         int      `json:"n"`
	Echo      bool     `json:"echo"`
	Logprobs  *int     `json:"logprobs"`
}

func (c *completion) read(x *exchange) (ask, bool) {
	if !x.head(c, &c.Model) {
		return ask{}, false
	}
	q := ask{model: c.Model, choices: c.N, limit: c.MaxTokens}
	if q.limit == 0 {
		q.limit = 16
	}
	plain(c.Prompt, &q.text)
	return q, true
}

func (c *completion) streams() bool { return c.Stream }

func (c *completion) choice(i int, tokens []string, finish any) map[string]any {
	out := map[string]any{"index": i, "text": strings.Join(tokens, ""), "finish_reason": finish, "logprobs": nil}
	if c.Logprobs == nil {
		return out
	}
	var values []float64
	var top []map[string]any
	for _, o := range odds(tokens, *c.Logprobs) {
		values = append(values, o["logprob"].(float64))
		these := map[string]any{}
		for _, alternative := range o["top_logprobs"].([]map[string]any) {
			these[alternative["token"].(string)] = alternative["logprob"]
		}
		top = append(top, these)
	}
	out["logprobs"] = map[string]any{"tokens": tokens, "token_logprobs": values, "top_logprobs": top}
	return out
}

func (c *completion) frame(a *answer, choices []any) map[string]any {
	return map[string]any{
		"id": "cmpl-" + a.id, "object": "text_completion", "created": made().Unix(), "model": c.Model, "choices": choices, "x_upstream": note(),
	}
}

// said is what a choice says, with the prompt before it where that was asked for.
func (c *completion) said(tokens []string) []string {
	if !c.Echo {
		return tokens
	}
	var prompt []string
	plain(c.Prompt, &prompt)
	return append(prompt, tokens...)
}

func (c *completion) whole(x *exchange, a *answer) any {
	var choices []any
	for i, tokens := range a.choices {
		choices = append(choices, c.choice(i, c.said(tokens), ending(a)))
	}
	out := c.frame(a, choices)
	if u := rawUsage(x, a); u != nil {
		out["usage"] = u
	}
	return out
}

func (c *completion) events(x *exchange, a *answer) iter.Seq[event] {
	return func(yield func(event) bool) {
		for i, tokens := range a.choices {
			for _, t := range c.said(tokens) {
				if !yield(event{data: encode(c.frame(a, []any{c.choice(i, []string{t}, nil)})), token: true}) {
					return
				}
			}
			if !yield(event{data: encode(c.frame(a, []any{c.choice(i, nil, ending(a))}))}) {
				return
			}
		}
		if u := rawUsage(x, a); c.Options != nil && c.Options.Usage && u != nil {
			k := c.frame(a, []any{})
			k["usage"] = u
			if !yield(event{data: encode(k)}) {
				return
			}
		}
		yield(event{data: []byte("[DONE]")})
	}
}

// embeddings answers the embeddings endpoint: unit vectors that follow from the text.
func (s *Server) embeddings(x *exchange) {
	var q struct {
		Model      string `json:"model"`
		Input      any    `json:"input"`
		Dimensions int    `json:"dimensions"`
		Format     string `json:"encoding_format"`
	}
	if !x.head(&q, &q.Model) {
		return
	}
	inputs, ok := q.Input.([]any)
	if !ok {
		inputs = []any{q.Input}
	} else if len(inputs) > 0 {
		if _, tokens := inputs[0].(float64); tokens {
			inputs = []any{q.Input}
		}
	}
	if q.Dimensions <= 0 || q.Dimensions > 4096 {
		q.Dimensions = 64
	}
	var data []any
	tokens := 0
	for i, in := range inputs {
		var text []string
		plain(in, &text)
		whole := strings.Join(text, " ")
		if list, ok := in.([]any); ok && len(text) == 0 {
			whole = string(encode(list))
			tokens += len(list)
		}
		tokens += Count(whole)
		v := vector(whole, q.Dimensions)
		var shown any = v
		if q.Format == "base64" {
			raw := make([]byte, 0, 4*len(v))
			for _, f := range v {
				raw = binary.LittleEndian.AppendUint32(raw, math.Float32bits(f))
			}
			shown = base64.StdEncoding.EncodeToString(raw)
		}
		data = append(data, map[string]any{"object": "embedding", "index": i, "embedding": shown})
	}
	x.send(map[string]any{
		"object": "list", "model": q.Model, "data": data, "usage": map[string]any{"prompt_tokens": tokens, "total_tokens": tokens}, "x_upstream": note(),
	}, 0)
}

func vector(text string, n int) []float32 {
	var seed [32]byte
	copy(seed[:], text)
	for i := range len(text) {
		seed[i%32] ^= text[i] + byte(i)
	}
	rng := rand.New(rand.NewChaCha8(seed))
	v := make([]float32, n)
	norm := 0.0
	for i := range v {
		f := rng.NormFloat64()
		v[i] = float32(f)
		norm += f * f
	}
	for i := range v {
		v[i] /= float32(math.Sqrt(norm))
	}
	return v
}

func (s *Server) listed() []string {
	if len(s.cfg.Models) > 0 {
		return s.cfg.Models
	}
	return []string{"test-model", "test-model-small"}
}

func (x *exchange) describe(id string) map[string]any {
	if x.d.provider() == providerAnthropic {
		return map[string]any{"type": "model", "id": id, "display_name": id, "created_at": made().Format(time.RFC3339)}
	}
	return map[string]any{"id": id, "object": "model", "created": made().Unix(), "owned_by": "upstream"}
}

func (s *Server) models(x *exchange) {
	if !x.begin(new(string)) {
		return
	}
	var data []any
	ids := s.listed()
	for _, id := range ids {
		data = append(data, x.describe(id))
	}
	if x.d.provider() == providerAnthropic {
		x.send(map[string]any{"data": data, "has_more": false, "first_id": ids[0], "last_id": ids[len(ids)-1]}, 0)
		return
	}
	x.send(map[string]any{"object": "list", "data": data}, 0)
}

func (s *Server) model(x *exchange) {
	id := x.r.PathValue("id")
	if !known(s.listed(), id) {
		x.refuse(http.StatusNotFound, "model_not_found", "the model does not exist")
		return
	}
	x.send(x.describe(id), 0)
}

// options are those of a stream.
type options struct {
	Usage bool `json:"include_usage"`
}
