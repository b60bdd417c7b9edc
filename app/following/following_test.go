package following

import (
	"context"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/palladium-guard/palladium/store/catalog"
	"github.com/palladium-guard/palladium/store/stream"
)

type log struct {
	mu sync.Mutex
	b  strings.Builder
}

func (l *log) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *log) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// What is appended reaches the stream and the catalog, what cannot be used is told with its line, and files that are gone are in health
// until they are there again.
func TestFollows(t *testing.T) {
	dir, said := t.TempDir(), &log{}
	place, traffic := filepath.Join(dir, "taps.json"), filepath.Join(dir, "traffic.jsonl")
	write := func(text string) {
		t.Helper()
		f, err := os.OpenFile(traffic, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		if _, err := f.WriteString(text); err != nil {
			t.Fatal(err)
		}
	}
	write(`{"kind":"account","account":"acme","plan":"pro"}` + "\n" + `{"kind":"exchange","canaryprompt":` + "\n")
	s, err := stream.Open(t.Context(), stream.Config{Dir: filepath.Join(dir, "stream")}, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	var accounts []catalog.Account
	f, err := Open(Options{Paths: []string{traffic}, Place: place, Sink: s.Publisher("files"), Log: slog.New(slog.NewTextHandler(said, nil)),
		Accounts: func(_ context.Context, a []catalog.Account) error { accounts = append(accounts, a...); return nil }})
	if err != nil {
		t.Fatal(err)
	}
	round := func(ok bool, says string) {
		t.Helper()
		ctx, end := context.WithTimeout(t.Context(), time.Second)
		defer end()
		if err := f.Run(ctx); err != nil {
			t.Fatal(err)
		}
		if got, text := f.Health(); got != ok || !strings.Contains(text, says) {
			t.Errorf("health is %v: %s; wanted %s", got, text, says)
		}
	}
	round(true, "0 exchanges taken in, 1 records skipped")
	if len(accounts) != 1 || !strings.Contains(said.String(), "records are skipped") || !strings.Contains(said.String(), "line=2") || strings.Contains(said.String(), "canary") {
		t.Errorf("%d accounts; it said: %s", len(accounts), said)
	}
	write(`{"kind":"exchange","id":"x1","time":"2026-05-03T10:00:00Z","account":"acme","model":"m-1","messages":[{"role":"user","text":"hello"}]}` + "\n")
	round(true, "1 exchanges taken in, 1 records skipped")
	if err := os.Rename(traffic, traffic+".away"); err != nil {
		t.Fatal(err)
	}
	round(false, "traffic.jsonl")
	if err := os.Rename(traffic+".away", traffic); err != nil {
		t.Fatal(err)
	}
	round(true, "1 exchanges taken in, 1 records skipped")
	if _, err := os.Stat(place); err != nil {
		t.Error(err)
	}
	if _, err := Open(Options{Paths: []string{filepath.Join(dir, "none")}, Place: place}); err == nil || !strings.Contains(err.Error(), "taps.files") {
		t.Errorf("what is not there: %v", err)
	}
}
