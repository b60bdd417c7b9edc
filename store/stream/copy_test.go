package stream

import (
	"encoding/json"
	"fmt"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/palladium-guard/palladium/store/stream/fetch"
)

// A copy of the stream that has fallen behind, or lacks something, is not believed: the leader is asked. Servers that give one message
// to a request are read too.
func TestCopyBehind(t *testing.T) {
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
				var ask struct{ Seq, Batch uint64 }
				if err := json.Unmarshal(m.Data, &ask); err != nil {
					t.Error(err)
				}
				given := uint64(0)
				for seq := max(first, ask.Seq); seq <= last && given < ask.Batch; seq++ {
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
			if took := time.Since(begun); k.old && took > quiet {
				t.Errorf("read in %v", took)
			}
			if err := sub.Unsubscribe(); err != nil {
				t.Fatal(err)
			}
		})
	}
}
