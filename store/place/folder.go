package place

import (
	"bufio"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/zeebo/xxh3"
)

// Folder is a place on a local disk, a path. Files are written under a name that ends in .tmp, synced, renamed, and their folder
// synced, so that whatever has its own name is whole. The owner's group may read. Folders are made as they are needed, and removed when
// their last file is.
type Folder string

const temporary = ".tmp"

// String is the path.
func (d Folder) String() string { return string(d) }

func (d Folder) path(name string) string { return filepath.Join(string(d), filepath.FromSlash(name)) }

// List gives the files below a folder with their sizes. A folder that is not there is empty.
func (d Folder) List(ctx context.Context, under string) (map[string]int64, error) {
	out := map[string]int64{}
	err := filepath.WalkDir(d.path(under), func(path string, e fs.DirEntry, err error) error {
		switch {
		case errors.Is(err, fs.ErrNotExist):
			return nil // not there, or gone since
		case err != nil:
			return err
		case !e.Type().IsRegular() || strings.HasSuffix(path, temporary):
			return ctx.Err()
		}
		info, err := e.Info()
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil {
			return err
		}
		name, err := filepath.Rel(string(d), path)
		out[filepath.ToSlash(name)] = info.Size()
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("list %s: %w", d, err)
	}
	return out, nil
}

// Put makes a file of what write writes: whole and durable when it returns. When it fails, it may have been done all the same.
func (d Folder) Put(_ context.Context, name string, write func(io.Writer) error) error {
	path := d.path(name)
	out, err := d.create(path)
	if err != nil {
		return fmt.Errorf("write to %s: %w", d, err)
	}
	buffered := bufio.NewWriterSize(out, 256<<10)
	err = errors.Join(write(buffered), buffered.Flush())
	if err == nil {
		err = out.Chmod(0o640)
	}
	if err == nil {
		err = out.Sync()
	}
	err = errors.Join(err, out.Close())
	if err == nil {
		err = os.Rename(out.Name(), path)
	}
	if err != nil {
		os.Remove(out.Name())
		return fmt.Errorf("write to %s: %w", d, err)
	}
	return syncFolder(filepath.Dir(path))
}

// create makes the temporary file for a path.
func (d Folder) create(path string) (*os.File, error) {
	for try := 0; ; try++ {
		if err := d.make(filepath.Dir(path)); err != nil {
			return nil, err
		}
		f, err := os.CreateTemp(filepath.Dir(path), filepath.Base(path)+".*"+temporary)
		if !errors.Is(err, fs.ErrNotExist) || try == 10 { // removed as empty meanwhile
			return f, err
		}
	}
}

// make makes a folder and those above it, each of them durable in the one above.
func (d Folder) make(dir string) error {
	if _, err := os.Stat(dir); err == nil || !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	above := filepath.Dir(dir)
	if err := d.make(above); err != nil {
		return err
	}
	if err := os.Mkdir(dir, 0o750); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	return syncFolder(above)
}

func syncFolder(dir string) error {
	f, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer f.Close()
	if err := f.Sync(); err != nil && !openModes {
		return fmt.Errorf("sync %s: %w", dir, err)
	}
	return nil
}

type local struct {
	*os.File
	size int64
}

func (f local) Size() int64 { return f.size }

// Open opens a file; the error is fs.ErrNotExist when it is not there.
func (d Folder) Open(_ context.Context, name string, _ bool) (Blob, error) {
	f, err := os.Open(d.path(name))
	if err != nil {
		return nil, err
	}
	info, err := f.Stat()
	if err != nil {
		f.Close()
		return nil, err
	}
	return local{f, info.Size()}, nil
}

// Remove removes files, and folders that are empty then.
func (d Folder) Remove(_ context.Context, names ...string) error {
	var failed error
	touched := map[string]bool{}
	for _, name := range names {
		if err := os.Remove(d.path(name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			failed = errors.Join(failed, err)
		}
		touched[filepath.Dir(d.path(name))] = true
	}
	for dir := range touched {
		if err := syncFolder(dir); !errors.Is(err, fs.ErrNotExist) {
			failed = errors.Join(failed, err)
		}
		for dir != d.path("") && os.Remove(dir) == nil { // fails where there is something in it
			dir = filepath.Dir(dir)
		}
	}
	if failed != nil {
		return fmt.Errorf("remove from %s: %w", d, failed)
	}
	return nil
}

// Load reads a small file, with a tag for what it holds. The tag is empty when it is not there.
func (d Folder) Load(_ context.Context, name string) ([]byte, string, error) {
	data, err := os.ReadFile(d.path(name))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, "", nil
	}
	if err != nil {
		return nil, "", fmt.Errorf("read from %s: %w", d, err)
	}
	return data, tagOf(data), nil
}

func tagOf(data []byte) string {
	sum := xxh3.Hash128(data).Bytes()
	return hex.EncodeToString(sum[:])
}

// Swap replaces a small file of that tag, empty: makes it, and returns the new tag; ok is false when the file has another.
func (d Folder) Swap(ctx context.Context, name string, data []byte, tag string) (string, bool, error) {
	// Between the look and the renaming another could come first: whoever must not lose to it holds a lock.
	_, now, err := d.Load(ctx, name)
	if err != nil || now != tag && now != tagOf(data) { // what is to be written may be there: this is tried again
		return "", false, err
	}
	err = d.Put(ctx, name, func(w io.Writer) error {
		_, err := w.Write(data)
		return err
	})
	return tagOf(data), err == nil, err
}

// Lock keeps other processes from locking the name until unlock or the end of the process; ok is false when another has locked it.
func (d Folder) Lock(name string) (unlock func(), ok bool, err error) {
	path := d.path(name)
	if err := d.make(filepath.Dir(path)); err != nil {
		return nil, false, fmt.Errorf("lock %s: %w", d, err)
	}
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o640)
	if err != nil {
		return nil, false, fmt.Errorf("lock %s: %w", d, err)
	}
	if err := flock(f); err != nil {
		f.Close()
		return nil, false, nil
	}
	return func() { f.Close() }, true, nil
}

// Tidy removes what crashes left half written more than a day ago.
func (d Folder) Tidy(ctx context.Context) error {
	return filepath.WalkDir(string(d), func(path string, e fs.DirEntry, err error) error {
		if err != nil || !strings.HasSuffix(path, temporary) {
			return ctx.Err()
		}
		if info, err := e.Info(); err == nil && time.Since(info.ModTime()) > stale {
			os.Remove(path)
		}
		return ctx.Err()
	})
}
