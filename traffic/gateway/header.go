package gateway

import (
	"net/http"
	"strings"
)

// hop reports whether a header, in canonical form, concerns one connection only (RFC 9110, section 7.6.1).
func hop(name string) bool {
	switch name {
	case "Connection", "Proxy-Connection", "Keep-Alive", "Proxy-Authenticate", "Proxy-Authorization", "Te", "Trailer",
		"Transfer-Encoding", "Upgrade":
		return true
	}
	return false
}

// withheld reports whether a caller's header, in canonical form, is never passed on: credentials, which the upstream's own
// replaces; what says how the caller's connection frames the body; and claims about where a request comes from.
func withheld(name string) bool {
	switch name {
	case "Authorization", "X-Api-Key", "Api-Key", "Content-Length", "Expect", "Accept-Encoding", "Forwarded", "X-Real-Ip",
		"X-Http-Method-Override", "X-Original-Url", "X-Rewrite-Url":
		return true
	}
	return strings.HasPrefix(name, "X-Forwarded-")
}

// outbound makes the headers of the request to an upstream. It shares the values of in and changes none.
func outbound(in http.Header, strip []string) http.Header {
	out := make(http.Header, len(in)+2)
	for name, values := range in {
		if !hop(name) && !withheld(name) {
			out[name] = values
		}
	}
	for _, list := range in["Connection"] {
		for name := range strings.SplitSeq(list, ",") {
			delete(out, http.CanonicalHeaderKey(strings.TrimSpace(name)))
		}
	}
	for _, name := range strip {
		delete(out, name)
	}
	out["Accept-Encoding"] = []string{"identity"} // policy, budget and observation read the answer
	if _, ok := out["User-Agent"]; !ok {
		out["User-Agent"] = nil // or the transport names itself
	}
	// The transport would send a request again, although the upstream may have begun to answer it, when this header stands
	// under its canonical name. In lower case it passes all the same.
	if v, ok := out["Idempotency-Key"]; ok {
		delete(out, "Idempotency-Key")
		out["idempotency-key"] = v
	}
	if v, ok := out["X-Idempotency-Key"]; ok {
		delete(out, "X-Idempotency-Key")
		out["x-idempotency-key"] = v
	}
	return out
}

// inbound copies the upstream's response headers to the caller's, without what concerns the upstream's connection and
// without any value that holds the upstream's secret.
func inbound(out, in http.Header, secret string) {
	for name, values := range in {
		if hop(name) || secret != "" && holds(values, secret) {
			continue
		}
		out[name] = values
	}
	for _, list := range in["Connection"] {
		for name := range strings.SplitSeq(list, ",") {
			delete(out, http.CanonicalHeaderKey(strings.TrimSpace(name)))
		}
	}
}

func holds(values []string, secret string) bool {
	for _, v := range values {
		if strings.Contains(v, secret) {
			return true
		}
	}
	return false
}
