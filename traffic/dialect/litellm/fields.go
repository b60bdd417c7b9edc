package litellm

import (
	"strconv"

	"github.com/valyala/fastjson"

	"github.com/palladium-guard/palladium"
	"github.com/palladium-guard/palladium/traffic/dialect"
)

// redacted stands in place of text that the proxy was told not to log. Taken for text it would make all accounts alike.
const redacted = "redacted-by-litellm"

// parameters reads what the client sent beside the messages, in the names of the APIs that the proxy speaks.
func parameters(p *palladium.Params, v *fastjson.Value) {
	if v == nil {
		return
	}
	real(p, palladium.HasTemperature, &p.Temperature, v.Get("temperature"))
	real(p, palladium.HasTopP, &p.TopP, v.Get("top_p"))
	for _, name := range []string{"max_tokens", "max_completion_tokens", "max_output_tokens"} {
		whole(p, palladium.HasMaxTokens, &p.MaxTokens, v.Get(name))
	}
	whole(p, palladium.HasN, &p.N, v.Get("n"))
	whole(p, palladium.HasTopLogprobs, &p.TopLogprobs, v.Get("top_logprobs"))
	flag(p, palladium.HasLogprobs, &p.Logprobs, v.Get("logprobs"))
	if _, ok := dialect.Whole(v.Get("logprobs")); ok && p.Has&palladium.HasLogprobs == 0 { // text completions
		p.Logprobs = true
		p.Has |= palladium.HasLogprobs
		whole(p, palladium.HasTopLogprobs, &p.TopLogprobs, v.Get("logprobs"))
	}
	if n, ok := dialect.Whole(v.Get("seed")); ok {
		p.Seed = n
		p.Has |= palladium.HasSeed
	}
	flag(p, palladium.HasStream, &p.Stream, v.Get("stream"))
	for _, name := range []string{"reasoning_effort", "reasoning", "thinking"} {
		r := v.Get(name)
		if r == nil || r.Type() == fastjson.TypeNull || p.Has&palladium.HasReasoning != 0 {
			continue
		}
		p.Has |= palladium.HasReasoning
		if p.Reasoning = dialect.Text(r); p.Reasoning == "" {
			p.Reasoning = string(r.MarshalTo(nil))
		}
	}
	for _, name := range []string{"stop", "stop_sequences"} {
		if s := v.Get(name); s != nil && p.Has&palladium.HasStop == 0 {
			if p.Stop = dialect.Texts(p.Stop[:0], s); len(p.Stop) > 0 {
				p.Has |= palladium.HasStop
			}
		}
	}
	biases(p, v.Get("logit_bias"))
}

func biases(p *palladium.Params, v *fastjson.Value) {
	if v == nil || v.Type() != fastjson.TypeObject {
		return
	}
	p.Has |= palladium.HasLogitBias
	v.GetObject().Visit(func(key []byte, bias *fastjson.Value) {
		token, err := strconv.ParseUint(string(key), 10, 32)
		b, ok := dialect.Number(bias)
		if err == nil && ok {
			p.LogitBias = append(p.LogitBias, palladium.TokenBias{Token: uint32(token), Bias: b})
		}
	})
}

func real(p *palladium.Params, bit palladium.ParamSet, into *float64, v *fastjson.Value) {
	if f, ok := dialect.Number(v); ok {
		*into = f
		p.Has |= bit
	}
}

func whole(p *palladium.Params, bit palladium.ParamSet, into *int, v *fastjson.Value) {
	if n, ok := dialect.Whole(v); ok && n == int64(int32(n)) {
		*into = int(n)
		p.Has |= bit
	}
}

func flag(p *palladium.Params, bit palladium.ParamSet, into *bool, v *fastjson.Value) {
	if v == nil || (v.Type() != fastjson.TypeTrue && v.Type() != fastjson.TypeFalse) {
		return
	}
	*into = v.GetBool()
	p.Has |= bit
}

// tools lists the names of the tools and functions offered.
func tools(into []string, params *fastjson.Value) []string {
	for _, list := range []string{"tools", "functions"} {
		for _, t := range params.GetArray(list) {
			if name := first(t.Get("function", "name"), t.Get("name"), t.Get("type")); name != "" {
				into = append(into, name)
			}
		}
	}
	return into
}

// conversation reads the messages: a string, a list of strings (embeddings) or a list of turns, whose content is a
// string or a list of parts.
func conversation(e *palladium.Exchange, v, params *fastjson.Value) {
	if v != nil && v.Type() == fastjson.TypeObject && v.Get("messages") != nil {
		v = v.Get("messages")
	}
	switch {
	case v == nil:
	case v.Type() == fastjson.TypeString:
		e.Messages = dialect.Turn(e.Messages, "user", v)
	case v.Type() == fastjson.TypeArray:
		for _, turn := range v.GetArray() {
			e.Messages = oneTurn(e.Messages, turn)
		}
	}
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

func oneTurn(into []palladium.Message, turn *fastjson.Value) []palladium.Message {
	if turn.Type() != fastjson.TypeObject {
		return dialect.Turn(into, "user", turn)
	}
	role := dialect.Text(turn.Get("role"))
	content := turn.Get("content")
	if role == "" && content == nil {
		return append(into, palladium.Message{Role: "user", Digest: dialect.Digest(turn)})
	}
	into = dialect.Turn(into, role, content)
	if calls := turn.Get("tool_calls"); calls != nil && calls.Type() == fastjson.TypeArray {
		into = append(into, palladium.Message{Role: role, Digest: dialect.Digest(calls)})
	}
	return into
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
