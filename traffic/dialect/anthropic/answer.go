package anthropic

import "github.com/palladium-guard/palladium/internal/wire"

// The names that answers are followed by.
const (
	nType wire.Name = iota + 2
	nMessage
	nUsage
	nInput
	nWritten
	nCached
	nOutput
	nDelta
	nText
	nThinking
	nPartial
	nSignature
	nStop
	nError
	nContent
	nBlock
	nData
	nDetails
	nThought
)

// Answer returns the semantics of answers from e, for wire.Scanner.Reset.
func (d *Dialect) Answer(wire.Endpoint) wire.Semantics { return messages{} }

// messages are the answers of the messages API, streamed or not, and of count_tokens.
type messages struct{}

// Name implements wire.Semantics.
func (messages) Name(name []byte) wire.Name {
	switch string(name) {
	case "type":
		return nType
	case "message":
		return nMessage
	case "usage":
		return nUsage
	case "input_tokens":
		return nInput
	case "cache_creation_input_tokens":
		return nWritten
	case "cache_read_input_tokens":
		return nCached
	case "output_tokens":
		return nOutput
	case "output_tokens_details":
		return nDetails
	case "thinking_tokens", "reasoning_tokens":
		return nThought
	case "delta":
		return nDelta
	case "text":
		return nText
	case "thinking":
		return nThinking
	case "partial_json":
		return nPartial
	case "signature":
		return nSignature
	case "data":
		return nData
	case "stop_reason":
		return nStop
	case "error":
		return nError
	case "content":
		return nContent
	case "content_block":
		return nBlock
	}
	return wire.Ignored
}

const (
	delta   = uint64(nDelta)
	opened  = uint64(nBlock)
	content = uint64(nContent)<<8 | uint64(wire.Element)
	usage   = uint64(nUsage)
	begun   = uint64(nMessage)<<8 | usage
)

// Token implements wire.Semantics.
func (messages) Token(s *wire.Scanner, t wire.Token) {
	text := t == wire.String
	switch s.Path {
	case delta<<8 | uint64(nText), opened<<8 | uint64(nText), content<<8 | uint64(nText):
		if text {
			s.Output(true)
		}
	case delta<<8 | uint64(nThinking), opened<<8 | uint64(nThinking), content<<8 | uint64(nThinking):
		if text && len(s.Piece) > 0 {
			s.Output(false)
			s.Thought = true
		}
	case delta<<8 | uint64(nPartial):
		if text {
			s.Output(false)
		}
	case delta<<8 | uint64(nSignature), content<<8 | uint64(nSignature), opened<<8 | uint64(nData), content<<8 | uint64(nData):
		if text {
			s.Seal()
		}
	case delta<<8 | uint64(nStop), uint64(nStop):
		if text {
			s.Finish.Set(s.Piece, s.Fresh())
		}
	case uint64(nType):
		if text && !s.Named() {
			s.Type.Set(s.Piece, s.Fresh())
		}
	case uint64(nError)<<8 | uint64(nType):
		if text {
			s.Failed = true
			s.Fault.Set(s.Piece, s.Fresh())
		}
	default:
		figures(s, t, usage)
		figures(s, t, begun)
	}
}

// figures reads the usage at the path root. What is read from and written to the cache is input too.
func figures(s *wire.Scanner, t wire.Token, root uint64) {
	if t != wire.Number {
		return
	}
	n, ok := s.Int()
	if !ok || n < 0 {
		return
	}
	switch s.Path {
	case root<<8 | uint64(nInput):
		s.Inputs[0] = n
	case root<<8 | uint64(nWritten):
		s.Inputs[1] = n
	case root<<8 | uint64(nCached):
		s.Inputs[2], s.Usage.Cached = n, n
	case root<<8 | uint64(nOutput):
		s.Usage.Output = n
	case root<<16 | uint64(nDetails)<<8 | uint64(nThought):
		s.Usage.Reasoning = n
	default:
		return
	}
	s.Usage.Input = s.Inputs[0] + s.Inputs[1] + s.Inputs[2]
	s.HasUsage = true
}

// Event implements wire.Semantics.
func (messages) Event(s *wire.Scanner) {
	switch {
	case !s.Stream:
	case s.Type.Is("message_stop"):
		s.Ended = true
	case s.Type.Is("error"):
		s.Failed = true
	}
}
