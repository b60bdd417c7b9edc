// Package assets answers what people ask of the things that a site has: keys of callers, models, the ledger, and how the site
// itself is doing.
package assets

import (
	"context"
	"io/fs"
	"time"

	"github.com/palladium-guard/palladium"
	"github.com/palladium-guard/palladium/api"
	"github.com/palladium-guard/palladium/internal/stats"
	"github.com/palladium-guard/palladium/proof/dossier"
	"github.com/palladium-guard/palladium/proof/ledger"
	"github.com/palladium-guard/palladium/store/catalog"
)

// Keys are the keys of callers of the gateway, wherever they are kept.
type Keys interface {
	List(ctx context.Context, q catalog.CredentialQuery) ([]catalog.Credential, string, error)
	// Create makes a key with the grant of c. The secret cannot be had again.
	Create(ctx context.Context, now time.Time, c catalog.Credential) (made catalog.Credential, secret string, err error)
	Revoke(ctx context.Context, now time.Time, id, reason string) (catalog.Credential, error)
	// Rotate gives a key a new secret; the one before holds for overlap more.
	Rotate(ctx context.Context, now time.Time, id string, overlap time.Duration) (changed catalog.Credential, secret string, err error)
}

// Log is the ledger as its readers see it.
type Log struct {
	Files  fs.FS // its folder
	Public string
	Trust  ledger.Trust
}

// Site says how the site is doing.
type Site interface {
	Health(ctx context.Context) []Part
	Status(ctx context.Context) Status
}

// Part is one part of the site.
type Part struct {
	Name string `json:"name"`
	OK   bool   `json:"ok"`
	Says string `json:"says"`
}

// Status is what only the running site knows. What the catalog counts is added to it.
type Status struct {
	Since   time.Time
	Drops   []Drop
	Lag     time.Duration // between the newest exchange and what the detector has taken in
	Mode    string        // shadow or enforce
	Enforce []palladium.Measure
}

// Drop counts what one place took, and what it had to let go.
type Drop struct {
	Where   string `json:"where"`
	Taken   uint64 `json:"taken"`
	Dropped uint64 `json:"dropped"`
}

// Stated is an error rate that the policy promises: of the campaigns whose highest stage was Peak, the share that is benign.
type Stated struct {
	Name, Says string
	Peak       palladium.Stage
	Rate       float64
}

// Options are what the answers come from. Catalog and Site must be given; without Keys or Log their operations say that
// there are none here.
type Options struct {
	Catalog *catalog.Store
	Keys    Keys
	Log     *Log
	Site    Site
	Version string
	Stated  []Stated
}

// Desk answers. Its Routes are those of credentials, artifacts, the ledger, health and system.
type Desk struct{ o Options }

// New makes a desk.
func New(o Options) *Desk { return &Desk{o} }

// Routes returns the operations.
func (d *Desk) Routes() []api.Route {
	return []api.Route{
		{Op: "listCredentials", Handle: d.listCredentials}, {Op: "createCredential", Handle: d.createCredential},
		{Op: "revokeCredential", Handle: d.revokeCredential}, {Op: "rotateCredential", Handle: d.rotateCredential},
		{Op: "listArtifacts", Handle: d.listArtifacts}, {Op: "getArtifact", Handle: d.getArtifact}, {Op: "getArtifactLineage", Handle: d.getLineage},
		{Op: "listLedgerEntries", Handle: d.listEntries}, {Op: "getLedgerEntry", Handle: d.getEntry}, {Op: "getLedgerProof", Handle: d.getProof},
		{Op: "getLedgerCheckpoint", Handle: d.getCheckpoint}, {Op: "getLedgerKey", Handle: d.getKey}, {Op: "getLedgerTile", Handle: d.getTile},
		{Op: "getHealth", Handle: d.getHealth}, {Op: "getSystem", Handle: d.getSystem},
	}
}

func pageOf(q *api.Request) catalog.Page {
	return catalog.Page{Cursor: q.Param("cursor"), Limit: q.Limit()}
}

