package decide

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/palladium-guard/palladium/api"
	"github.com/palladium-guard/palladium/store/catalog"
)

func (d *Desk) listPolicies(q *api.Request) (*api.Answer, error) {
	list, next, err := d.catalog.ListPolicies(q.Context(), q.Param("kind"), pageOf(q))
	if err != nil {
		return nil, err
	}
	if next == "" { // the oldest comes last: what holds where nothing else was put in use
		for _, kind := range slices.Sorted(maps.Keys(d.kinds)) {
			if only := q.Param("kind"); only != "" && only != kind {
				continue
			}
			p, err := d.standing(q.Context(), kind)
			if err != nil {
				return nil, err
			}
			if p.Text != "" {
				p.Text = ""
				list = append(list, p)
			}
		}
	}
	return api.OK(api.NewPage(list, next))
}

// configured begins the ids of policies that stand in the configuration, or that the program carries.
const configured = "configured-"

// standing returns the policy of a kind that holds while no stored version is in use; without text where there is none.
func (d *Desk) standing(ctx context.Context, kind string) (catalog.Policy, error) {
	k, text := d.kinds[kind], ""
	if k.Standing != nil {
		text = k.Standing()
	}
	if text == "" {
		return catalog.Policy{}, nil
	}
	revision, err := k.Check([]byte(text))
	if err != nil {
		return catalog.Policy{}, fmt.Errorf("read the configured policy of kind %s: %w", kind, err)
	}
	p := catalog.Policy{ID: configured + kind, Kind: kind, Revision: revision, Text: text, Author: "configuration", At: d.since}
	switch _, err := d.catalog.ActivePolicy(ctx, kind); {
	case errors.Is(err, catalog.ErrNotFound):
		p.Active, p.ActivatedBy, p.ActivatedAt = true, p.Author, &p.At
	case err != nil:
		return catalog.Policy{}, err
	}
	return p, nil
}

func (d *Desk) getPolicy(q *api.Request) (*api.Answer, error) {
	if kind, ok := strings.CutPrefix(q.Param("id"), configured); ok {
		p, err := d.standing(q.Context(), kind)
		if err == nil && p.Text == "" {
			err = catalog.ErrNotFound
		}
		if err != nil {
			return nil, err
		}
		return api.OK(p)
	}
	p, err := d.catalog.GetPolicy(q.Context(), q.Param("id"))
	if err != nil {
		return nil, err
	}
	return api.OK(p)
}

// text is a policy that somebody wrote.
type text struct {
	Kind string `json:"kind"`
	Text string `json:"text"`
}

func (d *Desk) prove(q *api.Request) (t text, revision, says string, err error) {
	if err := q.Decode(&t); err != nil {
		return t, "", "", err
	}
	check := d.kinds[t.Kind].Check
	if check == nil {
		return t, "", "", api.BadRequest("policies of kind %s are not kept here: they stand in the configuration", t.Kind)
	}
	revision, wrong := check([]byte(t.Text))
	if wrong != nil {
		says = wrong.Error()
	}
	return t, revision, says, nil
}

func (d *Desk) checkPolicy(q *api.Request) (*api.Answer, error) {
	_, revision, says, err := d.prove(q)
	if err != nil {
		return nil, err
	}
	return api.OK(map[string]any{"ok": says == "", "revision": revision, "says": says})
}

func (d *Desk) addPolicy(q *api.Request) (*api.Answer, error) {
	t, revision, says, err := d.prove(q)
	if err != nil {
		return nil, err
	}
	if says != "" {
		return nil, api.BadRequest("policy refused: %s", says)
	}
	p := catalog.Policy{ID: "p_" + q.ID, Kind: t.Kind, Revision: revision, Text: t.Text, Author: q.By.ID, At: q.Now}
	err = q.Update(func(ctx context.Context, tx *catalog.Store) (*catalog.Event, error) {
		return q.Event("policy.added", "policy:"+p.ID, map[string]string{"kind": p.Kind, "revision": revision}), tx.AddPolicy(ctx, p)
	})
	if err != nil {
		return nil, err
	}
	return api.Created("/policies/"+p.ID, p)
}

// activatePolicy puts a version in use that somebody else wrote. It is proved again: the program may be another by now.
func (d *Desk) activatePolicy(q *api.Request) (*api.Answer, error) {
	if strings.HasPrefix(q.Param("id"), configured) {
		return nil, api.Conflict("this is the configuration's own text: store it as a version, which somebody else can put in use")
	}
	var p catalog.Policy
	err := q.Update(func(ctx context.Context, tx *catalog.Store) (*catalog.Event, error) {
		var err error
		if p, err = tx.GetPolicy(ctx, q.Param("id")); err != nil {
			return nil, err
		}
		if p.Author == q.By.ID {
			return nil, api.SamePerson("you wrote this version: somebody else has to put it in use")
		}
		check := d.kinds[p.Kind].Check
		if check == nil {
			return nil, api.Conflict("policies of kind %s are not kept here: they stand in the configuration", p.Kind)
		}
		if _, err := check([]byte(p.Text)); err != nil {
			return nil, api.Conflict("this version does not pass any more: %s", err)
		}
		if p, err = tx.ActivatePolicy(ctx, p.ID, q.By.ID, q.Now); err != nil {
			return nil, err
		}
		return q.Event("policy.activated", "policy:"+p.ID, map[string]string{"kind": p.Kind, "revision": p.Revision}), nil
	})
	if err != nil {
		return nil, err
	}
	return api.OK(p)
}
