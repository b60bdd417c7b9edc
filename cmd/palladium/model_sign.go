package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/palladium-guard/palladium/app/provenance"
	"github.com/palladium-guard/palladium/weights/manifest"
	"github.com/palladium-guard/palladium/weights/signing"
)

// signFlags are those of model sign.
type signFlags struct {
	ledger  ledgerFlags
	reading readingFlags
	scope   scopeFlags
	keys    provenance.KeyFiles
	fulcio  provenance.SigstoreOptions

	sigstore, links, paranoid, noCache bool
	signature, form, method, hash      string
	shard                              int64
}

func modelSign() *cobra.Command {
	var f signFlags
	cmd := &cobra.Command{
		Use:   "sign MODEL",
		Short: "Sign a model: a directory, a file, or an OCI artifact",
		Long: "Hashes every file of MODEL and writes a signature over the list, in the format of OpenSSF Model Signing v1.0.\n" +
			"MODEL is a directory, a file, oci-layout:DIR:TAG, or oci://REGISTRY/NAME:TAG. The signature of a directory is\n" +
			"written to model.sig in it, that of an artifact is attached to it.\n\n" +
			"A file that something could load (code, weights, pickles, templates, tokenizers, configuration) cannot be left out\n" +
			"unless it is listed with --unsafe-allow-unsigned. Digests are remembered, so that signing again after a small change\n" +
			"reads only what changed; --paranoid reads everything.\n\n" +
			"The exit status is 0 when it was signed, 3 when the files cannot be vouched for, 1 when signing failed, 2 for\n" +
			"wrong usage.",
		Example: "  palladium model sign --key release.pem models/m1\n" +
			"  palladium model sign --key k.pem --certificate c.pem --chain ca.pem models/m1\n" +
			"  palladium model sign --token 'pkcs11:token=hsm;object=release?module-path=/usr/lib/softhsm/libsofthsm2.so' --passphrase-file pin models/m1\n" +
			"  palladium model sign --sigstore --identity-token-file token models/m1",
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error { return f.run(cmd, args[0]) },
	}
	f.reading.add(cmd)
	f.scope.add(cmd)
	fl := cmd.Flags()
	f.ledger.add(cmd, "the signature")
	f.ledger.addProof(cmd)
	fl.StringVar(&f.signature, "signature", "", "write the signature to this `FILE`")
	fl.StringVar(&f.keys.Key, "key", "", "private key `FILE`, PEM: ECDSA on P-256, P-384 or P-521")
	fl.StringVar(&f.keys.Passphrase, "passphrase-file", "", "`FILE` whose first line is the key's passphrase, or the token's PIN")
	fl.StringVar(&f.keys.Token, "token", "", "PKCS #11 `URI` of a key in a token")
	fl.StringVar(&f.keys.Certificate, "certificate", "", "certificate `FILE` of the key, PEM, to sign by certificate")
	fl.StringArrayVar(&f.keys.Chain, "chain", nil, "`FILE` of certificates that lead to the authority; can be given several times")
	fl.BoolVar(&f.sigstore, "sigstore", false, "sign with a short-lived certificate of Sigstore; needs the network")
	fl.StringVar(&f.fulcio.TokenFile, "identity-token-file", "", "with --sigstore: `FILE` with the OIDC token of the signer; that of the CI job when not given")
	fl.StringVar(&f.fulcio.Config, "signing-config", "", "with --sigstore: `FILE` that names the services, instead of the public ones")
	fl.StringVar(&f.fulcio.TrustedRoot, "trusted-root", "", "with --sigstore: `FILE` with the keys of its services")
	fl.StringVar(&f.method, "method", "files", "files, or shards to hash large files in parts, side by side")
	fl.Int64Var(&f.shard, "shard-size", 0, "with --method shards: `BYTES` of a shard; 1000000000 when not given")
	fl.StringVar(&f.hash, "hash", "sha256", "sha256, blake2b or blake3")
	fl.StringVar(&f.form, "form", "interop", "interop, spec or reference, where specification and Python reference part; see docs/model.md")
	fl.BoolVar(&f.links, "allow-symlinks", false, "follow symbolic links to files of the model")
	fl.StringVar(&f.reading.cache, "cache", "", "`DIR` in which digests are remembered")
	fl.BoolVar(&f.noCache, "no-cache", false, "remember no digests")
	fl.BoolVar(&f.paranoid, "paranoid", false, "read every file, whatever is remembered")
	return cmd
}

