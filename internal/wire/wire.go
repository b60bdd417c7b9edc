// Package wire holds what the wire dialects of language models have in common: requests read strictly and by place, so
// that a body is changed without encoding again what is not touched; answers followed as raw bytes, streamed or not,
// in constant memory; and the nouns for a refusal and for what an answer must not show.
package wire

import "errors"

// Endpoint is what a request is sent to.
type Endpoint uint8

// The endpoints. The zero value is none of them.
const (
	Chat        Endpoint = iota + 1 // OpenAI /v1/chat/completions
	Completions                     // OpenAI /v1/completions
	Responses                       // OpenAI /v1/responses
	Embeddings                      // OpenAI /v1/embeddings
	Models                          // /v1/models and /v1/models/{model} of either provider; no body
	Messages                        // Anthropic /v1/messages
	CountTokens                     // Anthropic /v1/messages/count_tokens
)

// String returns the endpoint's name as configurations and logs have it.
func (e Endpoint) String() string {
	switch e {
	case Chat:
		return "chat"
	case Completions:
		return "completions"
	case Responses:
		return "responses"
	case Embeddings:
		return "embeddings"
	case Models:
		return "models"
	case Messages:
		return "messages"
	case CountTokens:
		return "count_tokens"
	}
	return "other"
}

// Generates reports whether the endpoint answers with tokens of a model.
func (e Endpoint) Generates() bool {
	return e == Chat || e == Completions || e == Responses || e == Messages
}

// Refusal is an answer that the gateway gives in place of the model's. Each dialect has its own form for it.
type Refusal struct {
	Status    int    // HTTP status
	Code      string // reason code, such as restrict.logprobs or verdict.suspend
	Message   string // one sentence for the caller: what is wrong and what to do
	Param     string // request field at fault, or empty
	RequestID string // quoted by the caller when asking about it
	Appeal    string // where to appeal, or empty
	Verify    string // where to verify who holds the account, or empty
}

// Sentence is the message with the request's id and the addresses, as most clients show nothing else.
func (r *Refusal) Sentence() string {
	s := r.Message
	if r.Verify != "" {
		s += " To verify: " + r.Verify + "."
	}
	if r.Appeal != "" {
		s += " To appeal: " + r.Appeal + "."
	}
	if r.RequestID != "" {
		s += " Request id: " + r.RequestID + "."
	}
	return s
}

// Redaction says what an answer must not show. The zero value changes nothing.
type Redaction struct {
	Logprobs   bool // log probabilities of answer and prompt become null
	Reasoning  bool // reasoning text is left out; sealed reasoning (signatures, encrypted content) stays
	Summaries  bool // with Reasoning: summaries of reasoning that the upstream wrote itself stay
	UsageChunk bool // the chunk that carries nothing but usage is left out: the caller did not ask for it
	Round      bool // embeddings are rounded to Decimals
	Decimals   int  // digits after the decimal point, 0 to 17
	Hidden     bool // hidden states, token ids and routed experts are left out
}

// Any reports whether r changes an answer.
func (r Redaction) Any() bool {
	return r.Logprobs || r.Reasoning || r.UsageChunk || r.Round || r.Hidden
}

// Why a body is refused. Errors of this package wrap one of these and quote nothing of the body.
var (
	ErrSyntax    = errors.New("invalid JSON")
	ErrDuplicate = errors.New("duplicate name in a JSON object")
	ErrUTF8      = errors.New("invalid UTF-8")
	ErrTrailing  = errors.New("data after the JSON value")
	ErrDepth     = errors.New("JSON nested too deep")
	ErrMany      = errors.New("too many JSON values")
	ErrObject    = errors.New("body is not a JSON object")
	ErrType      = errors.New("wrong type in field")
	ErrSpelling  = errors.New("unusual spelling of field")
	ErrPlace     = errors.New("unusual place of field")
	ErrAnswer    = errors.New("answer cannot be read")
)
