package dossier

import (
	"archive/zip"
	"bytes"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"testing"
	"time"

	"golang.org/x/mod/sumdb/note"

	"github.com/palladium-guard/palladium"
)

var key = func() (k struct {
	signer   note.Signer
	verifier note.Verifier
}) {
	private, public, err := note.GenerateKey(rand.Reader, "example.com/log")
	if err == nil {
		k.signer, err = note.NewSigner(private)
	}
	if err == nil {
		k.verifier, err = note.NewVerifier(public)
	}
	if err != nil {
		panic(err)
	}
	return k
}()

const hostile = `"><script>alert(1)</script>` + "\u202e"

func sample(accounts int) *Material {
	at := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	m := &Material{Site: "Example", Claim: "1 account may be extracting.", Software: "palladium test", Made: at.Add(48 * time.Hour), Policy: "2026.1",
		Campaign: palladium.Campaign{ID: "c-1" + hostile, Stage: palladium.StageAct, OperatorP: 1e-20, ExtractionP: 0.004, First: at, Last: at.Add(24 * time.Hour),
			Exchanges: 99_000, Tokens: palladium.Tokens{Input: 5, Output: 7_000_000, Reasoning: 3},
			Evidence:        []palladium.Evidence{{Family: palladium.Network, Says: "come from few addresses of Acme " + hostile, Accounts: accounts, Weight: 6}},
			CounterEvidence: []palladium.Counter{{Says: "acct-secret-000001 uses one address " + hostile}},
			Techniques:      []string{"T-1"},
			Detail: &palladium.Detail{Calibration: "120 benign groups", WhyStage: []string{"rule proven-extraction"}, WouldClear: []string{"fewer keys"},
				Timeline: []palladium.Draw{{Start: at, Exchanges: 5, Tokens: palladium.Tokens{Output: 50}}, {Start: at.Add(time.Hour), Exchanges: 9}},
				Features: []palladium.Feature{{Name: "cues", Says: "share of cues", Value: 3, P50: 1.1717, P95: 2.2727}},
				Models:   []palladium.Share{{Name: "m-large", Share: 1}}}},
		Work:   Work{State: "in_progress", Assignee: "u_anna", Labels: []string{"urgent-label"}},
		Benign: []Benign{{ID: "l-benign", Size: 40, WhyNot: "a class of Other University", Distance: 0.7}},
		Decisions: []Decision{{ID: "d-1", Measure: palladium.MeasureSuspend, Accounts: accounts, Reason: "campaign.extraction", Text: "words of the decision", By: "u_anna", At: at, Expires: at.Add(72 * time.Hour), State: "enforced"},
			{ID: "d-2", Measure: palladium.MeasureBudget, By: "policy:2026.1", Automated: true, At: at, Expires: at, State: "expired"}},
		Appeals: []Appeal{{ID: "a-1", Account: "acct-secret-000001", Text: "I did nothing", Reply: "we looked", Reviewer: "u_bert", At: at, State: "upheld"}},
		History: []Act{{At: at, Kind: "decision.made", By: "u_anna by token:t_1", LedgerIndex: 7}},
		Rates:   []Rate{{Name: "false_act", Says: "benign groups acted on", Stated: 0.01, N: 0, High: 1}},
		Ledger: Ledger{Key: "example.com/log+12345678", Checkpoint: []byte("example.com/log\n9\n"),
			Entries: []Entry{{Index: 7, Type: "palladium/verdict/v1", Statement: []byte(`{"account":"acct-secret-000001"}`), Proof: []byte("proof 7")}}},
	}
	for i := range accounts {
		id := fmt.Sprintf("acct-secret-%06d", i)
		m.Campaign.Accounts = append(m.Campaign.Accounts, palladium.Member{ID: id, Membership: 0.99})
		m.Campaign.Detail.Members = append(m.Campaign.Detail.Members, palladium.MemberDetail{ID: id, Exchanges: 3, Tokens: palladium.Tokens{Output: int64(i)}, First: at, Last: at})
		m.Campaign.Detail.Links = append(m.Campaign.Detail.Links, palladium.Link{Account: id, Token: fmt.Sprintf("network %04x", i%7), Family: palladium.Network, Weight: 2})
		m.Accounts = append(m.Accounts, Account{ID: id, Created: &at, Organization: "Acme", EmailDomain: "acme.example", SignupIP: "192.0.2.77"})
	}
	return m
}

