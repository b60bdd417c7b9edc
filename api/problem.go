package api

import (
	"fmt"
	"net/http"
	"time"
)

// Problem is an error as the caller gets it: RFC 9457. Detail says what to do next and never holds a secret.
type Problem struct {
	Status int
	Code   string // for programs; one of the codes of the OpenAPI document
	Detail string
	Fields []Field
	Retry  time.Duration // with status 429: when to try again
}

// Field is what is wrong with one part of a request.
type Field struct {
	Field string `json:"field"` // JSON pointer into the body, or name of a parameter
	Says  string `json:"says"`
}

func (p *Problem) Error() string { return p.Code + ": " + p.Detail }

// BadRequest is the problem of a request that has not the form that is asked for.
func BadRequest(format string, args ...any) *Problem {
	return &Problem{Status: http.StatusBadRequest, Code: "bad_request", Detail: fmt.Sprintf(format, args...)}
}

// NotFound is the problem of a thing that is not there.
func NotFound(what string) *Problem {
	return &Problem{Status: http.StatusNotFound, Code: "not_found", Detail: "there is no such " + what + ", or no longer"}
}

// Conflict is the problem of a request that the present state does not allow.
func Conflict(format string, args ...any) *Problem {
	return &Problem{Status: http.StatusConflict, Code: "conflict", Detail: fmt.Sprintf(format, args...)}
}

// Forbidden is the problem of one who may not.
func Forbidden(format string, args ...any) *Problem {
	return &Problem{Status: http.StatusForbidden, Code: "forbidden", Detail: fmt.Sprintf(format, args...)}
}

// SamePerson is the problem of one who would be the second person to their own act.
func SamePerson(detail string) *Problem {
	return &Problem{Status: http.StatusForbidden, Code: "same_person", Detail: detail}
}

// Unavailable is the problem of a part that is needed and not there: nothing was done.
func Unavailable(detail string) *Problem {
	return &Problem{Status: http.StatusServiceUnavailable, Code: "unavailable", Detail: detail}
}

// TooMany is the problem of a caller who must wait.
func TooMany(wait time.Duration) *Problem {
	return &Problem{Status: http.StatusTooManyRequests, Code: "too_many", Detail: "too many attempts: wait, then try again", Retry: wait}
}

// titles are the short sentences of the codes.
func title(code string) string {
	switch code {
	case "bad_request":
		return "The request has not the form that is asked for"
	case "not_signed_in":
		return "Sign in first"
	case "sign_in_failed":
		return "Sign-in failed"
	case "totp_required":
		return "A one-time code is needed"
	case "forbidden", "same_person":
		return "Not allowed"
	case "cross_site":
		return "A request from another site"
	case "not_found":
		return "Not found"
	case "method_not_allowed":
		return "This cannot be done here"
	case "conflict", "secret_shown":
		return "Not possible in the present state"
	case "changed":
		return "It has changed meanwhile"
	case "too_large":
		return "The request is too large"
	case "unsupported_media":
		return "Send application/json"
	case "key_reused":
		return "Idempotency-Key was used for something else"
	case "if_match_required":
		return "Say which version is changed"
	case "too_many":
		return "Too many requests"
	case "misdirected":
		return "This site has another name"
	case "unavailable":
		return "A part that is needed is not there"
	}
	return "Something went wrong here"
}

// problemBody is the form of a Problem on the wire.
type problemBody struct {
	Type    string  `json:"type"`
	Title   string  `json:"title"`
	Status  int     `json:"status"`
	Code    string  `json:"code"`
	Detail  string  `json:"detail"`
	Request string  `json:"request,omitempty"`
	Errors  []Field `json:"errors,omitempty"`
}
