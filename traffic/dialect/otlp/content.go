package otlp

import (
	"cmp"
	"slices"
	"strconv"
	"strings"

	"github.com/valyala/fastjson"

	"github.com/palladium-guard/palladium"
	"github.com/palladium-guard/palladium/traffic/dialect"
)

// conversation reads system prompt, messages, answer and tools: from attributes of the present conventions, else from
// numbered ones, else from events.
func (w *view) conversation(e *palladium.Exchange, events []*fastjson.Value) {
	for _, turn := range w.d.unfold(w.own(inputMessages)).GetArray() {
		e.Messages = w.turn(e.Messages, "", turn)
	}
	outputs := w.d.unfold(w.own(outputMessages)).GetArray()
	if len(outputs) > 0 {
		w.answer(e, outputs[0])
	}
	if len(e.Messages) == 0 {
		w.numbered(e)
	}
	if len(e.Messages) == 0 {
		for _, ev := range events {
			w.event(e, ev)
		}
	}
	e.System, e.Messages = dialect.SplitSystem(e.Messages)
	if s := dialect.Joined(w.d.unfold(w.own(systemText))); s != "" {
		e.System = s
	}
	for _, t := range w.d.unfold(w.own(toolDefinitions)).GetArray() {
		for _, name := range []*fastjson.Value{t.Get("name"), t.Get("function", "name")} {
			if s := dialect.Text(name); s != "" {
				e.Tools = append(e.Tools, s)
			}
		}
	}
}

// turn appends one message, in the conventions' form {role, parts} or a provider's {role, content}.
func (w *view) turn(into []palladium.Message, role string, v *fastjson.Value) []palladium.Message {
	if v.Type() != fastjson.TypeObject {
		return dialect.Turn(into, cmp.Or(role, "user"), v)
	}
	role = cmp.Or(dialect.Text(v.Get("role")), role, "user")
	content := v.Get("parts")
	if content == nil {
		content = w.d.unfold(v.Get("content"))
	}
	if content != nil || v.Get("tool_calls") == nil {
		into = dialect.Turn(into, role, content)
	}
	if calls := v.Get("tool_calls"); calls != nil {
		into = append(into, palladium.Message{Role: role, Digest: dialect.Digest(calls)})
	}
	return into
}

// answer reads the first choice of a response.
func (w *view) answer(e *palladium.Exchange, v *fastjson.Value) {
	if finish := dialect.Text(v.Get("finish_reason")); finish != "" && e.Outcome.Finish == "" {
		e.Outcome.Finish = finish
	}
	if message := w.d.unfold(v.Get("message")); message != nil {
		v = message
	}
	for _, content := range []*fastjson.Value{v.Get("parts"), w.d.unfold(v.Get("content"))} {
		if s := dialect.Joined(content); s != "" {
			e.Output = s
			return
		}
	}
	if s := dialect.Text(v); s != "" {
		e.Output = s
	}
}

// numbered reads gen_ai.prompt.N.role and .content and gen_ai.completion.0.content, and the names of
// llm.request.functions.N.
func (w *view) numbered(e *palladium.Exchange) {
	type place struct {
		n   int
		key string
	}
	find := func(prefix, field string) []string {
		var places []place
		for key := range w.attrs {
			rest, ok := strings.CutPrefix(key, prefix)
			number, name, _ := strings.Cut(rest, ".")
			if n, err := strconv.Atoi(number); ok && err == nil && name == field {
				places = append(places, place{n, key})
			}
		}
		slices.SortFunc(places, func(a, b place) int { return cmp.Or(cmp.Compare(a.n, b.n), cmp.Compare(a.key, b.key)) })
		keys := make([]string, len(places))
		for i, p := range places {
			keys[i] = p.key
		}
		return keys
	}
	for _, key := range find(flatPrompt, "content") {
		role := dialect.Text(w.own(strings.TrimSuffix(key, "content") + "role"))
		e.Messages = dialect.Turn(e.Messages, cmp.Or(role, "user"), w.d.unfold(w.own(key)))
	}
	if keys := find(flatCompletion, "content"); len(keys) > 0 && e.Output == "" {
		e.Output = dialect.Joined(w.d.unfold(w.own(keys[0])))
	}
	if keys := find(flatCompletion, "finish_reason"); len(keys) > 0 && e.Outcome.Finish == "" {
		e.Outcome.Finish = dialect.Text(w.own(keys[0]))
	}
	for _, key := range find(flatFunction, "name") {
		if s := dialect.Text(w.own(key)); s != "" {
			e.Tools = append(e.Tools, s)
		}
	}
}

// event reads a message event: a log record, whose message is its body, or a span's event, whose message is in its
// attributes.
func (w *view) event(e *palladium.Exchange, ev *fastjson.Value) {
	attr := func(name string) *fastjson.Value {
		for _, a := range ev.GetArray("attributes") {
			if dialect.Text(a.Get("key")) == name {
				return w.d.unfold(w.d.plain(a.Get("value")))
			}
		}
		return nil
	}
	body := w.d.unfold(w.d.plain(ev.Get("body")))
	if body == nil {
		body = attr(eventContent)
	}
	if body == nil || body.Type() != fastjson.TypeObject {
		o := w.d.arena.NewObject()
		for _, name := range []string{"role", "content", "message", "finish_reason", "tool_calls"} {
			if v := attr(name); v != nil {
				o.Set(name, v)
			}
		}
		if body != nil && o.Get("content") == nil {
			o.Set("content", body)
		}
		body = o
	}
	switch eventName(ev) {
	case eventSystem:
		e.Messages = w.turn(e.Messages, "system", body)
	case eventUser:
		e.Messages = w.turn(e.Messages, "user", body)
	case eventAssistant:
		e.Messages = w.turn(e.Messages, "assistant", body)
	case eventTool:
		e.Messages = w.turn(e.Messages, "tool", body)
	case eventChoice:
		if e.Output == "" {
			w.answer(e, body)
		}
	case eventPrompt:
		v := attr("gen_ai.prompt")
		if turns := v.GetArray(); len(turns) > 0 {
			for _, t := range turns {
				e.Messages = w.turn(e.Messages, "", t)
			}
		} else if v != nil {
			e.Messages = w.turn(e.Messages, "", v)
		}
	case eventCompletion:
		v := attr("gen_ai.completion")
		if turns := v.GetArray(); len(turns) > 0 {
			v = turns[0]
		}
		if v != nil && e.Output == "" {
			w.answer(e, v)
		}
	}
}
