//go:build unix && !solaris && !aix

package pool

import (
	"io"
	"syscall"
)

// canPoll is true where a connection can be read without waiting.
const canPoll = true

// readNow reads what is there; false when nothing is.
func (k *conn) readNow(fd uintptr) bool {
	empty := k.buf == nil
	k.hold()
	for {
		n, err := syscall.Read(int(fd), (*k.buf)[k.w:])
		switch {
		case err == syscall.EINTR:
			continue
		case err == syscall.EAGAIN:
			if empty {
				k.release()
			}
			return false
		case err != nil:
			k.err = err
		case n == 0:
			k.err = io.EOF
		default:
			k.took(n)
			k.err = nil
		}
		return true
	}
}

// quiet reports whether the upstream has neither closed the connection nor said anything that it was not asked.
func (k *conn) quiet() bool {
	if k.raw == nil {
		return true
	}
	return k.raw.Read(k.peek) == nil && k.err == syscall.EAGAIN
}

func (k *conn) peekNow(fd uintptr) bool {
	var b [1]byte
	_, _, k.err = syscall.Recvfrom(int(fd), b[:], syscall.MSG_PEEK|syscall.MSG_DONTWAIT)
	return true
}
