// Package links keeps what joins the accounts of the catalog's campaigns.
package links

import (
	"context"

	"github.com/palladium-guard/palladium"
	"github.com/palladium-guard/palladium/store"
)

// Link is a link with its campaign.
type Link struct {
	campaign string
	palladium.Link
}

func (l *Link) key() string { return string(l.Family) + "\x00" + l.Token + "\x00" + l.Account }

func table() store.Table[Link] {
	return store.Table[Link]{Name: "links", Bind: func(c *store.Columns, v *Link) {
		c.Key("campaign", &v.campaign)
		c.Key("account", &v.Account)
		c.Key("token", &v.Token)
		c.Value("family", &v.Family)
		c.Value("weight", &v.Weight)
	}}
}

// Changed gives the links that are not stored as they are, and takes out those that are no more.
func Changed(ctx context.Context, tx *store.DB, c *palladium.Campaign, old bool) ([]Link, error) {
	was := map[string]Link{}
	if old {
		all, err := table().All(ctx, tx, "WHERE campaign = ?", c.ID)
		if err != nil {
			return nil, err
		}
		for _, l := range all {
			was[l.key()] = l
		}
	}
	var changed []Link
	at := map[string]int{} // of two with the same key the last counts
	if c.Detail != nil {
		for _, l := range c.Detail.Links {
			l.Token = store.Cut(store.Clean(l.Token), store.MaxWord)
			v := Link{c.ID, l}
			stored, there := was[v.key()]
			delete(was, v.key())
			if store.Storable(l.Account) && l.Token != "" && (!there || stored.Weight != l.Weight) {
				if i, twice := at[v.key()]; twice {
					changed[i] = v
					continue
				}
				at[v.key()] = len(changed)
				changed = append(changed, v)
			}
		}
	}
	for _, l := range was {
		if _, err := tx.Exec(ctx, "DELETE FROM links WHERE campaign = ? AND family = ? AND token = ? AND account = ?", c.ID, string(l.Family), l.Token, l.Account); err != nil {
			return nil, err
		}
	}
	return changed, nil
}

// Save keeps links.
func Save(ctx context.Context, tx *store.DB, list []Link) error {
	return table().Upsert(ctx, tx, "campaign,family,token,account", list)
}
