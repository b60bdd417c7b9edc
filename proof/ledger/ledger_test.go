package ledger_test

import (
	"bytes"
	"crypto/rand"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/transparency-dev/formats/log"
	fnote "github.com/transparency-dev/formats/note"
	"golang.org/x/mod/sumdb/note"

	"github.com/palladium-guard/palladium/proof/ledger"
	"github.com/palladium-guard/palladium/proof/ledger/ledgertest"
)

func keys(t testing.TB) (note.Signer, string) {
	t.Helper()
	private, public, err := ledger.GenerateKey(rand.Reader, "example.com/test")
	if err != nil {
		t.Fatal(err)
	}
	s, err := ledger.ParseSigner(private)
	if err != nil {
		t.Fatal(err)
	}
	if again, err := ledger.PublicKey(private); err != nil || again != public {
		t.Errorf("public key of the private one: %q, %v; want %q", again, err, public)
	}
	return s, public
}

func trust(t testing.TB, public, policy string) ledger.Trust {
	t.Helper()
	tr, err := ledger.ParseTrust(public, []byte(policy))
	if err != nil {
		t.Fatal(err)
	}
	return tr
}

func TestForms(t *testing.T) {
	signer, public := keys(t)
	now := func() time.Time { return time.UnixMilli(1_700_000_000_000) }
	t.Run("memory", func(t *testing.T) {
		ledgertest.Run(t, ledgertest.Options{Trust: trust(t, public, "")}, func(*testing.T) ledger.Ledger { return ledger.NewMemory(signer, now) })
	})
	t.Run("discard", func(t *testing.T) {
		ledgertest.Run(t, ledgertest.Options{}, func(*testing.T) ledger.Ledger { return ledger.Discard{} })
	})
}

func TestEntry(t *testing.T) {
	s := ledger.Statement{Type: "test/v1", Time: time.UnixMilli(1_700_000_000_123), Body: []byte("text")}
	e, err := s.Entry()
	if err != nil {
		t.Fatal(err)
	}
	good := string(e.Marshal())
	if got, err := ledger.ParseEntry([]byte(good)); err != nil || got != e {
		t.Errorf("read back: %+v, %v", got, err)
	}
	for name, bad := range map[string]string{
		"empty":        "",
		"more":         good + "\n",
		"less":         strings.TrimSuffix(good, "\n"),
		"header":       strings.Replace(good, "/v1", "/v2", 1),
		"upper case":   strings.Replace(good, "982d", "982D", 1),
		"leading zero": strings.Replace(good, "size 4", "size 04", 1),
		"negative":     strings.Replace(good, "size 4", "size -4", 1),
		"huge":         strings.Replace(good, "size 4", "size 99999999999", 1),
		"zone":         strings.Replace(good, "Z\n", "+00:00\n", 1),
		"no type":      strings.Replace(good, "test/v1", "", 1),
		"order":        strings.Replace(good, "type test/v1\n", "", 1) + "type test/v1\n",
	} {
		if _, err := ledger.ParseEntry([]byte(bad)); !errors.Is(err, ledger.ErrFormat) {
			t.Errorf("%s: got error %v", name, err)
		}
	}
}

