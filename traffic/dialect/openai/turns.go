package openai

import (
	"fmt"

	"github.com/palladium-guard/palladium/internal/wire"
)

// conversation reads the turns of messages, or the items of input: a last turn that the model is to continue, earlier
// reasoning that is sent back, and what the caller wrote last.
func conversation(r *wire.Request, member int, m *wire.Member, field string) error {
	if m.Kind == '"' {
		r.Context = wire.Hash(wire.HashStart, m.Value.Of(r.Body))
		return nil
	}
	if m.Kind != '[' {
		return fmt.Errorf("%w %q: want a list", wire.ErrType, field)
	}
	turns := r.Parts(0, m.Value)
	for k := range turns {
		turn(r, member, &turns[k], k == len(turns)-1)
	}
	return nil
}

func turn(r *wire.Request, member int, t *wire.Member, last bool) {
	var role, kind, content, seal, reasoning wire.Member
	for _, p := range r.Parts(1, t.Value) {
		switch p.Name {
		case "role":
			role = p
		case "type":
			kind = p
		case "content":
			content = p
		case "encrypted_content":
			seal = p
		case "reasoning_content", "reasoning", "reasoning_details", "thinking", "thinking_blocks":
			if p.Kind != 'n' && p.Value.Len() > 2 {
				reasoning = p
			}
		}
	}
	prior := wire.Ask{Feature: wire.PriorReasoning, Member: member, Count: 1}
	switch {
	case is(r, kind, "reasoning"):
		prior.Name, prior.Within, prior.Value = "reasoning item", t.Value, t.Value
		r.Asks = append(r.Asks, prior)
		if seal.Kind == '"' {
			h := wire.Hash(wire.HashStart, inside(r, seal))
			r.Seals = append(r.Seals, wire.Seal{Block: t.Value, Hash: h, Context: r.Context})
		}
	case is(r, role, "user"):
		r.Context = texts(r, content)
	case is(r, role, "assistant"):
		if reasoning.Kind != 0 {
			prior.Name, prior.Within, prior.Value = reasoning.Name, reasoning.At, reasoning.Value
			r.Asks = append(r.Asks, prior)
		}
		if last {
			text := content.Value
			if content.Kind == '[' {
				for _, p := range r.Parts(2, content.Value) {
					text = p.Value
				}
			}
			r.Asks = append(r.Asks, wire.Ask{Feature: wire.Prefill, Name: "last message", Member: member, Within: t.Value,
				Value: t.Value, Count: int64(max(0, content.Value.Len()-2)), Marked: wire.OpensReasoning(text.Of(r.Body))})
		}
	}
}

// texts hashes what the caller wrote in one turn, whether it comes as a string or in parts.
func texts(r *wire.Request, content wire.Member) uint64 {
	h := wire.HashStart
	if content.Kind == '"' {
		return wire.Hash(h, inside(r, content))
	}
	if content.Kind != '[' {
		return h
	}
	for _, p := range r.Parts(2, content.Value) {
		for _, q := range wire.Parts(nil, r.Body, p.Value) {
			if q.Name == "text" && q.Kind == '"' {
				h = wire.Hash(h, inside(r, q))
			}
		}
	}
	return h
}

// inside returns the bytes between a string's quotes.
func inside(r *wire.Request, m wire.Member) []byte {
	return r.Body[m.Value.Start+1 : m.Value.End-1]
}

func is(r *wire.Request, m wire.Member, word string) bool {
	return m.Kind == '"' && (string(inside(r, m)) == word || wire.Unquote(m.Value.Of(r.Body)) == word)
}
