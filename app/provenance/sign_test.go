package provenance

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"math/big"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/palladium-guard/palladium/weights/manifest"
	"github.com/palladium-guard/palladium/weights/signing"
)

// bench is a model, a key and where its public half lies.
type bench struct {
	dir string
	key *ecdsa.PrivateKey
}

func newBench(t testing.TB, files map[string]string) *bench {
	t.Helper()
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	b := &bench{dir: filepath.Join(t.TempDir(), "m1"), key: k}
	for p, content := range files {
		b.write(t, p, content)
	}
	return b
}

func (b *bench) write(t testing.TB, p, content string) {
	t.Helper()
	path := filepath.Join(b.dir, filepath.FromSlash(p))
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
}

func (b *bench) sign(o SignOptions) (*Report, error) {
	if o.Model == "" {
		o.Model = b.dir
	}
	o.With = &KeySigner{Key: b.key}
	return Sign(context.Background(), o)
}

func (b *bench) verify(o VerifyOptions) (*Report, error) {
	if o.Model == "" {
		o.Model = b.dir
	}
	o.Trust = signing.Trust{Key: &b.key.PublicKey}
	return Verify(context.Background(), o)
}

func small() map[string]string {
	return map[string]string{"config.json": "{}", "a/model.safetensors": "weights", "a/__init__.py": "", "README.md": "# hi"}
}

func TestSignAndVerify(t *testing.T) {
	for _, o := range []SignOptions{
		{}, {Form: signing.Spec}, {Form: signing.Reference}, {Algorithm: manifest.BLAKE2b}, {Algorithm: manifest.BLAKE3},
	} {
		b := newBench(t, small())
		s, err := b.sign(o)
		if err != nil {
			t.Fatal(err)
		}
		v, err := b.verify(VerifyOptions{})
		if err != nil {
			t.Fatal(err)
		}
		if s.Root != v.Root || v.Files != 4 || v.Method != signing.ByKey || s.Dialect.String() != v.Dialect.String() {
			t.Errorf("signed %+v\nverified %+v", s, v)
		}
		info, err := os.Stat(filepath.Join(b.dir, SignatureName))
		if err != nil || info.Mode().Perm() != 0o644 {
			t.Errorf("signature file: %v %v", info.Mode(), err)
		}
		left, _ := filepath.Glob(filepath.Join(b.dir, ".*"))
		if len(left) > 0 {
			t.Errorf("left behind: %v", left)
		}
	}
}

