package gateway

import (
	"errors"
	"net/http"
	"strings"
	"time"
)

// Caller is who sends a request, as a credential proves it. It holds no secret.
type Caller struct {
	Account      string // who is billed; never empty, "anonymous" where the operator allows such callers
	Organization string
	Plan         string // selects the request policy and the default budget
	Credential   string // public id of the key, or of the token's subject
	Kind         string // key, jwt, mtls, spiffe, trusted, anonymous
	Scopes       Scopes
	Rate         Rate
	Budgets      []string  // names of budgets beyond those of the account and its organisation
	Expires      time.Time // zero when the credential has no end
}

// Rate is how fast a credential may be used. Zero means the default of the caller's plan.
type Rate struct {
	Requests int64 // a minute
	Tokens   int64 // a minute, input and output together
}

// Scopes is what a credential may be used for. An empty list allows all that the gateway serves.
type Scopes struct {
	Models    []string // names; '*' stands for any run of characters
	Endpoints []string // names of Endpoints(), such as chat or messages
	Features  []string // stream, tools, logprobs, reasoning …: names of the request policy's features
}

// Model reports whether name is within the scope.
func (s *Scopes) Model(name string) bool { return len(s.Models) == 0 || matchAny(s.Models, name) }

// Endpoint reports whether the endpoint of that name is within the scope.
func (s *Scopes) Endpoint(name string) bool {
	return len(s.Endpoints) == 0 || matchAny(s.Endpoints, name)
}

// Feature reports whether the feature of that name is within the scope.
func (s *Scopes) Feature(name string) bool {
	return len(s.Features) == 0 || matchAny(s.Features, name)
}

// Authenticator says who sends a request. It reads headers and the connection's TLS state only, never the body, does no
// I/O that can hang, and is safe for concurrent use. Its errors wrap one of ErrNoCredential, ErrCredential, ErrExpired,
// ErrRevoked, ErrAmbiguous and ErrIdentity, and carry no part of a credential's secret.
type Authenticator interface {
	Identify(r *http.Request) (Caller, error)
}

// Why a caller is not known.
var (
	ErrNoCredential = errors.New("no credential: send a key as Authorization: Bearer, x-api-key or api-key")
	ErrCredential   = errors.New("credential is not valid")
	ErrExpired      = errors.New("credential has expired")
	ErrRevoked      = errors.New("credential was revoked")
	ErrAmbiguous    = errors.New("request carries two different credentials: send one")
	ErrIdentity     = errors.New("identity cannot be checked at the moment")
)

// matchAny reports whether name fits one of the patterns.
func matchAny(patterns []string, name string) bool {
	for _, p := range patterns {
		if match(p, name) {
			return true
		}
	}
	return false
}

// match reports whether name fits the pattern, in which '*' stands for any run of characters.
func match(pattern, name string) bool {
	head, rest, star := strings.Cut(pattern, "*")
	if !star {
		return pattern == name
	}
	if !strings.HasPrefix(name, head) {
		return false
	}
	name = name[len(head):]
	for {
		part, more, star := strings.Cut(rest, "*")
		if !star {
			return strings.HasSuffix(name, part)
		}
		at := strings.Index(name, part)
		if at < 0 {
			return false
		}
		name, rest = name[at+len(part):], more
	}
}
