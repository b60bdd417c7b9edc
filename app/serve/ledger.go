package serve

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"sync/atomic"

	"github.com/palladium-guard/palladium/config"
	"github.com/palladium-guard/palladium/proof/ledger"
	"github.com/palladium-guard/palladium/proof/ledger/tlog"
	"github.com/palladium-guard/palladium/traffic/gateway"
)

// writtenLedger is the log of what this process decides.
type writtenLedger struct {
	*tlog.Steady
	failed atomic.Pointer[error] // why the last statement was not taken; nil where it was
}

// ledgerOrigin names the log in its checkpoints.
const ledgerOrigin = "palladium.local/decisions"

// openLedger opens the log, and makes it with its keys where none is; nil where none is wanted.
func openLedger(ctx context.Context, c config.Ledger, log *slog.Logger) (*writtenLedger, error) {
	if c.Off {
		return nil, nil
	}
	f := &tlog.Files{Dir: c.Dir, Private: c.Key, Public: c.Public, Policy: c.Witness, Seen: tlog.NoMemory}
	_, noDir := os.Stat(c.Dir)
	_, noKey := os.Stat(c.Key)
	if errors.Is(noDir, fs.ErrNotExist) && errors.Is(noKey, fs.ErrNotExist) {
		public, err := f.Init(ctx, ledgerOrigin)
		if err != nil {
			return nil, fmt.Errorf("make the ledger: %w", err)
		}
		log.Info("a ledger was made: keep a copy of its public key where this process cannot write", "dir", c.Dir, "public", public)
	}
	w, err := f.Steady(ctx)
	if err != nil {
		return nil, fmt.Errorf("open the ledger: %w", err)
	}
	return &writtenLedger{Steady: w}, nil
}

// Append writes a statement down, and returns once it is durable and in the tree.
func (l *writtenLedger) Append(ctx context.Context, kind string, statement []byte) (int64, error) {
	r, err := l.Steady.Append(ctx, ledger.Statement{Type: kind, Body: statement})
	if err != nil {
		if ctx.Err() == nil {
			l.failed.Store(&err)
		}
		return -1, err
	}
	l.failed.Store(nil)
	return int64(r.Index), nil
}

// part says how the ledger is: while it takes nothing, nothing is decided.
func (l *writtenLedger) part() gateway.Part {
	if err := l.failed.Load(); err != nil {
		return gateway.Part{Name: "ledger", Says: fmt.Sprintf("it took no statement the last time, and what it does not take is not decided: make room, it goes on by itself with the next: %v", *err)}
	}
	return gateway.Part{Name: "ledger", OK: true}
}
