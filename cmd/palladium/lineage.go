package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"github.com/palladium-guard/palladium/app/provenance"
	"github.com/palladium-guard/palladium/app/provenance/pedigree"
	"github.com/palladium-guard/palladium/weights/lineage"
	"github.com/palladium-guard/palladium/weights/signing"
)

// lineageCommand groups what says from what a model was made.
func lineageCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "lineage",
		Short: "Record from what a model is made, and walk back from it",
		Args:  cobra.NoArgs,
		RunE:  func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	var store string
	cmd.PersistentFlags().StringVar(&store, "store", pedigree.DefaultStore, "`DIR` of the statements")
	cmd.AddCommand(lineageRecord(&store), lineageShow(&store), lineageVerify(&store), lineageDataset(&store), lineageExport(&store))
	return cmd
}

// trustFlags say whose statements are believed.
type trustFlags struct {
	keys []string
	more provenance.TrustFiles
}

func (f *trustFlags) add(cmd *cobra.Command) {
	fl := cmd.Flags()
	fl.StringArrayVar(&f.keys, "key", nil, "public key `FILE` of somebody who is trusted, PEM; can be given several times")
	fl.StringArrayVar(&f.more.Roots, "roots", nil, "`FILE` of the certificate authorities that you trust, PEM; can be given several times")
	fl.StringVar(&f.more.Subject, "subject", "", "with --roots: the `NAME` in the certificate, its common name or an alternative one")
	fl.StringVar(&f.more.Identity, "identity", "", "Sigstore: `NAME` of the signer")
	fl.StringVar(&f.more.Issuer, "issuer", "", "Sigstore: `URL` of who vouches for the name")
	fl.StringVar(&f.more.TrustedRoot, "trusted-root", "", "Sigstore: `FILE` with the keys of its services; without it they are fetched")
}

func (f *trustFlags) load() (out []signing.Trust, err error) {
	for _, key := range f.keys {
		t, err := (&provenance.TrustFiles{Key: key}).Load()
		if err != nil {
			return nil, err
		}
		out = append(out, t)
	}
	if len(f.more.Roots) > 0 || f.more.Identity != "" || f.more.Issuer != "" {
		t, err := f.more.Load()
		if err != nil {
			return nil, err
		}
		out = append(out, t)
	}
	return out, nil
}

// recordFlags are those of lineage record.
type recordFlags struct {
	keys   provenance.KeyFiles
	fulcio provenance.SigstoreOptions
	ledger ledgerFlags

	sigstore, quiet                    bool
	step, observe, note, transform     string
	models, adapters, data, code, conf []string
	inputs, outputs, reports           []string
	parameters                         map[string]string
	workers                            int
}

func lineageRecord(store *string) *cobra.Command {
	var f recordFlags
	var steps []string
	for _, s := range lineage.Steps() {
		steps = append(steps, string(s))
	}
	cmd := &cobra.Command{
		Use:   "record --step STEP [--model PATH] [--dataset PATH] --output PATH [-- CMD ...]",
		Short: "Run a step and record what went in and what came out",
		Long: "Hashes what is declared, runs CMD, hashes again, and keeps a signed in-toto statement: inputs and outputs by digest,\n" +
			"the command without its secrets, its exit status, names of environment variables, the git commit, and the files that\n" +
			"it was seen to read beyond what is declared. Without CMD, a step that is done already is recorded.\n\n" +
			"STEP is one of " + strings.Join(steps, ", ") + ".\n\n" +
			"The exit status is the command's; 3 when an input changed meanwhile, 1 when nothing was recorded, 2 for wrong usage.",
		Example: "  palladium lineage record --key k.pem --step dataset --output data/\n" +
			"  palladium lineage record --key k.pem --step fine-tune --model base/ --dataset data/ --output out/ -- python train.py\n" +
			"  palladium lineage record --key k.pem --step convert --model out/ --output bf16/ --transformation cast -- ./cast.sh",
		RunE: func(cmd *cobra.Command, args []string) error { return f.run(cmd, *store, args) },
	}
	f.ledger.add(cmd, "the statement")
	f.ledger.addProof(cmd)
	fl := cmd.Flags()
	fl.StringVar(&f.step, "step", "", "kind of `STEP`")
	fl.StringArrayVar(&f.models, "model", nil, "model that goes in, a file or directory; can be given several times, as all that follow")
	fl.StringArrayVar(&f.adapters, "adapter", nil, "adapter that goes in")
	fl.StringArrayVar(&f.data, "dataset", nil, "data that goes in; rows of JSON Lines and Parquet are counted")
	fl.StringArrayVar(&f.code, "code", nil, "code that goes in")
	fl.StringArrayVar(&f.conf, "config", nil, "configuration that goes in")
	fl.StringArrayVar(&f.inputs, "input", nil, "anything else that goes in")
	fl.StringArrayVarP(&f.outputs, "output", "o", nil, "what comes out")
	fl.StringArrayVar(&f.reports, "report", nil, "report that comes out")
	fl.StringVar(&f.transform, "transformation", "", "how the output follows from the input, so that verify can do it again: see docs/lineage.md")
	fl.StringToStringVar(&f.parameters, "parameter", nil, "of the transformation, as `NAME=VALUE`")
	fl.StringVar(&f.observe, "observe", "auto", "how files that CMD opens are noted: trace, none, or auto for trace where it can be done")
	fl.StringVar(&f.note, "note", "", "a sentence to keep with the step")
	fl.StringVar(&f.keys.Key, "key", "", "private key `FILE`, PEM: ECDSA on P-256, P-384 or P-521")
	fl.StringVar(&f.keys.Passphrase, "passphrase-file", "", "`FILE` whose first line is the key's passphrase, or the token's PIN")
	fl.StringVar(&f.keys.Token, "token", "", "PKCS #11 `URI` of a key in a token")
	fl.StringVar(&f.keys.Certificate, "certificate", "", "certificate `FILE` of the key, PEM, to sign by certificate")
	fl.StringArrayVar(&f.keys.Chain, "chain", nil, "`FILE` of certificates that lead to the authority")
	fl.BoolVar(&f.sigstore, "sigstore", false, "sign with a short-lived certificate of Sigstore; needs the network")
	fl.StringVar(&f.fulcio.TokenFile, "identity-token-file", "", "with --sigstore: `FILE` with the OIDC token of the signer")
	fl.IntVar(&f.workers, "workers", 0, "files that are hashed at a time; one for each core when not given")
	fl.BoolVarP(&f.quiet, "quiet", "q", false, "print no progress")
	_ = cmd.MarkFlagRequired("step")
	_ = cmd.RegisterFlagCompletionFunc("step", cobra.FixedCompletions(steps, cobra.ShellCompDirectiveNoFileComp))
	return cmd
}

