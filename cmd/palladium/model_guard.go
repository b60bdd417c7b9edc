package main

import (
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/palladium-guard/palladium/app/provenance"
	"github.com/palladium-guard/palladium/app/provenance/launch"
	"github.com/palladium-guard/palladium/app/provenance/pedigree"
	"github.com/palladium-guard/palladium/proof/ledger/tlog"
	"github.com/palladium-guard/palladium/weights/guard"
	"github.com/palladium-guard/palladium/weights/signing"
)

// guardFlags are those of model guard.
type guardFlags struct {
	verify  verifyFlags
	ledger  ledgerFlags
	lineage lineageVerifyFlags
	store   string
	models  []string

	policy, copyTo, proof, proofKey string
}

func modelGuard() *cobra.Command {
	var f guardFlags
	cmd := &cobra.Command{
		Use:   "guard [--model MODEL] -- COMMAND [ARG...]",
		Short: "Start a command only if the model that it loads is what it should be",
		Long: "Verifies the signature of the model that COMMAND loads, inspects its files, asks the policy, writes the load to the\n" +
			"ledger, and only then becomes COMMAND, whose exit status is the exit status. The model is the one folder or file\n" +
			"among the arguments that is there; with several, name the models with --model. Without COMMAND it only checks.\n\n" +
			"Right before the start it looks whether any file was changed, added or removed since. Who can write to the files\n" +
			"while the command reads them can still deceive it: mount them read-only, or use --copy.\n\n" +
			"When it does not start the command, the exit status is 3 because the model was refused, 1 because something\n" +
			"failed, 2 for wrong usage.",
		Example: "  palladium model guard --key release.pub --ledger ledger --ledger-key ledger.key -- vllm serve models/m1\n" +
			"  palladium model guard --key release.pub --policy load.yaml --copy /dev/shm -- vllm serve models/m1\n" +
			"  palladium model guard --key release.pub --model models/m1",
		RunE: func(cmd *cobra.Command, args []string) error { return f.run(cmd, args) },
	}
	f.verify.scope.add(cmd)
	f.verify.addTrust(cmd)
	fl := cmd.Flags()
	fl.SetInterspersed(false)
	fl.StringArrayVar(&f.models, "model", nil, "`PATH` of a model that the command loads; can be given several times")
	fl.StringVar(&f.policy, "policy", "", "policy `FILE`; model policy show prints the one that holds otherwise")
	fl.StringVar(&f.copyTo, "copy", "", "copy the model into a new folder below `DIR`, check the copy, and have the command load that")
	fl.StringVar(&f.store, "lineage", "", "`DIR` of lineage statements, from which the fact \"lineage\" of the policy comes")
	fl.StringArrayVar(&f.lineage.trust.keys, "lineage-key", nil, "with --lineage: public key `FILE` of whose statements are believed; the model's signer when not given;\ncan be given several times, as those that follow")
	fl.StringArrayVar(&f.lineage.roots, "lineage-root", nil, "with --lineage: artifact that is taken as it is, a `PATH` or an identity")
	fl.StringArrayVar(&f.lineage.files, "lineage-files", nil, "with --lineage: `PATH` of artifacts with which steps are done again")
	f.ledger.add(cmd, "the load")
	fl.StringVar(&f.proof, "proof", "", "`FILE` with a proof that the model's signature is in a ledger: fact \"proved\" of the policy")
	fl.StringVar(&f.proofKey, "proof-key", "", "with --proof: public key `FILE` of that ledger")
	return cmd
}

func (f *guardFlags) run(cmd *cobra.Command, command []string) (err error) {
	if (f.proof == "") != (f.proofKey == "") {
		return usageError(errors.New("a proof and the key of its ledger belong together"), "give --proof with --proof-key")
	}
	o := launch.Options{Command: command, Models: f.models, Copy: f.copyTo}
	if o.Ledger, o.Name, err = f.ledger.open(); err != nil {
		return err
	}
	if f.policy != "" {
		if o.Policy, err = readPolicy(f.policy, cmd.InOrStdin()); err != nil {
			return err
		}
	}
	if o.Verify, err = f.verify.options(); err != nil {
		return err
	}
	if f.proof != "" {
		o.Proved = f.proved
	}
	if o.Lineage, err = f.grader(o.Verify.Trust); err != nil {
		return err
	}
	d, err := launch.Check(cmd.Context(), &o)
	if errors.Is(err, guard.ErrPolicy) {
		return fmt.Errorf("read the policy %s: %w", f.policy, err)
	}
	if err != nil {
		return guardError(err)
	}
	if err := printDecision(cmd.ErrOrStderr(), d); err != nil {
		return err
	}
	status, err := d.Start(cmd.Context())
	if err == nil && status != 0 {
		return &failure{status: status}
	}
	return guardError(err)
}

