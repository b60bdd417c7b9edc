package tlsfile

import (
	"crypto/tls"
	"crypto/x509"
)

// Client names the files by which the other side of a connection is known, and by which this side proves itself. It is a part
// of configuration sections. Zero trusts the system's authorities and proves nothing.
type Client struct {
	CA          string `yaml:"ca"`          // PEM file of authorities in place of the system's; empty: the system's
	Certificate string `yaml:"certificate"` // PEM file of this side, leaf first; empty: none is shown
	Key         string `yaml:"key"`         // PEM file of its private key
}

// Check says what is wrong with c; nil when nothing is.
func (c Client) Check() error { return CheckPair(c.Certificate, c.Key) }

// Config reads the files. The certificate and its key are read again for each connection, so that a renewed pair is used
// without a restart; while it cannot be read, the one before is shown. Authorities stay as they were.
func (c Client) Config() (*tls.Config, error) {
	roots, err := Authorities(c.CA)
	if err != nil {
		return nil, err
	}
	cfg := Trusting(roots)
	if c.Certificate != "" {
		k, err := Open(Server{Certificate: c.Certificate, Key: c.Key})
		if err != nil {
			return nil, err
		}
		cfg.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
			_ = k.Reload() // the pair before is better than none
			return &k.current.Load().Certificates[0], nil
		}
	}
	return cfg, nil
}

// Mutual reads the files for a listener whose clients are its like: each side shows its certificate, and each checks the
// other's by the authorities, which must be named. The files are read once.
func (c Client) Mutual() (*tls.Config, error) {
	k, err := Open(Server{Certificate: c.Certificate, Key: c.Key, ClientCA: c.CA, Protocols: []string{}})
	if err != nil {
		return nil, err
	}
	cfg := k.current.Load()
	cfg.RootCAs = cfg.ClientCAs
	return cfg, nil
}

// Trusting is the side of a client that trusts roots; nil stands for the system's.
func Trusting(roots *x509.CertPool) *tls.Config {
	return &tls.Config{MinVersion: least, RootCAs: roots}
}
