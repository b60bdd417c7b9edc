// Package lines is a file of text lines that several processes read and append to: a line is there whole or not at all,
// survives a crash once Update has returned, and readers follow from where they stopped. It knows nothing of what the
// lines say.
package lines

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"sync"
	"time"

	"github.com/palladium-guard/palladium/store"
)

// Why a file is not read or written.
var (
	ErrOpenToOthers = errors.New("others than the owner may write to it: chmod go-w")
	ErrLocked       = errors.New("another process holds its lock: try again")
	ErrLong         = fmt.Errorf("a line is longer than %d bytes", MaxLine)
)

// MaxLine is the most bytes that a line may have, its end not counted.
const MaxLine = 1 << 20

// lockWait is how long a writer waits for another one.
const lockWait = 5 * time.Second

// Sink takes what a reader finds. Its methods are called in order and never at the same time.
type Sink interface {
	// Reset says that the file starts anew: what was taken before no longer holds unless it comes again.
	Reset()
	// Line takes line n, counted from 1. The bytes are valid until it returns. An error ends the reading, and the next
	// one starts from the top.
	Line(n int, text []byte) error
}

// File is one such file and one reader's place in it. It is safe for concurrent use.
type File struct {
	path string
	mu   sync.Mutex
	seen os.FileInfo // the file that was read; nil at first
	at   int64       // where the next line starts
	n    int         // lines read
}

// New returns the file of that path, of which nothing is read yet and which need not exist.
func New(path string) *File { return &File{path: path} }

// Path returns the file's path.
func (f *File) Path() string { return f.path }

// Read gives s every whole line that was added since the last Read or Update, and starts from the top where the file was
// replaced or a line was refused. A line without an end is left for later. A file that does not exist is an error that
// wraps fs.ErrNotExist.
func (f *File) Read(s Sink) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.read(s)
}

func (f *File) read(s Sink) error {
	in, err := os.Open(f.path)
	if err != nil {
		return err
	}
	defer in.Close()
	info, err := in.Stat()
	if err != nil {
		return err
	}
	if err := safe(info); err != nil {
		return fmt.Errorf("read %s: %w", f.path, err)
	}
	if f.seen == nil || !os.SameFile(f.seen, info) || info.Size() < f.at {
		s.Reset()
		f.at, f.n = 0, 0
	}
	f.seen = info
	if _, err := in.Seek(f.at, io.SeekStart); err != nil {
		return err
	}
	if err := f.follow(bufio.NewReaderSize(in, 64<<10), s); err != nil {
		f.seen = nil
		return fmt.Errorf("read %s: %w", f.path, err)
	}
	return nil
}

// follow reads whole lines to the end.
func (f *File) follow(in *bufio.Reader, s Sink) error {
	var long []byte
	for {
		part, err := in.ReadSlice('\n')
		if errors.Is(err, bufio.ErrBufferFull) {
			if long = append(long, part...); len(long) > MaxLine {
				return fmt.Errorf("line %d: %w", f.n+1, ErrLong)
			}
			continue
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if len(long) > 0 {
			part = append(long, part...)
			long = long[:0]
		}
		f.at += int64(len(part))
		f.n++
		text := bytes.TrimSuffix(part[:len(part)-1], []byte("\r"))
		if len(text) == 0 {
			continue
		}
		if err := s.Line(f.n, text); err != nil {
			return fmt.Errorf("line %d: %w", f.n, err)
		}
	}
}

// safe refuses a file that others may write to.
func safe(info os.FileInfo) error {
	if !openModes && info.Mode().Perm()&0o022 != 0 {
		return ErrOpenToOthers
	}
	return nil
}

// Change is what an Update writes.
type Change struct {
	Lines [][]byte // without their ends
	Whole bool     // Lines take the place of all that is there
}

// Update reads what is new into s, asks change what to write, and writes it, while no other process can. When it returns
// nil, s has taken the new lines too and they are on disk; otherwise the file is as it was, unless the disk itself failed.
// The file is made, readable by its owner only, when it is not there.
func (f *File) Update(s Sink, change func() (Change, error)) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	unlock, err := f.lock()
	if err != nil {
		return err
	}
	defer unlock()
	err = f.read(s)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	missing := err != nil
	if missing {
		s.Reset()
	}
	c, err := change()
	if err != nil || len(c.Lines) == 0 && !c.Whole {
		return err
	}
	var out bytes.Buffer
	for _, l := range c.Lines {
		if len(l) > MaxLine || bytes.IndexByte(l, '\n') >= 0 {
			return fmt.Errorf("write %s: %w, or has a line end inside", f.path, ErrLong)
		}
		out.Write(l)
		out.WriteByte('\n')
	}
	if c.Whole || missing {
		err = f.replace(out.Bytes())
	} else {
		err = f.append(out.Bytes())
	}
	if err != nil {
		return fmt.Errorf("write %s: %w", f.path, err)
	}
	return f.read(s)
}

// append writes at the end of the last whole line. What a crash left after it is cut off.
func (f *File) append(data []byte) (err error) {
	out, err := os.OpenFile(f.path, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, out.Close()) }()
	if err := out.Truncate(f.at); err != nil {
		return err
	}
	if _, err := out.WriteAt(data, f.at); err != nil {
		return errors.Join(err, out.Truncate(f.at))
	}
	return out.Sync()
}

// replace puts a new file in place of the old one.
func (f *File) replace(data []byte) error {
	mode := os.FileMode(0o600)
	if info, err := os.Stat(f.path); err == nil {
		mode = info.Mode().Perm()
	}
	return store.ReplaceBytes(f.path, mode, data)
}

// lock takes the lock beside the file, which outlives every replacement of it. The system gives it back when the process
// ends in whatever way.
func (f *File) lock() (unlock func(), err error) {
	l, err := os.OpenFile(f.path+".lock", os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	for end := time.Now().Add(lockWait); ; time.Sleep(5 * time.Millisecond) {
		if err = flock(l); err == nil {
			return func() { l.Close() }, nil
		}
		if time.Now().After(end) {
			l.Close()
			return nil, fmt.Errorf("lock %s: %w", f.path, ErrLocked)
		}
	}
}