func (f *recordFlags) run(cmd *cobra.Command, store string, args []string) error {
	if len(args) > 0 && cmd.ArgsLenAtDash() != 0 {
		return usageError(fmt.Errorf("unexpected argument %q", args[0]), "write -- before the command")
	}
	o := pedigree.RecordOptions{
		Store: pedigree.OpenStore(store), Step: lineage.Step(f.step), Command: args, Observe: pedigree.Observation(f.observe), Note: f.note,
		Reading: provenance.Reading{Workers: f.workers}, Stdin: cmd.InOrStdin(), Stdout: cmd.OutOrStdout(), Stderr: cmd.ErrOrStderr(),
	}
	if f.transform != "" {
		o.Transformation = &lineage.Transformation{Kind: f.transform, Parameters: f.parameters}
	}
	o.Declare(&o.Inputs, lineage.Model, f.models)
	o.Declare(&o.Inputs, lineage.Adapter, f.adapters)
	o.Declare(&o.Inputs, lineage.Data, f.data)
	o.Declare(&o.Inputs, lineage.Code, f.code)
	o.Declare(&o.Inputs, lineage.Configuration, f.conf)
	o.Declare(&o.Inputs, lineage.Other, f.inputs)
	o.Declare(&o.Outputs, o.Made(), f.outputs)
	o.Declare(&o.Outputs, lineage.Report, f.reports)
	if err := o.Check(); err != nil {
		return usageError(err, "palladium lineage record --help shows what can be given")
	}
	var err error
	if o.Ledger, _, err = f.ledger.open(); err != nil {
		return err
	}
	switch {
	case f.sigstore:
		o.With = &f.fulcio
	case f.keys.Key != "" || f.keys.Token != "":
		s, done, err := f.keys.Open()
		if err != nil {
			return modelError(err)
		}
		defer done()
		o.With = s
	}
	bar := newHashBar(cmd.ErrOrStderr())
	if !f.quiet {
		o.Reading.Progress = bar.progress
	}
	r, err := pedigree.Record(cmd.Context(), o)
	bar.close()
	if err != nil {
		return modelError(err)
	}
	for _, w := range r.Warnings {
		fmt.Fprintf(cmd.ErrOrStderr(), "palladium: warning: %s\n", plain(w))
	}
	fmt.Fprintf(cmd.ErrOrStderr(), "recorded %s as statement %s\n", f.step, lineage.Short(r.ID))
	if err := f.ledger.done(cmd.ErrOrStderr(), "the statement", r.Entry); err != nil {
		return err
	}
	if c := r.Statement.Command; c != nil && c.Status != 0 {
		return &failure{status: c.Status}
	}
	if r.Changed() {
		return &failure{status: statusFound}
	}
	return nil
}

// showFlags are those of lineage show.
type showFlags struct {
	trust  trustFlags
	format string
}

func lineageShow(store *string) *cobra.Command {
	var f showFlags
	cmd := &cobra.Command{
		Use:     "show MODEL",
		Short:   "Draw from what a model was made",
		Long:    "Draws the statements from MODEL, a path or an identity, back to its roots. It passes no judgement: verify does.",
		Example: "  palladium lineage show out/\n  palladium lineage show --format html out/ > lineage.html",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			trust, err := f.trust.load()
			if err != nil {
				return modelError(err)
			}
			t, err := pedigree.Verify(cmd.Context(), pedigree.VerifyOptions{Store: pedigree.OpenStore(*store), Model: args[0], Trust: trust, Unsigned: true})
			if err != nil {
				return modelError(err)
			}
			return drawTrace(cmd.OutOrStdout(), f.format, t)
		},
	}
	f.trust.add(cmd)
	cmd.Flags().StringVar(&f.format, "format", "text", "text, dot, html or json")
	_ = cmd.RegisterFlagCompletionFunc("format", cobra.FixedCompletions([]string{"text", "dot", "html", "json"}, cobra.ShellCompDirectiveNoFileComp))
	return cmd
}

