//go:build !unix

package launch

import (
	"errors"
	"os"
	"os/exec"
)

// replace runs the program and waits for it: a process cannot be replaced here.
func replace(program string, command []string) (int, error) {
	cmd := exec.Command(program, command[1:]...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	err := cmd.Run()
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		return exit.ExitCode(), nil
	}
	return 0, err
}
