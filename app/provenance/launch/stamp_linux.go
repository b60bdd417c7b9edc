package launch

import (
	"fmt"
	"io/fs"
	"syscall"
)

// stamp says all that shows a change of a file.
func stamp(info fs.FileInfo) string {
	s, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return fmt.Sprint(info.Mode(), info.Size(), info.ModTime().UnixNano())
	}
	return fmt.Sprint(s.Dev, s.Ino, s.Mode, s.Uid, s.Gid, s.Size, s.Mtim, s.Ctim)
}
