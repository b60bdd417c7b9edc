package table

import (
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"

	"github.com/zeebo/xxh3"
)

// A decoder lays out as much memory as a footer or the header of a page asks for, and a flipped bit may ask for gigabytes. So a file
// carries sums of its own, and nothing of it is decoded that does not agree with them: one for each block of the rows, and one for the
// tail, which is the indexes and the footer, in which the digits of that sum count as zeros.
const (
	blockBytes = 128 << 10
	blocksKept = 32 // of a file of which a few columns are read
	maxTail    = 256 << 20
	digits     = 16 // of the length of the rows, and of the tail's sum after it
	zeros      = "0000000000000000"
)

func sumsKey(m Mark) string { return m.Key + ".sums" }
func tailKey(m Mark) string { return m.Key + ".tail" }

// tailPlace finds the value of the tail's key in a footer: in Thrift's compact form it is the field after the key. Statistics may hold
// the like, and come before.
func tailPlace(footer []byte, m Mark) (int, bool) {
	before := append([]byte(tailKey(m)), 0x18, 2*digits)
	i := bytes.LastIndex(footer, before)
	at := i + len(before)
	return at, i >= 0 && at+2*digits <= len(footer)
}

// tailSum adds up a tail but for the digits at a place.
func tailSum(tail []byte, at int) string {
	h := xxh3.New()
	_, _ = h.Write(tail[:at])
	_, _ = h.WriteString(zeros)
	_, _ = h.Write(tail[at+digits:])
	return fmt.Sprintf("%016x", h.Sum64())
}

// footerLength reads the end of a file; ok is false when it is none of a Parquet file of at most so many bytes before it.
func footerLength(end [8]byte, before int64) (n int64, ok bool) {
	n = int64(binary.LittleEndian.Uint32(end[:]))
	return n, string(end[4:]) == "PAR1" && n <= min(before, maxTail)
}

// summing passes on what is written to a file and adds up its blocks.
type summing struct {
	out    io.Writer
	length int64
	block  []byte // the last one, not full
	sums   []byte
	tail   *bytes.Buffer // takes what is written after the rows, when it is there
}

func (s *summing) Write(p []byte) (int, error) {
	if s.tail != nil {
		return s.tail.Write(p)
	}
	n, err := s.out.Write(p)
	s.length += int64(n)
	for rest := p[:n]; len(rest) > 0; {
		k := min(len(rest), blockBytes-len(s.block))
		s.block = append(s.block, rest[:k]...)
		rest = rest[k:]
		if len(s.block) == blockBytes {
			s.end()
		}
	}
	return n, err
}

func (s *summing) end() {
	s.sums = binary.LittleEndian.AppendUint64(s.sums, xxh3.Hash(s.block))
	s.block = s.block[:0]
}

// turn ends the rows and begins the tail. It returns the values of the two keys.
func (s *summing) turn() (sums, tail string) {
	if len(s.block) > 0 {
		s.end()
	}
	s.tail = &bytes.Buffer{}
	return base64.StdEncoding.EncodeToString(s.sums), fmt.Sprintf("%016x", s.length) + zeros
}

// finish writes the tail, with its sum.
func (s *summing) finish(m Mark) error {
	tail := s.tail.Bytes()
	body := max(len(tail)-8, 0)
	n, ok := footerLength([8]byte(append(slices.Clone(tail[body:]), make([]byte, 8)...)), int64(body))
	if !ok {
		return errors.New("the footer is not where it should be")
	}
	at, ok := tailPlace(tail[body-int(n):body], m)
	if !ok {
		return errors.New("the footer has no place for its sum")
	}
	at += body - int(n) + digits
	copy(tail[at:], tailSum(tail[:body], at))
	_, err := s.out.Write(tail)
	return err
}

func (s *summing) reset(out io.Writer) { *s = summing{out: out, block: s.block[:0], sums: s.sums[:0]} }

// checked hands out of a file only what agrees with the sums.
type checked struct {
	in      io.ReaderAt
	rows    int64    // end here, and the tail begins
	tail    []byte   // up to the end of the file
	sums    []uint64 // of blocks of rows
	trusted bool     // all blocks have been compared
	blocks  map[int64][]byte
	order   []int64 // of blocks, by arrival
}

var errSum = errors.New("its bytes do not agree with its sums")

