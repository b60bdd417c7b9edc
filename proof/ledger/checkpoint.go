package ledger

import (
	"bytes"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/transparency-dev/formats/log"
	fnote "github.com/transparency-dev/formats/note"
	"github.com/transparency-dev/formats/witness"
	"github.com/transparency-dev/merkle/rfc6962"
	"golang.org/x/mod/sumdb/note"
)

const maxCheckpoint = 1 << 20

// ErrUntrusted is wrapped by errors about a checkpoint that trusted keys have not signed as they should.
var ErrUntrusted = errors.New("checkpoint not trusted")

// GenerateKey makes an Ed25519 key pair for a log, in the form of C2SP signed-note. origin is the log's name for ever:
// a host and path without scheme, such as example.com/models.
func GenerateKey(random io.Reader, origin string) (private, public string, err error) {
	if err := validOrigin(origin); err != nil {
		return "", "", err
	}
	return note.GenerateKey(random, origin)
}

func validOrigin(s string) error {
	if s == "" || len(s) > 255 || strings.IndexFunc(s, func(r rune) bool { return r <= ' ' || r > '~' || r == '+' }) >= 0 {
		return fmt.Errorf("log name %q: use a host and path in ASCII, without spaces and +, such as example.com/models", s)
	}
	return nil
}

// ParseSigner reads the private key of a log.
func ParseSigner(key string) (note.Signer, error) {
	s, err := note.NewSigner(strings.TrimSpace(key))
	if err != nil { // the error of the library may show the key
		return nil, errors.New("read the log's private key: not an Ed25519 note key: it is a line that starts with PRIVATE+KEY+")
	}
	return s, nil
}

// PublicKey returns the public key that belongs to a log's private key.
func PublicKey(private string) (string, error) {
	fail := errors.New("read the log's private key: not an Ed25519 note key: it is a line that starts with PRIVATE+KEY+")
	s, err := ParseSigner(private)
	if err != nil {
		return "", err
	}
	parts := strings.SplitN(strings.TrimSpace(private), "+", 5) // PRIVATE KEY name hash data
	if len(parts) != 5 {
		return "", fail
	}
	seed, err := base64.StdEncoding.DecodeString(parts[4])
	if err != nil || len(seed) != 1+ed25519.SeedSize {
		return "", fail
	}
	return note.NewEd25519VerifierKey(s.Name(), ed25519.NewKeyFromSeed(seed[1:]).Public().(ed25519.PublicKey))
}

// KeyID names a log's public key: 16 hexadecimal digits of its SHA-256.
func KeyID(public string) string {
	sum := sha256.Sum256([]byte(strings.TrimSpace(public)))
	return hex.EncodeToString(sum[:8])
}

// Trust says whose signatures a checkpoint must carry.
type Trust struct {
	Log       note.Verifier  // of the log itself
	Witnesses *witness.Group // who must have cosigned; nobody when nil

	cosigners []note.Verifier // all witnesses that the policy names, whether it asks for them or not
}

// ParseTrust reads a log's public key and, when policy is not empty, a witness policy: lines that name witnesses with
// their keys and say how many must have signed.
func ParseTrust(key string, policy []byte) (Trust, error) {
	v, err := fnote.NewVerifier(strings.TrimSpace(key))
	if err != nil {
		return Trust{}, fmt.Errorf("read the log's public key: %w: it is a line NAME+HASH+KEY, as `palladium ledger init` writes", err)
	}
	t := Trust{Log: v}
	if len(bytes.TrimSpace(policy)) == 0 {
		return t, nil
	}
	g, err := witness.ParsePolicy(policy)
	if err != nil {
		return Trust{}, fmt.Errorf("read the witness policy: %w", err)
	}
	t.Witnesses = &g
	for line := range strings.Lines(string(policy)) {
		line, _, _ = strings.Cut(line, "#")
		if fields := strings.Fields(line); len(fields) == 4 && fields[0] == "witness" { // the form that was accepted above
			w, err := fnote.NewVerifierForCosignatureV1(fields[2])
			if err != nil {
				return Trust{}, fmt.Errorf("read the key of witness %s: %w", fields[1], err)
			}
			if !slices.ContainsFunc(t.cosigners, func(v note.Verifier) bool { return v.Name() == w.Name() && v.KeyHash() == w.KeyHash() }) {
				t.cosigners = append(t.cosigners, w)
			}
		}
	}
	return t, nil
}

