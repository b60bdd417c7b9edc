package notify

import (
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/palladium-guard/palladium/store/catalog"
)

// TestChild is the process that TestKilled kills: it tells until it is ended.
func TestChild(t *testing.T) {
	db := os.Getenv("NOTIFY_TEST_CATALOG")
	if db == "" {
		t.Skip("runs as a process of TestKilled only")
	}
	cat, err := catalog.Open(t.Context(), catalog.Config{URL: "sqlite:" + db}, nil, true)
	if err != nil {
		t.Fatal(err)
	}
	c := webhookSink(os.Getenv("NOTIFY_TEST_URL"))
	c.Sinks[0].Timeout = 300 * time.Millisecond
	n, err := Open(Options{Config: c, Catalog: cat, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	n.pace.idle, n.pace.mark = 10*time.Millisecond, 200*time.Millisecond // a lease of half a second
	n.Run(t.Context())
}

func TestKilled(t *testing.T) {
	t.Setenv("NOTIFY_TEST_SECRET", NewSecret())
	db := filepath.Join(t.TempDir(), "c.db")
	cat, err := catalog.Open(t.Context(), catalog.Config{URL: "sqlite:" + db}, nil, true)
	if err != nil {
		t.Fatal(err)
	}
	defer cat.Close()
	if err := cat.SetMark(t.Context(), markName, 1); err != nil {
		t.Fatal(err)
	}
	if err := cat.Append(t.Context(), staged("c1")); err != nil {
		t.Fatal(err)
	}
	var mu sync.Mutex
	var ids []string
	var child *exec.Cmd
	kill := true
	srv := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		mu.Lock()
		defer mu.Unlock()
		ids = append(ids, r.Header.Get("webhook-id"))
		if kill { // it has sent, and cannot note it any more
			_ = child.Process.Kill()
		}
	}))
	defer srv.Close()
	start := func() func() {
		mu.Lock()
		defer mu.Unlock()
		child = exec.Command(os.Args[0], "-test.run", "^TestChild$")
		child.Env = append(os.Environ(), "NOTIFY_TEST_CATALOG="+db, "NOTIFY_TEST_URL="+srv.URL)
		if err := child.Start(); err != nil {
			t.Fatal(err)
		}
		c := child
		return func() { _ = c.Process.Kill(); _ = c.Wait() }
	}
	told := func(n int) func() bool { return func() bool { mu.Lock(); defer mu.Unlock(); return len(ids) >= n } }
	end := start()
	until(t, "the first telling", told(1))
	end()
	mu.Lock()
	kill = false
	mu.Unlock()
	end = start()
	until(t, "the second telling", told(2))
	until(t, "the note of it", func() bool {
		open, _, err := cat.ListDeliveries(t.Context(), catalog.DeliveryQuery{Open: true})
		return err == nil && len(open) == 0
	})
	end()
	end = start()
	time.Sleep(300 * time.Millisecond)
	end()
	if len(ids) != 2 || ids[0] != ids[1] {
		t.Fatalf("told under %v", ids)
	}
}
