package inspect

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"path"
	"strings"
	"unicode"
	"unicode/utf8"
)

// headSize is how much of a file formats are told apart by, in bytes.
const headSize = 4096

// ratioFloor is how much may be unpacked before the ratio counts, in bytes.
const ratioFloor = 64 << 20

// File is one file, or one member of a container, under inspection. It belongs to one goroutine.
type File struct {
	Path string // outermost path, then the members, joined by "!"
	Size int64  // in bytes
	Role Role   // what the container that holds it uses it for

	r     io.ReaderAt
	run   *run
	depth int
	head  []byte
	quiet bool // findings are dropped: the file is only being matched
}

// Role is what a container uses a member for, where content alone does not say.
type Role uint8

// The roles.
const (
	RoleNone   Role = iota
	RoleTorch       // a pickle of PyTorch, whose loader resolves persistent ids
	RoleScript      // TorchScript code, which only its own interpreter runs
	RoleKeras       // configuration of a Keras model
)

// ReadAt reads the content.
func (f *File) ReadAt(p []byte, off int64) (int, error) {
	if err := f.run.ctx.Err(); err != nil {
		return 0, err
	}
	if off < 0 || off >= f.Size {
		return 0, io.EOF
	}
	short := false
	if int64(len(p)) > f.Size-off {
		p, short = p[:f.Size-off], true
	}
	n, err := f.r.ReadAt(p, off)
	switch {
	case n == len(p) && short:
		err = io.EOF
	case n == len(p):
		err = nil
	case err == nil || errors.Is(err, io.EOF):
		err = io.ErrUnexpectedEOF // it was as long as Size a moment ago
	}
	return n, err
}

// Section reads n bytes from off, or as many as there are.
func (f *File) Section(off, n int64) *io.SectionReader {
	off = min(max(off, 0), f.Size)
	return io.NewSectionReader(f, off, min(max(n, 0), f.Size-off))
}

// Bytes returns at most n bytes from off; fewer at the end of the file, or nil when they cannot be read.
func (f *File) Bytes(off int64, n int) []byte {
	if off < 0 || off >= f.Size {
		return nil
	}
	b := make([]byte, min(int64(n), f.Size-off))
	k, err := f.ReadAt(b, off)
	if err != nil && !errors.Is(err, io.EOF) {
		f.Unreadable(err)
	}
	return b[:k]
}

// Head returns the first 4 KiB. Callers do not change it.
func (f *File) Head() []byte {
	if f.head == nil {
		f.head = f.Bytes(0, headSize)
		if f.head == nil {
			f.head = []byte{}
		}
	}
	return f.head
}

// Extension returns the extension of the innermost name, in lower case with its dot.
func (f *File) Extension() string { return strings.ToLower(path.Ext(f.Name())) }

// Name returns the last element of the innermost path, in lower case.
func (f *File) Name() string {
	p := f.Path[strings.LastIndexByte(f.Path, '!')+1:]
	return strings.ToLower(path.Base(strings.ReplaceAll(p, "\\", "/")))
}

// Quiet returns the same file whose findings are dropped, to match by trial.
func (f *File) Quiet() *File {
	q := *f
	q.quiet = true
	return &q
}

// Report adds a finding. What comes from the file goes through Quote.
func (f *File) Report(rule Rule, v Verdict, off int64, format string, args ...any) {
	if f.quiet {
		return
	}
	member := ""
	if i := strings.IndexByte(f.Path, '!'); i >= 0 && f.depth > 0 {
		member = f.Path[len(f.run.report.Path)+1:]
	}
	g := Finding{Rule: rule, Verdict: v, Member: cut(member, 300), Offset: off, Text: fmt.Sprintf(format, args...)}
	if f.run.seen(g) {
		return
	}
	if len(f.run.report.Findings) >= f.run.in.Limits.Findings {
		f.run.lost++
		f.run.report.Verdict = max(f.run.report.Verdict, v)
		return
	}
	f.run.add(g)
}

// Unreadable reports that the medium failed.
func (f *File) Unreadable(err error) {
	if f.run.ctx.Err() == nil {
		f.Report(RuleUnreadable, Unknown, -1, "cannot be read: %s", Quote(err.Error()))
	}
}

// Quote makes a name from a file fit to be shown: one line, printable, at most 100 characters.
func Quote(s string) string { return `"` + cut(s, 100) + `"` }

func cut(s string, n int) string {
	var b strings.Builder
	for i, r := range s {
		if b.Len() >= n {
			return b.String() + "…"
		}
		if r == utf8.RuneError || !unicode.IsPrint(r) {
			if _, size := utf8.DecodeRuneInString(s[i:]); size == 1 && r == utf8.RuneError {
				fmt.Fprintf(&b, `\x%02x`, s[i])
			} else {
				fmt.Fprintf(&b, `\u%04x`, r)
			}
			continue
		}
		b.WriteRune(r)
	}
	return b.String()
}

