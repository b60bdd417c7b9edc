package openai

import "github.com/palladium-guard/palladium/internal/wire"

// The names that answers are followed by.
const (
	nChoices wire.Name = iota + 2
	nDelta
	nMessage
	nContent
	nText
	nReasoning
	nToolCalls
	nFunction
	nArguments
	nRefusal
	nFinish
	nIndex
	nUsage
	nInput
	nOutput
	nInputDetails
	nOutputDetails
	nCached
	nThought
	nError
	nCode
	nType
	nResponse
	nItems // output of the responses API
	nStatus
	nItem
	nSummary
	nSeal
	nSequence
	nIncomplete
	nReason
)

// Answer returns the semantics of answers from e, for wire.Scanner.Reset.
func (d *Dialect) Answer(e wire.Endpoint) wire.Semantics {
	if e == wire.Responses {
		return responses{}
	}
	return completions{}
}

// completions are the answers of chat, completions and embeddings, streamed or not.
type completions struct{}

// Name implements wire.Semantics.
func (completions) Name(name []byte) wire.Name {
	switch string(name) {
	case "choices":
		return nChoices
	case "delta":
		return nDelta
	case "message":
		return nMessage
	case "content":
		return nContent
	case "text":
		return nText
	case "reasoning_content", "reasoning":
		return nReasoning
	case "tool_calls":
		return nToolCalls
	case "function", "function_call":
		return nFunction
	case "arguments":
		return nArguments
	case "refusal":
		return nRefusal
	case "finish_reason":
		return nFinish
	case "index":
		return nIndex
	case "usage":
		return nUsage
	case "prompt_tokens", "input_tokens":
		return nInput
	case "completion_tokens", "output_tokens":
		return nOutput
	case "prompt_tokens_details", "input_tokens_details":
		return nInputDetails
	case "completion_tokens_details", "output_tokens_details":
		return nOutputDetails
	case "cached_tokens":
		return nCached
	case "reasoning_tokens":
		return nThought
	case "error":
		return nError
	case "code":
		return nCode
	case "type":
		return nType
	}
	return wire.Ignored
}

const (
	choice = uint64(nChoices)<<8 | uint64(wire.Element)
	delta  = choice<<8 | uint64(nDelta)
	whole  = choice<<8 | uint64(nMessage)
	call   = (uint64(nToolCalls)<<8|uint64(wire.Element))<<16 | uint64(nFunction)<<8 | uint64(nArguments)
	usage  = uint64(nUsage)
	fault  = uint64(nError)
	part   = uint64(wire.Element)<<8 | uint64(nText)
)

// Token implements wire.Semantics.
func (completions) Token(s *wire.Scanner, t wire.Token) {
	switch s.Path {
	case delta<<8 | uint64(nContent), whole<<8 | uint64(nContent), choice<<8 | uint64(nText),
		(delta<<8|uint64(nContent))<<16 | part, (whole<<8|uint64(nContent))<<16 | part:
		if t == wire.String {
			s.Output(true)
		}
	case delta<<8 | uint64(nReasoning), whole<<8 | uint64(nReasoning):
		if t == wire.String && len(s.Piece) > 0 {
			s.Output(false)
			s.Thought = true
		}
	case delta<<32 | call, whole<<32 | call, (delta<<8|uint64(nFunction))<<8 | uint64(nArguments),
		(whole<<8|uint64(nFunction))<<8 | uint64(nArguments), delta<<8 | uint64(nRefusal), whole<<8 | uint64(nRefusal):
		if t == wire.String {
			s.Output(false)
		}
	case choice<<8 | uint64(nFinish):
		if t == wire.String {
			s.Finish.Set(s.Piece, s.Fresh())
		}
	case choice<<8 | uint64(nIndex):
		if n, ok := s.Int(); ok && t == wire.Number && n > 0 {
			s.Other = true
		}
	case choice:
		if t == wire.Close {
			if s.Other {
				s.Forget(s.Mark)
			}
			s.Other, s.Mark = false, len(s.Text)
		}
	default:
		figures(s, t, usage)
		faults(s, t, fault)
	}
}

// Event implements wire.Semantics.
func (completions) Event(s *wire.Scanner) {}

