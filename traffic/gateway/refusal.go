package gateway

import (
	"encoding/json"
	"net/http"
	"strconv"
	"time"
)

// refusal is an answer of the gateway's own.
type refusal struct {
	status int
	reason string // code for programs, such as credential.missing
	says   string // for people; never quotes the request
	param  string // the request's field that is at fault
	after  time.Duration
	retry  bool   // trying again can help
	appeal string // address for appeals, with the reference to quote
}

func (f *refusal) Error() string { return f.reason + ": " + f.says }

// refuse answers with f in the caller's dialect.
func (x *exchange) refuse(f *refusal) {
	h := x.w.Header()
	clear(h)
	id := x.id.String()
	h["Content-Type"] = []string{"application/json"}
	h["X-Palladium-Request-Id"] = []string{id}
	h["X-Palladium-Reason"] = []string{f.reason}
	h["X-Content-Type-Options"] = []string{"nosniff"}
	if f.appeal != "" {
		h["X-Palladium-Appeal"] = []string{f.appeal}
	}
	if f.after > 0 {
		secs := int64((f.after + time.Second - 1) / time.Second)
		h["Retry-After"] = []string{strconv.FormatInt(secs, 10)}
		h["Retry-After-Ms"] = []string{strconv.FormatInt(int64((f.after+time.Millisecond-1)/time.Millisecond), 10)}
	}
	// Clients try 408, 409, 429 and 5xx again unless they are told not to.
	h["X-Should-Retry"] = []string{strconv.FormatBool(f.retry)}
	if x.dialect() == Anthropic {
		h["Request-Id"] = []string{id}
	} else {
		h["X-Request-Id"] = []string{id}
	}
	x.limitHeaders(h)
	body := errorBody(x.dialect(), f, id)
	h["Content-Length"] = []string{strconv.Itoa(len(body))}
	x.status, x.reason = f.status, f.reason
	x.w.WriteHeader(f.status)
	if x.r.Method != http.MethodHead {
		_, _ = x.w.Write(body) // a caller that left needs no answer
	}
}

// errorBody is a refusal in a dialect.
func errorBody(d Dialect, f *refusal, id string) []byte {
	text := f.says
	if f.appeal != "" {
		text += " Appeal: " + f.appeal
	}
	var v any
	if d == Anthropic {
		type inner struct {
			Type    string `json:"type"`
			Message string `json:"message"`
			Code    string `json:"code"`
		}
		v = struct {
			Type      string `json:"type"`
			Error     inner  `json:"error"`
			RequestID string `json:"request_id"`
		}{"error", inner{kindOf(d, f.status), text, f.reason}, id}
	} else {
		type inner struct {
			Message   string  `json:"message"`
			Type      string  `json:"type"`
			Param     *string `json:"param"`
			Code      string  `json:"code"`
			RequestID string  `json:"request_id"`
		}
		e := inner{Message: text, Type: kindOf(d, f.status), Code: f.reason, RequestID: id}
		if f.param != "" {
			e.Param = &f.param
		}
		v = struct {
			Error inner `json:"error"`
		}{e}
	}
	b, err := json.Marshal(v)
	if err != nil { // strings always marshal
		return []byte(`{"error":{"message":"refused","type":"api_error","param":null,"code":null}}`)
	}
	return b
}

// kindOf is the error type that clients of a dialect expect with a status.
func kindOf(d Dialect, status int) string {
	switch {
	case status == http.StatusUnauthorized:
		return "authentication_error"
	case status == http.StatusForbidden:
		return "permission_error"
	case status == http.StatusNotFound:
		return "not_found_error"
	case status == http.StatusTooManyRequests:
		return "rate_limit_error"
	case status == http.StatusRequestEntityTooLarge && d == Anthropic:
		return "request_too_large"
	case status < 500:
		return "invalid_request_error"
	case d == Anthropic && status == http.StatusServiceUnavailable:
		return "overloaded_error"
	case d == Anthropic:
		return "api_error"
	}
	return "server_error"
}
