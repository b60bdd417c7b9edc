package pool

import (
	"bytes"
	"context"
	"net"
	"net/http"
	"syscall"
	"time"
)

// conn is one connection to an upstream. It belongs to the exchange that it serves; only abort is for other goroutines.
type conn struct {
	client *client
	net    net.Conn
	raw    syscall.RawConn // nil where a connection cannot be read without waiting
	used   bool            // it has served an exchange
	since  time.Time       // without a request

	buf  *[]byte // what was read; nil while nothing is left of it
	r, w int     // (*buf)[r:w] is unread
	fast bool    // the last read filled its buffer

	// What the poller calls, bound once, and what it leaves.
	read, peek func(fd uintptr) bool
	abort      func()
	err        error
}

func newConn(c *client, nc net.Conn) (*conn, error) {
	k := &conn{client: c, net: nc}
	k.abort = func() { _ = nc.Close() } // the error is of no use
	if s, ok := nc.(syscall.Conn); ok && canPoll {
		raw, err := s.SyscallConn()
		if err != nil {
			_ = nc.Close()
			return nil, &dialError{err}
		}
		k.raw, k.read, k.peek = raw, k.readNow, k.peekNow
	}
	return k, nil
}

// exchange sends a request and reads the head of its answer. unsent tells of an error that no byte was written.
func (k *conn) exchange(ctx context.Context, req *http.Request, head, body []byte) (resp *http.Response, unsent bool, err error) {
	stop := context.AfterFunc(ctx, k.abort)
	b := &answerBody{k: k, stop: stop}
	if len(body) > 0 {
		b.written = make(chan struct{})
		// The upstream may answer before it has read all, and then the rest is of no use.
		out := bytes.Clone(head) // head goes back to its pool
		go func() {
			defer close(b.written)
			buffers := net.Buffers{out, body}
			_, _ = buffers.WriteTo(k.net) // without a whole request there is no answer, or one that says so
		}()
	} else if n, err := k.net.Write(head); err != nil && n == 0 {
		b.fail()
		return nil, true, err
	}
	resp, err = k.head(req.Method)
	if err != nil {
		b.fail()
		return nil, false, unexpected(err)
	}
	b.begin(resp, req.Method)
	resp.Body = b
	return resp, false, nil
}

func (k *conn) close() {
	k.release()
	k.abort()
}

// release gives back the buffer.
func (k *conn) release() {
	if k.buf == nil {
		return
	}
	if len(*k.buf) == smallRead {
		k.client.smalls.Put(k.buf)
	} else {
		k.client.bigs.Put(k.buf)
	}
	k.buf, k.r, k.w = nil, 0, 0
}

// hold has a buffer, of the size that the last read asks for.
func (k *conn) hold() {
	if k.buf != nil {
		return
	}
	if k.fast {
		k.buf = k.client.bigs.Get().(*[]byte)
	} else {
		k.buf = k.client.smalls.Get().(*[]byte)
	}
}

// more waits for bytes behind those that are unread, and has no buffer meanwhile where there are none. It returns
// io.EOF at the end of the connection.
func (k *conn) more() error {
	if k.r == k.w {
		k.release()
	}
	if k.raw == nil {
		k.hold()
		n, err := k.net.Read((*k.buf)[k.w:])
		k.took(n)
		if n > 0 {
			return nil
		}
		return err
	}
	if err := k.raw.Read(k.read); err != nil {
		return err
	}
	return k.err
}

// took counts n bytes that were read.
func (k *conn) took(n int) {
	k.fast = n == len(*k.buf)-k.w
	k.w += n
}
