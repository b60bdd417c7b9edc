package manifest

import (
	"cmp"
	"context"
	"crypto/sha256"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/zeebo/blake3"
	"golang.org/x/crypto/blake2b"
)

// blockSize is what is read at once, in bytes: little enough to stay in a core's own cache until it is hashed.
const blockSize = 128 << 10

// reportEvery is how many bytes are hashed between two calls of Options.Progress.
const reportEvery = 16 << 20

// New returns the hash function, nil when it is unknown.
func (a Algorithm) New() hash.Hash {
	switch a {
	case SHA256:
		return sha256.New()
	case BLAKE2b:
		h, _ := blake2b.New512(nil) // fails for long keys only
		return h
	case BLAKE3:
		return blake3.New()
	}
	return nil
}

// Stamp is what a file system tells of a file's state. Two equal stamps mean that nothing was written in between, as far
// as the clock and the file system can be trusted.
type Stamp struct {
	Device, Inode    uint64
	Size             int64
	Modified, Change int64 // nanoseconds since 1970; Change cannot be set by the file's owner
}

// Unit is a run of bytes that is hashed as one.
type Unit struct {
	Algorithm  Algorithm
	Start, End int64
}

// Memory knows digests of earlier runs. Its methods are called from many goroutines.
type Memory interface {
	// Recall returns the digest of a unit of the file in that state, if it is known and content bears it out.
	Recall(content io.ReaderAt, s Stamp, u Unit) (digest []byte, ok bool)
	// Settle is called before a unit is read that is not recalled, when the file is in that state. It reports whether every
	// later change will show in the state; when not, Keep is not called.
	Settle(content io.ReaderAt, s Stamp) bool
	// Keep takes in a digest that was just computed.
	Keep(content io.ReaderAt, s Stamp, u Unit, digest []byte)
}

// Progress says how far hashing is.
type Progress struct {
	Done, Total int64 // bytes
	Recalled    int64 // bytes of Done that were not read, since Memory knew their digests
}

// Options steer Hash.
type Options struct {
	Workers  int                             // goroutines; at least one is used
	Progress func(Progress)                  // called now and then, never by two goroutines at once; may be nil
	Stamp    func(fs.FileInfo) (Stamp, bool) // reads a file's stamp; when nil or not ok, size and time of change are compared
	Memory   Memory                          // may be nil; used for files that have a stamp
	// Pair writes p to a and q to b, both SHA-256, and takes less time for it than two writes. With nil, or another
	// algorithm, a worker hashes one unit at a time. It is called from many goroutines.
	Pair func(a, b hash.Hash, p, q []byte)
}

// Hash returns the resources of the files, sorted as the reference does. Files are hashed side by side, and with Shards
// the shards of one file as well. A file that changes while it is read, or that is not the one that was listed any more,
// gives an error with a *Problem.
func Hash(ctx context.Context, fsys fs.FS, files []File, s Serialization, opt Options) ([]Resource, error) {
	if err := s.Check(); err != nil {
		return nil, err
	}
	h := &hashing{fsys: fsys, opt: opt, alg: s.Algorithm}
	for i := range files {
		h.split(&files[i], s)
	}
	h.total = h.sum()
	h.waiting = make([]int, len(h.jobs)) // the longest first, so that no worker is left with a long one at the end
	for i := range h.waiting {
		h.waiting[i] = i
	}
	slices.SortStableFunc(h.waiting, func(a, b int) int { return cmp.Compare(h.jobs[b].size(), h.jobs[a].size()) })

	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var wg sync.WaitGroup
	h.idle = min(max(opt.Workers, 1), max(len(h.jobs), 1))
	for range h.idle {
		wg.Go(func() {
			if err := h.work(ctx); err != nil {
				cancel(err)
			}
		})
	}
	wg.Wait()
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	h.report(0, true)
	out := make([]Resource, 0, len(h.jobs))
	for i := range h.jobs {
		out = append(out, h.jobs[i].resource)
	}
	SortReference(out)
	return out, nil
}

type job struct {
	file     *File
	resource Resource
	whole    bool // the unit ends where the file does
}

func (j *job) size() int64 {
	if j.resource.Whole() {
		return j.file.Info.Size()
	}
	return j.resource.End - j.resource.Start
}

type hashing struct {
	fsys fs.FS
	opt  Options
	alg  Algorithm
	jobs []job

	queue   sync.Mutex // guards waiting and idle
	waiting []int      // places in jobs
	idle    int        // workers that have no job

	total          int64
	done, recalled atomic.Int64
	mu             sync.Mutex // guards reported and calls of opt.Progress
	reported       int64
}

func (h *hashing) sum() (n int64) {
	for i := range h.jobs {
		n += h.jobs[i].size()
	}
	return n
}

// split adds the units of a file. A file of zero bytes has no shard.
func (h *hashing) split(f *File, s Serialization) {
	size := f.Info.Size()
	if s.Method == Files {
		h.jobs = append(h.jobs, job{file: f, resource: Resource{Path: f.Path}, whole: true})
		return
	}
	for start := int64(0); start < size; start += s.ShardSize {
		end := min(start+s.ShardSize, size)
		h.jobs = append(h.jobs, job{file: f, resource: Resource{Path: f.Path, Start: start, End: end}, whole: end == size})
	}
}

func racing(f *File) error {
	return &Problem{Path: f.Path, Kind: Racing, Want: "the file as it was listed", Found: "another state", Do: "run again when nothing writes to the model"}
}

// same returns an error when the open file is not in the state in which it was listed.
func (h *hashing) same(f *File, open fs.File) (s Stamp, stamped bool, err error) {
	info, err := open.Stat()
	if err != nil {
		return s, false, fmt.Errorf("read the state of %q: %w", f.Path, err)
	}
	if !info.Mode().IsRegular() || !h.equal(f.Info, info) {
		return s, false, racing(f)
	}
	if h.opt.Stamp != nil {
		s, stamped = h.opt.Stamp(info)
	}
	return s, stamped, nil
}

func (h *hashing) equal(a, b fs.FileInfo) bool {
	if h.opt.Stamp != nil {
		if sa, ok := h.opt.Stamp(a); ok {
			sb, ok := h.opt.Stamp(b)
			return ok && sa == sb
		}
	}
	return a.Size() == b.Size() && a.ModTime().Equal(b.ModTime())
}

// report counts n bytes, and tells of them when enough have come together.
func (h *hashing) report(n int64, last bool) {
	done := h.done.Add(n)
	if h.opt.Progress == nil {
		return
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if last || done-h.reported >= reportEvery {
		h.reported = done
		h.opt.Progress(Progress{Done: done, Total: h.total, Recalled: h.recalled.Load()})
	}
}
