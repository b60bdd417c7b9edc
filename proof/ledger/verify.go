package ledger

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"time"

	"github.com/transparency-dev/merkle/compact"
	"github.com/transparency-dev/merkle/rfc6962"
	"github.com/transparency-dev/tessera/api/layout"
)

// Report is what a whole log holds.
type Report struct {
	Checkpoint *Checkpoint    `json:"checkpoint"`
	Known      *Checkpoint    `json:"known,omitempty"` // that was seen before
	Types      map[string]int `json:"types"`           // entries by type of statement
	Bytes      int64          `json:"bytes"`           // of statements
	First      time.Time      `json:"first,omitzero"`  // earliest time that an entry gives
	Last       time.Time      `json:"last,omitzero"`
}

// ReadCheckpoint reads and checks the log's head.
func ReadCheckpoint(fsys fs.FS, t Trust) (*Checkpoint, error) {
	data, err := readLimited(fsys, CheckpointPath, maxCheckpoint)
	if err != nil {
		return nil, fmt.Errorf("read the log's checkpoint: %w", err)
	}
	cp, err := OpenCheckpoint(data, t)
	if err != nil {
		return nil, fmt.Errorf("check the log's checkpoint: %w", err)
	}
	return cp, nil
}

// Follows checks with the log's tiles that cp has all that known had, in the same order. known may be nil.
func Follows(fsys fs.FS, cp, known *Checkpoint) error {
	if known == nil {
		return nil
	}
	if err := compare(cp, known); err != nil {
		return err
	}
	t := NewTree(fsys, cp.Size)
	for _, c := range []*Checkpoint{cp, known} {
		root, err := t.Root(c.Size)
		if err != nil {
			return fmt.Errorf("compute the root of %d entries: %w", c.Size, err)
		}
		if bytes.Equal(root, c.Root) {
			continue
		}
		if c == known {
			return fmt.Errorf("%w: its first %d entries are others than those of the checkpoint that was seen", ErrFork, known.Size)
		}
		return fmt.Errorf("%w: the tree over %d entries is not that of the checkpoint", ErrTile, cp.Size)
	}
	return nil
}

// compare finds what needs only the two checkpoints.
func compare(cp, known *Checkpoint) error {
	switch {
	case known.Origin != cp.Origin:
		return fmt.Errorf("%w: the checkpoint seen before is of log %s, not of %s", ErrUntrusted, known.Origin, cp.Origin)
	case known.Size > cp.Size:
		return fmt.Errorf("%w: it has %d entries, and had %d when it was last seen", ErrRollback, cp.Size, known.Size)
	case known.Size == cp.Size && !bytes.Equal(known.Root, cp.Root):
		return fmt.Errorf("%w: two checkpoints over %d entries have different roots", ErrFork, cp.Size)
	}
	return nil
}

// Verify reads the whole log under fsys and proves, with nothing but the keys, that its tree is that of its signed
// checkpoint, that every entry of it is there in its place, that every statement is the one that its entry stands for, and
// that the log has all that it had when known was seen; known may be nil. When something is wrong the error is a *Broken
// that says all that was found; an untrusted checkpoint ends it at once.
func Verify(ctx context.Context, fsys fs.FS, t Trust, known *Checkpoint) (*Report, error) {
	cp, err := ReadCheckpoint(fsys, t)
	if err != nil {
		return nil, err
	}
	f := compact.RangeFactory{Hash: rfc6962.DefaultHasher.HashChildren}
	v := &verifier{
		fsys: fsys, tree: NewTree(fsys, cp.Size), known: known, rng: f.NewEmptyRange(0),
		report: &Report{Checkpoint: cp, Known: known, Types: map[string]int{}},
	}
	if known != nil {
		if err := compare(cp, known); err != nil {
			v.broken.add(CheckpointPath, err)
			v.known = nil
		}
	}
	if err := v.texts.start(fsys); err != nil {
		return nil, fmt.Errorf("list the statements: %w", err)
	}
	defer v.texts.close()
	for i := uint64(0); i*width < cp.Size; i++ {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		v.bundle(i)
	}
	v.finish()
	if v.broken.Count > 0 {
		return nil, &v.broken
	}
	return v.report, nil
}

// verifier goes through a log once, from its first entry to its last.
type verifier struct {
	fsys   fs.FS
	tree   *Tree
	known  *Checkpoint
	report *Report
	broken Broken

	rng    *compact.Range // over the entries as they lie there
	levels [][]byte       // by tile level: hashes of the tile that is being filled
	differ []Problem      // entries and their hashes that disagree; the root says which of the two is wrong
	holes  bool           // entries are missing: the tree's hashes stand in for them
	texts  texts
}

// bundle checks 256 entries.
func (v *verifier) bundle(index uint64) {
	entries, path, err := v.tree.bundle(index)
	if err != nil {
		v.holes = true
		if errors.Is(err, fs.ErrNotExist) {
			err = fmt.Errorf("%w: the file is not there", ErrTruncated)
		} else if errors.Is(err, ErrFormat) {
			err = fmt.Errorf("%w: %w", ErrEntry, err)
		}
		v.broken.add(path, err)
	}
	hashes, tilePath, tileErr := v.tree.tile(0, index)
	if tileErr != nil {
		v.lost(tilePath, tileErr)
	}
	n := uint64(count(layout.PartialTileSize(0, index, v.tree.size)))
	for i := range n {
		at := index*width + i
		var leaf, stored []byte
		if tileErr == nil {
			stored = hashes[i*sha256.Size : (i+1)*sha256.Size]
		}
		if err == nil {
			leaf = rfc6962.DefaultHasher.HashLeaf(entries[i])
			v.entry(at, entries[i])
			if stored != nil && !bytes.Equal(leaf, stored) && len(v.differ) < 2*maxProblems {
				v.differ = append(v.differ, Problem{Where: fmt.Sprintf("entry %d in %s", at, path), Err: fmt.Errorf("its hash is not that in %s", tilePath)})
			}
		} else if leaf = stored; leaf == nil {
			leaf = make([]byte, sha256.Size)
		}
		v.append(leaf)
	}
}