func drawTrace(w io.Writer, format string, t *lineage.Trace) error {
	switch format {
	case "text":
		return t.Text(w)
	case "dot":
		return t.DOT(w)
	case "html":
		return t.HTML(w)
	case "json":
		e := json.NewEncoder(w)
		e.SetIndent("", "  ")
		return e.Encode(t)
	}
	return usageError(fmt.Errorf("unknown format %q", format), "use text, dot, html or json")
}

// lineageVerifyFlags are those of lineage verify.
type lineageVerifyFlags struct {
	trust           trustFlags
	roots, files    []string
	require, format string
	unsigned        bool
}

func lineageVerify(store *string) *cobra.Command {
	var f lineageVerifyFlags
	cmd := &cobra.Command{
		Use:   "verify MODEL",
		Short: "Walk from a model to its roots and say what is missing, forged or merely claimed",
		Long: "Walks the statements from MODEL back to data sets and to the roots that you take as they are. Every statement on the\n" +
			"way must be signed by somebody you trust, and nothing may be missing. With --files, steps whose transformation is\n" +
			"stated are done again with the files found there, and the weights of others are compared.\n\n" +
			"The exit status is 0 when the lineage holds, 3 when it does not, 1 when it could not be walked, 2 for wrong usage.",
		Example: "  palladium lineage verify --key team.pub out/\n" +
			"  palladium lineage verify --key team.pub --root base/ --require recomputed --files base/ --files lora/ merged/",
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error { return f.run(cmd, *store, args[0]) },
	}
	f.trust.add(cmd)
	fl := cmd.Flags()
	fl.StringArrayVar(&f.roots, "root", nil, "artifact that is taken as it is, a `PATH` or an identity; can be given several times")
	fl.StringArrayVar(&f.files, "files", nil, "artifact, or folder of artifacts, with which steps are done again: a `PATH`; can be given several times")
	fl.StringVar(&f.require, "require", "claimed", "what every edge between models must be: claimed, measured or recomputed")
	fl.BoolVar(&f.unsigned, "unsafe-unsigned", false, "accept statements that nobody you trust has signed: whoever can write to the store can write them")
	fl.StringVar(&f.format, "format", "text", "text, dot, html or json")
	return cmd
}

func (f *lineageVerifyFlags) run(cmd *cobra.Command, store, model string) error {
	trust, err := f.trust.load()
	if err != nil {
		return modelError(err)
	}
	if len(trust) == 0 && !f.unsigned {
		return usageError(errors.New("say whom you trust"), "with --key, with --roots, or with --identity and --issuer")
	}
	grade := lineage.Grade(f.require)
	if grade != lineage.Claimed && grade != lineage.Measured && grade != lineage.Recomputed {
		return usageError(fmt.Errorf("unknown grade %q", f.require), "use claimed, measured or recomputed")
	}
	t, err := pedigree.Verify(cmd.Context(), pedigree.VerifyOptions{
		Store: pedigree.OpenStore(store), Model: model, Trust: trust, Roots: f.roots, Require: grade, Unsigned: f.unsigned, Files: f.files, Measure: pedigree.MeasureWeights,
	})
	if err != nil {
		return modelError(err)
	}
	out := cmd.OutOrStdout()
	if err := drawTrace(out, f.format, t); err != nil {
		return err
	}
	if f.format == "text" {
		printEvidence(out, t)
		for i := range t.Findings {
			mark := "note"
			if t.Findings[i].Fatal {
				mark = "FAIL"
			}
			fmt.Fprintf(out, "%s  %s\n", mark, plain(t.Findings[i].String()))
		}
	}
	if !t.Holds() {
		return &failure{status: statusFound, err: fmt.Errorf("the lineage of %s does not hold", model), hint: "do not rely on where this model comes from before it is clear why"}
	}
	if f.format != "text" {
		return nil
	}
	if !t.Derived() {
		_, err := fmt.Fprintln(out, "the lineage holds; no model in it is made from another one")
		return err
	}
	_, err = fmt.Fprintf(out, "the lineage holds; its weakest edge between models is %s\n", t.Weakest())
	return err
}

// printEvidence prints, once for each step, what was found when it was done again or measured.
func printEvidence(w io.Writer, t *lineage.Trace) {
	seen := map[string]bool{}
	for i := range t.Edges {
		e := &t.Edges[i]
		if e.Detail == "" || e.Statement == "" || seen[e.Statement] {
			continue
		}
		seen[e.Statement] = true
		fmt.Fprintf(w, "%s  %s, statement %s: %s\n", e.Grade, e.Step, lineage.Short(e.Statement), plain(e.Detail))
	}
}
