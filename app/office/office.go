// Package office puts the operator's API together: sign-in, what people investigate, decide and answer for, dossiers, and the
// appeal page of account holders, over one catalog, one ledger and one board.
package office

import (
	"crypto/hkdf"
	"crypto/sha256"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/netip"
	"slices"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/mod/sumdb/note"

	"github.com/palladium-guard/palladium/api"
	"github.com/palladium-guard/palladium/api/assets"
	"github.com/palladium-guard/palladium/api/auth"
	"github.com/palladium-guard/palladium/api/decide"
	"github.com/palladium-guard/palladium/api/export"
	"github.com/palladium-guard/palladium/api/investigate"
	"github.com/palladium-guard/palladium/api/process"
	"github.com/palladium-guard/palladium/proof/dossier"
	"github.com/palladium-guard/palladium/store/catalog"
)

// Options are the parts that the office stands on.
type Options struct {
	Catalog *catalog.Store
	Board   api.Board   // carries out decisions
	Ledger  api.Ledger  // takes statements
	Site    assets.Site // health and status
	Signer  note.Signer // signs dossiers: the ledger's key, or one of its own
	Secret  []byte      // 32 random bytes or more, kept outside the catalog: seals one-time codes, makes pseudonyms
	Origin  string      // scheme and host under which people reach the site, such as https://palladium.example.com

	// What follows may be left out.
	SignIn   auth.Config
	Log      *assets.Log            // the ledger's files, to read and prove
	Keys     assets.Keys            // of callers of the gateway
	Usage    investigate.Usage      // from the archive
	Policies map[string]decide.Kind // by kind of policy that is kept in the catalog
	Stated   []assets.Stated        // error rates that the policy promises
	Sharing  process.Sharing        // takes back what was shared
	Review   time.Duration          // of an appeal; 7 days when zero
	Proxies  []netip.Prefix         // whose X-Forwarded-For is believed
	Name     string                 // of the site, on appeal pages and dossiers
	Version  string                 // of the program
	Logger   *slog.Logger
	Now      func() time.Time
	Rate     float64 // requests a second of one user; 50 when zero
}

// Office serves /api/ and /appeal/.
type Office struct {
	Auth *auth.Auth // for Bootstrap
	api  *api.Server
	page *process.Page
}

// New puts the office together. Errors name what is missing.
func New(o Options) (*Office, error) {
	if o.Board == nil || o.Site == nil || o.Signer == nil || len(o.Secret) < 32 {
		return nil, errors.New("the operator's API needs a board, a site, a signer and a secret of 32 bytes")
	}
	seal, err := derive(o.Secret, "one-time codes")
	if err != nil {
		return nil, err
	}
	names, err := derive(o.Secret, "pseudonyms")
	if err != nil {
		return nil, err
	}
	out := &Office{}
	if out.Auth, err = auth.New(auth.Options{Config: o.SignIn, Catalog: o.Catalog, Origin: o.Origin, Key: seal, Proxies: o.Proxies, Log: o.Logger, Now: o.Now}); err != nil {
		return nil, err
	}
	now := o.Now
	if now == nil {
		now = time.Now
	}
	desk := investigate.New(o.Catalog, o.Usage)
	things := assets.New(assets.Options{Catalog: o.Catalog, Keys: o.Keys, Log: o.Log, Site: o.Site, Version: o.Version, Stated: o.Stated})
	files := export.Options{Catalog: o.Catalog, Signer: o.Signer, Names: dossier.Pseudonyms(names), Site: o.Name, Software: "palladium " + o.Version,
		Nearest: desk.Nearest, Rates: things.Rates, Logger: o.Logger}
	if o.Log != nil {
		files.Log, files.Trust = o.Log.Files, o.Log.Trust
	}
	due := process.New(process.Options{Catalog: o.Catalog, Board: o.Board, Ledger: o.Ledger, Sharing: o.Sharing, Review: o.Review, Site: o.Name,
		Origin: o.Origin, Proxies: o.Proxies, Log: o.Logger, Now: o.Now})
	if out.page, err = process.NewPage(due); err != nil {
		return nil, err
	}
	routes := slices.Concat(out.Auth.Routes(), desk.Routes(), decide.New(o.Catalog, o.Board, o.Policies, now().UTC()).Routes(), due.Routes(), things.Routes(), export.New(files).Routes())
	out.api, err = api.New(api.Options{Routes: routes, Auth: out.Auth, Ledger: o.Ledger, Catalog: o.Catalog, Origin: o.Origin, Proxies: o.Proxies,
		Log: o.Logger, Now: o.Now, Rate: o.Rate})
	return out, err
}

// derive makes a key for one purpose from the site's secret (HKDF, RFC 5869).
func derive(secret []byte, purpose string) (key [32]byte, err error) {
	k, err := hkdf.Key(sha256.New, secret, nil, "palladium office: "+purpose, len(key))
	if err != nil {
		return key, fmt.Errorf("derive key for %s: %w", purpose, err)
	}
	copy(key[:], k)
	return key, nil
}

// Register adds the office's paths to a mux.
func (o *Office) Register(mux *http.ServeMux) {
	mux.Handle("/api/", o.api)
	mux.Handle("/appeal/", o.page)
}

// Collectors are the metrics of the API, for one registry.
func (o *Office) Collectors() []prometheus.Collector { return o.api.Collectors() }

// Close ends the live streams; see http.Server.RegisterOnShutdown.
func (o *Office) Close() { o.api.Close() }

// Handler returns the office alone, for tests and sites without a console.
func (o *Office) Handler() http.Handler {
	mux := http.NewServeMux()
	o.Register(mux)
	return mux
}
