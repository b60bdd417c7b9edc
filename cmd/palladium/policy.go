package main

import (
	"fmt"
	"io"
	"os"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/palladium-guard/palladium/rules"
	"github.com/palladium-guard/palladium/traffic/judge"
)

// policyCommand shows the policy and proves a changed one before it is used.
func policyCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "policy",
		Short: "Show or check the policy that gives a group its stage",
		Args:  cobra.NoArgs,
		RunE:  func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(policyCheck(), policyShow())
	return cmd
}

func policyCheck() *cobra.Command {
	return &cobra.Command{
		Use:   "check FILE",
		Short: "Type check a policy and prove that it keeps the two-key rule; - reads standard input",
		Args:  cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			data, err := readPolicy(args[0], cmd.InOrStdin())
			if err != nil {
				return err
			}
			p, err := judge.Load(data)
			if err != nil {
				return fmt.Errorf("check %s: %w", args[0], err)
			}
			return printPolicy(cmd.OutOrStdout(), args[0], p)
		},
	}
}

func policyShow() *cobra.Command {
	var fields bool
	cmd := &cobra.Command{
		Use:   "show",
		Short: "Print the default policy, to start one of your own from",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if fields {
				return printFields(cmd.OutOrStdout())
			}
			_, err := cmd.OutOrStdout().Write(rules.Policy())
			return err
		},
	}
	cmd.Flags().BoolVar(&fields, "fields", false, "list the names that a condition can use instead")
	return cmd
}

// maxPolicy is more than any policy that is accepted, and little enough to read whole.
const maxPolicy = 1 << 20

func readPolicy(name string, stdin io.Reader) ([]byte, error) {
	in := stdin
	if name != "-" {
		f, err := os.Open(name)
		if err != nil {
			return nil, fmt.Errorf("read the policy: %w", err)
		}
		defer f.Close()
		in = f
	}
	data, err := io.ReadAll(io.LimitReader(in, maxPolicy))
	if err != nil {
		return nil, fmt.Errorf("read the policy: %w", err)
	}
	return data, nil
}

func printPolicy(out io.Writer, name string, p *judge.Policy) error {
	revision := p.Revision()
	if revision == "" {
		revision = "none"
	}
	if _, err := fmt.Fprintf(out, "%s: accepted, revision %s, %d examples come out as written\n", name, revision, p.Examples()); err != nil {
		return err
	}
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	for _, r := range p.Rules() {
		fmt.Fprintf(w, "  line %d\t%s\t%s\n", r.Line, r.Stage, r.Name)
	}
	if err := w.Flush(); err != nil {
		return err
	}
	_, err := fmt.Fprintf(out, "Whatever the rules say, nothing acts on fewer than %d independent keys of evidence,\n"+
		"nor on a group of whose accounts the operator vouches for %.0f %% or more.\n", judge.MinKeys, 100*judge.VouchedShare)
	return err
}

func printFields(out io.Writer) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	for _, f := range judge.Fields() {
		fmt.Fprintf(w, "%s\t%s\t%s\n", f.Name, f.Type, f.Says)
	}
	return w.Flush()
}
