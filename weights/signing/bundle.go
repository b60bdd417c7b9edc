// Package signing writes and checks signatures of models in the format of OpenSSF Model Signing v1.0: a Sigstore bundle
// around a DSSE envelope around an in-toto statement that lists the model's files with their digests.
//
// It signs and checks bytes that it is given, at the time that it is given.
package signing

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
)

// Method is the kind of credential behind a signature.
type Method string

// The methods of section 4.1. A key in a hardware token signs with ByKey or ByCertificate.
const (
	ByKey         Method = "key"
	ByCertificate Method = "certificate"
	BySigstore    Method = "sigstore"
)

// MaxBundle is more than the bundle of any model needs, in bytes: a million shards.
const MaxBundle = 512 << 20

// Bundle is a signature file. What it says is not to be believed before Verify has returned it.
type Bundle struct {
	Method     Method
	MediaType  string
	Payload    []byte // the statement, as it was signed
	Signatures [][]byte

	hint     string   // with ByKey: of the public key, empty in old files
	keyBytes bool     // with ByKey: the key itself was in the file, as until v1.0.1
	chain    [][]byte // with ByCertificate: DER, the signer's own first
	raw      []byte   // with BySigstore
	log      logEntries
}

// logEntries tells how a file writes that it has no entries.
type logEntries int

const (
	logAbsent logEntries = iota
	logEmpty
	logFilled
)

type bundleJSON struct {
	MediaType string        `json:"mediaType"`
	Material  *materialJSON `json:"verificationMaterial"`
	Envelope  *envelopeJSON `json:"dsseEnvelope"`
}

type materialJSON struct {
	PublicKey   *publicKeyJSON     `json:"publicKey,omitempty"`
	Chain       *chainJSON         `json:"x509CertificateChain,omitempty"`
	Certificate *certificateJSON   `json:"certificate,omitempty"`
	Log         *[]json.RawMessage `json:"tlogEntries,omitempty"`
}

type publicKeyJSON struct {
	Hint     string `json:"hint,omitempty"`
	RawBytes string `json:"rawBytes,omitempty"`
}

type chainJSON struct {
	Certificates []certificateJSON `json:"certificates"`
}

type certificateJSON struct {
	RawBytes []byte `json:"rawBytes"`
}

type envelopeJSON struct {
	Payload     []byte          `json:"payload"`
	PayloadType string          `json:"payloadType"`
	Signatures  []signatureJSON `json:"signatures"`
}

type signatureJSON struct {
	Sig   []byte  `json:"sig"`
	KeyID *string `json:"keyid"`
}

// ParseBundle reads a signature file. Errors wrap ErrFormat.
func ParseBundle(data []byte) (*Bundle, error) {
	if len(data) > MaxBundle {
		return nil, fmt.Errorf("%w: more than %d bytes", ErrFormat, MaxBundle)
	}
	if len(bytes.TrimSpace(data)) == 0 {
		return nil, fmt.Errorf("%w: it is empty", ErrFormat)
	}
	if err := strictJSON(data); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrFormat, err)
	}
	var j bundleJSON
	if err := json.Unmarshal(data, &j); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrFormat, err)
	}
	switch {
	case !knownMediaType(j.MediaType):
		return nil, fmt.Errorf("%w: media type %q is not that of a Sigstore bundle up to version 0.3", ErrFormat, j.MediaType)
	case j.Material == nil:
		return nil, fmt.Errorf("%w: it has no verificationMaterial", ErrFormat)
	case j.Envelope == nil:
		return nil, fmt.Errorf("%w: it has no dsseEnvelope", ErrFormat)
	case j.Envelope.PayloadType != PayloadType:
		return nil, fmt.Errorf("%w: payload is of type %q, not %s", ErrFormat, j.Envelope.PayloadType, PayloadType)
	case len(j.Envelope.Payload) == 0 || len(j.Envelope.Signatures) == 0:
		return nil, fmt.Errorf("%w: nothing in it is signed", ErrFormat)
	}
	b := &Bundle{MediaType: j.MediaType, Payload: j.Envelope.Payload, raw: data}
	for _, s := range j.Envelope.Signatures {
		if len(s.Sig) == 0 {
			return nil, fmt.Errorf("%w: one of its %d signatures is empty", ErrFormat, len(j.Envelope.Signatures))
		}
		b.Signatures = append(b.Signatures, s.Sig)
	}
	return b, b.material(j.Material)
}

