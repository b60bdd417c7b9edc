// Package sha256pair hashes two messages by SHA-256 on one core in little more time than one. A message's rounds wait for
// each other; on processors with the SHA extensions the rounds of another one fit in between.
package sha256pair

import (
	"encoding"
	"encoding/binary"
	"hash"
)

const (
	// size of a block, in bytes
	block = 64
	// header, state, a block that is not full, and length: what crypto/sha256 says of itself, in bytes
	stateAt, bufferAt, lengthAt, marshalled = 4, 36, 100, 108
	// fewest are the bytes below which two turns take less than reading and writing the states
	fewest = 16 * block
)

// Writer writes to two hashes at a time. It knows what the processor can, and is made once for many writes.
type Writer struct{ fast bool }

// New returns a Writer for this processor.
func New() Writer { return Writer{fast: supported()} }

// Write writes p to a and q to b, which must have come from crypto/sha256.New, and not be the same. The sums are those that
// a.Write(p) and b.Write(q) would make. It is quick when p and q have the same length, and the lengths written before are
// multiples of 64.
func (w Writer) Write(a, b hash.Hash, p, q []byte) {
	if n := min(len(p), len(q)) / block; w.fast && n*block >= fewest && together(a, b, p, q, n) {
		p, q = p[n*block:], q[n*block:]
	}
	a.Write(p)
	b.Write(q)
}

// together hashes the first n blocks of both, or returns false and leaves all as it was.
func together(a, b hash.Hash, p, q []byte, n int) bool {
	var ba, bb [marshalled]byte
	x, ok := open(a, ba[:0])
	if !ok {
		return false
	}
	y, ok := open(b, bb[:0])
	if !ok {
		return false
	}
	var h, g [8]uint32
	for i := range h {
		h[i], g[i] = binary.BigEndian.Uint32(x[stateAt+4*i:]), binary.BigEndian.Uint32(y[stateAt+4*i:])
	}
	blocks(&h, &g, &p[0], &q[0], n)
	for i := range h {
		binary.BigEndian.PutUint32(x[stateAt+4*i:], h[i])
		binary.BigEndian.PutUint32(y[stateAt+4*i:], g[i])
	}
	return restore(a, x, n) && restore(b, y, n)
}

// open returns the state of a hash that stands at the end of a block.
func open(h hash.Hash, buf []byte) ([]byte, bool) {
	m, ok := h.(encoding.BinaryAppender)
	if !ok {
		return nil, false
	}
	s, err := m.AppendBinary(buf)
	if err != nil || len(s) != marshalled || string(s[:stateAt]) != "sha\x03" {
		return nil, false
	}
	return s, binary.BigEndian.Uint64(s[lengthAt:])%block == 0
}

// restore puts a state with n more blocks back. The state is of a form that the hash itself has made.
func restore(h hash.Hash, s []byte, n int) bool {
	binary.BigEndian.PutUint64(s[lengthAt:], binary.BigEndian.Uint64(s[lengthAt:])+uint64(n)*block)
	if err := h.(encoding.BinaryUnmarshaler).UnmarshalBinary(s); err != nil {
		panic("sha256pair: crypto/sha256 does not take its own state: " + err.Error())
	}
	return true
}
