package main

import (
	"errors"

	"github.com/spf13/cobra"

	"github.com/palladium-guard/palladium/app/provenance"
)

// verifyFlags are those of model verify.
type verifyFlags struct {
	reading readingFlags
	scope   scopeFlags
	trust   provenance.TrustFiles

	signature, at  string
	ignoreUnsigned bool
}

func modelVerify() *cobra.Command {
	var f verifyFlags
	cmd := &cobra.Command{
		Use:   "verify MODEL",
		Short: "Check that a model is what somebody you trust has signed",
		Long: "Checks the signature of MODEL, and that its files are those that were signed, with nothing loadable beside them.\n" +
			"Signatures of OpenSSF Model Signing v1.0 and of all releases of its Python reference are read. Say whom you trust:\n" +
			"a public key, a certificate authority, or a Sigstore identity with its issuer.\n\n" +
			"The exit status is 0 when the model is as signed, 3 when it or its signature is refused, 1 when it could not be\n" +
			"checked, 2 for wrong usage.",
		Example: "  palladium model verify --key release.pub models/m1\n" +
			"  palladium model verify --roots ca.pem --subject release@example.com models/m1\n" +
			"  palladium model verify --identity release@example.com --issuer https://accounts.example.com --trusted-root root.json models/m1",
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error { return f.run(cmd, args[0]) },
	}
	f.reading.add(cmd)
	f.scope.add(cmd)
	f.addTrust(cmd)
	fl := cmd.Flags()
	fl.StringVar(&f.reading.cache, "cache", "", "trust digests remembered in this `DIR` for files that did not change; everything is read when not given")
	return cmd
}

// addTrust adds the flags that say which signature is taken.
func (f *verifyFlags) addTrust(cmd *cobra.Command) {
	fl := cmd.Flags()
	fl.StringVar(&f.signature, "signature", "", "signature `FILE`, when it is not model.sig in the model")
	fl.StringVar(&f.trust.Key, "key", "", "public key `FILE` of the signer, PEM")
	fl.StringArrayVar(&f.trust.Roots, "roots", nil, "`FILE` of the certificate authorities that you trust, PEM; can be given several times")
	fl.StringVar(&f.trust.Subject, "subject", "", "with --roots: the `NAME` in the certificate, its common name or an alternative one")
	fl.StringVar(&f.at, "at", "", "with --roots: the `TIME` at which certificates must hold; now when not given")
	fl.StringVar(&f.trust.Identity, "identity", "", "Sigstore: `NAME` of the signer")
	fl.StringVar(&f.trust.Issuer, "issuer", "", "Sigstore: `URL` of who vouches for the name")
	fl.StringVar(&f.trust.TrustedRoot, "trusted-root", "", "Sigstore: `FILE` with the keys of its services; without it they are fetched")
	fl.BoolVar(&f.ignoreUnsigned, "ignore-unsigned", false, "accept files that are not signed, as long as nothing could load them")
}

// options reads what the flags name.
func (f *verifyFlags) options() (o provenance.VerifyOptions, err error) {
	if f.trust.Key == "" && len(f.trust.Roots) == 0 && f.trust.Identity == "" && f.trust.Issuer == "" {
		return o, usageError(errors.New("say whom you trust"), "with --key, with --roots, or with --identity and --issuer")
	}
	if f.trust.At, err = readTime("at", f.at); err != nil {
		return o, err
	}
	o = provenance.VerifyOptions{
		Signature: f.signature, Scope: f.scope.scope, IgnoreUnsigned: f.ignoreUnsigned, Reading: provenance.Reading{Workers: f.reading.workers},
	}
	if o.Trust, err = f.trust.Load(); err != nil {
		return o, modelError(err)
	}
	return o, nil
}

func (f *verifyFlags) run(cmd *cobra.Command, model string) error {
	if err := f.reading.check(); err != nil {
		return err
	}
	o, err := f.options()
	if err != nil {
		return err
	}
	o.Model = model
	if f.reading.cache != "" {
		if o.Reading.Cache, err = provenance.CacheFor(f.reading.cache, model, false); err != nil {
			return modelError(err)
		}
	}
	bar := newHashBar(cmd.ErrOrStderr())
	if !f.reading.quiet {
		o.Reading.Progress = bar.progress
	}
	r, err := provenance.Verify(cmd.Context(), o)
	bar.close()
	if err != nil {
		return modelError(err)
	}
	return printModel(cmd.OutOrStdout(), "verified", f.reading.format, r)
}
