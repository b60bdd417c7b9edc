// Package outside checks parts of the detector on data that no world of ours has made: real groups of Sybil accounts,
// logs with known templates, prompts made from known templates. Nothing here is tuned on what is reported; where a
// threshold has to be chosen, it is chosen on one half of the labels and reported on the other.
//
// The data is not part of the product. Each function takes the data folder (its MANIFEST.md names the files) as an
// fs.FS and returns the figures.
package outside

import (
	"bufio"
	"compress/gzip"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
)

// table calls row for every record of a gzip-compressed CSV file with a header, with the columns asked for, in the
// order asked for. The slice is reused; the strings are not.
func table(fsys fs.FS, name string, columns []string, row func(cells []string) error) error {
	return unzip(fsys, name, func(r io.Reader) error {
		c := csv.NewReader(r)
		c.ReuseRecord = true
		head, err := c.Read()
		if err != nil {
			return fmt.Errorf("read the header: %w", err)
		}
		at := make([]int, len(columns))
		for i, want := range columns {
			at[i] = -1
			for j, have := range head {
				if have == want {
					at[i] = j
				}
			}
			if at[i] < 0 {
				return fmt.Errorf("find column %q: the header has none", want)
			}
		}
		cells := make([]string, len(columns))
		for {
			record, err := c.Read()
			if errors.Is(err, io.EOF) {
				return nil
			}
			if err != nil {
				return fmt.Errorf("read a record: %w", err)
			}
			for i, j := range at {
				cells[i] = record[j]
			}
			if err := row(cells); err != nil {
				return err
			}
		}
	})
}

// lines calls row for every line of a gzip-compressed JSON Lines file.
func lines[T any](fsys fs.FS, name string, row func(*T)) error {
	return unzip(fsys, name, func(r io.Reader) error {
		d := json.NewDecoder(bufio.NewReaderSize(r, 1<<16))
		for {
			var v T
			if err := d.Decode(&v); errors.Is(err, io.EOF) {
				return nil
			} else if err != nil {
				return fmt.Errorf("decode a line: %w", err)
			}
			row(&v)
		}
	})
}

func unzip(fsys fs.FS, name string, read func(io.Reader) error) error {
	f, err := fsys.Open(name)
	if err != nil {
		return fmt.Errorf("open outside data, is this the data folder? %w", err)
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		return fmt.Errorf("decompress %s: %w", name, err)
	}
	if err := read(z); err != nil {
		return fmt.Errorf("read %s: %w", name, err)
	}
	return nil
}
