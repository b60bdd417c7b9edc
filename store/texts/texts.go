// Package texts keeps what campaigns of the catalog are searched by, and searches it in memory.
package texts

import (
	"context"
	"database/sql"
	"encoding/json"
	"sync/atomic"

	"github.com/palladium-guard/palladium"
	"github.com/palladium-guard/palladium/internal/substrings"
	"github.com/palladium-guard/palladium/store"
	"github.com/palladium-guard/palladium/store/catalog/record"
)

// Searched is what a campaign is found by.
type Searched struct {
	Campaign, Text string
	version        int64
}

func table() store.Table[Searched] {
	return store.Table[Searched]{Name: "campaign_texts", Bind: func(c *store.Columns, v *Searched) {
		c.Key("campaign", &v.Campaign)
		c.Value("text", &v.Text)
		c.Value("version", &v.version)
	}}
}

// Index is what all campaigns are searched by, as it was last read.
type Index struct {
	is atomic.Pointer[substrings.Set]
}

// Now gives the texts as they are in the database, of which it reads what is new.
func (x *Index) Now(ctx context.Context, d *store.DB) (*substrings.Set, error) {
	set := x.is.Load()
	version, err := d.Number(ctx, "texts")
	if err != nil || version == set.Version() {
		return set, err
	}
	var fresh []substrings.Text
	if err := d.View(ctx, func(tx *store.DB) error {
		if version, err = tx.Number(ctx, "texts"); err != nil {
			return err
		}
		rows, err := table().All(ctx, tx, "WHERE version > ?", set.Version())
		for i := range rows {
			fresh = append(fresh, substrings.Text{ID: rows[i].Campaign, Text: rows[i].Text})
		}
		return err
	}); err != nil {
		return nil, err
	}
	set = set.With(version, fresh)
	x.is.Store(set) // of two at once the later stays, whichever it is: the next call reads what it lacks
	return set, nil
}

// Save keeps what campaigns are searched by.
func Save(ctx context.Context, tx *store.DB, rows []Searched) error {
	if len(rows) == 0 {
		return nil
	}
	version, err := tx.Bump(ctx, "texts", 1)
	if err != nil {
		return err
	}
	for i := range rows {
		rows[i].version = version
	}
	return table().Upsert(ctx, tx, "campaign", rows)
}

// Fill makes what is missing, in catalogs of before there was any.
func Fill(ctx context.Context, d *store.DB) error {
	const lacking = " FROM campaigns c WHERE NOT EXISTS (SELECT 1 FROM campaign_texts t WHERE t.campaign = c.id)"
	var n int64
	if err := d.Row(ctx, "SELECT count(*)"+lacking, nil, &n); err != nil || n == 0 {
		return err
	}
	return d.Update(ctx, func(tx *store.DB) error {
		var rows []Searched
		err := tx.Each(ctx, "SELECT id, labels, evidence"+lacking, nil, func(r *sql.Rows) error {
			var id, labels, evidence string
			if err := r.Scan(&id, &labels, &evidence); err != nil {
				return err
			}
			var words []string
			var said []palladium.Evidence
			if json.Unmarshal([]byte(labels), &words) != nil { // found by whatever is there, which the next report replaces
				words = []string{labels}
			}
			if json.Unmarshal([]byte(evidence), &said) != nil {
				words = append(words, evidence)
			}
			rows = append(rows, Searched{Campaign: id, Text: record.Searched(id, words, said)})
			return nil
		})
		if err != nil {
			return err
		}
		return Save(ctx, tx, rows)
	})
}
