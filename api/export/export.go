// Package export gathers what the site knows of a campaign and hands it out as a dossier.
package export

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"time"

	"golang.org/x/mod/sumdb/note"

	"github.com/palladium-guard/palladium/api"
	"github.com/palladium-guard/palladium/proof/dossier"
	"github.com/palladium-guard/palladium/proof/ledger"
	"github.com/palladium-guard/palladium/report"
	"github.com/palladium-guard/palladium/store/catalog"
)

// Options are what dossiers are made from. Catalog, Signer and Names must be given.
type Options struct {
	Catalog  *catalog.Store
	Signer   note.Signer        // of the archives: the ledger's key, or one of its own
	Names    dossier.Pseudonyms // key of the pseudonyms in dossiers for partners; another one makes other names
	Log      fs.FS              // the ledger's folder; nil: dossiers hold no proofs
	Trust    ledger.Trust
	Site     string // who makes them
	Software string // name and version of the program
	Nearest  func(ctx context.Context, c *catalog.Campaign, now time.Time) ([]dossier.Benign, error)
	Rates    func(outcomes []catalog.Outcome) []dossier.Rate
	Logger   *slog.Logger
}

// Desk makes dossiers.
type Desk struct{ o Options }

// New makes a desk.
func New(o Options) *Desk {
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	return &Desk{o}
}

// Routes returns the operation.
func (d *Desk) Routes() []api.Route { return []api.Route{{Op: "exportCampaign", Handle: d.export}} }

// The most that a dossier holds of each; a campaign that has more says so by the gap in its ledger indices.
const (
	mostDecisions = 2_000
	mostEvents    = 5_000
	mostProofs    = 500
)

func (d *Desk) export(q *api.Request) (*api.Answer, error) {
	profile := dossier.Profile(q.Param("profile"))
	if profile == "" {
		profile = dossier.Partner
	}
	if profile == dossier.Agency && q.By.Role != api.Approver {
		return nil, api.Forbidden("a dossier for an authority names accounts to outsiders: ask an approver")
	}
	m, err := d.material(q.Context(), q.Param("id"), q.Now)
	if err != nil {
		return nil, err
	}
	var b bytes.Buffer
	if err := dossier.Write(&b, m, profile, &d.o.Names, d.o.Signer); err != nil {
		return nil, err
	}
	e := q.Event("campaign.exported", "campaign:"+m.Campaign.ID, map[string]string{"profile": string(profile)})
	if err := d.o.Catalog.Append(q.Context(), e); err != nil {
		return nil, err
	}
	return &api.Answer{Raw: b.Bytes(), Type: "application/zip", File: "dossier-" + plain(m.Campaign.ID) + "-" + string(profile) + ".zip"}, nil
}

// plain makes a part of a file name.
func plain(id string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r >= 'a' && r <= 'z', r >= 'A' && r <= 'Z', r >= '0' && r <= '9', r == '-':
			return r
		}
		return '_'
	}, id)
}

// material gathers what is known of a campaign.
func (d *Desk) material(ctx context.Context, id string, now time.Time) (*dossier.Material, error) {
	c, err := d.o.Catalog.WholeCampaign(ctx, id)
	if err != nil {
		return nil, err
	}
	m := &dossier.Material{Site: d.o.Site, Software: d.o.Software, Made: now, Campaign: c.Campaign, Claim: report.Claim(&c.Campaign, len(c.Accounts), now),
		Work: dossier.Work{State: c.State, Resolution: c.Resolution, Assignee: c.Assignee, Labels: c.Labels}}
	indices := map[int64]bool{}
	for _, gather := range []func() error{
		func() error { return d.accounts(ctx, m) },
		func() error { return d.decisions(ctx, m, indices) },
		func() error { return d.history(ctx, m, indices) },
		func() error { return d.method(ctx, m, &c, now) },
		func() error { return d.proofs(m, indices) },
	} {
		if err := gather(); err != nil {
			return nil, err
		}
	}
	return m, nil
}

func (d *Desk) accounts(ctx context.Context, m *dossier.Material) error {
	const once = 500
	ids := make([]string, len(m.Campaign.Accounts))
	for i, a := range m.Campaign.Accounts {
		ids[i] = a.ID
	}
	for len(ids) > 0 {
		n := min(once, len(ids))
		known, err := d.o.Catalog.GetAccounts(ctx, ids[:n])
		if err != nil {
			return err
		}
		for _, a := range known {
			m.Accounts = append(m.Accounts, dossier.Account{ID: a.ID, Created: a.Created, Organization: a.Organization, Plan: a.Plan, EmailDomain: a.EmailDomain,
				BIN: a.BIN, PhonePrefix: a.PhonePrefix, SignupIP: a.SignupIP, Verified: a.Verified, Relation: string(a.Relation)})
		}
		ids = ids[n:]
	}
	return nil
}

