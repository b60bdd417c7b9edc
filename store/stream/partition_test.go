package stream

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// tellRead reads all that comes, and tells how much came once and in order.
func tellRead(ctx context.Context, s *Stream, out *json.Encoder) error {
	k := &keeper{}
	go func() {
		for ctx.Err() == nil {
			_ = s.Read(ctx, 0, k)
		}
	}()
	for range time.Tick(100 * time.Millisecond) {
		k.mu.Lock()
		t := told{Acked: uint64(len(k.ids)), OK: true}
		for i := 1; i < len(k.ids); i++ {
			t.OK = t.OK && k.ids[i] > k.ids[i-1]
		}
		k.mu.Unlock()
		if err := out.Encode(t); err != nil {
			return err
		}
	}
	return nil
}

// Three processes form a cluster, each in a network of its own. The one that observes is cut off from the others: it holds what it
// can, drops and counts the rest, and says so. Then another is cut off: the two that are left go on. What was acknowledged is
// read by the third, once and in order.
func TestClusterPartition(t *testing.T) {
	if os.Getenv("STREAM_PARTITION") == "" {
		t.Skip("takes half a minute, and root: make faults")
	}
	name := fmt.Sprintf("plpa%d", os.Getpid()%10000)
	ip := func(args string) error {
		out, err := exec.Command("ip", strings.Fields(args)...).CombinedOutput()
		if err != nil {
			return fmt.Errorf("ip %s: %w: %s", args, err, out)
		}
		return nil
	}
	hub := name + "h"
	if err := ip("netns add " + hub); err != nil {
		t.Skip("network namespaces cannot be made here: ", err)
	}
	t.Cleanup(func() { _ = ip("netns del " + hub) })
	must := func(args string) {
		t.Helper()
		if err := ip(args); err != nil {
			t.Skip("links between network namespaces cannot be made here: ", err)
		}
	}
	must("-n " + hub + " link add name hub0 type bridge")
	must("-n " + hub + " link set hub0 up")
	dir, secret := t.TempDir(), filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(secret, []byte("a secret that all nodes share"), 0o600); err != nil {
		t.Fatal(err)
	}
	var hosts []net.IP
	var peers []string
	for i := range 3 {
		hosts = append(hosts, net.IPv4(10, 213, 78, byte(1+i)))
		peers = append(peers, fmt.Sprintf("%s:6222", hosts[i]))
		ns := fmt.Sprintf("%s%d", name, i)
		must("netns add " + ns)
		t.Cleanup(func() { _ = ip("netns del " + ns) })
		must(fmt.Sprintf("-n %s link add name p%d type veth peer name e0 netns %s", hub, i, ns))
		must(fmt.Sprintf("-n %s link set p%d master hub0 up", hub, i))
		must(fmt.Sprintf("-n %s addr add %s/24 dev e0", ns, hosts[i]))
		must("-n " + ns + " link set e0 up")
		must("-n " + ns + " link set lo up")
	}
	pki := authority(t, hosts...)
	roles := []string{"gateway", "reader", "node"}
	parts := make([]*process, 3)
	for i := 2; i >= 0; i-- {
		c := Config{Dir: filepath.Join(dir, roles[i]), Memory: 1 << 20, Cluster: Cluster{
			Name: "test", Node: roles[i], Listen: peers[i], Peers: peers, SecretFile: secret, TLS: TLS{CA: pki.ca, Certificate: pki.certificate, Key: pki.key},
		}}
		parts[i] = start(t, roles[i], part{Config: c, Rate: 2000}, "ip", "netns", "exec", fmt.Sprintf("%s%d", name, i))
	}
	g, reader := parts[0], parts[1]
	until := func(what string, there func(told) bool) told {
		t.Helper()
		eventually(t, 60*time.Second, func() error {
			if now := g.tells(); !there(now) {
				return fmt.Errorf("%s: it tells %+v", what, now)
			}
			return nil
		})
		t.Logf("%s: %+v", what, g.tells())
		return g.tells()
	}
	before := until("all there", func(now told) bool { return now.Acked > 2000 })
	must("-n " + hub + " link set p0 down")
	alone := until("cut off from both", func(now told) bool { return now.Dropped > before.Dropped+2000 && !now.OK })
	must("-n " + hub + " link set p0 up")
	before = until("together again", func(now told) bool { return now.Acked > alone.Acked+2000 })
	must("-n " + hub + " link set p2 down")
	time.Sleep(3 * time.Second)
	at := g.tells()
	two := until("two of three", func(now told) bool { return now.Acked > at.Acked+4000 })
	must("-n " + hub + " link set p2 up")
	until("three again", func(now told) bool { return now.Acked > two.Acked+2000 })
	g.in.Close()
	eventually(t, 40*time.Second, func() error {
		if end := g.tells(); !end.Done {
			return fmt.Errorf("it does not end: %+v", end)
		}
		return nil
	})
	end := g.tells()
	if end.Acked+end.Dropped != end.Sent {
		t.Errorf("at the end: %+v", end)
	}
	since := time.Now()
	eventually(t, 60*time.Second, func() error { // a reader whose server went silent asks anew, which takes some seconds more than once
		if got := reader.tells(); got.Acked != end.Acked || !got.OK {
			return fmt.Errorf("%d were acknowledged, %d read, in order: %v", end.Acked, got.Acked, got.OK)
		}
		return nil
	})
	t.Logf("%d observed, %d acknowledged and read %v after the last, %d dropped, slowest call %v", end.Sent, end.Acked, time.Since(since).Round(100*time.Millisecond), end.Dropped, end.Slowest)
}