// TestAttacks changes a signed model as somebody who can write to it would.
func TestAttacks(t *testing.T) {
	for _, row := range []struct {
		name   string
		sign   SignOptions
		change func(t *testing.T, b *bench)
		verify VerifyOptions
		says   string // "" when it verifies
	}{
		{name: "nothing"},
		{name: "a byte", change: put("config.json", "[]"), says: `"config.json": changed: expected sha256 `},
		{name: "a byte more", change: put("config.json", "{} "), says: `"config.json": changed`},
		{name: "a file less", change: remove("config.json"), says: `"config.json": missing`},
		{name: "an empty file less", change: remove("a/__init__.py"), says: `"a/__init__.py": missing`},
		{name: "an empty file more", change: put("b/__init__.py", ""), says: `"b/__init__.py": unsigned`},
		{name: "code more", change: put("evil.py", "x"), says: `"evil.py": unsigned`},
		{name: "a document more", change: put("NOTES.md", "x"), says: `"NOTES.md": unsigned`},
		{name: "a document more, accepted", change: put("NOTES.md", "x"), verify: VerifyOptions{IgnoreUnsigned: true}},
		{name: "code beside accepted documents", change: put("evil.py", "x"), verify: VerifyOptions{IgnoreUnsigned: true}, says: `"evil.py": unsigned`},
		{name: "a pickle that calls itself a document", change: put("NOTES.md", "\x80\x04\x95"), verify: VerifyOptions{IgnoreUnsigned: true}, says: `"NOTES.md": unsigned`},
		{name: "weights beside the signed ones", change: put("model.safetensors", "x"), verify: VerifyOptions{IgnoreUnsigned: true}, says: `"model.safetensors": unsigned`},
		{name: "code that was listed", change: put("mine.py", "x"), verify: VerifyOptions{Scope: Scope{AllowUnsigned: []string{"mine.py"}}}},
		{name: "other code than was listed", change: put("evil.py", "x"), verify: VerifyOptions{Scope: Scope{AllowUnsigned: []string{"mine.py"}}}, says: `"evil.py": unsigned`},
		{name: "two files swapped", change: func(t *testing.T, b *bench) {
			b.write(t, "config.json", "weights")
			b.write(t, "a/model.safetensors", "{}")
		}, says: `"a/model.safetensors": changed`},
		{name: "a file put elsewhere", change: func(t *testing.T, b *bench) {
			check(t, os.Rename(filepath.Join(b.dir, "config.json"), filepath.Join(b.dir, "a", "config.json")))
		}, says: `"config.json": missing`},
		{name: "a file in another case", change: func(t *testing.T, b *bench) {
			check(t, os.Rename(filepath.Join(b.dir, "config.json"), filepath.Join(b.dir, "Config.json")))
		}, says: `"config.json": missing`},
		{name: "a hole in the signature", sign: SignOptions{Scope: Scope{Ignore: []string{"cache"}}}, change: put("cache/evil.py", "x"), says: `"cache/evil.py": hole`},
		{name: "an empty hole", sign: SignOptions{Scope: Scope{Ignore: []string{"cache"}}}, change: put("cache/note.md", "x")},
		{name: "a hole that was listed", sign: SignOptions{Scope: Scope{Ignore: []string{"cache"}}}, change: put("cache/mine.py", "x"), verify: VerifyOptions{Scope: Scope{AllowUnsigned: []string{"cache/mine.py"}}}},
		{name: "code in .git", change: put(".git/evil.py", "x"), says: `".git/evil.py": hole`},
		{name: "git's own files", change: put(".git/config", "x")},
		{name: "a link in a file's place", change: func(t *testing.T, b *bench) {
			check(t, os.Rename(filepath.Join(b.dir, "config.json"), filepath.Join(b.dir, "README.txt")))
			check(t, os.Symlink("README.txt", filepath.Join(b.dir, "config.json")))
		}, says: `"config.json": link`},
		{name: "a pipe", change: func(t *testing.T, b *bench) { check(t, syscall.Mkfifo(filepath.Join(b.dir, "p"), 0o600)) }, says: `"p": special`},
		{name: "the signature cut", change: cut(SignatureName), says: "malformed"},
		{name: "the signature gone", change: remove(SignatureName), says: "it has no signature"},
		{name: "the operator ignores a signed file", verify: VerifyOptions{Scope: Scope{Ignore: []string{"README.md"}}}, says: `"README.md": missing`},
		{name: "the operator ignores everything", verify: VerifyOptions{Scope: Scope{Ignore: []string{"."}}}, says: "write an exact path"},
		{name: "a byte, with shards", sign: SignOptions{Method: manifest.Shards, ShardSize: 3, Scope: Scope{Ignore: []string{"none"}}},
			change: put("a/model.safetensors", "weiGhts"), says: `"a/model.safetensors:3:6": changed`},
		{name: "a byte more, with shards", sign: SignOptions{Method: manifest.Shards, ShardSize: 3}, change: put("a/model.safetensors", "weights."), says: `expected 7 bytes, found 8 bytes`},
		{name: "an empty file, with shards", sign: SignOptions{Method: manifest.Shards, ShardSize: 3}, change: put("b/__init__.py", ""), says: "an empty file, which shards cannot state"},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t, small())
			if row.sign.Method == manifest.Shards {
				b.write(t, "a/__init__.py", "#")
			}
			if _, err := b.sign(row.sign); err != nil {
				t.Fatal(err)
			}
			if row.change != nil {
				row.change(t, b)
			}
			r, err := b.verify(row.verify)
			switch {
			case row.says == "" && err != nil:
				t.Fatal(err)
			case row.says == "":
				if n := len(row.verify.Scope.AllowUnsigned); len(r.Unsigned) < n {
					t.Errorf("unsigned files are not shown: %v", r.Unsigned)
				}
				return
			case err == nil || !strings.Contains(err.Error(), row.says):
				t.Fatalf("got %v, want %q", err, row.says)
			}
			if row.name != "the operator ignores everything" && !errors.Is(err, ErrRefused) {
				t.Errorf("%v does not wrap ErrRefused", err)
			}
		})
	}
}

