package openai

import (
	"github.com/palladium-guard/palladium/internal/wire"
)

// conversation reads the turns of messages, or the items of input: a last turn that the model is to continue, earlier
// reasoning that is sent back, and what the caller wrote last.
func conversation(r *wire.Request, member int, m *wire.Member, field string) error {
	if m.Kind == '"' {
		r.Wrote(*m)
		return nil
	}
	if m.Kind != '[' {
		return wire.WrongType(field, "a list")
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
	case r.Is(kind, "reasoning"):
		prior.Name, prior.Within, prior.Value = "reasoning item", t.Value, t.Value
		r.Asks = append(r.Asks, prior)
		r.Sealed(t.Value, seal)
	case r.Is(role, "user"):
		r.Wrote(content)
	case r.Is(role, "assistant"):
		if reasoning.Kind != 0 {
			prior.Name, prior.Within, prior.Value = reasoning.Name, reasoning.At, reasoning.Value
			r.Asks = append(r.Asks, prior)
		}
		if last {
			r.Begun(member, t.Value, content)
		}
	}
}
