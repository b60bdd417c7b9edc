package serve

import (
	"bytes"
	"cmp"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"runtime/debug"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"
	"golang.org/x/mod/sumdb/note"

	"github.com/palladium-guard/palladium"
	"github.com/palladium-guard/palladium/api/assets"
	"github.com/palladium-guard/palladium/api/decide"
	"github.com/palladium-guard/palladium/app"
	"github.com/palladium-guard/palladium/app/keydesk"
	"github.com/palladium-guard/palladium/app/live"
	"github.com/palladium-guard/palladium/app/office"
	"github.com/palladium-guard/palladium/config"
	"github.com/palladium-guard/palladium/internal/tlsfile"
	"github.com/palladium-guard/palladium/proof/ledger"
	"github.com/palladium-guard/palladium/rules"
	"github.com/palladium-guard/palladium/store/catalog"
	"github.com/palladium-guard/palladium/traffic/gateway/credential"
	"github.com/palladium-guard/palladium/traffic/judge"
	"github.com/palladium-guard/palladium/traffic/sanction"
)

// defaultAPI is where the operator's API listens when nothing is said.
const defaultAPI = "127.0.0.1:8090"

// startAPI starts the operator's API.
func (h *house) startAPI(ctx context.Context) error {
	c := &h.file.API
	if !h.runs(RoleAPI) || c.Off {
		return nil
	}
	l, err := h.listenAPI(ctx, c)
	if err != nil {
		return err
	}
	origin := c.Origin
	if origin == "" {
		scheme := "http"
		if c.Certificate != "" {
			scheme = "https"
		}
		host, port, err := net.SplitHostPort(l.Addr().String())
		if err != nil {
			return errors.Join(err, l.Close())
		}
		if ip := net.ParseIP(host); ip != nil && ip.IsLoopback() {
			host = "localhost" // passkeys need a name
		}
		origin = scheme + "://" + net.JoinHostPort(host, port)
	}
	o, err := h.office(origin)
	if err != nil {
		return errors.Join(err, l.Close())
	}
	token, err := o.Auth.Bootstrap(ctx)
	if err != nil {
		return errors.Join(fmt.Errorf("look for a first administrator: %w", err), l.Close())
	}
	if token != "" && h.o.Welcome != nil {
		h.o.Welcome(origin, token)
	}
	h.figures = o.Collectors()
	mux := http.NewServeMux()
	o.Register(mux)
	if err := h.addConsole(mux); err != nil {
		return errors.Join(err, l.Close())
	}
	srv := &http.Server{
		Handler: mux, ReadHeaderTimeout: 10 * time.Second, IdleTimeout: 2 * time.Minute, MaxHeaderBytes: 32 << 10, ErrorLog: log.New(io.Discard, "", 0),
	}
	srv.RegisterOnShutdown(o.Close)
	h.mu.Lock()
	h.ready.API = origin
	h.mu.Unlock()
	h.log.Info("serving the operator's API", "at", origin)
	h.serveHTTP(ctx, srv, l)
	return nil
}

// listenAPI listens, with TLS where there is a certificate.
func (h *house) listenAPI(ctx context.Context, c *config.API) (net.Listener, error) {
	var k *tlsfile.Keeper
	if c.Certificate != "" {
		var err error
		if k, err = tlsfile.Open(tlsfile.Server{Certificate: c.Certificate, Key: c.Key}); err != nil {
			return nil, fmt.Errorf("api: %w", err)
		}
	}
	l, err := net.Listen("tcp", cmp.Or(h.o.API, c.Listen, defaultAPI))
	if err != nil {
		return nil, fmt.Errorf("listen for the operator's API: %w", err)
	}
	if k == nil {
		return l, nil
	}
	h.follow(ctx, "api", k)
	return tls.NewListener(l, k.Config()), nil
}

// office puts the API together.
func (h *house) office(origin string) (*office.Office, error) {
	c := &h.file.API
	secret, err := secretFile(filepath.Join(h.o.State, "office.key"))
	if err != nil {
		return nil, err
	}
	signIn := h.file.SignIn
	if signIn.OIDC != nil && signIn.OIDC.SecretFile != "" {
		b, err := os.ReadFile(signIn.OIDC.SecretFile)
		if err != nil {
			return nil, fmt.Errorf("read sign_in.oidc.client_secret_file: %w", err)
		}
		signIn.OIDC.ClientSecret = string(bytes.TrimSpace(b))
	}
	var proxies []netip.Prefix
	for _, s := range c.Proxies {
		p, err := netip.ParsePrefix(s)
		if err != nil {
			return nil, fmt.Errorf("api.proxies: %q is no network such as 10.0.0.0/8", s)
		}
		proxies = append(proxies, p)
	}
	kinds, err := h.policies()
	if err != nil {
		return nil, err
	}
	opt := office.Options{
		Catalog: h.cat, Board: h.board, Ledger: live.Ledger(live.NoLedger{}), Site: h, Secret: secret, Origin: origin, SignIn: signIn, Policies: kinds, Review: c.Review,
		Proxies: proxies, Name: cmp.Or(c.Name, "Palladium"), Version: version(), Logger: h.log,
	}
	key := h.file.Ledger.Key
	if h.ledger != nil {
		opt.Ledger = h.ledger
		public, err := os.ReadFile(h.file.Ledger.Public)
		if err != nil {
			return nil, fmt.Errorf("read the ledger's public key: %w", err)
		}
		text := strings.TrimSpace(string(public))
		trust, err := ledger.ParseTrust(text, nil)
		if err != nil {
			return nil, fmt.Errorf("read the ledger's public key: %w", err)
		}
		opt.Log = &assets.Log{Files: os.DirFS(h.file.Ledger.Dir), Public: text, Trust: trust}
	} else {
		key = filepath.Join(h.o.State, "dossier.key")
		if err := signingKey(key); err != nil {
			return nil, err
		}
	}
	private, err := os.ReadFile(key)
	if err != nil {
		return nil, fmt.Errorf("read the key that signs dossiers: %w", err)
	}
	if opt.Signer, err = note.NewSigner(strings.TrimSpace(string(private))); err != nil {
		return nil, fmt.Errorf("read the key that signs dossiers: %s is damaged: restore it from a copy", key)
	}
	if path := cmp.Or(h.o.Keys, h.file.Credentials.Keys); path != "" {
		keys, err := credential.OpenKeys(path)
		if err != nil {
			return nil, err
		}
		opt.Keys = keydesk.Desk{Keys: keys}
	}
	return office.New(opt)
}

