package gateway

import (
	"net/http"
	"strconv"
	"time"

	"github.com/palladium-guard/palladium/internal/wire"
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
	verify string // address where the account holder can verify
}

func (f *refusal) Error() string { return f.reason + ": " + f.says }

func (f *refusal) wire(id requestID) *wire.Refusal {
	return &wire.Refusal{Status: f.status, Code: f.reason, Message: f.says, Param: f.param, RequestID: id.String(), Appeal: f.appeal, Verify: f.verify}
}

// refuse answers with f in the caller's dialect.
func (x *exchange) refuse(f *refusal) {
	x.linger()
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
	if f.verify != "" {
		h["X-Palladium-Verify"] = []string{f.verify}
	}
	if f.after > 0 {
		secs := int64((f.after + time.Second - 1) / time.Second)
		h["Retry-After"] = []string{strconv.FormatInt(secs, 10)}
	}
	// Clients try 408, 409, 429 and 5xx again unless they are told not to.
	h["X-Should-Retry"] = []string{strconv.FormatBool(f.retry)}
	if x.name() == anthropic {
		h["Request-Id"] = []string{id}
	} else {
		h["X-Request-Id"] = []string{id}
	}
	x.rateHeaders(h)
	body := x.dialect().Refuse(nil, f.wire(x.id))
	h["Content-Length"] = []string{strconv.Itoa(len(body))}
	x.status, x.reason = f.status, f.reason
	x.w.WriteHeader(f.status)
	if x.r.Method != http.MethodHead {
		_, _ = x.w.Write(body) // a caller that left needs no answer
	}
}
