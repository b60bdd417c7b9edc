package upstream

import (
	"encoding/json"
	"iter"
	"net/http"
	"strings"
)

// anthropic is the manner that all Anthropic endpoints share.
type anthropic struct{}

func (anthropic) provider() string { return providerAnthropic }

// overloaded is the status by which Anthropic says that it has too much to do.
const overloaded = 529

func (anthropic) problem(status int, _, message, id string) any {
	kind := "api_error"
	switch status {
	case http.StatusUnauthorized:
		kind = "authentication_error"
	case http.StatusForbidden:
		kind = "permission_error"
	case http.StatusNotFound:
		kind = "not_found_error"
	case http.StatusRequestEntityTooLarge:
		kind = "request_too_large"
	case http.StatusTooManyRequests:
		kind = "rate_limit_error"
	case overloaded:
		kind = "overloaded_error"
	default:
		if status < 500 {
			kind = "invalid_request_error"
		}
	}
	return map[string]any{"type": "error", "error": map[string]any{"type": kind, "message": message}, "request_id": id}
}

func (anthropic) failure() event {
	return event{name: "error", data: []byte(`{"type":"error","error":{"type":"overloaded_error","message":"the model failed, asked for by the caller"}}`)}
}

// messages is a request of the messages endpoint.
type messages struct {
	anthropic
	Model    string `json:"model"`
	System   any    `json:"system"`
	Messages []struct {
		Role    string `json:"role"`
		Content any    `json:"content"`
	} `json:"messages"`
	MaxTokens  int  `json:"max_tokens"`
	Stream     bool `json:"stream"`
	ToolChoice *struct {
		Type     string `json:"type"`
		Parallel *bool  `json:"disable_parallel_tool_use"`
	} `json:"tool_choice"`
	Thinking *struct {
		Type string `json:"type"`
	} `json:"thinking"`
	Tools []struct {
		Name   string `json:"name"`
		Schema any    `json:"input_schema"`
	} `json:"tools"`
}

func (m *messages) read(x *exchange) (ask, bool) {
	if !x.head(m, &m.Model) {
		return ask{}, false
	}
	if len(m.Messages) == 0 || m.MaxTokens <= 0 {
		x.refuse(http.StatusBadRequest, "", "messages and max_tokens are needed")
		return ask{}, false
	}
	return m.ask(), true
}

func (m *messages) ask() ask {
	q := ask{model: m.Model, limit: m.MaxTokens, called: true, parallel: true, thinks: m.Thinking != nil && m.Thinking.Type != "disabled"}
	if c := m.ToolChoice; c != nil {
		q.called = c.Type != "none"
		q.parallel = c.Parallel == nil || !*c.Parallel
	}
	plain(m.System, &q.text)
	for _, one := range m.Messages {
		plain(one.Content, &q.text)
	}
	if len(m.Messages) > 0 {
		if parts, ok := m.Messages[len(m.Messages)-1].Content.([]any); ok {
			for _, p := range parts {
				if part, ok := p.(map[string]any); ok && part["type"] == "tool_result" {
					q.called = false
				}
			}
		}
	}
	for _, t := range m.Tools {
		q.tools = append(q.tools, tool{t.Name, t.Schema})
	}
	return q
}

func (m *messages) streams() bool { return m.Stream }

func (m *messages) usage(a *answer, output int) map[string]any {
	return map[string]any{
		"input_tokens": a.prompt, "output_tokens": output, "cache_creation_input_tokens": 0, "cache_read_input_tokens": 0, "service_tier": "standard",
	}
}

func (m *messages) ending(a *answer) string {
	switch {
	case len(a.calls) > 0:
		return "tool_use"
	case a.limited:
		return "max_tokens"
	}
	return "end_turn"
}

func (m *messages) frame(a *answer) map[string]any {
	return map[string]any{
		"id": "msg_" + a.id, "type": "message", "role": "assistant", "model": m.Model, "content": []any{}, "stop_reason": nil, "stop_sequence": nil,
		"x_upstream": note(),
	}
}

func (m *messages) whole(x *exchange, a *answer) any {
	out := m.frame(a)
	content := []any{}
	if len(a.reason) > 0 {
		content = append(content, map[string]any{"type": "thinking", "thinking": strings.Join(a.reason, ""), "signature": "sig-" + a.id})
	}
	if len(a.calls) == 0 {
		content = append(content, map[string]any{"type": "text", "text": strings.Join(a.choices[0], "")})
	}
	for _, k := range a.calls {
		content = append(content, map[string]any{"type": "tool_use", "id": "toolu_" + k.id, "name": k.name, "input": json.RawMessage(k.arguments())})
	}
	out["content"], out["stop_reason"] = content, m.ending(a)
	if !x.fault.NoUsage {
		out["usage"] = m.usage(a, a.output())
	}
	return out
}

func (m *messages) events(x *exchange, a *answer) iter.Seq[event] {
	return func(yield func(event) bool) {
		gone, index := false, -1
		say := func(name string, token bool, fields map[string]any) {
			if !gone {
				fields["type"] = name
				gone = !yield(event{name: name, data: encode(fields), token: token})
			}
		}
		start := func(block map[string]any) {
			index++
			say("content_block_start", false, map[string]any{"index": index, "content_block": block})
		}
		part := func(kind, field, text string, token bool) {
			say("content_block_delta", token, map[string]any{"index": index, "delta": map[string]any{"type": kind, field: text}})
		}
		stop := func() { say("content_block_stop", false, map[string]any{"index": index}) }

		first := m.frame(a)
		first["usage"] = m.usage(a, 1)
		say("message_start", false, map[string]any{"message": first})
		if len(a.reason) > 0 {
			start(map[string]any{"type": "thinking", "thinking": "", "signature": ""})
			for _, w := range a.reason {
				part("thinking_delta", "thinking", w, true)
			}
			part("signature_delta", "signature", "sig-"+a.id, false)
			stop()
		}
		if len(a.calls) == 0 {
			start(map[string]any{"type": "text", "text": ""})
			say("ping", false, map[string]any{})
			for _, w := range a.choices[0] {
				part("text_delta", "text", w, true)
			}
			stop()
		}
		for _, k := range a.calls {
			start(map[string]any{"type": "tool_use", "id": "toolu_" + k.id, "name": k.name, "input": map[string]any{}})
			part("input_json_delta", "partial_json", "", false)
			for _, p := range k.pieces {
				part("input_json_delta", "partial_json", p, true)
			}
			stop()
		}
		if x.fault.Unknown {
			say("upstream_note", false, map[string]any{"note": note()})
		}
		end := map[string]any{"delta": map[string]any{"stop_reason": m.ending(a), "stop_sequence": nil}}
		if !x.fault.NoUsage {
			end["usage"] = m.usage(a, a.output())
		}
		say("message_delta", false, end)
		say("message_stop", false, map[string]any{})
	}
}

// countTokens answers how many tokens a request of messages has.
func (s *Server) countTokens(x *exchange) {
	var m messages
	if !x.head(&m, &m.Model) {
		return
	}
	n := 0
	for _, t := range m.ask().text {
		n += Count(t)
	}
	x.send(map[string]any{"input_tokens": n}, 0)
}
