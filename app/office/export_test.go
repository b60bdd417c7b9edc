package office_test

import (
	"bytes"
	"encoding/pem"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/palladium-guard/palladium/api"
	"github.com/palladium-guard/palladium/app/office"
	"github.com/palladium-guard/palladium/proof/dossier"
)

// From the running site to the archive on disk, checked with the ledger's key alone; what a profile leaves out is not in it.
func TestExport(t *testing.T) {
	r := start(t, func(o *office.Options) { o.Origin = "" })
	r.people()
	r.users[api.Analyst].want("POST", "/campaigns/c-one/decisions", draft(map[string]any{"text": "words for the holder"}), 201)
	ref := r.users[api.Analyst].want("GET", "/notices?account="+account("c-one", 2), nil, 200).str("items", 0, "appeal_ref")
	r.appeal(ref, "private words of the holder")
	dir := t.TempDir()
	at := func(name string) string { return filepath.Join(dir, name) }
	write := func(name string, data []byte) {
		if err := os.WriteFile(at(name), data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("ca.pem", pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: r.server.Certificate().Raw}))
	write("log.pub", []byte(r.public))
	program := r.users[api.Approver].program(api.ScopeInvestigate)
	write("token", []byte(strings.TrimPrefix(program.header.Get("Authorization"), "Bearer ")+"\n"))
	remote := office.Remote{Server: r.server.URL, TokenFile: at("token"), CA: at("ca.pem")}
	for _, p := range dossier.Profiles() {
		path, err := remote.Export(t.Context(), "c-one", string(p), at(string(p)+".zip"))
		if err != nil {
			t.Fatal(err)
		}
		got, err := office.VerifyDossier(path, at("log.pub"), "")
		if err != nil {
			t.Fatalf("%s: %v", p, err)
		}
		if !got.Signed || !got.Proved || got.Proofs < 2 || got.Campaign != "c-one" || got.Profile != p {
			t.Errorf("%s: %+v", p, got)
		}
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		for text, profiles := range map[string]string{"acct-c-one-": "internal agency", "acme.example": "internal agency", "private words": "internal", "u_": "internal", "l-class": "internal",
			"words for the holder": "internal agency", "0.01": "internal agency partner"} {
			if has := bytes.Contains(data, []byte(text)); has != strings.Contains(profiles, string(p)) {
				t.Errorf("%s holds %q: %v", p, text, has)
			}
		}
		if _, err := remote.Export(t.Context(), "c-one", string(p), path); err == nil || !strings.Contains(err.Error(), "is there already") {
			t.Errorf("overwritten: %v", err)
		}
	}
	if said := r.log.of("exportCampaign"); len(said) != 3 {
		t.Errorf("%d exports in the ledger", len(said))
	}
	if _, err := remote.Export(t.Context(), "none", "partner", at("none.zip")); err == nil || !strings.Contains(err.Error(), "no such campaign") {
		t.Errorf("%v", err)
	}
	write("token", []byte("plt_nonsense"))
	if _, err := remote.Export(t.Context(), "c-one", "partner", at("x.zip")); err == nil || !strings.Contains(err.Error(), "token") {
		t.Errorf("%v", err)
	}
	if _, err := os.Stat(at("x.zip")); err == nil {
		t.Error("a refused export left a file")
	}
}
