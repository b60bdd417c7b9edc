//go:build unix

package launch

import (
	"os"
	"syscall"
)

// replace runs the program in place of this process.
func replace(program string, command []string) (int, error) {
	return 0, &os.PathError{Op: "start", Path: program, Err: syscall.Exec(program, command, os.Environ())}
}