// sign signs the checkpoint of an empty log with all the signers.
func sign(t testing.TB, text string, signers ...note.Signer) []byte {
	t.Helper()
	data, err := note.Sign(&note.Note{Text: text}, signers...)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func TestCheckpoint(t *testing.T) {
	own, public := keys(t)
	text := string(log.Checkpoint{Origin: "example.com/test", Size: 3, Hash: bytes.Repeat([]byte{1}, 32)}.Marshal())
	var cosigners []note.Signer
	policy := ""
	for i := range 20 {
		private, key, err := note.GenerateKey(rand.Reader, fmt.Sprintf("witness-%d.example", i))
		if err != nil {
			t.Fatal(err)
		}
		s, err := fnote.NewSignerForCosignatureV1(private)
		if err != nil {
			t.Fatal(err)
		}
		if key, err = fnote.VKeyToCosignatureV1(key); err != nil {
			t.Fatal(err)
		}
		cosigners = append(cosigners, s)
		if i < 2 {
			policy += fmt.Sprintf("witness w%d %s https://witness-%d.example/\n", i, key, i)
		}
	}
	private, key, err := fnote.GenerateMLDSAKey("quantum.example")
	if err != nil {
		t.Fatal(err)
	}
	quantum, err := fnote.NewMLDSASigner(private)
	if err != nil {
		t.Fatal(err)
	}
	two := policy + "group both all w0 w1\nquorum both\n"
	stranger, _ := keys(t) // the same name, another key
	all := append([]note.Signer{own}, cosigners...)
	good := sign(t, text, append(all, quantum)...)
	bad := func(line string) []byte { // spoils the last byte of a signature
		i := bytes.Index(good, []byte("— "+line+" "))
		end := i + bytes.IndexByte(good[i:], '\n')
		data := bytes.Clone(good)
		at := end - 6
		if data[at] == 'A' {
			data[at] = 'B'
		} else {
			data[at] = 'A'
		}
		return data
	}
	cases := []struct {
		name   string
		data   []byte
		policy string
		want   error
		known  int
	}{
		{"alone", sign(t, text, own), "", nil, 0},
		{"22 signatures, none known", good, "", nil, 0},
		{"22 signatures, two known", good, two, nil, 2},
		{"ML-DSA-44", good, "witness q " + key + " https://quantum.example/\nquorum q\n", nil, 1},
		{"too few", sign(t, text, own, cosigners[0]), two, ledger.ErrUntrusted, 0},
		{"no quorum needed", sign(t, text, own, cosigners[0]), policy + "quorum none\n", nil, 1},
		{"bad signature of a known witness", bad("witness-0.example"), policy + "quorum none\n", ledger.ErrUntrusted, 0},
		{"bad signature of an unknown one", bad("witness-0.example"), "", nil, 0},
		{"bad own signature", bad("example.com/test"), "", ledger.ErrUntrusted, 0},
		{"witnesses alone", sign(t, text, cosigners...), two, ledger.ErrUntrusted, 0},
		{"another key of that name", sign(t, text, stranger), "", ledger.ErrUntrusted, 0},
		{"another log", sign(t, strings.Replace(text, "test", "rest", 1), own), "", ledger.ErrUntrusted, 0},
		{"extension", sign(t, text+"more\n", own), "", nil, 0},
		{"no size", sign(t, "example.com/test\n", own), "", ledger.ErrFormat, 0},
		{"leading zero", sign(t, strings.Replace(text, "\n3\n", "\n03\n", 1), own), "", ledger.ErrFormat, 0},
		{"empty log with a root", sign(t, strings.Replace(text, "\n3\n", "\n0\n", 1), own), "", ledger.ErrFormat, 0},
		{"nothing", nil, "", ledger.ErrUntrusted, 0},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			cp, err := ledger.OpenCheckpoint(c.data, trust(t, public, c.policy))
			if !errors.Is(err, c.want) {
				t.Fatalf("got error %v, want %v", err, c.want)
			}
			if err != nil {
				return
			}
			known := 0
			for _, s := range cp.Cosignatures {
				if s.Known {
					known++
				}
			}
			if known != c.known || cp.Size != 3 {
				t.Errorf("%d known cosignatures, want %d; size %d", known, c.known, cp.Size)
			}
		})
	}
	if _, err := ledger.ParseTrust("nonsense", nil); err == nil {
		t.Error("nonsense was taken for a key")
	}
	if _, err := ledger.ParseTrust(public, []byte("nonsense")); err == nil {
		t.Error("nonsense was taken for a policy")
	}
	if _, err := ledger.ParseSigner("PRIVATE+KEY+secret"); err == nil || strings.Contains(err.Error(), "secret") {
		t.Errorf("error about a private key: %v", err)
	}
	if _, _, err := ledger.GenerateKey(rand.Reader, "two words"); err == nil {
		t.Error("a name with a space was taken")
	}
}

func FuzzEntry(f *testing.F) {
	s := ledger.Statement{Type: "test/v1", Time: time.UnixMilli(0), Body: []byte("text")}
	e, _ := s.Entry()
	f.Add(e.Marshal())
	f.Fuzz(func(t *testing.T, data []byte) {
		if e, err := ledger.ParseEntry(data); err == nil && !bytes.Equal(e.Marshal(), data) {
			t.Error("taken in another form")
		}
	})
}

func FuzzProof(f *testing.F) {
	signer, public := keys(f)
	tr := trust(f, public, "")
	f.Add([]byte("c2sp.org/tlog-proof@v1\nextra AA==\nindex 0\n\n" + string(sign(f, "example.com/test\n1\nAAAA\n", signer))))
	f.Fuzz(func(t *testing.T, data []byte) {
		if _, err := ledger.VerifyProof(data, tr); err == nil {
			t.Error("nothing was proved by the key, and yet it holds")
		}
		_, _ = ledger.OpenCheckpoint(data, tr)
	})
}

// FuzzLog verifies logs whose files are arbitrary.
func FuzzLog(f *testing.F) {
	signer, public := keys(f)
	tr := trust(f, public, "")
	cp := sign(f, string(log.Checkpoint{Origin: "example.com/test", Size: 2, Hash: make([]byte, 32)}.Marshal()), signer)
	f.Add([]byte{0, 1, 'a', 0, 1, 'b'}, make([]byte, 64), ledger.AppendPack(ledger.AppendPack(nil, []byte("a")), []byte("b")))
	f.Fuzz(func(t *testing.T, bundle, tile, pack []byte) {
		m := fstest.MapFS{
			"checkpoint": {Data: cp}, "tile/entries/000.p/2": {Data: bundle}, "tile/0/000.p/2": {Data: tile}, ledger.PackPath(0): {Data: pack},
		}
		if _, err := ledger.Verify(t.Context(), m, tr, nil); !errors.Is(err, ledger.ErrBroken) {
			t.Errorf("got error %v", err)
		}
		_, _ = ledger.Prove(m, tr, 1)
		var e ledger.Entry
		_, _ = ledger.ReadStatement(m, 1, &e)
	})
}
