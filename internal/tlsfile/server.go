package tlsfile

import (
	"crypto/tls"
	"fmt"
	"sync/atomic"
)

// Server names the files by which a listener proves itself and knows its clients.
type Server struct {
	Certificate string // leaf first
	Key         string
	ClientCA    string // authorities of clients; empty: none are known

	// Clients says what becomes of those without a certificate of ClientCA: they are let in where it is
	// VerifyClientCertIfGiven, and have theirs looked at by the caller where it is RequestClientCert. Zero stands for
	// RequireAndVerifyClientCert with a ClientCA, and NoClientCert without one.
	Clients   tls.ClientAuthType
	Protocols []string // offered by ALPN; nil: HTTP/2 and HTTP/1.1
}

// Keeper holds what the files of a listener said when they were read last. It is safe for concurrent use.
type Keeper struct {
	files   Server
	current atomic.Pointer[tls.Config]
}

// Open reads the files that s names. The Keeper is there also when they cannot be read, so that it can name them.
func Open(s Server) (*Keeper, error) {
	if s.Protocols == nil {
		s.Protocols = []string{"h2", "http/1.1"}
	}
	k := &Keeper{files: s}
	return k, k.Reload()
}

// Reload reads the files again. When one cannot be used, what was read before stays whole.
func (k *Keeper) Reload() error {
	pair, err := Pair(k.files.Certificate, k.files.Key)
	if err != nil {
		return err
	}
	cfg := &tls.Config{MinVersion: least, Certificates: []tls.Certificate{pair}, NextProtos: k.files.Protocols, ClientAuth: k.files.Clients}
	if k.files.ClientCA != "" {
		if cfg.ClientCAs, err = Authorities(k.files.ClientCA); err != nil {
			return fmt.Errorf("clients: %w", err)
		}
		if k.files.Clients == tls.NoClientCert {
			cfg.ClientAuth = tls.RequireAndVerifyClientCert
		}
	}
	k.current.Store(cfg)
	return nil
}

// Config is a listener's configuration, which follows Reload.
func (k *Keeper) Config() *tls.Config {
	return &tls.Config{
		MinVersion: least, NextProtos: k.files.Protocols,
		GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) { return k.current.Load(), nil },
	}
}

// Files lists the files to watch.
func (k *Keeper) Files() (out []string) {
	for _, f := range []string{k.files.Certificate, k.files.Key, k.files.ClientCA} {
		if f != "" {
			out = append(out, f)
		}
	}
	return out
}
