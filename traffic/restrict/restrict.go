// Package restrict decides what of a request may reach the model and what of an answer may reach the caller: less to
// steal. Each feature that thieves want and few others need is allowed, taken out, limited or refused, by plan and
// model.
package restrict

import (
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/palladium-guard/palladium/internal/wire"
)

// Verb is what is done with a feature that a request asks for.
type Verb uint8

// The verbs.
const (
	Allow  Verb = iota + 1
	Strip       // taken out of the request, and of the answer should the upstream give it all the same
	Cap         // lowered to the limit
	Limit       // refused above the limit
	Refuse      // refused
)

// String returns the verb as configurations have it.
func (v Verb) String() string {
	switch v {
	case Allow:
		return "allow"
	case Strip:
		return "strip"
	case Cap:
		return "cap"
	case Limit:
		return "limit"
	case Refuse:
		return "refuse"
	}
	return "none"
}

// Action is a verb with its number: allow, strip, refuse, "cap 5" (lowered to 5) or "limit 5" (refused above 5).
type Action struct {
	Verb   Verb
	Number int64
}

// String returns the action as configurations have it.
func (a Action) String() string {
	if a.Verb == Cap || a.Verb == Limit {
		return a.Verb.String() + " " + strconv.FormatInt(a.Number, 10)
	}
	return a.Verb.String()
}

// MarshalText implements encoding.TextMarshaler.
func (a Action) MarshalText() ([]byte, error) { return []byte(a.String()), nil }

// UnmarshalText implements encoding.TextUnmarshaler, and so reads YAML scalars.
func (a *Action) UnmarshalText(text []byte) error {
	word, number, counted := strings.Cut(strings.TrimSpace(string(text)), " ")
	for v := Allow; v <= Refuse; v++ {
		if v.String() != word || counted != (v == Cap || v == Limit) {
			continue
		}
		if *a = (Action{Verb: v}); !counted {
			return nil
		}
		n, err := strconv.ParseInt(strings.TrimSpace(number), 10, 32)
		if err == nil && n >= 0 {
			a.Number = n
			return nil
		}
	}
	return fmt.Errorf(`unknown action %q: write allow, strip, refuse, or "cap 5" or "limit 5" with a number`, text)
}

// Change is something that a decision did to the request or will do to the answer.
type Change struct {
	Field  string // as documented, never as sent
	Action Action
}

// Decision is what happens to one request. Its memory is used again by the next Decide.
type Decision struct {
	// Refused tells that Refusal is to be sent, and nothing upstream. Status, Code, Message and Param of it are set.
	Refused bool
	Refusal wire.Refusal
	// Patch changes the request; the gateway may add to it before it applies it.
	Patch wire.Patch
	// Redaction is what the answer must not show.
	Redaction wire.Redaction
	// Changes lists what was changed, for the caller's information and for counting.
	Changes []Change

	cuts []wire.Span
}

// Explain turns an error of reading a request into the refusal to send.
func Explain(err error) wire.Refusal {
	r := wire.Refusal{Status: 400, Code: "request.unclear", Message: "The request body cannot be accepted: " + err.Error() + "."}
	var field *wire.FieldError
	if errors.As(err, &field) {
		r.Param = field.Field
	}
	return r
}
