//go:build !linux

package launch

import (
	"fmt"
	"io/fs"
)

// stamp says what shows a change of a file here: a writer who sets times back is not seen, use a copy.
func stamp(info fs.FileInfo) string {
	return fmt.Sprint(info.Mode(), info.Size(), info.ModTime().UnixNano())
}