func made(t testing.TB, m *Material, p Profile) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := Write(&b, m, p, &Pseudonyms{1}, key.signer); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func holds(proof, statement []byte) error {
	if string(proof) != "proof 7" || statement != nil && string(statement) != `{"account":"acct-secret-000001"}` {
		return errors.New("no")
	}
	return nil
}

func TestRoundTrip(t *testing.T) {
	for _, p := range Profiles() {
		data := made(t, sample(60), p)
		r, err := Verify(data, Keys{key.verifier, holds})
		if err != nil {
			t.Fatalf("%s: %v", p, err)
		}
		if !r.Signed || !r.Proved || r.Proofs != 1 || r.Profile != p || r.Campaign != "c-1"+hostile || r.Signer != "example.com/log" {
			t.Errorf("%s: %+v", p, r)
		}
		if r, err = Verify(data, Keys{}); err != nil || r.Signed || r.Proved {
			t.Errorf("%s without keys: %+v, %v", p, r, err)
		}
		if again := made(t, sample(60), p); !bytes.Equal(again, data) {
			t.Errorf("%s: the same material gave another archive", p)
		}
	}
	if err := Write(&bytes.Buffer{}, sample(1), "press", &Pseudonyms{}, key.signer); err == nil {
		t.Error("an unknown profile was taken")
	}
}

// What each profile leaves out is nowhere in its archive.
func TestLeftOut(t *testing.T) {
	staff := []string{"u_anna", "u_bert"}
	thresholds := []string{"1.1717", "2.2727", "proven-extraction", "fewer keys"}
	others := []string{"l-benign", "Other University", "urgent-label", "I did nothing", "we looked"}
	accounts := []string{"acct-secret", "Acme", "acme.example", "192.0.2.77", "network 000", "words of the decision"}
	for p, want := range map[Profile]struct{ out, in [][]string }{
		Internal: {in: [][]string{staff, thresholds, others, accounts}},
		Agency:   {out: [][]string{staff, thresholds, others}, in: [][]string{accounts, {"person 1", "person 2"}}},
		Partner:  {out: [][]string{staff, thresholds, others, accounts}, in: [][]string{{"account-", "network-", "campaign.extraction", "policy:2026.1"}}},
	} {
		data := string(made(t, sample(60), p))
		for _, list := range want.out {
			for _, s := range list {
				if strings.Contains(data, s) {
					t.Errorf("%s holds %q", p, s)
				}
			}
		}
		for _, list := range want.in {
			for _, s := range list {
				if !strings.Contains(data, s) {
					t.Errorf("%s lacks %q", p, s)
				}
			}
		}
	}
}

// A statement that names staff is in the internal dossier alone; its proof is in all.
func TestStatementsOfStaff(t *testing.T) {
	m := sample(3)
	m.Ledger.Entries = append(m.Ledger.Entries, Entry{Index: 8, Type: "x", Statement: []byte(`{"decided_by":"u_anna"}`), Proof: []byte("proof 8")},
		Entry{Index: 9, Type: "x", Statement: []byte(`{"read_by":"u_unknown"}`), Proof: []byte("proof 9"), Staff: true})
	for p, want := range map[Profile]int{Internal: 3, Agency: 1, Partner: 0} {
		data := string(made(t, m, p))
		if got := strings.Count(data, ".statement") / 3; got != want { // manifest, local header, directory
			t.Errorf("%s: %d statements instead of %d", p, got, want)
		}
		if !strings.Contains(data, "proof 8") || !strings.Contains(data, "proof 9") || p != Internal && strings.Contains(data, "u_unknown") {
			t.Errorf("%s: proofs or names", p)
		}
	}
}

