//go:build linux

package pedigree

import "golang.org/x/sys/unix"

// opens reports whether the system call of the number opens a file.
func opens(n uint64) bool {
	return n == unix.SYS_OPENAT || n == unix.SYS_OPENAT2 || n == unix.SYS_OPEN_BY_HANDLE_AT
}
