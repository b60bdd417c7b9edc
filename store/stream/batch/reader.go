package batch

import (
	"encoding/binary"
	"fmt"
	"math"
	"time"

	"github.com/klauspost/compress/s2"

	"github.com/palladium-guard/palladium"
)

// Reader reads messages. It reuses its memory, and keeps the strings that it has met, within bounds, so that most
// messages are read without allocation. It is not safe for concurrent use.
type Reader struct {
	known   map[string]string // strings met before
	strings []string          // dictionary of the message being read; the first is empty
	plain   []byte            // what a compressed message held
	o       palladium.Observation
	a       palladium.Account
}

// maxKnown is how many strings are kept from one message to the next.
const maxKnown = 1 << 16

// Head returns where the message comes from, without reading what it holds.
func (r *Reader) Head(msg []byte) (h Head, err error) {
	body, err := r.body(msg)
	if err != nil {
		return h, err
	}
	for in := (cursor{rest: body}); in.next(); {
		switch {
		case in.is(batchSource, span):
			h.Source = r.keep(in.bytes)
		case in.is(batchInstance, eight):
			h.Instance = in.value
		case in.is(batchNumber, varint):
			return Head{h.Source, h.Instance, in.value}, nil // it is the last field of the head
		case in.err != nil:
			return h, in.err
		}
	}
	return h, nil
}

// Read gives to what msg holds, in its order. Where the message is damaged, what stands before the damage has been given.
func (r *Reader) Read(msg []byte, to Sink) (h Head, err error) {
	body, err := r.body(msg)
	if err != nil {
		return h, err
	}
	r.strings = append(r.strings[:0], "")
	in := cursor{rest: body}
	for in.next() {
		switch {
		case in.is(batchObservation, span):
			r.o.Reset()
			if err := r.observation(in.bytes); err != nil {
				return h, err
			}
			to.Observe(&r.o)
		case in.is(batchString, span):
			r.strings = append(r.strings, r.keep(in.bytes))
		case in.is(batchAccount, span):
			if err := r.account(in.bytes); err != nil {
				return h, err
			}
			to.Describe(&r.a)
		case in.is(batchName, span):
			hash, name, err := r.name(in.bytes)
			if err != nil {
				return h, err
			}
			to.NameModel(hash, name)
		case in.is(batchSource, span):
			h.Source = r.keep(in.bytes)
		case in.is(batchInstance, eight):
			h.Instance = in.value
		case in.is(batchNumber, varint):
			h.Number = in.value
		}
	}
	return h, in.err
}

// body returns the Batch of a message, decompressed.
func (r *Reader) body(msg []byte) ([]byte, error) {
	if len(msg) < 2 {
		return nil, fmt.Errorf("%w: it is shorter than two bytes", ErrBatch)
	}
	if len(msg) > MaxMessage {
		return nil, fmt.Errorf("%w: it is longer than %d bytes", ErrBatch, MaxMessage)
	}
	if msg[0] == 0 || msg[0] >= notFormat {
		return nil, fmt.Errorf("%w: it begins as no batch does", ErrBatch)
	}
	if msg[0] != Format || msg[1] > S2 {
		return nil, fmt.Errorf("%w (format %d, compression %d)", ErrFormat, msg[0], msg[1])
	}
	if msg[1] == Plain {
		return msg[2:], nil
	}
	n, err := s2.DecodedLen(msg[2:])
	if err != nil || n > MaxMessage {
		return nil, fmt.Errorf("%w: its compressed length is wrong", ErrBatch)
	}
	if cap(r.plain) < n {
		r.plain = make([]byte, n)
	}
	if r.plain, err = s2.Decode(r.plain[:cap(r.plain)], msg[2:]); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrBatch, err)
	}
	return r.plain, nil
}

// keep returns b as a string that may be kept.
func (r *Reader) keep(b []byte) string {
	if s, ok := r.known[string(b)]; ok {
		return s
	}
	if len(b) > 256 {
		return string(b)
	}
	if r.known == nil || len(r.known) >= maxKnown {
		r.known = make(map[string]string)
	}
	s := string(b)
	r.known[s] = s
	return s
}

