package store

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"testing"
)

func TestReplace(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "a")
	wrong := errors.New("wrong")
	half := func(err error) func(io.Writer) error {
		return func(w io.Writer) error {
			if _, e := w.Write(make([]byte, 10_000)); e != nil {
				return e
			}
			return err
		}
	}
	for _, row := range []struct {
		name, path string
		write      func(io.Writer) error
		want       error
		size       int64 // of the file at path afterwards; -1 for none
	}{
		{"fails where nothing was", path, half(wrong), wrong, -1},
		{"new", path, half(nil), nil, 10_000},
		{"fails", path, half(wrong), wrong, 10_000},
		{"empty", path, func(io.Writer) error { return nil }, nil, 0},
		{"no folder", filepath.Join(dir, "none", "a"), half(nil), os.ErrNotExist, -1},
	} {
		if err := Replace(row.path, 0o640, row.write); !errors.Is(err, row.want) {
			t.Errorf("%s: got error %v", row.name, err)
		}
		info, err := os.Stat(row.path)
		if (err != nil) != (row.size < 0) || err == nil && info.Size() != row.size {
			t.Errorf("%s: found %v, %v, want size %d", row.name, info, err, row.size)
		}
		if err == nil && info.Mode().Perm() != 0o640 {
			t.Errorf("%s: permissions %v", row.name, info.Mode())
		}
	}
	left, err := os.ReadDir(dir)
	if err != nil || len(left) != 1 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}
