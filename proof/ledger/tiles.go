package ledger

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"

	"github.com/transparency-dev/merkle/compact"
	"github.com/transparency-dev/merkle/proof"
	"github.com/transparency-dev/merkle/rfc6962"
	"github.com/transparency-dev/tessera/api/layout"
)

// CheckpointPath is where a log keeps its head.
const CheckpointPath = layout.CheckpointPath

const (
	width     = layout.TileWidth
	maxBundle = width * (2 + MaxEntry)
)

// Tree reads a log's tiles and entry bundles.
type Tree struct {
	fsys fs.FS
	size uint64
}

// NewTree returns the tree that the files under fsys hold for a log of so many entries. What it returns is not checked
// against a checkpoint: proofs are, by who makes or gets them.
func NewTree(fsys fs.FS, size uint64) *Tree { return &Tree{fsys: fsys, size: size} }

// readLimited reads a file that must not be longer than limit.
func readLimited(fsys fs.FS, name string, limit int64) ([]byte, error) {
	f, err := fsys.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, limit+1))
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", name, err)
	}
	if int64(len(data)) > limit {
		return nil, fmt.Errorf("%w: %s is longer than %d bytes", ErrFormat, name, limit)
	}
	return data, nil
}

// partialOrFull reads the resource for a partial tile, or the full one that has replaced it.
func partialOrFull(fsys fs.FS, partial uint8, name func(p uint8) string, limit int64) (data []byte, path string, err error) {
	path = name(partial)
	data, err = readLimited(fsys, path, limit)
	if partial > 0 && errors.Is(err, fs.ErrNotExist) {
		if full, e := readLimited(fsys, name(0), limit); e == nil {
			return full, name(0), nil
		}
	}
	return data, path, err
}

// tile returns the hashes of a tile that count in a tree of the size, concatenated.
func (t *Tree) tile(level, index uint64) (hashes []byte, path string, err error) {
	p := layout.PartialTileSize(level, index, t.size)
	data, path, err := partialOrFull(t.fsys, p, func(p uint8) string { return layout.TilePath(level, index, p) }, width*sha256.Size)
	if err != nil {
		return nil, path, err
	}
	n := count(p) * sha256.Size
	if len(data) < n || len(data)%sha256.Size != 0 {
		return nil, path, fmt.Errorf("%w: %s has %d bytes instead of %d", ErrFormat, path, len(data), n)
	}
	return data[:n], path, nil
}

// bundle returns the entries of a bundle that count in a tree of the size.
func (t *Tree) bundle(index uint64) (entries [][]byte, path string, err error) {
	p := layout.PartialTileSize(0, index, t.size)
	data, path, err := partialOrFull(t.fsys, p, func(p uint8) string { return layout.EntriesPath(index, p) }, maxBundle)
	if err != nil {
		return nil, path, err
	}
	if entries, err = parseBundle(data); err != nil {
		return nil, path, fmt.Errorf("%s: %w", path, err)
	}
	if len(entries) < count(p) {
		return nil, path, fmt.Errorf("%w: %s has %d entries instead of %d", ErrFormat, path, len(entries), count(p))
	}
	return entries[:count(p)], path, nil
}

func count(partial uint8) int {
	if partial == 0 {
		return width
	}
	return int(partial)
}

// Entry returns the bytes of an entry.
func (t *Tree) Entry(index uint64) ([]byte, error) {
	if index >= t.size {
		return nil, fmt.Errorf("read entry %d: the log has %d entries", index, t.size)
	}
	b, _, err := t.bundle(index / width)
	if err != nil {
		return nil, fmt.Errorf("read entry %d: %w", index, err)
	}
	return b[index%width], nil
}

// Entries returns the entries that lie in one bundle with entry index, and the number of the first of them.
func (t *Tree) Entries(index uint64) (first uint64, entries [][]byte, err error) {
	if index >= t.size {
		return 0, nil, fmt.Errorf("read entry %d: the log has %d entries", index, t.size)
	}
	entries, _, err = t.bundle(index / width)
	if err != nil {
		return 0, nil, fmt.Errorf("read entry %d: %w", index, err)
	}
	return index / width * width, entries, nil
}

// Find returns the index of the first entry for a statement with this digest; ok is false when there is none.
func (t *Tree) Find(digest [sha256.Size]byte) (index uint64, ok bool, err error) {
	for i := uint64(0); i*width < t.size; i++ {
		b, _, err := t.bundle(i)
		if err != nil {
			return 0, false, err
		}
		for j, data := range b {
			if e, err := ParseEntry(data); err == nil && e.Digest == digest {
				return i*width + uint64(j), true, nil
			}
		}
	}
	return 0, false, nil
}

// node returns the hash of a complete subtree.
func (t *Tree) node(id compact.NodeID) ([]byte, error) {
	level, index, nodeLevel, nodeIndex := layout.NodeCoordsToTileAddress(uint64(id.Level), id.Index)
	hashes, path, err := t.tile(level, index)
	if err != nil {
		return nil, err
	}
	first, n := nodeIndex<<nodeLevel, uint64(1)<<nodeLevel
	if (first+n)*sha256.Size > uint64(len(hashes)) {
		return nil, fmt.Errorf("%w: %s is too short for this tree", ErrFormat, path)
	}
	return subtree(hashes[first*sha256.Size : (first+n)*sha256.Size]), nil
}

// subtree returns the root over hashes, whose number is a power of two.
func subtree(hashes []byte) []byte {
	if len(hashes) == sha256.Size {
		return bytes.Clone(hashes)
	}
	half := len(hashes) / 2
	return rfc6962.DefaultHasher.HashChildren(subtree(hashes[:half]), subtree(hashes[half:]))
}

func (t *Tree) nodes(nodes proof.Nodes) ([][]byte, error) {
	hashes := make([][]byte, len(nodes.IDs))
	for i, id := range nodes.IDs {
		h, err := t.node(id)
		if err != nil {
			return nil, err
		}
		hashes[i] = h
	}
	return nodes.Rehash(hashes, rfc6962.DefaultHasher.HashChildren)
}

// Inclusion returns the proof that the entry is in the tree, RFC 6962, 2.1.1.
func (t *Tree) Inclusion(index uint64) ([][]byte, error) {
	nodes, err := proof.Inclusion(index, t.size)
	if err != nil {
		return nil, fmt.Errorf("prove entry %d: %w", index, err)
	}
	return t.nodes(nodes)
}

// Root returns the root of the tree when it had so many entries.
func (t *Tree) Root(size uint64) ([]byte, error) {
	if size > t.size {
		return nil, fmt.Errorf("compute the root: %d entries are more than the log has", size)
	}
	if size == 0 {
		return rfc6962.DefaultHasher.EmptyRoot(), nil
	}
	ids := compact.RangeNodes(0, size, nil)
	hashes := make([][]byte, len(ids))
	for i, id := range ids {
		h, err := t.node(id)
		if err != nil {
			return nil, err
		}
		hashes[i] = h
	}
	f := compact.RangeFactory{Hash: rfc6962.DefaultHasher.HashChildren}
	r, err := f.NewRange(0, size, hashes)
	if err != nil {
		return nil, err
	}
	return r.GetRootHash(nil)
}
