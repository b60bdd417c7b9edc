package provenance

import (
	"context"
	"crypto/x509"
	"encoding/pem"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/palladium-guard/palladium/weights/signing"
)

// TestKilled kills a program that signs over and over, at any moment. What it leaves is the old signature or the new one,
// and a cache that opens.
func TestKilled(t *testing.T) {
	if dir := os.Getenv("PALLADIUM_TEST_SIGN"); dir != "" {
		for {
			if err := signOnce(dir); err != nil {
				t.Fatal(err)
			}
		}
	}
	rounds := 10
	if testing.Short() {
		rounds = 4
	}
	b := newBench(t, small())
	base := filepath.Dir(b.dir)
	der, err := x509.MarshalPKCS8PrivateKey(b.key)
	check(t, err)
	check(t, os.WriteFile(filepath.Join(base, "key.pem"), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), 0o600))
	check(t, signOnce(base))
	left := 0
	for range rounds {
		child := exec.Command(os.Args[0], "-test.run=^TestKilled$")
		child.Env = append(os.Environ(), "PALLADIUM_TEST_SIGN="+base)
		check(t, child.Start())
		time.Sleep(20*time.Millisecond + time.Duration(rand.IntN(60_000))*time.Microsecond)
		_ = child.Process.Kill()
		_ = child.Wait()
		data, err := os.ReadFile(filepath.Join(b.dir, SignatureName))
		check(t, err)
		file, err := signing.ParseBundle(data)
		if err != nil {
			t.Fatalf("half a signature: %v", err)
		}
		if _, err := signing.Verify(file, signing.Trust{Key: &b.key.PublicKey}); err != nil {
			t.Fatal(err)
		}
		beside, _ := filepath.Glob(filepath.Join(b.dir, ".model.sig.*"))
		left += len(beside)
		check(t, signOnce(base)) // opens the cache, and clears what was left behind
		if _, err := b.verify(VerifyOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("killed %d times, %d temporary files cleared", rounds, left)
}

func signOnce(base string) error {
	cache, err := OpenCache(filepath.Join(base, "digests"), filepath.Join(base, "m1"))
	if err != nil {
		return err
	}
	cache.now = func() time.Time { return time.Now().Add(time.Hour) }
	cache.Paranoid = true
	keys := KeyFiles{Key: filepath.Join(base, "key.pem")}
	s, done, err := keys.Open()
	if err != nil {
		return err
	}
	defer done()
	_, err = Sign(context.Background(), SignOptions{Model: filepath.Join(base, "m1"), With: s, Reading: Reading{Cache: cache}})
	return err
}
