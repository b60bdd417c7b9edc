package batch

import (
	"encoding/binary"
	"math"

	"github.com/klauspost/compress/s2"
	"github.com/zeebo/xxh3"

	"github.com/palladium-guard/palladium"
)

// Writer makes one batch after the other. It allocates only to grow what it keeps. It is not safe for concurrent use.
type Writer struct {
	buf          []byte
	places       map[uint64]place // of the dictionary, by hash
	strings      uint32
	observations int
	records      int
}

// place is where a string of the dictionary stands in the buffer.
type place struct {
	index    uint32
	from, to int
}

// Begin starts a batch in the memory of buf, which the writer has until End.
func (w *Writer) Begin(buf []byte, h Head) {
	if w.places == nil {
		w.places = make(map[uint64]place)
	}
	clear(w.places)
	w.strings, w.observations, w.records = 0, 0, 0
	b := append(buf[:0], Format, Plain)
	b = appendText(b, batchSource, h.Source)
	b = appendEight(b, batchInstance, h.Instance)
	w.buf = appendVarint(b, batchNumber, h.Number)
}

// Len is the length of the batch so far, in bytes.
func (w *Writer) Len() int { return len(w.buf) }

// Records is how many observations, descriptions and names were written since Begin.
func (w *Writer) Records() int { return w.records }

// Observations is how many observations were written since Begin.
func (w *Writer) Observations() int { return w.observations }

// End returns the message. Its memory is the caller's from here on.
func (w *Writer) End() []byte {
	b := appendVarint(w.buf, batchObservations, uint64(w.observations))
	w.buf = nil
	return b
}

// Compress returns msg, as End has given it, compressed into the memory of buf; msg itself where that is no shorter.
func Compress(msg, buf []byte) []byte {
	if len(msg) < 2 || msg[1] != Plain {
		return msg
	}
	if most := s2.MaxEncodedLen(len(msg)-2) + 2; cap(buf) < most {
		buf = make([]byte, most)
	}
	buf = buf[:cap(buf)]
	packed := s2.Encode(buf[2:], msg[2:])
	if len(packed) >= len(msg)-2 {
		return msg
	}
	buf[0], buf[1] = msg[0], S2
	return buf[:2+len(packed)]
}

// room is how many bytes the length of a record takes: a varint with leading zeros, so that it can be filled in afterwards.
const room = 3

// begin starts a record; its length is filled in by finish.
func (w *Writer) begin(field int) (start int) {
	w.buf = append(w.buf, byte(field<<3|span), 0, 0, 0)
	return len(w.buf)
}

// finish ends the record that starts at start. A record that is too long is taken back.
func (w *Writer) finish(start int) bool {
	n := len(w.buf) - start
	if n > MaxRecord {
		w.buf = w.buf[:start-room-1]
		return false
	}
	w.buf[start-3], w.buf[start-2], w.buf[start-1] = byte(n)|0x80, byte(n>>7)|0x80, byte(n>>14)
	w.records++
	return true
}

// text returns the place of s in the dictionary, adding it if need be. No record may be open.
func (w *Writer) text(s string) uint32 {
	if s == "" {
		return 0
	}
	h := xxh3.HashString(s)
	p, ok := w.places[h]
	if ok && string(w.buf[p.from:p.to]) == s {
		return p.index
	}
	w.buf = appendText(w.buf, batchString, s)
	w.strings++
	if !ok {
		w.places[h] = place{w.strings, len(w.buf) - len(s), len(w.buf)}
	}
	return w.strings
}

// NameModel writes the name behind a model's hash. False: it is too long.
func (w *Writer) NameModel(hash uint64, name string) bool {
	if len(name) > MaxRecord/2 {
		return false
	}
	at := w.begin(batchName)
	b := appendEight(w.buf, nameHash, hash)
	w.buf = appendText(b, nameText, name)
	return w.finish(at)
}

// Describe writes an account. False: it is too long.
func (w *Writer) Describe(a *palladium.Account) bool {
	at := w.begin(batchAccount)
	b := appendText(w.buf, accountID, a.ID)
	if !a.Created.IsZero() {
		b = append(b, accountCreated<<3|varint)
		b = binary.AppendVarint(b, a.Created.Unix())
		b = appendVarint(b, accountNanos, uint64(a.Created.Nanosecond()))
	}
	b = appendText(b, accountOrganization, a.Organization)
	b = appendText(b, accountPlan, a.Plan)
	b = appendText(b, accountDomain, a.EmailDomain)
	b = appendText(b, accountShape, a.EmailShape)
	b = appendText(b, accountPayment, a.Payment)
	b = appendText(b, accountBIN, a.BIN)
	b = appendText(b, accountPhone, a.PhonePrefix)
	b = appendText(b, accountDevice, a.Device)
	b = appendText(b, accountIP, a.SignupIP)
	for _, v := range a.Verified {
		b = append(b, accountVerified<<3|span)
		b = binary.AppendUvarint(b, uint64(len(v)))
		b = append(b, v...)
	}
	w.buf = appendText(b, accountRelation, string(a.Relation))
	return w.finish(at)
}

