package serve

import (
	"log/slog"
	"path/filepath"
	"testing"

	"github.com/palladium-guard/palladium/config"
)

// Health tells when the ledger takes nothing.
func TestLedgerPart(t *testing.T) {
	dir := t.TempDir()
	c := config.Ledger{Dir: filepath.Join(dir, "ledger"), Key: filepath.Join(dir, "key"), Public: filepath.Join(dir, "pub")}
	l, err := openLedger(t.Context(), c, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	write := func(want bool) {
		t.Helper()
		_, err := l.Append(t.Context(), "palladium/decision/v1", []byte("{}"))
		if p := l.part(); (err == nil) != want || p.OK != want || p.Name != "ledger" || (p.Says == "") != want {
			t.Errorf("%+v after %v", p, err)
		}
	}
	write(true)
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	write(false)
}
