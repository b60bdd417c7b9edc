package aside_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/palladium-guard/palladium/store/stream"
	"github.com/palladium-guard/palladium/store/stream/aside"
)

// leaders says which node leads each stream of a cluster.
func leaders(ctx context.Context, js jetstream.JetStream) (map[string]string, error) {
	out := map[string]string{}
	all := js.ListStreams(ctx)
	for info := range all.Info() {
		if info.Cluster == nil || info.Cluster.Leader == "" || len(info.Cluster.Replicas) < 2 {
			return nil, fmt.Errorf("%s has no leader", info.Config.Name)
		}
		out[info.Config.Name] = info.Cluster.Leader
	}
	if len(out) < 4 {
		return nil, errors.Join(fmt.Errorf("%d streams are there", len(out)), all.Err())
	}
	return out, all.Err()
}

// Whichever node stands aside, another leads all that it led, and goes on leading it.
func TestKeep(t *testing.T) {
	if testing.Short() {
		t.Skip("takes seconds")
	}
	dir := t.TempDir()
	secret := filepath.Join(dir, "secret")
	if err := os.WriteFile(secret, []byte(strings.Repeat("secret", 6)), 0o600); err != nil {
		t.Fatal(err)
	}
	nodes := []string{"a", "b", "c"}
	var peers []string
	for range nodes {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		peers = append(peers, l.Addr().String())
		l.Close()
	}
	var streams []*stream.Stream
	for i, node := range nodes {
		s, err := stream.Open(t.Context(), stream.Config{Dir: filepath.Join(dir, node), Cluster: stream.Cluster{Name: "c", Node: node, Listen: peers[i], Peers: peers, SecretFile: secret}}, nil)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = s.Close() })
		streams = append(streams, s)
	}
	js, _, _ := streams[0].Servers()
	log := slog.New(slog.NewTextHandler(t.Output(), nil))
	for i, node := range nodes {
		ctx, stop := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() { aside.Keep(ctx, streams[i], node, log); close(done) }()
		var last string
		for end := time.Now().Add(2 * time.Minute); ; time.Sleep(200 * time.Millisecond) {
			led, err := leaders(t.Context(), js)
			last = fmt.Sprint(led, err)
			if err == nil && !strings.Contains(last, ":"+node) {
				break
			}
			if time.Now().After(end) {
				t.Fatalf("%s still leads: %s", node, last)
			}
		}
		stop()
		<-done
	}
	aside.Keep(t.Context(), streams[0], "", log) // outside a cluster of these processes there is nothing to do
}
