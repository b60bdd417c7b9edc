//go:build !unix || solaris || aix

package tlog

import (
	"context"
	"errors"

	"github.com/palladium-guard/palladium/proof/ledger"
)

var errSystem = errors.New("ledgers cannot be written on this system, only read: write them on Linux, macOS or a BSD")

// Log cannot be opened here.
type Log struct{}

// Create returns an error here.
func Create(context.Context, string, Options) error { return errSystem }

// Open returns an error here.
func Open(context.Context, string, Options) (*Log, error) { return nil, errSystem }

// Name returns nothing here.
func (*Log) Name() string { return "" }

// Append returns an error here.
func (*Log) Append(context.Context, ledger.Statement) (ledger.Receipt, error) {
	return ledger.Receipt{}, errSystem
}

// AppendAll returns an error here.
func (*Log) AppendAll(context.Context, []ledger.Statement) ([]ledger.Receipt, error) {
	return nil, errSystem
}

// Close does nothing here.
func (*Log) Close() error { return nil }

// waitLock does nothing here: two readers at once may keep the shorter of two checkpoints.
func waitLock(string) (unlock func(), err error) { return func() {}, nil }
