package anthropic

import (
	"github.com/palladium-guard/palladium/internal/wire"
	"github.com/palladium-guard/palladium/traffic/dialect"
)

// fields is the table of top-level fields: Anthropic's own, and those that serving engines add.
func fields() *wire.Fields {
	rows := []wire.Field{
		{Name: "stream", Shape: wire.Flag},
		{Name: "max_tokens", Shape: wire.Limit},
		{Name: "max_tokens_to_sample", Shape: wire.Limit},
		{Name: "model", Top: true},
		{Name: "messages", Top: true},
		{Name: "system", Top: true},
		{Name: "thinking", Top: true},
	}
	for _, name := range []string{
		"temperature", "top_p", "stop_sequences", "tools", "tool_choice", "metadata",
		"service_tier", "container", "context_management", "mcp_servers", "output_config", "output_format", "cache_control",
		"speed", "inference_geo", "betas",
	} {
		rows = append(rows, wire.Field{Name: name})
	}
	return wire.NewFields(append(rows, wire.Common()...), wire.Containers())
}

// Read reads the body of a request to e into r. Errors wrap one of wire's or dialect.ErrMissing; they name fields of the
// API and byte positions and quote nothing else. The caller answers them with status 400.
func (d *Dialect) Read(r *wire.Request, e wire.Endpoint, body []byte) error {
	if err := r.Begin(e, body); err != nil {
		return err
	}
	if err := d.fields.Take(r); err != nil {
		return err
	}
	r.WantsUsage = true
	for i := range r.Members {
		m := &r.Members[i]
		if m.Kind == 'n' {
			continue
		}
		switch m.Name {
		case "model":
			if m.Kind != '"' {
				return wire.WrongType(m.Name, "a string")
			}
			r.Model = wire.Unquote(m.Value.Of(r.Body))
		case "thinking":
			thinking(r, i, m)
		case "messages":
			if m.Kind != '[' {
				return wire.WrongType(m.Name, "a list")
			}
			turns := r.Parts(0, m.Value)
			for k := range turns {
				turn(r, i, &turns[k], k == len(turns)-1)
			}
		}
	}
	r.Settle()
	if r.Model == "" {
		return dialect.Missing("model")
	}
	return nil
}

// thinking notes that reasoning is asked for.
func thinking(r *wire.Request, i int, m *wire.Member) {
	for _, p := range r.Parts(1, m.Value) {
		if p.Name == "type" && r.Is(p, "disabled") {
			return
		}
	}
	r.Asks = append(r.Asks, wire.Ask{Feature: wire.Reasoning, Name: m.Name, Member: i, Value: m.Value, Count: 1})
}

// turn reads one message: what the caller wrote, earlier reasoning that is sent back, and a last turn to continue.
func turn(r *wire.Request, member int, t *wire.Member, last bool) {
	var role, content wire.Member
	for _, p := range r.Parts(1, t.Value) {
		switch p.Name {
		case "role":
			role = p
		case "content":
			content = p
		}
	}
	if r.Is(role, "user") {
		r.Wrote(content)
		return
	}
	if !r.Is(role, "assistant") {
		return
	}
	if content.Kind == '[' {
		for _, b := range r.Parts(2, content.Value) {
			block(r, member, &b)
		}
	}
	if last {
		r.Begun(member, t.Value, content)
	}
}

// block notes a block of earlier reasoning.
func block(r *wire.Request, member int, b *wire.Member) {
	var kind, seal wire.Member
	for _, p := range r.Parts(3, b.Value) {
		switch p.Name {
		case "type":
			kind = p
		case "signature", "data":
			seal = p
		}
	}
	if !r.Is(kind, "thinking") && !r.Is(kind, "redacted_thinking") {
		return
	}
	r.Asks = append(r.Asks, wire.Ask{Feature: wire.PriorReasoning, Name: "thinking block", Member: member,
		Within: b.Value, Value: b.Value, Count: 1})
	r.Sealed(b.Value, seal)
}
