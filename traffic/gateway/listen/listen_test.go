package listen

import (
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/palladium-guard/palladium/internal/tlsfile"
	"github.com/palladium-guard/palladium/traffic/gateway"
)

// The server holds to the limits and speaks the protocols that the configuration names.
func TestServer(t *testing.T) {
	c := gateway.Config{}
	c.Fill()
	s := Server(&c, http.NotFoundHandler(), nil)
	if s.ReadHeaderTimeout != c.Limits.HeaderTime || s.MaxHeaderBytes != int(c.Limits.Header) || s.IdleTimeout != c.Limits.KeepOpen ||
		s.HTTP2.MaxConcurrentStreams != c.Limits.Streams || s.ErrorLog == nil || s.TLSConfig != nil {
		t.Errorf("%+v", s)
	}
	if !s.Protocols.HTTP1() || s.Protocols.HTTP2() || s.Protocols.UnencryptedHTTP2() {
		t.Errorf("without TLS it speaks %v", s.Protocols)
	}
	c.TLS.Cleartext2 = true
	if s := Server(&c, nil, nil); !s.Protocols.UnencryptedHTTP2() {
		t.Error("h2c is not spoken")
	}
	if s := Server(&c, nil, &tlsfile.Keeper{}); !s.Protocols.HTTP2() || s.TLSConfig == nil {
		t.Error("HTTP/2 is not spoken over TLS")
	}
}

// Files that are no certificate are refused, and what was read before stays.
func TestCertificateRefused(t *testing.T) {
	file := filepath.Join(t.TempDir(), "x.pem")
	if err := os.WriteFile(file, []byte("planted"), 0o600); err != nil {
		t.Fatal(err)
	}
	c, err := OpenCertificate(gateway.TLS{Certificate: file, Key: file, ClientCA: "ca"}, false)
	if err == nil || strings.Contains(err.Error(), "planted") {
		t.Errorf("error %v", err)
	}
	if len(c.Files()) != 3 {
		t.Errorf("files %v", c.Files())
	}
	if got, err := c.Config().GetConfigForClient(nil); got != nil || err != nil {
		t.Error("something was read")
	}
}
