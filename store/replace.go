// Package store holds what stores share: putting a file in its place whole, and rows in a relational database, which is a
// SQLite file, or PostgreSQL where several processes share it. A DB migrates its schema, lets writers take turns, tells of
// commits by other processes, and maps rows to structs; what the rows mean is known by the package that gives the Schema.
//
// Statements are written once for both forms: `?` for a value, double quotes for names, ON CONFLICT for upserts.
package store

import (
	"bufio"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"syscall"
)

// Replace writes a file whole or not at all: beside it as .NAME.*.tmp, with the permissions of mode, forced to disk, then
// renamed, and the name forced to disk. What was at path stays when anything fails; a process that is killed may leave the
// provisional file. Errors of write are passed on as they are, those of the file system may name the provisional file.
func Replace(path string, mode fs.FileMode, write func(io.Writer) error) (err error) {
	dir := filepath.Dir(path)
	f, err := os.CreateTemp(dir, "."+filepath.Base(path)+".*.tmp")
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			f.Close()
			os.Remove(f.Name())
		}
	}()
	b := bufio.NewWriter(f)
	if err = write(b); err != nil {
		return err
	}
	if err = b.Flush(); err != nil {
		return err
	}
	if err = f.Chmod(mode); err != nil {
		return err
	}
	if err = f.Sync(); err != nil {
		return err
	}
	if err = f.Close(); err != nil {
		return err
	}
	if err = os.Rename(f.Name(), path); err != nil {
		return err
	}
	return SyncDir(dir)
}

// ReplaceBytes is Replace for content that is there already.
func ReplaceBytes(path string, mode fs.FileMode, data []byte) error {
	return Replace(path, mode, func(w io.Writer) error {
		_, err := w.Write(data)
		return err
	})
}

// SyncDir forces the names in a folder to disk, where the system can.
func SyncDir(dir string) error {
	if runtime.GOOS == "windows" {
		return nil
	}
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	err = d.Sync()
	if errors.Is(err, syscall.EINVAL) || errors.Is(err, errors.ErrUnsupported) { // a file system that has nothing to sync
		return nil
	}
	return err
}
