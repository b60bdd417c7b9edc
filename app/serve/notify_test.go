package serve

import (
	"log/slog"
	"path/filepath"
	"testing"

	"github.com/palladium-guard/palladium/store/catalog"
)

func TestAChangeOfHealthIsWrittenOnce(t *testing.T) {
	cat, err := catalog.Open(t.Context(), catalog.Config{URL: "sqlite:" + filepath.Join(t.TempDir(), "c.db")}, nil, true)
	if err != nil {
		t.Fatal(err)
	}
	defer cat.Close()
	for _, kind := range []string{"health.restored", "health.failing", "health.failing", "health.restored", "health.restored", "health.failing"} {
		h := &house{cat: cat, log: slog.New(slog.DiscardHandler)} // each a process of its own
		h.tellChange(t.Context(), kind, "part:stream@host", "why")
	}
	last, err := cat.LastEvent(t.Context())
	if err != nil || last != 3 {
		t.Fatalf("%d events, not 3: %v", last, err)
	}
}
