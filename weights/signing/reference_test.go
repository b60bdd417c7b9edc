package signing

import (
	"crypto/x509"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/sigstore/sigstore-go/pkg/root"
)

// vectors returns the folder of the public test vectors, beside the repository.
func vectors(t *testing.T) string {
	t.Helper()
	dir := filepath.Join("..", "..", "..", "shared", "vectors", "oms")
	if _, err := os.Stat(dir); err != nil {
		t.Skipf("the public vectors are not beside the repository: %v", err)
	}
	return dir
}

func readFile(t *testing.T, parts ...string) []byte {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(parts...))
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// referenceTrust trusts the signers of the reference's bundles.
func referenceTrust(t *testing.T, dir string) Trust {
	t.Helper()
	keys := filepath.Join(dir, "reference", "keys", "certificate")
	pub, err := ParsePublicKey(readFile(t, keys, "signing-key-pub.pem"))
	if err != nil {
		t.Fatal(err)
	}
	roots, err := ParseCertificates(readFile(t, keys, "ca-cert.pem"))
	if err != nil {
		t.Fatal(err)
	}
	trust := Trust{Key: pub, Roots: []*x509.Certificate{roots[0]}, Certificate: time.Date(2026, 6, 1, 0, 0, 0, 0, time.UTC)}
	out, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}", "github.com/sigstore/sigstore-go").Output()
	if err != nil {
		t.Logf("no trusted root: %v", err)
		return trust
	}
	trust.Sigstore, err = ParseTrustedRoot(readFile(t, strings.TrimSpace(string(out)), "examples", "trusted-root-public-good.json"))
	if err != nil {
		t.Fatal(err)
	}
	trust.Identity, trust.Issuer = "stefanb@us.ibm.com", "https://sigstore.verify.ibm.com/oauth2"
	return trust
}

func TestReferenceBundles(t *testing.T) {
	dir := vectors(t)
	trust := referenceTrust(t, dir)
	n := 0
	for _, row := range []struct {
		name, release string
		method        Method
		paths         string
	}{
		{"v0.2.0-certificate", "v0.2.0", ByCertificate, "signme-1 signme-2"},
		{"v0.3.1-certificate", "v0.3.1 to v1.0.1", ByCertificate, "signme-1 signme-2"},
		{"v0.3.1-elliptic-key", "v0.3.1 to v1.0.1", ByKey, "."},
		{"v0.3.1-sigstore", "v1.0", BySigstore, "signme-1 signme-2"},
		{"v1.0.0-certificate", "v0.3.1 to v1.0.1", ByCertificate, "signme-1 signme-2"},
		{"v1.0.0-elliptic-key", "v0.3.1 to v1.0.1", ByKey, "."},
		{"v1.0.0-sigstore", "v1.0", BySigstore, "signme-1 signme-2"},
		{"v1.0.1-certificate", "v0.3.1 to v1.0.1", ByCertificate, "signme-1 signme-2"},
		{"v1.0.1-elliptic-key", "v0.3.1 to v1.0.1", ByKey, "signme-1 signme-2"},
		{"v1.0.1-sigstore", "v1.0", BySigstore, "signme-1 signme-2"},
		{"v1.1.0-certificate", "v1.0", ByCertificate, "signme-1 signme-2"},
		{"v1.1.0-elliptic-key", "v1.0", ByKey, "signme-1 signme-2"},
		{"v1.1.0-sigstore", "v1.0", BySigstore, "signme-1 signme-2"},
	} {
		t.Run(row.name, func(t *testing.T) {
			b, err := ParseBundle(readFile(t, dir, "reference", row.name, "model.sig"))
			if err != nil {
				t.Fatal(err)
			}
			v, err := Verify(b, trust)
			if err != nil {
				t.Fatal(err)
			}
			if v.Method != row.method || !strings.Contains(v.Dialect.String(), row.release) {
				t.Errorf("method %s, dialect %s", v.Method, v.Dialect)
			}
			var paths []string
			for _, r := range v.Manifest.Resources {
				paths = append(paths, r.Path)
			}
			if got := strings.Join(paths, " "); got != row.paths {
				t.Errorf("paths %s, want %s", got, row.paths)
			}
			n++
			t.Logf("%s by %s: %s", row.name, v.Signer, v.Dialect)
			// One bit of the statement more, and nothing is trusted.
			b.Payload[len(b.Payload)/2] ^= 1
			b.raw = []byte(strings.Replace(string(b.raw), `"payload"`, `"payload" `, 1))
			if _, err := Verify(b, trust); err == nil {
				t.Error("a changed statement was taken")
			}
		})
	}
	if n != 13 {
		t.Errorf("%d bundles verified, want 13", n)
	}
}

