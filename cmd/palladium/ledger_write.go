package main

import (
	"errors"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/palladium-guard/palladium/proof/ledger"
	"github.com/palladium-guard/palladium/proof/ledger/tlog"
)

// ledgerFlags name the ledger that an act is written to before it is done.
type ledgerFlags struct {
	files tlog.Files
	proof string
}

func (f *ledgerFlags) add(cmd *cobra.Command, what string) {
	fl := cmd.Flags()
	fl.StringVar(&f.files.Dir, "ledger", "", "write "+what+" to the ledger in this `DIR` first")
	fl.StringVar(&f.files.Private, "ledger-key", "", "with --ledger: its private key `FILE`")
	addLedgerFlags(cmd, &f.files)
}

func (f *ledgerFlags) addProof(cmd *cobra.Command) {
	cmd.Flags().StringVar(&f.proof, "proof", "", "with --ledger: write the proof that it is in there to this `FILE`")
}

// open returns the ledger and its name; nil when none is named.
func (f *ledgerFlags) open() (ledger.Ledger, string, error) {
	if (f.files.Dir == "") != (f.files.Private == "") || f.proof != "" && f.files.Dir == "" {
		return nil, "", usageError(errors.New("a ledger and its key belong together"), "give --ledger with --ledger-key")
	}
	if f.files.Dir == "" {
		return nil, "", nil
	}
	l := tlog.Once{Files: &f.files}
	name, err := l.Name()
	if err != nil {
		return nil, "", ledgerError(err)
	}
	return l, name, nil
}

// done says which entry was written, and writes its proof where one is asked for.
func (f *ledgerFlags) done(out io.Writer, what string, entry *uint64) error {
	if entry == nil {
		return nil
	}
	fmt.Fprintf(out, "%s is entry %d of the ledger\n", what, *entry)
	if f.proof == "" {
		return nil
	}
	data, err := f.files.Prove(fmt.Sprint(*entry))
	if err != nil {
		return ledgerError(err)
	}
	return tlog.WriteFile(f.proof, data)
}
