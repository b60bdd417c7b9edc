// Package archive keeps observations, descriptions of accounts and names of models as Parquet files, in a folder or in an
// S3-compatible store, where they can be hunted in with any engine that reads Parquet, and read again as the detector saw them.
//
//	observations/date=2026-05-04/hour=13/stream.000000000001-000000004711.0.all.parquet
//	accounts/stream.….parquet   models/stream.….parquet
//	_palladium/archive.json     which measuring key the hashes are of
//	_palladium/stream.json      up to where the log is written, and the position in its source that this came from
//
// A log is one sequence of rows, each with its place; a Writer writes one. It holds rows back until it has a handful of files, writes
// these, and then replaces the log's position: files beyond the position do not count and are removed when writing goes on. A place
// in the source is given to the same row however often it is read, so that nothing is lost and nothing doubled, whenever a process
// dies. Files are merged, and rewritten without the columns whose time is over; see file for what keeps that safe.
package archive

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"strings"
	"time"

	"github.com/palladium-guard/palladium"
	"github.com/palladium-guard/palladium/internal/table"
)

// What is wrong with an archive.
var (
	ErrInUse  = errors.New("another process writes it")
	ErrTaken  = errors.New("another process has gone on writing the log: this one stops")
	ErrKey    = errors.New("the archive's hashes are of another measuring key: name that key, or another archive")
	ErrFormat = errors.New("the archive was written by a newer version: use that one")
)

// Place is where an archive's files lie. Names are slash-separated and relative.
type Place interface {
	// List gives the files below a folder with their sizes. A folder that is not there is empty.
	List(ctx context.Context, folder string) (map[string]int64, error)
	// Put makes a file of what write writes: whole and durable when it returns. When it fails, it may have been done all the same.
	Put(ctx context.Context, name string, write func(io.Writer) error) error
	// Open opens a file; whole says that most of it will be read. The error is fs.ErrNotExist when it is not there.
	Open(ctx context.Context, name string, whole bool) (interface {
		io.ReaderAt
		io.Closer
		Size() int64
	}, error)
	// Remove removes files. One that is not there is no error.
	Remove(ctx context.Context, names ...string) error
	// Load reads a small file, with a tag for what it holds. The tag is empty when it is not there.
	Load(ctx context.Context, name string) (data []byte, tag string, err error)
	// Swap replaces a small file of that tag, empty: makes it, and returns the new tag; ok is false when the file has another.
	Swap(ctx context.Context, name string, data []byte, tag string) (now string, ok bool, err error)
	// Lock keeps other processes from locking the name, where the place can; ok is false when another has locked it.
	Lock(name string) (unlock func(), ok bool, err error)
	// Tidy removes what crashes left half written long ago.
	Tidy(ctx context.Context) error
	String() string // where it is, for people
}

// Archive is an open archive. It is safe for concurrent use.
type Archive struct {
	config Config
	place  Place
	log    *slog.Logger
}

// Open opens the archive at a place. The first that is written makes it. log may be nil.
func Open(c Config, at Place, log *slog.Logger) (*Archive, error) {
	c.Fill()
	if err := c.Check(); err != nil {
		return nil, err
	}
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	return &Archive{config: c, place: at, log: log}, nil
}

// String says where the archive is.
func (a *Archive) String() string { return a.place.String() }

// identity is the archive's own file.
type identity struct {
	Format  int       `json:"format"`
	Key     string    `json:"key_check"` // tells measuring keys apart, and nothing of them
	Created time.Time `json:"created"`
}

const identityName = inner + "/archive.json"

// Bind holds the archive to one measuring key, of which check is a number that tells keys apart without telling anything of them. What
// was written under another is ErrKey: hashes of the two could not be compared. With write, an archive that is bound to none yet is
// bound to this one; without, it is ErrKey too when it holds nothing.
func (a *Archive) Bind(ctx context.Context, check uint64, write bool) error {
	id, ok, err := a.identity(ctx)
	want := fmt.Sprintf("%016x", check)
	switch {
	case err != nil:
		return err
	case ok && id.Key != want:
		return fmt.Errorf("open the archive in %s: %w", a.place, ErrKey)
	case ok:
		return nil
	case !write:
		return a.none()
	}
	data, err := json.Marshal(identity{Format: 1, Key: want, Created: time.Now().UTC().Truncate(time.Second)})
	if err != nil {
		return err
	}
	if _, ok, err = a.place.Swap(ctx, identityName, data, ""); err == nil && !ok {
		return a.Bind(ctx, check, false) // another was first
	}
	return err
}