// signingKey makes a key pair in the form of signed notes where there is none.
func signingKey(path string) error {
	if _, err := os.Stat(path); !errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	private, public, err := ledger.GenerateKey(rand.Reader, "palladium.local/dossiers")
	if err != nil {
		return err
	}
	write := func(path, text string) error {
		return app.WriteFile(path, func(w io.Writer) error { _, err := io.WriteString(w, text+"\n"); return err })
	}
	if err := errors.Join(write(path, private), write(strings.TrimSuffix(path, ".key")+".pub", public)); err != nil {
		return fmt.Errorf("make the key that signs dossiers: %w", err)
	}
	return nil
}

// secretFile reads 32 random bytes, and makes them where there are none.
func secretFile(path string) ([]byte, error) {
	key, err := measuringKey(path)
	if err != nil {
		return nil, fmt.Errorf("the secret of the operator's API: %w", err)
	}
	return key[:], nil
}

// policies are the kinds of policy that people may change, with the texts that hold until they do.
func (h *house) policies() (map[string]decide.Kind, error) {
	judged := rules.Policy()
	if h.file.Detector.Policy != "" {
		var err error
		if judged, err = os.ReadFile(h.file.Detector.Policy); err != nil {
			return nil, fmt.Errorf("read the judge's policy: %w", err)
		}
	}
	named := func(text []byte) string {
		sum := sha256.Sum256(text)
		return hex.EncodeToString(sum[:6])
	}
	return map[string]decide.Kind{
		catalog.PolicyJudge: {Standing: func() string { return string(judged) }, Check: func(text []byte) (string, error) {
			p, err := judge.Load(text)
			if err != nil {
				return "", err
			}
			return p.Revision(), nil
		}},
		catalog.PolicyEnforcement: {Standing: h.enforcement, Check: func(text []byte) (string, error) {
			c, err := config.ParseEnforcement(text)
			if err == nil {
				_, err = sanction.New(c)
			}
			return named(text), err
		}},
	}, nil
}

// enforcement is the text of the enforcement policy that the configuration says, as it was read last.
func (h *house) enforcement() string {
	text, err := yaml.Marshal(h.configured.Load().Filled())
	if err != nil {
		h.log.Error("the enforcement policy of the configuration cannot be shown", "error", err)
	}
	return string(text)
}

func version() string {
	if b, ok := debug.ReadBuildInfo(); ok {
		return b.Main.Version
	}
	return "unknown"
}

// Health tells the API what works.
func (h *house) Health(context.Context) []assets.Part {
	var out []assets.Part
	for _, p := range h.parts() {
		out = append(out, assets.Part{Name: p.Name, OK: p.OK, Says: p.Says})
	}
	return out
}

// Status tells the API what only the running system knows.
func (h *house) Status(ctx context.Context) assets.Status {
	policy, _ := h.board.Policy()
	s := assets.Status{Since: h.since, Mode: string(policy.Mode())}
	for _, m := range palladium.Measures() {
		if policy.Enforced(m) {
			s.Enforce = append(s.Enforce, m)
		}
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, name := range []string{"gateway", "files"} {
		if p := h.publishers[name]; p != nil {
			taken, dropped := p.Counts()
			s.Drops = append(s.Drops, assets.Drop{Where: name, Taken: taken, Dropped: dropped})
		}
	}
	return s
}

// adminToken reads the token that the operator sends; "" where none is configured, so that only health is served.
func adminToken(path string) (string, error) {
	if path == "" {
		return "", nil
	}
	b, err := os.ReadFile(path)
	if err != nil {
		return "", fmt.Errorf("read the admin token: %w", err)
	}
	token := bytes.TrimSpace(b)
	if len(token) < 16 {
		return "", fmt.Errorf("read the admin token: %s holds fewer than 16 characters: put a random token there, such as `openssl rand -hex 32` gives", path)
	}
	return string(token), nil
}
