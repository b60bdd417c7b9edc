package tlog

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/palladium-guard/palladium/proof/ledger"
)

const (
	busyPatience = 30 * time.Second // how long to wait until another process has written
	busyPoll     = 20 * time.Millisecond
)

// Once is the log of some files for who writes to it seldom: it is opened for each append and free in between, so that
// several processes can take turns. It implements ledger.Ledger.
type Once struct{ Files *Files }

// Name returns the log's name, after a look whether key and log are there, so that what lacks is found before the work
// that is to be written down.
func (o Once) Name() (string, error) {
	t, err := o.Files.Trust()
	if err != nil {
		return "", err
	}
	if _, err := os.Stat(filepath.Join(o.Files.Dir, ledger.CheckpointPath)); err != nil {
		return "", fmt.Errorf("open the ledger: %w: `palladium ledger init` makes one", err)
	}
	return t.Log.Name(), nil
}

// Append opens the log, appends s, and closes it.
func (o Once) Append(ctx context.Context, s ledger.Statement) (ledger.Receipt, error) {
	r, err := o.AppendAll(ctx, []ledger.Statement{s})
	if err != nil {
		return ledger.Receipt{}, err
	}
	return r[0], nil
}

// AppendAll opens the log, appends the statements, and closes it. While another process writes, it waits for 30 seconds.
func (o Once) AppendAll(ctx context.Context, statements []ledger.Statement) (r []ledger.Receipt, err error) {
	w, err := o.open(ctx)
	if err != nil {
		return nil, err
	}
	r, err = w.AppendAll(ctx, statements)
	if e := w.Close(); err == nil {
		err = e
	}
	return r, err
}

func (o Once) open(ctx context.Context) (*Writer, error) {
	until := time.Now().Add(busyPatience)
	for {
		w, err := o.Files.Open(ctx)
		if !errors.Is(err, ErrBusy) || time.Now().After(until) {
			return w, err
		}
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-time.After(busyPoll):
		}
	}
}
