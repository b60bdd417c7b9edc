package openai

import (
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"math"
	"strconv"

	"github.com/palladium-guard/palladium/internal/wire"
)

// The names by which redaction finds its way. Opaque ones are told as a whole.
const (
	rChoices wire.Name = iota + 2
	rTurn              // delta or message
	rResponse
	rItems
	rItem
	rData
)

// The opaque names.
const (
	rLogprobs wire.Name = iota + wire.Opaque
	rThought
	rHidden
	rContent
	rSummary
	rPart
	rEmbedding
)

// markers lists, for each kind of redaction, the members to look for.
func markers(rd wire.Redaction, found func(quoted string) bool) bool {
	return rd.Logprobs && (found(`"logprobs"`) || found(`"prompt_logprobs"`) || found(`"completion_probabilities"`)) ||
		rd.Reasoning && (found(`"reasoning_content"`) || found(`"reasoning"`) || found(`"reasoning_details"`) ||
			found(`"thinking_blocks"`) || found(`"provider_specific_fields"`) || found(`"summary"`)) ||
		rd.Hidden && (found(`"token_ids"`) || found(`"prompt_token_ids"`) || found(`"hidden_states"`) ||
			found(`"routed_experts"`) || found(`"tokens"`))
}

// Touches implements wire.Redactor.
func (d *Dialect) Touches(event []byte, rd wire.Redaction) bool {
	return rd.UsageChunk && wire.Holds(event, `"usage"`) ||
		rd.Reasoning && bytes.Contains(event, []byte("reasoning_")) ||
		markers(rd, func(q string) bool { return wire.Holds(event, q) })
}

func redactNames(responses bool) func([]byte) wire.Name {
	return func(name []byte) wire.Name {
		switch string(name) {
		case "choices":
			return rChoices
		case "delta", "message":
			return rTurn
		case "logprobs", "prompt_logprobs", "completion_probabilities":
			return rLogprobs
		case "reasoning_content", "reasoning", "reasoning_details", "thinking_blocks", "provider_specific_fields":
			return rThought
		case "token_ids", "prompt_token_ids", "hidden_states", "routed_experts", "tokens":
			return rHidden
		case "data":
			return rData
		case "embedding":
			return rEmbedding
		}
		if responses {
			switch string(name) {
			case "response":
				return rResponse
			case "output":
				return rItems
			case "item":
				return rItem
			case "content":
				return rContent
			case "summary":
				return rSummary
			case "part":
				return rPart
			}
		}
		return wire.Ignored
	}
}

const (
	rChoice   = uint64(rChoices)<<8 | uint64(wire.Element)
	rOutput   = uint64(rItems)<<8 | uint64(wire.Element)
	rReturned = uint64(rResponse)<<16 | rOutput
)

// Redact implements wire.Redactor.
func (d *Dialect) Redact(dst, body []byte, e wire.Endpoint, rd wire.Redaction) ([]byte, error) {
	out, _, err := redact(dst, body, e, rd)
	return out, err
}

// RedactEvent implements wire.Redactor.
func (d *Dialect) RedactEvent(dst, name, data []byte, e wire.Endpoint, rd wire.Redaction) ([]byte, bool, error) {
	if e == wire.Responses && rd.Reasoning && reasoningEvent(string(name), rd) {
		return dst, false, nil
	}
	out, keep, err := redact(dst, data, e, rd)
	if err == nil && keep && rd.UsageChunk && e != wire.Responses && usageChunk(data) {
		keep = false
	}
	return out, keep, err
}

// reasoningEvent reports whether an event of that name or type is all reasoning text.
func reasoningEvent(name string, rd wire.Redaction) bool {
	const text, summary = "response.reasoning_text.", "response.reasoning_summary_"
	return len(name) > len(text) && name[:len(text)] == text ||
		!rd.Summaries && len(name) > len(summary) && name[:len(summary)] == summary
}

// usageChunk reports whether a chunk holds usage and no choices.
func usageChunk(data []byte) bool {
	usage, choices := false, true
	for _, m := range wire.Parts(nil, data, wire.Trim(data)) {
		switch m.Name {
		case "usage":
			usage = m.Kind == '{'
		case "choices":
			choices = m.Kind != '[' || len(wire.Parts(nil, data, m.Value)) > 0
		}
	}
	return usage && !choices
}

