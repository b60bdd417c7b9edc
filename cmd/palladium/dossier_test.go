package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/palladium-guard/palladium"
	"github.com/palladium-guard/palladium/proof/dossier"
	"github.com/palladium-guard/palladium/proof/ledger"
	"github.com/palladium-guard/palladium/proof/ledger/tlog"
)

// A dossier with a proof of a real ledger is checked with the key alone; a changed one, another key and none are told apart.
func TestDossierVerify(t *testing.T) {
	dir := t.TempDir()
	at := func(name string) string { return filepath.Join(dir, name) }
	f := tlog.Files{Dir: at("log"), Private: at("key"), Public: at("pub"), Seen: tlog.NoMemory}
	if _, err := f.Init(t.Context(), "example.com/log"); err != nil {
		t.Fatal(err)
	}
	other := tlog.Files{Dir: at("other"), Private: at("other.key"), Public: at("other.pub"), Seen: tlog.NoMemory}
	if _, err := other.Init(t.Context(), "example.com/log"); err != nil {
		t.Fatal(err)
	}
	w, err := f.Open(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	body := []byte(`{"decided":true}`)
	receipt, err := w.Append(t.Context(), ledger.Statement{Type: "palladium/decision/v1", Body: body})
	if err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	proof, err := f.Prove("0")
	if err != nil {
		t.Fatal(err)
	}
	private, err := os.ReadFile(f.Private)
	if err != nil {
		t.Fatal(err)
	}
	signer, err := ledger.ParseSigner(string(private))
	if err != nil {
		t.Fatal(err)
	}
	m := &dossier.Material{Made: time.Now(), Campaign: palladium.Campaign{ID: "c0001", Stage: palladium.StageAct},
		Ledger: dossier.Ledger{Checkpoint: receipt.Checkpoint, Entries: []dossier.Entry{{Index: receipt.Index, Type: "palladium/decision/v1", Statement: body, Proof: proof}}}}
	write := func(name string, data []byte) {
		if err := os.WriteFile(at(name), data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	var b bytes.Buffer
	if err := dossier.Write(&b, m, dossier.Internal, &dossier.Pseudonyms{}, signer); err != nil {
		t.Fatal(err)
	}
	write("good.zip", b.Bytes())
	bad := bytes.Clone(b.Bytes())
	bad[bytes.Index(bad, []byte("c0001"))] = 'd'
	write("bad.zip", bad)
	write("cut.zip", b.Bytes()[:b.Len()-9])
	m.Ledger.Entries[0].Statement = []byte(`{"decided":false}`)
	b.Reset()
	if err := dossier.Write(&b, m, dossier.Internal, &dossier.Pseudonyms{}, signer); err != nil {
		t.Fatal(err)
	}
	write("lie.zip", b.Bytes())
	for _, c := range []struct {
		args   string
		status int
		says   string
	}{
		{"--key pub good.zip", statusOK, "1 entries are proved to be in the ledger"},
		{"--key pub --format json good.zip", statusOK, `"signed": true`},
		{"good.zip", statusFailed, "give --key"},
		{"--key other.pub good.zip", statusFound, "do not rely on"},
		{"--key pub --ledger-key other.pub good.zip", statusFound, "a proof of the ledger does not hold"},
		{"--key pub bad.zip", statusFound, "do not rely on"},
		{"--key pub cut.zip", statusFound, "not a dossier"},
		{"--key pub lie.zip", statusFound, "statement is not the one logged"},
		{"--key pub none.zip", statusFailed, "no such file"},
		{"--key key good.zip", statusFailed, "no public key"},
		{"--format xml good.zip", statusUsage, "unknown format"},
		{"", statusUsage, "arg"},
	} {
		var args []string
		for _, a := range strings.Fields(c.args) {
			if strings.HasPrefix(a, "-") || a == "json" || a == "xml" {
				args = append(args, a)
			} else {
				args = append(args, at(a))
			}
		}
		var out bytes.Buffer
		if got := run(append([]string{"dossier", "verify"}, args...), strings.NewReader(""), &out, &out); got != c.status || !strings.Contains(out.String(), c.says) {
			t.Errorf("%s: status %d instead of %d: %s", c.args, got, c.status, out.String())
		}
	}
	for args, says := range map[string]string{
		"campaign export c0001": "give --server and --token-file",
		"campaign export --server x --token-file y --profile press c":               "unknown profile",
		"campaign export --server https://x.invalid --token-file /none c":           "read API token",
		"campaign export --server http://192.0.2.1 --token-file " + f.Public + " c": "sent in the clear",
	} {
		var out bytes.Buffer
		if got := run(strings.Fields(args), strings.NewReader(""), &out, &out); got == 0 || !strings.Contains(out.String(), says) {
			t.Errorf("%s: %d %s", args, got, out.String())
		}
	}
}
