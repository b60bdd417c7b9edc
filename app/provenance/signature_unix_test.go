//go:build unix

package provenance

import (
	"errors"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/palladium-guard/palladium/weights/compare"
)

// A pipe in the place of the signature would keep its reader waiting for ever.
func TestSignatureIsPipe(t *testing.T) {
	b := newBench(t, small())
	_, err := b.sign(SignOptions{})
	check(t, err)
	path := filepath.Join(b.dir, SignatureName)
	check(t, os.Remove(path))
	if err := syscall.Mkfifo(path, 0o600); err != nil {
		t.Skip("pipes cannot be made:", err)
	}
	if _, err := b.verify(VerifyOptions{}); !errors.Is(err, ErrRefused) {
		t.Errorf("verified with a pipe for a signature: %v", err)
	}
	if _, err := Summarise(b.dir, nil); !errors.Is(err, ErrRefused) {
		t.Errorf("summarised with a pipe for a signature: %v", err)
	}
}

func TestComparePipe(t *testing.T) {
	for _, name := range []string{"model.safetensors", "model.safetensors.index.json", "model.gguf"} {
		dir := t.TempDir()
		if err := syscall.Mkfifo(filepath.Join(dir, name), 0o600); err != nil {
			t.Skip("pipes cannot be made:", err)
		}
		if _, err := Compare(t.Context(), Weights{Path: dir}, Weights{Path: dir}, compare.Options{}); !errors.Is(err, errIrregular) {
			t.Errorf("%s: compared with a pipe: %v", name, err)
		}
	}
}