// Member inspects a part of the file that is stored as it is.
func (f *File) Member(name string, r io.ReaderAt, size int64, role Role) {
	if f.quiet || !f.enter() {
		return
	}
	c := &File{Path: f.Path + "!" + name, Size: size, Role: role, r: r, run: f.run, depth: f.depth + 1}
	f.run.in.inspect(c)
}

// Unpack inspects a part of the file that open unpacks, each time from its start. Packed is the size before, in bytes.
// It returns the number of bytes unpacked, and false when they did not end well; that has been reported then.
func (f *File) Unpack(name string, open func() (io.Reader, error), packed int64, role Role) (int64, bool) {
	if f.quiet || !f.enter() {
		return 0, false
	}
	r, err := open()
	if err != nil {
		f.Report(RuleBroken, Suspicious, -1, "member %s cannot be unpacked: %s", Quote(name), err)
		return 0, false
	}
	var kept bytes.Buffer
	room := f.run.in.Limits.Held - f.run.held
	size, err := io.Copy(&kept, io.LimitReader(&spender{r, f.run}, room))
	whole := err == nil && size < room
	if err == nil && !whole {
		var more int64
		more, err = io.Copy(io.Discard, &spender{r, f.run})
		size += more
	}
	ok := err == nil
	switch {
	case errors.Is(err, errBomb):
		f.Report(RuleBomb, Suspicious, -1, "member %s unpacks to more than %d bytes; the rest is not inspected", Quote(name), size)
	case err != nil && f.run.ctx.Err() == nil:
		f.Report(RuleBroken, Suspicious, -1, "member %s breaks after %d unpacked bytes: %s", Quote(name), size, err)
	}
	c := &File{Path: f.Path + "!" + name, Size: size, Role: role, run: f.run, depth: f.depth + 1}
	if whole || int64(kept.Len()) == size {
		held := int64(kept.Cap())
		f.run.held += held
		defer func() { f.run.held -= held }()
		c.r = bytes.NewReader(kept.Bytes())
	} else {
		kept = bytes.Buffer{}
		c.r = &forward{open: open, run: f.run}
	}
	f.run.in.inspect(c)
	return size, ok
}

func (f *File) enter() bool {
	limits := f.run.in.Limits
	if f.depth >= limits.Depth {
		f.Report(RuleLimit, Suspicious, -1, "containers are nested more than %d deep; those below are not inspected", limits.Depth)
		return false
	}
	if f.run.members++; f.run.members > limits.Members {
		f.Report(RuleLimit, Unknown, -1, "there are more than %d members; the rest is not inspected", limits.Members)
		return false
	}
	return f.run.ctx.Err() == nil
}

var errBomb = errors.New("unpacks to too much")

// spender counts what is unpacked.
type spender struct {
	r   io.Reader
	run *run
}

func (s *spender) Read(p []byte) (int, error) {
	if err := s.run.ctx.Err(); err != nil {
		return 0, err
	}
	n, err := s.r.Read(p)
	s.run.unpacked += int64(n)
	l := s.run.in.Limits
	if s.run.unpacked > l.Unpacked || s.run.unpacked > ratioFloor && s.run.unpacked/max(s.run.size, 1) > l.Ratio {
		return n, errBomb
	}
	return n, err
}

// forward reads at any place of what can only be read from its start on. Going back starts over.
type forward struct {
	open func() (io.Reader, error)
	run  *run
	r    io.Reader
	at   int64
}

func (f *forward) ReadAt(p []byte, off int64) (int, error) {
	if f.r == nil || off < f.at {
		r, err := f.open()
		if err != nil {
			return 0, err
		}
		f.r, f.at = &spender{r, f.run}, 0
	}
	if off > f.at {
		n, err := io.CopyN(io.Discard, f.r, off-f.at)
		f.at += n
		if err != nil {
			return 0, err
		}
	}
	n, err := io.ReadFull(f.r, p)
	f.at += int64(n)
	if errors.Is(err, io.ErrUnexpectedEOF) {
		err = io.EOF
	}
	return n, err
}

// Part returns n bytes from off as a file of their own, with findings reported into this one.
func (f *File) Part(off, n int64) *File {
	p := *f
	p.r, p.Size, p.head = f.Section(off, n), min(max(n, 0), f.Size-min(max(off, 0), f.Size)), nil
	return &p
}

// Made returns content that was decoded from this file, with findings reported into it.
func (f *File) Made(content []byte) *File {
	p := *f
	p.r, p.Size, p.head = bytes.NewReader(content), int64(len(content)), nil
	return &p
}
