package pool

import (
	"errors"
	"io"
	"net/http"
	"strings"
)

// Pieces is an answer's body that hands over the bytes it has in place of copying them.
type Pieces interface {
	// Next waits for bytes of the body and returns all that are there; they are valid until the next call. It returns
	// io.EOF, perhaps with the last bytes, once the body ended in good order.
	Next() ([]byte, error)
}

// answerBody is the body of one answer. It belongs to one goroutine.
type answerBody struct {
	k       *conn
	stop    func() bool    // of the abort that the context may call
	written chan struct{}  // closed when the request is written; nil: it is
	resp    *http.Response // for the trailers
	state   bodyState
	left    uint64 // of the chunk or of the body
	digits  int
	over    int    // bytes of extensions and trailers so far
	line    []byte // of trailers
	rest    []byte // for Read
	err     error  // once it is over
	done    bool   // the connection was given back or closed
}

type bodyState uint8

const (
	inSize      bodyState = iota // of a chunk, in digits
	inExtension                  // behind the size
	atSizeEnd                    // the line feed of that line
	inChunk
	atChunkEnd // the carriage return behind the chunk
	atChunkFeed
	inTrailer
	inSized   // by Content-Length
	inUnsized // up to the end of the connection
	bodyOver
)

var errChunk = errors.New("the chunks of the answer are not as HTTP wants them")

// maxExtension bounds what stands beside the chunks: more is somebody's way to keep a reader busy.
const maxExtension = 64 << 10

// begin has the body end as the head says.
func (b *answerBody) begin(resp *http.Response, method string) {
	b.resp = resp
	switch {
	case bodiless(resp.StatusCode, method) || resp.ContentLength == 0:
		b.state, b.err = bodyOver, io.EOF
	case len(resp.TransferEncoding) > 0:
		b.state = inSize
	case resp.ContentLength > 0:
		b.state, b.left = inSized, uint64(resp.ContentLength)
	default:
		b.state = inUnsized
	}
}

// Next implements Pieces.
func (b *answerBody) Next() ([]byte, error) {
	for b.err == nil {
		k := b.k
		if k.r == k.w {
			if err := k.more(); err != nil {
				if b.err = unexpected(err); b.state == inUnsized && err == io.EOF {
					b.err = io.EOF
				}
				break
			}
		}
		var p []byte
		if p, b.err = b.decode((*k.buf)[k.r:k.w]); len(p) > 0 {
			return p, b.err
		}
	}
	return nil, b.err
}

// decode takes in bytes of the connection and returns those of the body, in their memory.
func (b *answerBody) decode(in []byte) ([]byte, error) {
	k := b.k
	switch b.state {
	case inUnsized:
		k.r = k.w
		return in, nil
	case inSized:
		n := int(min(uint64(len(in)), b.left))
		k.r += n
		if b.left -= uint64(n); b.left == 0 {
			b.state = bodyOver
			return in[:n], io.EOF
		}
		return in[:n], nil
	}
	begin, end, at := -1, 0, 0 // in[begin:end] is of the body, in[at:] unread
	for at < len(in) {
		if b.state != inChunk {
			n, err := b.between(in[at:])
			at += n
			if err != nil {
				k.r += at
				return in[max(begin, 0):end], err
			}
			continue
		}
		n := int(min(uint64(len(in)-at), b.left))
		if begin < 0 {
			begin, end = at, at
		}
		if end != at {
			copy(in[end:], in[at:at+n])
		}
		end, at = end+n, at+n
		if b.left -= uint64(n); b.left == 0 {
			b.state = atChunkEnd
		}
	}
	k.r += at
	return in[max(begin, 0):end], nil
}

// between reads what stands before, between and behind chunks, as far as it is there, and returns how much it was. It
// returns io.EOF at the end of the body.
func (b *answerBody) between(in []byte) (int, error) {
	for i, c := range in {
		switch b.state {
		case inSize:
			if err := b.size(c); err != nil {
				return i + 1, err
			}
		case inExtension:
			if c == '\r' {
				b.state = atSizeEnd
			} else if b.over++; b.over > maxExtension || c < ' ' && c != '\t' {
				return i + 1, errChunk
			}
		case atSizeEnd:
			if c != '\n' {
				return i + 1, errChunk
			}
			b.digits = 0
			if b.state = inChunk; b.left > 0 {
				return i + 1, nil
			}
			b.state = inTrailer
		case atChunkEnd, atChunkFeed:
			if c != "\r\n"[b.state-atChunkEnd] {
				return i + 1, errChunk
			}
			if b.state++; b.state == inTrailer {
				b.state = inSize
			}
		case inTrailer:
			if b.line, b.over = append(b.line, c), b.over+1; b.over > maxExtension {
				return i + 1, errChunk
			}
			if c != '\n' {
				continue
			}
			if over, err := b.trailer(); over || err != nil {
				return i + 1, err
			}
		}
	}
	return len(in), nil
}

// size reads one byte of a chunk's size.
func (b *answerBody) size(c byte) error {
	digit := c - '0'
	switch {
	case digit <= 9:
	case c|0x20 >= 'a' && c|0x20 <= 'f':
		digit = c | 0x20 - 'a' + 10
	case b.digits == 0:
		return errChunk
	case c == '\r':
		b.state = atSizeEnd
		return nil
	case c == ';' || c == ' ' || c == '\t':
		b.state = inExtension
		return nil
	default:
		return errChunk
	}
	if b.digits++; b.digits > 15 {
		return errChunk
	}
	b.left = b.left<<4 | uint64(digit)
	return nil
}

// trailer takes in b.line, which ends with a line feed; over is true, with io.EOF, behind the last one.
func (b *answerBody) trailer() (over bool, err error) {
	line, ok := strings.CutSuffix(string(b.line), "\r\n")
	b.line = b.line[:0]
	if !ok {
		return false, errChunk
	}
	if line == "" {
		b.state = bodyOver
		return true, io.EOF
	}
	h, err := parseFields(line)
	if err != nil {
		return false, errChunk
	}
	for name, values := range h {
		switch name {
		case "Transfer-Encoding", "Content-Length", "Trailer":
			return false, errChunk
		}
		if b.resp.Trailer == nil {
			b.resp.Trailer = http.Header{}
		}
		b.resp.Trailer[name] = append(b.resp.Trailer[name], values...)
	}
	return false, nil
}

// Read implements io.Reader, for whoever wants the body copied.
func (b *answerBody) Read(p []byte) (int, error) {
	if len(b.rest) == 0 {
		var err error
		if b.rest, err = b.Next(); len(b.rest) == 0 {
			return 0, err
		}
	}
	n := copy(p, b.rest)
	b.rest = b.rest[n:]
	return n, nil
}

// Close lets go of the connection: it is kept where the whole answer was read and nothing stands behind it.
func (b *answerBody) Close() error {
	if b.done {
		return nil
	}
	b.done = true
	k, whole := b.k, b.err == io.EOF
	if b.err == nil || whole {
		b.err = http.ErrBodyReadAfterClose
	}
	b.rest = nil
	if !b.stop() || !whole || b.resp.Close || k.r != k.w || !b.sent() {
		k.close()
		return nil
	}
	k.release()
	k.client.put(k)
	return nil
}

// sent reports whether the request is written.
func (b *answerBody) sent() bool {
	if b.written == nil {
		return true
	}
	select {
	case <-b.written:
		return true
	default:
		return false
	}
}

// fail closes the connection of a request without an answer.
func (b *answerBody) fail() {
	b.stop()
	b.k.close()
}
