package verdict

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"strings"
	"time"

	"github.com/palladium-guard/palladium"
)

// ErrEncoding says that bytes are not a table, or not one that this version reads, or that they were damaged.
var ErrEncoding = errors.New("verdict table cannot be read")

// The encoded form, numbers as varints (signed ones zigzag), strings with their length before them:
//
//	"PLDV", format 1, version, made
//	number of terms, each: measure stage reason model shadow delay pace(8 bytes) tokens
//	number of campaigns but the empty one, each a string
//	number of rows, by account and id, each: account id appeal issued expires campaign terms
//	SHA-256 of all before
//
// An account that equals the one before is written as the empty string.
const (
	magic  = "PLDV"
	format = 1
)

// AppendBinary appends the encoded form of t to b.
func (t *Table) AppendBinary(b []byte) ([]byte, error) {
	start := len(b)
	b = append(append(b, magic...), format)
	b = binary.AppendVarint(binary.AppendUvarint(b, t.version), t.made)
	b = binary.AppendUvarint(b, uint64(len(t.terms)))
	for i := range t.terms {
		m := &t.terms[i]
		for _, s := range []string{m.measure, m.stage, m.reason, m.model} {
			b = appendString(b, s)
		}
		b = append(b, bit(m.shadow))
		b = binary.AppendUvarint(b, uint64(m.delay))
		b = binary.BigEndian.AppendUint64(b, math.Float64bits(m.pace))
		b = binary.AppendUvarint(b, uint64(m.tokens))
	}
	b = binary.AppendUvarint(b, uint64(len(t.groups)-1))
	for _, g := range t.groups[1:] {
		b = appendString(b, g)
	}
	b = binary.AppendUvarint(b, uint64(len(t.rows)))
	for i := range t.rows {
		r, v := &t.rows[i], t.verdict(i)
		if i > 0 && t.rows[i-1].more {
			v.Account = ""
		}
		b = appendString(appendString(appendString(b, v.Account), v.ID), v.Appeal)
		b = binary.AppendVarint(binary.AppendVarint(b, r.issued), r.expires)
		b = binary.AppendUvarint(binary.AppendUvarint(b, uint64(r.group)), uint64(r.terms))
	}
	sum := sha256.Sum256(b[start:])
	return append(b, sum[:]...), nil
}

// MarshalBinary returns the encoded form of t.
func (t *Table) MarshalBinary() ([]byte, error) { return t.AppendBinary(nil) }

func appendString(b []byte, s string) []byte {
	return append(binary.AppendUvarint(b, uint64(len(s))), s...)
}

func bit(v bool) byte {
	if v {
		return 1
	}
	return 0
}

// Decode reads an encoded table. It keeps no part of data. Errors wrap ErrEncoding.
func Decode(data []byte) (*Table, error) {
	t, err := decode(data)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrEncoding, err)
	}
	return t, nil
}

func decode(data []byte) (*Table, error) {
	body, sum, err := split(data)
	if err != nil {
		return nil, err
	}
	if got := sha256.Sum256(body); !bytes.Equal(got[:], sum) {
		return nil, errors.New("its checksum is wrong: it was cut off or changed on the way")
	}
	in := &reader{rest: string(body[len(magic)+1:])}
	t := &Table{version: in.uint(), made: in.int()}
	n := in.count(13, maxTerms)
	t.terms = make([]terms, 0, n)
	for range n {
		t.terms = append(t.terms, in.terms())
	}
	n = in.count(1, maxRows)
	t.groups = append(make([]string, 0, n+1), "")
	for range n {
		t.groups = append(t.groups, strings.Clone(in.string()))
	}
	n = in.count(7, maxRows)
	t.rows = make([]row, 0, n)
	var blob strings.Builder
	blob.Grow(len(in.rest) / 2)
	for range n {
		if err := t.take(in, &blob); err != nil {
			return nil, err
		}
	}
	if in.bad || in.rest != "" {
		return nil, errors.New("it ends too early or goes on too long")
	}
	t.blob = strings.Clone(blob.String())
	t.link()
	return t, nil
}

func split(data []byte) (body, sum []byte, err error) {
	if !bytes.HasPrefix(data, []byte(magic)) || len(data) < len(magic)+1+sha256.Size {
		return nil, nil, errors.New("it is not a verdict table")
	}
	if f := data[len(magic)]; f != format {
		return nil, nil, fmt.Errorf("it is of format %d, this program reads format %d: use one version for both", f, format)
	}
	at := len(data) - sha256.Size
	return data[:at], data[at:], nil
}

