package main

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

func TestQuantile(t *testing.T) {
	times := []time.Duration{5, 1, 4, 2, 3}
	for q, want := range map[float64]time.Duration{0: 1, 0.5: 3, 0.99: 5, 1: 5} {
		if got := quantile(times, q); got != want {
			t.Errorf("quantile %v is %v, want %v", q, got, want)
		}
	}
	if got := median([]float64{3, 1, 2}); got != 2 {
		t.Errorf("median %v", got)
	}
}

func TestSaid(t *testing.T) {
	stream := "data: {\"choices\":[{\"delta\":{\"content\":\"a \"}}]}\n\n: ping\n\ndata: {\"choices\":[]}\n\ndata: {\"choices\":[{\"delta\":{\"content\":\"b\"}}]}\n\ndata: [DONE]\n\n"
	if got := said([]byte(stream)); got != "a b\x00end" {
		t.Errorf("said %q", got)
	}
}

// The client tells a whole answer from one that was cut, and keeps a connection that can be used again.
func TestOnce(t *testing.T) {
	connections := map[string]bool{}
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		connections[r.RemoteAddr] = true
		_, _ = io.WriteString(w, "some")
		_ = http.NewResponseController(w).Flush()
		if r.Header.Get("X-Upstream-Fault") != "" {
			panic(http.ErrAbortHandler)
		}
		_, _ = io.WriteString(w, "thing")
	}))
	defer s.Close()
	c := &client{t: &target{addr: strings.TrimPrefix(s.URL, "http://")}}
	defer c.close()
	for range 2 {
		if got, _, err := c.once(context.Background(), ask(1, true, 0), ""); err != nil || !bytes.Equal(got, []byte("something")) {
			t.Errorf("got %q and %v", got, err)
		}
	}
	if len(connections) != 1 {
		t.Errorf("used %d connections", len(connections))
	}
	if got, _, err := c.once(context.Background(), ask(1, true, 0), "cut"); !errors.Is(err, io.ErrUnexpectedEOF) || string(got) != "some" {
		t.Errorf("cut: got %q and %v", got, err)
	}
}
