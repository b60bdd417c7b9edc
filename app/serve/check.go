package serve

import (
	"cmp"
	"context"
	"errors"
	"net/http"
	"time"

	"github.com/palladium-guard/palladium"
	"github.com/palladium-guard/palladium/store/stream"
	"github.com/palladium-guard/palladium/traffic/check"
	"github.com/palladium-guard/palladium/traffic/gateway"
	"github.com/palladium-guard/palladium/traffic/gateway/credential"
	"github.com/palladium-guard/palladium/traffic/verdict"
)

// startCheck answers the checks of other people's gateways, where an address for it is given.
func (h *house) startCheck(ctx context.Context) error {
	c := h.file.Check
	if !h.runs(RoleCheck) || c.HTTP == "" && c.GRPC == "" {
		return nil
	}
	c.Appeal = cmp.Or(c.Appeal, h.appealLink(h.file))
	table := verdict.NewHolder(h.file.Gateway.Verdicts.MaxAge)
	tally := check.NewTally(table, time.Now)
	o := check.Options{Config: c, Verdicts: table, Spending: tally, Log: h.log}
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
	j := h.joined()
	h.work.Go(func() { j.Follow(ctx, table, h.log) })
	h.work.Go(func() { h.count(ctx, tally, table) })
	h.launch(ctx, "check", door)
	w, g := door.Addresses()
	h.log.Info("answering checks", "http", said(w), "grpc", said(g))
	return nil
}

// counting is a reader of the stream that counts what campaigns draw.
type counting struct {
	*check.Tally
	memory *stream.Memory
}

// Memory keeps what was read before a gap from being counted again after it.
func (c counting) Memory() *stream.Memory { return c.memory }

func (counting) Describe(*palladium.Account)    {}
func (counting) NameModel(uint64, string)       {}
func (counting) Position(stream.Position) error { return nil }

// count counts what the stream holds, and what comes, until ctx ends. After a start that is less than was drawn, by what the stream no
// longer holds.
func (h *house) count(ctx context.Context, t *check.Tally, table *verdict.Holder) {
	for { // it is by the verdicts that is counted
		if _, s := table.Find("", time.Now()); s != verdict.Unknown {
			break
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(100 * time.Millisecond):
		}
	}
	c := counting{t, new(stream.Memory)}
	for ctx.Err() == nil {
		err := h.stream.Read(ctx, 0, c)
		if ctx.Err() != nil {
			return
		}
		if !errors.Is(err, stream.ErrGap) {
			h.log.Error("what campaigns draw past other gateways is not counted any more: checks tell of budgets what was left until now", "error", err)
			return
		}
	}
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
