package lineage

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"path"
	"strings"
)

// ErrRows is wrapped by errors about data whose rows cannot be counted.
var ErrRows = errors.New("rows cannot be counted")

// The formats whose rows are counted.
const (
	FormatJSONL   = "jsonl"
	FormatParquet = "parquet"
)

const (
	parquetMagic     = "PAR1"
	maxParquetFooter = 64 << 20
	maxThriftDepth   = 16
)

// Rows counts the rows of a file of size bytes: of JSON Lines the lines that are not blank, of Parquet what its footer
// states. The format is told by name and, for Parquet, by content. Other files have no rows and no format. Errors wrap
// ErrRows.
func Rows(r io.ReaderAt, size int64, name string) (rows int64, format string, err error) {
	switch strings.ToLower(path.Ext(name)) {
	case ".jsonl", ".ndjson":
		rows, err = lines(io.NewSectionReader(r, 0, size))
		return rows, FormatJSONL, err
	case ".parquet", ".pq":
		rows, err = parquetRows(r, size)
		return rows, FormatParquet, err
	}
	return 0, "", nil
}

// lines counts the lines that hold more than white space.
func lines(r io.Reader) (n int64, err error) {
	buf := make([]byte, 64<<10)
	text := false
	for {
		k, err := r.Read(buf)
		for rest := buf[:k]; len(rest) > 0; {
			i := bytes.IndexByte(rest, '\n')
			part := rest
			if i >= 0 {
				part = rest[:i]
			}
			text = text || len(bytes.TrimSpace(part)) > 0
			if i < 0 {
				break
			}
			if text {
				n++
			}
			text, rest = false, rest[i+1:]
		}
		if errors.Is(err, io.EOF) {
			if text {
				n++
			}
			return n, nil
		}
		if err != nil {
			return n, fmt.Errorf("%w: %w", ErrRows, err)
		}
	}
}

// parquetRows reads num_rows, field 3 of the FileMetaData at the end of a Parquet file, in Thrift's compact protocol. It
// reads the schema before it and no more; columns and pages are not looked at.
func parquetRows(r io.ReaderAt, size int64) (int64, error) {
	const tail = 8
	if size < 2*4+tail-4 {
		return 0, fmt.Errorf("%w: too short for a Parquet file", ErrRows)
	}
	var end [tail]byte
	if _, err := r.ReadAt(end[:], size-tail); err != nil && !errors.Is(err, io.EOF) {
		return 0, fmt.Errorf("%w: %w", ErrRows, err)
	}
	length := int64(binary.LittleEndian.Uint32(end[:4]))
	if string(end[4:]) != parquetMagic || length > min(size-tail-4, maxParquetFooter) {
		return 0, fmt.Errorf("%w: it does not end as a Parquet file does: it is cut off, encrypted, or of another format", ErrRows)
	}
	footer := make([]byte, length)
	if _, err := r.ReadAt(footer, size-tail-length); err != nil && !errors.Is(err, io.EOF) {
		return 0, fmt.Errorf("%w: %w", ErrRows, err)
	}
	t := thrift{b: footer}
	id := int64(0)
	for {
		kind, ok := t.field(&id)
		switch {
		case t.bad:
			return 0, fmt.Errorf("%w: its Parquet footer is damaged", ErrRows)
		case !ok || id > 3:
			return 0, fmt.Errorf("%w: its Parquet footer states no number of rows", ErrRows)
		case id == 3 && kind == thriftI64:
			n := t.signed()
			if t.bad || n < 0 {
				return 0, fmt.Errorf("%w: its Parquet footer is damaged", ErrRows)
			}
			return n, nil
		}
		t.skip(kind, 0)
	}
}

// The types of Thrift's compact protocol.
const (
	thriftTrue = iota + 1
	thriftFalse
	thriftByte
	thriftI16
	thriftI32
	thriftI64
	thriftDouble
	thriftBinary
	thriftList
	thriftSet
	thriftMap
	thriftStruct
)

type thrift struct {
	b   []byte
	bad bool
}

func (t *thrift) byte() byte {
	if len(t.b) == 0 {
		t.bad = true
		return 0
	}
	c := t.b[0]
	t.b = t.b[1:]
	return c
}

func (t *thrift) varint() uint64 {
	v, n := binary.Uvarint(t.b)
	if n <= 0 {
		t.bad = true
		return 0
	}
	t.b = t.b[n:]
	return v
}

func (t *thrift) signed() int64 {
	v := t.varint()
	return int64(v>>1) ^ -int64(v&1)
}

func (t *thrift) advance(n uint64) {
	if n > uint64(len(t.b)) {
		t.bad = true
		return
	}
	t.b = t.b[n:]
}

// field reads the header of a field; ok is false at the end of its struct.
func (t *thrift) field(id *int64) (kind byte, ok bool) {
	c := t.byte()
	if t.bad || c == 0 {
		return 0, false
	}
	if delta := c >> 4; delta != 0 {
		*id += int64(delta)
	} else {
		*id = t.signed()
	}
	if *id < math.MinInt16 || *id > math.MaxInt16 {
		t.bad = true
	}
	return c & 0x0f, !t.bad
}

func (t *thrift) skip(kind byte, depth int) {
	if depth > maxThriftDepth {
		t.bad = true
	}
	if t.bad {
		return
	}
	switch kind {
	case thriftTrue, thriftFalse:
	case thriftByte:
		t.advance(1)
	case thriftI16, thriftI32, thriftI64:
		t.varint()
	case thriftDouble:
		t.advance(8)
	case thriftBinary:
		t.advance(t.varint())
	case thriftList, thriftSet:
		c := t.byte()
		n := uint64(c >> 4)
		if n == 15 {
			n = t.varint()
		}
		for ; n > 0 && !t.bad; n-- {
			t.element(c&0x0f, depth+1)
		}
	case thriftMap:
		n := t.varint()
		if n == 0 {
			return
		}
		c := t.byte()
		for ; n > 0 && !t.bad; n-- {
			t.element(c>>4, depth+1)
			t.element(c&0x0f, depth+1)
		}
	case thriftStruct:
		var id int64
		for {
			k, ok := t.field(&id)
			if !ok {
				return
			}
			t.skip(k, depth+1)
		}
	default:
		t.bad = true
	}
}

// element skips a value of a collection, in which a truth value has a byte.
func (t *thrift) element(kind byte, depth int) {
	if kind == thriftTrue || kind == thriftFalse {
		kind = thriftByte
	}
	t.skip(kind, depth)
}
