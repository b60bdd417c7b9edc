//go:build unix && !solaris && !aix

package journal

import (
	"os"
	"syscall"
)

// openModes is true where files have no owner-only permission and directories cannot be synced.
const openModes = false

func flock(f *os.File) error { return syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB) }
