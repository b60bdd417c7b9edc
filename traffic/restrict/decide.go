package restrict

import (
	"fmt"
	"slices"
	"strconv"

	"github.com/palladium-guard/palladium/internal/wire"
)

// Decide applies the policy of plan, and of the model that r names, to r. With less set, as the verdict measure withhold
// demands, there are no log probabilities, one answer and no reasoning text, whatever the policy allows.
//
// Either the request is refused, or Patch holds all changes; a Patch that is empty means that the caller's bytes go as
// they are. What is allowed for a feature in general may still be refused for two that are asked together.
func (p *Policy) Decide(into *Decision, r *wire.Request, plan string, less bool) {
	into.Refused, into.Refusal, into.Redaction = false, wire.Refusal{}, wire.Redaction{}
	into.Changes, into.cuts = into.Changes[:0], into.cuts[:0]
	into.Patch.Reset()
	if r.Endpoint == wire.Models || r.Endpoint == wire.CountTokens {
		return
	}
	var t terms
	p.terms(&t, plan, r.Model)
	if less {
		t.withhold()
	}
	d := decider{into: into, r: r, t: &t, p: p, plan: plan}
	d.fields()
	d.together()
	d.alone()
	d.reasoning()
	if r.Endpoint == wire.Embeddings && t.decimals >= 0 {
		into.Redaction.Round, into.Redaction.Decimals = true, t.decimals
	}
	if into.Refused {
		into.Patch.Reset()
		into.Redaction, into.Changes = wire.Redaction{}, into.Changes[:0]
		return
	}
	d.cut()
}

// withhold tightens t to what the verdict measure of that name leaves.
func (t *terms) withhold() {
	for _, f := range []wire.Feature{wire.Logprobs, wire.TopLogprobs, wire.PromptLogprobs} {
		if t.actions[f].Verb != Refuse {
			t.actions[f] = Action{Verb: Strip}
		}
	}
	for _, f := range []wire.Feature{wire.N, wire.BestOf} {
		if t.actions[f].Verb != Refuse {
			t.actions[f] = Action{Verb: Cap, Number: 1}
		}
	}
	t.reasoning = withhold
}

// decider is one decision in the making.
type decider struct {
	into *Decision
	r    *wire.Request
	t    *terms
	p    *Policy
	plan string
}

// refuse notes the first reason to refuse.
func (d *decider) refuse(code, param, format string, args ...any) {
	if d.into.Refused {
		return
	}
	d.into.Refused = true
	d.into.Refusal = wire.Refusal{Status: 400, Code: "restrict." + code, Param: param, Message: fmt.Sprintf(format, args...)}
}

func (d *decider) change(field string, a Action) {
	d.into.Changes = append(d.into.Changes, Change{field, a})
}

// fields applies what the rules say of fields by name, and of unknown ones.
func (d *decider) fields() {
	for i := range d.r.Members {
		name := d.r.Members[i].Name
		a, named := d.p.field(d.plan, d.r.Model, name)
		if !named {
			if !slices.Contains(d.r.Unknown, i) {
				continue
			}
			a, name = d.t.unknown, "a field that is not part of the API"
		}
		switch a.Verb {
		case Refuse:
			if !named {
				d.refuse("unknown", "", "The request has a field that is not part of the API; remove it.")
			} else {
				d.refuse("field", name, "The field %s is not offered here; remove it.", name)
			}
		case Strip:
			d.into.Patch.Remove(i)
			d.change(name, a)
		}
	}
}

// together refuses what is harmless alone and a measuring instrument together.
func (d *decider) together() {
	bias := d.r.Asked(wire.LogitBias)
	guided := d.r.Asked(wire.Guided)
	seed := d.r.Asked(wire.Seed)
	var probs *wire.Ask
	for _, f := range []wire.Feature{wire.Logprobs, wire.TopLogprobs, wire.PromptLogprobs} {
		if a := d.r.Asked(f); a != nil && probs == nil {
			probs = a
		}
	}
	if bias != nil && probs != nil {
		d.pair(biasWithLogprobs, "bias_with_logprobs", bias, probs)
	}
	if guided != nil && probs != nil {
		d.pair(guidedWithLogprobs, "guided_with_logprobs", guided, probs)
	}
	if seed != nil && bias != nil {
		d.pair(seedWithProbe, "seed_with_probe", bias, seed)
	}
	if seed != nil && probs != nil {
		d.pair(seedWithProbe, "seed_with_probe", probs, seed)
	}
	if a := d.t.actions[biasSweep]; a.Verb == Limit && int64(d.r.Biases) > a.Number && bias != nil {
		d.refuse("bias_sweep", bias.Name,
			"This account has biased more than %d different tokens today; use the same few, or none, until tomorrow.", a.Number)
	}
	if a := d.t.actions[editedReasoning]; d.r.Edited > 0 && a.Verb != Allow {
		if a.Verb == Strip {
			d.prior()
			return
		}
		d.refuse("edited_reasoning", "messages",
			"A reasoning block was sent back behind another message than the one that it answered; send the conversation as it was, or leave the block out.")
	}
}

