package anthropic

import (
	"bytes"

	"github.com/palladium-guard/palladium/internal/wire"
)

// The names by which redaction finds its way.
const (
	rContent wire.Name = iota + 2
	rDelta
	rBlock

	rThinking = wire.Opaque
)

func redactNames(name []byte) wire.Name {
	switch string(name) {
	case "content":
		return rContent
	case "delta":
		return rDelta
	case "content_block":
		return rBlock
	case "thinking":
		return rThinking
	}
	return wire.Ignored
}

// Touches implements wire.Redactor.
func (d *Dialect) Touches(event []byte, rd wire.Redaction) bool {
	return rd.Reasoning && !rd.Summaries && bytes.Contains(event, []byte(`"thinking`))
}

// Redact implements wire.Redactor. Reasoning is left out as the provider's own option "omitted" has it: the blocks stay
// with their signatures, so that callers can send them back, and their text is empty.
func (d *Dialect) Redact(dst, body []byte, _ wire.Endpoint, rd wire.Redaction) ([]byte, error) {
	out, _, err := redact(dst, body, rd)
	return out, err
}

// RedactEvent implements wire.Redactor.
func (d *Dialect) RedactEvent(dst, _, data []byte, _ wire.Endpoint, rd wire.Redaction) ([]byte, bool, error) {
	return redact(dst, data, rd)
}

func redact(dst, data []byte, rd wire.Redaction) (out []byte, keep bool, err error) {
	if !rd.Reasoning || rd.Summaries {
		return append(dst, data...), true, nil
	}
	keep = true
	out, err = wire.Rewrite(dst, data, redactNames, func(path uint64, value []byte) []byte {
		if len(value) < 2 || value[0] != '"' {
			return nil
		}
		switch path >> 8 {
		case uint64(rDelta):
			keep = false // an event that brings nothing but reasoning text
		case uint64(rBlock), uint64(rContent)<<8 | uint64(wire.Element):
			return []byte(`""`)
		}
		return nil
	})
	return out, keep, err
}