func (b *Bundle) material(m *materialJSON) error {
	if m.Log != nil {
		b.log = logEmpty
		if len(*m.Log) > 0 {
			b.log = logFilled
		}
	}
	kinds := 0
	if m.PublicKey != nil {
		kinds++
		b.Method, b.hint, b.keyBytes = ByKey, m.PublicKey.Hint, m.PublicKey.RawBytes != ""
	}
	if m.Chain != nil {
		kinds++
		b.Method = ByCertificate
		for _, c := range m.Chain.Certificates {
			b.chain = append(b.chain, c.RawBytes)
		}
	}
	if m.Certificate != nil {
		kinds++
		b.Method = BySigstore
	}
	switch {
	case kinds != 1:
		return fmt.Errorf("%w: verificationMaterial has %d of publicKey, x509CertificateChain and certificate, not one", ErrFormat, kinds)
	case b.Method == ByKey && b.hint == "" && !b.keyBytes:
		return fmt.Errorf("%w: publicKey has neither hint nor rawBytes", ErrFormat)
	case b.Method == ByCertificate && len(b.chain) == 0:
		return fmt.Errorf("%w: x509CertificateChain is empty", ErrFormat)
	case b.Method == BySigstore && b.log != logFilled:
		return fmt.Errorf("%w: a Sigstore signature without an entry of a transparency log", ErrFormat)
	}
	return nil
}

func knownMediaType(s string) bool {
	const base = "application/vnd.dev.sigstore.bundle"
	return s == BundleMediaType || s == base+"+json;version=0.1" || s == base+"+json;version=0.2" || s == base+"+json;version=0.3"
}

// compose writes a bundle for a key or a certificate. Both the specification and the reference take it.
func compose(m materialJSON, payload, signature []byte) ([]byte, error) {
	none, noID := []json.RawMessage{}, ""
	m.Log = &none
	return encode(bundleJSON{MediaType: BundleMediaType, Material: &m, Envelope: &envelopeJSON{
		Payload: payload, PayloadType: PayloadType, Signatures: []signatureJSON{{Sig: signature, KeyID: &noID}},
	}})
}

// preAuth returns what is signed for a payload: DSSE's pre-authentication encoding.
func preAuth(payload []byte) []byte {
	return append(fmt.Appendf(nil, "DSSEv1 %d %s %d ", len(PayloadType), PayloadType, len(payload)), payload...)
}

// preAuthV02 returns what release v0.2.0 signed instead: a capital V, and the payload as Python prints bytes.
func preAuthV02(payload []byte) []byte {
	return append(fmt.Appendf(nil, "DSSEV1 %d %s %d ", len(PayloadType), PayloadType, len(payload)), pythonBytes(payload)...)
}

// pythonBytes is repr() of a bytes object.
func pythonBytes(data []byte) []byte {
	quote := byte('\'')
	if bytes.IndexByte(data, '\'') >= 0 && bytes.IndexByte(data, '"') < 0 {
		quote = '"'
	}
	out := []byte{'b', quote}
	for _, c := range data {
		switch {
		case c == quote || c == '\\':
			out = append(out, '\\', c)
		case c == '\n':
			out = append(out, `\n`...)
		case c == '\r':
			out = append(out, `\r`...)
		case c == '\t':
			out = append(out, `\t`...)
		case c < ' ' || c >= 0x7f:
			out = fmt.Appendf(out, `\x%02x`, c)
		default:
			out = append(out, c)
		}
	}
	return append(out, quote)
}

// Dialect says in which of its historical and present forms a signature was found.
type Dialect struct {
	Release string   `json:"release"`         // of the format
	Form    Form     `json:"form"`            // which of two readings the writer followed, where they part
	Notes   []string `json:"notes,omitempty"` // what told
}

// String returns one line.
func (d Dialect) String() string {
	s := "OpenSSF Model Signing, " + d.Release
	if len(d.Notes) > 0 {
		s += " (" + strings.Join(d.Notes, "; ") + ")"
	}
	return s
}

func dialectOf(b *Bundle, r *read) Dialect {
	if r.v02 {
		return Dialect{Release: "release v0.2.0", Form: Reference, Notes: []string{"files are subjects", "the encoding that is signed is that of v0.2.0"}}
	}
	d := Dialect{Release: "v1.0", Form: Interop}
	note := func(f Form, format string, args ...any) {
		d.Notes = append(d.Notes, fmt.Sprintf(format, args...))
		if f != "" {
			d.Form = f
		}
	}
	m := r.manifest
	switch {
	case b.keyBytes:
		d.Release = "v1.0 as of releases v0.3.1 to v1.0.1"
		note(Reference, "the key stands in the file, without a hint")
	case !r.listed && b.log == logAbsent && b.Method != BySigstore:
		d.Release = "v1.0 as of releases v0.3.1 to v1.0.1"
		note(Reference, "ignored paths and log entries are absent")
	case !r.listed && b.Method == BySigstore:
		d.Release = "v1.0 as of releases v0.3.1 to v1.0.1, or without ignored paths"
	}
	switch {
	case r.ordered && r.byParts:
	case r.ordered:
		note(Spec, "resources in the specification's order")
	case r.byParts:
		note(Reference, "resources in the reference's order, by path component")
	default:
		note(Reference, "resources in an order of their own")
	}
	if r.sharded {
		note(Reference, "shards are marked %s%s%d", m.Algorithm, shardedAlgorithm, m.ShardSize)
	} else if m.Method == "shards" {
		note(Spec, "shards are marked %s", m.Algorithm)
	}
	if r.decimal {
		note("", "the shard size is written with a fraction")
	}
	if m.Resources[0].Path == "." {
		note(Reference, "the single file is named %s", strconv.Quote("."))
	}
	return d
}
