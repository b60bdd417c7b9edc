// Package header says which headers of a request reach the upstream and which of its answer reach the caller: all but those
// that concern one connection, that identify, or that the operator names.
package header

import (
	"net/http"
	"slices"
	"strings"

	"github.com/palladium-guard/palladium/internal/wildcard"
)

// Config is the operator's part: names of headers, in any case, in which '*' stands for any run of characters.
type Config struct {
	Withhold []string `yaml:"withhold"` // of requests: they do not reach an upstream
	Hide     []string `yaml:"hide"`     // of answers: they do not reach a caller
}

// Fill puts the names into canonical form.
func (c *Config) Fill() {
	for _, list := range []*[]string{&c.Withhold, &c.Hide} {
		*list = slices.Clone(*list)
		for i, name := range *list {
			(*list)[i] = http.CanonicalHeaderKey(strings.TrimSpace(name))
		}
	}
}

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

// Outbound makes the headers of the request to an upstream, without those that strip names in canonical form. It shares
// the values of in and changes none.
func (c *Config) Outbound(in http.Header, strip []string) http.Header {
	out := make(http.Header, len(in)+2)
	for name, values := range in {
		// Servers that hand headers on as variables read an underscore as a hyphen.
		if strings.IndexByte(name, '_') >= 0 {
			read := http.CanonicalHeaderKey(strings.ReplaceAll(name, "_", "-"))
			if hop(read) || withheld(read) || slices.Contains(strip, read) || wildcard.Any(c.Withhold, read) {
				continue
			}
		}
		if !hop(name) && !withheld(name) && !wildcard.Any(c.Withhold, name) {
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

// Inbound copies the upstream's response headers to the caller's, without
// what concerns the upstream's connection and without any value that holds the upstream's secret.
func (c *Config) Inbound(out, in http.Header, secret string) {
	for name, values := range in {
		if hop(name) || !c.Shows(name, values, secret) {
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

// Shows reports whether a header, or a trailer, of an answer may reach the caller.
func (c *Config) Shows(name string, values []string, secret string) bool {
	return (secret == "" || !holds(values, secret)) && !wildcard.Any(c.Hide, name)
}

func holds(values []string, secret string) bool {
	for _, v := range values {
		if strings.Contains(v, secret) {
			return true
		}
	}
	return false
}
