// Package openai reads requests to the OpenAI API and what compatible servers add to it, follows its answers, and writes
// refusals in its form.
package openai

import (
	"github.com/palladium-guard/palladium/internal/wire"
	"github.com/palladium-guard/palladium/traffic/dialect"
)

// Dialect reads and writes the OpenAI API. It never changes and is safe for concurrent use.
type Dialect struct{ fields *wire.Fields }

// New makes the dialect.
func New() *Dialect { return &Dialect{fields: fields()} }

// Name is openai.
func (d *Dialect) Name() string { return "openai" }

// Read reads the body of a request to e into r. Errors wrap one of wire's or dialect.ErrMissing; they name fields of the
// API and byte positions and quote nothing else. The caller answers them with status 400.
func (d *Dialect) Read(r *wire.Request, e wire.Endpoint, body []byte) error {
	if err := r.Begin(e, body); err != nil {
		return err
	}
	if err := d.fields.Take(r); err != nil {
		return err
	}
	for i := range r.Members {
		m := &r.Members[i]
		if m.Kind == 'n' {
			continue
		}
		if err := d.deeper(r, i, m); err != nil {
			return err
		}
	}
	r.Answers *= r.Prompts
	r.Settle()
	if r.Model == "" {
		return dialect.Missing("model")
	}
	return nil
}

// deeper reads the fields whose meaning lies within their value.
func (d *Dialect) deeper(r *wire.Request, i int, m *wire.Member) error {
	switch m.Name {
	case "model":
		if m.Kind != '"' {
			return wire.WrongType(m.Name, "a string")
		}
		r.Model = wire.Unquote(m.Value.Of(r.Body))
	case "stream_options":
		for _, o := range r.Parts(0, m.Value) {
			if o.Name == "include_usage" && o.Kind == 't' {
				r.WantsUsage = true
			}
		}
	case "include":
		includes(r, i, m)
	case "reasoning", "reasoning_effort":
		r.Asks = append(r.Asks, wire.Ask{Feature: wire.Reasoning, Name: m.Name, Member: i, Value: m.Value, Count: 1})
	case "prompt":
		if parts := r.Parts(0, m.Value); m.Kind == '[' && len(parts) > 1 && parts[0].Kind != '0' { // not token ids
			r.Prompts = int64(len(parts))
		}
	case "messages":
		return conversation(r, i, m, "messages")
	case "input":
		if r.Endpoint == wire.Responses {
			return conversation(r, i, m, "input")
		}
	}
	return nil
}

// includes reads the responses API's list of what to include.
func includes(r *wire.Request, i int, m *wire.Member) {
	for _, e := range r.Parts(0, m.Value) {
		ask := wire.Ask{Name: "include", Member: i, Within: e.Value, Value: e.Value, Count: 1}
		if e.Kind != '"' {
			continue
		}
		if wire.Unquote(e.Value.Of(r.Body)) == "message.output_text.logprobs" {
			ask.Feature = wire.Logprobs
			r.Asks = append(r.Asks, ask)
		}
	}
}
