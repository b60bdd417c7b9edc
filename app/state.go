package app

import (
	"cmp"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/palladium-guard/palladium"
	"github.com/palladium-guard/palladium/store"
	"github.com/palladium-guard/palladium/traffic/measure"
	"github.com/palladium-guard/palladium/traffic/tap/file"
)

// ErrState is wrapped by errors about a state directory: in use, damaged, or made for something else.
var ErrState = errors.New("state cannot be used")

// Names in a state directory.
const (
	keyName   = "key"   // 32 random bytes behind all hashes: with it and the state, guesses at what accounts share can be tested
	stateName = "state" // the newest snapshot
	tempName  = "state.tmp"
	lockName  = "lock"
)

// Kept says what a snapshot holds.
type Kept struct {
	Exchanges int64
	Upto      time.Time // newest exchange time; zero when there is no exchange
	Bytes     int64     // of the file
	Took      time.Duration
}

// ledger is the part of a snapshot that is neither accounts nor groups.
type ledger struct {
	Without   []string        `json:"without"` // evidence families that are switched off
	KeyCheck  uint64          `json:"key_check"`
	Clock                     // of the detector
	Since     int64           `json:"since"` // Unix ms before which exchanges are left out; 0 for none
	Rejected  int64           `json:"rejected"`
	Exchanges int64           `json:"exchanges"`
	Positions []file.Position `json:"positions"`
}

// folder is a state directory. The scan that writes to it holds its lock.
type folder struct {
	dir    string
	key    [32]byte
	lock   *os.File
	create func(path string) (sink, error) // makes the temporary file; tests put failing ones here
	past   []file.Position                 // files taken in by earlier runs
}

// sink is what a snapshot is written to.
type sink interface {
	io.Writer
	Sync() error
	Close() error
}

// openFolder makes the directory when it is not there, locks it, and reads or makes its key.
func openFolder(dir string) (*folder, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("make the state directory: %w", err)
	}
	lock, err := os.OpenFile(filepath.Join(dir, lockName), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open the state directory: %w", err)
	}
	if err := flock(lock); err != nil {
		lock.Close()
		return nil, fmt.Errorf("lock %s: %w: another scan is using it: wait until it ends, or name another directory", dir, ErrState)
	}
	f := &folder{dir: dir, lock: lock, create: func(path string) (sink, error) {
		return os.OpenFile(path, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	}}
	err = f.readKey()
	if errors.Is(err, fs.ErrNotExist) {
		err = f.makeKey()
	}
	if err != nil {
		f.close()
		return nil, err
	}
	return f, nil
}

// close gives up the lock.
func (f *folder) close() {
	if f != nil && f.lock != nil {
		f.lock.Close()
	}
}

func (f *folder) path(name string) string { return filepath.Join(f.dir, name) }

func (f *folder) readKey() error {
	path := f.path(keyName)
	info, err := os.Stat(path)
	if err != nil {
		return fmt.Errorf("read the key: %w", err)
	}
	if info.Mode().Perm()&0o077 != 0 && !openModes {
		return fmt.Errorf("read the key: %w: %s can be read by others: run chmod 600 on it", ErrState, path)
	}
	key, err := os.ReadFile(path)
	if err != nil {
		return fmt.Errorf("read the key: %w", err)
	}
	if len(key) != len(f.key) {
		return fmt.Errorf("read the key: %w: %s has %d bytes, not %d: restore it from a copy", ErrState, path, len(key), len(f.key))
	}
	f.key = [32]byte(key)
	return nil
}

// makeKey makes the key of a new state. A state without its key is not started anew.
func (f *folder) makeKey() error {
	if _, err := os.Stat(f.path(stateName)); err == nil {
		return fmt.Errorf("read the key: %w: %s is missing: restore it from a copy, or move %s away to start anew",
			ErrState, f.path(keyName), f.path(stateName))
	}
	_, _ = rand.Read(f.key[:]) // never fails
	err := f.replace(keyName, keyName+".tmp", func(w io.Writer) error {
		_, err := w.Write(f.key[:])
		return err
	})
	if err != nil {
		return fmt.Errorf("make the key: %w", err)
	}
	return nil
}

// replace writes a file under the temporary name and puts it in the place of name, all on disk when it returns. What
// was there stays when anything fails.
func (f *folder) replace(name, temp string, write func(io.Writer) error) error {
	out, err := f.create(f.path(temp))
	if err != nil {
		return err
	}
	err = write(out)
	if err == nil {
		err = out.Sync()
	}
	if e := out.Close(); err == nil {
		err = e
	}
	if err == nil {
		err = os.Rename(f.path(temp), f.path(name))
	}
	if err != nil {
		os.Remove(f.path(temp))
		return err
	}
	return store.SyncDir(f.dir)
}