// text returns the string at a place of the dictionary.
func (r *Reader) text(at uint64) (string, error) {
	if at >= uint64(len(r.strings)) {
		return "", fmt.Errorf("%w: it names string %d of %d", ErrBatch, at, len(r.strings)-1)
	}
	return r.strings[at], nil
}

func (r *Reader) name(b []byte) (hash uint64, name string, err error) {
	in := cursor{rest: b}
	for in.next() {
		switch {
		case in.is(nameHash, eight):
			hash = in.value
		case in.is(nameText, span):
			name = r.keep(in.bytes)
		}
	}
	return hash, name, in.err
}

func (r *Reader) account(b []byte) error {
	a := &r.a
	*a = palladium.Account{Verified: a.Verified[:0]}
	var created int64
	var nanos uint64
	dated := false
	in := cursor{rest: b}
	for in.next() {
		if in.kind == varint {
			switch in.field {
			case accountCreated:
				created, dated = unzigzag(in.value), true
			case accountNanos:
				nanos = in.value
			}
			continue
		}
		if in.kind != span {
			continue
		}
		if to := accountText(a, in.field); to != nil {
			*to = r.keep(in.bytes)
			continue
		}
		switch in.field {
		case accountVerified:
			a.Verified = append(a.Verified, r.keep(in.bytes))
		case accountRelation:
			a.Relation = palladium.Relation(r.keep(in.bytes))
		}
	}
	if dated && nanos < 1e9 {
		a.Created = time.Unix(created, int64(nanos)).UTC()
	}
	return in.err
}

// accountText returns the string of a that a field holds; nil where it holds none.
func accountText(a *palladium.Account, field uint64) *string {
	switch field {
	case accountID:
		return &a.ID
	case accountOrganization:
		return &a.Organization
	case accountPlan:
		return &a.Plan
	case accountDomain:
		return &a.EmailDomain
	case accountShape:
		return &a.EmailShape
	case accountPayment:
		return &a.Payment
	case accountBIN:
		return &a.BIN
	case accountPhone:
		return &a.PhonePrefix
	case accountDevice:
		return &a.Device
	case accountIP:
		return &a.SignupIP
	}
	return nil
}

// observation reads one into r.o, which is empty.
func (r *Reader) observation(b []byte) (err error) {
	o := &r.o
	in := cursor{rest: b}
	for in.next() {
		switch in.kind {
		case eight:
			if to := observationHash(o, in.field); to != nil {
				*to = in.value
			} else if in.field == obsMS {
				o.Outcome.MS = math.Float64frombits(in.value)
			} else if in.field == obsTTFT {
				o.Outcome.TTFTMS = math.Float64frombits(in.value)
			}
		case varint:
			switch in.field {
			case obsAccount:
				o.Account, err = r.text(in.value)
			case obsFinish:
				o.Outcome.Finish, err = r.text(in.value)
			default:
				observationNumber(o, in.field, in.value)
			}
		case span:
			err = observationList(o, in.field, in.bytes)
		}
		if err != nil {
			return err
		}
	}
	return in.err
}

// observationHash returns the hash of o that a field holds; nil where it holds none.
func observationHash(o *palladium.Observation, field uint64) *uint64 {
	switch field {
	case obsID:
		return &o.ID
	case obsCredential:
		return &o.Credential
	case obsIP:
		return &o.IP
	case obsNet:
		return &o.Net
	case obsPrompt:
		return &o.Prompt
	case obsSimHash:
		return &o.SimHash
	case obsModel:
		return &o.Model
	case obsClient:
		return &o.Client
	case obsTLS:
		return &o.TLS
	case obsHeaders:
		return &o.Headers
	case obsUserAgent:
		return &o.UserAgent
	case obsDevice:
		return &o.Device
	case obsAPI:
		return &o.API
	case obsSystem:
		return &o.System
	case obsTools:
		return &o.Tools
	case obsParams:
		return &o.Params
	case obsAnswer:
		return &o.Answer
	}
	return nil
}

