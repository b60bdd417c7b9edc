//go:build !unix || solaris || aix

package pool

// canPoll is false where a connection can only be read by waiting for it.
const canPoll = false

func (k *conn) readNow(uintptr) bool { return true }
func (k *conn) peekNow(uintptr) bool { return true }

// quiet cannot be told here.
func (k *conn) quiet() bool { return true }
