package compare

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync"
)

// Overlap is the tensors that are equal to the byte.
type Overlap struct {
	// Tensors is how many of A's recognised matrices are in B, by digest of type, shape and bytes.
	Tensors int   `json:"tensors"`
	OfA     int   `json:"of_a"` // recognised matrices of A
	OfB     int   `json:"of_b"`
	Bytes   int64 `json:"bytes"` // of the tensors in common
	// Other counts equal tensors that say nothing: norms, masks, tables, and what is constant. Models that were trained
	// apart can have them in common.
	Other int `json:"other"`
	// Renamed counts matrices in common whose names differ.
	Renamed int `json:"renamed"`
	// All is set when every recognised matrix of each model is in the other one.
	All bool `json:"all"`
}

// Digest identifies a tensor by what it holds, not by its name or file: SHA-256 of the type, the shape and the bytes.
type Digest [sha256.Size]byte

// hashed is a tensor's digest.
type hashed struct {
	digest   Digest
	constant bool
}

// digest reads the tensor once.
func (t *Tensor) digest(ctx context.Context, buf []byte, read func(int)) (h hashed, err error) {
	hash := sha256.New()
	fmt.Fprintf(hash, "%s %d\n", t.DType, t.Shape)
	h.constant = true
	for at := int64(0); at < t.size; {
		if err := ctx.Err(); err != nil {
			return h, err
		}
		b := buf[:min(int64(len(buf)), t.size-at)]
		n, err := t.data.ReadAt(b, t.offset+at)
		if n < len(b) {
			if err == nil || errors.Is(err, io.EOF) {
				err = io.ErrUnexpectedEOF
			}
			return h, fmt.Errorf("read tensor %q: %w", t.Name, err)
		}
		hash.Write(b)
		h.constant = h.constant && (len(b) <= 8 || bytes.Equal(b[8:], b[:len(b)-8]))
		at += int64(len(b))
		read(len(b))
	}
	hash.Sum(h.digest[:0])
	return h, nil
}

// overlap hashes all tensors of both models.
func overlap(ctx context.Context, a, b *Model, o Options) (*Overlap, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	all := make([]*Tensor, 0, len(a.Tensors)+len(b.Tensors))
	var total int64
	for _, m := range []*Model{a, b} {
		for i := range m.Tensors {
			all = append(all, &m.Tensors[i])
			total += m.Tensors[i].size
		}
	}
	out := make([]hashed, len(all))
	var mu sync.Mutex
	var wg sync.WaitGroup
	var failed error
	var done int64
	next := 0
	for range o.Workers {
		wg.Go(func() {
			buf := make([]byte, 1<<20)
			for {
				mu.Lock()
				i := next
				next++
				stop := failed != nil || i >= len(all)
				mu.Unlock()
				if stop {
					return
				}
				h, err := all[i].digest(ctx, buf, func(n int) {
					mu.Lock()
					defer mu.Unlock()
					if done += int64(n); o.Progress != nil {
						o.Progress(done, total)
					}
				})
				mu.Lock()
				if out[i] = h; err != nil && failed == nil {
					failed = err
					cancel()
				}
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	if failed != nil {
		return nil, failed
	}
	return count(a, b, out), nil
}

func count(a, b *Model, digests []hashed) *Overlap {
	r := &Overlap{}
	telling := func(m *Model) map[*Tensor]bool {
		set := map[*Tensor]bool{}
		for i := range m.parts {
			set[m.parts[i].m.t] = true
		}
		return set
	}
	tellA, tellB := telling(a), telling(b)
	r.OfA, r.OfB = len(tellA), len(tellB)
	missing := 0 // recognised matrices of either that the other one does not have
	have := map[Digest][]*Tensor{}
	for i := range b.Tensors {
		d := digests[len(a.Tensors)+i].digest
		have[d] = append(have[d], &b.Tensors[i])
		if tellB[&b.Tensors[i]] {
			missing++
		}
	}
	for i := range a.Tensors {
		t, h := &a.Tensors[i], digests[i]
		twins := have[h.digest]
		if len(twins) == 0 {
			if tellA[t] {
				missing++
			}
			continue
		}
		at := max(0, slices.IndexFunc(twins, func(x *Tensor) bool { return x.Name == t.Name }))
		twin := twins[at]
		have[h.digest] = slices.Delete(twins, at, at+1)
		if tellB[twin] {
			missing--
		}
		if h.constant || !(tellA[t] || tellB[twin]) {
			r.Other++
			continue
		}
		r.Tensors++
		r.Bytes += t.size
		if twin.Name != t.Name {
			r.Renamed++
		}
	}
	r.All = missing == 0 && r.Tensors > 0
	return r
}
