package catalog

import (
	"context"
	"database/sql"
	"fmt"

	"github.com/palladium-guard/palladium/store"
	"github.com/palladium-guard/palladium/store/catalog/record"
)

// maxNamed is how many campaigns a query names; what more are found is asked of the database.
const maxNamed = 1024

// found gives the campaigns whose texts hold text or that have a member whose id begins with it. many says that there are more
// than maxNamed.
func (s *Store) found(ctx context.Context, text string) (ids []string, many bool, err error) {
	if s.index == nil { // within a transaction, whose own changes nobody else may see
		return nil, true, nil
	}
	all, err := s.index.Now(ctx, s.db)
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
