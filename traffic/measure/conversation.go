package measure

import (
	"strings"

	"github.com/palladium-guard/palladium"
	"github.com/zeebo/xxh3"
)

const (
	quoteWords = 16 // words in a long shingle
	quoteMask  = 7  // one in eight is sampled
	quoteLast  = 16 // quotes taken from the last user message when there is history
	quoteSys   = 4  // and from the system prompt at most
)

// role is who speaks in a message.
type role uint64

const (
	roleOther role = iota
	roleUser
	roleAssistant
	roleTool
	roleSystem
)

func roleOf(s string) role {
	switch s {
	case "user", "human":
		return roleUser
	case "assistant", "model", "ai":
		return roleAssistant
	case "tool", "function":
		return roleTool
	case "system", "developer":
		return roleSystem
	}
	return roleOther
}

// conversation fills Turns, Digests and Chain, and returns the index of the last user message, or -1. Where no message
// is a user's, the last one that is neither the model's nor a tool's stands in for it.
func (m *Meter) conversation(e *palladium.Exchange, o *palladium.Observation) int {
	last, other := -1, -1
	state := m.k[7]
	turns, digests := 0, 0
	before := roleSystem
	part := false // the message before was not text
	for i := range e.Messages {
		msg := &e.Messages[i]
		r := roleOf(msg.Role)
		if r == roleSystem {
			continue
		}
		blob := msg.Text == "" && msg.Digest != ""
		if r != before || !blob && !part {
			turns++
		}
		before, part = r, blob
		if blob {
			digests++
			state = m.link(state, r, msg.Digest)
		} else {
			state = m.link(state, r, strings.TrimSpace(msg.Text))
		}
		switch {
		case r == roleAssistant:
			o.Chain = push(o.Chain, state)
		case blob || msg.Text == "" || r == roleTool:
		case r == roleUser:
			last = i
		default:
			other = i
		}
	}
	if text := strings.TrimSpace(e.Output); text != "" {
		o.Chain = push(o.Chain, m.link(state, roleAssistant, text))
	}
	o.Turns, o.Digests = uint16(min(turns, 1<<16-1)), uint16(min(digests, 1<<16-1))
	if last < 0 {
		last = other
	}
	return last
}

// link appends one message to the hash of a conversation.
func (m *Meter) link(state uint64, r role, text string) uint64 {
	return nonzero(mix(state^m.k[0], xxh3.HashStringSeed(text, m.textSeed+uint64(r))^m.k[7]))
}

// push appends h and drops the oldest turn when the chain is full.
func push(chain []uint64, h uint64) []uint64 {
	if len(chain) == MaxChain {
		copy(chain, chain[1:])
		chain[MaxChain-1] = h
		return chain
	}
	return append(chain, h)
}

// history samples what was sent besides the last user message, newest first, within a budget of bytes.
func (m *Meter) history(e *palladium.Exchange, system, last int) {
	budget := historyBytes
	m.within.lastAt, m.within.oldest = last, len(e.Messages)
	for i := len(e.Messages) - 1; i >= 0 && budget > 0; i-- {
		m.within.oldest = i
		if i == last || i == system || len(e.Messages[i].Text) < quoteWords {
			continue
		}
		m.read(e.Messages[i].Text)
		budget -= m.text.bytes
		m.within.history, _ = m.sample(m.within.history, m.within.at[:0])
	}
}

// sample appends the long shingles of the text read last whose hash is a multiple of eight: a property of the shingle
// alone, so that two texts with a passage in common sample the same part of it. The hash is a polynomial in the words,
// rolled along the text. For each it appends to at where in the text it begins.
func (m *Meter) sample(out []uint64, at []uint32) ([]uint64, []uint32) {
	w := m.text.exact[:m.text.n]
	if len(w) < quoteWords {
		return out, at
	}
	base := m.k[5]
	var h uint64
	for _, x := range w[:quoteWords] {
		h = h*base + x
	}
	drop := base // base to the power quoteWords
	for range 4 {
		drop *= drop
	}
	for i := quoteWords; ; i++ {
		if s := mix(h^m.k[6], m.k[4]); s&quoteMask == 0 {
			out = append(out, nonzero(s))
			at = append(at, m.text.at[i-quoteWords])
		}
		if i == len(w) {
			return out, at
		}
		h = h*base + w[i] - w[i-quoteWords]*drop
	}
}

// quotes fills Quotes from the samples of the request.
func (m *Meter) quotes(o *palladium.Observation) {
	s := &m.within
	room := MaxQuotes
	if len(s.history) > 0 {
		room = quoteLast
	}
	o.Quotes = smallest(o.Quotes, s.last, room)
	o.Quotes = smallest(o.Quotes, s.history, MaxQuotes-len(o.Quotes))
	o.Quotes = smallest(o.Quotes, s.system, min(quoteSys, MaxQuotes-len(o.Quotes)))
}

// answer fills Answer and Answers.
func (m *Meter) answer(e *palladium.Exchange, o *palladium.Observation) {
	h := m.read(e.Output)
	if m.text.n < answerWords {
		return
	}
	o.Answer = h
	s := &m.within
	if s.answer, s.at = m.sample(s.answer, s.at[:0]); len(s.answer) == 0 {
		return
	}
	clear(s.table[:])
	s.note(s.last)
	s.note(s.history)
	s.note(s.system)
	fresh, at := s.answer[:0], s.at[:0]
	for i, h := range s.answer {
		if !s.sent(h) {
			fresh, at = append(fresh, h), append(at, s.at[i])
		}
	}
	if len(fresh) > 0 && partly(e, s.oldest) {
		fresh = m.unread(e, e.Output, fresh, at)
	}
	o.Answers = smallest(o.Answers, fresh, MaxAnswers)
}

// partly reports whether some of the request was not turned into words: the middle of a long text, or the messages
// before the oldest one read.
func partly(e *palladium.Exchange, oldest int) bool {
	if oldest > 0 || len(e.System) > headBytes+tailBytes {
		return true
	}
	for i := range e.Messages {
		if len(e.Messages[i].Text) > headBytes+tailBytes {
			return true
		}
	}
	return false
}

// note enters samples of the request. Beyond three quarters of the table, which no measured text reaches but by a
// freak of hashing, the rest is left out.
func (s *sampled) note(samples []uint64) {
	const limit = len(s.table)
	for _, h := range samples {
		for i, tries := h>>53, 0; tries < limit/4; i, tries = (i+1)%uint64(limit), tries+1 {
			if s.table[i] == h {
				break
			}
			if s.table[i] == 0 {
				s.table[i] = h
				break
			}
		}
	}
}

// sent reports whether the request had the sample h.
func (s *sampled) sent(h uint64) bool {
	const limit = uint64(len(s.table))
	for i, tries := h>>53, uint64(0); tries < limit/4; i, tries = (i+1)%limit, tries+1 {
		if s.table[i] == h {
			return true
		}
		if s.table[i] == 0 {
			return false
		}
	}
	return false
}
