//go:build !linux || !(amd64 || arm64)

package pedigree

import (
	"context"
	"fmt"
	"os/exec"
)

// traced is of systems that have a way to watch a command.
func traced(context.Context, *exec.Cmd) (*ran, error) {
	return nil, fmt.Errorf("%w on this system", errNoTrace)
}
