// Package aside keeps the node of a process that decides from leading the servers' groups too. Who writes to a stream of a cluster
// waits for its group's leader; when that dies, the group chooses another, which takes the servers 4 to 9 s, and as long again where
// the first choice fails. With the leaders elsewhere, the death of who decides costs the time of its lease alone.
package aside

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// every is how often leaders are looked at. They change when a node comes or goes.
const every = 5 * time.Second

// Servers are those that a stream is at, and the name of the installation there.
type Servers interface {
	Servers() (js jetstream.JetStream, name string, replicas int)
}

// Keep has other nodes lead the streams and buckets of the installation, wherever this node leads one and a follower is up to date,
// until ctx ends. An empty node stands for a process that is none: Keep returns at once.
func Keep(ctx context.Context, of Servers, node string, log *slog.Logger) {
	if node == "" {
		return
	}
	js, name, _ := of.Servers()
	said := ""
	for {
		err := pass(ctx, js, node, name)
		if ctx.Err() != nil {
			return
		}
		if err == nil {
			said = ""
		} else if says := err.Error(); says != said {
			said = says
			log.Warn("stream: this node leads what another should, so that a takeover would take longer; trying again", "error", err)
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(every):
		}
	}
}

// pass asks once, for each stream that this node leads, that a follower do.
func pass(ctx context.Context, js jetstream.JetStream, node, name string) error {
	ctx, cancel := context.WithTimeout(ctx, 2*every)
	defer cancel()
	for _, n := range []string{name + "-observations", name + "-snapshots", "KV_" + name + "-leases", "KV_" + name + "-tables", "KV_" + name + "-budgets"} {
		s, err := js.Stream(ctx, n)
		if errors.Is(err, jetstream.ErrStreamNotFound) {
			continue
		}
		if err != nil {
			return fmt.Errorf("look at who leads %s: %w", n, err)
		}
		who := s.CachedInfo().Cluster
		if who == nil || who.Leader != node {
			continue
		}
		if to := follower(who.Replicas); to != "" {
			if err := give(ctx, js, n, to); err != nil {
				return err
			}
		}
	}
	return nil
}

// follower is the first by name of those that are up to date, so that one node leads all; empty: there is none.
func follower(peers []*jetstream.PeerInfo) (name string) {
	for _, p := range peers {
		if p.Current && !p.Offline && (name == "" || p.Name < name) {
			name = p.Name
		}
	}
	return name
}

// give asks the leader of a stream, which is this node, to have a follower lead.
func give(ctx context.Context, js jetstream.JetStream, stream, to string) error {
	ask, err := json.Marshal(map[string]any{"placement": map[string]string{"preferred": to}})
	if err != nil {
		return fmt.Errorf("ask that %s lead %s: %w", to, stream, err)
	}
	m, err := js.Conn().RequestWithContext(ctx, jetstream.DefaultAPIPrefix+"STREAM.LEADER.STEPDOWN."+stream, ask)
	if err != nil {
		return fmt.Errorf("ask that %s lead %s: %w", to, stream, err)
	}
	var said struct {
		Success bool `json:"success"`
		Error   *jetstream.APIError
	}
	if err := json.Unmarshal(m.Data, &said); err != nil {
		return fmt.Errorf("read whether %s leads %s: %w", to, stream, err)
	}
	if said.Error != nil {
		return fmt.Errorf("ask that %s lead %s: %w", to, stream, said.Error)
	}
	return nil
}