// take reads one row and checks it as New does, so that no table holds what cannot be applied.
func (t *Table) take(in *reader, blob *strings.Builder) error {
	account, id, appeal := in.string(), in.string(), in.string()
	r := row{issued: in.int(), expires: in.int(), group: uint32(in.place(len(t.groups))), terms: uint32(in.place(len(t.terms)))}
	if in.bad {
		return errors.New("it ends too early, or a number is out of range")
	}
	n := len(t.rows)
	if n > 0 {
		p := &t.rows[n-1]
		last := blob.String()[p.at:]
		lastAccount, lastID := last[:p.account], last[p.account:int(p.account)+int(p.id)]
		p.more = account == "" || account == lastAccount
		switch {
		case p.more && account != "":
			return errors.New("an account is written twice")
		case p.more && id <= lastID, !p.more && account <= lastAccount:
			return errors.New("its verdicts are not in order")
		case p.more:
			account = lastAccount
		}
	}
	m := &t.terms[r.terms]
	v := palladium.Verdict{
		ID: id, Account: account, Appeal: appeal, Campaign: t.groups[r.group], Stage: palladium.Stage(m.stage), Measure: palladium.Measure(m.measure),
		Reason: m.reason, Issued: instant(r.issued), Expires: instant(r.expires), Delay: time.Duration(m.delay), TokensPerSecond: m.pace,
		Tokens: m.tokens, Model: m.model,
	}
	if err := check(&v); err != nil {
		return fmt.Errorf("verdict %q: %w", clip(id), err)
	}
	if uint64(blob.Len()+len(account)+len(id)+len(appeal)) >= maxBlob {
		return errors.New("it holds more than a table can")
	}
	r.at, r.account, r.id, r.appeal = uint32(blob.Len()), uint8(len(account)), uint8(len(id)), uint8(len(appeal))
	blob.WriteString(account)
	blob.WriteString(id)
	blob.WriteString(appeal)
	t.rows = append(t.rows, r)
	return nil
}

// reader takes an encoded table apart. After a mistake it returns zeros and bad is set.
type reader struct {
	rest string
	bad  bool
}

func (r *reader) uint() (v uint64) {
	for shift := 0; shift < 70; shift += 7 {
		if shift/7 >= len(r.rest) {
			break
		}
		b := r.rest[shift/7]
		if shift == 63 && b > 1 {
			break
		}
		v |= uint64(b&0x7f) << shift
		if b < 0x80 {
			r.rest = r.rest[shift/7+1:]
			return v
		}
	}
	r.fail()
	return 0
}

func (r *reader) fail() { r.bad, r.rest = true, "" }

func (r *reader) int() int64 {
	u := r.uint()
	v := int64(u >> 1)
	if u&1 != 0 {
		v = ^v
	}
	return v
}

// count reads how many things follow, each of which takes least bytes or more, so that a lie costs no memory.
func (r *reader) count(least, most int) int {
	n := r.uint()
	if n > uint64(most) || n > uint64(len(r.rest)/least) {
		r.fail()
		return 0
	}
	return int(n)
}

// place reads a place in a list of n things.
func (r *reader) place(n int) uint64 {
	v := r.uint()
	if v >= uint64(n) {
		r.fail()
		return 0
	}
	return v
}

// natural reads a number that fits a signed one.
func (r *reader) natural() int64 {
	v := r.uint()
	if v > math.MaxInt64 {
		r.fail()
		return 0
	}
	return int64(v)
}

func (r *reader) string() string {
	n := r.uint()
	if n > maxText || n > uint64(len(r.rest)) {
		r.fail()
		return ""
	}
	s := r.rest[:n]
	r.rest = r.rest[n:]
	return s
}

func (r *reader) terms() terms {
	m := terms{measure: strings.Clone(r.string()), stage: strings.Clone(r.string()), reason: strings.Clone(r.string()), model: strings.Clone(r.string())}
	if len(r.rest) < 10 {
		r.fail()
		return m
	}
	if r.rest[0] > 1 {
		r.fail()
		return m
	}
	m.shadow, r.rest = r.rest[0] == 1, r.rest[1:]
	m.delay = r.natural()
	if len(r.rest) < 8 {
		r.fail()
		return m
	}
	m.pace, r.rest = math.Float64frombits(binary.BigEndian.Uint64([]byte(r.rest[:8]))), r.rest[8:]
	m.tokens = r.natural()
	m.rank = int8(rank(palladium.Measure(m.measure)))
	return m
}
