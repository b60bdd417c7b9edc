//go:build unix && !solaris && !aix

package app

import (
	"os"
	"syscall"
)

// openModes is true where files have no owner-only permission and directories cannot be synced.
const openModes = false

// flock takes the file's lock, which the system gives back when the process ends in whatever way.
func flock(f *os.File) error { return syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB) }
