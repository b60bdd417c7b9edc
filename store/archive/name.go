package archive

import (
	"cmp"
	"errors"
	"fmt"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Folders of the archive.
const (
	observations = "observations"
	accounts     = "accounts"
	models       = "models"
	inner        = "_palladium" // what is no data: engines that read Parquet pass folders with such names by
)

// file is the name of a file of rows, which says all that is to be known before it is opened. It holds all rows of its log
// and folder from first to last, and nothing else: so of two files one of which covers the other, the other can go, and rows that
// two files share are told by their places. That holds whoever wrote them, and however often.
type file struct {
	folder      string // observations/date=…/hour=…, accounts or models
	log         string
	first, last uint64 // places of rows, both inclusive
	generation  int    // 0 as the Writer wrote it; each merge and each rewriting adds one
	kept        class
	size        int64 // bytes, of a listing
}

func (f *file) name() string {
	return fmt.Sprintf("%s/%s.%012d-%012d.%d.%s.parquet", f.folder, f.log, f.first, f.last, f.generation, f.kept)
}

// parseFile reads a name; ok is false when it is none of ours, which is left alone.
func parseFile(name string, size int64) (f file, ok bool) {
	f.folder, f.size = path.Dir(name), size
	parts := strings.Split(path.Base(name), ".")
	if len(parts) != 5 || parts[4] != "parquet" || !logName(parts[0]) {
		return f, false
	}
	f.log = parts[0]
	first, last, ok := strings.Cut(parts[1], "-")
	if !ok {
		return f, false
	}
	var err [3]error
	f.first, err[0] = strconv.ParseUint(first, 10, 64)
	f.last, err[1] = strconv.ParseUint(last, 10, 64)
	f.generation, err[2] = strconv.Atoi(parts[2])
	if cmp.Or(err[0], err[1], err[2]) != nil || f.first > f.last || f.generation < 0 {
		return f, false
	}
	f.kept, ok = parseClass(parts[3])
	return f, ok && f.name() == name
}

var errLog = errors.New("a log's name has 1 to 32 letters, digits and dashes, all small")

// logName reports whether a log may have that name.
func logName(s string) bool {
	if s == "" || len(s) > 32 {
		return false
	}
	for _, c := range []byte(s) {
		if (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '-' {
			return false
		}
	}
	return true
}

const hourMS = int64(time.Hour / time.Millisecond)

// hourOf returns the hour of a Unix time in ms, as hours since 1970. Years that a date cannot name go to the nearest that it can.
func hourOf(ms int64) int64 {
	const oldest, newest = -62135596800 / 3600, 253402300799 / 3600 // years 1 and 9999
	h := ms / hourMS
	if ms%hourMS < 0 {
		h--
	}
	return min(max(h, oldest), newest)
}

// hourFolder is where an hour's observations lie.
func hourFolder(hour int64) string {
	t := time.Unix(hour*3600, 0).UTC()
	return observations + t.Format("/date=2006-01-02/hour=15")
}

func dayFolder(t time.Time) string { return observations + t.UTC().Format("/date=2006-01-02") }

// parseHour reads an hour's folder.
func parseHour(folder string) (hour int64, ok bool) {
	t, err := time.Parse(observations+"/date=2006-01-02/hour=15", folder)
	if err != nil {
		return 0, false
	}
	return hourOf(t.UnixMilli()), true
}

// part is a file of which the rows after a place count: those up to it are another's.
type part struct {
	file
	after uint64
}

// cover orders the files of one folder and log by their places and picks those that hold each row once. What is left over holds
// nothing of its own.
func cover(files []file) (parts []part, over []file) {
	slices.SortFunc(files, func(a, b file) int {
		return cmp.Or(cmp.Compare(a.first, b.first), cmp.Compare(b.last, a.last), cmp.Compare(b.generation, a.generation))
	})
	var after uint64
	for _, f := range files {
		if f.last <= after {
			over = append(over, f)
			continue
		}
		p := part{file: f}
		if f.first <= after {
			p.after = after
		}
		parts = append(parts, p)
		after = f.last
	}
	return parts, over
}

// shelf is the files of one folder and log.
type shelf struct {
	folder, log string
	files       []file
}

// shelves sorts files by folder and log.
func shelves(files []file) []shelf {
	slices.SortFunc(files, func(a, b file) int { return cmp.Or(cmp.Compare(a.folder, b.folder), cmp.Compare(a.log, b.log)) })
	var out []shelf
	for i, f := range files {
		if i == 0 || f.folder != files[i-1].folder || f.log != files[i-1].log {
			out = append(out, shelf{folder: f.folder, log: f.log})
		}
		s := &out[len(out)-1]
		s.files = append(s.files, f)
	}
	return out
}