func (a *Archive) none() error {
	return fmt.Errorf("open the archive in %s: there is none: check its name", a.place)
}

// Known is an error where there is no archive: for those who would otherwise take a wrong name for an archive that holds nothing.
func (a *Archive) Known(ctx context.Context) error {
	_, ok, err := a.identity(ctx)
	if err == nil && !ok {
		err = a.none()
	}
	return err
}

func (a *Archive) identity(ctx context.Context) (id identity, ok bool, err error) {
	data, tag, err := a.place.Load(ctx, identityName)
	if err != nil || tag == "" {
		return id, false, err
	}
	if err := json.Unmarshal(data, &id); err != nil {
		return id, false, fmt.Errorf("read %s in %s: %w: restore it from a copy", identityName, a.place, err)
	}
	if id.Format > 1 {
		return id, false, fmt.Errorf("open the archive in %s: %w", a.place, ErrFormat)
	}
	return id, true, nil
}

// head is what is known of a log: all up to it is written.
type head struct {
	Format   int       `json:"format"`
	Log      string    `json:"log"`
	Place    uint64    `json:"place"`    // of the last row
	Position uint64    `json:"position"` // in what the log is written from
	Newest   int64     `json:"newest"`   // Unix ms of the newest exchange; 0 before the first
	Files    int       `json:"files"`    // written for this position
	State    string    `json:"state,omitempty"`
	Writer   string    `json:"writer"` // random, of the Writer
	At       time.Time `json:"at"`     // by the writer's clock
}

func headName(log string) string { return inner + "/log-" + log + ".json" }

func (a *Archive) head(ctx context.Context, log string) (h head, tag string, err error) {
	data, tag, err := a.place.Load(ctx, headName(log))
	if err != nil || tag == "" {
		return h, "", err
	}
	if err := json.Unmarshal(data, &h); err != nil || h.Log != log {
		return h, "", fmt.Errorf("read %s in %s: it is damaged: restore it from a copy", headName(log), a.place)
	}
	if h.Format > 1 {
		return h, "", fmt.Errorf("open the archive in %s: %w", a.place, ErrFormat)
	}
	return h, tag, nil
}

// heads reads those of all logs.
func (a *Archive) heads(ctx context.Context) (map[string]head, error) {
	objects, err := a.place.List(ctx, inner)
	if err != nil {
		return nil, err
	}
	out := map[string]head{}
	for path := range objects {
		name, ok := strings.CutPrefix(path, inner+"/log-")
		if name, is := strings.CutSuffix(name, ".json"); ok && is && logName(name) {
			h, tag, err := a.head(ctx, name)
			if err != nil {
				return nil, err
			}
			if tag != "" {
				out[name] = h
			}
		}
	}
	return out, nil
}

// turnName is a file that changes before files are removed, so that who lists meanwhile knows to list again: they may have passed by
// both what was merged and what it was merged into.
const turnName = inner + "/turn"

// files lists what counts of the folders: files of rows up to the heads of their logs.
func (a *Archive) files(ctx context.Context, folders ...string) ([]file, error) {
	_, turn, err := a.place.Load(ctx, turnName)
	if err != nil {
		return nil, err
	}
	for {
		all, err := a.list(ctx, folders)
		if err != nil {
			return nil, err
		}
		_, now, err := a.place.Load(ctx, turnName)
		if err != nil {
			return nil, err
		}
		if now == turn {
			return all, nil
		}
		turn = now
	}
}

func (a *Archive) list(ctx context.Context, folders []string) ([]file, error) {
	var all []file
	for _, f := range folders {
		objects, err := a.place.List(ctx, f)
		if err != nil {
			return nil, err
		}
		for name, size := range objects {
			if f, ok := parseFile(name, size); ok {
				all = append(all, f)
			}
		}
	}
	heads, err := a.heads(ctx)
	if err != nil {
		return nil, err
	}
	return slices.DeleteFunc(all, func(f file) bool { return f.last > heads[f.log].Place }), nil
}

// discard removes files that others hold all of.
func (a *Archive) discard(ctx context.Context, files []file) error {
	if len(files) == 0 {
		return nil
	}
	err := a.place.Put(ctx, turnName, func(w io.Writer) error {
		_, err := io.WriteString(w, rand.Text())
		return err
	})
	if err != nil {
		return err
	}
	names := make([]string, len(files))
	for i := range files {
		names[i] = files[i].name()
	}
	return a.place.Remove(ctx, names...)
}