// decisions gathers decisions with their appeals, and the ledger's entries about them.
func (d *Desk) decisions(ctx context.Context, m *dossier.Material, indices map[int64]bool) error {
	query := catalog.DecisionQuery{Page: catalog.Page{Limit: 1000}, Campaign: m.Campaign.ID}
	for len(m.Decisions) < mostDecisions {
		list, next, err := d.o.Catalog.ListDecisions(ctx, query)
		if err != nil {
			return err
		}
		for i := range list {
			v := &list[i]
			m.Decisions = append(m.Decisions, dossier.Decision{ID: v.ID, Measure: v.Measure, Accounts: v.Accounts, Reason: v.Reason, Text: v.Text, By: v.By,
				Automated: v.Automated, At: v.At, Expires: v.Expires, State: v.State, UndoneBy: v.UndoneBy, UndoneAt: v.UndoneAt})
			if err := d.about(ctx, m, v.ID, indices); err != nil {
				return err
			}
		}
		if next == "" {
			return nil
		}
		query.Cursor = next
	}
	return nil
}

// about gathers the appeals against a decision and where the ledger has its verdicts.
func (d *Desk) about(ctx context.Context, m *dossier.Material, decision string, indices map[int64]bool) error {
	appeals, _, err := d.o.Catalog.ListAppeals(ctx, catalog.AppealQuery{Page: catalog.Page{Limit: 1000}, Decision: decision})
	if err != nil {
		return err
	}
	for _, a := range appeals {
		m.Appeals = append(m.Appeals, dossier.Appeal{ID: a.ID, Account: a.Account, Decision: a.Decision, Text: a.Text, At: a.At, State: a.State,
			Reviewer: a.Reviewer, DecidedAt: a.DecidedAt, Reply: a.Reply, Restored: a.Restored})
	}
	verdicts, _, err := d.o.Catalog.ListVerdicts(ctx, catalog.VerdictQuery{Page: catalog.Page{Limit: 1000}, Decision: decision})
	if err != nil {
		return err
	}
	for i := range verdicts {
		indices[verdicts[i].LedgerIndex] = true
	}
	return nil
}

func (d *Desk) history(ctx context.Context, m *dossier.Material, indices map[int64]bool) error {
	query := catalog.EventQuery{Page: catalog.Page{Limit: 1000}, Subject: "campaign:" + m.Campaign.ID}
	for len(m.History) < mostEvents {
		list, next, err := d.o.Catalog.ListEvents(ctx, query)
		if err != nil {
			return err
		}
		for _, e := range list {
			m.History = append(m.History, dossier.Act{At: e.At, Kind: e.Kind, By: e.Actor, LedgerIndex: e.LedgerIndex})
			indices[e.LedgerIndex] = true
		}
		if next == "" {
			return nil
		}
		query.Cursor = next
	}
	return nil
}

func (d *Desk) method(ctx context.Context, m *dossier.Material, c *catalog.Campaign, now time.Time) error {
	switch p, err := d.o.Catalog.ActivePolicy(ctx, catalog.PolicyJudge); {
	case err == nil:
		m.Policy = p.Revision
	case errors.Is(err, catalog.ErrNotFound):
		m.Policy = "as in the configuration"
	default:
		return err
	}
	if d.o.Rates != nil {
		f, err := d.o.Catalog.Figures(ctx, now)
		if err != nil {
			return err
		}
		m.Rates = d.o.Rates(f.Outcomes)
	}
	if d.o.Nearest != nil {
		var err error
		if m.Benign, err = d.o.Nearest(ctx, c, now); err != nil {
			return err
		}
	}
	return nil
}

// proofs takes the ledger's statements about the campaign, the newest where there are many, with the proof that each is there.
func (d *Desk) proofs(m *dossier.Material, indices map[int64]bool) error {
	if d.o.Log == nil {
		return nil
	}
	cp, err := ledger.ReadCheckpoint(d.o.Log, d.o.Trust)
	if err != nil {
		return fmt.Errorf("read checkpoint of the ledger: %w", err)
	}
	m.Ledger.Key, m.Ledger.Checkpoint = cp.Origin, cp.Raw
	newest := slices.SortedFunc(maps.Keys(indices), func(a, b int64) int { return cmp.Compare(b, a) })
	for _, index := range newest {
		if index < 0 || uint64(index) >= cp.Size || len(m.Ledger.Entries) == mostProofs {
			continue
		}
		proof, err := ledger.Prove(d.o.Log, d.o.Trust, uint64(index))
		if err != nil {
			return fmt.Errorf("prove entry %d of the ledger: %w", index, err)
		}
		p, err := ledger.VerifyProof(proof, d.o.Trust)
		if err != nil {
			return fmt.Errorf("prove entry %d of the ledger: %w", index, err)
		}
		body, err := ledger.ReadStatement(d.o.Log, p.Index, &p.Entry)
		if errors.Is(err, ledger.ErrMissing) {
			d.o.Logger.Warn("statement was erased: the dossier has its proof alone", "entry", index)
		} else if err != nil {
			return err
		}
		m.Ledger.Entries = append(m.Ledger.Entries, dossier.Entry{Index: p.Index, Type: p.Entry.Type, Statement: body, Proof: proof,
			Staff: p.Entry.Type == api.KindAct || p.Entry.Type == api.KindRead})
	}
	return nil
}
