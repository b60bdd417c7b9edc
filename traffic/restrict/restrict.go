// Package restrict decides what of a request may reach the model and what of an answer may reach the caller: less to
// steal. Each feature that thieves want and few others need is allowed, taken out, limited or refused, by plan and
// model.
package restrict

import "github.com/palladium-guard/palladium/internal/wire"

// Verb is what is done with a feature that a request asks for.
type Verb uint8

// The verbs.
const (
	Allow  Verb = iota + 1
	Strip       // taken out of the request, and of the answer should the upstream give it all the same
	Cap         // lowered to a limit
	Refuse      // the request is answered with status 400
)

// Action is a verb with its limit. In YAML: allow, strip, refuse or "cap 5".
type Action struct {
	Verb  Verb
	Limit int64
}

// Policy is a compiled Config. It never changes and is safe for concurrent use.
type Policy struct{ rules []rule }

// Change is something that a decision did to the request.
type Change struct {
	Field string // as documented, never as sent
	Verb  Verb
	Limit int64
}

// Decision is what happens to one request. Its memory is used again by the next Decide.
type Decision struct {
	// Refused tells that Refusal is to be sent, and nothing upstream.
	Refused bool
	Refusal wire.Refusal // Status, Code, Message and Param are set
	// Patch changes the request; the gateway may add to it before it applies it.
	Patch wire.Patch
	// Redaction is what the answer must not show.
	Redaction wire.Redaction
	// Changes lists what was changed, for the caller's information and for counting.
	Changes []Change
}
