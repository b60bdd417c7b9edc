// Package tlog writes a ledger to a folder, as a tile-based transparency log. What Append acknowledges is on disk:
// statement, entry, tree and signed checkpoint, in this order.
package tlog

import (
	"errors"
	"net/http"
	"time"

	"golang.org/x/mod/sumdb/note"

	"github.com/palladium-guard/palladium/proof/ledger"
)

var (
	// ErrBusy is wrapped when another process writes to the folder.
	ErrBusy = errors.New("ledger is being written by another process")
	// ErrClosed is returned by Append after Close.
	ErrClosed = errors.New("ledger is closed")
	// ErrStopped is wrapped by Append when a write has failed, and after that: the ledger must be opened anew, as Steady does by itself.
	ErrStopped = errors.New("ledger takes nothing since a write has failed: mend the cause and open it again")
)

// Options say how a log is written.
type Options struct {
	Signer note.Signer        // the log's Ed25519 key; its name is the log's
	Trust  ledger.Trust       // the same key, to read with, and the witnesses that must cosign, if any
	Known  *ledger.Checkpoint // the last one seen, kept outside the folder: a log that does not follow it is refused
	Now    func() time.Time   // for statements without a time; time.Now when nil

	// Policy names the witnesses and how many must cosign each checkpoint before an append is acknowledged.
	Policy []byte
	// WitnessTimeout is how long witnesses have to answer; 5 seconds when zero.
	WitnessTimeout time.Duration
	// Patience is how long a checkpoint may take before Append gives up; 20 seconds and twice WitnessTimeout when zero.
	Patience time.Duration
	// Unpublished acknowledges entries that are durable in the tree, before a checkpoint covers them. The receipt has none.
	Unpublished bool
	// HTTP reaches the witnesses; http.DefaultClient when nil.
	HTTP *http.Client
}
