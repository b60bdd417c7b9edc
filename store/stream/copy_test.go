package stream

import (
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"

	"github.com/palladium-guard/palladium/store/stream/fetch"
)

// A copy of the stream that has fallen behind, or lacks something, is not believed: the leader is asked. Servers that give one message
// to a request are read too.
func TestCopyBehind(t *testing.T) {
	t.Parallel()
	s := open(t, Config{Dir: t.TempDir()})
	p := s.Publisher("test")
	for n := uint64(1); n <= 20; n++ {
		send(t, p, n, n) // a batch each
	}
	str, err := s.js.Stream(t.Context(), s.streamName())
	if err != nil {
		t.Fatal(err)
	}
	c := str.CachedInfo().Config
	c.AllowDirect = false // the server leaves the answers to others
	if _, err := s.js.UpdateStream(t.Context(), c); err != nil {
		t.Fatal(err)
	}
	inOrder(t, read(t, s, Position(str.CachedInfo().State.FirstSeq-1), 20).ids, 1) // no copy answers, and the leader does
	first, last := str.CachedInfo().State.FirstSeq, str.CachedInfo().State.FirstSeq+19
	kept := map[uint64]fetch.Message{}
	for seq := first; seq <= last; seq++ {
		if kept[seq], err = fetch.Leader(t.Context(), s.js, s.streamName(), seq); err != nil {
			t.Fatal(err)
		}
	}
	for _, k := range []struct {
		name string
		has  func(seq uint64) bool
		old  bool // one message to a request
	}{
		{"has nothing", func(uint64) bool { return false }, false},
		{"ends early", func(seq uint64) bool { return seq < first+9 }, false},
		{"lacks one", func(seq uint64) bool { return seq != first+9 }, false},
		{"lacks the first", func(seq uint64) bool { return seq > first }, false},
		{"is silent", nil, false},
		{"an old server", func(uint64) bool { return true }, true},
	} {
		t.Run(k.name, func(t *testing.T) {
			conn := s.conn
			sub, err := conn.Subscribe("$JS.API.DIRECT.GET."+s.streamName(), func(m *nats.Msg) {
				if k.has == nil {
					return
				}
				var ask struct {
					Seq, Batch uint64
					Next       string `json:"next_by_subj"`
				}
				if err := json.Unmarshal(m.Data, &ask); err != nil {
					t.Error(err)
				}
				given, from := uint64(0), ask.Seq
				if k.old && ask.Next != ">" && from < first {
					from = last + 1 // those before 2.12 have no message there
				}
				for seq := max(first, from); seq <= last && given < ask.Batch; seq++ {
					if !k.has(seq) {
						continue
					}
					one := kept[seq]
					given++
					out := nats.NewMsg(m.Reply)
					out.Data = one.Data
					out.Header = nats.Header{"Nats-Sequence": {fmt.Sprint(seq)}, "Nats-Time-Stamp": {one.Time.Format(time.RFC3339Nano)}}
					if !k.old {
						out.Header.Set("Nats-Num-Pending", fmt.Sprint(last-seq))
					}
					_ = conn.PublishMsg(out)
					if k.old {
						return
					}
				}
				end := nats.NewMsg(m.Reply)
				end.Header = nats.Header{"Status": {"204"}}
				if given == 0 {
					end.Header.Set("Status", "404")
				}
				_ = conn.PublishMsg(end)
			})
			if err != nil {
				t.Fatal(err)
			}
			if err := conn.Flush(); err != nil {
				t.Fatal(err)
			}
			begun := time.Now()
			inOrder(t, read(t, s, Position(first-1), 20).ids, 1)
			if k.old {
				inOrder(t, read(t, s, 0, 20).ids, 1)
			}
			if took := time.Since(begun); k.old && took > 2*time.Second {
				t.Errorf("read in %v", took)
			}
			if err := sub.Unsubscribe(); err != nil {
				t.Fatal(err)
			}
		})
	}
}

// Servers that the address does not name are read from too, once the one that it names is gone.
func TestLearnedServers(t *testing.T) {
	t.Parallel()
	var ports []int
	for range 3 {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		ports = append(ports, l.Addr().(*net.TCPAddr).Port)
		l.Close()
	}
	var servers []*server.Server
	for i := range 3 {
		o := &server.Options{
			ServerName: fmt.Sprint("s", i), Host: "127.0.0.1", Port: server.RANDOM_PORT, NoSigs: true, NoLog: true, JetStream: true, StoreDir: t.TempDir(),
			Username: "who", Password: "secret", Cluster: server.ClusterOpts{Name: "c", Host: "127.0.0.1", Port: ports[i]},
		}
		for _, p := range ports {
			o.Routes = append(o.Routes, &url.URL{Scheme: "nats", Host: fmt.Sprint("127.0.0.1:", p)})
		}
		s, err := server.NewServer(o)
		if err != nil {
			t.Fatal(err)
		}
		s.Start()
		t.Cleanup(s.Shutdown)
		servers = append(servers, s)
	}
	at := strings.Replace(servers[0].ClientURL(), "nats://", "nats://who:secret@", 1)
	s := settled(t, open(t, Config{URL: at, Replicas: 3}))
	eventually(t, time.Minute, func() error {
		if known := s.conn.Servers(); len(known) < 3 {
			return fmt.Errorf("%v are known", known)
		}
		return nil
	})
	p := s.Publisher("test")
	send(t, p, 1, 10)
	k := &keeper{until: 20}
	done := make(chan error, 1)
	go func() { done <- s.Read(patient(t), 0, k) }()
	eventually(t, time.Minute, func() error {
		if n := k.have(); n < 10 {
			return fmt.Errorf("%d are read", n)
		}
		return nil
	})
	servers[0].Shutdown()
	send(t, p, 11, 20)
	if err := <-done; !errors.Is(err, errEnough) {
		t.Fatalf("read %d: %v", k.have(), err)
	}
	inOrder(t, k.ids, 1)
}

// A stream that comes back shorter under a reader, as from a backup, is told as a gap.
func TestComesBackShorter(t *testing.T) {
	t.Parallel()
	s := open(t, Config{Dir: t.TempDir()})
	p := s.Publisher("test")
	for n := uint64(1); n <= 20; n++ {
		send(t, p, n, n)
	}
	k := &keeper{}
	done := make(chan error, 1)
	go func() { done <- s.Read(patient(t), 0, k) }()
	eventually(t, time.Minute, func() error {
		if n := k.have(); n < 20 {
			return fmt.Errorf("%d are read", n)
		}
		return nil
	})
	str, err := s.js.Stream(t.Context(), s.streamName())
	if err != nil {
		t.Fatal(err)
	}
	c := str.CachedInfo().Config
	c.FirstSeq = str.CachedInfo().State.FirstSeq
	if err := s.js.DeleteStream(t.Context(), c.Name); err != nil {
		t.Fatal(err)
	}
	if _, err := s.js.CreateStream(t.Context(), c); err != nil {
		t.Fatal(err)
	}
	send(t, p, 21, 25)
	if err := <-done; !errors.Is(err, ErrGap) {
		t.Errorf("it reads on: %v", err)
	}
}
