package anthropic

import (
	"github.com/go-json-experiment/json/jsontext"

	"github.com/palladium-guard/palladium/internal/wire"
)

// Refuse appends the body of a refusal: {"type":"error","error":{type,message,code},"request_id"}. The field code is
// ours: clients pass over fields that they do not know.
func (d *Dialect) Refuse(dst []byte, r *wire.Refusal) []byte {
	dst = append(dst, `{"type":"error","error":{"type":`...)
	dst = text(dst, kind(r.Status))
	dst = append(dst, `,"message":`...)
	dst = text(dst, r.Sentence())
	if r.Code != "" {
		dst = append(dst, `,"code":`...)
		dst = text(dst, r.Code)
	}
	dst = append(dst, '}')
	if r.RequestID != "" {
		dst = append(dst, `,"request_id":`...)
		dst = text(dst, r.RequestID)
	}
	return append(dst, '}')
}

// RefuseEvent appends the event that ends a stream early. Nothing may follow it, no message_stop either.
func (d *Dialect) RefuseEvent(dst []byte, _ wire.Endpoint, r *wire.Refusal, _ int64) []byte {
	dst = append(dst, "event: error\ndata: "...)
	return append(d.Refuse(dst, r), "\n\n"...)
}

// kind is the error type that Anthropic gives with a status.
func kind(status int) string {
	switch status {
	case 401:
		return "authentication_error"
	case 402:
		return "billing_error"
	case 403:
		return "permission_error"
	case 404:
		return "not_found_error"
	case 413:
		return "request_too_large"
	case 429:
		return "rate_limit_error"
	case 503, 529:
		return "overloaded_error"
	case 504:
		return "timeout_error"
	}
	if status >= 500 {
		return "api_error"
	}
	return "invalid_request_error"
}

func text(dst []byte, s string) []byte {
	dst, _ = jsontext.AppendQuote(dst, s)
	return dst
}
