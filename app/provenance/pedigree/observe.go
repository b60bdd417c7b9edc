package pedigree

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/palladium-guard/palladium/app/provenance"
	"github.com/palladium-guard/palladium/weights/lineage"
)

// maxSeen is how many files are listed, maxSeenBytes how many bytes of them are hashed.
const (
	maxSeen      = 5_000
	maxSeenBytes = 64 << 30
)

// ran is what a command did.
type ran struct {
	status        int
	method        string // how it was watched
	note          string // why it was not
	reads, writes map[string]bool
}

var errNoTrace = errors.New("processes cannot be traced")

// execute runs the command to its end, whatever its status. An error means that it could not be started.
func execute(ctx context.Context, o *RecordOptions) (*ran, error) {
	command := func() *exec.Cmd {
		c := exec.Command(o.Command[0], o.Command[1:]...)
		c.Stdin, c.Stdout, c.Stderr = o.Stdin, o.Stdout, o.Stderr
		return c
	}
	note := ""
	if o.Observe != None {
		r, err := traced(ctx, command())
		if err == nil || !errors.Is(err, errNoTrace) {
			return r, err
		}
		if o.Observe == Trace {
			return nil, fmt.Errorf("%w: give --observe none to record what is declared alone", err)
		}
		note = "what the command read was not observed: " + err.Error()
	}
	c := command()
	if err := c.Start(); err != nil {
		return nil, err
	}
	stop := context.AfterFunc(ctx, func() { _ = c.Process.Signal(os.Interrupt) })
	defer stop()
	err := c.Wait()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		return nil, err
	}
	return &ran{status: statusOf(c.ProcessState.ExitCode()), method: "none", note: note}, nil
}

// statusOf gives the end by a signal a status.
func statusOf(code int) int {
	if code < 0 {
		return 128
	}
	return code
}

// observed lists what the command was seen to read and write beyond what is declared.
func (o *RecordOptions) observed(r *ran, started time.Time) *lineage.Observed {
	seen := &lineage.Observed{Method: r.method, Note: r.note}
	inputs, outputs := roots(o.Inputs), roots(o.Outputs)
	left := int64(maxSeenBytes)
	for _, p := range sorted(r.reads) {
		switch {
		case system(p):
			seen.System++
		case r.writes[p], below(p, inputs), below(p, outputs):
		case len(seen.Reads) == maxSeen:
			seen.Lost++
		default:
			seen.Reads = append(seen.Reads, look(p, started, &left))
		}
	}
	for _, p := range sorted(r.writes) {
		switch {
		case system(p), below(p, outputs), gone(p): // what is gone was temporary, or has another name now
		case len(seen.Writes) == maxSeen:
			seen.Lost++
		default:
			seen.Writes = append(seen.Writes, look(p, time.Time{}, &left))
		}
	}
	return seen
}

func sorted(set map[string]bool) []string {
	out := make([]string, 0, len(set))
	for p := range set {
		out = append(out, p)
	}
	slices.Sort(out)
	return out
}

func roots(list []Declared) (out []string) {
	for _, d := range list {
		if p, err := filepath.Abs(d.Path); err == nil {
			if real, err := filepath.EvalSymlinks(p); err == nil {
				p = real
			}
			out = append(out, p)
		}
	}
	return out
}

func below(p string, roots []string) bool {
	return slices.ContainsFunc(roots, func(r string) bool { return p == r || strings.HasPrefix(p, r+string(filepath.Separator)) })
}

// system reports whether a file is the operating system's.
func system(p string) bool {
	return slices.ContainsFunc([]string{"/proc/", "/sys/", "/dev/", "/usr/", "/lib/", "/lib64/", "/bin/", "/sbin/", "/etc/", "/run/", "/var/lib/", "/var/cache/"},
		func(dir string) bool { return strings.HasPrefix(p, dir) })
}

func gone(p string) bool {
	_, err := os.Lstat(p)
	return errors.Is(err, fs.ErrNotExist)
}

// relative returns a path as seen from the current folder, when it is below that.
func relative(p string) string {
	here, err := os.Getwd()
	if err != nil {
		return p
	}
	if rel, err := filepath.Rel(here, p); err == nil && filepath.IsLocal(rel) {
		return rel
	}
	return p
}

// look hashes a file as it is now. It has changed when it was written to since the command started.
func look(p string, started time.Time, left *int64) lineage.Seen {
	s := lineage.Seen{Path: strings.ToValidUTF8(filepath.ToSlash(relative(p)), "?")}
	info, err := os.Lstat(p)
	if err != nil || !info.Mode().IsRegular() {
		return s
	}
	s.Size = info.Size()
	s.Changed = !started.IsZero() && info.ModTime().After(started)
	if *left < s.Size {
		return s
	}
	*left -= s.Size
	f, _, err := provenance.OpenRegular(p)
	if err != nil {
		return s
	}
	defer f.Close()
	h := sha256.New()
	if n, err := io.Copy(h, io.LimitReader(f, s.Size+1)); err != nil || n != s.Size {
		s.Changed = true
		return s
	}
	s.SHA256 = hex.EncodeToString(h.Sum(nil))
	return s
}
