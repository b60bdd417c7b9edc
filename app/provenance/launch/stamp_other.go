//go:build !linux

package launch

import (
	"fmt"
	"io/fs"
	"os"
	"time"
)

// stamp says what shows a change of a file here: a writer who sets times back is not seen, use a copy.
func stamp(info fs.FileInfo) string {
	return fmt.Sprint(info.Mode(), info.Size(), info.ModTime().UnixNano())
}

// writeBack returns when a file was changed last.
func writeBack(path string) (changed time.Time, err error) {
	info, err := os.Lstat(path)
	if err != nil {
		return changed, err
	}
	return info.ModTime(), nil
}
