package serve

import (
	"cmp"
	"context"
	"errors"
	"net/http"
	"time"

	"github.com/palladium-guard/palladium/app/live"
	"github.com/palladium-guard/palladium/traffic/check"
	"github.com/palladium-guard/palladium/traffic/gateway"
	"github.com/palladium-guard/palladium/traffic/gateway/credential"
	"github.com/palladium-guard/palladium/traffic/verdict"
)

// confirmEvery is how often a table of verdicts is said to be the newest still, and how long is waited before tables are
// asked for anew.
const confirmEvery = 2 * time.Second

// startCheck answers the checks of other people's gateways, where an address for it is given.
func (h *house) startCheck(ctx context.Context) error {
	c := h.file.Check
	if !h.runs(RoleCheck) || c.HTTP == "" && c.GRPC == "" {
		return nil
	}
	table := verdict.NewHolder(h.file.Gateway.Verdicts.MaxAge)
	o := check.Options{Config: c, Verdicts: table, Log: h.log}
	if c.Account.Credential {
		var keys *credential.Keys
		var err error
		if path := cmp.Or(h.o.Keys, h.file.Credentials.Keys); path != "" {
			if keys, err = credential.OpenKeys(path); err != nil {
				return err
			}
			keys.Watch(ctx, func(err error) {
				if err != nil {
					h.log.Error("keys cannot be read; those that are known still hold", "error", err)
				}
			})
		}
		checker, err := credential.New(ctx, h.file.Credentials, keys)
		if err != nil {
			return err
		}
		o.Callers = callers{checker}
	}
	door, err := check.Open(o)
	if err != nil {
		return err
	}
	h.followVerdicts(ctx, table)
	h.launch(ctx, "check", door)
	w, g := door.Addresses()
	h.log.Info("answering checks", "http", said(w), "grpc", said(g))
	return nil
}

// followVerdicts keeps a table the newest one, until ctx ends.
func (h *house) followVerdicts(ctx context.Context, table *verdict.Holder) {
	take := func(version uint64, data []byte) {
		now := time.Now()
		t, err := verdict.Decode(data)
		if err == nil {
			err = table.Swap(t, now)
		}
		if err != nil {
			table.Fail(err)
			h.log.Error("a table of verdicts is not taken; checks fail as they are configured to", "version", version, "error", err)
		}
	}
	h.work.Go(func() {
		for ctx.Err() == nil {
			err := h.stream.Watch(ctx, live.VerdictTable, take)
			if ctx.Err() == nil {
				table.Fail(err)
				h.log.Error("verdicts do not come; checks fail as they are configured to", "error", err)
			}
			select {
			case <-ctx.Done():
			case <-time.After(confirmEvery):
			}
		}
	})
	h.work.Go(func() {
		t := time.NewTicker(confirmEvery)
		defer t.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-t.C:
				if h.stream.Reachable() {
					table.Confirm(time.Now())
				}
			}
		}
	})
}

// callers knows callers by the credentials that the gateway takes.
type callers struct{ by gateway.Authenticator }

// Identify implements check.Callers.
func (c callers) Identify(r *http.Request) check.Identity {
	who, err := c.by.Identify(r)
	switch {
	case err == nil:
		return check.Identity{Account: who.Account}
	case errors.Is(err, gateway.ErrIdentity):
		return check.Identity{Unavailable: true}
	case errors.Is(err, gateway.ErrNoCredential):
		return check.Identity{Reason: "credential.missing"}
	case errors.Is(err, gateway.ErrExpired):
		return check.Identity{Reason: "credential.expired"}
	case errors.Is(err, gateway.ErrRevoked):
		return check.Identity{Reason: "credential.revoked"}
	case errors.Is(err, gateway.ErrAmbiguous):
		return check.Identity{Reason: "credential.ambiguous"}
	}
	return check.Identity{Reason: "credential.invalid"}
}
