package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/palladium-guard/palladium/app/provenance"
	"github.com/palladium-guard/palladium/app/provenance/pedigree"
	"github.com/palladium-guard/palladium/weights/lineage"
)

func lineageDataset(store *string) *cobra.Command {
	var o pedigree.DatasetOptions
	var keys provenance.KeyFiles
	var log ledgerFlags
	var kept bool
	cmd := &cobra.Command{
		Use:   "dataset DIR|FILE...",
		Short: "State a data set: every shard with its digest and its rows",
		Long: "Writes a statement that lists each shard with size, SHA-256 and, for JSON Lines and Parquet, rows. Of a directory the\n" +
			"names count, of files the order as well. The statement is kept in the store and, with --manifest, in a file.",
		Example: "  palladium lineage dataset --key k.pem --manifest data.json data/\n" +
			"  palladium lineage dataset verify --key k.pub --manifest data.json data/",
		Args: cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			o.Paths = args
			if kept {
				o.Store = pedigree.OpenStore(*store)
			} else if o.Manifest == "" {
				return usageError(errors.New("the statement would be kept nowhere"), "give --manifest, or leave out --keep=false")
			}
			var err error
			if o.Ledger, _, err = log.open(); err != nil {
				return err
			}
			if keys.Key != "" || keys.Token != "" {
				s, done, err := keys.Open()
				if err != nil {
					return modelError(err)
				}
				defer done()
				o.With = s
			}
			r, err := pedigree.StateDataset(cmd.Context(), o)
			if err != nil {
				return modelError(err)
			}
			for _, w := range r.Warnings {
				fmt.Fprintf(cmd.ErrOrStderr(), "palladium: warning: %s\n", plain(w))
			}
			a := &r.Statement.Outputs[0]
			fmt.Fprintf(cmd.OutOrStdout(), "stated %s: %d shards, %s, %s rows, %s\n", plain(a.Name), max(len(a.Files), 1), size(a.Size), thousands(a.Rows), a.Identity())
			return log.done(cmd.ErrOrStderr(), "the statement", r.Entry)
		},
	}
	fl := cmd.Flags()
	log.add(cmd, "the statement")
	log.addProof(cmd)
	fl.StringVar(&o.Manifest, "manifest", "", "`FILE` that the statement is written to")
	fl.BoolVar(&kept, "keep", true, "keep the statement in the store")
	fl.StringVar(&o.URI, "uri", "", "where the data came from; credentials in it are left out")
	fl.StringVar(&o.Note, "note", "", "a sentence to keep with the data")
	fl.StringVar(&keys.Key, "key", "", "private key `FILE`, PEM: ECDSA on P-256, P-384 or P-521")
	fl.StringVar(&keys.Passphrase, "passphrase-file", "", "`FILE` whose first line is the key's passphrase, or the token's PIN")
	fl.StringVar(&keys.Token, "token", "", "PKCS #11 `URI` of a key in a token")
	fl.StringVar(&keys.Certificate, "certificate", "", "certificate `FILE` of the key, PEM, to sign by certificate")
	cmd.AddCommand(lineageDatasetVerify())
	return cmd
}

func lineageDatasetVerify() *cobra.Command {
	var o pedigree.DatasetOptions
	var trust trustFlags
	var unsigned bool
	var format string
	cmd := &cobra.Command{
		Use:   "verify --manifest FILE DIR|FILE...",
		Short: "Find shards that were swapped, appended to, cut off, added or put in another order",
		Args:  cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) (err error) {
			if o.Trust, err = trust.load(); err != nil {
				return modelError(err)
			}
			if len(o.Trust) == 0 && !unsigned {
				return usageError(errors.New("say whom you trust"), "with --key, with --roots, or with --identity and --issuer")
			}
			o.Paths = args
			r, err := pedigree.VerifyDataset(cmd.Context(), o)
			if err != nil {
				return modelError(err)
			}
			if format == "json" {
				e := json.NewEncoder(cmd.OutOrStdout())
				e.SetIndent("", "  ")
				if err := e.Encode(r); err != nil {
					return err
				}
			} else {
				printDataset(cmd, r)
			}
			if len(r.Differences) > 0 {
				return &failure{status: statusFound, err: fmt.Errorf("%d shards are not as stated", len(r.Differences)), hint: "do not train on this data before it is clear why"}
			}
			return nil
		},
	}
	trust.add(cmd)
	fl := cmd.Flags()
	fl.StringVar(&o.Manifest, "manifest", "", "`FILE` of the statement")
	fl.BoolVar(&unsigned, "unsafe-unsigned", false, "accept a statement that nobody you trust has signed")
	fl.StringVar(&format, "format", "text", "text or json")
	_ = cmd.MarkFlagRequired("manifest")
	return cmd
}

func printDataset(cmd *cobra.Command, r *pedigree.DatasetReport) {
	out := cmd.OutOrStdout()
	for i := range r.Differences {
		fmt.Fprintf(out, "FAIL  %s\n", plain(r.Differences[i].String()))
	}
	if len(r.Differences) == 0 {
		fmt.Fprintf(out, "%s is as stated: %d shards, %s rows, statement %s\n", plain(r.Stated.Name), max(len(r.Stated.Files), 1), thousands(r.Stated.Rows), lineage.Short(r.Statement))
	}
}

func lineageExport(store *string) *cobra.Command {
	var trust trustFlags
	var format string
	cmd := &cobra.Command{
		Use:   "export --format FORMAT MODEL",
		Short: "Write a model's lineage as SLSA provenance, CycloneDX ML-BOM or SPDX 3",
		Long: "Writes what the statements say in a form that other tools read: " + strings.Join(pedigree.Formats(), ", ") + ".\n" +
			"Grades and standings are written along. It passes no judgement: verify does.",
		Example: "  palladium lineage export --format cyclonedx-1.7 out/ > bom.json",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if !slices.Contains(pedigree.Formats(), format) {
				return usageError(fmt.Errorf("unknown format %q", format), "use one of "+strings.Join(pedigree.Formats(), ", "))
			}
			trusted, err := trust.load()
			if err != nil {
				return modelError(err)
			}
			data, err := pedigree.Export(cmd.Context(), pedigree.VerifyOptions{Store: pedigree.OpenStore(*store), Model: args[0], Trust: trusted, Unsigned: true}, format, programVersion())
			if err != nil {
				return modelError(err)
			}
			_, err = cmd.OutOrStdout().Write(data)
			return err
		},
	}
	trust.add(cmd)
	cmd.Flags().StringVar(&format, "format", "", "form to write")
	_ = cmd.MarkFlagRequired("format")
	_ = cmd.RegisterFlagCompletionFunc("format", cobra.FixedCompletions(pedigree.Formats(), cobra.ShellCompDirectiveNoFileComp))
	return cmd
}

func programVersion() string {
	v, _ := build()
	return v
}