// A partner can tell that two dossiers speak of one account, another site's key gives other names.
func TestPseudonyms(t *testing.T) {
	a, b := &Pseudonyms{1}, &Pseudonyms{2}
	if a.Account("x") == a.Account("y") || a.Account("x") == b.Account("x") || a.Token(palladium.Network, "x") == a.Token(palladium.Template, "x") {
		t.Error("pseudonyms are not keyed by site, kind and value")
	}
}

// The page runs nothing and shows hostile names as they are written.
func TestPage(t *testing.T) {
	page := string(read(t, made(t, sample(600), Internal), "dossier.html"))
	for _, bad := range []string{"<script", "\u202e", " src=", " href=", "http:", "https:", "@import", "url("} {
		if strings.Contains(page, bad) {
			t.Errorf("page holds %q", bad)
		}
	}
	if !strings.Contains(page, "default-src &#39;none&#39;") || !strings.Contains(page, "100 more stand in facts.json") {
		t.Error("page has no policy, or does not say that it was cut")
	}
	sum := sha256.Sum256([]byte(pageCSS))
	style := regexp.MustCompile(`(?s)<style>(.*)</style>`).FindStringSubmatch(page)
	if style == nil || sha256.Sum256([]byte(style[1])) != sum {
		t.Error("style on the page is not the one whose digest the policy allows")
	}
	for _, name := range []string{"dossier.json", "facts.json", "inference.json", "actions.json", "method.json"} {
		data := read(t, made(t, sample(3), Internal), name)
		if !json.Valid(data) || bytes.Contains(data, []byte("<script")) || bytes.Contains(data, []byte("null,null")) {
			t.Errorf("%s: not JSON, or holds a tag", name)
		}
	}
}

func read(t *testing.T, data []byte, name string) []byte {
	t.Helper()
	files, err := unpack(data)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		if f.name == name {
			return f.data
		}
	}
	t.Fatalf("no %s", name)
	return nil
}

