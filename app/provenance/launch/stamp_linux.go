package launch

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"syscall"
	"time"
)

// stamp says all that shows a change of a file.
func stamp(info fs.FileInfo) string {
	s, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return fmt.Sprint(info.Mode(), info.Size(), info.ModTime().UnixNano())
	}
	return fmt.Sprint(s.Dev, s.Ino, s.Mode, s.Uid, s.Gid, s.Size, s.Mtim, s.Ctim)
}

// writeBack writes what is in memory of a file to its disk, and returns when the file was changed last.
func writeBack(path string) (changed time.Time, err error) {
	info, err := os.Lstat(path)
	if err != nil {
		return changed, err
	}
	if s, ok := info.Sys().(*syscall.Stat_t); ok {
		changed = time.Unix(s.Ctim.Unix())
	}
	if !info.Mode().IsRegular() {
		return changed, nil
	}
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0) // were it a pipe by now, there would be no end of waiting
	if errors.Is(err, fs.ErrPermission) || errors.Is(err, fs.ErrNotExist) {
		return changed, nil // verification says what that means
	}
	if err != nil {
		return changed, err
	}
	defer f.Close()
	// Where nothing can be written back, nothing has to be.
	if err = f.Sync(); errors.Is(err, errors.ErrUnsupported) || errors.Is(err, syscall.EINVAL) || errors.Is(err, syscall.EROFS) {
		err = nil
	}
	return changed, err
}
