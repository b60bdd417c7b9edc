package upstream

import (
	"iter"
	"net/http"
	"slices"
	"strings"
)

// responses is a request of the responses endpoint.
type responses struct {
	openAI
	Model        string   `json:"model"`
	Input        any      `json:"input"`
	Instructions string   `json:"instructions"`
	Stream       bool     `json:"stream"`
	MaxOutput    int      `json:"max_output_tokens"`
	TopLogprobs  int      `json:"top_logprobs"`
	Include      []string `json:"include"`
	Parallel     *bool    `json:"parallel_tool_calls"`
	ToolChoice   any      `json:"tool_choice"`
	Reasoning    *struct {
		Effort  string `json:"effort"`
		Summary string `json:"summary"`
	} `json:"reasoning"`
	Tools []struct {
		Type       string `json:"type"`
		Name       string `json:"name"`
		Parameters any    `json:"parameters"`
	} `json:"tools"`
	Text *struct {
		Format struct {
			Type   string `json:"type"`
			Schema any    `json:"schema"`
		} `json:"format"`
	} `json:"text"`
}

func (p *responses) read(x *exchange) (ask, bool) {
	if !x.head(p, &p.Model) {
		return ask{}, false
	}
	if p.Input == nil {
		x.refuse(http.StatusBadRequest, "", "input is missing")
		return ask{}, false
	}
	q := ask{
		model: p.Model, limit: p.MaxOutput, parallel: p.Parallel == nil || *p.Parallel, called: p.ToolChoice != "none",
		thinks: p.Reasoning != nil && p.Reasoning.Effort != "none",
	}
	if p.Instructions != "" {
		q.text = append(q.text, p.Instructions)
	}
	plain(p.Input, &q.text)
	if items, ok := p.Input.([]any); ok && len(items) > 0 {
		last, _ := items[len(items)-1].(map[string]any)
		q.called = q.called && last["type"] != "function_call_output"
	}
	for _, t := range p.Tools {
		if t.Type == "function" {
			q.tools = append(q.tools, tool{t.Name, t.Parameters})
		}
	}
	if p.Text != nil && p.Text.Format.Type == "json_schema" {
		q.schema = p.Text.Format.Schema
	}
	return q, true
}

func (p *responses) streams() bool { return p.Stream }

func (p *responses) failure() event {
	return event{name: "error", data: []byte(`{"type":"error","code":"server_error","message":"the model failed, asked for by the caller","param":null,"sequence_number":99}`)}
}

func (p *responses) odds(tokens []string) []map[string]any {
	if !slices.Contains(p.Include, "message.output_text.logprobs") {
		return []map[string]any{}
	}
	return odds(tokens, p.TopLogprobs)
}

// frame is the response object with the given state and output.
func (p *responses) frame(a *answer, status string, output []any) map[string]any {
	out := map[string]any{
		"id": "resp_" + a.id, "object": "response", "created_at": made().Unix(), "status": status, "model": p.Model, "output": output,
		"error": nil, "incomplete_details": nil, "instructions": nil, "metadata": map[string]any{}, "parallel_tool_calls": p.Parallel == nil || *p.Parallel,
		"temperature": 1, "top_p": 1, "tool_choice": "auto", "tools": []any{}, "usage": nil, "x_upstream": note(),
	}
	if p.Instructions != "" {
		out["instructions"] = p.Instructions
	}
	if status == "incomplete" {
		out["incomplete_details"] = map[string]any{"reason": "max_output_tokens"}
	}
	return out
}

// done is the finished response object.
func (p *responses) done(x *exchange, a *answer) map[string]any {
	status := "completed"
	if a.limited {
		status = "incomplete"
	}
	out := p.frame(a, status, p.output(a))
	if !x.fault.NoUsage {
		n := a.output()
		out["usage"] = map[string]any{
			"input_tokens": a.prompt, "output_tokens": n, "total_tokens": a.prompt + n,
			"input_tokens_details":  map[string]any{"cached_tokens": 0},
			"output_tokens_details": map[string]any{"reasoning_tokens": len(a.reason)},
		}
	}
	return out
}

func (p *responses) whole(x *exchange, a *answer) any { return p.done(x, a) }

func (p *responses) output(a *answer) []any {
	out := []any{}
	if len(a.reason) > 0 {
		out = append(out, p.thought(a))
	}
	for _, k := range a.calls {
		out = append(out, function(k, k.arguments(), "completed"))
	}
	if len(a.calls) == 0 {
		out = append(out, p.message(a, "completed", []any{p.part(a.choices[0])}))
	}
	return out
}

