package signing

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"github.com/youmark/pkcs8"

	"github.com/palladium-guard/palladium/weights/manifest"
)

func digest(s string) []byte {
	d := sha256.Sum256([]byte(s))
	return d[:]
}

func newKey(t testing.TB, c elliptic.Curve) *ecdsa.PrivateKey {
	t.Helper()
	k, err := ecdsa.GenerateKey(c, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// sample is a manifest whose names tell the two orders apart.
func sample(method manifest.Method) *manifest.Manifest {
	m := &manifest.Manifest{Name: "m1", Serialization: manifest.Serialization{Method: method, Algorithm: manifest.SHA256, Ignored: []string{".git", "model.sig"}}}
	if method == manifest.Shards {
		m.ShardSize = 4
	}
	for _, p := range []string{"a/b", "a-b", "a.b"} {
		r := manifest.Resource{Path: p, Digest: digest(p)}
		if method == manifest.Shards {
			r.End = 3
		}
		m.Resources = append(m.Resources, r)
	}
	return m
}

func mustPayload(t testing.TB, m *manifest.Manifest, f Form) []byte {
	t.Helper()
	p, _, err := Payload(m, f)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func mustVerify(t *testing.T, data []byte, trust Trust) (*Verified, error) {
	t.Helper()
	b, err := ParseBundle(data)
	if err != nil {
		t.Fatal(err)
	}
	return Verify(b, trust)
}

func TestKeys(t *testing.T) {
	for _, c := range []elliptic.Curve{elliptic.P256(), elliptic.P384(), elliptic.P521()} {
		k := newKey(t, c)
		payload := mustPayload(t, sample(manifest.Files), Interop)
		data, err := SignKey(rand.Reader, k, payload)
		if err != nil {
			t.Fatal(err)
		}
		v, err := mustVerify(t, data, Trust{Key: &k.PublicKey})
		if err != nil {
			t.Fatal(err)
		}
		hint, _ := Hint(&k.PublicKey)
		if v.Method != ByKey || v.Signer.Key != hint || v.Signatures != 1 || !manifest.Equal(v.Manifest.Resources, sample(manifest.Files).Resources) {
			t.Errorf("%+v", v)
		}
		for name, trust := range map[string]Trust{"nobody": {}, "another key": {Key: &newKey(t, c).PublicKey}} {
			if _, err := mustVerify(t, data, trust); !errors.Is(err, ErrUntrusted) {
				t.Errorf("%s: %v", name, err)
			}
		}
	}
	if _, err := SignKey(rand.Reader, newKey(t, elliptic.P224()), nil); !errors.Is(err, ErrKey) {
		t.Errorf("P-224: %v", err)
	}
	_, ed, _ := ed25519.GenerateKey(rand.Reader)
	if _, err := SignKey(rand.Reader, ed, nil); !errors.Is(err, ErrKey) {
		t.Errorf("Ed25519: %v", err)
	}
	if _, err := SignKey(rand.Reader, lying{newKey(t, elliptic.P256()), newKey(t, elliptic.P256())}, []byte("x")); err == nil {
		t.Error("a signature that does not verify was written")
	}
}

// lying is a token whose public half is that of another key.
type lying struct {
	*ecdsa.PrivateKey
	other *ecdsa.PrivateKey
}

func (l lying) Public() crypto.PublicKey { return l.other.Public() }

func TestParseKeys(t *testing.T) {
	k := newKey(t, elliptic.P384())
	sec1, _ := x509.MarshalECPrivateKey(k)
	p8, _ := x509.MarshalPKCS8PrivateKey(k)
	enc, err := pkcs8.MarshalPrivateKey(k, []byte("secret"), nil)
	if err != nil {
		t.Fatal(err)
	}
	spki, _ := x509.MarshalPKIXPublicKey(&k.PublicKey)
	block := func(kind string, der []byte) []byte { return pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}) }
	_, ed, _ := ed25519.GenerateKey(rand.Reader)
	ed8, _ := x509.MarshalPKCS8PrivateKey(ed)
	for _, row := range []struct {
		name, passphrase string
		data             []byte
		fails            error
	}{
		{"SEC 1", "", block("EC PRIVATE KEY", sec1), nil},
		{"parameters first", "", append(block("EC PARAMETERS", []byte{6, 5}), block("EC PRIVATE KEY", sec1)...), nil},
		{"PKCS 8", "", block("PRIVATE KEY", p8), nil},
		{"encrypted", "secret", block("ENCRYPTED PRIVATE KEY", enc), nil},
		{"no passphrase", "", block("ENCRYPTED PRIVATE KEY", enc), ErrPassphrase},
		{"wrong passphrase", "Secret", block("ENCRYPTED PRIVATE KEY", enc), ErrPassphrase},
		{"public", "", block("PUBLIC KEY", spki), ErrKey},
		{"Ed25519", "", block("PRIVATE KEY", ed8), ErrKey},
		{"damaged", "", block("PRIVATE KEY", p8[1:]), ErrKey},
		{"nothing", "", nil, ErrKey},
	} {
		got, err := ParsePrivateKey(row.data, []byte(row.passphrase))
		if !errors.Is(err, row.fails) || err == nil && !got.Equal(k) {
			t.Errorf("%s: %v", row.name, err)
		}
		if err != nil && strings.Contains(err.Error(), "secret") {
			t.Errorf("%s: a secret in an error: %v", row.name, err)
		}
	}
	if pub, err := ParsePublicKey(block("PUBLIC KEY", spki)); err != nil || !pub.Equal(&k.PublicKey) {
		t.Error(err)
	}
	for name, data := range map[string][]byte{"private": block("PRIVATE KEY", p8), "nothing": nil, "damaged": block("PUBLIC KEY", spki[1:])} {
		if _, err := ParsePublicKey(data); !errors.Is(err, ErrKey) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// authority issues certificates.
type authority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

func newAuthority(t testing.TB, parent *authority, name string) *authority {
	t.Helper()
	k := newKey(t, elliptic.P256())
	a := &authority{key: k}
	tmpl := &x509.Certificate{IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign, Subject: pkix.Name{CommonName: name}}
	if parent == nil {
		parent = &authority{cert: tmpl, key: k}
	}
	a.cert = parent.issue(t, tmpl, &k.PublicKey)
	return a
}

func (a *authority) issue(t testing.TB, tmpl *x509.Certificate, pub *ecdsa.PublicKey) *x509.Certificate {
	t.Helper()
	tmpl.SerialNumber = big.NewInt(time.Now().UnixNano())
	if tmpl.NotBefore.IsZero() {
		tmpl.NotBefore, tmpl.NotAfter = time.Unix(1_700_000_000, 0), time.Unix(1_900_000_000, 0)
	}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, a.cert, pub, a.key)
	if err != nil {
		t.Fatal(err)
	}
	c, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestCertificates(t *testing.T) {
	root := newAuthority(t, nil, "root")
	between := newAuthority(t, root, "between")
	stranger := newAuthority(t, nil, "root")
	now := time.Unix(1_800_000_000, 0)
	leaf := func(change func(*x509.Certificate)) (*x509.Certificate, *ecdsa.PrivateKey) {
		k := newKey(t, elliptic.P384())
		c := &x509.Certificate{Subject: pkix.Name{CommonName: "release"}, EmailAddresses: []string{"release@example.org"}, KeyUsage: x509.KeyUsageDigitalSignature,
			ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageCodeSigning}}
		if change != nil {
			change(c)
		}
		return between.issue(t, c, &k.PublicKey), k
	}
	for _, row := range []struct {
		name   string
		change func(*x509.Certificate)
		trust  Trust
		says   string
	}{
		{"good", nil, Trust{Roots: []*x509.Certificate{root.cert}}, ""},
		{"good, by name", nil, Trust{Roots: []*x509.Certificate{root.cert}, Subject: "release"}, ""},
		{"good, by alternative name", nil, Trust{Roots: []*x509.Certificate{root.cert}, Subject: "release@example.org"}, ""},
		{"another name", nil, Trust{Roots: []*x509.Certificate{root.cert}, Subject: "somebody"}, "another subject"},
		{"nobody", nil, Trust{}, "give the certificate authority"},
		{"another root of that name", nil, Trust{Roots: []*x509.Certificate{stranger.cert}}, "does not lead to an authority"},
		{"expired", func(c *x509.Certificate) { c.NotBefore, c.NotAfter = now.Add(-2*time.Hour), now.Add(-time.Hour) }, Trust{Roots: []*x509.Certificate{root.cert}}, "not at 2027"},
		{"not yet", func(c *x509.Certificate) { c.NotBefore, c.NotAfter = now.Add(time.Hour), now.Add(2*time.Hour) }, Trust{Roots: []*x509.Certificate{root.cert}}, "not at 2027"},
		{"for servers", func(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth} }, Trust{Roots: []*x509.Certificate{root.cert}}, "not for signing code"},
		{"a key in its place", nil, Trust{Key: &root.key.PublicKey}, "give the certificate authority"},
	} {
		t.Run(row.name, func(t *testing.T) {
			c, k := leaf(row.change)
			data, err := SignCertificate(rand.Reader, k, []*x509.Certificate{c, between.cert}, mustPayload(t, sample(manifest.Files), Interop))
			if err != nil {
				t.Fatal(err)
			}
			row.trust.Certificate = now
			v, err := mustVerify(t, data, row.trust)
			if row.says != "" {
				if !errors.Is(err, ErrUntrusted) || !strings.Contains(err.Error(), row.says) {
					t.Errorf("got %v, want %q", err, row.says)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if v.Signer.Subject != "CN=release" || v.Signer.Root != "CN=root" || v.Method != ByCertificate {
				t.Errorf("%+v", v.Signer)
			}
		})
	}
	c, k := leaf(nil)
	if _, err := SignCertificate(rand.Reader, newKey(t, elliptic.P384()), []*x509.Certificate{c}, nil); !errors.Is(err, ErrKey) {
		t.Errorf("another key: %v", err)
	}
	if _, err := SignCertificate(rand.Reader, k, nil, nil); !errors.Is(err, ErrKey) {
		t.Errorf("no certificate: %v", err)
	}
	c, k = leaf(func(c *x509.Certificate) { c.KeyUsage = x509.KeyUsageKeyAgreement })
	if _, err := SignCertificate(rand.Reader, k, []*x509.Certificate{c}, nil); !errors.Is(err, ErrKey) {
		t.Errorf("key usage: %v", err)
	}
	// The certificate of somebody else above a signature of one's own.
	data, err := SignCertificate(rand.Reader, between.key, []*x509.Certificate{between.cert}, mustPayload(t, sample(manifest.Files), Interop))
	if err == nil {
		_, err = mustVerify(t, data, Trust{Roots: []*x509.Certificate{root.cert}, Certificate: now})
	}
	if err == nil {
		t.Error("an authority's certificate, which has no digitalSignature, signed a model")
	}
}

// TestForms holds what the specification and the reference write differently, and what is done about each.
func TestForms(t *testing.T) {
	single := &manifest.Manifest{Name: "w.safetensors", Serialization: manifest.Serialization{Method: manifest.Files, Algorithm: manifest.SHA256},
		Resources: []manifest.Resource{{Path: manifest.Single, Digest: digest("x")}}}
	colon := sample(manifest.Shards)
	colon.Resources[0].Path = "a:b"
	b3 := sample(manifest.Shards)
	b3.Algorithm = manifest.BLAKE3
	for _, row := range []struct {
		name  string
		m     *manifest.Manifest
		form  Form
		names string
		alg   string
		fails string
	}{
		{"order", sample(manifest.Files), Spec, "a-b a.b a/b", "sha256", ""},
		{"order", sample(manifest.Files), Interop, "a-b a.b a/b", "sha256", ""},
		{"order", sample(manifest.Files), Reference, "a/b a-b a.b", "sha256", ""},
		{"name of shards", sample(manifest.Shards), Spec, "a-b:0:3 a.b:0:3 a/b:0:3", "sha256", ""},
		{"name of shards", sample(manifest.Shards), Interop, "a-b:0:3 a.b:0:3 a/b:0:3", "sha256-sharded-4", ""},
		{"name of shards", sample(manifest.Shards), Reference, "a/b:0:3 a-b:0:3 a.b:0:3", "sha256-sharded-4", ""},
		{"single file", single, Spec, "w.safetensors", "sha256", ""},
		{"single file", single, Interop, ".", "sha256", ""},
		{"single file", single, Reference, ".", "sha256", ""},
		{"colons", colon, Spec, "a-b:0:3 a.b:0:3 a:b:0:3", "sha256", ""},
		{"colons", colon, Interop, "", "", "colon"},
		{"colons", colon, Reference, "", "", "colon"},
		{"blake3 shards", b3, Spec, "a-b:0:3 a.b:0:3 a/b:0:3", "blake3", ""},
		{"blake3 shards", b3, Interop, "", "", "no shards with blake3"},
		{"an empty model", &manifest.Manifest{Name: "m", Serialization: sample(manifest.Files).Serialization}, Interop, "", "", "lists no file"},
		{"no form", sample(manifest.Files), "other", "", "", "is not one of"},
	} {
		t.Run(row.name+" "+string(row.form), func(t *testing.T) {
			data, ordered, err := Payload(row.m, row.form)
			if row.fails != "" {
				if err == nil || !strings.Contains(err.Error(), row.fails) {
					t.Errorf("got %v, want %q", err, row.fails)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			var s struct {
				Predicate struct {
					Resources []struct{ Name, Algorithm string }
				}
			}
			if err := json.Unmarshal(data, &s); err != nil {
				t.Fatal(err)
			}
			var names []string
			for _, r := range s.Predicate.Resources {
				names = append(names, r.Name)
				if r.Algorithm != row.alg {
					t.Errorf("algorithm %s, want %s", r.Algorithm, row.alg)
				}
			}
			if got := strings.Join(names, " "); got != row.names {
				t.Errorf("names %s, want %s", got, row.names)
			}
			r, err := readStatement(data)
			if err != nil {
				t.Fatal(err)
			}
			if r.manifest.Root() != ordered.Root() || r.manifest.Method != row.m.Method || r.manifest.ShardSize != row.m.ShardSize {
				t.Errorf("read back as %+v", r.manifest)
			}
		})
	}
}

// TestGoldens compares statements with those that the reference wrote for the models of its tests.
func TestGoldens(t *testing.T) {
	dir := filepath.Join(vectors(t), "reference", "signing-goldens", "signing", "TestPayload")
	const text = "This is a simple model"
	folder := map[string]string{}
	for i := range 2 {
		for j := range 3 {
			folder[fmt.Sprintf("d%d/f%d%d", i, i, j)] = fmt.Sprintf("This is file f%d%d in d%d.", i, j, i)
		}
	}
	deep := map[string]string{}
	for i := range 4 {
		folder[fmt.Sprintf("f%d", i)] = fmt.Sprintf("This is file f%d in root.", i)
		deep[fmt.Sprintf("d0/d1/d2/d3/d4/f%d", i)] = fmt.Sprintf("This is file f%d.", i)
	}
	models := map[string]map[string]string{
		"sample_model_folder": folder, "deep_model_folder": deep, "sample_model_file": {".": text}, "empty_model_file": {".": ""},
		"symlink_model_folder": {"symlink_file": text}, "empty_model_folder": {}, "model_folder_with_empty_file": {"empty_file": ""},
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for _, e := range entries {
		t.Run(e.Name(), func(t *testing.T) {
			golden := readFile(t, dir, e.Name())
			name, size := e.Name(), int64(0)
			if cut, ok := strings.CutSuffix(name, "_small_shards"); ok {
				name, size = cut, 8
			} else if cut, ok := strings.CutSuffix(name, "_shard"); ok {
				name, size = cut, manifest.DefaultShardSize
			}
			model, ok := models[name]
			if !ok {
				t.Fatalf("no model %s", name)
			}
			var want statement
			if err := json.Unmarshal(golden, &want); err != nil {
				t.Fatal(err)
			}
			m := build(model, size, want.Subject[0].Name)
			n++
			if len(m.Resources) == 0 { // no model here: the specification has it refused, and so do we
				if _, err := readStatement(golden); !errors.Is(err, ErrFormat) {
					t.Errorf("a statement on nothing was read: %v", err)
				}
				return
			}
			if _, err := readStatement(golden); err != nil {
				t.Errorf("read the golden statement: %v", err)
			}
			mine, _, err := Payload(m, Reference)
			if err != nil {
				t.Fatal(err)
			}
			if got, want := values(t, mine), values(t, golden); !reflect.DeepEqual(got, want) {
				t.Errorf("got %s\nwant %s", mine, golden)
			}
		})
	}
	if n != 21 {
		t.Errorf("%d golden statements, want 21", n)
	}
}

func build(model map[string]string, size int64, name string) *manifest.Manifest {
	m := &manifest.Manifest{Name: name, Serialization: manifest.Serialization{Method: manifest.Files, Algorithm: manifest.SHA256, Symlinks: true}}
	if size > 0 {
		m.Method, m.ShardSize = manifest.Shards, size
	}
	for p, content := range model {
		if size == 0 {
			m.Resources = append(m.Resources, manifest.Resource{Path: p, Digest: digest(content)})
			continue
		}
		for at := int64(0); at < int64(len(content)); at += size {
			end := min(at+size, int64(len(content)))
			m.Resources = append(m.Resources, manifest.Resource{Path: p, Start: at, End: end, Digest: digest(content[at:end])})
		}
	}
	return m
}

func values(t *testing.T, data []byte) (v any) {
	t.Helper()
	if err := json.Unmarshal(data, &v); err != nil {
		t.Fatal(err)
	}
	return v
}

// TestSchemas holds what is written in form spec against the published schemas.
func TestSchemas(t *testing.T) {
	dir := filepath.Join(vectors(t), "spec", "schemas", "v1.0")
	c := jsonschema.NewCompiler()
	for _, name := range []string{"bundle", "envelope", "predicate", "statement"} {
		doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(readFile(t, dir, name+".schema.json")))
		if err != nil {
			t.Fatal(err)
		}
		if err := c.AddResource("https://model_signing/"+name+"/v1.0/schema", doc); err != nil {
			t.Fatal(err)
		}
	}
	bundleSchema, statementSchema := c.MustCompile("https://model_signing/bundle/v1.0/schema"), c.MustCompile("https://model_signing/statement/v1.0/schema")
	valid := func(s *jsonschema.Schema, data []byte) error {
		doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(data))
		if err != nil {
			t.Fatal(err)
		}
		return s.Validate(doc)
	}
	k := newKey(t, elliptic.P256())
	for _, row := range []struct {
		method manifest.Method
		form   Form
		ok     bool
	}{
		{manifest.Files, Spec, true}, {manifest.Shards, Spec, true}, {manifest.Files, Interop, true}, {manifest.Files, Reference, true},
		{manifest.Shards, Interop, false}, // what the reference takes, the schema does not: that is why there are forms
	} {
		payload := mustPayload(t, sample(row.method), row.form)
		data, err := SignKey(rand.Reader, k, payload)
		if err != nil {
			t.Fatal(err)
		}
		if err := valid(bundleSchema, data); err != nil {
			t.Error(err)
		}
		if err := valid(statementSchema, payload); (err == nil) != row.ok {
			t.Errorf("%s, %s: %v", row.method, row.form, err)
		}
	}
	root := newAuthority(t, nil, "root")
	leaf := root.issue(t, &x509.Certificate{Subject: pkix.Name{CommonName: "x"}}, &k.PublicKey)
	data, err := SignCertificate(rand.Reader, k, []*x509.Certificate{leaf}, mustPayload(t, sample(manifest.Files), Spec))
	if err != nil {
		t.Fatal(err)
	}
	if err := valid(bundleSchema, data); err != nil {
		t.Error(err)
	}
}

// TestStatements reads statements that differ from a good one in one place.
func TestStatements(t *testing.T) {
	good := string(mustPayload(t, sample(manifest.Shards), Spec))
	root := sample(manifest.Shards)
	manifest.SortSpec(root.Resources)
	sum := root.Root()
	for _, row := range []struct{ name, old, new, says string }{
		{"as it is", "", "", ""},
		{"a fraction as size", `"shard_size":4`, `"shard_size":4.0`, ""},
		{"an exponent as size", `"shard_size":4`, `"shard_size":0.4e1`, ""},
		{"a broken size", `"shard_size":4`, `"shard_size":4.5`, "shard size"},
		{"a huge size", `"shard_size":4`, `"shard_size":1e300`, "shard size"},
		{"no size", `"shard_size":4,`, ``, "shard size"},
		{"more than is known", `{"name":"a-b:0:3",`, `{"media_type":"x","name":"a-b:0:3",`, ""},
		{"another root", hex.EncodeToString(sum[:]), strings.Repeat("0", 64), "root digest"},
		{"another type", StatementType, "https://in-toto.io/Statement/v0.1", "is of type"},
		{"no links said", `"allow_symlinks":false`, `"allow":false`, "how the model was serialized"},
		{"another algorithm in a resource", `"algorithm":"sha256"`, `"algorithm":"blake3"`, "is hashed with"},
		{"another size in a resource", `"algorithm":"sha256"`, `"algorithm":"sha256-sharded-5"`, "is hashed with"},
		{"unknown hash", `"hash_type":"sha256"`, `"hash_type":"md5"`, "md5"},
		{"a path that leads out", `"name":"a-b:0:3"`, `"name":"../a-b:0:3"`, "leads out"},
		{"an absolute path", `"name":"a-b:0:3"`, `"name":"/a-b:0:3"`, "leads out"},
		{"a key twice", `"name":"a-b:0:3"`, `"name":"x","name":"a-b:0:3"`, "twice"},
		{"a key twice but for case", `"name":"a-b:0:3"`, `"Name":"x","name":"a-b:0:3"`, "twice"},
		{"no name", `"name":"m1"`, `"name":""`, "not one with a name"},
		{"two subjects", `"subject":[`, `"subject":[{"name":"x","digest":{"sha256":"00"}},`, "2 subjects"},
		{"not hexadecimal", `"digest":"`, `"digest":"zz`, "not hexadecimal"},
	} {
		text := good
		if row.old != "" {
			if !strings.Contains(text, row.old) {
				t.Fatalf("%s: the statement has no %s", row.name, row.old)
			}
			text = strings.Replace(text, row.old, row.new, 1)
		}
		_, err := readStatement([]byte(text))
		if row.says == "" && err != nil || row.says != "" && (!errors.Is(err, ErrFormat) || !strings.Contains(err.Error(), row.says)) {
			t.Errorf("%s: got %v, want %q", row.name, err, row.says)
		}
	}
	// blake2b has two names.
	m := sample(manifest.Files)
	m.Algorithm = manifest.BLAKE2b
	for i := range m.Resources {
		m.Resources[i].Digest = append(m.Resources[i].Digest, m.Resources[i].Digest...)
	}
	text := strings.ReplaceAll(string(mustPayload(t, m, Interop)), `"blake2b"`, `"blake2"`)
	if r, err := readStatement([]byte(text)); err != nil || r.manifest.Algorithm != manifest.BLAKE2b {
		t.Errorf("blake2: %v", err)
	}
}

// TestBundles reads signature files that differ from a good one in one place.
func TestBundles(t *testing.T) {
	k := newKey(t, elliptic.P256())
	trust := Trust{Key: &k.PublicKey}
	payload := mustPayload(t, sample(manifest.Files), Interop)
	data, err := SignKey(rand.Reader, k, payload)
	if err != nil {
		t.Fatal(err)
	}
	good := string(data)
	hint, _ := Hint(&k.PublicKey)
	sig := good[strings.Index(good, `"sig":"`)+7:]
	sig = sig[:strings.IndexByte(sig, '"')]
	other, _, _ := sign(rand.Reader, newKey(t, elliptic.P256()), payload)
	again, _, _ := sign(rand.Reader, k, payload)
	second := func(s []byte) string { return `"signatures":[{"sig":"` + base64.StdEncoding.EncodeToString(s) + `"},` }
	for _, row := range []struct{ name, old, new, says string }{
		{"as it is", "", "", ""},
		{"no log entries", `,"tlogEntries":[]`, ``, ""},
		{"no keyid", `,"keyid":""`, ``, ""},
		{"keyid null", `"keyid":""`, `"keyid":null`, ""},
		{"more than is known", `{"mediaType"`, `{"x":1,"mediaType"`, ""},
		{"the old key", `"hint":"` + hint + `"`, `"rawBytes":"QQ==","keyDetails":"PKIX_ECDSA_P256_SHA_256"`, ""},
		{"a second good signature", `"signatures":[`, second(again), ""},
		{"a second signature of somebody else", `"signatures":[`, second(other), "signature 1 of 2"},
		{"no hint, no key", `"hint":"` + hint + `"`, ``, "neither hint nor rawBytes"},
		{"another hint", hint, strings.Repeat("0", 64), "another key"},
		{"a hint that takes over the terminal", hint, `\u001b[2J`, "found ?[2J"},
		{"another payload type", PayloadType, "application/json", "payload is of type"},
		{"another media type", BundleMediaType, "application/json", "media type"},
		{"a later bundle", "bundle.v0.3", "bundle.v0.4", "media type"},
		{"no signature", `"signatures":[{"sig":"` + sig + `","keyid":""}]`, `"signatures":[]`, "nothing in it is signed"},
		{"an empty signature", `"sig":"` + sig + `"`, `"sig":""`, "is empty"},
		{"not base64", `"sig":"`, `"sig":"!`, "illegal base64"},
		{"two kinds of material", `"publicKey":`, `"x509CertificateChain":{"certificates":[]},"publicKey":`, "has 2 of"},
		{"two envelopes", `"dsseEnvelope":`, `"dsseEnvelope":{},"dsseEnvelope":`, "twice"},
		{"two envelopes but for case", `"dsseEnvelope":`, `"DSSEEnvelope":{},"dsseEnvelope":`, "twice"},
		{"no entries of a log", `"publicKey":{"hint":"` + hint + `"}`, `"certificate":{"rawBytes":"QQ=="}`, "without an entry"},
		{"an empty chain", `"publicKey":{"hint":"` + hint + `"}`, `"x509CertificateChain":{"certificates":[]}`, "is empty"},
		{"cut", `}]}}`, ``, "not JSON"},
		{"more after it", `}]}}`, `}]}}{}`, "more follows"},
	} {
		text := good
		if row.old != "" {
			if !strings.Contains(text, row.old) {
				t.Fatalf("%s: the bundle has no %s", row.name, row.old)
			}
			text = strings.Replace(text, row.old, row.new, 1)
		}
		b, err := ParseBundle([]byte(text))
		if err == nil {
			_, err = Verify(b, trust)
		}
		switch {
		case row.says == "" && err != nil, row.says != "" && (err == nil || !strings.Contains(err.Error(), row.says)):
			t.Errorf("%s: got %v, want %q", row.name, err, row.says)
		case row.says != "" && !errors.Is(err, ErrFormat) && !errors.Is(err, ErrUntrusted):
			t.Errorf("%s: %v wraps neither ErrFormat nor ErrUntrusted", row.name, err)
		}
	}
	if _, err := ParseBundle([]byte(strings.Repeat("[", 1000))); !errors.Is(err, ErrFormat) {
		t.Error(err)
	}
}

// The broken encoding of v0.2.0 counts for statements of v0.2.0 only.
func TestOldEncoding(t *testing.T) {
	k := newKey(t, elliptic.P256())
	payload := mustPayload(t, sample(manifest.Files), Interop)
	d := sha256.Sum256(preAuthV02(payload))
	sig, err := ecdsa.SignASN1(rand.Reader, k, d[:])
	if err != nil {
		t.Fatal(err)
	}
	hint, _ := Hint(&k.PublicKey)
	data, err := compose(materialJSON{PublicKey: &publicKeyJSON{Hint: hint}}, payload, sig)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := mustVerify(t, data, Trust{Key: &k.PublicKey}); !errors.Is(err, ErrUntrusted) {
		t.Errorf("a v1.0 statement in the encoding of v0.2.0: %v", err)
	}
	for in, want := range map[string]string{"a\nb": `b'a\nb'`, "it's": `b"it's"`, `'"`: `b'\'"'`, "\x00\x7f\xff\t\r\\": `b'\x00\x7f\xff\t\r\\'`, "": `b''`} {
		if got := string(pythonBytes([]byte(in))); got != want {
			t.Errorf("%q: %s, want %s", in, got, want)
		}
	}
}

func FuzzBundle(f *testing.F) {
	k := newKey(f, elliptic.P256())
	for _, m := range []manifest.Method{manifest.Files, manifest.Shards} {
		data, err := SignKey(rand.Reader, k, mustPayload(f, sample(m), Interop))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	f.Add([]byte(`{"mediaType":"` + BundleMediaType + `"}`))
	known := map[[32]byte]bool{}
	for _, form := range Forms() {
		for _, m := range []manifest.Method{manifest.Files, manifest.Shards} {
			known[sha256.Sum256(mustPayload(f, sample(m), form))] = true
		}
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		b, err := ParseBundle(data)
		if err != nil {
			if !errors.Is(err, ErrFormat) {
				t.Errorf("%v does not wrap ErrFormat", err)
			}
			return
		}
		if _, err := Verify(b, Trust{Key: &k.PublicKey, Certificate: time.Unix(1_800_000_000, 0)}); err == nil && !known[sha256.Sum256(b.Payload)] {
			t.Error("a statement that was never signed was taken")
		}
	})
}

func FuzzStatement(f *testing.F) {
	for _, m := range []manifest.Method{manifest.Files, manifest.Shards} {
		f.Add(mustPayload(f, sample(m), Spec))
		f.Add(mustPayload(f, sample(m), Reference))
	}
	f.Add([]byte(`{"_type":"` + StatementType + `","predicateType":"` + predicateTypeV02 + `","subject":[{"name":"a","digest":{"sha256":"00"}}]}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		r, err := readStatement(data)
		if err != nil {
			return
		}
		if err := r.manifest.Check(); err != nil {
			t.Fatalf("read a manifest that does not hold: %v", err)
		}
		if r.manifest.Name == "" {
			t.Fatal("a model without a name was read")
		}
		_, _, _ = Payload(r.manifest, Spec)
	})
}
