package stream

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/prometheus/client_golang/prometheus"
)

// role has the test binary play a process that a test kills or cuts off.
const role = "PALLADIUM_STREAM_ROLE"

func TestMain(m *testing.M) {
	if r := os.Getenv(role); r != "" {
		if err := play(r, os.Args[1]); err != nil {
			fmt.Println("failed:", err)
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

// part is what a process of a test is told.
type part struct {
	Config  Config
	From    uint64 // number of the first observation
	Rate    int    // observations a second; 0: as fast as they are taken
	Dir     string // of a server
	Port    int
	Address string
}

// told is a line of such a process.
type told struct {
	Sent, Acked, Dropped uint64 // Acked: all up to this number is acknowledged; of a gateway, how many
	Slowest              time.Duration
	OK                   bool
	Says                 string
	Done                 bool
}

func play(role, how string) error {
	var p part
	if err := json.Unmarshal([]byte(how), &p); err != nil {
		return err
	}
	ctx := context.Background()
	out := json.NewEncoder(os.Stdout)
	if role == "server" {
		s, err := server.NewServer(&server.Options{Host: "127.0.0.1", Port: p.Port, NoSigs: true, NoLog: true, JetStream: true, StoreDir: p.Dir})
		if err != nil {
			return err
		}
		s.Start()
		select {}
	}
	s, err := Open(ctx, p.Config, nil)
	if err != nil {
		return err
	}
	switch role {
	case "node":
		select {}
	case "publisher":
		pub := s.Publisher("test")
		for n := p.From; ; {
			for range 1 + rand.IntN(200) {
				if err := pub.ObserveWait(ctx, observation(n)); err != nil {
					return err
				}
				n++
			}
			if err := pub.Flush(ctx); err != nil {
				return err
			}
			if err := out.Encode(told{Acked: n - 1}); err != nil {
				return err
			}
		}
	case "gateway":
		return gateway(ctx, s, p, out)
	case "reader":
		return tellRead(ctx, s, out)
	}
	return fmt.Errorf("no role %q", role)
}

// gateway observes at a rate until its standard input ends, tells how it goes, and flushes at the end.
func gateway(ctx context.Context, s *Stream, p part, out *json.Encoder) error {
	pub := s.Publisher("gateway")
	stop := make(chan struct{})
	go func() { _, _ = io.Copy(io.Discard, os.Stdin); close(stop) }()
	tick := time.NewTicker(10 * time.Millisecond)
	tell := func(t told) error {
		t.Acked, t.Dropped = pub.Counts()
		t.OK, t.Says = s.Health()
		return out.Encode(t)
	}
	var t told
	for round := 0; ; round++ {
		select {
		case <-stop:
			end, cancel := context.WithTimeout(ctx, 30*time.Second)
			defer cancel()
			if err := pub.Flush(end); err != nil {
				return err
			}
			t.Done = true
			return tell(t)
		case <-tick.C:
		}
		for range p.Rate / 100 {
			begin := time.Now()
			t.Sent++
			pub.Observe(observation(t.Sent))
			t.Slowest = max(t.Slowest, time.Since(begin))
		}
		if round%10 == 0 {
			if err := tell(t); err != nil {
				return err
			}
		}
	}
}

// process is a part being played.
type process struct {
	cmd  *exec.Cmd
	in   io.WriteCloser
	mu   sync.Mutex
	last told
	end  chan struct{} // its output has ended
}

func start(t *testing.T, role_ string, p part, before ...string) *process {
	t.Helper()
	how, err := json.Marshal(p)
	if err != nil {
		t.Fatal(err)
	}
	args := append(before, os.Args[0], string(how))
	c := &process{cmd: exec.Command(args[0], args[1:]...), end: make(chan struct{})}
	c.cmd.Env = append(os.Environ(), role+"="+role_)
	c.cmd.Stderr = os.Stderr
	out, err := c.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if c.in, err = c.cmd.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	if err := c.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		defer close(c.end)
		for lines := bufio.NewScanner(out); lines.Scan(); {
			var next told
			if err := json.Unmarshal(lines.Bytes(), &next); err != nil {
				next = told{Says: lines.Text()}
			}
			c.mu.Lock()
			c.last = next
			c.mu.Unlock()
		}
	}()
	t.Cleanup(c.kill)
	return c
}

func (c *process) tells() told {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.last
}

// kill ends the process as kill -9 does.
func (c *process) kill() {
	_ = c.cmd.Process.Kill()
	<-c.end
	_ = c.cmd.Wait()
}

// all reads what the stream holds.
func all(t *testing.T, s *Stream) []uint64 {
	t.Helper()
	last, err := s.Last(patient(t))
	if err != nil {
		t.Fatal(err)
	}
	k := &keeper{}
	ctx, cancel := context.WithCancel(patient(t))
	defer cancel()
	go func() { _ = s.Read(ctx, 0, k) }()
	eventually(t, 40*time.Second, func() error {
		k.mu.Lock()
		defer k.mu.Unlock()
		if k.at < last {
			return fmt.Errorf("read up to %d of %d", k.at, last)
		}
		return nil
	})
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.ids
}

// A process that holds the stream is killed: what was acknowledged is there, once and in order.
func TestPublisherKilled(t *testing.T) {
	dir := t.TempDir()
	from := uint64(1)
	for round := range 6 {
		c := Config{Dir: dir}
		if round%2 == 1 {
			c.Sync = SyncAlways
		}
		p := start(t, "publisher", part{Config: c, From: from})
		eventually(t, 20*time.Second, func() error {
			if told := p.tells(); told.Acked == 0 {
				return fmt.Errorf("it says %+v", told)
			}
			return nil
		})
		time.Sleep(time.Duration(rand.IntN(400)) * time.Millisecond)
		p.kill()
		acked := p.tells().Acked
		s, err := Open(patient(t), c, nil)
		if err != nil {
			t.Fatal(err)
		}
		ids := all(t, s)
		inOrder(t, ids, 1)
		if n := uint64(len(ids)); n < acked {
			t.Fatalf("round %d: %d were acknowledged, %d are there", round, acked, n)
		}
		t.Logf("round %d: %d acknowledged, %d there", round, acked, len(ids))
		from = uint64(len(ids)) + 1
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// A directory is one process's.
func TestLocked(t *testing.T) {
	dir := t.TempDir()
	open(t, Config{Dir: dir})
	if s, err := Open(patient(t), Config{Dir: dir}, nil); err == nil || !strings.Contains(err.Error(), "another process") {
		t.Errorf("%v, %v", s, err)
	}
}

// A server elsewhere is killed and started again: publishers hold what they have, and send it again in order.
func TestServerKilled(t *testing.T) {
	how := part{Dir: t.TempDir(), Port: freePort(t)}
	srv := start(t, "server", how)
	s := open(t, Config{URL: fmt.Sprintf("nats://127.0.0.1:%d", how.Port)})
	settled(t, s)
	p := s.Publisher("test")
	stop := make(chan struct{})
	var work sync.WaitGroup
	var n uint64
	work.Go(func() {
		for {
			select {
			case <-stop:
				return
			default:
			}
			for range 20 {
				n++
				if err := p.ObserveWait(patient(t), observation(n)); err != nil {
					t.Error(err)
					return
				}
			}
			time.Sleep(time.Millisecond)
		}
	})
	for range 4 {
		time.Sleep(time.Duration(100+rand.IntN(300)) * time.Millisecond)
		srv.kill()
		time.Sleep(time.Duration(rand.IntN(300)) * time.Millisecond)
		srv = start(t, "server", how)
	}
	settled(t, s)
	close(stop)
	work.Wait()
	flush(t, p)
	ids := all(t, s)
	inOrder(t, ids, 1)
	if uint64(len(ids)) != n {
		t.Errorf("%d of %d arrived", len(ids), n)
	}
	t.Logf("%d arrived, %d batches came twice", n, s.duplicates.Load())
}

// Nodes of a cluster are killed, one at a time and then two: nothing acknowledged is lost, and nothing accepted either.
func TestNodesKilled(t *testing.T) {
	configs := cluster(t)
	others := map[int]*process{}
	for i := 1; i < 3; i++ {
		others[i] = start(t, "node", part{Config: configs[i]})
	}
	s := settled(t, open(t, configs[0]))
	p := s.Publisher("test")
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	var work sync.WaitGroup
	var n uint64
	var slowest time.Duration
	work.Go(func() {
		for s.wait(ctx, 5*time.Millisecond) == nil {
			for range 5 {
				n++
				begin := time.Now()
				p.Observe(observation(n))
				slowest = max(slowest, time.Since(begin))
			}
		}
	})
	progress := func(what string) {
		t.Helper()
		before, _ := p.Counts()
		begin := time.Now()
		eventually(t, 40*time.Second, func() error {
			if now, _ := p.Counts(); now < before+500 {
				_, says := s.Health()
				return fmt.Errorf("%s: %d acknowledged, and no more: %s", what, now, says)
			}
			return nil
		})
		t.Logf("%s: goes on after %v", what, time.Since(begin))
	}
	progress("all there")
	for i := 1; i < 3; i++ {
		others[i].kill()
		progress(fmt.Sprintf("without node %d", i+1))
		others[i] = start(t, "node", part{Config: configs[i]})
		progress(fmt.Sprintf("with node %d again", i+1))
		settled(t, s)
		time.Sleep(2 * time.Second) // it catches up
	}
	others[1].kill()
	others[2].kill()
	eventually(t, 30*time.Second, func() error {
		if ok, says := s.Health(); ok {
			return fmt.Errorf("health says %s", says)
		}
		return nil
	})
	for i := 1; i < 3; i++ {
		others[i] = start(t, "node", part{Config: configs[i]})
	}
	progress("after a time without the two others")
	stop()
	work.Wait()
	flush(t, p)
	published, dropped := p.Counts()
	ids := all(t, s)
	if dropped != 0 || published != n || uint64(len(ids)) != n {
		t.Errorf("%d observed, %d acknowledged, %d dropped, %d read", n, published, dropped, len(ids))
	}
	inOrder(t, ids, 1)
	t.Logf("%d observations, slowest call %v", n, slowest)
}

// The disk is full, and has room again: what was acknowledged is kept, and the rest follows.
func TestDiskFull(t *testing.T) {
	dir := t.TempDir()
	mount := func(args ...string) error {
		out, err := exec.Command("mount", args...).CombinedOutput()
		if err != nil {
			return fmt.Errorf("%w: %s", err, out)
		}
		return nil
	}
	if err := mount("-t", "tmpfs", "-o", "size=24m", "tmpfs", dir); err != nil {
		t.Skip("a small file system cannot be mounted here: ", err)
	}
	t.Cleanup(func() { _ = exec.Command("umount", dir).Run() })
	s := open(t, Config{Dir: filepath.Join(dir, "stream")})
	p := s.Publisher("test")
	const n = 100_000
	for i := range uint64(n) {
		p.Observe(observation(i + 1))
	}
	eventually(t, 20*time.Second, func() error {
		if ok, says := s.Health(); ok || !strings.Contains(says, "no space") {
			return fmt.Errorf("health says %v, %s", ok, says)
		}
		return nil
	})
	_, says := s.Health()
	before, _ := p.Counts()
	t.Logf("%d acknowledged, then: %s", before, says)
	if err := mount("-o", "remount,size=200m", dir); err != nil {
		t.Fatal(err)
	}
	flush(t, p)
	if published, dropped := p.Counts(); published != n || dropped != 0 {
		t.Errorf("%d acknowledged, %d dropped", published, dropped)
	}
	inOrder(t, all(t, s), 1)
	settled(t, s)
	if err := s.Put(patient(t), "verdicts", 1, make([]byte, 500_000)); err != nil {
		t.Error(err)
	}
}

// Nobody is there: nothing waits, memory is bounded, what does not fit is counted and told. Then somebody is.
func TestNobodyThere(t *testing.T) {
	port := freePort(t)
	s := open(t, Config{URL: fmt.Sprintf("nats://127.0.0.1:%d", port), Memory: 2 << 20})
	p := s.Publisher("test")
	const n = 20_000
	begin := time.Now()
	for i := range uint64(n) {
		p.Observe(observation(i + 1))
	}
	if took := time.Since(begin); took > 5*time.Second {
		t.Errorf("took %v", took)
	}
	published, dropped := p.Counts()
	if published != 0 || dropped == 0 || dropped > n {
		t.Errorf("%d acknowledged, %d dropped", published, dropped)
	}
	if held := s.standing().held; held > 3<<20 {
		t.Errorf("%d bytes are held", held)
	}
	ok, says := s.Health()
	if ok || !strings.Contains(says, "not connected") || !strings.Contains(says, fmt.Sprint(dropped, " observations were dropped")) {
		t.Error(ok, says)
	}
	if got := metric(t, s, "palladium_stream_observations_dropped_total"); got != float64(dropped) {
		t.Errorf("the metric says %v", got)
	}
	short, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if err := p.Flush(short); err == nil {
		t.Error("flushed to nobody")
	}
	if err := p.ObserveWait(short, observation(1)); err == nil {
		t.Error("there was room")
	}
	serve(t, &server.Options{Port: port})
	flush(t, p)
	ids := all(t, s)
	inOrder(t, ids, 1) // the first were kept
	if uint64(len(ids))+dropped != n {
		t.Errorf("%d arrived, %d were dropped, of %d", len(ids), dropped, n)
	}
	if got := metric(t, s, "palladium_stream_observations_acknowledged_total"); got != float64(len(ids)) {
		t.Errorf("the metric says %v", got)
	}
}

func metric(t *testing.T, c prometheus.Collector, name string) float64 {
	t.Helper()
	r := prometheus.NewPedanticRegistry()
	if err := r.Register(c); err != nil {
		t.Fatal(err)
	}
	families, err := r.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() == name {
			m := f.GetMetric()[0]
			return m.GetCounter().GetValue() + m.GetGauge().GetValue()
		}
	}
	t.Fatalf("no metric %s", name)
	return 0
}

// A gateway is cut off from the stream: it goes on, drops what it cannot hold, and says so; afterwards all that was
// acknowledged is there.
func TestPartition(t *testing.T) {
	name := fmt.Sprintf("plds%d", os.Getpid()%10000)
	ip := func(args string) error {
		out, err := exec.Command("ip", strings.Fields(args)...).CombinedOutput()
		if err != nil {
			return fmt.Errorf("ip %s: %w: %s", args, err, out)
		}
		return nil
	}
	if err := ip("netns add " + name); err != nil {
		t.Skip("network namespaces cannot be made here: ", err)
	}
	t.Cleanup(func() { _ = ip("netns del " + name) })
	for _, args := range []string{
		"link add " + name + "a type veth peer name " + name + "b netns " + name, "addr add 10.213.77.1/30 dev " + name + "a", "link set " + name + "a up",
		"-n " + name + " addr add 10.213.77.2/30 dev " + name + "b", "-n " + name + " link set " + name + "b up", "-n " + name + " link set lo up",
	} {
		if err := ip(args); err != nil {
			t.Skip("a link between network namespaces cannot be made here: ", err)
		}
	}
	// The server listens on loopback and on the link alone.
	srv := &server.Options{Host: "10.213.77.1", Port: server.RANDOM_PORT, NoSigs: true, NoLog: true, JetStream: true, StoreDir: t.TempDir(), PingInterval: time.Second, MaxPingsOut: 2}
	n, err := server.NewServer(srv)
	if err != nil {
		t.Fatal(err)
	}
	n.Start()
	t.Cleanup(func() { n.Shutdown(); n.WaitForShutdown() })
	if !n.ReadyForConnections(10 * time.Second) {
		t.Fatal("the server does not start")
	}
	s := settled(t, open(t, Config{URL: n.ClientURL()}))
	g := start(t, "gateway", part{Config: Config{URL: n.ClientURL(), Memory: 1 << 20}, Rate: 2000}, "ip", "netns", "exec", name)
	until := func(what string, there func(told) bool) told {
		t.Helper()
		eventually(t, 40*time.Second, func() error {
			if now := g.tells(); !there(now) {
				return fmt.Errorf("%s: it tells %+v", what, now)
			}
			return nil
		})
		return g.tells()
	}
	before := until("connected", func(now told) bool { return now.OK && now.Acked > 1000 })
	for _, cut := range []struct {
		name string
		over func(told) bool
	}{
		{"for a moment", func(now told) bool { return !now.OK }},
		{"until the connection is given up", func(now told) bool { return strings.Contains(now.Says, "not connected") }},
	} {
		if err := ip("link set " + name + "a down"); err != nil {
			t.Fatal(err)
		}
		during := until("cut off "+cut.name, func(now told) bool { return now.Dropped > before.Dropped+1000 && cut.over(now) })
		t.Logf("cut off %s: %+v", cut.name, during)
		if during.Sent <= before.Sent {
			t.Error("requests stand still")
		}
		if err := ip("link set " + name + "a up"); err != nil {
			t.Fatal(err)
		}
		before = until("healed", func(now told) bool { return now.Acked > during.Acked+2000 })
		t.Logf("healed: %+v", before)
	}
	g.in.Close()
	<-g.end
	end := g.tells()
	if !end.Done || end.Acked+end.Dropped != end.Sent {
		t.Errorf("at the end: %+v", end)
	}
	ids := all(t, s)
	if uint64(len(ids)) != end.Acked {
		t.Errorf("%d acknowledged, %d there", end.Acked, len(ids))
	}
	for i := 1; i < len(ids); i++ {
		if ids[i] <= ids[i-1] {
			t.Fatalf("%d after %d", ids[i], ids[i-1])
		}
	}
	t.Logf("%d observed, %d acknowledged and read, %d dropped, slowest call %v", end.Sent, end.Acked, end.Dropped, end.Slowest)
}