func (p *responses) thought(a *answer) map[string]any {
	summary := []any{}
	if p.Reasoning != nil && p.Reasoning.Summary != "" {
		summary = append(summary, map[string]any{"type": "summary_text", "text": strings.Join(a.reason, "")})
	}
	item := map[string]any{"id": "rs_" + a.id, "type": "reasoning", "summary": summary}
	if slices.Contains(p.Include, "reasoning.encrypted_content") {
		item["encrypted_content"] = "sealed-" + a.id
	}
	return item
}

func (p *responses) message(a *answer, status string, content []any) map[string]any {
	return map[string]any{"id": "msg_" + a.id, "type": "message", "role": "assistant", "status": status, "content": content}
}

func (p *responses) part(tokens []string) map[string]any {
	return map[string]any{"type": "output_text", "text": strings.Join(tokens, ""), "annotations": []any{}, "logprobs": p.odds(tokens)}
}

func function(k call, arguments, status string) map[string]any {
	return map[string]any{"id": "fc_" + k.id, "type": "function_call", "call_id": "call_" + k.id, "name": k.name, "arguments": arguments, "status": status}
}

// told is a stream of numbered events, until the caller has left.
type told struct {
	yield func(event) bool
	n     int
	gone  bool
}

func (t *told) say(name string, token bool, fields map[string]any) {
	if t.gone {
		return
	}
	fields["type"], fields["sequence_number"] = name, t.n
	t.n++
	t.gone = !t.yield(event{name: name, data: encode(fields), token: token})
}

func (p *responses) events(x *exchange, a *answer) iter.Seq[event] {
	return func(yield func(event) bool) {
		t := &told{yield: yield}
		t.say("response.created", false, map[string]any{"response": p.frame(a, "in_progress", []any{})})
		t.say("response.in_progress", false, map[string]any{"response": p.frame(a, "in_progress", []any{})})
		index := 0
		if len(a.reason) > 0 {
			p.think(t, a)
			index++
		}
		for _, k := range a.calls {
			id := "fc_" + k.id
			t.say("response.output_item.added", false, map[string]any{"output_index": index, "item": function(k, "", "in_progress")})
			for _, piece := range k.pieces {
				t.say("response.function_call_arguments.delta", true, map[string]any{"item_id": id, "output_index": index, "delta": piece})
			}
			t.say("response.function_call_arguments.done", false, map[string]any{"item_id": id, "output_index": index, "name": k.name, "arguments": k.arguments()})
			t.say("response.output_item.done", false, map[string]any{"output_index": index, "item": function(k, k.arguments(), "completed")})
			index++
		}
		if len(a.calls) == 0 {
			p.speak(t, a, index)
		}
		if x.fault.Unknown {
			t.say("response.upstream_note", false, map[string]any{"note": note()})
		}
		end := p.done(x, a)
		name := "response.completed"
		if a.limited {
			name = "response.incomplete"
		}
		t.say(name, false, map[string]any{"response": end})
	}
}

func (p *responses) think(t *told, a *answer) {
	id := "rs_" + a.id
	empty := p.thought(a)
	empty["summary"] = []any{}
	t.say("response.output_item.added", false, map[string]any{"output_index": 0, "item": empty})
	if p.Reasoning.Summary != "" {
		at := func(more map[string]any) map[string]any {
			more["item_id"], more["output_index"], more["summary_index"] = id, 0, 0
			return more
		}
		t.say("response.reasoning_summary_part.added", false, at(map[string]any{"part": map[string]any{"type": "summary_text", "text": ""}}))
		for _, w := range a.reason {
			t.say("response.reasoning_summary_text.delta", true, at(map[string]any{"delta": w}))
		}
		text := strings.Join(a.reason, "")
		t.say("response.reasoning_summary_text.done", false, at(map[string]any{"text": text}))
		t.say("response.reasoning_summary_part.done", false, at(map[string]any{"part": map[string]any{"type": "summary_text", "text": text}}))
	}
	t.say("response.output_item.done", false, map[string]any{"output_index": 0, "item": p.thought(a)})
}

func (p *responses) speak(t *told, a *answer, index int) {
	tokens := a.choices[0]
	at := func(more map[string]any) map[string]any {
		more["item_id"], more["output_index"], more["content_index"] = "msg_"+a.id, index, 0
		return more
	}
	t.say("response.output_item.added", false, map[string]any{"output_index": index, "item": p.message(a, "in_progress", []any{})})
	t.say("response.content_part.added", false, at(map[string]any{"part": p.part(nil)}))
	for i, w := range tokens {
		t.say("response.output_text.delta", true, at(map[string]any{"delta": w, "logprobs": p.odds(tokens[i : i+1])}))
	}
	t.say("response.output_text.done", false, at(map[string]any{"text": strings.Join(tokens, ""), "logprobs": p.odds(tokens)}))
	t.say("response.content_part.done", false, at(map[string]any{"part": p.part(tokens)}))
	t.say("response.output_item.done", false, map[string]any{"output_index": index, "item": p.message(a, "completed", []any{p.part(tokens)})})
}
