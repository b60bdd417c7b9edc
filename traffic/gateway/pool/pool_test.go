package pool

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func open(t *testing.T, old *Pool, configs ...Config) *Pool {
	t.Helper()
	for i := range configs {
		configs[i].Fill(i + 1)
	}
	p, err := Open(configs, Limits{Connect: time.Second, Idle: time.Second}, old)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Close)
	return p
}

// Upstreams are picked by weight among those that are well and serve the model; the sick only when nobody else is left.
func TestPick(t *testing.T) {
	p := open(t, nil, Config{Name: "a", URL: "http://a", Weight: 3}, Config{Name: "b", URL: "http://b", Models: []string{"x-*"}}, Config{Name: "c", URL: "http://c", Models: []string{"x-*"}})
	now := time.Now()
	count := func(model string, tried uint64) map[string]int {
		n := map[string]int{}
		for range 5000 {
			u, at, known := p.Pick(model, tried, now.UnixNano())
			if !known {
				n["unknown"]++
			} else if u == nil {
				n["none"]++
			} else if p.All()[at] != u {
				t.Fatal("the place is not that of the upstream")
			} else {
				n[u.Name()]++
			}
		}
		return n
	}
	if n := count("x-1", 0); n["a"] < 2700 || n["a"] > 3300 || n["b"] < 800 || n["c"] < 800 {
		t.Errorf("by weight: %v", n)
	}
	if n := count("y", 0); n["a"] != 5000 {
		t.Errorf("by model: %v", n)
	}
	if n := count("x-1", 1); n["a"] != 0 || n["b"] == 0 {
		t.Errorf("tried: %v", n)
	}
	if n := count("x-1", 7); n["none"] != 5000 {
		t.Errorf("all tried: %v", n)
	}
	p.all[0].sick.Store(true)
	if n := count("x-1", 0); n["a"] != 0 {
		t.Errorf("sick: %v", n)
	}
	if n := count("y", 0); n["a"] != 5000 {
		t.Errorf("only the sick one serves it: %v", n)
	}
	only := open(t, nil, Config{URL: "http://a", Models: []string{"x-*"}})
	if _, _, known := only.Pick("y", 0, 0); known {
		t.Error("a model that nobody serves is known")
	}
}

// Failures in a row take an upstream out, each time for longer; an answer takes it in again.
func TestFailed(t *testing.T) {
	s := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	defer s.Close()
	p := open(t, nil, Config{URL: s.URL, Health: Health{Fails: 2, Eject: time.Second}})
	u, log, now := p.All()[0], slog.New(slog.DiscardHandler), time.Now()
	out := func() time.Duration { return time.Duration(u.out.Load() - now.UnixNano()) }
	u.Failed(log, now)
	if !u.Well(now.UnixNano()) {
		t.Error("one failure takes it out")
	}
	for _, want := range []time.Duration{1, 2, 4, 8, 16, 16} {
		u.Failed(log, now)
		if got := out(); got != want*time.Second || u.Well(now.UnixNano()) || !u.Well(now.Add(want*time.Second).UnixNano()) {
			t.Errorf("it is out for %v, wanted %ds", got, want)
		}
		u.Failed(log, now)
	}
	req, _ := http.NewRequest("GET", s.URL, nil)
	resp, unsent, err := u.Send(context.Background(), req, nil)
	if err != nil || unsent || !u.Well(now.UnixNano()) || u.Open() != 1 {
		t.Fatalf("error %v, unsent %v, %d open", err, unsent, u.Open())
	}
	resp.Body.Close()
	u.Done()
	if u.Open() != 0 {
		t.Error("it is never over")
	}
	s.Close()
	if _, unsent, err := u.Send(context.Background(), req, nil); !unsent || u.Open() != 0 || strings.Contains(u.Clean(err).Error(), "127") {
		t.Errorf("error %v, unsent %v, %d open", err, unsent, u.Open())
	}
}

// A health path is asked with the secret; what it says is followed.
func TestWatch(t *testing.T) {
	status := make(chan int, 100)
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/pre/health" || r.Header.Get("Api-Key") != "s3cret" {
			t.Errorf("asked %s with %v", r.URL.Path, r.Header)
		}
		code := <-status
		w.WriteHeader(code)
	}))
	defer s.Close()
	file := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(file, []byte("s3cret\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	c := Config{Name: "u", URL: s.URL + "/pre/v1", SecretFile: file, Auth: "api-key", Health: Health{Path: "/health", Every: time.Millisecond, Fails: 2, Timeout: 10 * time.Second}}
	p := open(t, nil, c)
	var log bytes.Buffer
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { p.All()[0].watch(ctx, slog.New(slog.NewTextHandler(&log, nil))); close(done) }()
	well := func(want bool) {
		t.Helper()
		for end := time.Now().Add(time.Minute); p.All()[0].Well(time.Now().UnixNano()) != want; time.Sleep(time.Millisecond) {
			if time.Now().After(end) {
				t.Fatalf("it is not seen whether it is well: wanted %v", want)
			}
		}
	}
	status <- 500
	well(true)
	status <- 500
	well(false)
	status <- 200
	well(true)
	// The same upstream is taken over with its health; one whose secret changed is another.
	if next := open(t, p, c); next.All()[0] != p.All()[0] {
		t.Error("it is not taken over")
	}
	if err := os.WriteFile(file, []byte("other"), 0o600); err != nil {
		t.Fatal(err)
	}
	if next := open(t, p, c); next.All()[0] == p.All()[0] {
		t.Error("another secret changes nothing")
	}
	stop()
	close(status)
	<-done
	if strings.Contains(log.String(), "s3cret") || !strings.Contains(log.String(), "healthy again") {
		t.Errorf("log %s", &log)
	}
}

// What cannot be an upstream is told, without any secret.
func TestRefuses(t *testing.T) {
	t.Setenv("POOL_SECRET", "planted\x01word")
	for want, c := range map[string]Config{
		"url must be an address":     {URL: "host:80"},
		"no password":                {URL: "http://u:planted@host"},
		"weight":                     {URL: "http://h", Weight: -1},
		"not both":                   {URL: "http://h", SecretFile: "a", SecretEnv: "b"},
		"auth must be":               {URL: "http://h", Auth: "cookie"},
		"cannot carry":               {URL: "http://h", SecretEnv: "POOL_SECRET"},
		"is not set":                 {URL: "http://h", SecretEnv: "POOL_NOT_SET"},
		"must hold the certificates": {URL: "http://h", CA: "pool_test.go"},
	} {
		c.Fill(1)
		err := c.Check()
		if err == nil {
			_, err = Open([]Config{c}, Limits{}, nil)
		}
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "planted") {
			t.Errorf("error %v, wanted one with %q", err, want)
		}
	}
	if _, err := Open(make([]Config, maxUpstreams+1), Limits{}, nil); err == nil {
		t.Error("too many are taken")
	}
}

// Errors of the transport are told by their kind alone.
func TestClean(t *testing.T) {
	u := &Upstream{}
	for _, c := range []struct {
		err  error
		says string
	}{
		{&dialError{errors.New("planted")}, "no connection"}, {context.Canceled, "cancelled"}, {context.DeadlineExceeded, "in time"},
		{fmt.Errorf("planted: %w", io.ErrUnexpectedEOF), "closes"}, {errors.New("planted"), "cannot be read"},
	} {
		if got := u.Clean(c.err).Error(); !strings.Contains(got, c.says) || strings.Contains(got, "planted") {
			t.Errorf("%v: says %q", c.err, got)
		}
	}
}