// newChecked reads the tail.
func newChecked(in io.ReaderAt, size int64, m Mark) (*checked, error) {
	var end [8]byte
	if size < int64(len("PAR1")+len(end)) {
		return nil, errors.New("it is shorter than any file")
	}
	if err := readFull(in, end[:], size-int64(len(end))); err != nil {
		return nil, err
	}
	body := size - int64(len(end))
	n, ok := footerLength(end, body-int64(len("PAR1")))
	if !ok {
		return nil, errors.New("its end is not that of a Parquet file")
	}
	footer := make([]byte, n)
	if err := readFull(in, footer, body-n); err != nil {
		return nil, err
	}
	at, ok := tailPlace(footer, m)
	if !ok {
		return nil, fmt.Errorf("it has no sum under the key %s", tailKey(m))
	}
	rows, err := strconv.ParseInt(string(footer[at:at+digits]), 16, 64)
	if err != nil || rows < 0 || rows > body-n || size-rows > maxTail {
		return nil, errSum
	}
	c := &checked{in: in, rows: rows, tail: make([]byte, size-rows)}
	if err := readFull(in, c.tail, rows); err != nil {
		return nil, err
	}
	at += int(body - n - rows + digits)
	if tailSum(c.tail[:body-rows], at) != string(c.tail[at:at+digits]) {
		return nil, errSum
	}
	return c, nil
}

func readFull(in io.ReaderAt, p []byte, off int64) error {
	n, err := in.ReadAt(p, off)
	if n == len(p) {
		return nil
	}
	if err == nil || errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}

// take sets the sums of the rows as they are written in the tail, and compares all of them when all is to be read.
func (c *checked) take(written string, all bool) error {
	raw, err := base64.StdEncoding.DecodeString(written)
	if err != nil || int64(len(raw)) != (c.rows+blockBytes-1)/blockBytes*8 {
		return errSum
	}
	c.sums = make([]uint64, 0, len(raw)/8)
	for s := range slices.Chunk(raw, 8) {
		c.sums = append(c.sums, binary.LittleEndian.Uint64(s))
	}
	if all {
		block := make([]byte, blockBytes)
		for i := range c.sums {
			if _, err := c.read(int64(i), block); err != nil {
				return err
			}
		}
		c.trusted = true
	}
	return nil
}

// read reads a block of rows and compares it.
func (c *checked) read(i int64, into []byte) ([]byte, error) {
	block := into[:min(blockBytes, c.rows-i*blockBytes)]
	if err := readFull(c.in, block, i*blockBytes); err != nil {
		return nil, err
	}
	if xxh3.Hash(block) != c.sums[i] {
		return nil, errSum
	}
	return block, nil
}

// ReadAt is of the file. Before take, the rows cannot be read.
func (c *checked) ReadAt(p []byte, off int64) (n int, err error) {
	if off < 0 {
		return 0, errors.New("a piece begins before the file")
	}
	for n < len(p) && off < c.rows {
		k := 0
		if c.trusted {
			if k, err = c.in.ReadAt(p[n:min(len(p), n+int(min(c.rows-off, int64(len(p)))))], off); k == 0 {
				return n, err
			}
		} else {
			block, err := c.block(off / blockBytes)
			if err != nil {
				return n, err
			}
			k = copy(p[n:], block[off%blockBytes:])
		}
		n += k
		off += int64(k)
	}
	if n < len(p) && off-c.rows < int64(len(c.tail)) {
		n += copy(p[n:], c.tail[off-c.rows:])
	}
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}

// block returns a block of rows, from memory if it was read lately.
func (c *checked) block(i int64) ([]byte, error) {
	if b, ok := c.blocks[i]; ok {
		return b, nil
	}
	if c.sums == nil {
		if i == 0 && c.rows >= 4 { // the decoder looks at the first letters before anything else
			return []byte("PAR1"), nil
		}
		return nil, errSum
	}
	var into []byte
	if len(c.order) == blocksKept {
		into = c.blocks[c.order[0]][:blockBytes]
		delete(c.blocks, c.order[0])
		c.order = c.order[1:]
	} else {
		into = make([]byte, blockBytes)
	}
	b, err := c.read(i, into)
	if err != nil {
		return nil, err
	}
	if c.blocks == nil {
		c.blocks = map[int64][]byte{}
	}
	c.blocks[i] = b
	c.order = append(c.order, i)
	return b, nil
}
