package provenance

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

func TestTokenURI(t *testing.T) {
	for uri, says := range map[string]string{
		"pkcs11:token=a;object=b?module-path=/x.so":                   "",
		"pkcs11:slot-id=3;id=%01%02?module-path=/x.so&pin-value=1":    "",
		"pkcs11:serial=s;object=a%3Bb;type=private?module-path=/x.so": "",
		"token=a;object=b?module-path=/x.so":                          "begins with pkcs11:",
		"pkcs11:token=a;object=b":                                     "module-path",
		"pkcs11:token=a?module-path=/x.so":                            "does not name the key",
		"pkcs11:object=a?module-path=/x.so":                           "does not name the token",
		"pkcs11:token=a;object=%zz?module-path=/x.so":                 "percent-encoded",
		"pkcs11:token=a;object=b;colour=red?module-path=/x.so":        "not known",
		"pkcs11:slot-id=x;object=b?module-path=/x.so":                 "not a number",
	} {
		u, err := parseTokenURI(uri)
		if says == "" && (err != nil || u.module != "/x.so") || says != "" && (err == nil || !strings.Contains(err.Error(), says)) {
			t.Errorf("%s: %+v, %v, want %q", uri, u, err, says)
		}
		if err != nil && strings.Contains(err.Error(), "pin") {
			t.Errorf("%s: %v", uri, err)
		}
	}
}

func FuzzTokenURI(f *testing.F) {
	f.Add("pkcs11:token=a;object=b?module-path=/x.so")
	f.Fuzz(func(t *testing.T, s string) {
		if u, err := parseTokenURI(s); err == nil && (u.module == "" || u.label == "" && u.id == nil) {
			t.Errorf("%q: %+v", s, u)
		}
	})
}

func TestToken(t *testing.T) {
	const module = "/usr/lib/softhsm/libsofthsm2.so"
	util, err := exec.LookPath("softhsm2-util")
	if _, missing := os.Stat(module); err != nil || missing != nil {
		t.Skip("softhsm2 is not installed")
	}
	dir := t.TempDir()
	conf := filepath.Join(dir, "softhsm2.conf")
	check(t, os.WriteFile(conf, []byte("directories.tokendir = "+dir+"\nobjectstore.backend = file\n"), 0o600))
	t.Setenv("SOFTHSM2_CONF", conf)
	key := filepath.Join(dir, "k.p8")
	for _, args := range [][]string{
		{"openssl", "genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-384", "-out", key},
		{"openssl", "pkey", "-in", key, "-pubout", "-out", key + ".pub"},
		{util, "--init-token", "--free", "--label", "hsm", "--so-pin", "12345678", "--pin", "1234"},
		{util, "--import", key, "--token", "hsm", "--label", "release", "--id", "01", "--pin", "1234"},
	} {
		if out, err := exec.Command(args[0], args[1:]...).CombinedOutput(); err != nil {
			t.Skipf("%v: %v: %s", args, err, out)
		}
	}
	pin := filepath.Join(dir, "pin")
	check(t, os.WriteFile(pin, []byte("1234\n"), 0o600))
	uri := "pkcs11:token=hsm;object=release?module-path=" + module
	b := newBench(t, small())
	keys := KeyFiles{Token: uri, Passphrase: pin}
	s, done, err := keys.Open()
	if err != nil {
		if strings.Contains(err.Error(), "built without C") {
			t.Skip(err)
		}
		t.Fatal(err)
	}
	_, err = Sign(t.Context(), SignOptions{Model: b.dir, With: s})
	done()
	check(t, err)
	trust := TrustFiles{Key: key + ".pub"}
	load, err := trust.Load()
	check(t, err)
	if _, err := Verify(t.Context(), VerifyOptions{Model: b.dir, Trust: load}); err != nil {
		t.Error(err)
	}
	for name, f := range map[string]KeyFiles{
		"no PIN": {Token: uri}, "no key": {Token: strings.Replace(uri, "release", "other", 1), Passphrase: pin},
		"no library": {Token: strings.Replace(uri, module, module+".none", 1), Passphrase: pin},
	} {
		if _, _, err := f.Open(); err == nil || strings.Contains(err.Error(), "1234") {
			t.Errorf("%s: %v", name, err)
		}
	}
}
