package ledger

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"io/fs"

	tproof "github.com/transparency-dev/formats/proof"
	"github.com/transparency-dev/merkle/proof"
	"github.com/transparency-dev/merkle/rfc6962"
)

// MaxProof is more than any proof that this package makes or takes, in bytes.
const MaxProof = 2 << 20

// Proof shows to who has nothing but the log's key that an entry is in the log.
type Proof struct {
	Index      uint64      `json:"index"`
	Entry      Entry       `json:"entry"`
	Checkpoint *Checkpoint `json:"checkpoint"`
}

// Prove makes a self-contained proof that an entry is in the log under fsys, in the form of C2SP tlog-proof. The entry
// is in its `extra` line.
func Prove(fsys fs.FS, t Trust, index uint64) ([]byte, error) {
	cp, err := ReadCheckpoint(fsys, t)
	if err != nil {
		return nil, err
	}
	if index >= cp.Size {
		return nil, fmt.Errorf("prove entry %d: the log has %d entries, counted from 0", index, cp.Size)
	}
	tree := NewTree(fsys, cp.Size)
	entry, err := tree.Entry(index)
	if err != nil {
		return nil, err
	}
	hashes, err := tree.Inclusion(index)
	if err != nil {
		return nil, fmt.Errorf("prove entry %d: %w", index, err)
	}
	p := tproof.TLogProof{Index: index, Checkpoint: cp.Raw, ExtraData: entry}
	for _, h := range hashes {
		p.Hashes = append(p.Hashes, [sha256.Size]byte(h))
	}
	data := p.Marshal()
	if _, err := VerifyProof(data, t); err != nil {
		return nil, fmt.Errorf("prove entry %d: %w: run `palladium ledger verify`", index, err)
	}
	return data, nil
}

// VerifyProof checks a proof that Prove has made, and returns what it shows. Errors wrap ErrProof, ErrFormat or
// ErrUntrusted.
func VerifyProof(data []byte, t Trust) (*Proof, error) {
	var p tproof.TLogProof
	if len(data) > MaxProof {
		return nil, fmt.Errorf("%w: proof is longer than %d bytes", ErrFormat, MaxProof)
	}
	if err := p.Unmarshal(data); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrFormat, err)
	}
	if !bytes.Equal(p.Marshal(), data) {
		return nil, fmt.Errorf("%w: proof is not in its one proper form", ErrFormat)
	}
	if p.ExtraData == nil {
		return nil, fmt.Errorf("%w: proof does not hold the entry", ErrFormat)
	}
	e, err := ParseEntry(p.ExtraData)
	if err != nil {
		return nil, err
	}
	cp, err := OpenCheckpoint(p.Checkpoint, t)
	if err != nil {
		return nil, err
	}
	if p.Index >= cp.Size {
		return nil, fmt.Errorf("%w: entry %d is beyond the %d of the checkpoint", ErrProof, p.Index, cp.Size)
	}
	hashes := make([][]byte, len(p.Hashes))
	for i := range p.Hashes {
		hashes[i] = p.Hashes[i][:]
	}
	if err := proof.VerifyInclusion(rfc6962.DefaultHasher, p.Index, cp.Size, rfc6962.DefaultHasher.HashLeaf(p.ExtraData), hashes, cp.Root); err != nil {
		return nil, fmt.Errorf("%w: entry %d is not in the log's tree: %w", ErrProof, p.Index, err)
	}
	return &Proof{Index: p.Index, Entry: e, Checkpoint: cp}, nil
}

// Check compares a statement's body with the entry that was proved.
func (p *Proof) Check(body []byte) error { return p.Entry.check(body) }
