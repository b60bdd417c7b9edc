package gateway

import (
	"net/http"

	"github.com/palladium-guard/palladium"
	"github.com/palladium-guard/palladium/internal/wire"
)

// Reader reads a dialect's requests and answers. See traffic/dialect/openai and traffic/dialect/anthropic.
type Reader interface {
	Read(r *wire.Request, e wire.Endpoint, body []byte) error
	Answer(e wire.Endpoint) wire.Semantics
	WantUsage(p *wire.Patch, r *wire.Request) bool
	Fill(e *palladium.Exchange, r *wire.Request, s *wire.Scanner) error
}

// Voice writes a dialect's refusals.
type Voice interface {
	Refuse(dst []byte, r *wire.Refusal) []byte
	RefuseEvent(dst []byte, e wire.Endpoint, r *wire.Refusal, sequence int64) []byte
}

// Dialect is whose requests, answers and errors an endpoint speaks. It never changes and is safe for concurrent use.
type Dialect interface {
	Reader
	Voice
	wire.Redactor
}

// name is the dialect that the exchange's caller understands.
func (x *exchange) name() string {
	if x.route == nil || x.route.Name == "models" {
		return headerDialect(x.r.Header)
	}
	return x.route.Dialect
}

// dialect is what speaks it.
func (x *exchange) dialect() Dialect {
	if x.name() == anthropic {
		return x.g.anthropic
	}
	return x.g.openAI
}

// eventStream reports whether an answer is a stream of server-sent events.
func eventStream(h http.Header) bool {
	v := h["Content-Type"]
	return len(v) > 0 && len(v[0]) >= len(sse) && equalFold(v[0][:len(sse)], sse)
}

const sse = "text/event-stream"

// equalFold compares a with the lower-case b.
func equalFold(a, b string) bool {
	for i := range len(b) {
		c := a[i]
		if 'A' <= c && c <= 'Z' {
			c += 'a' - 'A'
		}
		if c != b[i] {
			return false
		}
	}
	return len(a) == len(b)
}
