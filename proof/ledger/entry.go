package ledger

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/transparency-dev/merkle/rfc6962"
)

const entryHeader = "palladium/ledger-entry/v1"

const timeFormat = "2006-01-02T15:04:05.000Z"

// ErrFormat is wrapped by errors about bytes that are not what they should be.
var ErrFormat = errors.New("not of the expected format")

// Entry is a leaf of the log: the digest of a statement, and what is needed to know it by.
type Entry struct {
	Type   string
	Digest [sha256.Size]byte // SHA-256 of the statement's body
	Size   int64             // of the body, in bytes
	Time   time.Time         // of the act, UTC, to the millisecond
}

// Marshal returns the one form that e has in the log: a line for each field.
func (e *Entry) Marshal() []byte {
	return fmt.Appendf(nil, "%s\ntype %s\nsha256 %x\nsize %d\ntime %s\n", entryHeader, e.Type, e.Digest, e.Size, e.Time.UTC().Format(timeFormat))
}

// MarshalJSON writes the digest in hexadecimal.
func (e Entry) MarshalJSON() ([]byte, error) {
	return json.Marshal(struct {
		Type   string `json:"type"`
		SHA256 string `json:"sha256"`
		Size   int64  `json:"size"`
		Time   string `json:"time"`
	}{e.Type, hex.EncodeToString(e.Digest[:]), e.Size, e.Time.UTC().Format(timeFormat)})
}

// LeafHash is the hash of the entry in the tree, RFC 6962, 2.1: SHA-256 of a zero byte and the entry.
func (e *Entry) LeafHash() []byte { return rfc6962.DefaultHasher.HashLeaf(e.Marshal()) }

// ParseEntry reads an entry. It takes nothing that Marshal would have written otherwise.
func ParseEntry(data []byte) (Entry, error) {
	var e Entry
	lines := strings.Split(string(data), "\n")
	if len(data) > MaxEntry || len(lines) != 6 || lines[0] != entryHeader {
		return e, fmt.Errorf("%w: entry does not start with %s and have five lines", ErrFormat, entryHeader)
	}
	value := func(i int, key string) string {
		v, ok := strings.CutPrefix(lines[i], key+" ")
		if !ok {
			return ""
		}
		return v
	}
	e.Type = value(1, "type")
	digest, err := hex.DecodeString(value(2, "sha256"))
	if err != nil || len(digest) != sha256.Size {
		return e, fmt.Errorf("%w: entry has no SHA-256 in its third line", ErrFormat)
	}
	e.Digest = [sha256.Size]byte(digest)
	if e.Size, err = strconv.ParseInt(value(3, "size"), 10, 64); err != nil {
		return e, fmt.Errorf("%w: entry has no size in its fourth line", ErrFormat)
	}
	if e.Time, err = time.Parse(timeFormat, value(4, "time")); err != nil {
		return e, fmt.Errorf("%w: entry has no time in its fifth line", ErrFormat)
	}
	if !validType(e.Type) || e.Size < 0 || e.Size > MaxStatement || !bytes.Equal(e.Marshal(), data) {
		return e, fmt.Errorf("%w: entry is not in its one proper form", ErrFormat)
	}
	return e, nil
}

func validType(s string) bool {
	return s != "" && len(s) <= maxType && strings.IndexFunc(s, func(r rune) bool { return r <= ' ' || r > '~' }) < 0
}

// parseBundle splits an entry bundle: 16 bits of length before each entry, big endian.
func parseBundle(data []byte) ([][]byte, error) {
	var out [][]byte
	for len(data) > 0 {
		if len(data) < 2 {
			return nil, fmt.Errorf("%w: bundle ends within a length", ErrFormat)
		}
		n := int(binary.BigEndian.Uint16(data))
		if data = data[2:]; n > len(data) {
			return nil, fmt.Errorf("%w: bundle ends within an entry", ErrFormat)
		}
		out, data = append(out, data[:n]), data[n:]
	}
	return out, nil
}
