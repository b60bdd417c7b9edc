package gateway_test

import (
	"bytes"
	"context"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"

	"github.com/palladium-guard/palladium/traffic/gateway"
	"github.com/palladium-guard/palladium/world/upstream"
)

// frames speaks HTTP/2 by hand, without credit for answers beyond what the protocol begins with.
type frames struct {
	*http2.Framer
	block bytes.Buffer
	enc   *hpack.Encoder
}

func (r *rig) frames() *frames {
	r.t.Helper()
	c, err := net.Dial("tcp", r.server.Listener.Addr().String())
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(func() { c.Close() })
	_ = c.SetReadDeadline(time.Now().Add(2 * patience))
	_, _ = io.WriteString(c, http2.ClientPreface)
	f := &frames{Framer: http2.NewFramer(c, c)}
	f.enc = hpack.NewEncoder(&f.block)
	f.MaxHeaderListSize = 1 << 20
	_ = f.WriteSettings()
	return f
}

// head encodes the headers of a request to the chat endpoint.
func (f *frames) head(more ...string) []byte {
	f.block.Reset()
	all := append([]string{":method", "POST", ":scheme", "http", ":authority", "x", ":path", "/v1/chat/completions", "authorization", "Bearer " + key}, more...)
	for i := 0; i+1 < len(all); i += 2 {
		_ = f.enc.WriteField(hpack.HeaderField{Name: all[i], Value: all[i+1]})
	}
	return f.block.Bytes()
}

// until reads frames until one ends the stream or the connection, and says how.
func (f *frames) until(id uint32) string {
	for {
		fr, err := f.ReadFrame()
		if err != nil {
			return "connection over: " + err.Error()
		}
		switch fr := fr.(type) {
		case *http2.RSTStreamFrame:
			return "reset"
		case *http2.GoAwayFrame:
			return "go away"
		case *http2.SettingsFrame:
			if !fr.IsAck() {
				_ = f.WriteSettingsAck()
			}
		case *http2.PingFrame:
			if !fr.IsAck() {
				_ = f.WritePing(true, fr.Data)
			}
		case *http2.HeadersFrame:
			if fr.StreamID == id && fr.StreamEnded() {
				return "answered"
			}
		case *http2.DataFrame:
			if fr.StreamID == id && fr.StreamEnded() {
				return "answered"
			}
		}
	}
}

// What is tried against HTTP/1.1 by slowness and by size is tried over HTTP/2 too: no exchange stays open for it.
func TestHTTP2Attacks(t *testing.T) {
	r := start(t, func(o *gateway.Options, _ *rig) {
		o.Config.TLS.Cleartext2 = true
		l := &o.Config.Limits
		l.Header, l.Body, l.BodyTime, l.Write = 16<<10, 1<<20, 300*time.Millisecond, 500*time.Millisecond
	})
	over := func(t *testing.T) {
		t.Helper()
		for range 3000 {
			if r.gateway.InFlight() == 0 {
				return
			}
			time.Sleep(5 * time.Millisecond)
		}
		t.Errorf("%d exchanges are still open", r.gateway.InFlight())
	}
	t.Run("body that never ends", func(t *testing.T) {
		f, at := r.frames(), time.Now()
		_ = f.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: f.head(), EndHeaders: true})
		_ = f.WriteData(1, false, []byte(`{"model":`))
		if how := f.until(1); strings.HasPrefix(how, "connection over") || time.Since(at) > patience {
			t.Errorf("%s after %v", how, time.Since(at))
		}
		over(t)
	})
	t.Run("giant headers", func(t *testing.T) {
		f := r.frames()
		_ = f.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: f.head("x-small", "a")})
		piece := bytes.Clone(f.head("x-big", strings.Repeat("a", 12<<10)))
		for range 1000 {
			if f.WriteContinuation(1, false, piece) != nil {
				break
			}
		}
		if how := f.until(1); how == "answered" && len(r.model.Seen()) > 0 {
			t.Errorf("endless headers: %s", how)
		}
		over(t)
	})
	t.Run("a bomb of headers", func(t *testing.T) { // one entry of the table, named again and again
		f := r.frames()
		long := strings.Repeat("b", 3000)
		more := []string{}
		for range 2000 {
			more = append(more, "x-bomb", long)
		}
		block := bytes.Clone(f.head(more...))
		if len(block) > 1<<14 {
			t.Fatalf("the bomb is %d bytes", len(block))
		}
		_ = f.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: block, EndHeaders: true, EndStream: true})
		_ = f.until(1)
		over(t)
	})
	t.Run("reader without credit", func(t *testing.T) {
		f := r.frames()
		long := strings.Replace(chatStream, `"max_tokens":20`, `"max_tokens":100000000`, 1)
		_ = f.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: f.head("x-upstream-fault", "body=5000000,tag=credit"), EndHeaders: true})
		_ = f.WriteData(1, true, []byte(long))
		if how := f.until(1); how == "answered" {
			t.Error("5 MB came without credit")
		}
		over(t)
		wait, done := context.WithTimeout(context.Background(), patience)
		defer done()
		if _, err := r.model.Await(wait, func(q upstream.Request) bool { return q.Outcome == upstream.Cancelled }); err != nil {
			t.Errorf("the upstream was not told: %v", err)
		}
	})
	for _, q := range r.model.Seen() {
		if len(q.Header.Get("X-Bomb")) > 0 {
			t.Error("the bomb reached the upstream")
		}
	}
	if resp := r.send("/v1/chat/completions", chatPlain); resp.StatusCode != 200 {
		t.Errorf("after all that, status %d", resp.StatusCode)
	}
}
