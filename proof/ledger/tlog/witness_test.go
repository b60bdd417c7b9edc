//go:build unix && !solaris && !aix

package tlog

import (
	"bytes"
	"crypto/rand"
	"encoding/base64"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	fnote "github.com/transparency-dev/formats/note"
	"github.com/transparency-dev/merkle/proof"
	"github.com/transparency-dev/merkle/rfc6962"
	"golang.org/x/mod/sumdb/note"

	"github.com/palladium-guard/palladium/proof/ledger"
)

// witness is one that follows a single log, as C2SP tlog-witness says.
type witness struct {
	trust  ledger.Trust
	signer note.Signer
	last   *ledger.Checkpoint
	spoil  bool // answer with a signature that does not hold
}

func (w *witness) ServeHTTP(rw http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	head, raw, _ := bytes.Cut(body, []byte("\n\n"))
	cp, err := ledger.OpenCheckpoint(raw, w.trust)
	if err != nil {
		http.Error(rw, "", http.StatusForbidden)
		return
	}
	lines := strings.Split(string(head), "\n")
	var old uint64
	_, _ = fmt.Sscanf(lines[0], "old %d", &old)
	known := uint64(0)
	root := rfc6962.DefaultHasher.EmptyRoot()
	if w.last != nil {
		known, root = w.last.Size, w.last.Root
	}
	if old != known {
		rw.Header().Set("Content-Type", "text/x.tlog.size")
		rw.WriteHeader(http.StatusConflict)
		fmt.Fprintf(rw, "%d\n", known)
		return
	}
	var hashes [][]byte
	for _, line := range lines[1:] {
		h, _ := base64.StdEncoding.DecodeString(line)
		hashes = append(hashes, h)
	}
	if err := proof.VerifyConsistency(rfc6962.DefaultHasher, old, cp.Size, hashes, root, cp.Root); err != nil {
		http.Error(rw, "", http.StatusUnprocessableEntity)
		return
	}
	w.last = cp
	n, _ := note.Open(raw, note.VerifierList(w.trust.Log))
	text := n.Text
	if w.spoil {
		text += "x\n"
	}
	signed, _ := note.Sign(&note.Note{Text: text}, w.signer)
	_, _ = rw.Write(signed[len(text)+1:])
}

func TestWitness(t *testing.T) {
	logPrivate, logPublic, err := ledger.GenerateKey(rand.Reader, "example.com/test")
	if err != nil {
		t.Fatal(err)
	}
	o, err := optionsFor(logPrivate, logPublic, nil)
	if err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(tempDir(t), "log")
	private, public, err := note.GenerateKey(rand.Reader, "witness.example")
	if err != nil {
		t.Fatal(err)
	}
	w := &witness{trust: o.Trust}
	if w.signer, err = fnote.NewSignerForCosignatureV1(private); err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(w)
	defer server.Close()
	key, err := fnote.VKeyToCosignatureV1(public)
	if err != nil {
		t.Fatal(err)
	}
	fill(t, dir, o, 0, 10, "statement")
	plain := o.Trust
	o.Policy = fmt.Appendf(nil, "witness w %s %s\nquorum w\n", key, server.URL)
	o.Trust, err = ledger.ParseTrust(logPublic, o.Policy)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := ledger.Verify(t.Context(), os.DirFS(dir), o.Trust, nil); err == nil {
		t.Error("a log without cosignature was taken")
	}
	fill(t, dir, o, 10, 700, "statement")
	fill(t, dir, o, 700, 705, "statement")
	r, err := ledger.Verify(t.Context(), os.DirFS(dir), o.Trust, nil)
	if err != nil {
		t.Fatal(err)
	}
	if c := r.Checkpoint.Cosignatures; len(c) != 1 || !c[0].Known || time.Since(c[0].Time) > time.Hour {
		t.Errorf("cosignatures %+v", c)
	}
	if r, err := ledger.Verify(t.Context(), os.DirFS(dir), plain, nil); err != nil || r.Checkpoint.Cosignatures[0].Known {
		t.Errorf("without the witness's key: %v", err)
	}

	// Without its signature nothing is acknowledged.
	o.Patience, o.WitnessTimeout = 2*time.Second, time.Second
	w.spoil = true
	l := begin(t, dir, o)
	if _, err := l.Append(t.Context(), ledger.Statement{Type: "test/v1", Body: []byte("text")}); err == nil || !strings.Contains(err.Error(), "enough witnesses answer") {
		t.Errorf("got error %v", err)
	}
	if err := l.Close(); err != nil {
		t.Error(err)
	}
}
