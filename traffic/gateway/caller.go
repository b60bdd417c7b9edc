package gateway

import (
	"errors"
	"net/http"
	"time"

	"github.com/palladium-guard/palladium/internal/wildcard"
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
func (s *Scopes) Model(name string) bool { return len(s.Models) == 0 || wildcard.Any(s.Models, name) }

// Endpoint reports whether the endpoint of that name is within the scope.
func (s *Scopes) Endpoint(name string) bool {
	return len(s.Endpoints) == 0 || wildcard.Any(s.Endpoints, name)
}

// Feature reports whether the feature of that name is within the scope.
func (s *Scopes) Feature(name string) bool {
	return len(s.Features) == 0 || wildcard.Any(s.Features, name)
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
