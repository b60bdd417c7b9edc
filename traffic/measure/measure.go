// Package measure turns one exchange into one observation: fingerprints, counts and cues. Text is forgotten here.
//
// Everything that is said about a text is derived from one stream of word hashes. Words, shingles and whole texts
// are hashed with XXH3 under secret seeds and with a multiply-mix of such hashes: fast, well distributed, and of no
// use to somebody who has the hashes alone; but it is not a cryptographic hash, so whoever also has chosen texts with
// their hashes must be assumed able to work out the seeds. Values that name a person or a machine (addresses,
// devices, payment instruments, credentials …) are therefore hashed with HMAC-SHA256, truncated to 64 bits. All
// seeds and the HMAC key are expanded from the installation's 256-bit key with HKDF-SHA256.
//
// DESIGN.md beside this file says what was weighed.
package measure

import (
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"hash"
	"strings"

	"github.com/palladium-guard/palladium"
	"github.com/zeebo/xxh3"
)

// Bounds of an observation's slices.
const (
	MaxShingles = 34  // 32 winnowed ones and the two boundaries
	MaxTerms    = 96  // first come, first kept
	MaxChain    = 32  // the newest turns
	MaxQuotes   = 24  // the smallest hashes, the last user message before history before system prompt
	MaxAnswers  = 8   // the smallest hashes
	MaxBiased   = 512 // first come, first kept
)

// The two lowest bits of a shingle say what it covers.
const (
	TagInner = 0 // five words anywhere in the message
	TagStart = 1 // its first four words
	TagEnd   = 2 // its last four words
	TagWhole = 3 // all of a message of fewer than five words
	TagMask  = 3
)

const (
	headBytes    = 2048 // measured from the start of each text
	tailBytes    = 1024 // and from its end
	historyBytes = 8192 // of earlier messages sampled for quotes, newest first
	answerWords  = 40   // shorter answers are too common to prove anything
)

// Meter measures exchanges under one key. It owns its scratch memory, so each goroutine needs its own; Meters of
// one key and one set of cues agree on every value. Between calls it holds no text but account ids.
type Meter struct {
	wordSeed, textSeed, idSeed uint64
	k                          [8]uint64 // odd multipliers and masks of the mixing steps
	number                     uint64    // class token that stands for any number

	mac    hash.Hash // HMAC-SHA256 under a key of its own
	macBuf []byte
	ids    memory[identity]
	names  memory[name]

	class [256]uint8
	lower [256]uint8
	order [64][64]uint8 // order[i]: bins in the order in which empty bin i asks them for a value
	rank  [64][64]uint8 // inverse of order

	text   words
	pairs  []uint64
	grams  []uint64
	winnow []uint64
	runs   []uint64
	terms  [1024]uint64 // bitmap over 16-bit terms
	within sampled
	probes probes
	cues   matcher
	system []systemPrompt
}

// sampled holds the long shingles of one exchange by where they stand.
type sampled struct {
	last, history, system, answer []uint64
	at                            []uint32     // where those of the answer begin
	lastAt, oldest                int          // index of the last user message, and of the oldest message read
	table                         [2048]uint64 // those of the request, hashed in place
}

// systemPrompt is what is remembered of a system prompt: most exchanges repeat one.
type systemPrompt struct {
	hash    uint64
	cues    groupSet
	n       int
	samples [128]uint64
}

// New returns a Meter for the installation's key. cues may be nil.
func New(key [32]byte, cues *Cues) *Meter {
	const seeds = 12
	raw, err := hkdf.Expand(sha256.New, key[:], "palladium measure 1", seeds*8+32)
	if err != nil { // only for an output of more than 255 digests
		panic("expand the measuring key: " + err.Error())
	}
	seed := func(i int) uint64 { return binary.LittleEndian.Uint64(raw[8*i:]) }
	m := &Meter{
		wordSeed: seed(0), textSeed: seed(1), idSeed: seed(2), number: seed(3),
		mac:    hmac.New(sha256.New, raw[seeds*8:]),
		macBuf: make([]byte, 0, 256),
		ids:    memory[identity]{slots: make([]identity, fewRemembered)},
		names:  memory[name]{slots: make([]name, fewRemembered)},
		pairs:  make([]uint64, 0, maxWords),
		grams:  make([]uint64, 0, maxWords),
		winnow: make([]uint64, 0, maxWords),
		runs:   make([]uint64, maxWords),
		system: make([]systemPrompt, 128),
		within: sampled{at: make([]uint32, 0, maxWords)},
	}
	for i := range m.k {
		m.k[i] = seed(4+i) | 1
	}
	m.alphabet()
	m.densification()
	m.cues.compile(m, cues)
	return m
}