// redact appends data, a body or an event's data, without what rd takes away.
func redact(dst, data []byte, e wire.Endpoint, rd wire.Redaction) (out []byte, keep bool, err error) {
	keep = true
	if e == wire.Responses && rd.Reasoning {
		keep = !typed(data, rd)
	}
	var bad error
	out, err = wire.Rewrite(dst, data, redactNames(e == wire.Responses), func(path uint64, value []byte) []byte {
		name := wire.Name(path)
		switch {
		case len(value) == 0 || value[0] == 'n':
		case name == rEmbedding && path>>8 == uint64(rData)<<8|uint64(wire.Element) && rd.Round:
			with, err := round(value, rd.Decimals)
			bad = err
			return with
		case name == rLogprobs && rd.Logprobs && e == wire.Responses:
			return []byte("[]")
		case name == rLogprobs && rd.Logprobs, name == rHidden && rd.Hidden:
			return []byte("null")
		case name == rThought && rd.Reasoning && path>>8 == rChoice<<8|uint64(rTurn):
			return []byte("null")
		case name == rSummary && rd.Reasoning && !rd.Summaries && within(path):
			return []byte("[]")
		case name == rContent && within(path):
			return parts(value, rd)
		case name == rPart && path == uint64(rPart):
			if rd.Reasoning && reasoningPart(value) {
				keep = false
			}
			return part1(value, rd)
		}
		return nil
	})
	if err == nil {
		err = bad
	}
	return out, keep, err
}

// within reports whether path names a member of an output item.
func within(path uint64) bool {
	path >>= 8
	return path == rOutput || path == rReturned || path == uint64(rItem)
}

// typed reports whether the data of an event without a name says that it is all reasoning text.
func typed(data []byte, rd wire.Redaction) bool {
	if !bytes.Contains(data, []byte("response.reasoning_")) {
		return false
	}
	var d wire.Document
	if d.Read(data) != nil {
		return false
	}
	i := d.Find("type")
	return i >= 0 && d.Members[i].Kind == '"' && reasoningEvent(wire.Unquote(d.Members[i].Value.Of(data)), rd)
}

// reasoningPart reports whether a part of an item's content is reasoning text.
func reasoningPart(value []byte) bool {
	for _, m := range wire.Parts(nil, value, wire.Span{End: len(value)}) {
		if m.Name == "type" && m.Kind == '"' {
			return wire.Unquote(m.Value.Of(value)) == "reasoning_text"
		}
	}
	return false
}

// parts redacts the content of an item; nil when nothing changes.
func parts(value []byte, rd wire.Redaction) []byte {
	var p wire.Patch
	all := wire.Parts(nil, value, wire.Span{End: len(value)})
	var drop []int
	for i, m := range all {
		if m.Kind != '{' {
			continue
		}
		if rd.Reasoning && reasoningPart(m.Value.Of(value)) {
			drop = append(drop, i)
		} else if with := part1(m.Value.Of(value), rd); with != nil {
			p.Replace(m.Value, with)
		}
	}
	if p.Cut(all, drop...); p.Empty() {
		return nil
	}
	return p.Over(nil, value)
}

// part1 takes the log probabilities out of one part; nil when nothing changes.
func part1(value []byte, rd wire.Redaction) []byte {
	if !rd.Logprobs {
		return nil
	}
	var p wire.Patch
	for _, m := range wire.Parts(nil, value, wire.Span{End: len(value)}) {
		if m.Name == "logprobs" && m.Kind != 'n' && m.Value.Len() > 2 {
			p.Replace(m.Value, []byte("[]"))
		}
	}
	if p.Empty() {
		return nil
	}
	return p.Over(nil, value)
}

// round rounds an embedding to that many decimals: a list of numbers, or base64 of float32 in little-endian order.
func round(value []byte, decimals int) ([]byte, error) {
	scale := math.Pow10(decimals)
	if value[0] == '"' {
		text := value[1 : len(value)-1]
		if bytes.IndexByte(text, '\\') >= 0 {
			text = []byte(wire.Unquote(value))
		}
		raw, err := base64.StdEncoding.AppendDecode(nil, text)
		if err != nil || len(raw)%4 != 0 {
			return nil, fmt.Errorf("%w: an embedding is not base64 of 32-bit floats", wire.ErrAnswer)
		}
		for i := 0; i < len(raw); i += 4 {
			f := float64(math.Float32frombits(binary.LittleEndian.Uint32(raw[i:])))
			binary.LittleEndian.PutUint32(raw[i:], math.Float32bits(float32(math.RoundToEven(f*scale)/scale)))
		}
		return append(base64.StdEncoding.AppendEncode([]byte{'"'}, raw), '"'), nil
	}
	out := make([]byte, 0, len(value))
	done := 0
	for _, m := range wire.Parts(nil, value, wire.Span{End: len(value)}) {
		if m.Kind == '[' { // one vector a token
			with, err := round(m.Value.Of(value), decimals)
			if err != nil {
				return nil, err
			}
			out = append(append(out, value[done:m.Value.Start]...), with...)
			done = m.Value.End
			continue
		}
		f, err := strconv.ParseFloat(string(m.Value.Of(value)), 64)
		if err != nil {
			return nil, fmt.Errorf("%w: an embedding holds something else than numbers", wire.ErrAnswer)
		}
		out = append(out, value[done:m.Value.Start]...)
		if f = math.RoundToEven(f*scale) / scale; f == 0 {
			f = 0 // no negative zero
		}
		out = strconv.AppendFloat(out, f, 'f', -1, 64)
		done = m.Value.End
	}
	return append(out, value[done:]...), nil
}
