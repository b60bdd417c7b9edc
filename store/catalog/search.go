package catalog

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"sync/atomic"

	"github.com/palladium-guard/palladium"
	"github.com/palladium-guard/palladium/internal/substrings"
	"github.com/palladium-guard/palladium/store"
	"github.com/palladium-guard/palladium/store/catalog/record"
)

// searched is what a campaign is found by.
type searched struct {
	campaign, text string
	version        int64
}

func searchTable() store.Table[searched] {
	return store.Table[searched]{Name: "campaign_texts", Bind: func(c *store.Columns, v *searched) {
		c.Key("campaign", &v.campaign)
		c.Value("text", &v.text)
		c.Value("version", &v.version)
	}}
}

// index is what all campaigns are searched by, as it was last read.
type index struct {
	is atomic.Pointer[substrings.Set]
}

// now gives the texts as they are in the database, of which it reads what is new.
func (x *index) now(ctx context.Context, d *store.DB) (*substrings.Set, error) {
	set := x.is.Load()
	version, err := number(ctx, d, "texts")
	if err != nil || version == set.Version() {
		return set, err
	}
	var fresh []substrings.Text
	if err := d.View(ctx, func(tx *store.DB) error {
		if version, err = number(ctx, tx, "texts"); err != nil {
			return err
		}
		rows, err := searchTable().All(ctx, tx, "WHERE version > ?", set.Version())
		for i := range rows {
			fresh = append(fresh, substrings.Text{ID: rows[i].campaign, Text: rows[i].text})
		}
		return err
	}); err != nil {
		return nil, err
	}
	set = set.With(version, fresh)
	x.is.Store(set) // of two at once the later stays, whichever it is: the next call reads what it lacks
	return set, nil
}

// maxNamed is how many campaigns a query names; what more are found is asked of the database.
const maxNamed = 1024

// found gives the campaigns whose texts hold text or that have a member whose id begins with it. many says that there are more
// than maxNamed.
func (s *Store) found(ctx context.Context, text string) (ids []string, many bool, err error) {
	if s.index == nil { // within a transaction, whose own changes nobody else may see
		return nil, true, nil
	}
	all, err := s.index.now(ctx, s.db)
	if err != nil {
		return nil, false, err
	}
	if ids, many = all.Find(record.Fold(text), maxNamed); many {
		return nil, true, nil
	}
	err = s.db.Each(ctx, fmt.Sprintf("SELECT DISTINCT campaign FROM members WHERE account >= ? AND account < ? LIMIT %d", maxNamed+1),
		[]any{text, text + "\U0010FFFF"}, func(rows *sql.Rows) error {
			var id string
			err := rows.Scan(&id)
			ids = append(ids, id)
			return err
		})
	return ids, len(ids) > maxNamed, err
}

// holding adds to w that a campaign is one that text finds.
func (s *Store) holding(ctx context.Context, w *store.Where, text string) error {
	text = store.Clean(text)
	ids, many, err := s.found(ctx, text)
	switch {
	case err != nil:
		return err
	case many: // a list is filled by the first that it meets
		w.And("(EXISTS (SELECT 1 FROM campaign_texts t WHERE t.campaign = campaigns.id AND "+s.db.Within("t.text")+
			") OR EXISTS (SELECT 1 FROM members m WHERE m.campaign = campaigns.id AND m.account >= ? AND m.account < ?))",
			record.Fold(text), text, text+"\U0010FFFF")
	case len(ids) == 0:
		w.And("1 = 0")
	default:
		for n := len(ids); n&(n-1) != 0; n++ { // few lengths, so that the database knows the statement
			ids = append(ids, ids[0])
		}
		store.In(w, "id", ids)
	}
	return nil
}

// saveTexts keeps what campaigns are searched by.
func saveTexts(ctx context.Context, tx *store.DB, rows []searched) error {
	if len(rows) == 0 {
		return nil
	}
	version, err := bump(ctx, tx, "texts", 1)
	if err != nil {
		return err
	}
	for i := range rows {
		rows[i].version = version
	}
	return searchTable().Upsert(ctx, tx, "campaign", rows)
}

// fillTexts makes what is missing, in catalogs of before there was any.
func fillTexts(ctx context.Context, d *store.DB) error {
	const lacking = " FROM campaigns c WHERE NOT EXISTS (SELECT 1 FROM campaign_texts t WHERE t.campaign = c.id)"
	var n int64
	if err := d.Row(ctx, "SELECT count(*)"+lacking, nil, &n); err != nil || n == 0 {
		return err
	}
	return d.Update(ctx, func(tx *store.DB) error {
		var rows []searched
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
			rows = append(rows, searched{campaign: id, text: record.Searched(id, words, said)})
			return nil
		})
		if err != nil {
			return err
		}
		return saveTexts(ctx, tx, rows)
	})
}
