// Package listen is how callers reach a gateway: the HTTP server with its limits, and the certificate that it proves itself
// with.
package listen

import (
	"crypto/tls"
	"io"
	"log"
	"net/http"
	"time"

	"github.com/palladium-guard/palladium/internal/tlsfile"
	"github.com/palladium-guard/palladium/traffic/gateway"
)

// Server is the HTTP server for callers, within the limits of cfg: HTTP/1.1, HTTP/2 over TLS, and HTTP/2 without TLS
// where cfg says so. certificate may be nil; then there is no TLS.
func Server(cfg *gateway.Config, h http.Handler, certificate *tlsfile.Keeper) *http.Server {
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
		s.TLSConfig = certificate.Config()
	}
	return s
}

// OpenCertificate reads the files that t names, for a listener that proves itself with them. With ask, callers are asked for
// certificates also where t names no authority for them: whoever tells callers apart verifies them.
func OpenCertificate(t gateway.TLS, ask bool) (*tlsfile.Keeper, error) {
	s := tlsfile.Server{Certificate: t.Certificate, Key: t.Key, ClientCA: t.ClientCA}
	switch {
	case t.ClientCA != "" && !t.RequireCert:
		s.Clients = tls.VerifyClientCertIfGiven
	case t.ClientCA == "" && ask:
		s.Clients = tls.RequestClientCert
	}
	return tlsfile.Open(s)
}
