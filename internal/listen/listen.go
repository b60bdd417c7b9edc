// Package listen runs an HTTP server and a gRPC server that are one part of a system: they are bound together, and end together.
package listen

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"net/http"
	"time"

	"google.golang.org/grpc"
)

// Pair is the two servers' places. Either may be off. It belongs to one goroutine, but for Addresses once it is bound.
type Pair struct{ http, grpc net.Listener }

// Bind binds the given addresses; "" leaves a server off. After an error nothing is bound.
func (p *Pair) Bind(http, grpc string) (err error) {
	if http != "" {
		if p.http, err = net.Listen("tcp", http); err != nil {
			return fmt.Errorf("listen for HTTP: %w", err)
		}
	}
	if grpc != "" {
		if p.grpc, err = net.Listen("tcp", grpc); err != nil {
			p.Close()
			return fmt.Errorf("listen for gRPC: %w", err)
		}
	}
	return nil
}

// Addresses are where the servers are; nil for one that is off.
func (p *Pair) Addresses() (http, grpc net.Addr) {
	if p.http != nil {
		http = p.http.Addr()
	}
	if p.grpc != nil {
		grpc = p.grpc.Addr()
	}
	return http, grpc
}

// Close gives up places that Serve was not called for.
func (p *Pair) Close() {
	for _, l := range []net.Listener{p.http, p.grpc} {
		if l != nil {
			_ = l.Close()
		}
	}
}

// Serve serves until ctx ends, gives what is in hand the time of drain, and returns nil; or it returns why one of the servers cannot
// serve, once the other has ended as well. over is the TLS of HTTP, nil for none; gRPC's is among its own options. A server that
// is off may be nil.
func (p *Pair) Serve(ctx context.Context, h *http.Server, g *grpc.Server, over *tls.Config, drain time.Duration) error {
	ended := make(chan error, 2)
	serving := 0
	if p.grpc != nil {
		serving++
		go func() { ended <- g.Serve(p.grpc) }()
	}
	if p.http != nil {
		serving++
		l := p.http
		if over != nil {
			l = tls.NewListener(l, over)
		}
		go func() { ended <- h.Serve(l) }()
	}
	var err error
	select {
	case err = <-ended:
		serving--
	case <-ctx.Done():
	}
	limit, cancel := context.WithTimeout(context.WithoutCancel(ctx), drain)
	defer cancel()
	if p.http != nil && h.Shutdown(limit) != nil {
		_ = h.Close()
	}
	if p.grpc != nil {
		stop := context.AfterFunc(limit, g.Stop)
		g.GracefulStop()
		stop()
	}
	for range serving {
		<-ended
	}
	return err
}
