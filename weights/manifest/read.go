package manifest

import (
	"context"
	"errors"
	"hash"
	"io"
	"io/fs"
)

// open is a unit that is being read.
type open struct {
	job    *job
	f      fs.File
	before Stamp
	at     io.ReaderAt // nil when its digest is not to be remembered
	r      io.Reader
	sum    hash.Hash
	left   int64
	buf    []byte
}

// work hashes units until none is waiting: two at a time where that is quicker and no other worker goes without.
func (h *hashing) work(ctx context.Context) (err error) {
	var one, two *open // two is nil when one is
	defer func() {
		for _, u := range []*open{one, two} {
			if u != nil {
				u.f.Close()
			}
		}
	}()
	free := [][]byte{make([]byte, blockSize)}
	pair := h.opt.Pair
	if h.alg != SHA256 {
		pair = nil
	}
	if pair != nil {
		free = append(free, make([]byte, blockSize))
	}
	start := func(more bool) (*open, error) {
		u, err := h.next(ctx, more)
		if u != nil {
			u.buf, free = free[len(free)-1], free[:len(free)-1]
		}
		return u, err
	}
	finish := func(u *open) (*open, error) {
		if u == nil || u.left > 0 {
			return u, nil
		}
		free = append(free, u.buf)
		return nil, h.finish(u)
	}
	for {
		if one == nil {
			if one, err = start(false); one == nil || err != nil {
				return err
			}
		}
		if pair != nil && two == nil {
			if two, err = start(true); err != nil {
				return err
			}
		}
		if err := h.step(ctx, one, two, pair); err != nil {
			return err
		}
		if two, err = finish(two); err != nil {
			return err
		}
		if one, err = finish(one); err != nil {
			return err
		}
		if one == nil {
			one, two = two, nil
		}
		if one == nil {
			h.queue.Lock()
			h.idle++
			h.queue.Unlock()
		}
	}
}

// next opens a unit that is waiting and whose digest nobody remembers; nil when there is none. A worker that wants more
// than one gets it only when every worker without any has one to take.
func (h *hashing) next(ctx context.Context, more bool) (*open, error) {
	for had := more; ; had = true {
		h.queue.Lock()
		if !had {
			h.idle--
		}
		if len(h.waiting) == 0 || more && len(h.waiting) <= h.idle {
			h.queue.Unlock()
			return nil, nil
		}
		i := h.waiting[0]
		h.waiting = h.waiting[1:]
		h.queue.Unlock()
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		if u, err := h.open(&h.jobs[i]); u != nil || err != nil {
			return u, err
		}
	}
}

// open opens the file of a unit; nil when its digest was remembered.
func (h *hashing) open(j *job) (*open, error) {
	f, err := h.fsys.Open(j.file.at())
	if err != nil {
		return nil, &Problem{Path: j.file.Path, Kind: Unread, Found: reason(err), Do: "make it readable, or leave it out"}
	}
	u := &open{job: j, f: f, left: j.size()}
	keep := false
	defer func() {
		if !keep {
			f.Close()
		}
	}()
	stamped := false
	if u.before, stamped, err = h.same(j.file, f); err != nil {
		return nil, err
	}
	at, random := f.(io.ReaderAt)
	if h.opt.Memory != nil && stamped && random {
		if digest, ok := h.opt.Memory.Recall(at, u.before, h.unit(j)); ok && len(digest) == h.alg.Size() {
			j.resource.Digest = digest
			h.recalled.Add(j.size())
			h.report(j.size(), false)
			return nil, nil
		}
		if h.opt.Memory.Settle(at, u.before) {
			u.at = at
		}
	}
	u.r = f
	if random {
		u.r = io.NewSectionReader(at, j.resource.Start, 1<<62)
	} else if j.resource.Start > 0 {
		return nil, &Problem{Path: j.file.Path, Kind: Unread, Found: "a file system that reads from the beginning only", Do: "use method files"}
	}
	u.sum, keep = h.alg.New(), true
	return u, nil
}

func (h *hashing) unit(j *job) Unit {
	return Unit{Algorithm: h.alg, Start: j.resource.Start, End: j.resource.Start + j.size()}
}

// step reads and hashes a block of each; two may be nil.
func (h *hashing) step(ctx context.Context, one, two *open, pair func(a, b hash.Hash, p, q []byte)) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	p, err := one.read()
	if err != nil {
		return err
	}
	if two == nil {
		one.sum.Write(p)
		h.report(int64(len(p)), false)
		return nil
	}
	q, err := two.read()
	if err != nil {
		return err
	}
	pair(one.sum, two.sum, p, q)
	h.report(int64(len(p)+len(q)), false)
	return nil
}

// read reads the next block; less than there must be means that the file is being written to.
func (u *open) read() ([]byte, error) {
	n, err := io.ReadFull(u.r, u.buf[:min(u.left, int64(len(u.buf)))])
	u.left -= int64(n)
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return nil, racing(u.job.file)
	}
	if err != nil {
		return nil, &Problem{Path: u.job.file.Path, Kind: Unread, Found: reason(err), Do: "check the disk, then run again"}
	}
	return u.buf[:n], nil
}

// finish takes the digest when the file ends where it must, and is in the state in which it was listed.
func (h *hashing) finish(u *open) error {
	defer u.f.Close()
	j := u.job
	if j.whole {
		if n, _ := u.r.Read(u.buf[:1]); n > 0 {
			return racing(j.file)
		}
	}
	if _, _, err := h.same(j.file, u.f); err != nil {
		return err
	}
	if info, err := fs.Stat(h.fsys, j.file.at()); err != nil || !h.equal(j.file.Info, info) {
		return racing(j.file)
	}
	j.resource.Digest = u.sum.Sum(nil)
	if u.at != nil {
		h.opt.Memory.Keep(u.at, u.before, h.unit(j), j.resource.Digest)
	}
	return nil
}