// grader returns what looks up the lineage of models.
func (f *guardFlags) grader(signer signing.Trust) (launch.Lineage, error) {
	if f.store == "" {
		if len(f.lineage.trust.keys)+len(f.lineage.roots)+len(f.lineage.files) > 0 {
			return nil, usageError(errors.New("there is no lineage to look at"), "give --lineage DIR")
		}
		return launch.NoLineage{}, nil
	}
	g := &pedigree.Grader{Store: pedigree.OpenStore(f.store), Trust: []signing.Trust{signer}, Roots: f.lineage.roots, Files: f.lineage.files, Measure: pedigree.MeasureWeights}
	if len(f.lineage.trust.keys) > 0 {
		var err error
		if g.Trust, err = f.lineage.trust.load(); err != nil {
			return nil, err
		}
	}
	return g, nil
}

// proved returns the ledger in which the signature is proved to be. A proof of something else proves nothing.
func (f *guardFlags) proved(signature string) (string, error) {
	files := tlog.Files{Public: f.proofKey, Policy: f.ledger.files.Policy}
	p, err := files.VerifyProof(f.proof, "")
	if err != nil {
		return "", err
	}
	if hex.EncodeToString(p.Entry.Digest[:]) != signature {
		return "", nil
	}
	return p.Checkpoint.Origin, nil
}

func printDecision(out io.Writer, d *launch.Decision) error {
	for _, m := range d.Models {
		r := m.Report
		if r == nil { // a policy may allow it
			fmt.Fprintf(out, "%s: not signed by anybody trusted, inspected: %s\n", m.Path, m.Verdict)
			continue
		}
		fmt.Fprintf(out, "%s: signed by %s, inspected: %s, lineage: %s, root %s\n", m.Path, r.Signer, m.Verdict, m.Lineage, r.Root)
	}
	if d.Entry == nil {
		return nil
	}
	_, err := fmt.Fprintf(out, "the load is entry %d of the ledger\n", *d.Entry)
	return err
}

func guardError(err error) error {
	switch {
	case errors.Is(err, launch.ErrRefused), errors.Is(err, launch.ErrChanged):
		return &failure{status: statusFound, err: err, hint: "the command was not started"}
	case errors.Is(err, launch.ErrModel):
		return usageError(err, "palladium model guard --help shows how")
	case errors.Is(err, provenance.ErrRefused):
		return modelError(err)
	}
	return ledgerError(err)
}

// modelPolicy shows and checks policies of model guard.
func modelPolicy() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "policy",
		Short: "Show or check the policy that says which model may be loaded",
		Args:  cobra.NoArgs,
		RunE:  func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	check := &cobra.Command{
		Use:   "check FILE",
		Short: "Type check a policy; - reads standard input",
		Args:  cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			data, err := readPolicy(args[0], cmd.InOrStdin())
			if err != nil {
				return err
			}
			p, err := guard.Load(data)
			if err != nil {
				return fmt.Errorf("check %s: %w", args[0], err)
			}
			fmt.Fprintf(cmd.OutOrStdout(), "%s: accepted, revision %q\n", args[0], p.Revision())
			w := tabwriter.NewWriter(cmd.OutOrStdout(), 0, 0, 2, ' ', 0)
			for _, r := range p.Rules() {
				fmt.Fprintf(w, "  line %d\t%s\t%s\n", r.Line, r.Name, r.Require)
			}
			return w.Flush()
		},
	}
	var fields bool
	show := &cobra.Command{
		Use:   "show",
		Short: "Print the default policy, to start one of your own from",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if !fields {
				_, err := cmd.OutOrStdout().Write(guard.Default())
				return err
			}
			w := tabwriter.NewWriter(cmd.OutOrStdout(), 0, 0, 2, ' ', 0)
			for _, f := range new(guard.Facts).Fields() {
				fmt.Fprintf(w, "%s\t%s\t%s\n", f.Name, f.Type, f.Says)
			}
			return w.Flush()
		},
	}
	show.Flags().BoolVar(&fields, "fields", false, "list the names that a condition can use instead")
	cmd.AddCommand(check, show)
	return cmd
}
