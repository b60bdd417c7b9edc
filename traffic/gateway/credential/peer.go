package credential

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	lru "github.com/hashicorp/golang-lru/v2"
	"github.com/spiffe/go-spiffe/v2/bundle/spiffebundle"
	"github.com/spiffe/go-spiffe/v2/bundle/x509bundle"
	"github.com/spiffe/go-spiffe/v2/spiffeid"
	"github.com/spiffe/go-spiffe/v2/svid/x509svid"
	"github.com/spiffe/go-spiffe/v2/workloadapi"

	"github.com/palladium-guard/palladium/internal/tlsfile"
	"github.com/palladium-guard/palladium/store/watch"
	"github.com/palladium-guard/palladium/traffic/gateway"
)

// peers verifies client certificates. A certificate is verified once for each set of authorities: what it proved is
// remembered until it or they expire or change.
type peers struct {
	authorities []*authority
	domains     []*domain
	memory      *lru.Cache[[sha256.Size]byte, proof]
	generation  atomic.Uint64 // counts changes of authorities and bundles
}

// proof is what a certificate chain proved.
type proof struct {
	identity
	generation uint64
	until      time.Time
}

// authority is one file of certificate authorities.
type authority struct {
	config CertificateConfig
	pool   atomic.Pointer[x509.CertPool]
	fail   atomic.Pointer[error]
}

// domain is one SPIFFE trust domain.
type domain struct {
	config SPIFFEConfig
	id     spiffeid.TrustDomain
	source atomic.Pointer[x509bundle.Source]
	fail   atomic.Pointer[error]
}

// proofLife bounds how long a verified certificate is believed without another look.
const proofLife = 10 * time.Minute

// proofs is how many certificates are remembered.
const proofs = 8192

func newPeers(ctx context.Context, c *Config) (*peers, error) {
	if len(c.Certificates)+len(c.SPIFFE) == 0 {
		return nil, nil
	}
	memory, err := lru.New[[sha256.Size]byte, proof](proofs)
	if err != nil {
		return nil, err
	}
	p := &peers{memory: memory}
	for _, cc := range c.Certificates {
		a := &authority{config: cc}
		if err := a.load(); err != nil {
			return nil, fmt.Errorf("credentials: certificates: %w", err)
		}
		watch.File(ctx, cc.CA, 0, func() {
			err := a.load()
			keep(&a.fail, err)
			p.generation.Add(1)
		})
		p.authorities = append(p.authorities, a)
	}
	for _, sc := range c.SPIFFE {
		d := &domain{config: sc}
		if d.id, err = spiffeid.TrustDomainFromString(sc.TrustDomain); err != nil {
			return nil, fmt.Errorf("credentials: spiffe: trust_domain: %w", err)
		}
		if sc.WorkloadAPI != "" {
			keep(&d.fail, errors.New("workload API has not answered yet"))
			go p.follow(ctx, d)
		} else {
			if err := d.load(); err != nil {
				return nil, fmt.Errorf("credentials: spiffe: %w", err)
			}
			watch.File(ctx, sc.Bundle, 0, func() {
				err := d.load()
				keep(&d.fail, err)
				p.generation.Add(1)
			})
		}
		p.domains = append(p.domains, d)
	}
	return p, nil
}

// keep remembers the outcome of an attempt.
func keep(at *atomic.Pointer[error], err error) {
	if err == nil {
		at.Store(nil)
	} else {
		at.Store(&err)
	}
}

func (a *authority) load() error {
	pool, err := tlsfile.Authorities(a.config.CA)
	if err != nil {
		return err
	}
	a.pool.Store(pool)
	return nil
}

func (d *domain) load() error {
	b, err := spiffebundle.Load(d.id, d.config.Bundle)
	if err != nil {
		return err
	}
	if len(b.X509Authorities()) == 0 {
		return fmt.Errorf("%s holds no X.509 authority of %s", d.config.Bundle, d.id)
	}
	var s x509bundle.Source = b
	d.source.Store(&s)
	return nil
}