// save writes a snapshot of the scan, which has taken in the files up to the given positions.
func (f *folder) save(s *scan, at []file.Position) (Kept, error) {
	begun := time.Now()
	l := ledger{
		Without: families(s.opt.Without), KeyCheck: keyCheck(f.key), Clock: s.det.clock, Since: unixMilli(s.opt.Since),
		Rejected: s.rejected, Exchanges: int64(s.det.index.Exchanges()), Positions: f.positions(at),
	}
	k := Kept{Exchanges: l.Exchanges}
	if l.Exchanges > 0 {
		_, last := s.det.index.Window()
		k.Upto = time.UnixMilli(last).UTC()
	}
	err := f.replace(stateName, tempName, func(w io.Writer) error {
		c := &counting{w: w}
		err := WriteSnapshot(c, s.det, s.seen, &l)
		k.Bytes = c.n
		return err
	})
	if err != nil {
		return k, fmt.Errorf("keep the state in %s: %w: what was kept before is still there: make room, then run again", f.dir, err)
	}
	k.Took = time.Since(begun)
	return k, nil
}

// positions joins those of this run with those of earlier ones.
func (f *folder) positions(at []file.Position) []file.Position { return Positions(f.past, at) }

// Positions joins the positions of a reading, at, with those that it resumed at, past.
func Positions(past, at []file.Position) []file.Position {
	out := make([]file.Position, 0, len(past)+len(at))
	continued := make([]bool, len(past)+1)
	for _, p := range at {
		continued[p.Continues] = true
		if p.Identity.Prefix > 0 && p.Bytes > 0 {
			out = append(out, p)
		}
	}
	for i, p := range past {
		if !continued[i+1] {
			out = append(out, p)
		}
	}
	return out
}

// unixMilli is 0 for the zero time.
func unixMilli(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMilli()
}

// load reads the snapshot into the scan. It reports false when there is none yet.
func (f *folder) load(s *scan) (bool, error) {
	path := f.path(stateName)
	in, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("read the state: %w", err)
	}
	defer in.Close()
	l := new(ledger)
	_, s.seen, err = ReadSnapshot(in, l, func() (*Detector, error) { return s.det, cmp.Or(f.suits(s, l), f.begins(s, l)) })
	if err != nil {
		return false, fmt.Errorf("read %s: %w", path, err)
	}
	s.det.clock, s.rejected, f.past = l.Clock, l.Rejected, l.Positions
	if l.Since != 0 {
		s.opt.Since = time.UnixMilli(l.Since)
	}
	return true, nil
}

// suits refuses a state that was made with another key or with other families.
func (f *folder) suits(s *scan, l *ledger) error {
	if l.KeyCheck != keyCheck(f.key) {
		return fmt.Errorf("%w: it was made with another key than %s: restore the two together", ErrState, f.path(keyName))
	}
	if have := families(s.opt.Without); !slices.Equal(have, l.Without) {
		return fmt.Errorf("%w: it was made %s, this run is %s: use the same families, or another directory",
			ErrState, list(l.Without), list(have))
	}
	return nil
}

// begins refuses to leave out what another scan of the state would have taken in: its files are not read again.
func (f *folder) begins(s *scan, l *ledger) error {
	if s.opt.Since.IsZero() || s.opt.Since.UnixMilli() == l.Since {
		return nil
	}
	was := "without --since"
	if l.Since != 0 {
		was = "with --since " + time.UnixMilli(l.Since).UTC().Format(time.RFC3339)
	}
	return fmt.Errorf("%w: it was begun %s, and what another --since leaves out would be lost to it: leave --since out, or use another directory",
		ErrState, was)
}

func list(names []string) string {
	if len(names) == 0 {
		return "with all families"
	}
	out := "--without "
	for i, n := range names {
		if i > 0 {
			out += ","
		}
		out += n
	}
	return out
}

// families returns the names of those switched off, in the order of palladium.Families.
func families(without map[palladium.Family]bool) []string {
	out := []string{}
	for _, f := range palladium.Families() {
		if without[f] {
			out = append(out, string(f))
		}
	}
	return out
}

// keyCheck tells keys apart without telling anything of them.
func keyCheck(key [32]byte) uint64 {
	return measure.New(key, nil).Hash('k', "palladium state")
}

type counting struct {
	w io.Writer
	n int64
}

func (c *counting) Write(p []byte) (int, error) {
	n, err := c.w.Write(p)
	c.n += int64(n)
	return n, err
}