// figures reads the usage object at the path root.
func figures(s *wire.Scanner, t wire.Token, root uint64) {
	if t != wire.Number {
		return
	}
	var into *int64
	switch s.Path {
	case root<<8 | uint64(nInput):
		into = &s.Usage.Input
	case root<<8 | uint64(nOutput):
		into = &s.Usage.Output
	case (root<<8|uint64(nInputDetails))<<8 | uint64(nCached):
		into = &s.Usage.Cached
	case (root<<8|uint64(nOutputDetails))<<8 | uint64(nThought):
		into = &s.Usage.Reasoning
	default:
		return
	}
	if n, ok := s.Int(); ok && n >= 0 {
		*into = n
		s.HasUsage = true
	}
}

// faults reads the error at the path root.
func faults(s *wire.Scanner, t wire.Token, root uint64) {
	switch {
	case t == wire.Open && s.Path>>8 == root, t == wire.String && s.Path == root:
		s.Failed = true
	case t == wire.String && (s.Path == root<<8|uint64(nCode) || s.Path == root<<8|uint64(nType)):
		if s.Fault.Empty() || !s.Fresh() {
			s.Fault.Set(s.Piece, s.Fresh())
		}
	}
}

// responses are the answers of the responses API, streamed or not.
type responses struct{}

// Name implements wire.Semantics.
func (responses) Name(name []byte) wire.Name {
	switch string(name) {
	case "response":
		return nResponse
	case "output":
		return nItems
	case "item":
		return nItem
	case "delta":
		return nDelta
	case "summary":
		return nSummary
	case "encrypted_content":
		return nSeal
	case "status":
		return nStatus
	case "sequence_number":
		return nSequence
	case "incomplete_details":
		return nIncomplete
	case "reason":
		return nReason
	}
	return completions{}.Name(name)
}

const (
	item     = uint64(nItems)<<8 | uint64(wire.Element)
	itemPart = item<<16 | uint64(nContent)<<8 | uint64(wire.Element)
	response = uint64(nResponse)
)

// Token implements wire.Semantics.
func (responses) Token(s *wire.Scanner, t wire.Token) {
	text := t == wire.String
	switch s.Path {
	case uint64(nDelta): // of a stream; Event tells which of the kinds it was
		if text && s.Stream {
			s.Output(true)
		}
	case uint64(nType):
		if text && !s.Named() {
			s.Type.Set(s.Piece, s.Fresh())
		}
	case uint64(nSequence):
		if n, ok := s.Int(); ok && t == wire.Number {
			s.Sequence = n
		}
	case uint64(nStatus), response<<8 | uint64(nStatus):
		if text {
			s.Finish.Set(s.Piece, s.Fresh())
		}
	case uint64(nIncomplete)<<8 | uint64(nReason), response<<16 | uint64(nIncomplete)<<8 | uint64(nReason):
		if text {
			s.Finish.Set(s.Piece, s.Fresh())
		}
	case itemPart<<8 | uint64(nText): // of a unary body
		if text {
			s.Output(true)
		}
	case itemPart<<8 | uint64(nType):
		if text {
			s.Type.Set(s.Piece, s.Fresh())
		}
	case itemPart:
		if t == wire.Close {
			if s.Type.Is("reasoning_text") {
				s.Forget(s.Mark)
				s.Thought = true
			}
			s.Mark = len(s.Text)
		}
	case item<<24 | uint64(nSummary)<<16 | part:
		if text {
			s.Output(false)
			s.Thought = true
		}
	case item<<8 | uint64(nArguments):
		if text {
			s.Output(false)
		}
	case item<<8 | uint64(nSeal), uint64(nItem)<<8 | uint64(nSeal):
		if text && (!s.Stream || s.Type.Is("response.output_item.done")) {
			s.Seal()
		}
	default:
		figures(s, t, usage)
		figures(s, t, response<<8|usage)
		faults(s, t, fault)
		faults(s, t, response<<8|fault)
	}
}

// Event implements wire.Semantics.
func (responses) Event(s *wire.Scanner) {
	if !s.Stream {
		return
	}
	if !s.Type.Is("response.output_text.delta") {
		s.Forget(s.Mark)
		s.Thought = s.Carried && s.Type.Contains("reasoning")
	}
	switch {
	case s.Type.Is("response.completed"), s.Type.Is("response.incomplete"):
		s.Ended = true
	case s.Type.Is("response.failed"), s.Type.Is("error"):
		s.Failed = true
	}
}
