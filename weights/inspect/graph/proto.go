package graph

import (
	"bufio"
	"errors"
	"io"

	"github.com/palladium-guard/palladium/weights/inspect"
)

// maxNesting is how deep messages are followed. Graphs within graphs need some.
const maxNesting = 48

// maxText is how much of a string field is read, in bytes.
const maxText = 4096

var (
	errMessage = errors.New("is no protocol buffer message")
	errNesting = errors.New("is nested too deep")
	errStop    = errors.New("enough is known")
)

// field is one field of a message.
type field struct {
	number int
	wire   int    // 0 varint, 1 eight bytes, 2 sized, 5 four bytes
	value  uint64 // of a varint
	at     int64  // place of the content of a sized field
	size   int64
}

// messages reads the messages of a file in constant memory.
type messages struct {
	f *inspect.File
}

// each calls visit for the fields of the message at that place.
func (m messages) each(at, size int64, depth int, visit func(field) error) error {
	if depth > maxNesting {
		return errNesting
	}
	if size > m.f.Size-at {
		return errMessage
	}
	end := at + size
	buffer := int(min(size, 4096)) // most messages are short
	r := bufio.NewReaderSize(m.f.Section(at, size), max(buffer, 16))
	for at < end {
		tag, n, err := varint(r)
		if err != nil {
			return err
		}
		at += int64(n)
		d := field{number: int(tag >> 3), wire: int(tag & 7)}
		if tag>>3 == 0 || tag>>3 > 1<<29-1 {
			return errMessage
		}
		var content int64
		switch d.wire {
		case 0:
			if d.value, n, err = varint(r); err != nil {
				return err
			}
			at += int64(n)
		case 1:
			content = 8
		case 5:
			content = 4
		case 2:
			v, n, err := varint(r)
			if err != nil {
				return err
			}
			at += int64(n)
			if v > uint64(end-at) {
				return errMessage
			}
			content = int64(v)
			d.at, d.size = at, content
		default: // groups are not used by any of the formats
			return errMessage
		}
		if content > end-at {
			return errMessage
		}
		if err := visit(d); err != nil {
			return err
		}
		at += content
		if content <= int64(r.Buffered()) {
			if _, err := r.Discard(int(content)); err != nil {
				return errMessage
			}
		} else {
			r.Reset(m.f.Section(at, end-at))
		}
	}
	return nil
}

func varint(r io.ByteReader) (v uint64, n int, err error) {
	for shift := uint(0); shift < 70; shift += 7 {
		b, err := r.ReadByte()
		if err != nil {
			return 0, n, errMessage
		}
		n++
		v |= uint64(b&0x7f) << shift
		if b < 0x80 {
			return v, n, nil
		}
	}
	return 0, n, errMessage
}

// text reads a string field, cut at maxText.
func (m messages) text(d field) string {
	if d.wire != 2 {
		return ""
	}
	return string(m.f.Bytes(d.at, int(min(d.size, maxText))))
}