// Measure fills o with what e shows. It resets o first and keeps no reference to e's strings.
func (m *Meter) Measure(e *palladium.Exchange, o *palladium.Observation) {
	o.Reset()
	if e.ID != "" {
		o.ID = nonzero(xxh3.HashStringSeed(e.ID, m.idSeed))
	}
	o.Time = e.Time.UnixMilli()
	o.Account = m.account(e.Account)
	m.connection(&e.Client, o)
	o.Credential = m.Hash(FamilyCredential, e.Credential)
	o.API = m.Hash(FamilyAPI, e.API)
	o.Model = m.Hash(FamilyModel, e.Model)
	o.Tools = m.toolNames(e.Tools)
	o.Outcome, o.Usage = e.Outcome, e.Usage
	o.Outcome.Finish = finish(e.Outcome.Finish)
	m.parameters(&e.Params, o)

	s := &m.within
	s.last, s.history, s.system, s.answer = s.last[:0], s.history[:0], s.system[:0], s.answer[:0]
	var cues groupSet
	system := m.systemPrompt(e, o, &cues)
	last := m.conversation(e, o)
	if last >= 0 {
		m.lastMessage(e.Messages[last].Text, o, &cues)
	}
	o.Cues |= m.cues.judge(&cues)
	m.history(e, system, last)
	if e.Output != "" {
		m.answer(e, o)
	}
	m.quotes(o)
	m.text.forget()
}

// lastMessage measures the last user message.
func (m *Meter) lastMessage(s string, o *palladium.Observation, cues *groupSet) {
	o.Chars = clamp32(len(s))
	o.Prompt = m.read(s)
	w := m.text.class[:m.text.n]
	o.Words = m.wordCount(len(s))
	if len(w) == 0 {
		return
	}
	m.pairUp(w)
	m.fingerprint(w, o)
	m.cues.match(w, m.pairs, cues)
	m.within.last, _ = m.sample(m.within.last, m.within.at[:0])
}

// systemPrompt hashes the system prompt, wherever it was sent, and reads its cues. A prompt met before is not read again.
// It returns the index of the message that was taken for the system prompt, or -1.
func (m *Meter) systemPrompt(e *palladium.Exchange, o *palladium.Observation, cues *groupSet) int {
	text, at := e.System, -1
	if text == "" {
		for i := range e.Messages {
			if roleOf(e.Messages[i].Role) == roleSystem {
				text, at = e.Messages[i].Text, i
				break
			}
		}
	}
	if text = strings.TrimSpace(text); text == "" {
		return at
	}
	o.System = nonzero(xxh3.HashStringSeed(text, m.textSeed))
	known := &m.system[o.System%uint64(len(m.system))]
	if known.hash != o.System {
		m.read(text)
		w := m.text.class[:m.text.n]
		m.pairUp(w)
		known.hash, known.cues = o.System, groupSet{}
		m.cues.match(w, m.pairs, &known.cues)
		m.within.system, _ = m.sample(m.within.system, m.within.at[:0])
		known.n = len(smallest(known.samples[:0], m.within.system, len(known.samples)))
	}
	for i, g := range known.cues {
		cues[i] |= g
	}
	m.within.system = append(m.within.system[:0], known.samples[:known.n]...)
	return at
}

// pairUp fills m.pairs with the hashes of each word of w and the next.
func (m *Meter) pairUp(w []uint64) {
	m.pairs = m.pairs[:len(w)]
	for i := 0; i+1 < len(w); i++ {
		m.pairs[i] = m.pair(w[i], w[i+1])
	}
}

// pair is the hash of two words in their order.
func (m *Meter) pair(a, b uint64) uint64 { return mix(a^m.k[0], b^m.k[1]) }

// finish returns the constant for the usual reasons, so that the observation does not keep e's memory alive.
func finish(s string) string {
	for _, known := range [...]string{"stop", "length", "tool_calls", "content_filter", "end_turn", "max_tokens",
		"tool_use", "stop_sequence", "refusal", "function_call", "error"} {
		if s == known {
			return known
		}
	}
	if s == "" {
		return ""
	}
	return "other"
}

func nonzero(h uint64) uint64 {
	if h == 0 {
		return 1
	}
	return h
}

func clamp32(n int) uint32 { return uint32(min(n, 1<<32-1)) }
