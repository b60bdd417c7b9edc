// Package listen is how callers reach a gateway: the HTTP server with its limits, and the certificate that it proves itself
// with.
package listen

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"log"
	"net/http"
	"os"
	"sync/atomic"
	"time"

	"github.com/palladium-guard/palladium/traffic/gateway"
)

// Server is the HTTP server for callers, within the limits of cfg: HTTP/1.1, HTTP/2 over TLS, and HTTP/2 without TLS
// where cfg says so. certificate may be nil; then there is no TLS.
func Server(cfg *gateway.Config, h http.Handler, certificate *Certificate) *http.Server {
	l := &cfg.Limits
	s := &http.Server{
		Handler:           h,
		ReadHeaderTimeout: l.HeaderTime,
		IdleTimeout:       l.KeepOpen,
		MaxHeaderBytes:    int(l.Header),
		ErrorLog:          log.New(io.Discard, "", 0), // its lines quote what strangers send
		Protocols:         new(http.Protocols),
		HTTP2: &http.HTTP2Config{
			MaxConcurrentStreams:          l.Streams,
			MaxReceiveBufferPerConnection: 1 << 20,
			MaxReceiveBufferPerStream:     256 << 10,
			MaxReadFrameSize:              16 << 10,
			SendPingTimeout:               30 * time.Second,
			PingTimeout:                   15 * time.Second,
			WriteByteTimeout:              l.Write,
		},
	}
	s.Protocols.SetHTTP1(true)
	s.Protocols.SetHTTP2(certificate != nil)
	s.Protocols.SetUnencryptedHTTP2(cfg.TLS.Cleartext2)
	if certificate != nil {
		s.TLSConfig = &tls.Config{MinVersion: tls.VersionTLS12, GetConfigForClient: certificate.config}
	}
	return s
}

// Certificate holds what the callers' listener proves itself with. It can be read again while connections are open.
type Certificate struct {
	files   gateway.TLS
	ask     bool
	current atomic.Pointer[tls.Config]
}

// OpenCertificate reads the files that t names. With ask, callers are asked for certificates also where t names no
// authority for them: whoever tells callers apart verifies them.
func OpenCertificate(t gateway.TLS, ask bool) (*Certificate, error) {
	c := &Certificate{files: t, ask: ask}
	return c, c.Reload()
}

// Reload reads the files again. When they cannot be used, what was read before stays.
func (c *Certificate) Reload() error {
	pair, err := tls.LoadX509KeyPair(c.files.Certificate, c.files.Key)
	if err != nil {
		return fmt.Errorf("read the certificate: %w", err)
	}
	cfg := &tls.Config{MinVersion: tls.VersionTLS12, Certificates: []tls.Certificate{pair}, NextProtos: []string{"h2", "http/1.1"}}
	if c.ask {
		cfg.ClientAuth = tls.RequestClientCert
	}
	if c.files.ClientCA != "" {
		pem, err := os.ReadFile(c.files.ClientCA)
		if err != nil {
			return fmt.Errorf("read the callers' authorities: %w", err)
		}
		cfg.ClientCAs = x509.NewCertPool()
		if !cfg.ClientCAs.AppendCertsFromPEM(pem) {
			return fmt.Errorf("read the callers' authorities: %s holds no certificate in PEM form", c.files.ClientCA)
		}
		cfg.ClientAuth = tls.VerifyClientCertIfGiven
		if c.files.RequireCert {
			cfg.ClientAuth = tls.RequireAndVerifyClientCert
		}
	}
	c.current.Store(cfg)
	return nil
}

// Files lists the files to watch.
func (c *Certificate) Files() []string {
	out := []string{c.files.Certificate, c.files.Key}
	if c.files.ClientCA != "" {
		out = append(out, c.files.ClientCA)
	}
	return out
}

func (c *Certificate) config(*tls.ClientHelloInfo) (*tls.Config, error) { return c.current.Load(), nil }
