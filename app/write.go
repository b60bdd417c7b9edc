package app

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/palladium-guard/palladium/store"
)

// ErrWrite is wrapped by errors of WriteFile that the file system gave.
var ErrWrite = errors.New("write")

// WriteFile writes a file whole or not at all: beside it under another name, forced to disk, then renamed. A new file
// can be read by its owner only, one that was there keeps its permissions; a path that is no regular file, such as a
// pipe, is written as it is. Errors name path; those of write are passed on.
func WriteFile(path string, write func(io.Writer) error) error {
	mode := os.FileMode(0o600) // findings are personal data
	if info, err := os.Stat(path); err == nil {
		if !info.Mode().IsRegular() {
			return writeInto(path, write)
		}
		mode = info.Mode().Perm()
		if target, err := filepath.EvalSymlinks(path); err == nil {
			path = target
		}
	}
	prefix := "." + filepath.Base(path) + "."
	return named(store.Replace(path, mode, write), path, prefix)
}

// named gives an error that speaks of the provisional file, whose name begins with prefix, the name that was asked for.
func named(err error, path, prefix string) error {
	var one *fs.PathError
	var two *os.LinkError
	switch {
	case errors.As(err, &one) && strings.HasPrefix(filepath.Base(one.Path), prefix):
		return fmt.Errorf("%w %s: %w", ErrWrite, path, one.Err)
	case errors.As(err, &two) && strings.HasPrefix(filepath.Base(two.Old), prefix):
		return fmt.Errorf("%w %s: %w", ErrWrite, path, two.Err)
	}
	return err
}

func writeInto(path string, write func(io.Writer) error) error {
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	err = write(f)
	if e := f.Close(); err == nil {
		err = e
	}
	return err
}
