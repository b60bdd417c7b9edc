// Package auth says who uses the operator's API: people by an OpenID Connect provider, by local accounts with one-time codes,
// or by passkeys, each with a session; programs by tokens. There is no default password: the first administrator uses a token
// that is printed once.
package auth

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"time"

	"github.com/go-webauthn/webauthn/webauthn"

	"github.com/palladium-guard/palladium/api"
	"github.com/palladium-guard/palladium/store/catalog"
)

// Config is the section `sign_in` of the configuration.
type Config struct {
	WithoutPasswords bool          `yaml:"without_passwords"` // no sign-in with a password; passkeys and OIDC remain
	OIDC             *OIDCConfig   `yaml:"oidc"`
	Session          time.Duration `yaml:"session"` // longest; 12 h when zero
	Idle             time.Duration `yaml:"idle"`    // ends a session that is not used; 1 h when zero
}

// OIDCConfig names an OpenID Connect provider for people.
type OIDCConfig struct {
	Name         string            `yaml:"name"`   // shown on the button
	Issuer       string            `yaml:"issuer"` // https address
	ClientID     string            `yaml:"client_id"`
	SecretFile   string            `yaml:"client_secret_file"` // empty for a public client
	Scopes       []string          `yaml:"scopes"`             // beyond openid, profile and email
	RoleClaim    string            `yaml:"role_claim"`         // a text or list of texts, such as groups
	Roles        map[string]string `yaml:"roles"`              // value of the claim -> role; who has several gets the first in the order of RoleOrder
	ClientSecret string            `yaml:"-"`                  // content of SecretFile, read by who wires the parts
}

// Options are what sign-in stands on. Catalog, Origin and Key must be given.
type Options struct {
	Config
	Catalog *catalog.Store
	Origin  string   // scheme and host under which people reach the site
	Key     [32]byte // seals the secrets of one-time codes; keep it outside the catalog
	Proxies []netip.Prefix
	Log     *slog.Logger
	Now     func() time.Time
	HTTP    *http.Client // reaches the OIDC provider; one with a timeout of 10 s when nil
}

// Auth implements api.Authenticator and the operations of sign-in, users and tokens.
type Auth struct {
	o        Options
	secure   bool
	passkeys *webauthn.WebAuthn // nil where the site has no name
	oidc     *provider          // nil when there is none
	hashing  chan struct{}
	decoy    string // hash of no password: an unknown user costs as long as a known one

	perIP, perName, perPair *api.Limiter
}

// New makes the sign-in of a site. The OIDC provider is not asked for anything before somebody signs in through it.
func New(o Options) (*Auth, error) {
	if o.Catalog == nil || o.Key == [32]byte{} {
		return nil, errors.New("sign-in needs a catalog and a key")
	}
	u, err := url.Parse(o.Origin)
	if err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http" {
		return nil, fmt.Errorf("origin %q is not a scheme and a host: write it as https://palladium.example.com", o.Origin)
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.HTTP == nil {
		o.HTTP = &http.Client{Timeout: 10 * time.Second}
	}
	if o.Session == 0 {
		o.Session = 12 * time.Hour
	}
	if o.Idle == 0 {
		o.Idle = time.Hour
	}
	a := &Auth{o: o, secure: u.Scheme == "https", hashing: make(chan struct{}, 2),
		perIP: api.NewLimiter(0.5, 20), perName: api.NewLimiter(0.1, 20), perPair: api.NewLimiter(1.0/15, 5)}
	if _, err := netip.ParseAddr(u.Hostname()); err != nil { // a passkey belongs to a name, never to an address
		a.passkeys, err = webauthn.New(&webauthn.Config{RPID: u.Hostname(), RPDisplayName: "Palladium", RPOrigins: []string{u.Scheme + "://" + u.Host}})
		if err != nil {
			return nil, fmt.Errorf("set up passkeys for %s: %w", o.Origin, err)
		}
	}
	if o.OIDC != nil {
		if a.oidc, err = newProvider(o, u); err != nil {
			return nil, err
		}
	}
	a.decoy, err = a.hash(context.Background(), rand.Text())
	return a, err
}

// Routes returns the operations of sign-in, users and tokens.
func (a *Auth) Routes() []api.Route {
	return []api.Route{
		{Op: "getSession", Handle: a.getSession}, {Op: "signIn", Handle: a.signIn}, {Op: "signOut", Handle: a.signOut},
		{Op: "setUp", Handle: a.setUp}, {Op: "startOIDC", Handle: a.startOIDC}, {Op: "finishOIDC", Handle: a.finishOIDC},
		{Op: "beginPasskey", Handle: a.beginPasskey}, {Op: "finishPasskey", Handle: a.finishPasskey},
		{Op: "getMe", Handle: a.getMe}, {Op: "changePassword", Handle: a.changePassword},
		{Op: "beginTOTP", Handle: a.beginTOTP}, {Op: "confirmTOTP", Handle: a.confirmTOTP}, {Op: "removeTOTP", Handle: a.removeTOTP},
		{Op: "listPasskeys", Handle: a.listPasskeys}, {Op: "beginPasskeyRegistration", Handle: a.beginRegistration},
		{Op: "finishPasskeyRegistration", Handle: a.finishRegistration}, {Op: "removePasskey", Handle: a.removePasskey},
		{Op: "listUsers", Handle: a.listUsers}, {Op: "listPeople", Handle: a.listPeople}, {Op: "createUser", Handle: a.createUser},
		{Op: "changeUser", Handle: a.changeUser}, {Op: "inviteUser", Handle: a.inviteUser},
		{Op: "listTokens", Handle: a.listTokens}, {Op: "createToken", Handle: a.createToken}, {Op: "revokeToken", Handle: a.revokeToken},
	}
}

// Bootstrap returns a token that makes the first administrator, good for one use and 24 hours, when there is no user yet; ""
// when there is one. Whoever calls it prints it once; a token given before is no longer good.
func (a *Auth) Bootstrap(ctx context.Context) (token string, err error) {
	n, err := a.o.Catalog.CountUsers(ctx, "")
	if err != nil || n > 0 {
		return "", err
	}
	if err := a.o.Catalog.DropTickets(ctx, ticketBootstrap, ""); err != nil {
		return "", err
	}
	token = secret("plb_")
	return token, a.o.Catalog.PutTicket(ctx, catalog.Ticket{ID: digest(token), Kind: ticketBootstrap, Expires: a.o.Now().Add(24 * time.Hour)})
}

// The kinds of tickets.
const (
	ticketBootstrap  = "bootstrap"
	ticketInvitation = "invitation"
	ticketTOTP       = "totp"
	ticketRegister   = "passkey.register"
	ticketPasskey    = "passkey.sign_in"
	ticketOIDC       = "oidc"
)

// secret makes a random text of 256 bits.
func secret(prefix string) string {
	var b [32]byte
	_, _ = rand.Read(b[:]) // never fails
	return prefix + base64.RawURLEncoding.EncodeToString(b[:])
}

// digest is what is stored of a secret of 256 random bits; no salt or cost is needed for those.
func digest(s string) string {
	sum := sha256.Sum256([]byte(s))
	return hex.EncodeToString(sum[:])
}

// newID makes an id.
func newID(prefix string) string { return prefix + strings.ToLower(rand.Text()[:20]) }

func failed() *api.Problem {
	return &api.Problem{Status: http.StatusUnauthorized, Code: "sign_in_failed", Detail: "user, password or code is wrong, or this user may not sign in this way"}
}