// observationNumber sets what field holds, where it is known.
func observationNumber(o *palladium.Observation, field, v uint64) {
	switch field {
	case obsTime:
		o.Time = unzigzag(v)
	case obsInput:
		o.Usage.Input = int64(v)
	case obsOutput:
		o.Usage.Output = int64(v)
	case obsReasoning:
		o.Usage.Reasoning = int64(v)
	case obsCached:
		o.Usage.Cached = int64(v)
	case obsASN:
		o.ASN = uint32(v)
	case obsParamHas:
		o.ParamHas = palladium.ParamSet(v)
	case obsMaxTokens:
		o.MaxTokens = uint32(v)
	case obsTurns:
		o.Turns = uint16(v)
	case obsWords:
		o.Words = uint32(v)
	case obsChars:
		o.Chars = uint32(v)
	case obsDigests:
		o.Digests = uint16(v)
	case obsCues:
		o.Cues = palladium.CueSet(v)
	case obsTopLogprobs:
		o.TopLogprobs = uint8(v)
	case obsStatus:
		o.Outcome.Status = int(int64(v))
	}
}

// observationList sets the list that field holds, where it is known.
func observationList(o *palladium.Observation, field uint64, b []byte) error {
	width := 8
	switch field {
	case obsShingles:
		o.Shingles = hashes(o.Shingles, b)
	case obsChain:
		o.Chain = hashes(o.Chain, b)
	case obsQuotes:
		o.Quotes = hashes(o.Quotes, b)
	case obsAnswers:
		o.Answers = hashes(o.Answers, b)
	case obsTerms:
		width = 2
		for i := 0; i+1 < len(b); i += 2 {
			o.Terms = append(o.Terms, binary.LittleEndian.Uint16(b[i:]))
		}
	case obsBiased:
		width = 4
		for i := 0; i+3 < len(b); i += 4 {
			o.Biased = append(o.Biased, binary.LittleEndian.Uint32(b[i:]))
		}
	case obsMinHash:
		if width = len(o.MinHash); len(b) == width {
			copy(o.MinHash[:], b)
		}
	default:
		return nil
	}
	if len(b)%width != 0 {
		return fmt.Errorf("%w: a list of field %d is cut", ErrBatch, field)
	}
	return nil
}

func hashes(to []uint64, b []byte) []uint64 {
	for ; len(b) >= 8; b = b[8:] {
		to = append(to, binary.LittleEndian.Uint64(b))
	}
	return to
}

func unzigzag(v uint64) int64 { return int64(v>>1) ^ -int64(v&1) }

// cursor walks over the fields of one message in the wire format of Protocol Buffers.
type cursor struct {
	rest  []byte
	field uint64
	kind  int
	value uint64 // of a varint, or of 4 or 8 bytes
	bytes []byte // of a span
	err   error
}

func (c *cursor) is(field uint64, kind int) bool { return c.field == field && c.kind == kind }

// next reads one field; false at the end, and when c.err is set.
func (c *cursor) next() bool {
	if len(c.rest) == 0 {
		return false
	}
	key, ok := c.number()
	if !ok {
		return false
	}
	c.field, c.kind = key>>3, int(key&7)
	switch c.kind {
	case varint:
		c.value, ok = c.number()
		return ok
	case eight:
		if len(c.rest) < 8 {
			return c.fail("a number is cut")
		}
		c.value, c.rest = binary.LittleEndian.Uint64(c.rest), c.rest[8:]
	case four:
		if len(c.rest) < 4 {
			return c.fail("a number is cut")
		}
		c.value, c.rest = uint64(binary.LittleEndian.Uint32(c.rest)), c.rest[4:]
	case span:
		n, ok := c.number()
		if !ok {
			return false
		}
		if n > uint64(len(c.rest)) {
			return c.fail("a field is longer than what is left")
		}
		c.bytes, c.rest = c.rest[:n], c.rest[n:]
	default:
		return c.fail("a field is of no known kind")
	}
	return true
}

func (c *cursor) number() (uint64, bool) {
	if len(c.rest) > 0 && c.rest[0] < 0x80 {
		v := uint64(c.rest[0])
		c.rest = c.rest[1:]
		return v, true
	}
	v, n := binary.Uvarint(c.rest)
	if n <= 0 {
		return 0, c.fail("a number is cut or too long")
	}
	c.rest = c.rest[n:]
	return v, true
}

func (c *cursor) fail(why string) bool {
	c.err = fmt.Errorf("%w: %s", ErrBatch, why)
	return false
}