// repack makes an archive of other files, with the form kept.
func repack(t *testing.T, data []byte, change func(files []file) []file) []byte {
	t.Helper()
	files, err := unpack(data)
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	if err := pack(&b, change(files)); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func TestTampered(t *testing.T) {
	data := made(t, sample(5), Internal)
	files, err := unpack(data)
	if err != nil {
		t.Fatal(err)
	}
	for i, f := range files {
		for _, at := range []int{0, len(f.data) / 2, len(f.data) - 1} {
			bad := repack(t, data, func(files []file) []file {
				changed := bytes.Clone(files[i].data)
				changed[at] ^= 1
				files[i].data = changed
				return files
			})
			if _, err := Verify(bad, Keys{key.verifier, holds}); err == nil {
				t.Errorf("%s: byte %d changed, and nobody noticed", f.name, at)
			} else if i > 0 && !errors.Is(err, ErrChanged) {
				t.Errorf("%s: %v", f.name, err)
			}
		}
		if _, err := Verify(repack(t, data, func(files []file) []file { return append(files[:i:i], files[i+1:]...) }), Keys{key.verifier, holds}); err == nil {
			t.Errorf("%s left out, and nobody noticed", f.name)
		}
	}
	other, _, err := note.GenerateKey(rand.Reader, "example.com/log")
	if err != nil {
		t.Fatal(err)
	}
	thief, err := note.NewSigner(other)
	if err != nil {
		t.Fatal(err)
	}
	var forged bytes.Buffer
	if err := Write(&forged, sample(5), Internal, &Pseudonyms{}, thief); err != nil {
		t.Fatal(err)
	}
	if _, err := Verify(forged.Bytes(), Keys{key.verifier, holds}); !errors.Is(err, ErrSignature) {
		t.Errorf("signed by another key: %v", err)
	}
	// A checkpoint, which the same key signs, is no manifest.
	cp, err := note.Sign(&note.Note{Text: "example.com/log\n9\nAAAA\n"}, key.signer)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Verify(repack(t, data, func(files []file) []file { files[0].data = cp; return files }), Keys{key.verifier, holds}); !errors.Is(err, ErrForm) {
		t.Errorf("checkpoint as manifest: %v", err)
	}
	if _, err := Verify(data, Keys{key.verifier, func([]byte, []byte) error { return errors.New("not in the log") }}); !errors.Is(err, ErrLedger) {
		t.Errorf("bad proof: %v", err)
	}
}

// Whatever is a zip archive but not in the one form is refused before anything of it is believed.
func TestForm(t *testing.T) {
	data := made(t, sample(5), Internal)
	manifest := read(t, data, manifestName)
	zipped := func(build func(z *zip.Writer)) []byte {
		var b bytes.Buffer
		z := zip.NewWriter(&b)
		build(z)
		if err := z.Close(); err != nil {
			t.Fatal(err)
		}
		return b.Bytes()
	}
	stored := func(z *zip.Writer, name string, data []byte) {
		w, err := z.CreateHeader(&zip.FileHeader{Name: name, Method: zip.Store})
		if err == nil {
			_, err = w.Write(data)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	named := func(name string) []byte {
		return repack(t, data, func(files []file) []file { return append(files, file{name, []byte("x")}) })
	}
	huge := bytes.Clone(data)
	if i := bytes.LastIndex(huge, []byte("PK\x01\x02")); i > 0 { // the last file claims to be large
		copy(huge[i+20:], []byte{0xff, 0xff, 0xff, 0x7f, 0xff, 0xff, 0xff, 0x7f})
	}
	for name, bad := range map[string][]byte{
		"empty":            nil,
		"no zip":           []byte("hello"),
		"cut":              data[:len(data)/2],
		"zip slip":         named("../../etc/passwd"),
		"absolute":         named("/etc/passwd"),
		"backslash":        named(`..\evil`),
		"hidden":           named(".profile"),
		"folder":           zipped(func(z *zip.Writer) { stored(z, manifestName, manifest); _, _ = z.Create("folder/") }),
		"long name":        named(strings.Repeat("a", 200)),
		"control":          named("a\nb"),
		"duplicate":        repack(t, data, func(files []file) []file { return append(files, files[1]) }),
		"one file more":    named("extra.txt"),
		"trailing bytes":   append(bytes.Clone(data), "more"...),
		"leading bytes":    append([]byte("#!/bin/sh\n"), data...),
		"claims to be big": huge,
		"without manifest": repack(t, data, func(files []file) []file { return files[1:] }),
		"comment":          zipped(func(z *zip.Writer) { stored(z, manifestName, manifest); _ = z.SetComment("hello") }),
		"bomb": zipped(func(z *zip.Writer) {
			stored(z, manifestName, manifest)
			w, _ := z.Create("facts.json")
			_, _ = w.Write(make([]byte, 64<<20))
		}),
	} {
		if _, err := Verify(bad, Keys{key.verifier, holds}); err == nil {
			t.Errorf("%s: taken", name)
		} else if !errors.Is(err, ErrForm) && !errors.Is(err, ErrChanged) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// The form does not change with the toolchain: archives of today are read tomorrow.
func TestFormPinned(t *testing.T) {
	var b bytes.Buffer
	if err := pack(&b, []file{{"MANIFEST", []byte("one\n")}, {"ledger/checkpoint", []byte("two\n")}}); err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256(b.Bytes())
	const want = "8aa8781373cb09094534e5eea29c90002de7fd1048e92835647b0c620d240f91"
	if got := hex.EncodeToString(sum[:]); got != want {
		t.Errorf("form of archives has changed: %s", got)
	}
}

func FuzzVerify(f *testing.F) {
	f.Add(made(f, sample(2), Internal))
	f.Add(made(f, sample(1), Partner))
	f.Add([]byte("PK\x05\x06" + strings.Repeat("\x00", 18)))
	f.Fuzz(func(t *testing.T, data []byte) {
		if r, err := Verify(data, Keys{}); err == nil && (r.Files < 1 || r.Signed) {
			t.Errorf("%+v", r)
		}
		if _, err := Verify(data, Keys{key.verifier, holds}); err == nil {
			if _, err := unpack(data); err != nil {
				t.Error(err)
			}
		}
	})
}

func BenchmarkWrite(b *testing.B) {
	m := sample(24_000)
	for b.Loop() {
		if err := Write(&bytes.Buffer{}, m, Partner, &Pseudonyms{}, key.signer); err != nil {
			b.Fatal(err)
		}
	}
}
