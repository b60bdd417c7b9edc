package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"

	"github.com/palladium-guard/palladium/proof/ledger"
	"github.com/palladium-guard/palladium/proof/ledger/tlog"
)

// ledgerCommand groups what is done with a transparency log.
func ledgerCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "ledger",
		Short: "Keep acts in a log that cannot be rewritten unnoticed, and prove it",
		Args:  cobra.NoArgs,
		RunE:  func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(ledgerInit(), ledgerAppend(), ledgerVerify(), ledgerProve(), ledgerShow())
	return cmd
}

func ledgerInit() *cobra.Command {
	var f tlog.Files
	var name string
	cmd := &cobra.Command{
		Use:   "init DIR",
		Short: "Begin a ledger in a new folder",
		Long: "Makes a key pair and an empty ledger in DIR. Keep the private key where only who writes can read it, and give the\n" +
			"public key to everybody who shall be able to check: whoever gets it from beside the ledger proves nothing.",
		Example: "  palladium ledger init --name example.com/models --key ledger.key --public ledger.pub ledger",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			f.Dir = args[0]
			if name == "" || f.Private == "" || f.Public == "" {
				return usageError(errors.New("give --name, --key and --public"), "the keys are written to files that must not exist yet")
			}
			public, err := f.Init(cmd.Context(), name)
			if err != nil {
				return ledgerError(err)
			}
			_, err = fmt.Fprintf(cmd.OutOrStdout(), "ledger %s begun in %s\npublic key: %s\n", name, f.Dir, public)
			return err
		},
	}
	fl := cmd.Flags()
	fl.StringVar(&name, "name", "", "the ledger's `NAME` for ever: a host and path, such as example.com/models")
	fl.StringVar(&f.Private, "key", "", "write the private key to this `FILE`")
	fl.StringVar(&f.Public, "public", "", "write the public key to this `FILE`")
	return cmd
}

func ledgerVerify() *cobra.Command {
	var f tlog.Files
	var proof, statement, format string
	cmd := &cobra.Command{
		Use:   "verify [DIR]",
		Short: "Prove that a ledger is whole and unchanged, or check the proof of one entry",
		Long: "Reads the whole ledger and proves, offline and with nothing but the public key, that every entry is there and in its\n" +
			"place, that every statement is the one logged, and that nothing of what an earlier run has seen was taken back.\n" +
			"With --proof it checks the proof of one entry instead, for which the ledger itself is not needed.\n\n" +
			"The exit status is 0 when all holds, 3 when something was changed, lost or is not trusted, 1 when it could not be\n" +
			"checked, 2 for wrong usage.",
		Example: "  palladium ledger verify --key ledger.pub ledger\n" +
			"  palladium ledger verify --key ledger.pub --proof 17.tlog-proof --statement provenance.json",
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if f.Public == "" || (len(args) == 1) == (proof != "") || statement != "" && proof == "" {
				return usageError(errors.New("give --key, and DIR or --proof"), "--statement goes with --proof")
			}
			if format != "text" && format != "json" {
				return usageError(fmt.Errorf("unknown format %q", format), "use text or json")
			}
			if proof != "" {
				return verifyProof(cmd.OutOrStdout(), &f, proof, statement, format)
			}
			f.Dir = args[0]
			r, err := f.Verify(cmd.Context())
			if err != nil {
				return ledgerError(err)
			}
			return printLedger(cmd.OutOrStdout(), format, r)
		},
	}
	fl := cmd.Flags()
	fl.StringVar(&f.Public, "key", "", "the ledger's public key `FILE`")
	fl.StringVar(&proof, "proof", "", "check this proof `FILE`")
	fl.StringVar(&statement, "statement", "", "with --proof: `FILE` with the statement that the entry must stand for")
	fl.StringVar(&format, "format", "text", "text or json")
	addLedgerFlags(cmd, &f)
	return cmd
}

func addLedgerFlags(cmd *cobra.Command, f *tlog.Files) {
	fl := cmd.Flags()
	fl.StringVar(&f.Policy, "witnesses", "", "witness policy `FILE`: who must have cosigned")
	fl.StringVar(&f.Seen, "seen", "", "keep the last checkpoint seen in this `FILE`, so that a ledger that was rolled back is found out;\nin the user's state directory when not given, nowhere with \"none\"")
}

func printLedger(out io.Writer, format string, r *ledger.Report) error {
	if format == "json" {
		enc := json.NewEncoder(out)
		enc.SetIndent("", "  ")
		return enc.Encode(r)
	}
	fmt.Fprintf(out, "ledger %s: %d entries and their %d bytes of statements are as signed\n", r.Checkpoint.Origin, r.Checkpoint.Size, r.Bytes)
	if r.Known != nil {
		fmt.Fprintf(out, "nothing of the %d entries seen before was taken back\n", r.Known.Size)
	}
	return printCosignatures(out, r.Checkpoint)
}

func printCosignatures(out io.Writer, cp *ledger.Checkpoint) error {
	for _, c := range cp.Cosignatures {
		said := "by a key that you did not give: not checked"
		if c.Known {
			said = "good, at " + c.Time.Format("2006-01-02 15:04:05Z")
		}
		if _, err := fmt.Fprintf(out, "cosignature of %s: %s\n", c.Name, said); err != nil {
			return err
		}
	}
	return nil
}

