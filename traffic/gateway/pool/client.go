package pool

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"strconv"
	"sync"
	"time"
)

// client speaks HTTP/1.1 without TLS to one upstream. Unlike http.Transport it has no goroutine of its own for a
// connection, and no memory for one that waits: whoever sends also reads, and a buffer is taken only once there is
// something to read. It is safe for concurrent use.
type client struct {
	addr string // host:port
	dial func(ctx context.Context, network, addr string) (net.Conn, error)
	idle time.Duration // that a connection is kept without a request

	outs         sync.Pool // of *[]byte: requests being written
	smalls, bigs sync.Pool // of *[]byte: what is read
	mu           sync.Mutex
	spare        []*conn // without a request, the last used last
	sweeper      *time.Timer
	sweeping     bool
}

const (
	// smallRead is what is read of an answer at once. With the frame of a chunk it fits the 4 KiB in which net/http
	// gathers what it writes, so that one read makes one write.
	smallRead = 4<<10 - 64
	bigRead   = 32 << 10 // the same, of an answer that comes faster than it is read
	most      = 4096     // spare connections
	// inlineBody is how much of a request is written before the answer is looked for: connections hold as much, so that
	// nobody waits for an upstream that does not read.
	inlineBody = 32 << 10
)

func newClient(addr string, idle time.Duration, dial func(ctx context.Context, network, addr string) (net.Conn, error)) *client {
	c := &client{addr: addr, idle: idle, dial: dial}
	memory := func(n int) func() any { return func() any { b := make([]byte, n); return &b } }
	c.outs.New, c.smalls.New, c.bigs.New = memory(2<<10), memory(smallRead), memory(bigRead)
	c.sweeper = time.AfterFunc(time.Hour, c.sweep)
	c.sweeper.Stop()
	return c
}

// errHeader marks a request that cannot be written as HTTP/1.1.
var errHeader = errors.New("a header or the path of the request holds a character that cannot be sent")

// send sends req, whose body is body, once, and returns when the headers of the answer were read. A connection that
// turns out to have been closed before any byte of the request was written is replaced.
func (c *client) send(ctx context.Context, req *http.Request, body []byte) (*http.Response, error) {
	out := c.outs.Get().(*[]byte)
	defer c.outs.Put(out)
	head, err := appendRequest((*out)[:0], req, len(body))
	if err != nil {
		return nil, err
	}
	later := body
	if len(head)+len(body) <= inlineBody {
		head, later = append(head, body...), nil
	}
	if cap(head) <= inlineBody {
		*out = head
	}
	for {
		k, err := c.take(ctx)
		if err != nil {
			return nil, err
		}
		used := k.used
		resp, unsent, err := k.exchange(ctx, req, head, later)
		if err == nil {
			return resp, nil
		}
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		if !unsent {
			return nil, err
		}
		if !used {
			return nil, &dialError{err}
		}
	}
}

// take returns a connection without a request on it.
func (c *client) take(ctx context.Context) (*conn, error) {
	for {
		c.mu.Lock()
		n := len(c.spare)
		if n == 0 {
			c.mu.Unlock()
			break
		}
		k := c.spare[n-1]
		c.spare[n-1] = nil
		c.spare = c.spare[:n-1]
		c.mu.Unlock()
		if time.Since(k.since) < c.idle && k.quiet() {
			return k, nil
		}
		k.close()
	}
	nc, err := c.dial(ctx, "tcp", c.addr)
	if err != nil {
		return nil, err
	}
	return newConn(c, nc)
}

// put keeps k for the next request.
func (c *client) put(k *conn) {
	k.since, k.used = time.Now(), true
	c.mu.Lock()
	keep := len(c.spare) < most
	if keep {
		c.spare = append(c.spare, k)
		if !c.sweeping {
			c.sweeping = true
			c.sweeper.Reset(c.idle)
		}
	}
	c.mu.Unlock()
	if !keep {
		k.close()
	}
}

// sweep closes what has not been used for long.
func (c *client) sweep() {
	now := time.Now()
	c.mu.Lock()
	n := 0
	for n < len(c.spare) && now.Sub(c.spare[n].since) >= c.idle {
		n++
	}
	old := append([]*conn(nil), c.spare[:n]...)
	rest := copy(c.spare, c.spare[n:])
	clear(c.spare[rest:])
	c.spare = c.spare[:rest]
	if c.sweeping = rest > 0; c.sweeping {
		c.sweeper.Reset(c.idle - now.Sub(c.spare[0].since))
	}
	c.mu.Unlock()
	for _, k := range old {
		k.close()
	}
}

// close closes the connections that have no request. Those that have one are kept for a while when it has ended.
func (c *client) close() {
	c.mu.Lock()
	old := c.spare
	c.spare = nil
	c.mu.Unlock()
	for _, k := range old {
		k.close()
	}
}

// appendRequest appends the head of req to dst.
func appendRequest(dst []byte, req *http.Request, length int) ([]byte, error) {
	dst = append(append(dst, req.Method...), ' ')
	at := len(dst)
	dst = append(dst, req.URL.RequestURI()...)
	for _, b := range dst[at:] {
		if b <= ' ' || b == 0x7f {
			return dst, errHeader
		}
	}
	at = len(dst)
	dst = append(append(dst, " HTTP/1.1\r\nHost: "...), req.Host...)
	for _, b := range dst[at+len(" HTTP/1.1\r\nHost: "):] {
		if b <= ' ' || b >= 0x7f {
			return dst, errHeader
		}
	}
	dst = append(dst, "\r\n"...)
	for name, values := range req.Header {
		for _, v := range values {
			if !token(name) || !fieldValue(v) {
				return dst, errHeader
			}
			dst = append(append(append(append(dst, name...), ": "...), v...), "\r\n"...)
		}
	}
	if length > 0 || req.Method == http.MethodPost || req.Method == http.MethodPut || req.Method == http.MethodPatch {
		dst = strconv.AppendInt(append(dst, "Content-Length: "...), int64(length), 10)
		dst = append(dst, "\r\n"...)
	}
	return append(dst, "\r\n"...), nil
}

// token reports whether s is a name that HTTP allows.
func token(s string) bool {
	for i := range len(s) {
		if !tokenByte(s[i]) {
			return false
		}
	}
	return s != ""
}

func tokenByte(c byte) bool {
	if c|0x20 >= 'a' && c|0x20 <= 'z' || c >= '0' && c <= '9' {
		return true
	}
	switch c {
	case '!', '#', '$', '%', '&', '\'', '*', '+', '-', '.', '^', '_', '`', '|', '~':
		return true
	}
	return false
}

// fieldValue reports whether s can be the value of a header.
func fieldValue(s string) bool {
	for i := range len(s) {
		if c := s[i]; c < ' ' && c != '\t' || c == 0x7f {
			return false
		}
	}
	return true
}

// unexpected turns the end of a connection, where more had to come, into the error that says so.
func unexpected(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}
