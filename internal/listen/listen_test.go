package listen

import (
	"context"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/health"
	"google.golang.org/grpc/health/grpc_health_v1"
)

// What is in hand when the end comes is answered, and nothing new is taken.
func TestServe(t *testing.T) {
	var p Pair
	if err := p.Bind("127.0.0.1:0", "127.0.0.1:0"); err != nil {
		t.Fatal(err)
	}
	at, rpc := p.Addresses()
	inHand, goOn := make(chan struct{}), make(chan struct{})
	h := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		close(inHand)
		<-goOn
		_, _ = io.WriteString(w, "whole")
	})}
	g := grpc.NewServer()
	grpc_health_v1.RegisterHealthServer(g, health.NewServer())
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- p.Serve(ctx, h, g, nil, 10*time.Second) }()

	conn, err := grpc.NewClient(rpc.String(), grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := grpc_health_v1.NewHealthClient(conn).Check(t.Context(), &grpc_health_v1.HealthCheckRequest{}); err != nil {
		t.Error(err)
	}
	got := make(chan string, 1)
	go func() {
		resp, err := http.Get("http://" + at.String())
		if err != nil {
			got <- err.Error()
			return
		}
		defer resp.Body.Close()
		body, _ := io.ReadAll(resp.Body)
		got <- string(body)
	}()
	<-inHand
	stop()
	close(goOn)
	if body := <-got; body != "whole" {
		t.Errorf("what was in hand was answered with %q", body)
	}
	if err := <-ended; err != nil {
		t.Error(err)
	}
	if c, err := net.Dial("tcp", at.String()); err == nil {
		c.Close()
		t.Error("it still listens")
	}
}

// Where one of the two cannot be bound, or cannot serve, the other ends as well.
func TestOneFails(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	var p Pair
	if err := p.Bind("127.0.0.1:0", taken.Addr().String()); err == nil || !strings.Contains(err.Error(), "gRPC") {
		t.Fatalf("%v", err)
	}
	free, _ := p.Addresses()
	if c, err := net.Dial("tcp", free.String()); err == nil {
		c.Close()
		t.Error("the first is still bound")
	}

	p = Pair{}
	if err := p.Bind("127.0.0.1:0", "127.0.0.1:0"); err != nil {
		t.Fatal(err)
	}
	h := &http.Server{}
	_ = h.Close() // serves no more
	if err := p.Serve(t.Context(), h, grpc.NewServer(), nil, time.Second); err == nil {
		t.Error("it served")
	}
}

func TestOff(t *testing.T) {
	var p Pair
	if err := p.Bind("", ""); err != nil {
		t.Fatal(err)
	}
	if a, b := p.Addresses(); a != nil || b != nil {
		t.Error(a, b)
	}
	ctx, stop := context.WithCancel(t.Context())
	stop()
	if err := p.Serve(ctx, nil, nil, nil, time.Second); err != nil {
		t.Error(err)
	}
}
