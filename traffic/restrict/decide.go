package restrict

import (
	"github.com/palladium-guard/palladium/internal/wire"
)

// Decide applies the policy of plan, and of the model that r names, to r. With withhold set, as the verdict measure of
// that name demands, there are no log probabilities, one answer and no reasoning text whatever the policy allows.
func (p *Policy) Decide(into *Decision, r *wire.Request, plan string, withhold bool) {
	into.Refused, into.Refusal, into.Redaction, into.Changes = false, wire.Refusal{}, wire.Redaction{}, into.Changes[:0]
	into.Patch.Reset()
}

// Explain turns an error of reading a request into the refusal to send.
func Explain(err error) wire.Refusal {
	return wire.Refusal{Status: 400, Code: "request.unclear", Message: "The request body is refused: " + err.Error() + "."}
}