// Observe writes an observation. False: it is too long.
func (w *Writer) Observe(o *palladium.Observation) bool {
	if len(o.Account)+len(o.Outcome.Finish) > MaxRecord {
		return false
	}
	account, finish := w.text(o.Account), w.text(o.Outcome.Finish)
	at := w.begin(batchObservation)
	b := w.buf
	b = appendVarint(b, obsAccount, uint64(account))
	if o.Time != 0 {
		b = append(b, obsTime<<3|varint)
		b = binary.AppendVarint(b, o.Time)
	}
	b = appendEight(b, obsID, o.ID)
	b = appendConnection(b, o)
	b = appendForm(b, o)
	b = appendFingerprints(b, o)
	b = appendVarint(b, obsCues, uint64(o.Cues))
	b = appendVarint(b, obsTopLogprobs, uint64(o.TopLogprobs))
	if n := len(o.Biased); n > 0 {
		b = appendKey(b, obsBiased, span)
		b = binary.AppendUvarint(b, uint64(4*n))
		for _, v := range o.Biased {
			b = binary.LittleEndian.AppendUint32(b, v)
		}
	}
	b = appendVarint(b, obsStatus, uint64(int64(o.Outcome.Status)))
	b = appendVarint(b, obsFinish, uint64(finish))
	b = appendEight(b, obsMS, math.Float64bits(o.Outcome.MS))
	b = appendEight(b, obsTTFT, math.Float64bits(o.Outcome.TTFTMS))
	b = appendVarint(b, obsInput, uint64(o.Usage.Input))
	b = appendVarint(b, obsOutput, uint64(o.Usage.Output))
	b = appendVarint(b, obsReasoning, uint64(o.Usage.Reasoning))
	w.buf = appendVarint(b, obsCached, uint64(o.Usage.Cached))
	if !w.finish(at) {
		return false
	}
	w.observations++
	return true
}

func appendConnection(b []byte, o *palladium.Observation) []byte {
	b = appendEight(b, obsCredential, o.Credential)
	b = appendEight(b, obsIP, o.IP)
	b = appendEight(b, obsNet, o.Net)
	b = appendVarint(b, obsASN, uint64(o.ASN))
	b = appendEight(b, obsClient, o.Client)
	b = appendEight(b, obsTLS, o.TLS)
	b = appendEight(b, obsHeaders, o.Headers)
	b = appendEight(b, obsUserAgent, o.UserAgent)
	return appendEight(b, obsDevice, o.Device)
}

func appendForm(b []byte, o *palladium.Observation) []byte {
	b = appendEight(b, obsAPI, o.API)
	b = appendEight(b, obsModel, o.Model)
	b = appendEight(b, obsSystem, o.System)
	b = appendEight(b, obsTools, o.Tools)
	b = appendEight(b, obsParams, o.Params)
	b = appendVarint(b, obsParamHas, uint64(o.ParamHas))
	b = appendVarint(b, obsMaxTokens, uint64(o.MaxTokens))
	b = appendVarint(b, obsTurns, uint64(o.Turns))
	b = appendVarint(b, obsWords, uint64(o.Words))
	b = appendVarint(b, obsChars, uint64(o.Chars))
	return appendVarint(b, obsDigests, uint64(o.Digests))
}

func appendFingerprints(b []byte, o *palladium.Observation) []byte {
	b = appendEight(b, obsPrompt, o.Prompt)
	b = appendEight(b, obsSimHash, o.SimHash)
	if o.MinHash != [64]uint8{} {
		b = append(b, obsMinHash<<3|span, 64)
		b = append(b, o.MinHash[:]...)
	}
	b = appendEights(b, obsShingles, o.Shingles)
	if n := len(o.Terms); n > 0 {
		b = append(b, obsTerms<<3|span)
		b = binary.AppendUvarint(b, uint64(2*n))
		for _, v := range o.Terms {
			b = binary.LittleEndian.AppendUint16(b, v)
		}
	}
	b = appendEights(b, obsChain, o.Chain)
	b = appendEights(b, obsQuotes, o.Quotes)
	b = appendEight(b, obsAnswer, o.Answer)
	return appendEights(b, obsAnswers, o.Answers)
}

func appendKey(b []byte, field, kind int) []byte {
	if field < 16 {
		return append(b, byte(field<<3|kind))
	}
	return append(b, byte(field<<3|kind)|0x80, byte(field>>4))
}

func appendVarint(b []byte, field int, v uint64) []byte {
	if v == 0 {
		return b
	}
	return binary.AppendUvarint(appendKey(b, field, varint), v)
}

func appendEight(b []byte, field int, v uint64) []byte {
	if v == 0 {
		return b
	}
	return binary.LittleEndian.AppendUint64(appendKey(b, field, eight), v)
}

func appendText(b []byte, field int, s string) []byte {
	if s == "" {
		return b
	}
	b = binary.AppendUvarint(appendKey(b, field, span), uint64(len(s)))
	return append(b, s...)
}

func appendEights(b []byte, field int, list []uint64) []byte {
	if len(list) == 0 {
		return b
	}
	b = binary.AppendUvarint(appendKey(b, field, span), uint64(8*len(list)))
	for _, v := range list {
		b = binary.LittleEndian.AppendUint64(b, v)
	}
	return b
}
