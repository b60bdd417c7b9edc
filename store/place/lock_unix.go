//go:build unix && !solaris && !aix

package place

import (
	"os"
	"syscall"
)

// openModes is true where folders cannot be synced.
const openModes = false

func flock(f *os.File) error { return syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB) }
