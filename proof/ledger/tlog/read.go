package tlog

import (
	"cmp"
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

// Item is an entry and its number.
type Item struct {
	Index uint64       `json:"index"`
	Entry ledger.Entry `json:"entry"`
}

// ListOptions say which entries are listed.
type ListOptions struct {
	Before uint64 // list entries with smaller numbers; zero for the last ones
	Limit  int    // of entries; 100 when zero, 1,000 at most
	Type   string // only of this type; all when empty
}

// Page is a part of a list, the last entries first.
type Page struct {
	Size  uint64 `json:"size"` // of the log
	Items []Item `json:"items"`
	Next  uint64 `json:"next,omitempty"` // Before of the page that follows; zero when nothing does
}

const (
	defaultPage = 100
	maxPage     = 1_000
	maxLooked   = 100_000 // entries looked at for a page of one type
)

// List returns a page of entries, as they lie there: Verify proves them all, Statement and Prove one.
func (f *Files) List(o ListOptions) (*Page, error) {
	t, err := f.Trust()
	if err != nil {
		return nil, err
	}
	fsys := os.DirFS(f.Dir)
	cp, err := ledger.ReadCheckpoint(fsys, t)
	if err != nil {
		return nil, err
	}
	p := &Page{Size: cp.Size, Items: []Item{}}
	limit := min(cmp.Or(max(o.Limit, 0), defaultPage), maxPage)
	next := cp.Size
	if o.Before > 0 {
		next = min(next, o.Before)
	}
	tree := ledger.NewTree(fsys, cp.Size)
	for looked := 0; next > 0 && len(p.Items) < limit && looked < maxLooked; {
		first, entries, err := tree.Entries(next - 1)
		if err != nil {
			return nil, err
		}
		for next > first && len(p.Items) < limit {
			next--
			looked++
			e, err := ledger.ParseEntry(entries[next-first])
			if err != nil {
				return nil, fmt.Errorf("entry %d: %w", next, err)
			}
			if o.Type == "" || o.Type == e.Type {
				p.Items = append(p.Items, Item{Index: next, Entry: e})
			}
		}
	}
	p.Next = next
	return p, nil
}

// Entry returns an entry and its statement, after checking that the entry is in the log and stands for the statement.
func (f *Files) Entry(name string) (*ledger.Proof, []byte, error) {
	proof, err := f.Prove(name)
	if err != nil {
		return nil, nil, err
	}
	t, err := f.Trust()
	if err != nil {
		return nil, nil, err
	}
	p, err := ledger.VerifyProof(proof, t)
	if err != nil {
		return nil, nil, err
	}
	body, err := ledger.ReadStatement(os.DirFS(f.Dir), p.Index, &p.Entry)
	return p, body, err
}

// Statement returns the statement of an entry, checked as Entry does.
func (f *Files) Statement(name string) ([]byte, error) {
	_, body, err := f.Entry(name)
	return body, err
}