func (f *signFlags) run(cmd *cobra.Command, model string) error {
	if err := f.reading.check(); err != nil {
		return err
	}
	o := provenance.SignOptions{
		Model: model, Signature: f.signature, Form: signing.Form(f.form), Scope: f.scope.scope, Links: f.links,
		Method: manifest.Method(f.method), Algorithm: manifest.Algorithm(f.hash), ShardSize: f.shard,
		Reading: provenance.Reading{Workers: f.reading.workers},
	}
	var err error
	if o.Ledger, _, err = f.ledger.open(); err != nil {
		return err
	}
	with := 0
	for _, given := range []bool{f.keys.Key != "", f.keys.Token != "", f.sigstore} {
		if given {
			with++
		}
	}
	if with != 1 {
		return usageError(errors.New("give one of --key, --token and --sigstore"), "openssl ecparam -name prime256v1 -genkey -noout -out key.pem makes a key")
	}
	if f.sigstore {
		o.With = &f.fulcio
	} else {
		s, done, err := f.keys.Open()
		if err != nil {
			return modelError(err)
		}
		defer done()
		o.With = s
	}
	var notes []string
	if !f.noCache && !provenance.IsArtifact(model) {
		if o.Reading.Cache, err = provenance.CacheFor(f.reading.cache, model, f.paranoid); err != nil {
			notes = append(notes, "digests are not remembered: "+err.Error())
		}
	}
	bar := newHashBar(cmd.ErrOrStderr())
	if !f.reading.quiet {
		o.Reading.Progress = bar.progress
	}
	r, err := provenance.Sign(cmd.Context(), o)
	bar.close()
	if err != nil {
		return modelError(err)
	}
	r.Warnings = append(r.Warnings, notes...)
	if err := printModel(cmd.OutOrStdout(), "signed", f.reading.format, r); err != nil {
		return err
	}
	return f.ledger.done(cmd.ErrOrStderr(), "the signature", r.Entry)
}

// printModel prints what was signed or verified.
func printModel(out io.Writer, did, format string, r *provenance.Report) error {
	if format == "json" {
		e := json.NewEncoder(out)
		e.SetIndent("", "  ")
		return e.Encode(r)
	}
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	row := func(name, format string, args ...any) {
		fmt.Fprintf(w, "  %s\t%s\n", name, plain(fmt.Sprintf(format, args...)))
	}
	fmt.Fprintf(w, "%s %s: %s files, %s\n", did, plain(r.Model), thousands(int64(r.Files)), size(r.Bytes))
	row("digest", "sha256:%s", r.Root)
	row("signer", "%s, by %s", r.Signer, r.Method)
	if !r.Signer.Time.IsZero() {
		row("time", "%s", r.Signer.Time.Format("2006-01-02 15:04:05 MST"))
	}
	row("dialect", "%s", r.Dialect)
	row("serialized", "%s", r.Serialized)
	row("signature", "%s", r.Signature)
	if r.Recalled > 0 {
		row("not read", "%s, whose digests were remembered", size(r.Recalled))
	}
	for _, l := range r.Ignored {
		if l.Files > 0 {
			row("ignored", "%s, %d files", l.Path, l.Files)
		} else {
			row("ignored", "%s, not there", l.Path)
		}
	}
	for _, p := range r.Unsigned {
		row("UNSIGNED", "%s, accepted on request", p)
	}
	for _, note := range r.Warnings {
		row("warning", "%s", note)
	}
	return w.Flush()
}
