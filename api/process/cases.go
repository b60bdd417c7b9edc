package process

import (
	"context"
	"errors"
	"time"

	"github.com/palladium-guard/palladium/api"
	"github.com/palladium-guard/palladium/store/catalog"
)

// caseView is a case as the API shows one.
type caseView struct {
	catalog.Case
	Overdue bool `json:"overdue"`
}

func caseOf(c *catalog.Case, now time.Time) caseView {
	open := c.State != catalog.WorkResolved && c.State != catalog.WorkClosed
	return caseView{*c, open && c.Due != nil && now.After(*c.Due)}
}

// caseFile is a case with its notes.
type caseFile struct {
	Case  caseView       `json:"case"`
	Notes []catalog.Note `json:"notes"`
}

func (d *Desk) listCases(q *api.Request) (*api.Answer, error) {
	query := catalog.CaseQuery{Page: pageOf(q), State: q.List("state"), Campaign: q.Param("campaign"), Account: q.Param("account"), Assignee: q.Param("assignee")}
	if query.Assignee == "me" {
		query.Assignee = q.By.ID
	}
	list, next, err := d.o.Catalog.ListCases(q.Context(), query)
	if err != nil {
		return nil, err
	}
	out := make([]caseView, len(list))
	for i := range list {
		out[i] = caseOf(&list[i], q.Now)
	}
	return api.OKCounted(q, out, next, func(ctx context.Context) (int64, error) { return d.o.Catalog.CountCases(ctx, query) })
}

func (d *Desk) file(q *api.Request, id string) (*api.Answer, error) {
	c, err := d.o.Catalog.GetCase(q.Context(), id)
	if err != nil {
		return nil, err
	}
	notes, _, err := d.o.Catalog.ListNotes(q.Context(), id, catalog.Page{Limit: 1000})
	if err != nil {
		return nil, err
	}
	return &api.Answer{JSON: caseFile{caseOf(&c, q.Now), notes}, Revision: c.Revision}, nil
}

func (d *Desk) getCase(q *api.Request) (*api.Answer, error) { return d.file(q, q.Param("id")) }

func (d *Desk) openCase(q *api.Request) (*api.Answer, error) {
	var in struct {
		Campaign string     `json:"campaign"`
		Account  string     `json:"account"`
		Assignee string     `json:"assignee"`
		Due      *time.Time `json:"due"`
		Note     string     `json:"note"`
	}
	if err := q.Decode(&in); err != nil {
		return nil, err
	}
	if in.Campaign == "" && in.Account == "" {
		return nil, api.BadRequest("a case is on a campaign or an account: give one")
	}
	c := catalog.Case{ID: "cs_" + q.ID, Campaign: in.Campaign, Account: in.Account, State: catalog.WorkNew, Opened: q.Now, Due: in.Due}
	err := q.Update(func(ctx context.Context, tx *catalog.Store) (*catalog.Event, error) {
		var err error
		if c.Assignee, err = api.Assignee(ctx, q, tx, in.Assignee); err != nil {
			return nil, err
		}
		refs := []string{}
		if in.Campaign != "" {
			if _, err := tx.GetCampaign(ctx, in.Campaign); err != nil {
				return nil, found(err, "campaign")
			}
			refs = append(refs, "campaign:"+in.Campaign)
		}
		if in.Account != "" {
			if _, err := tx.GetAccount(ctx, in.Account); err != nil {
				return nil, found(err, "account")
			}
			refs = append(refs, "account:"+in.Account)
		}
		if c, err = tx.PutCase(ctx, c); err != nil {
			return nil, err
		}
		if in.Note != "" {
			if err := tx.AddNote(ctx, catalog.Note{ID: "n_" + q.ID, Case: c.ID, By: q.By.ID, At: q.Now, Text: in.Note}); err != nil {
				return nil, err
			}
		}
		return q.Event("case.opened", "case:"+c.ID, nil, refs...), nil
	})
	if err != nil {
		return nil, err
	}
	a, err := d.file(q, c.ID)
	if err != nil {
		return nil, err
	}
	made, _ := api.Created("/cases/"+c.ID, a.JSON)
	made.Revision = a.Revision
	return made, nil
}

// found turns the absence of what a body names into a problem of the body.
func found(err error, what string) error {
	if errors.Is(err, catalog.ErrNotFound) {
		return api.BadRequest("there is no such %s", what)
	}
	return err
}

func (d *Desk) changeCase(q *api.Request) (*api.Answer, error) {
	revision, err := q.Revision()
	if err != nil {
		return nil, err
	}
	var in struct {
		State      *string    `json:"state"`
		Resolution *string    `json:"resolution"`
		Assignee   *string    `json:"assignee"`
		Due        *time.Time `json:"due"`
	}
	given := map[string]any{}
	if err := errors.Join(q.Decode(&in), q.Decode(&given)); err != nil {
		return nil, err
	}
	id := q.Param("id")
	err = q.Update(func(ctx context.Context, tx *catalog.Store) (*catalog.Event, error) {
		c, err := tx.GetCase(ctx, id)
		if err != nil {
			return nil, err
		}
		if c.Revision != revision {
			return nil, api.Changed()
		}
		if in.State != nil {
			c.State = *in.State
		}
		if in.Resolution != nil {
			c.Resolution = *in.Resolution
		}
		if in.Assignee != nil {
			if c.Assignee, err = api.Assignee(ctx, q, tx, *in.Assignee); err != nil {
				return nil, err
			}
		}
		if _, ok := given["due"]; ok {
			c.Due = in.Due
		}
		if err := api.Settled(c.State, &c.Resolution, in.Resolution != nil); err != nil {
			return nil, err
		}
		switch {
		case c.State != catalog.WorkClosed:
			c.Closed = nil
		case c.Closed == nil:
			c.Closed = &q.Now
		}
		if _, err := tx.PutCase(ctx, c); err != nil {
			return nil, err
		}
		return q.Event("case.changed", "case:"+id, map[string]any{"state": c.State, "resolution": c.Resolution, "assignee": c.Assignee}), nil
	})
	if err != nil {
		return nil, err
	}
	return d.file(q, id)
}

func (d *Desk) addNote(q *api.Request) (*api.Answer, error) {
	var in struct {
		Text string `json:"text"`
	}
	if err := q.Decode(&in); err != nil {
		return nil, err
	}
	n := catalog.Note{ID: "n_" + q.ID, Case: q.Param("id"), By: q.By.ID, At: q.Now, Text: in.Text}
	err := q.Update(func(ctx context.Context, tx *catalog.Store) (*catalog.Event, error) {
		return q.Event("case.noted", "case:"+n.Case, nil), tx.AddNote(ctx, n)
	})
	if err != nil {
		return nil, err
	}
	return api.Created("/cases/"+n.Case, n)
}
