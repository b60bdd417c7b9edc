package kafka

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/palladium-guard/palladium"
	"github.com/palladium-guard/palladium/internal/tlsfile"
	"github.com/palladium-guard/palladium/traffic/dialect"
	"github.com/palladium-guard/palladium/traffic/dialect/native"
	"github.com/palladium-guard/palladium/traffic/measure"
	"github.com/palladium-guard/palladium/traffic/tap"
)

// sink keeps for good what is flushed. What it has accepted and not flushed is lost with it.
type sink struct {
	mu       sync.Mutex
	accepted []uint64
	kept     map[uint64]int
	chance   float64 // of failing
	full     bool    // Flush fails
	held     chan struct{}
	accounts int
}

func newSink() *sink { return &sink{kept: map[uint64]int{}} }

func (s *sink) DescribeWait(context.Context, *palladium.Account) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.accounts++
	return nil
}

func (s *sink) ObserveWait(_ context.Context, o *palladium.Observation) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if rand.Float64() < s.chance/50 {
		return errors.New("no room")
	}
	s.accepted = append(s.accepted, o.ID)
	return nil
}

func (s *sink) NameModel(uint64, string) {}

func (s *sink) Flush(ctx context.Context) error {
	if s.held != nil {
		select {
		case <-s.held:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.full || rand.Float64() < s.chance {
		return errors.New("disk full")
	}
	for _, id := range s.accepted {
		s.kept[id]++
	}
	s.accepted = s.accepted[:0]
	return nil
}

func (s *sink) count() (ids, deliveries int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for n := range maps.Values(s.kept) {
		deliveries += n
	}
	return len(s.kept), deliveries
}

func into(s tap.Sink) tap.Options {
	return tap.Options{
		Formats: []dialect.Format{native.Format()}, Sink: s,
		Measure: func() func(*palladium.Exchange, *palladium.Observation) { return measure.New([32]byte{1}, nil).Measure },
	}
}

// world is a broker with one topic.
type world struct {
	t       *testing.T
	brokers []string
	topic   string
	cl      *kgo.Client
	made    int
}

func newWorld(t *testing.T, brokers []string, partitions int32) *world {
	t.Helper()
	w := &world{t: t, brokers: brokers, topic: fmt.Sprintf("traffic-%d", rand.Uint32())}
	var err error
	w.cl, err = kgo.NewClient(kgo.SeedBrokers(brokers...), kgo.DefaultProduceTopic(w.topic), kgo.RecordPartitioner(kgo.RoundRobinPartitioner()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(w.cl.Close)
	if _, err := kadm.NewClient(w.cl).CreateTopic(t.Context(), partitions, 1, nil, w.topic); err != nil {
		t.Fatal(err)
	}
	return w
}

func exchange(id int) string {
	return fmt.Sprintf(`{"kind":"exchange","id":"x%d","time":"2026-03-01T10:00:00Z","account":"a%d","model":"m","messages":[{"role":"user","content":"what is %d plus one"}]}`, id, id%7, id)
}

// produce writes n new exchanges.
func (w *world) produce(n int) {
	w.t.Helper()
	var list []*kgo.Record
	for range n {
		list = append(list, &kgo.Record{Value: []byte(exchange(w.made))})
		w.made++
	}
	w.write(list...)
}

func (w *world) write(list ...*kgo.Record) {
	w.t.Helper()
	if err := w.cl.ProduceSync(w.t.Context(), list...).FirstErr(); err != nil {
		w.t.Fatal(err)
	}
}

// committed is the sum of the group's offsets.
func (w *world) committed() (n int64) {
	w.t.Helper()
	got, err := kadm.NewClient(w.cl).FetchOffsets(w.t.Context(), "palladium-"+w.topic)
	if err != nil {
		return -1
	}
	got.Each(func(o kadm.OffsetResponse) { n += max(0, o.At) })
	return n
}

func (w *world) config() Config {
	c := Config{Brokers: w.brokers, Topics: []string{w.topic}, Group: "palladium-" + w.topic, Batch: 97, Drain: 2 * time.Second, Session: 6 * time.Second}
	c.Fill()
	return c
}

// start runs a tap until the returned function is called.
func (w *world) start(s *sink, c Config) (*Tap, func()) {
	w.t.Helper()
	tp, err := Open(c, into(s), nil)
	if err != nil {
		w.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { defer close(done); _ = tp.Run(ctx) }()
	stop := sync.OnceFunc(func() { cancel(); <-done })
	w.t.Cleanup(stop)
	return tp, stop
}

func (w *world) until(what string, f func() bool) {
	w.t.Helper()
	for end := time.Now().Add(60 * time.Second); !f(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(end) {
			w.t.Fatalf("waited a minute until %s", what)
		}
	}
}

func (w *world) keeps(s *sink, n int) {
	w.t.Helper()
	w.until(fmt.Sprintf("%d exchanges are kept", n), func() bool { ids, _ := s.count(); return ids >= n })
}

// cases hold on any broker.
func cases() map[string]func(*world) {
	return map[string]func(*world){
		"records": testRecords, "order of commits": testCommits, "failing sink": testFailing, "rebalance": testRebalance, "crash": testCrash,
	}
}

func TestOnFake(t *testing.T) {
	for name, f := range cases() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c, err := kfake.NewCluster(kfake.NumBrokers(2))
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(c.Close)
			f(newWorld(t, c.ListenAddrs(), 4))
		})
	}
}

// What is no exchange is skipped, named and passed by.
func testRecords(w *world) {
	w.write(&kgo.Record{Value: []byte("{")}, &kgo.Record{Key: []byte("k")},
		&kgo.Record{Value: []byte(`{"kind":"account","account":"a1","plan":"free"}` + "\n" + exchange(1_000_000))})
	w.produce(500)
	s := newSink()
	tp, _ := w.start(s, w.config())
	w.keeps(s, 501)
	w.until("all is committed", func() bool { return w.committed() == 503 })
	if ok, says := tp.Health(); !ok || !strings.Contains(says, "4 partitions, 501 exchanges") || !strings.Contains(says, " 0 records behind") {
		w.t.Errorf("health: %v, %s", ok, says)
	}
	if total := tp.in.Total(); total.Rejected != 1 || total.Accounts != 1 || s.accounts != 1 {
		w.t.Errorf("taken: %+v", total)
	}
	w.write(&kgo.Record{Value: []byte(exchange(3))}) // again
	w.produce(1)
	w.keeps(s, 502)
	if _, n := s.count(); n != 502 {
		w.t.Errorf("%d deliveries of 502 exchanges", n)
	}
}

// Nothing is committed before it is kept.
func testCommits(w *world) {
	w.produce(300)
	s := newSink()
	s.held = make(chan struct{})
	_, stop := w.start(s, w.config())
	w.until("something was read", func() bool { s.mu.Lock(); defer s.mu.Unlock(); return len(s.accepted) > 0 })
	time.Sleep(300 * time.Millisecond)
	if n := w.committed(); n > 0 {
		w.t.Fatalf("%d records were committed that nobody has kept", n)
	}
	close(s.held)
	w.keeps(s, 300)
	w.until("all is committed", func() bool { return w.committed() == 300 })
	stop()
}

// A sink that fails often loses nothing and gets nothing twice.
func testFailing(w *world) {
	s := newSink()
	s.chance = 0.3
	tp, _ := w.start(s, w.config())
	w.produce(1500)
	w.keeps(s, 1500)
	s.mu.Lock()
	s.chance = 0
	s.mu.Unlock()
	w.produce(1)
	w.keeps(s, 1501)
	if _, n := s.count(); n != 1501 {
		w.t.Errorf("%d deliveries of 1501 exchanges", n)
	}
	w.until("it is well again", func() bool { ok, _ := tp.Health(); return ok })
}

// Members come and go in good order: nothing is lost, and since what was taken in is committed first, nothing comes twice.
func testRebalance(w *world) {
	s := newSink()
	_, stopA := w.start(s, w.config())
	w.produce(1000)
	_, stopB := w.start(s, w.config())
	w.produce(1000)
	w.keeps(s, 1200)
	stopA()
	w.produce(1000)
	_, stopC := w.start(s, w.config())
	w.keeps(s, 2500)
	stopB()
	w.produce(500)
	w.keeps(s, 3500)
	w.until("all is committed", func() bool { return w.committed() == 3500 })
	stopC()
	if ids, n := s.count(); ids != 3500 || n != 3500 {
		w.t.Errorf("%d exchanges, %d deliveries, of 3500", ids, n)
	}
}

// A member that ends in the middle of a batch leaves it to the next.
func testCrash(w *world) {
	w.produce(700)
	kept := map[uint64]bool{}
	for range 4 {
		s := newSink()
		c := w.config()
		c.Drain = time.Millisecond
		_, stop := w.start(s, c)
		w.until("some are kept", func() bool { ids, _ := s.count(); return ids > 50 })
		s.mu.Lock()
		s.full = true
		s.mu.Unlock()
		time.Sleep(100 * time.Millisecond)
		stop() // what it accepted since is lost with it
		for id := range s.kept {
			kept[id] = true
		}
		w.produce(100)
	}
	s := newSink()
	w.start(s, w.config())
	w.until("all is committed", func() bool { return w.committed() == 1100 })
	for id := range s.kept {
		kept[id] = true
	}
	if len(kept) != 1100 {
		w.t.Errorf("%d of 1100 exchanges were kept", len(kept))
	}
}

func TestConfig(t *testing.T) {
	good := func() Config { return Config{Brokers: []string{"127.0.0.1:9092"}, Topics: []string{"t"}} }
	for name, c := range map[string]struct {
		change func(*Config)
		want   string
	}{
		"good":         {func(*Config) {}, ""},
		"no brokers":   {func(c *Config) { c.Brokers = nil }, "brokers"},
		"no port":      {func(c *Config) { c.Brokers = []string{"kafka"} }, "host:port"},
		"no topics":    {func(c *Config) { c.Topics = nil }, "topics"},
		"start":        {func(c *Config) { c.Start = "now" }, "earliest or latest"},
		"session":      {func(c *Config) { c.Session = time.Second }, "session"},
		"half a pair":  {func(c *Config) { c.TLS = TLS{On: true, Files: tlsfile.Client{Key: "k"}} }, "together"},
		"tls off":      {func(c *Config) { c.TLS.Files.CA = "ca" }, "on is not true"},
		"mechanism":    {func(c *Config) { c.SASL.Mechanism = "gssapi" }, "mechanism"},
		"no mechanism": {func(c *Config) { c.SASL.User = "u" }, "name a mechanism"},
		"no user":      {func(c *Config) { c.SASL = SASL{Mechanism: "SCRAM-SHA-256", PasswordFile: "p"} }, "user"},
		"no password":  {func(c *Config) { c.SASL = SASL{Mechanism: "plain", User: "u"} }, "password_file"},
		"in the open": {func(c *Config) {
			c.Brokers = []string{"kafka.example:9092"}
			c.SASL = SASL{Mechanism: "plain", User: "u", PasswordFile: "p"}
		}, "turn tls on"},
		"no such file": {func(c *Config) { c.SASL = SASL{Mechanism: "plain", User: "u", PasswordFile: "/nowhere"} }, "read the secret"},
		"no such ca":   {func(c *Config) { c.TLS = TLS{On: true, Files: tlsfile.Client{CA: "/nowhere"}} }, "authorities"},
		"dialect":      {func(c *Config) { c.Dialect = "x" }, "unknown dialect"},
	} {
		cfg := good()
		c.change(&cfg)
		cfg.Fill()
		_, err := Open(cfg, into(newSink()), nil)
		if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, wanted %q", name, err, c.want)
		}
	}
}
