package serve

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"time"

	"github.com/palladium-guard/palladium/store"
	"github.com/palladium-guard/palladium/store/backup"
	"github.com/palladium-guard/palladium/store/catalog"
)

// CatalogAt says which catalog is meant: by the configuration and the state directory as palladium serve takes them, or by URL.
type CatalogAt struct {
	Config string // file; may be empty
	State  string // directory; empty: palladium-state
	URL    string // goes before what the configuration says
}

func (a CatalogAt) open(ctx context.Context, existing bool) (*store.DB, error) {
	h := &house{o: Options{Config: a.Config, State: cmp.Or(a.State, "palladium-state")}}
	f, err := h.read()
	if err != nil {
		return nil, err
	}
	if a.URL != "" {
		f.Catalog.URL = a.URL
	}
	return catalog.Connect(ctx, f.Catalog, nil, existing)
}

// BackUp writes the catalog as it is at one moment to a file, whole or not at all, and may do so while palladium serve runs.
// A file that is there already is fs.ErrExist, unless force is set.
func BackUp(ctx context.Context, at CatalogAt, path string, force bool) (backup.Summary, error) {
	var sum backup.Summary
	if _, err := os.Lstat(path); err == nil && !force {
		return sum, fmt.Errorf("%s: %w", path, fs.ErrExist)
	} else if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return sum, err
	}
	db, err := at.open(ctx, true)
	if err != nil {
		return sum, err
	}
	defer db.Close()
	err = store.Replace(path, 0o600, func(w io.Writer) (err error) { // it holds hashes of passwords and tokens
		sum, err = backup.Write(ctx, db, w, time.Now(), version())
		return err
	})
	return sum, err
}

// Restore puts what a file holds into the catalog, in one transaction. A catalog that holds anything is backup.ErrHolds, unless
// replace is set. A file that is not whole, or newer than this program, is refused before the catalog is opened.
func Restore(ctx context.Context, at CatalogAt, path string, replace bool) (backup.Summary, error) {
	f, err := os.Open(path)
	if err != nil {
		return backup.Summary{}, err
	}
	defer f.Close()
	known, err := catalog.Schema().Known()
	if err != nil {
		return backup.Summary{}, err
	}
	sum, err := backup.Check(ctx, f, catalog.Schema().Name, known)
	if err != nil {
		return backup.Summary{}, err
	}
	db, err := at.open(ctx, false)
	if err != nil {
		return backup.Summary{}, err
	}
	defer db.Close()
	return sum, backup.Load(ctx, db, f, sum, backup.Options{Replace: replace, Settle: catalog.Restored(time.Now())})
}
