package tlog

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
)

const temporary = ".new-*"

// sweep removes what a process that was killed while it wrote has left in a folder.
func sweep(folder string) {
	left, err := os.ReadDir(folder)
	if err != nil {
		return
	}
	for _, e := range left {
		if ok, _ := filepath.Match(temporary, e.Name()); ok {
			_ = os.Remove(filepath.Join(folder, e.Name())) // it hurts nobody
		}
	}
}

// writeSynced writes a file of the log whole or not at all; it and its name are on disk when it returns.
func writeSynced(dir, name string, data []byte) (err error) {
	path := filepath.Join(dir, filepath.FromSlash(name))
	folder := filepath.Dir(path)
	if err := makeDirs(folder); err != nil {
		return err
	}
	f, err := os.CreateTemp(folder, temporary)
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			f.Close()
			os.Remove(f.Name())
		}
	}()
	if _, err = f.Write(data); err != nil {
		return err
	}
	if err = f.Chmod(0o644); err != nil {
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
	return syncDir(folder)
}

// makeDirs makes a folder and those above it; the name of each is on disk when it returns.
func makeDirs(dir string) error {
	err := os.Mkdir(dir, 0o755)
	switch {
	case errors.Is(err, fs.ErrExist):
		return nil
	case errors.Is(err, fs.ErrNotExist):
		if err := makeDirs(filepath.Dir(dir)); err != nil {
			return err
		}
		if err := os.Mkdir(dir, 0o755); err != nil && !errors.Is(err, fs.ErrExist) {
			return err
		}
	case err != nil:
		return err
	}
	return syncDir(filepath.Dir(dir))
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	if err := d.Sync(); err != nil && runtime.GOOS != "windows" { // which cannot
		return err
	}
	return nil
}
