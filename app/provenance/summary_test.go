package provenance

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/palladium-guard/palladium/proof/ledger"
	"github.com/palladium-guard/palladium/weights/signing"
)

func TestSummaries(t *testing.T) {
	b, other := newBench(t, small()), newBench(t, small())
	signed, err := b.sign(SignOptions{})
	check(t, err)
	parent := filepath.Dir(b.dir)
	for _, name := range []string{"changed", "unsigned", "broken", ".hidden"} {
		check(t, os.CopyFS(filepath.Join(parent, name), os.DirFS(b.dir)))
	}
	check(t, os.Remove(filepath.Join(parent, "changed", "README.md")))
	check(t, os.WriteFile(filepath.Join(parent, "changed", "new.py"), nil, 0o600))
	check(t, os.Remove(filepath.Join(parent, "unsigned", SignatureName)))
	check(t, os.WriteFile(filepath.Join(parent, "broken", SignatureName), []byte("{}"), 0o600))

	got, err := Models(parent, []signing.Trust{{Key: &other.key.PublicKey}, {Key: &b.key.PublicKey}})
	check(t, err)
	if len(got) != 4 {
		t.Fatalf("%d models, want 4", len(got))
	}
	if s := got[0]; s.Signature == nil || s.Signature.Note == "" || s.Signature.Trusted {
		t.Errorf("broken: %+v", s.Signature)
	}
	if s := got[1].Signature; !s.Trusted || !slices.Equal(s.Missing, []string{"README.md"}) || !slices.Equal(s.Unlisted, []string{"new.py"}) {
		t.Errorf("changed: %+v", s)
	}
	if s := got[2]; s.Files != 4 || !s.Signature.Trusted || s.Signature.Note != "" || s.Signature.Root != signed.Root || s.Modified.IsZero() || s.Signature.Unlisted != nil {
		t.Errorf("as signed: %+v, %+v", s, s.Signature)
	}
	if s := got[3]; s.Signature != nil || s.Files != 4 {
		t.Errorf("unsigned: %+v", s)
	}
	s, err := Summarise(b.dir, []signing.Trust{{Key: &other.key.PublicKey}})
	if err != nil || s.Signature.Trusted || s.Signature.Note == "" {
		t.Errorf("nobody who is trusted: %+v, %v", s.Signature, err)
	}
	if _, err := Models(filepath.Join(parent, "nowhere"), nil); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("no folder: got error %v", err)
	}
	found, err := Inspect(t.Context(), []string{b.dir})
	check(t, err)
	if sum := found.Summary(); sum.Files["safe"]+sum.Files["unknown"]+sum.Files["suspicious"] != len(found.Files) || sum.Verdict != found.Verdict.String() {
		t.Errorf("inspection: %+v of %d files", sum, len(found.Files))
	}
}

// first is a ledger that looks, when it is written to, whether the act was done already.
type first struct {
	ledger.Discard
	look func()
	err  error
}

func (f *first) Append(ctx context.Context, s ledger.Statement) (ledger.Receipt, error) {
	f.look()
	if f.err != nil {
		return ledger.Receipt{}, f.err
	}
	return f.Discard.Append(ctx, s)
}

func TestLedgerFirst(t *testing.T) {
	b := newBench(t, small())
	path := filepath.Join(b.dir, SignatureName)
	looked := false
	l := &first{err: errors.New("disk full"), look: func() {
		looked = true
		if _, err := os.Stat(path); err == nil {
			t.Error("the signature is in its place before it is in the ledger")
		}
	}}
	if _, err := b.sign(SignOptions{Ledger: l}); !errors.Is(err, l.err) || !looked {
		t.Fatalf("got error %v", err)
	}
	if _, err := os.Stat(path); err == nil {
		t.Error("a model was signed that is not in the ledger")
	}
	l.err = nil
	if r, err := b.sign(SignOptions{Ledger: l}); err != nil || r.Entry == nil {
		t.Errorf("got %+v, %v", r, err)
	}
}