func verifyProof(out io.Writer, f *tlog.Files, name, statement, format string) error {
	p, err := f.VerifyProof(name, statement)
	if err != nil {
		return ledgerError(err)
	}
	if format == "json" {
		enc := json.NewEncoder(out)
		enc.SetIndent("", "  ")
		return enc.Encode(p)
	}
	if err := printEntry(out, p.Index, &p.Entry); err != nil {
		return err
	}
	fmt.Fprintf(out, "is in ledger %s, by its checkpoint over %d entries\n", p.Checkpoint.Origin, p.Checkpoint.Size)
	return printCosignatures(out, p.Checkpoint)
}

func printEntry(out io.Writer, index uint64, e *ledger.Entry) error {
	_, err := fmt.Fprintf(out, "entry %d: %s of %s, %d bytes with SHA-256 %x\n", index, e.Type, e.Time.Format("2006-01-02 15:04:05.000Z"), e.Size, e.Digest)
	return err
}

func ledgerProve() *cobra.Command {
	var f tlog.Files
	var out string
	cmd := &cobra.Command{
		Use:   "prove DIR ENTRY",
		Short: "Write a self-contained proof that an entry is in the ledger",
		Long: "Writes a C2SP tlog-proof of ENTRY, which is the number of an entry or the SHA-256 of its statement. Whoever has the\n" +
			"ledger's public key can check it without the ledger: palladium ledger verify --proof FILE.",
		Example: "  palladium ledger prove --key ledger.pub --out 17.tlog-proof ledger 17",
		Args:    cobra.ExactArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			f.Dir = args[0]
			if f.Public == "" {
				return usageError(errors.New("give --key"), "it is the public key that ledger init has written")
			}
			data, err := f.Prove(args[1])
			if err != nil {
				return ledgerError(err)
			}
			if out == "" {
				_, err = cmd.OutOrStdout().Write(data)
				return err
			}
			return tlog.WriteFile(out, data)
		},
	}
	fl := cmd.Flags()
	fl.StringVar(&f.Public, "key", "", "the ledger's public key `FILE`")
	fl.StringVar(&f.Policy, "witnesses", "", "witness policy `FILE`: who must have cosigned")
	fl.StringVarP(&out, "out", "o", "", "write the proof to this `FILE` instead of standard output")
	return cmd
}

func ledgerShow() *cobra.Command {
	var f tlog.Files
	var last int
	var before uint64
	cmd := &cobra.Command{
		Use:   "show DIR [ENTRY]",
		Short: "List the last entries, or print the statement of one",
		Long: "Prints the statement of ENTRY, which is the number of an entry or the SHA-256 of its statement, after checking that it\n" +
			"is the one logged. Without ENTRY it lists the last entries.",
		Args: cobra.RangeArgs(1, 2),
		RunE: func(cmd *cobra.Command, args []string) error {
			f.Dir = args[0]
			if f.Public == "" {
				return usageError(errors.New("give --key"), "it is the public key that ledger init has written")
			}
			if len(args) == 1 {
				return listEntries(cmd.OutOrStdout(), &f, before, last)
			}
			body, err := f.Statement(args[1])
			if err != nil {
				return ledgerError(err)
			}
			_, err = cmd.OutOrStdout().Write(body)
			return err
		},
	}
	fl := cmd.Flags()
	fl.StringVar(&f.Public, "key", "", "the ledger's public key `FILE`")
	fl.IntVarP(&last, "last", "n", 20, "list `NUMBER` entries, 1000 at most")
	fl.Uint64Var(&before, "before", 0, "list those before entry `NUMBER`")
	return cmd
}

// listEntries prints entries, the oldest first.
func listEntries(out io.Writer, f *tlog.Files, before uint64, n int) error {
	p, err := f.List(tlog.ListOptions{Before: before, Limit: n})
	if err != nil {
		return ledgerError(err)
	}
	for i := len(p.Items) - 1; i >= 0; i-- {
		if err := printEntry(out, p.Items[i].Index, &p.Items[i].Entry); err != nil {
			return err
		}
	}
	return nil
}

// ledgerError gives what was found out about a ledger the status of something found, and a hint where one helps.
func ledgerError(err error) error {
	for _, found := range []error{
		ledger.ErrBroken, ledger.ErrUntrusted, ledger.ErrRollback, ledger.ErrFork, ledger.ErrProof, ledger.ErrFormat,
		ledger.ErrTampered, ledger.ErrMissing, ledger.ErrTile, ledger.ErrEntry, ledger.ErrTruncated,
	} {
		if errors.Is(err, found) {
			return &failure{status: statusFound, err: err, hint: "keep a copy of the ledger as it is, and compare with copies and proofs that others hold"}
		}
	}
	switch {
	case err == nil:
		return nil
	case errors.Is(err, tlog.ErrBusy):
		return &failure{status: statusFailed, err: err, hint: "try again when it has ended"}
	case errors.Is(err, ledger.ErrStatement), errors.Is(err, context.Canceled):
		return err
	case errors.Is(err, os.ErrNotExist):
		return &failure{status: statusFailed, err: err, hint: "check the path"}
	}
	return err
}