// pair applies the action for two asks in one request; Strip takes the second one out.
func (d *decider) pair(f wire.Feature, code string, first, second *wire.Ask) {
	switch a := d.t.actions[f]; a.Verb {
	case Refuse:
		d.refuse(code, second.Name, "The fields %s and %s are not offered together; remove one of them.", first.Name, second.Name)
	case Strip:
		if second.Feature == wire.Seed {
			d.strip(second)
			return
		}
		for i := range d.r.Asks {
			switch d.r.Asks[i].Feature {
			case wire.Logprobs, wire.TopLogprobs, wire.PromptLogprobs:
				d.strip(&d.r.Asks[i])
			}
		}
	}
}

// alone applies the action of each feature that is asked for.
func (d *decider) alone() {
	for i := range d.r.Asks {
		ask := &d.r.Asks[i]
		if ask.Feature == wire.Reasoning {
			continue
		}
		a := d.action(ask)
		if _, named := d.p.field(d.plan, d.r.Model, ask.Name); named && !ask.Nested && ask.Within == (wire.Span{}) {
			continue
		}
		if ask.Feature == wire.Prefill && ask.Marked && a.Verb == Limit {
			a = Action{Verb: Refuse}
		}
		switch a.Verb {
		case Strip:
			d.strip(ask)
		case Refuse:
			d.refuse(ask.Feature.String(), param(ask), "The field %s is not offered here; remove it.", where(ask))
		case Limit:
			if ask.Count > a.Number {
				d.refuse(ask.Feature.String(), param(ask), "The field %s is limited to %d%s here; ask for less.", where(ask), a.Number, unit(ask.Feature))
			}
		case Cap:
			if ask.Count > a.Number {
				d.into.Patch.Replace(ask.Value, strconv.AppendInt(nil, a.Number, 10))
				d.change(ask.Name, a)
			}
		}
	}
}

// action is what holds for an ask, seen together with the others.
func (d *decider) action(ask *wire.Ask) Action {
	a := d.t.actions[ask.Feature]
	probs, top := d.t.actions[wire.Logprobs], d.t.actions[wire.TopLogprobs]
	switch {
	case ask.Feature == wire.TopLogprobs && probs.Verb == Strip && a.Verb != Refuse:
		return probs // without logprobs, upstreams take it for a mistake
	case ask.Feature == wire.TopLogprobs && (a.Verb == Cap || a.Verb == Limit) && d.list(ask):
		return Action{Verb: Refuse} // tokens of the caller's choice
	case ask.Feature == wire.Logprobs && a.Verb == Allow && d.number(ask):
		if top.Verb == Strip { // the number counts the likeliest tokens too: none of them is left
			return Action{Verb: Cap}
		}
		return top
	case ask.Feature == wire.PromptLogprobs && (a.Verb == Cap || a.Verb == Limit) && !d.number(ask):
		return Action{Verb: Refuse}
	case ask.Feature == wire.BestOf && a.Verb == Cap && !d.number(ask):
		return Action{Verb: Strip}
	}
	return a
}

func (d *decider) number(ask *wire.Ask) bool {
	c := d.r.Body[ask.Value.Start]
	return c == '-' || '0' <= c && c <= '9'
}

func (d *decider) list(ask *wire.Ask) bool { return !d.number(ask) }

// strip takes an ask out of the request, and what it asks for out of the answer.
func (d *decider) strip(ask *wire.Ask) {
	if ask.Within == (wire.Span{}) {
		d.into.Patch.Remove(ask.Member)
	} else {
		d.into.cuts = append(d.into.cuts, ask.Within)
	}
	switch ask.Feature {
	case wire.Logprobs, wire.TopLogprobs, wire.PromptLogprobs:
		d.into.Redaction.Logprobs = true
	case wire.Internals:
		d.into.Redaction.Hidden = true
	}
	if c := (Change{ask.Name, Action{Verb: Strip}}); !slices.Contains(d.into.Changes, c) {
		d.into.Changes = append(d.into.Changes, c)
	}
}

