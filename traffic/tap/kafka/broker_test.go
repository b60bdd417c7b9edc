package kafka

import (
	"bytes"
	"crypto/rand"
	"encoding/base64"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// broker is an Apache Kafka in KRaft mode, on the loopback address.
type broker struct {
	t       *testing.T
	lib     string // folder with its jars
	dir     string
	address string
	cmd     *exec.Cmd
}

// newBroker starts one, or skips the test where there is none to start.
func newBroker(t *testing.T) *broker {
	t.Helper()
	lib := os.Getenv("PALLADIUM_TEST_KAFKA")
	if lib == "" {
		t.Skip("SKIPPED: no Apache Kafka: conformance/kafka/run fetches one and sets PALLADIUM_TEST_KAFKA to the folder of its jars")
	}
	b := &broker{t: t, lib: lib, dir: t.TempDir(), address: fmt.Sprintf("127.0.0.1:%d", port(t))}
	controller := fmt.Sprintf("127.0.0.1:%d", port(t))
	props := fmt.Sprintf(`process.roles=broker,controller
node.id=1
controller.quorum.voters=1@%s
listeners=PLAINTEXT://%s,CONTROLLER://%s
advertised.listeners=PLAINTEXT://%s
controller.listener.names=CONTROLLER
log.dirs=%s
offsets.topic.replication.factor=1
offsets.topic.num.partitions=4
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
group.initial.rebalance.delay.ms=0
`, controller, b.address, controller, b.address, filepath.Join(b.dir, "log"))
	if err := os.WriteFile(b.file("server.properties"), []byte(props), 0o600); err != nil {
		t.Fatal(err)
	}
	var id [16]byte
	_, _ = rand.Read(id[:])
	id[0] &= 0x3f // a dash in front reads as an option
	if out, err := b.java("kafka.tools.StorageTool", "format", "-t", base64.RawURLEncoding.EncodeToString(id[:]), "-c", b.file("server.properties")).CombinedOutput(); err != nil {
		t.Fatalf("format: %v\n%s", err, out)
	}
	b.start()
	t.Cleanup(b.kill)
	return b
}

func port(t *testing.T) int {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port
}

func (b *broker) file(name string) string { return filepath.Join(b.dir, name) }

func (b *broker) java(args ...string) *exec.Cmd {
	return exec.Command("java", append([]string{"-Xmx512m", "-cp", filepath.Join(b.lib, "*")}, args...)...)
}

func (b *broker) start() {
	b.t.Helper()
	var out bytes.Buffer
	b.cmd = b.java("kafka.Kafka", b.file("server.properties"))
	b.cmd.Stdout, b.cmd.Stderr = &out, &out
	if err := b.cmd.Start(); err != nil {
		b.t.Fatal(err)
	}
	cl, err := kgo.NewClient(kgo.SeedBrokers(b.address))
	if err != nil {
		b.t.Fatal(err)
	}
	defer cl.Close()
	for end := time.Now().Add(2 * time.Minute); cl.Ping(b.t.Context()) != nil; time.Sleep(100 * time.Millisecond) {
		if time.Now().After(end) {
			b.kill()
			b.t.Fatalf("the broker did not start:\n%s", out.String())
		}
	}
}

// kill ends the broker as a power cut would.
func (b *broker) kill() {
	if b.cmd != nil {
		_ = b.cmd.Process.Kill()
		_ = b.cmd.Wait()
		b.cmd = nil
	}
}

// What holds on the fake holds on a real broker; and its death, in the middle of reading, loses nothing.
func TestOnBroker(t *testing.T) {
	b := newBroker(t)
	for name, f := range cases() {
		t.Run(name, func(t *testing.T) { f(newWorld(t, []string{b.address}, 4)) })
	}
	t.Run("restart", func(t *testing.T) {
		w := newWorld(t, []string{b.address}, 4)
		s := newSink()
		tp, _ := w.start(s, w.config())
		for round := 1; round <= 3; round++ {
			w.produce(3000)
			w.keeps(s, (round-1)*3000+200)
			b.kill()
			if round == 1 {
				w.until("the tap says that it cannot read", func() bool { ok, _ := tp.Health(); return !ok })
			}
			b.start()
			w.keeps(s, round*3000)
		}
		w.until("all is committed", func() bool { return w.committed() == 9000 })
		w.until("it is well again", func() bool { ok, _ := tp.Health(); return ok })
		ids, n := s.count()
		t.Logf("%d exchanges, %d deliveries over 3 kills of the broker", ids, n)
		if ids != 9000 || n != 9000 {
			t.Errorf("%d exchanges, %d deliveries, of 9000", ids, n)
		}
	})
}