func (d *Desk) getHealth(q *api.Request) (*api.Answer, error) {
	parts, ok := d.o.Site.Health(q.Context()), true
	for _, p := range parts {
		ok = ok && p.OK
	}
	return api.OK(struct {
		OK      bool   `json:"ok"`
		Version string `json:"version"`
		Parts   []Part `json:"parts"`
	}{ok, d.o.Version, parts})
}

// Rates puts the stated error rates beside what people found: of the campaigns that they resolved, by the highest stage that
// each had, the share that is benign or a false positive, with its exact 95 % interval (Clopper and Pearson 1934).
func (d *Desk) Rates(outcomes []catalog.Outcome) (out []dossier.Rate) {
	for _, s := range d.o.Stated {
		var n, wrong int64
		for _, o := range outcomes {
			if o.Peak != s.Peak {
				continue
			}
			switch o.Resolution {
			case catalog.ResolvedBenign, catalog.ResolvedFalsePositive:
				wrong += o.Campaigns
				n += o.Campaigns
			case catalog.ResolvedTruePositive, catalog.ResolvedAccepted:
				n += o.Campaigns
			}
		}
		r := dossier.Rate{Name: s.Name, Says: s.Says, Stated: s.Rate, High: 1, N: n}
		if n > 0 {
			share := float64(wrong) / float64(n)
			r.Observed = &share
			r.Low, r.High = stats.ClopperPearson(int(wrong), int(n), 0.95)
		}
		out = append(out, r)
	}
	return out
}

// system is the state of the site in figures.
type system struct {
	At          time.Time      `json:"at"`
	Since       time.Time      `json:"since"`
	Drops       []Drop         `json:"drops"`
	Detector    detector       `json:"detector"`
	Calibration []dossier.Rate `json:"calibration"`
	Enforcement enforcement    `json:"enforcement"`
	Process     process        `json:"process"`
}

type detector struct {
	From      *time.Time `json:"from"`
	To        *time.Time `json:"to"`
	Lag       float64    `json:"lag_seconds"`
	Exchanges int64      `json:"exchanges"`
	Accounts  int64      `json:"accounts"`
	Rejected  int64      `json:"rejected"`
	Campaigns int64      `json:"campaigns"`
	Linked    int64      `json:"linked"`
}

type enforcement struct {
	Mode     string              `json:"mode"`
	Enforce  []palladium.Measure `json:"enforce"`
	States   []state             `json:"states"`
	Measures []catalog.InForce   `json:"measures"`
}

type state struct {
	State    string `json:"state"`
	Verdicts int64  `json:"verdicts"`
}

type process struct {
	Open       int64    `json:"open"`
	Overdue    int64    `json:"overdue"`
	Decided    int64    `json:"decided"`
	Overturned int64    `json:"overturned"`
	Median     *float64 `json:"median_hours"`
	Unreviewed int64    `json:"expired_unreviewed"`
}

func (d *Desk) getSystem(q *api.Request) (*api.Answer, error) {
	f, err := d.o.Catalog.Figures(q.Context(), q.Now)
	if err != nil {
		return nil, err
	}
	s := d.o.Site.Status(q.Context())
	out := system{At: q.Now, Since: s.Since.UTC(), Drops: s.Drops, Calibration: d.Rates(f.Outcomes),
		Detector:    detector{f.ReportFrom, f.ReportTo, s.Lag.Seconds(), f.ReportExchanges, f.ReportAccounts, f.ReportRejected, f.CampaignsListed, f.LinkedListed},
		Enforcement: enforcement{Mode: s.Mode, Enforce: s.Enforce, Measures: f.InForce},
		Process:     process{f.AppealsOpen, f.AppealsOverdue, f.AppealsDecided, f.AppealsOverturned, nil, f.ExpiredUnreviewed}}
	if f.AppealsDecided > 0 {
		hours := f.AppealMedian.Hours()
		out.Process.Median = &hours
	}
	for _, name := range []string{catalog.StateProposed, catalog.StatePending, catalog.StateEnforced, catalog.StateShadow, catalog.StateRevoked, catalog.StateExpired, catalog.StateRefused} {
		if n := f.Verdicts[name]; n > 0 {
			out.Enforcement.States = append(out.Enforcement.States, state{name, n})
		}
	}
	return api.OK(out)
}
