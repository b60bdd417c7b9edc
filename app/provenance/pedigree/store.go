// Package pedigree wires lineage: it records steps, keeps their statements in a folder, walks from a model to its roots,
// does steps again, and looks after data sets.
package pedigree

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/palladium-guard/palladium/app/provenance"
	"github.com/palladium-guard/palladium/store"
	"github.com/palladium-guard/palladium/weights/lineage"
	"github.com/palladium-guard/palladium/weights/signing"
)

// DefaultStore is the folder of statements when none is named.
const DefaultStore = ".palladium/lineage"

const (
	maxStored  = 2 * lineage.MaxStatement // a bundle holds its statement in base 64
	maxRecords = 100_000
	// abandoned is how old a temporary file must be before it is taken for one that a killed run left.
	abandoned = time.Hour
)

// Store is a folder of statements, one file each: ID.json without a signature, ID.DIGEST.json with one. A file is written
// whole or not at all and never changed, so that many may write at a time.
type Store struct{ dir string }

// OpenStore returns the store in a folder; the default one when dir is empty. The folder need not be there.
func OpenStore(dir string) *Store { return &Store{dir: cmp.Or(dir, filepath.FromSlash(DefaultStore))} }

// Dir returns the store's folder.
func (s *Store) Dir() string { return s.dir }

// Put keeps a statement: a bundle around it, or the bare statement. It is on disk when Put returns.
func (s *Store) Put(data []byte) (id, path string, err error) {
	payload, name := data, ""
	if !lineage.IsStatement(data) {
		b, err := signing.ParseBundle(data)
		if err != nil {
			return "", "", fmt.Errorf("keep the statement: %w", err)
		}
		payload, name = b.Payload, "."+lineage.Short(lineage.ID(data))
	}
	if _, err := lineage.Parse(payload); err != nil {
		return "", "", fmt.Errorf("keep the statement: %w", err)
	}
	if err := os.MkdirAll(s.dir, 0o755); err != nil {
		return "", "", fmt.Errorf("keep the statement: %w", err)
	}
	s.sweep()
	id = lineage.ID(payload)
	path = filepath.Join(s.dir, id+name+".json")
	if err := store.ReplaceBytes(path, 0o644, data); err != nil {
		return "", "", fmt.Errorf("keep the statement: %w", err)
	}
	return id, path, nil
}

// sweep removes what killed runs left behind.
func (s *Store) sweep() {
	left, err := filepath.Glob(filepath.Join(s.dir, ".*.tmp"))
	if err != nil {
		return
	}
	for _, p := range left {
		if info, err := os.Lstat(p); err == nil && time.Since(info.ModTime()) > abandoned {
			_ = os.Remove(p) // what stays is no statement
		}
	}
}

// Load reads every statement and says how each stands, by whom one trusts. With nobody to trust, signatures are not
// looked at. A store that is not there has no statements. What does not stand is a record, not an error.
func (s *Store) Load(trust []signing.Trust) ([]lineage.Record, error) {
	entries, err := os.ReadDir(s.dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read the statements: %w", err)
	}
	var out []lineage.Record
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), ".") || !strings.HasSuffix(e.Name(), ".json") {
			continue
		}
		if len(out) == maxRecords {
			return nil, fmt.Errorf("read the statements: %s holds more than %d: split it", s.dir, maxRecords)
		}
		named, _, _ := strings.Cut(e.Name(), ".")
		data, err := readRegular(filepath.Join(s.dir, e.Name()))
		if err != nil {
			out = append(out, lineage.Record{ID: named, Standing: lineage.Malformed, Note: err.Error()})
			continue
		}
		r := judge(data, trust)
		if r.ID != named {
			r.Note = "its file is named " + lineage.Short(named) + " and holds something else: it was changed after it was written"
			r.Standing, r.ID = lineage.Forged, named
		}
		out = append(out, r)
	}
	slices.SortStableFunc(out, func(a, b lineage.Record) int { return cmp.Compare(a.ID, b.ID) })
	return out, nil
}

func readRegular(path string) ([]byte, error) {
	info, err := os.Lstat(path)
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, errors.New("it is no regular file")
	}
	return provenance.ReadSmall(path, maxStored)
}

// judge says how a stored file stands.
func judge(data []byte, trust []signing.Trust) lineage.Record {
	payload := data
	var b *signing.Bundle
	if !lineage.IsStatement(data) {
		var err error
		if b, err = signing.ParseBundle(data); err != nil {
			return lineage.Record{ID: lineage.ID(data), Standing: lineage.Malformed, Note: "it is neither a statement nor a signed one"}
		}
		payload = b.Payload
	}
	r := lineage.Record{ID: lineage.ID(payload)}
	s, err := lineage.Parse(payload)
	if err != nil {
		r.Standing, r.Note = lineage.Malformed, err.Error()
		return r
	}
	r.Statement = s
	switch {
	case b == nil:
		r.Standing, r.Note = lineage.Unsigned, "nobody signed it"
	case len(trust) == 0:
		r.Standing = lineage.Unchecked
	default:
		standingOf(&r, b, trust)
	}
	return r
}

// standingOf tries whom one trusts in turn. A signature under a trusted name that does not fit is forged, whatever others say.
func standingOf(r *lineage.Record, b *signing.Bundle, trust []signing.Trust) {
	for _, t := range trust {
		v, err := signing.VerifyPayload(b, t)
		switch {
		case err == nil:
			r.Standing, r.Signer, r.Note = lineage.Trusted, v.Signer.String(), ""
			return
		case errors.Is(err, signing.ErrForged):
			r.Standing, r.Note = lineage.Forged, err.Error()
		case r.Standing == "":
			r.Standing, r.Note = lineage.Untrusted, err.Error()
		}
	}
}