func check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func put(p, content string) func(*testing.T, *bench) {
	return func(t *testing.T, b *bench) { b.write(t, p, content) }
}

func remove(p string) func(*testing.T, *bench) {
	return func(t *testing.T, b *bench) { check(t, os.Remove(filepath.Join(b.dir, p))) }
}

func cut(p string) func(*testing.T, *bench) {
	return func(t *testing.T, b *bench) { check(t, os.Truncate(filepath.Join(b.dir, p), 100)) }
}

// TestRefusedToSign signs nothing that a signature could not vouch for, and leaves no file behind.
func TestRefusedToSign(t *testing.T) {
	for _, row := range []struct {
		name   string
		change func(t *testing.T, b *bench)
		o      SignOptions
		says   string
	}{
		{"nothing to sign", func(t *testing.T, b *bench) { check(t, os.RemoveAll(b.dir)); check(t, os.Mkdir(b.dir, 0o700)) }, SignOptions{}, "holds no file to sign"},
		{"no model", func(t *testing.T, b *bench) { check(t, os.RemoveAll(b.dir)) }, SignOptions{}, "no such file"},
		{"ignored code", nil, SignOptions{Scope: Scope{Ignore: []string{"a"}}}, `"a/model.safetensors": hole`},
		{"an empty file with shards", nil, SignOptions{Method: manifest.Shards}, `"a/__init__.py": unsigned`},
		{"a link", func(t *testing.T, b *bench) { check(t, os.Symlink("config.json", filepath.Join(b.dir, "l"))) }, SignOptions{}, `"l": link`},
		{"a link out", func(t *testing.T, b *bench) { check(t, os.Symlink("/etc/hostname", filepath.Join(b.dir, "l"))) }, SignOptions{Links: true}, `"l": link`},
		{"a link to a directory", func(t *testing.T, b *bench) { check(t, os.Symlink("a", filepath.Join(b.dir, "l"))) }, SignOptions{Links: true}, `"l": link: expected a link to a file, found a link to a directory`},
		{"a loop", func(t *testing.T, b *bench) { check(t, os.Symlink("..", filepath.Join(b.dir, "a", "l"))) }, SignOptions{Links: true}, `"a/l": link`},
		{"names that differ in case", put("CONFIG.json", "{}"), SignOptions{}, `name`},
		{"a line break", put("a\nb", "{}"), SignOptions{}, `"a\nb": name`},
		{"an ignored pattern", nil, SignOptions{Scope: Scope{Ignore: []string{"*.py"}}}, "write an exact path"},
		{"an ignored path above", nil, SignOptions{Scope: Scope{Ignore: []string{"../x"}}}, "write an exact path"},
		{"an unknown hash", nil, SignOptions{Algorithm: "md5"}, "md5"},
		{"an unknown form", nil, SignOptions{Form: "x"}, "is not one of"},
		{"a folder that is not there", nil, SignOptions{Signature: filepath.Join(t.TempDir(), "none", "x.sig")}, "write the signature"},
	} {
		t.Run(row.name, func(t *testing.T) {
			b := newBench(t, small())
			if row.change != nil {
				row.change(t, b)
			}
			_, err := b.sign(row.o)
			if err == nil || !strings.Contains(err.Error(), row.says) {
				t.Errorf("got %v, want %q", err, row.says)
			}
			if _, err := os.Stat(filepath.Join(b.dir, SignatureName)); err == nil {
				t.Error("a signature was written")
			}
		})
	}
}

func TestLinks(t *testing.T) {
	b := newBench(t, small())
	check(t, os.Symlink("../config.json", filepath.Join(b.dir, "a", "c.json")))
	if _, err := b.sign(SignOptions{Links: true}); err != nil {
		t.Fatal(err)
	}
	r, err := b.verify(VerifyOptions{})
	if err != nil || r.Files != 5 {
		t.Fatalf("%+v %v", r, err)
	}
	out := filepath.Join(t.TempDir(), "blob.json")
	check(t, os.WriteFile(out, []byte("{}"), 0o600))
	check(t, os.Remove(filepath.Join(b.dir, "a", "c.json")))
	check(t, os.Symlink(out, filepath.Join(b.dir, "a", "c.json")))
	if _, err := b.verify(VerifyOptions{}); err == nil || !strings.Contains(err.Error(), "out of the model") {
		t.Errorf("a link that leads out: %v", err)
	}
	if _, err := b.verify(VerifyOptions{Scope: Scope{LinksAnywhere: true}}); err != nil {
		t.Errorf("a link that may lead out: %v", err)
	}
}

