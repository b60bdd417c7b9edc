package pedigree

import (
	"io"
	"io/fs"

	"github.com/palladium-guard/palladium/weights/lineage"
)

// countRows sets rows and format of a file whose format is known.
func countRows(fsys fs.FS, name string, file *lineage.File) error {
	f, err := fsys.Open(name)
	if err != nil {
		return err
	}
	defer f.Close()
	at, ok := f.(io.ReaderAt)
	if !ok {
		return nil
	}
	file.Rows, file.Format, err = lineage.Rows(at, file.Size, file.Path)
	return err
}
