package dialect

import (
	"strconv"

	"github.com/valyala/fastjson"

	"github.com/palladium-guard/palladium"
)

// Parameters reads what the client sent beside the messages, in the names of all the APIs. A value of a shape that is
// not known is left out.
func Parameters(p *palladium.Params, v *fastjson.Value) {
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
	Flag(p, palladium.HasLogprobs, &p.Logprobs, v.Get("logprobs"))
	if _, ok := Whole(v.Get("logprobs")); ok && p.Has&palladium.HasLogprobs == 0 { // text completions
		p.Logprobs = true
		p.Has |= palladium.HasLogprobs
		whole(p, palladium.HasTopLogprobs, &p.TopLogprobs, v.Get("logprobs"))
	}
	if n, ok := Whole(v.Get("seed")); ok {
		p.Seed = n
		p.Has |= palladium.HasSeed
	}
	Flag(p, palladium.HasStream, &p.Stream, v.Get("stream"))
	for _, name := range []string{"reasoning_effort", "reasoning", "thinking"} {
		r := v.Get(name)
		if r == nil || r.Type() == fastjson.TypeNull || p.Has&palladium.HasReasoning != 0 {
			continue
		}
		p.Has |= palladium.HasReasoning
		if p.Reasoning = Text(r); p.Reasoning == "" {
			p.Reasoning = string(r.MarshalTo(nil))
		}
	}
	for _, name := range []string{"stop", "stop_sequences"} {
		if s := v.Get(name); s != nil && p.Has&palladium.HasStop == 0 {
			if p.Stop = Texts(p.Stop[:0], s); len(p.Stop) > 0 {
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
		b, ok := Number(bias)
		if err == nil && ok {
			p.LogitBias = append(p.LogitBias, palladium.TokenBias{Token: uint32(token), Bias: b})
		}
	})
}

func real(p *palladium.Params, bit palladium.ParamSet, into *float64, v *fastjson.Value) {
	if f, ok := Number(v); ok {
		*into = f
		p.Has |= bit
	}
}

func whole(p *palladium.Params, bit palladium.ParamSet, into *int, v *fastjson.Value) {
	if n, ok := Whole(v); ok && n == int64(int32(n)) {
		*into = int(n)
		p.Has |= bit
	}
}

// Flag reads a parameter that is true or false.
func Flag(p *palladium.Params, bit palladium.ParamSet, into *bool, v *fastjson.Value) {
	if v == nil || (v.Type() != fastjson.TypeTrue && v.Type() != fastjson.TypeFalse) {
		return
	}
	*into = v.GetBool()
	p.Has |= bit
}

// Tools lists the names of the tools and functions offered.
func Tools(into []string, params *fastjson.Value) []string {
	for _, list := range []string{"tools", "functions"} {
		for _, t := range params.GetArray(list) {
			if name := firstText(t.Get("function", "name"), t.Get("name"), t.Get("type")); name != "" {
				into = append(into, name)
			}
		}
	}
	return into
}

// firstText returns the first string that is not empty.
func firstText(vs ...*fastjson.Value) string {
	for _, v := range vs {
		if s := Text(v); s != "" {
			return s
		}
	}
	return ""
}

// Turns appends the turns of a conversation: a string, a list of strings, a list of turns whose content is a string or a
// list of parts, or a list of token ids, of which a digest stays.
func Turns(into []palladium.Message, v *fastjson.Value) []palladium.Message {
	switch {
	case v == nil:
	case v.Type() == fastjson.TypeString:
		return Turn(into, "user", v)
	case v.Type() == fastjson.TypeArray:
		for i, turn := range v.GetArray() {
			if i == 0 && turn.Type() == fastjson.TypeNumber {
				return append(into, palladium.Message{Role: "user", Digest: Digest(v)})
			}
			into = oneTurn(into, turn)
		}
	}
	return into
}

func oneTurn(into []palladium.Message, turn *fastjson.Value) []palladium.Message {
	if turn.Type() != fastjson.TypeObject {
		return Turn(into, "user", turn)
	}
	role := Text(turn.Get("role"))
	content := turn.Get("content")
	if role == "" && content == nil {
		return append(into, palladium.Message{Role: "user", Digest: Digest(turn)})
	}
	into = Turn(into, role, content)
	if calls := turn.Get("tool_calls"); calls != nil && calls.Type() == fastjson.TypeArray {
		into = append(into, palladium.Message{Role: role, Digest: Digest(calls)})
	}
	return into
}