func TestSingleFile(t *testing.T) {
	for _, form := range signing.Forms() {
		b := newBench(t, small())
		file := filepath.Join(b.dir, "a", "model.safetensors")
		if _, err := b.sign(SignOptions{Model: file, Form: form}); err != nil {
			t.Fatal(err)
		}
		if r, err := b.verify(VerifyOptions{Model: file}); err != nil || r.Signature != file+".sig" {
			t.Fatalf("%s: %+v %v", form, r, err)
		}
		if _, err := b.verify(VerifyOptions{Signature: file + ".sig"}); !errors.Is(err, ErrRefused) {
			t.Errorf("%s: a directory by the signature of a file: %v", form, err)
		}
		if _, err := b.sign(SignOptions{}); err != nil {
			t.Fatal(err)
		}
		if _, err := b.verify(VerifyOptions{Model: file, Signature: filepath.Join(b.dir, SignatureName)}); !errors.Is(err, ErrRefused) {
			t.Errorf("%s: a file by the signature of a directory: %v", form, err)
		}
		check(t, os.WriteFile(file, []byte("Weights"), 0o600))
		if _, err := b.verify(VerifyOptions{Model: file}); err == nil || !strings.Contains(err.Error(), "changed") {
			t.Errorf("%s: %v", form, err)
		}
	}
}

// The signature file is left out wherever it lies in the model, and under whatever name its folder is reached.
func TestSignatureElsewhere(t *testing.T) {
	b := newBench(t, small())
	alias := filepath.Join(t.TempDir(), "alias")
	check(t, os.Symlink(b.dir, alias))
	for _, path := range []string{filepath.Join(b.dir, "a", "x.sig"), filepath.Join(alias, "y.sig"), filepath.Join(t.TempDir(), "z.sig")} {
		if _, err := b.sign(SignOptions{Signature: path}); err != nil {
			t.Fatal(err)
		}
		if _, err := b.verify(VerifyOptions{Signature: path}); err != nil {
			t.Errorf("%s: %v", path, err)
		}
		if _, err := b.verify(VerifyOptions{Model: alias, Signature: path}); err != nil {
			t.Errorf("%s, by another name: %v", path, err)
		}
		_ = os.Remove(path)
	}
}

// TestReference verifies the models of every release of the reference, files and all.
func TestReference(t *testing.T) {
	dir := filepath.Join("..", "..", "..", "shared", "vectors", "oms", "reference")
	models, err := filepath.Glob(filepath.Join(dir, "v*"))
	if err != nil || len(models) == 0 {
		t.Skip("the public vectors are not beside the repository")
	}
	trust := TrustFiles{Key: filepath.Join(dir, "keys", "certificate", "signing-key-pub.pem"), Roots: []string{filepath.Join(dir, "keys", "certificate", "ca-cert.pem")},
		At: time.Date(2026, 6, 1, 0, 0, 0, 0, time.UTC)}
	if out, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}", "github.com/sigstore/sigstore-go").Output(); err == nil {
		trust.Identity, trust.Issuer = "stefanb@us.ibm.com", "https://sigstore.verify.ibm.com/oauth2"
		trust.TrustedRoot = filepath.Join(strings.TrimSpace(string(out)), "examples", "trusted-root-public-good.json")
	}
	load, err := trust.Load()
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range models {
		name := filepath.Base(path)
		t.Run(name, func(t *testing.T) {
			o := VerifyOptions{Model: path, Signature: filepath.Join(path, SignatureName), Trust: load}
			switch {
			case name == "v0.3.1-elliptic-key" || name == "v1.0.0-elliptic-key": // of one file
				o.Model = filepath.Join(path, "signme-1")
			case strings.HasPrefix(name, "v1.0.1"): // its signatures do not list what its tests leave out
				if _, err := Verify(context.Background(), o); err == nil || !strings.Contains(err.Error(), `"ignore-me": unsigned`) {
					t.Errorf("without the path that is left out: %v", err)
				}
				o.Scope.Ignore = []string{"ignore-me"}
			}
			r, err := Verify(context.Background(), o)
			if err != nil {
				t.Fatal(err)
			}
			if strings.HasPrefix(name, "v1.1.0") && !slices.ContainsFunc(r.Ignored, func(l Left) bool { return l.Path == "ignore-me" && l.Files == 1 }) {
				t.Errorf("what is ignored is not shown: %+v", r.Ignored)
			}
		})
	}
	if len(models) != 13 {
		t.Errorf("%d models, want 13", len(models))
	}
}