func TestSpecificationVectors(t *testing.T) {
	dir := vectors(t)
	for _, row := range []struct{ name, says string }{
		{"valid/key", ""},
		{"valid/certificate", ""},
		{"valid/sigstore", ""},
		{"invalid/empty", "it is empty"},
		{"invalid/missing-envelope", "no dsseEnvelope"},
		{"invalid/missing-tlog-entries", "without an entry of a transparency log"},
		{"invalid/missing-verification-material", "no verificationMaterial"},
		{"invalid-payload/wrong-predicate", "signs something else than a model"},
	} {
		t.Run(row.name, func(t *testing.T) {
			b, err := ParseBundle(readFile(t, dir, "spec", "test-vectors", "v1.0", row.name+".bundle.json"))
			if err == nil {
				_, err = readStatement(b.Payload)
			}
			switch {
			case row.says == "" && err != nil:
				t.Fatal(err)
			case row.says != "" && (err == nil || !strings.Contains(err.Error(), row.says)):
				t.Fatalf("got %v, want %q", err, row.says)
			}
			if row.says == "" {
				if _, err := Verify(b, referenceTrust(t, dir)); err != nil {
					t.Errorf("its signature: %v", err)
				}
			}
		})
	}
}

// Sigstore signers are known by identity and issuer, both of them and exactly.
func TestSigstoreIdentity(t *testing.T) {
	dir := vectors(t)
	good := referenceTrust(t, dir)
	if good.Sigstore == nil {
		t.Skip("no trusted root")
	}
	data := readFile(t, dir, "reference", "v1.1.0-sigstore", "model.sig")
	for name, change := range map[string]func(*Trust){
		"another identity":     func(t *Trust) { t.Identity = "somebody@us.ibm.com" },
		"another issuer":       func(t *Trust) { t.Issuer = "https://accounts.example.com" },
		"part of the identity": func(t *Trust) { t.Identity = "stefanb" },
		"no identity":          func(t *Trust) { t.Identity = "" },
		"no issuer":            func(t *Trust) { t.Issuer = "" },
		"no trusted root":      func(t *Trust) { t.Sigstore = nil },
		"a key in its place":   func(t *Trust) { *t = Trust{Key: t.Key} },
		"another trusted root": func(t *Trust) { t.Sigstore = &root.TrustedRoot{} },
	} {
		trust := good
		change(&trust)
		b, err := ParseBundle(data)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := Verify(b, trust); !errors.Is(err, ErrUntrusted) {
			t.Errorf("%s: %v", name, err)
		}
	}
	// Without its entry in the log, with another signature, with two.
	for name, change := range map[string][2]string{
		"another log entry":  {`"canonicalizedBody":"`, `"canonicalizedBody":"A`},
		"another log":        {`"keyId":"wNI9`, `"keyId":"wNI8`},
		"a second signature": {`"signatures":[`, `"signatures":[{"sig":"QQ=="},`},
		"a changed proof":    {`"treeSize":"`, `"treeSize":"1`},
	} {
		text := strings.ReplaceAll(strings.ReplaceAll(string(data), `": "`, `":"`), `": [`, `":[`)
		if !strings.Contains(text, change[0]) {
			t.Fatalf("%s: the bundle has no %s", name, change[0])
		}
		b, err := ParseBundle([]byte(strings.Replace(text, change[0], change[1], 1)))
		if err == nil {
			_, err = Verify(b, good)
		}
		if err == nil {
			t.Errorf("%s was taken", name)
		}
	}
}