// days names the folders that hold the hours from, inclusive, to to, exclusive; all where there would be many.
func days(from, to time.Time) []string {
	if from.IsZero() || to.IsZero() || to.Sub(from) > 60*day {
		return []string{observations}
	}
	var out []string
	for t := from.UTC().Truncate(day); t.Before(to); t = t.Add(day) {
		out = append(out, dayFolder(t))
	}
	return out
}

// hours keeps of the files of observations those whose hour has a part of from <= time < to.
func hours(files []file, from, to time.Time) []file {
	return slices.DeleteFunc(files, func(f file) bool {
		h, ok := parseHour(f.folder)
		return !ok || !from.IsZero() && h < hourOf(from.UnixMilli()) || !to.IsZero() && h > hourOf(to.UnixMilli()-1)
	})
}

// Files names the files of observations that count, of the hours that have a part of from <= time < to, in order; zero times are no
// limits. Who reads these in place of all that a pattern finds sees nothing twice while files are merged.
func (a *Archive) Files(ctx context.Context, from, to time.Time) ([]string, error) {
	files, err := a.files(ctx, days(from, to)...)
	if err != nil {
		return nil, err
	}
	var out []string
	for _, s := range shelves(hours(files, from, to)) {
		parts, _ := cover(s.files)
		for _, p := range parts {
			out = append(out, p.name())
		}
	}
	return out, nil
}

// Log is the standing of one log.
type Log struct {
	Name     string    `json:"name"`
	Rows     uint64    `json:"rows"`     // observations and descriptions of accounts written, those removed since included
	Position uint64    `json:"position"` // in the source
	Newest   time.Time `json:"newest"`   // exchange; zero before the first
	Written  time.Time `json:"written"`  // when, by the writer's clock
}

// Status is what an archive holds, from its files' names alone.
type Status struct {
	Where    string         `json:"where"`
	Logs     []Log          `json:"logs"`
	Files    int            `json:"files"` // of observations
	Bytes    int64          `json:"bytes"`
	First    time.Time      `json:"first"`         // hour, UTC; zero when there is none
	Last     time.Time      `json:"last"`          // hour
	Hours    int            `json:"hours"`         // that hold something
	Loose    int            `json:"loose"`         // files that could be merged with others of their hour
	Kept     map[string]int `json:"kept"`          // files by what they still hold: all, fingerprints, connection, counts
	Accounts int64          `json:"account_bytes"` // of descriptions of accounts
}

// Status looks at what there is.
func (a *Archive) Status(ctx context.Context) (*Status, error) {
	s := &Status{Where: a.place.String(), Logs: []Log{}, Kept: map[string]int{}}
	heads, err := a.heads(ctx)
	if err != nil {
		return nil, err
	}
	for name, h := range heads {
		l := Log{Name: name, Rows: h.Place, Position: h.Position, Written: h.At}
		if h.Newest != 0 {
			l.Newest = time.UnixMilli(h.Newest).UTC()
		}
		s.Logs = append(s.Logs, l)
	}
	slices.SortFunc(s.Logs, func(a, b Log) int { return strings.Compare(a.Name, b.Name) })
	files, err := a.files(ctx, observations, accounts)
	if err != nil {
		return nil, err
	}
	seen := map[int64]bool{}
	for _, sh := range shelves(files) {
		hour, ok := parseHour(sh.folder)
		for _, f := range sh.files {
			if sh.folder == accounts {
				s.Accounts += f.size
				continue
			}
			s.Files++
			s.Bytes += f.size
			s.Kept[f.kept.String()]++
		}
		if !ok {
			continue
		}
		s.Loose += len(sh.files) - 1
		seen[hour] = true
		if at := time.Unix(hour*3600, 0).UTC(); s.First.IsZero() || at.Before(s.First) {
			s.First = at
		}
		if at := time.Unix(hour*3600, 0).UTC(); at.After(s.Last) {
			s.Last = at
		}
	}
	s.Hours = len(seen)
	return s, nil
}

// mark is of the archive's files.
func mark() table.Mark { return table.Mark{Key: "palladium.format", Version: "1"} }

// Handler takes in what Read gives. What it keeps of an argument it copies.
type Handler interface {
	Describe(*palladium.Account)
	NameModel(hash uint64, name string)
	Observe(*palladium.Observation)
}