func (v *verifier) lost(path string, err error) {
	switch {
	case errors.Is(err, fs.ErrNotExist):
		err = fmt.Errorf("%w: the file is not there", ErrTruncated)
	case errors.Is(err, ErrFormat):
		err = fmt.Errorf("%w: %w", ErrTile, err)
	}
	v.broken.add(path, err)
}

// append adds a leaf to the tree and compares the nodes that it completes with those in the tiles.
func (v *verifier) append(leaf []byte) {
	_ = v.rng.Append(leaf, func(id compact.NodeID, hash []byte) { // fails only for a range that is corrupt in itself
		if id.Level%layout.TileHeight != 0 || id.Level == 0 { // level 0 was compared with the entries
			return
		}
		level := int(id.Level / layout.TileHeight)
		for len(v.levels) <= level {
			v.levels = append(v.levels, nil)
		}
		v.levels[level] = append(v.levels[level], hash...)
		if id.Index%width == width-1 {
			v.compareTile(uint64(level), id.Index/width)
		}
	})
	if v.known != nil && v.known.Size == v.rng.End() {
		if root, err := v.rng.GetRootHash(nil); err != nil || !bytes.Equal(root, v.known.Root) {
			v.differ = append(v.differ, Problem{Where: CheckpointPath, Err: fmt.Errorf("%w: its first %d entries are others than those of the checkpoint that was seen", ErrFork, v.known.Size)})
		}
	}
}

// compareTile compares the hashes gathered for a tile above the leaves with the file.
func (v *verifier) compareTile(level, index uint64) {
	want := v.levels[level]
	v.levels[level] = nil
	got, path, err := v.tree.tile(level, index)
	switch {
	case err != nil:
		v.lost(path, err)
	case !bytes.Equal(got, want):
		v.differ = append(v.differ, Problem{Where: path, Err: errors.New("its hashes are not those of the entries below it")})
	}
}

// entry checks one entry and its statement.
func (v *verifier) entry(index uint64, data []byte) {
	where := fmt.Sprintf("entry %d", index)
	e, err := ParseEntry(data)
	if err != nil {
		v.broken.add(where, fmt.Errorf("%w: %w", ErrEntry, err))
		return
	}
	r := v.report
	r.Types[e.Type]++
	r.Bytes += e.Size
	if r.First.IsZero() || e.Time.Before(r.First) {
		r.First = e.Time
	}
	if e.Time.After(r.Last) {
		r.Last = e.Time
	}
	body, err := v.texts.at(index)
	if err == nil {
		err = e.check(body)
	}
	if err != nil {
		v.broken.add("statement of "+where, err)
	}
}

// finish compares the rest, and says of what disagrees which side is wrong.
func (v *verifier) finish() {
	for level := range v.levels {
		if len(v.levels[level]) > 0 {
			v.compareTile(uint64(level), v.tree.size>>(layout.TileHeight*uint64(level))/width)
		}
	}
	cp := v.report.Checkpoint
	root := rfc6962.DefaultHasher.EmptyRoot()
	if cp.Size > 0 {
		root, _ = v.rng.GetRootHash(nil) // fails only for ranges that do not start at 0
	}
	match := bytes.Equal(root, cp.Root)
	for _, p := range v.differ {
		switch {
		case errors.Is(p.Err, ErrFork):
			if !match {
				continue // it is the entries that were changed
			}
		case match:
			p.Err = fmt.Errorf("%w: %w", ErrTile, p.Err)
		default:
			p.Err = fmt.Errorf("%w: %w", ErrEntry, p.Err)
		}
		v.broken.add(p.Where, p.Err)
	}
	if !match && !v.holes {
		v.broken.add(CheckpointPath, fmt.Errorf("%w: the tree over the entries that are there is not the one signed", ErrEntry))
	}
}

// texts gives the statements in order, from the packs.
type texts struct {
	fsys   fs.FS
	firsts []uint64
	pack   *packReader
	err    error // of the pack
}

func (t *texts) start(fsys fs.FS) error {
	t.fsys = fsys
	return packs(fsys, func(first uint64) bool {
		t.firsts = append(t.firsts, first)
		return true
	})
}

func (t *texts) close() {
	if t.pack != nil {
		t.pack.close()
		t.pack = nil
	}
}

// at returns the statement of an entry. Calls come with rising indices.
func (t *texts) at(index uint64) ([]byte, error) {
	for len(t.firsts) > 0 && t.firsts[0] <= index {
		t.close()
		t.pack, t.err = openPack(t.fsys, t.firsts[0])
		t.firsts = t.firsts[1:]
	}
	if t.pack == nil && t.err == nil {
		return nil, ErrMissing
	}
	for t.err == nil && t.pack.next <= index {
		at := t.pack.next
		var body []byte
		if body, t.err = t.pack.read(); t.err == nil && at == index {
			return body, nil
		}
	}
	if errors.Is(t.err, io.EOF) || errors.Is(t.err, ErrFormat) {
		return nil, fmt.Errorf("%w: %s does not hold it whole", ErrMissing, PackPath(t.first(index)))
	}
	return nil, t.err
}

// first returns the first index of the pack that index belongs to.
func (t *texts) first(index uint64) uint64 {
	first, _, _ := packOf(t.fsys, index)
	return first
}
