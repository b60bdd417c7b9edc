// Package backup keeps the rows of a store in one file that either form of database can restore.
//
// The file is a zstd stream of JSON lines. The first line is the Header. Then follows, for each table in the order in which the
// schema makes them, a line with its name and columns, and a line with an array for each row. The last line counts the rows
// and holds the SHA-256 of all bytes before it. Texts are JSON strings, whole numbers and truth values (0 or 1) integers, other
// numbers the shortest decimals that read back as the same, bytes base64, what is not there null.
package backup

import (
	"errors"
	"time"

	"github.com/palladium-guard/palladium/store"
)

// The errors that callers tell apart with errors.Is.
var (
	ErrDamaged = errors.New("the backup is damaged or incomplete: take another one")
	ErrForeign = errors.New("this is no backup of Palladium")
	ErrNewer   = errors.New("the backup was made by a newer Palladium: restore it with that version")
	ErrHolds   = errors.New("the database holds something already")
)

const (
	format = "palladium backup"
	// Version is that of the form of the file, which the schema's version is independent of.
	Version = 1
	// maxLine bounds a row, in bytes as it is written.
	maxLine = 1 << 30
	// maxWindow bounds what unpacking needs, in bytes.
	maxWindow = 64 << 20
)

// Header is how a file begins.
type Header struct {
	Format  string    `json:"format"`
	Version int       `json:"version"`
	Store   string    `json:"store"`  // name of the schema
	Schema  int       `json:"schema"` // its version
	From    string    `json:"from"`   // form of the database: sqlite, postgres
	Made    time.Time `json:"made"`
	By      string    `json:"by"` // version of the program
}

// Summary is what a whole file holds.
type Summary struct {
	Header
	Tables int
	Rows   int64
	SHA256 string // hexadecimal, of the unpacked lines before the last
}

// column is one column of a table in the file.
type column struct {
	Name string     `json:"name"`
	Cell store.Cell `json:"cell"` // never truth: the file has whole numbers for it
}

// opening is the line before the rows of a table.
type opening struct {
	Table   string   `json:"table"`
	Columns []column `json:"columns"`
}

// closing is the last line.
type closing struct {
	End    bool             `json:"end"`
	Rows   map[string]int64 `json:"rows"` // by table
	SHA256 string           `json:"sha256"`
}

// columns gives what the file says of a table's shape.
func columns(shape []store.Shape) []column {
	out := make([]column, len(shape))
	for i, s := range shape {
		out[i] = column{s.Name, s.Cell}
		if s.Cell == store.CellTruth {
			out[i].Cell = store.CellWhole
		}
	}
	return out
}
