package pedigree

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/palladium-guard/palladium/app/provenance"
	"github.com/palladium-guard/palladium/proof/ledger"
	"github.com/palladium-guard/palladium/store"
	"github.com/palladium-guard/palladium/weights/lineage"
	"github.com/palladium-guard/palladium/weights/signing"
)

// DatasetOptions say which data set is stated, or compared with a statement.
type DatasetOptions struct {
	Paths    []string // a directory, a file, or files in an order that matters
	Manifest string   // file of the statement, beside the store
	Store    *Store   // nil keeps the statement in Manifest alone
	URI      string   // where the data came from
	Note     string
	With     provenance.Signer
	Trust    []signing.Trust
	Reading  provenance.Reading
	Ledger   ledger.Ledger // the statement is written to it before it is kept; none when nil
}

// readDataset hashes a data set and counts its rows. A damaged shard, such as a Parquet file without its end, is an error
// unless it may be.
func readDataset(ctx context.Context, paths []string, r provenance.Reading, damaged bool) (lineage.Artifact, error) {
	if len(paths) == 1 {
		return readArtifact(ctx, Declared{Role: lineage.Data, Path: paths[0], damaged: damaged}, r)
	}
	var files []lineage.File
	for _, p := range paths {
		info, err := os.Stat(p)
		if err != nil {
			return lineage.Artifact{}, fmt.Errorf("read the data: %w", err)
		}
		if info.IsDir() {
			return lineage.Artifact{}, fmt.Errorf("read the data: %s is a directory: name one directory alone, or files", p)
		}
		a, err := readArtifact(ctx, Declared{Role: lineage.Data, Path: p, damaged: damaged}, r)
		if err != nil {
			return lineage.Artifact{}, err
		}
		_, format, _ := lineage.Rows(strings.NewReader(""), 0, p) // the format that its name tells
		files = append(files, lineage.File{Path: a.Name, Size: a.Size, SHA256: strings.TrimPrefix(a.Identity(), "sha256:"), Rows: a.Rows, Format: format})
	}
	a := lineage.NewList(nameOf(filepath.Dir(paths[0])), lineage.Data, files)
	return a, a.Check()
}

// StateDataset writes a statement of the step dataset: every shard with its digest, size and rows.
func StateDataset(ctx context.Context, o DatasetOptions) (*Recorded, error) {
	a, err := readDataset(ctx, o.Paths, o.Reading, false)
	if err != nil {
		return nil, err
	}
	a.URI = hideUser(o.URI)
	r := &Recorded{Signed: o.With != nil, Statement: &lineage.Statement{
		Step: lineage.Dataset, Outputs: []lineage.Artifact{a}, Note: o.Note, Time: time.Now().UTC().Truncate(time.Second),
	}}
	payload, err := lineage.Encode(r.Statement)
	if err != nil {
		return nil, err
	}
	data := payload
	if o.With != nil {
		if data, err = o.With.Sign(ctx, payload); err != nil {
			return nil, err
		}
	} else {
		r.Warnings = append(r.Warnings, "nobody signed the statement: give --key")
	}
	r.ID = lineage.ID(payload)
	if err := r.log(ctx, o.Ledger, data); err != nil {
		return nil, err
	}
	if o.Manifest != "" {
		r.Path = o.Manifest
		if err := store.ReplaceBytes(o.Manifest, 0o644, data); err != nil {
			return nil, fmt.Errorf("write the manifest: %w", err)
		}
	}
	if o.Store != nil {
		_, path, err := o.Store.Put(data)
		if err != nil {
			return nil, err
		}
		if r.Path == "" {
			r.Path = path
		}
	}
	return r, nil
}

// DatasetReport says how a data set compares with what was stated.
type DatasetReport struct {
	Statement   string               `json:"statement"`
	Standing    lineage.Standing     `json:"standing"`
	Signer      string               `json:"signer,omitempty"`
	Stated      *lineage.Artifact    `json:"-"`
	Files       int                  `json:"files"`
	Rows        int64                `json:"rows"`
	Differences []lineage.Difference `json:"differences,omitempty"`
}

// VerifyDataset compares a data set with the statement in Manifest. A statement that does not stand is an error that
// wraps provenance.ErrRefused; with nobody to trust, unsigned ones stand.
func VerifyDataset(ctx context.Context, o DatasetOptions) (*DatasetReport, error) {
	data, err := provenance.ReadSmall(o.Manifest, maxStored)
	if err != nil {
		return nil, fmt.Errorf("read the manifest: %w", err)
	}
	rec := judge(data, o.Trust)
	if rec.Statement == nil || !(rec.Standing == lineage.Trusted || len(o.Trust) == 0 && (rec.Standing == lineage.Unchecked || rec.Standing == lineage.Unsigned)) {
		return nil, fmt.Errorf("%w: its manifest is %s: %s", provenance.ErrRefused, rec.Standing, rec.Note)
	}
	stated := rec.Statement.Datasets()
	if len(stated) != 1 {
		return nil, fmt.Errorf("the statement names %d data sets, not one", len(stated))
	}
	found, err := readDataset(ctx, o.Paths, o.Reading, true)
	if err != nil {
		return nil, err
	}
	r := &DatasetReport{Statement: rec.ID, Standing: rec.Standing, Signer: rec.Signer, Stated: stated[0], Files: len(found.Files), Rows: found.Rows}
	r.Differences, err = lineage.Compare(stated[0], &found, func(p string, n int64) (string, error) { return o.prefix(p, n) })
	return r, err
}

// prefix hashes the first n bytes of a shard.
func (o *DatasetOptions) prefix(name string, n int64) (string, error) {
	path := name
	if len(o.Paths) == 1 {
		path = filepath.Join(o.Paths[0], filepath.FromSlash(name))
	} else {
		for _, p := range o.Paths {
			if nameOf(p) == name {
				path = p
			}
		}
	}
	f, _, err := provenance.OpenRegular(path)
	if err != nil {
		return "", fmt.Errorf("read the data: %w", err)
	}
	defer f.Close()
	h := sha256.New()
	if _, err := io.Copy(h, io.LimitReader(f, n)); err != nil {
		return "", fmt.Errorf("read the data: %w", err)
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}
