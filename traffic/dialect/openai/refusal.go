package openai

import (
	"strconv"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/palladium-guard/palladium/internal/wire"
)

// Refuse appends the body of a refusal: {"error":{message,type,param,code}}.
func (d *Dialect) Refuse(dst []byte, r *wire.Refusal) []byte {
	dst = append(dst, `{"error":`...)
	dst = object(dst, r)
	return append(dst, '}')
}

// RefuseEvent appends the event that ends a stream early. Nothing may follow it, no [DONE] either. Sequence is the
// last sequence_number that passed (wire.Tally), for the responses API.
func (d *Dialect) RefuseEvent(dst []byte, e wire.Endpoint, r *wire.Refusal, sequence int64) []byte {
	if e != wire.Responses {
		dst = append(dst, `data: `...)
		return append(d.Refuse(dst, r), "\n\n"...)
	}
	dst = append(dst, "event: error\ndata: {\"type\":\"error\",\"sequence_number\":"...)
	dst = strconv.AppendInt(dst, sequence+1, 10)
	dst = append(dst, `,"code":`...)
	dst = text(dst, r.Code)
	dst = append(dst, `,"message":`...)
	dst = text(dst, r.Sentence())
	dst = append(dst, `,"param":`...)
	dst = orNull(dst, r.Param)
	dst = append(dst, `,"error":`...) // what clients look for in every stream
	dst = object(dst, r)
	return append(dst, "}\n\n"...)
}

func object(dst []byte, r *wire.Refusal) []byte {
	dst = append(dst, `{"message":`...)
	dst = text(dst, r.Sentence())
	dst = append(dst, `,"type":`...)
	dst = text(dst, kind(r.Status))
	dst = append(dst, `,"param":`...)
	dst = orNull(dst, r.Param)
	dst = append(dst, `,"code":`...)
	dst = orNull(dst, r.Code)
	return append(dst, '}')
}

// kind is the error type that OpenAI gives with a status.
func kind(status int) string {
	switch {
	case status == 401:
		return "authentication_error"
	case status == 403:
		return "permission_error"
	case status == 404:
		return "not_found_error"
	case status == 429:
		return "rate_limit_error"
	case status >= 500:
		return "server_error"
	}
	return "invalid_request_error"
}

func text(dst []byte, s string) []byte {
	dst, _ = jsontext.AppendQuote(dst, s)
	return dst
}

func orNull(dst []byte, s string) []byte {
	if s == "" {
		return append(dst, "null"...)
	}
	return text(dst, s)
}