// Cosignature is a signature on a checkpoint that is not the log's own.
type Cosignature struct {
	Name  string    `json:"name"`
	Known bool      `json:"known"`         // by a witness of the policy, and good; false says nothing about the signature
	Time  time.Time `json:"time,omitzero"` // when the witness saw the checkpoint; of known ones
}

// Checkpoint is the signed head of a log.
type Checkpoint struct {
	Origin       string        `json:"origin"`
	Size         uint64        `json:"size"` // entries
	Root         []byte        `json:"root"` // of the tree, SHA-256
	Cosignatures []Cosignature `json:"cosignatures,omitempty"`

	Raw []byte `json:"-"` // as signed
}

// OpenCheckpoint checks a checkpoint's signatures. The log's own must be there; a bad signature by a key that is known
// refuses the checkpoint, whatever else it carries; signatures by unknown keys or of unknown kinds are listed and count for
// nothing. Errors wrap ErrUntrusted or ErrFormat.
func OpenCheckpoint(data []byte, t Trust) (*Checkpoint, error) {
	if len(data) > maxCheckpoint {
		return nil, fmt.Errorf("%w: checkpoint is longer than %d bytes", ErrFormat, maxCheckpoint)
	}
	n, err := note.Open(data, note.VerifierList(append([]note.Verifier{t.Log}, t.cosigners...)...))
	var unverified *note.UnverifiedNoteError
	switch {
	case errors.As(err, &unverified):
		return nil, fmt.Errorf("%w: no signature is by the key of %s that you gave", ErrUntrusted, t.Log.Name())
	case err != nil:
		return nil, fmt.Errorf("%w: %w", ErrUntrusted, err)
	}
	for _, sig := range slices.Concat(n.Sigs, n.UnverifiedSigs) {
		if _, err := base64.StdEncoding.Strict().DecodeString(sig.Base64); err != nil {
			return nil, fmt.Errorf("%w: a signature is written in a way that no signer writes", ErrFormat)
		}
	}
	var cp log.Checkpoint
	rest, err := cp.Unmarshal([]byte(n.Text))
	if err != nil || len(cp.Hash) != sha256.Size || !bytes.Equal(append(cp.Marshal(), rest...), []byte(n.Text)) {
		return nil, fmt.Errorf("%w: signed text is no checkpoint: it must be origin, size and root hash", ErrFormat)
	}
	if cp.Origin != t.Log.Name() {
		return nil, fmt.Errorf("%w: it is of log %q, the key is of %q", ErrUntrusted, cp.Origin, t.Log.Name())
	}
	if cp.Size == 0 && !bytes.Equal(cp.Hash, rfc6962.DefaultHasher.EmptyRoot()) {
		return nil, fmt.Errorf("%w: root of an empty log is not that of an empty tree", ErrFormat)
	}
	out := &Checkpoint{Origin: cp.Origin, Size: cp.Size, Root: cp.Hash, Raw: data}
	own := false
	for _, s := range n.Sigs {
		if s.Name == t.Log.Name() && s.Hash == t.Log.KeyHash() {
			own = true
			continue
		}
		at, err := fnote.CoSigV1Timestamp(s)
		if err != nil {
			return nil, fmt.Errorf("%w: cosignature of %s has no time: %w", ErrFormat, s.Name, err)
		}
		out.Cosignatures = append(out.Cosignatures, Cosignature{Name: s.Name, Known: true, Time: at.UTC()})
	}
	for _, s := range n.UnverifiedSigs {
		out.Cosignatures = append(out.Cosignatures, Cosignature{Name: s.Name})
	}
	if !own {
		return nil, fmt.Errorf("%w: the log %s itself has not signed it", ErrUntrusted, t.Log.Name())
	}
	if t.Witnesses != nil && !t.Witnesses.Satisfied(data) {
		return nil, fmt.Errorf("%w: too few of the policy's witnesses have signed it: %d have", ErrUntrusted, len(n.Sigs)-1)
	}
	return out, nil
}
