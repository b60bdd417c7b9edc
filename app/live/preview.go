package live

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/palladium-guard/palladium/api"
	"github.com/palladium-guard/palladium/store/catalog"
)

// previewTime is how far a preview looks back.
const previewTime = 7 * 24 * time.Hour

// Preview says what a decision would have touched in the last seven days of the traffic. Requests are those of the accounts
// named, a day at a time in proportion to what the campaign drew; Outside weighs each account's requests by the chance that
// it does not belong to the campaign. The share of tokens is that of requests, as the catalog counts no others' tokens.
func (b *Board) Preview(ctx context.Context, d api.Draft) (api.Preview, error) {
	c, err := b.cat.WholeCampaign(ctx, d.Campaign)
	if err != nil {
		return api.Preview{}, fmt.Errorf("look at campaign %s: %w", d.Campaign, err)
	}
	accounts, err := members(&d, &c)
	if err != nil {
		return api.Preview{}, problem(err)
	}
	free, err := b.allowed(ctx, b.now().UTC())
	if err != nil {
		return api.Preview{}, err
	}
	free.group(ctx, accounts)
	chosen := make(map[string]bool, len(accounts))
	for _, a := range accounts {
		chosen[a] = !free.account(ctx, a)
	}
	p := api.Preview{Until: c.Last, Since: c.Last.Add(-previewTime)}
	var share float64
	share, p.Outside, p.Accounts = touched(&c, chosen, p.Since)
	figures, err := b.cat.Figures(ctx, b.now().UTC())
	if err != nil && !errors.Is(err, catalog.ErrNotFound) {
		return api.Preview{}, err
	}
	p.Days = days(&c, share, p.Since)
	for _, day := range p.Days {
		p.Requests += day.Requests
	}
	if figures.ReportExchanges > 0 {
		p.Tokens = min(1, float64(c.Exchanges)*share/float64(figures.ReportExchanges))
	}
	return p, nil
}

// touched returns the chosen accounts' share of the campaign's requests, the part of it that is likely not the campaign's, and
// how many of them had requests since the given time. Where the detector gave no detail, each account counts alike.
func touched(c *catalog.Campaign, chosen map[string]bool, since time.Time) (share, outside float64, accounts int64) {
	var all, hit, wrong float64
	for i, m := range c.Accounts {
		n := 1.0
		live := true
		if c.Detail != nil && i < len(c.Detail.Members) {
			n, live = float64(c.Detail.Members[i].Exchanges), !c.Detail.Members[i].Last.Before(since)
		}
		all += n
		if chosen[m.ID] {
			hit += n
			wrong += n * (1 - m.Membership)
			if live {
				accounts++
			}
		}
	}
	if all == 0 || hit == 0 {
		return 0, 0, accounts
	}
	return hit / all, wrong / hit, accounts
}

// days sums the campaign's timeline by day.
func days(c *catalog.Campaign, share float64, since time.Time) []api.PreviewDay {
	out := []api.PreviewDay{}
	if c.Detail == nil {
		return out
	}
	for _, d := range c.Detail.Timeline {
		if d.Start.Before(since) {
			continue
		}
		start := d.Start.UTC().Truncate(24 * time.Hour)
		if len(out) == 0 || !out[len(out)-1].Start.Equal(start) {
			out = append(out, api.PreviewDay{Start: start})
		}
		day := &out[len(out)-1]
		day.Requests += int64(float64(d.Exchanges)*share + 0.5)
		day.Tokens += int64(float64(d.Tokens.Output)*share + 0.5)
	}
	return out
}