// follow keeps the bundle of d up to date from the Workload API.
func (p *peers) follow(ctx context.Context, d *domain) {
	for ctx.Err() == nil {
		s, err := workloadapi.NewBundleSource(ctx, workloadapi.WithClientOptions(workloadapi.WithAddr(d.config.WorkloadAPI)))
		if err != nil {
			keep(&d.fail, err)
			select {
			case <-ctx.Done():
			case <-time.After(time.Second):
			}
			continue
		}
		var source x509bundle.Source = s
		d.source.Store(&source)
		keep(&d.fail, nil)
		for done := false; !done; {
			p.generation.Add(1)
			select {
			case <-ctx.Done():
				done = true
			case <-s.Updated():
			}
		}
		_ = s.Close()
	}
}

func (p *peers) status(out map[string]error) {
	for _, a := range p.authorities {
		if e := a.fail.Load(); e != nil {
			out["certificates "+a.config.CA] = *e
		}
	}
	for _, d := range p.domains {
		if e := d.fail.Load(); e != nil {
			out["spiffe "+d.config.TrustDomain] = *e
		}
	}
}

// identify says what the caller's certificate proves; nothing when there is none. A certificate that no authority vouches
// for is refused.
func (p *peers) identify(state *tls.ConnectionState, now time.Time) (identity, error) {
	if state == nil || len(state.PeerCertificates) == 0 {
		return identity{}, nil
	}
	generation := p.generation.Load()
	h := sha256.New()
	for _, c := range state.PeerCertificates {
		h.Write(c.Raw)
	}
	key := [sha256.Size]byte(h.Sum(nil))
	if known, ok := p.memory.Get(key); ok && known.generation == generation && now.Before(known.until) {
		return known.identity, nil
	}
	id, err := p.verify(state.PeerCertificates, now)
	if err != nil {
		return identity{}, err
	}
	until := now.Add(proofLife)
	for _, c := range state.PeerCertificates {
		if c.NotAfter.Before(until) {
			until = c.NotAfter
		}
	}
	p.memory.Add(key, proof{identity: id, generation: generation, until: until})
	return id, nil
}

func (p *peers) verify(chain []*x509.Certificate, now time.Time) (identity, error) {
	leaf := chain[0]
	if now.After(leaf.NotAfter) {
		return identity{}, fmt.Errorf("%w: client certificate", gateway.ErrExpired)
	}
	if id, err := x509svid.IDFromCert(leaf); err == nil {
		for _, d := range p.domains {
			if d.id == id.TrustDomain() {
				return d.verify(chain, now)
			}
		}
	}
	between := x509.NewCertPool()
	for _, c := range chain[1:] {
		between.AddCert(c)
	}
	for _, a := range p.authorities {
		_, err := leaf.Verify(x509.VerifyOptions{
			Roots: a.pool.Load(), Intermediates: between, CurrentTime: now, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
		})
		if err == nil {
			return named(leaf, "", a.config.Callers, "mtls"), nil
		}
	}
	return identity{}, fmt.Errorf("%w: no authority that is trusted here vouches for the client certificate", gateway.ErrCredential)
}

func (d *domain) verify(chain []*x509.Certificate, now time.Time) (identity, error) {
	source := d.source.Load()
	if source == nil {
		return identity{}, fmt.Errorf("%w: the bundle of its trust domain has not arrived yet", gateway.ErrIdentity)
	}
	id, _, err := x509svid.Verify(chain, *source, x509svid.WithTime(now))
	if err != nil {
		return identity{}, fmt.Errorf("%w: the trust domain's bundle does not vouch for the client certificate", gateway.ErrCredential)
	}
	return named(chain[0], id.String(), d.config.Callers, "spiffe"), nil
}

// named finds the first caller that a verified certificate stands for.
func named(leaf *x509.Certificate, spiffe string, callers []PeerConfig, kind string) identity {
	out := identity{leaf: leaf, spiffe: spiffe}
	for i := range callers {
		name, ok := callers[i].Peer.named(leaf, spiffe)
		if !ok {
			continue
		}
		g := callers[i].Grant
		if g.Account == "" {
			g.Account = name
		}
		c := g.caller(kind, kind+":"+name)
		c.Expires = leaf.NotAfter
		out.caller = &c
		break
	}
	return out
}