func TestTrustFiles(t *testing.T) {
	b := newBench(t, small())
	dir := t.TempDir()
	file := func(name, kind string, der []byte) string {
		path := filepath.Join(dir, name)
		check(t, os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600))
		return path
	}
	p8, _ := x509.MarshalPKCS8PrivateKey(b.key)
	spki, _ := x509.MarshalPKIXPublicKey(&b.key.PublicKey)
	private, public := file("key.pem", "PRIVATE KEY", p8), file("key.pub", "PUBLIC KEY", spki)
	for _, row := range []struct {
		name string
		f    TrustFiles
		says string
	}{
		{"a key", TrustFiles{Key: public}, ""},
		{"a private key", TrustFiles{Key: private}, "PUBLIC KEY is expected"},
		{"no file", TrustFiles{Key: filepath.Join(dir, "none")}, "no such file"},
		{"no certificate", TrustFiles{Roots: []string{public}}, "no certificate"},
		{"an identity alone", TrustFiles{Identity: "a"}, "give both"},
		{"an issuer alone", TrustFiles{Issuer: "a"}, "give both"},
		{"no trusted root", TrustFiles{Identity: "a", Issuer: "b", TrustedRoot: public}, "trusted root"},
	} {
		_, err := row.f.Load()
		if row.says == "" && err != nil || row.says != "" && (err == nil || !strings.Contains(err.Error(), row.says)) {
			t.Errorf("%s: got %v, want %q", row.name, err, row.says)
		}
	}
	keys := KeyFiles{Key: private}
	s, done, err := keys.Open()
	if err != nil {
		t.Fatal(err)
	}
	done()
	if _, err := Sign(context.Background(), SignOptions{Model: b.dir, With: s}); err != nil {
		t.Error(err)
	}
	for name, f := range map[string]KeyFiles{"public": {Key: public}, "none": {Key: filepath.Join(dir, "none")}, "no passphrase file": {Key: private, Passphrase: filepath.Join(dir, "none")}, "no certificate": {Key: private, Certificate: private}} {
		if _, _, err := f.Open(); err == nil {
			t.Errorf("%s was opened", name)
		}
	}
}

// A certificate that does not hold today signs nothing.
func TestCertificateDates(t *testing.T) {
	b := newBench(t, small())
	dir := t.TempDir()
	p8, err := x509.MarshalPKCS8PrivateKey(b.key)
	check(t, err)
	keys := KeyFiles{Key: filepath.Join(dir, "key.pem"), Certificate: filepath.Join(dir, "cert.pem")}
	check(t, os.WriteFile(keys.Key, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: p8}), 0o600))
	day := 24 * time.Hour
	for name, c := range map[string]struct {
		from, to time.Duration
		ok       bool
	}{"holds": {-day, day, true}, "expired": {-3 * day, -2 * day, false}, "not yet": {day, 2 * day, false}} {
		tmpl := &x509.Certificate{SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(c.from), NotAfter: time.Now().Add(c.to)}
		der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, &b.key.PublicKey, b.key)
		check(t, err)
		check(t, os.WriteFile(keys.Certificate, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o600))
		_, done, err := keys.Open()
		if (err == nil) != c.ok || err != nil && !strings.Contains(err.Error(), "have it issued anew") {
			t.Errorf("%s: got error %v", name, err)
		}
		if err == nil {
			done()
		}
	}
}
