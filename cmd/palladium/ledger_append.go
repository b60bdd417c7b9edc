package main

import (
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"

	"github.com/palladium-guard/palladium/proof/ledger"
	"github.com/palladium-guard/palladium/proof/ledger/tlog"
)

func ledgerAppend() *cobra.Command {
	var f tlog.Files
	var kind string
	cmd := &cobra.Command{
		Use:   "append DIR [FILE...]",
		Short: "Append statements; - or no file reads one from standard input",
		Long: "Appends the content of each FILE as a statement, and returns when statement, entry and a signed checkpoint over it\n" +
			"are on disk. Prints for each the number of its entry and the SHA-256 of the statement.",
		Example: "  palladium ledger append --key ledger.key --type https://slsa.dev/provenance/v1 ledger provenance.json",
		Args:    cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			f.Dir = args[0]
			if f.Private == "" || kind == "" {
				return usageError(errors.New("give --key and --type"), "--key is the private key that ledger init has written")
			}
			return appendStatements(cmd, &f, kind, args[1:])
		},
	}
	fl := cmd.Flags()
	fl.StringVar(&f.Private, "key", "", "the ledger's private key `FILE`")
	fl.StringVar(&kind, "type", "", "what `KIND` of statement it is: a name or a URL, such as the predicate type of an in-toto statement")
	addLedgerFlags(cmd, &f)
	return cmd
}

func appendStatements(cmd *cobra.Command, f *tlog.Files, kind string, names []string) (err error) {
	if len(names) == 0 {
		names = []string{"-"}
	}
	for _, name := range names { // what can be seen beforehand stops all of them
		if err := checkStatement(name); err != nil {
			return err
		}
	}
	l, err := f.Open(cmd.Context())
	if err != nil {
		return ledgerError(err)
	}
	defer func() {
		if e := l.Close(); err == nil {
			err = ledgerError(e)
		}
	}()
	for len(names) > 0 { // together, as far as memory goes
		var group []ledger.Statement
		for size := 0; len(names) > 0 && len(group) < 4096 && size < 2*ledger.MaxStatement; names = names[1:] {
			body, err := readStatement(names[0], cmd.InOrStdin())
			if err != nil {
				return err
			}
			group, size = append(group, ledger.Statement{Type: kind, Body: body}), size+len(body)
		}
		receipts, err := l.AppendAll(cmd.Context(), group)
		if err != nil {
			return ledgerError(err)
		}
		for i := range receipts {
			if _, err := fmt.Fprintf(cmd.OutOrStdout(), "%d %x\n", receipts[i].Index, receipts[i].Entry.Digest); err != nil {
				return err
			}
		}
	}
	return nil
}

// checkStatement looks whether a file can be a statement, without reading it.
func checkStatement(name string) error {
	if name == "-" {
		return nil
	}
	info, err := os.Stat(name)
	switch {
	case err != nil:
		return fmt.Errorf("read the statement: %w", err)
	case info.IsDir():
		return fmt.Errorf("read the statement: %w: %s is a folder: name the file", ledger.ErrStatement, name)
	case info.Mode().IsRegular() && info.Size() == 0:
		return emptyStatement(name)
	case info.Size() > ledger.MaxStatement:
		return fmt.Errorf("read the statement: %w: %s has more than %d bytes: append a digest of it", ledger.ErrStatement, name, ledger.MaxStatement)
	}
	return nil
}

func emptyStatement(name string) error {
	if name == "-" {
		name = "standard input"
	}
	return fmt.Errorf("read the statement: %w: %s is empty: see whether what should have written it has failed", ledger.ErrStatement, name)
}

func readStatement(name string, stdin io.Reader) ([]byte, error) {
	in := stdin
	if name != "-" {
		f, err := os.Open(name)
		if err != nil {
			return nil, fmt.Errorf("read the statement: %w", err)
		}
		defer f.Close()
		in = f
	}
	data, err := io.ReadAll(io.LimitReader(in, ledger.MaxStatement+1))
	if err != nil {
		return nil, fmt.Errorf("read the statement: %w", err)
	}
	if len(data) == 0 {
		return nil, emptyStatement(name)
	}
	return data, nil
}
