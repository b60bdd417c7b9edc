package tlog

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"strconv"

	"github.com/palladium-guard/palladium/proof/ledger"
)

// WriteFile writes a file whole or not at all; it is on disk when it returns.
func WriteFile(path string, data []byte) error {
	if err := writeSynced(filepath.Dir(path), filepath.Base(path), data); err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	return nil
}

// find resolves what a user calls an entry: its number, or the SHA-256 of its statement in 64 hexadecimal digits.
func (f *Files) find(name string, size uint64) (uint64, error) {
	if digest, err := hex.DecodeString(name); err == nil && len(digest) == sha256.Size {
		i, ok, err := ledger.NewTree(os.DirFS(f.Dir), size).Find([sha256.Size]byte(digest))
		if err == nil && !ok {
			err = fmt.Errorf("no entry stands for a statement with SHA-256 %s", name)
		}
		return i, err
	}
	i, err := strconv.ParseUint(name, 10, 64)
	if err != nil {
		return 0, fmt.Errorf("%q is no entry: give its number, or the SHA-256 of its statement", name)
	}
	return i, nil
}

// Prove makes the proof that an entry is in the log.
func (f *Files) Prove(name string) ([]byte, error) {
	t, err := f.Trust()
	if err != nil {
		return nil, err
	}
	fsys := os.DirFS(f.Dir)
	cp, err := ledger.ReadCheckpoint(fsys, t)
	if err != nil {
		return nil, err
	}
	i, err := f.find(name, cp.Size)
	if err != nil {
		return nil, err
	}
	return ledger.Prove(fsys, t, i)
}

// VerifyProof checks the proof in a file and, when statement names one, that the entry stands for the statement in it.
func (f *Files) VerifyProof(proof, statement string) (*ledger.Proof, error) {
	t, err := f.Trust()
	if err != nil {
		return nil, err
	}
	data, err := readLimited(proof, ledger.MaxProof)
	if err != nil {
		return nil, fmt.Errorf("read the proof: %w", err)
	}
	p, err := ledger.VerifyProof(data, t)
	if err != nil {
		return nil, fmt.Errorf("check the proof %s: %w", proof, err)
	}
	if statement == "" {
		return p, nil
	}
	body, err := readLimited(statement, ledger.MaxStatement)
	if err != nil {
		return nil, fmt.Errorf("read the statement: %w", err)
	}
	if err := p.Check(body); err != nil {
		return nil, fmt.Errorf("check the statement %s: %w", statement, err)
	}
	return p, nil
}

// Statement returns the statement of an entry, after checking that the entry is in the log and stands for it.
func (f *Files) Statement(name string) ([]byte, error) {
	proof, err := f.Prove(name)
	if err != nil {
		return nil, err
	}
	t, err := f.Trust()
	if err != nil {
		return nil, err
	}
	p, err := ledger.VerifyProof(proof, t)
	if err != nil {
		return nil, err
	}
	return ledger.ReadStatement(os.DirFS(f.Dir), p.Index, &p.Entry)
}

// Entries calls show for the last n entries. They are read as they lie there: Verify proves them.
func (f *Files) Entries(n int, show func(index uint64, e *ledger.Entry) error) error {
	t, err := f.Trust()
	if err != nil {
		return err
	}
	fsys := os.DirFS(f.Dir)
	cp, err := ledger.ReadCheckpoint(fsys, t)
	if err != nil {
		return err
	}
	tree := ledger.NewTree(fsys, cp.Size)
	for i := cp.Size - min(cp.Size, uint64(max(n, 0))); i < cp.Size; i++ {
		data, err := tree.Entry(i)
		if err != nil {
			return err
		}
		e, err := ledger.ParseEntry(data)
		if err != nil {
			return fmt.Errorf("entry %d: %w", i, err)
		}
		if err := show(i, &e); err != nil {
			return err
		}
	}
	return nil
}