// prior takes all earlier reasoning out of the request.
func (d *decider) prior() {
	for i := range d.r.Asks {
		if d.r.Asks[i].Feature == wire.PriorReasoning {
			d.strip(&d.r.Asks[i])
		}
	}
}

// reasoning applies how much of the reasoning the caller sees.
func (d *decider) reasoning() {
	if d.t.reasoning == pass || !d.r.Endpoint.Generates() {
		return
	}
	d.into.Redaction.Reasoning = true
	d.into.Redaction.Summaries = d.t.reasoning == summarise && d.r.Endpoint != wire.Chat
	for i := range d.r.Asks {
		ask := &d.r.Asks[i]
		switch ask.Feature {
		case wire.Logprobs, wire.TopLogprobs, wire.Internals: // they spell out the tokens of the reasoning too
			d.strip(ask)
			continue
		case wire.Reasoning:
		default:
			continue
		}
		switch {
		case ask.Name == "separate_reasoning", ask.Name == "reasoning_format": // reasoning could come as answer text
			d.strip(ask)
		case d.t.reasoning == summarise && ask.Name == "thinking":
			d.option(ask, "display", "summarized", "omitted")
		case d.t.reasoning == summarise && ask.Name == "reasoning" && d.r.Endpoint == wire.Responses:
			d.option(ask, "summary", "auto", "concise", "detailed")
		}
	}
}

// option sets an option of the object that an ask has for its value, unless it has that value or one of the others.
func (d *decider) option(ask *wire.Ask, name, value string, others ...string) {
	var inner wire.Document
	var p wire.Patch
	if inner.Read(ask.Value.Of(d.r.Body)) != nil {
		return
	}
	if i := inner.Find(name); i >= 0 && inner.Members[i].Kind == '"' {
		if has := wire.Unquote(inner.Members[i].Value.Of(inner.Body)); has == value || slices.Contains(others, has) {
			return
		}
	}
	p.Set(&inner, name, []byte(`"`+value+`"`))
	d.into.Patch.Replace(ask.Value, p.Apply(nil, &inner))
	d.change(ask.Name+"."+name, Action{Verb: Cap})
}

// cut takes out what lies deeper than a top-level member.
func (d *decider) cut() {
	if len(d.into.cuts) == 0 {
		return
	}
	slices.SortFunc(d.into.cuts, func(a, b wire.Span) int { return a.Start - b.Start })
	for i := range d.r.Members {
		if value := d.r.Members[i].Value; d.inside(value) && d.within(value) {
			d.into.Patch.Remove(i)
		}
	}
}

// listed reports whether s is to be cut.
func (d *decider) listed(s wire.Span) bool {
	i, found := slices.BinarySearchFunc(d.into.cuts, s.Start, func(c wire.Span, at int) int { return c.Start - at })
	return found && d.into.cuts[i] == s
}

// inside reports whether something within s is to be cut.
func (d *decider) inside(s wire.Span) bool {
	i, _ := slices.BinarySearchFunc(d.into.cuts, s.Start+1, func(c wire.Span, at int) int { return c.Start - at })
	return i < len(d.into.cuts) && d.into.cuts[i].End < s.End
}

// within cuts what is to be cut in the container at s and reports whether nothing is left of it.
func (d *decider) within(s wire.Span) bool {
	parts := wire.Parts(nil, d.r.Body, s)
	var remove []int
	for i, p := range parts {
		switch {
		case d.listed(p.At), d.listed(p.Value):
			remove = append(remove, i)
		case d.inside(p.Value):
			if d.within(p.Value) {
				if p.Name != "" {
					return true // an object that has lost what it is for
				}
				remove = append(remove, i)
			}
		}
	}
	if len(parts) > 0 && len(remove) == len(parts) {
		return true
	}
	d.into.Patch.Cut(parts, remove...)
	return false
}

// where names an ask in a sentence.
func where(ask *wire.Ask) string {
	if ask.Feature == wire.Prefill && ask.Name == "last message" {
		return "messages (a last turn of the assistant)"
	}
	return ask.Name
}

// param names the request field at fault.
func param(ask *wire.Ask) string {
	if ask.Within != (wire.Span{}) && ask.Feature != wire.Logprobs {
		return ""
	}
	return ask.Name
}

// unit says what the limit of a feature counts, where its name does not.
func unit(f wire.Feature) string {
	switch f {
	case wire.LogitBias:
		return " tokens"
	case wire.Prefill:
		return " bytes that do not open reasoning"
	}
	return ""
}
