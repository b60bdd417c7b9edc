package litellm

import (
	"github.com/valyala/fastjson"

	"github.com/palladium-guard/palladium"
	"github.com/palladium-guard/palladium/traffic/dialect"
)

// redacted stands in place of text that the proxy was told not to log. Taken for text it would make all accounts alike.
const redacted = "redacted-by-litellm"

// conversation reads the messages: a string, a list of strings (embeddings) or a list of turns, whose content is a
// string or a list of parts.
func conversation(e *palladium.Exchange, v, params *fastjson.Value) {
	if v != nil && v.Type() == fastjson.TypeObject && v.Get("messages") != nil {
		v = v.Get("messages")
	}
	e.Messages = dialect.Turns(e.Messages, v)
	for i := range e.Messages {
		if e.Messages[i].Text == redacted {
			e.Messages[i].Text = ""
		}
	}
	e.System, e.Messages = dialect.SplitSystem(e.Messages)
	for _, name := range []string{"system", "instructions"} { // Anthropic's and the responses API's place for it
		if s := dialect.Joined(params.Get(name)); s != "" && s != redacted && e.System == "" {
			e.System = s
		}
	}
}

// outcome reads how the request ended. The proxy logs success or failure, and the provider's status of a failure.
func outcome(e *palladium.Exchange, v *fastjson.Value, start int64) {
	o := &e.Outcome
	switch dialect.Text(v.Get("status")) {
	case "success":
		o.Status = 200
	case "failure":
		if n, ok := dialect.Whole(v.Get("error_information", "error_code")); ok && n >= 100 && n < 600 {
			o.Status = int(n)
		}
	}
	if end, err := clock(v, "endTime"); err == nil && end >= start {
		o.MS = float64(end - start)
		if begun, err := clock(v, "completionStartTime"); err == nil && e.Params.Stream && begun >= start && begun <= end {
			o.TTFTMS = float64(begun - start)
		}
	}
	r := v.Get("response")
	if r == nil {
		return
	}
	choice := r.Get("choices", "0")
	o.Finish = first(choice.Get("finish_reason"), r.Get("stop_reason"), r.Get("status"))
	e.Output = answer(r, choice)
	if e.Output == redacted {
		e.Output = ""
	}
}

// answer finds the text of a response: of a chat, a text completion, an Anthropic message or the responses API.
func answer(r, choice *fastjson.Value) string {
	if s := dialect.Text(r); s != "" {
		return s
	}
	for _, v := range []*fastjson.Value{choice.Get("message", "content"), choice.Get("text"), r.Get("content"), r.Get("text")} {
		if s := dialect.Joined(v); s != "" {
			return s
		}
	}
	var all dialect.Lines
	for _, item := range r.GetArray("output") {
		if s := dialect.Joined(item.Get("content")); s != "" && dialect.Text(item.Get("type")) != "reasoning" {
			all.Add(s)
		}
	}
	return all.String()
}

// usage reads the tokens. Details are in the response, or in the metadata when the response was not logged.
func usage(u *palladium.Usage, v, meta *fastjson.Value) {
	u.Input = count(v.Get("prompt_tokens"))
	u.Output = count(v.Get("completion_tokens"))
	for _, d := range []*fastjson.Value{v.Get("response", "usage"), meta.Get("usage_object")} {
		if d == nil {
			continue
		}
		u.Reasoning = max(u.Reasoning, count(d.Get("completion_tokens_details", "reasoning_tokens")),
			count(d.Get("output_tokens_details", "reasoning_tokens")))
		u.Cached = max(u.Cached, count(d.Get("prompt_tokens_details", "cached_tokens")),
			count(d.Get("input_tokens_details", "cached_tokens")), count(d.Get("cache_read_input_tokens")))
	}
}

func count(v *fastjson.Value) int64 {
	n, ok := dialect.Whole(v)
	if !ok || n < 0 {
		return 0
	}
	return n
}
