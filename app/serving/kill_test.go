package serving

import (
	"bufio"
	"context"
	"crypto/rand"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/palladium-guard/palladium/traffic/gateway/credential"
	"github.com/palladium-guard/palladium/world/upstream"
)

// A gateway that is killed at any moment has forgotten nothing of what callers got: after each start at least that much is
// charged, and all starts together serve no more than the cap.
func TestKill(t *testing.T) {
	if dir := os.Getenv("SERVING_TO_KILL"); dir != "" {
		_ = Run(context.Background(), Options{Config: filepath.Join(dir, "p.yaml"), Log: os.Stderr, Ready: func(callers, _ net.Addr) { fmt.Println(callers) }})
		return
	}
	if testing.Short() {
		t.Skip("starts processes")
	}
	const limit = 3000
	dir := t.TempDir()
	up := httptest.NewServer(upstream.New(upstream.Config{}).Handler())
	defer up.Close()
	keys, err := credential.OpenKeys(filepath.Join(dir, "keys.jsonl"))
	if err != nil {
		t.Fatal(err)
	}
	_, secret, err := keys.Create(time.Now(), rand.Reader, credential.Grant{Account: "acme"}, time.Now().Add(time.Hour), "")
	if err != nil {
		t.Fatal(err)
	}
	yaml := fmt.Sprintf("gateway: {listen: '127.0.0.1:0', state: %q, upstreams: [{url: %q}], models: [{name: '*', output: 30}]}\ncredentials: {keys: %q}\n"+
		"budget: {plans: {default: {per_minute: {requests: 100k, tokens: unlimited}, account: {day: {requests: unlimited, input: unlimited, output: %d}, month: {requests: unlimited, input: unlimited, output: unlimited}}}}}\n",
		filepath.Join(dir, "state"), up.URL, keys.Path(), limit)
	if err := os.WriteFile(filepath.Join(dir, "p.yaml"), []byte(yaml), 0o600); err != nil {
		t.Fatal(err)
	}
	var got atomic.Int64 // tokens that callers received
	for round := range 5 {
		cmd := exec.Command(os.Args[0], "-test.run=^TestKill$")
		cmd.Env = append(os.Environ(), "SERVING_TO_KILL="+dir)
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		at, err := bufio.NewReader(out).ReadString('\n')
		if err != nil {
			_ = cmd.Process.Kill()
			t.Fatalf("round %d: it does not start: %v", round, err)
		}
		before := got.Load()
		var group sync.WaitGroup
		ctx, stop := context.WithCancel(context.Background())
		for range 4 {
			group.Go(func() { draw(ctx, "http://"+strings.TrimSpace(at), secret.Reveal(), &got) })
		}
		for end := time.Now().Add(5 * time.Second); got.Load() == before && time.Now().Before(end); {
			time.Sleep(time.Millisecond)
		}
		time.Sleep(time.Duration(1+13*round) * time.Millisecond)
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		stop()
		group.Wait()
		s := &site{log: newLog(io.Discard)}
		if _, err := s.openState(filepath.Join(dir, "state"), time.Second); err != nil {
			t.Fatal(err)
		}
		charged := usedToday(s)
		if err := s.journal.Close(); err != nil {
			t.Fatal(err)
		}
		t.Logf("round %d: callers have %d tokens, %d are charged", round, got.Load(), charged)
		if charged < got.Load() || got.Load() > limit {
			t.Fatalf("round %d: callers have %d tokens, %d are charged, %d may be drawn", round, got.Load(), charged, limit)
		}
	}
	if got.Load() == 0 {
		t.Error("nothing was served")
	}
}

// draw asks for streams until the server is gone and counts the tokens that come.
func draw(ctx context.Context, base, key string, got *atomic.Int64) {
	for ctx.Err() == nil {
		req, err := http.NewRequestWithContext(ctx, http.MethodPost, base+"/v1/chat/completions",
			strings.NewReader(`{"model":"m","stream":true,"max_tokens":30,"messages":[{"role":"user","content":"hi"}]}`))
		if err != nil {
			return
		}
		req.Header.Set("Authorization", "Bearer "+key)
		req.Header.Set("X-Upstream-Fault", "tokens=30")
		resp, err := http.DefaultTransport.RoundTrip(req)
		if err != nil {
			return
		}
		if resp.StatusCode != http.StatusOK {
			resp.Body.Close()
			time.Sleep(time.Millisecond)
			continue
		}
		lines := bufio.NewScanner(resp.Body)
		for lines.Scan() {
			if text := lines.Text(); strings.Contains(text, `"content":"`) && !strings.Contains(text, `"content":""`) {
				got.Add(1)
			}
		}
		resp.Body.Close()
	}
}
