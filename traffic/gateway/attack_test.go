package gateway_test

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"

	"github.com/palladium-guard/palladium/traffic/gateway"
	"github.com/palladium-guard/palladium/world/upstream"
)

// patience is how long a test waits for what a busy machine may be slow to do; no limit that is tested is as long.
const patience = 8 * time.Second

// raw sends bytes as they are and returns what comes back until the connection closes, or says nothing for wait once it
// has begun to answer.
func (r *rig) raw(wait time.Duration, pieces ...string) (string, error) {
	r.t.Helper()
	c, err := net.Dial("tcp", r.server.Listener.Addr().String())
	if err != nil {
		r.t.Fatal(err)
	}
	defer c.Close()
	for _, p := range pieces {
		if _, err := io.WriteString(c, p); err != nil {
			break // the gateway has closed: what it said is still to be read
		}
	}
	var all []byte
	buf := make([]byte, 4096)
	_ = c.SetReadDeadline(time.Now().Add(2 * patience))
	for {
		n, err := c.Read(buf)
		all = append(all, buf[:n]...)
		if err == io.EOF {
			return string(all), nil
		}
		if err != nil {
			return string(all), err
		}
		_ = c.SetReadDeadline(time.Now().Add(wait))
	}
}

func post(headers, body string) string {
	return "POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer " + key + "\r\n" + headers + "\r\n" + body
}

// A request whose end two servers could see at different places is refused, or reaches the upstream as one request with
// one length.
func TestSmuggling(t *testing.T) {
	r := start(t, nil)
	inner := "GET /smuggled HTTP/1.1\r\nHost: x\r\n\r\n"
	n := len(chatPlain)
	chunked := fmt.Sprintf("%x\r\n%s\r\n0\r\n\r\n", n, chatPlain)
	for name, text := range map[string]string{
		"both lengths":                   post(fmt.Sprintf("Content-Length: %d\r\nTransfer-Encoding: chunked\r\n", 4), chunked+inner),
		"two lengths":                    post(fmt.Sprintf("Content-Length: %d\r\nContent-Length: %d\r\n", n, n+len(inner)), chatPlain+inner),
		"list of lengths":                post(fmt.Sprintf("Content-Length: %d, %d\r\n", n, n), chatPlain+inner),
		"chunked twice":                  post("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n", chunked+inner),
		"chunked hidden":                 post(fmt.Sprintf("Content-Length: %d\r\nTransfer-Encoding: xchunked\r\n", n), chatPlain+inner),
		"chunked with a vertical tab":    post(fmt.Sprintf("Content-Length: %d\r\nTransfer-Encoding: \x0bchunked\r\n", n), chatPlain+inner),
		"space before the colon":         post(fmt.Sprintf("Content-Length : %d\r\n", n), chatPlain+inner),
		"folded line":                    post(fmt.Sprintf("X-A: b\r\n Content-Length: 3\r\nContent-Length: %d\r\n", n), chatPlain+inner),
		"bare line feed in a header":     post(fmt.Sprintf("X-A: b\nX-B: c\r\nContent-Length: %d\r\n", n), chatPlain+inner),
		"negative length":                post("Content-Length: -1\r\n", chatPlain+inner),
		"plus sign":                      post(fmt.Sprintf("Content-Length: +%d\r\n", n), chatPlain+inner),
		"chunk size that overflows":      post("Transfer-Encoding: chunked\r\n", "ffffffffffffffff1\r\n"+chatPlain+"\r\n0\r\n\r\n"+inner),
		"chunk extension with line feed": post("Transfer-Encoding: chunked\r\n", fmt.Sprintf("%x;a=\n%s\r\n0\r\n\r\n", n, chatPlain)+inner),
		"old protocol, chunked":          strings.Replace(post("Transfer-Encoding: chunked\r\n", chunked+inner), "HTTP/1.1", "HTTP/1.0", 1),
		"a null in a header":             post(fmt.Sprintf("X-A: b\x00c\r\nContent-Length: %d\r\n", n), chatPlain+inner),
	} {
		t.Run(name, func(t *testing.T) {
			got, _ := r.raw(300*time.Millisecond, text)
			if !strings.HasPrefix(got, "HTTP/1.") {
				t.Fatalf("no answer: %q", got)
			}
		})
	}
	for _, q := range r.model.Seen() {
		if q.Path != "/v1/chat/completions" || string(q.Body) != chatPlain || len(q.Header["Transfer-Encoding"]) > 0 || q.Header.Get("Content-Length") == "" && q.Size != int64(n) {
			t.Errorf("the upstream saw %s %s with %q", q.Method, q.Path, q.Body)
		}
	}
}

func TestLimits(t *testing.T) {
	r := start(t, func(o *gateway.Options, _ *rig) {
		l := &o.Config.Limits
		l.Header, l.Body, l.Memory, l.HeaderTime, l.BodyTime, l.KeepOpen = 8<<10, 1<<20, 3<<20, 500*time.Millisecond, 700*time.Millisecond, 500*time.Millisecond
		l.FirstByte, l.Idle = time.Second, time.Second
	})
	t.Run("giant headers", func(t *testing.T) {
		if got, _ := r.raw(patience, post("X-Big: "+strings.Repeat("a", 32<<10)+"\r\n", "")); !strings.HasPrefix(got, "HTTP/1.1 431") {
			t.Errorf("got %.60q", got)
		}
	})
	t.Run("headers that never end", func(t *testing.T) {
		at := time.Now()
		_, err := r.raw(patience, "POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\n")
		if took := time.Since(at); err != nil || took > patience {
			t.Errorf("open for %v, error %v", took, err)
		}
	})
	t.Run("body that never ends", func(t *testing.T) {
		at := time.Now()
		got, _ := r.raw(patience, post("Content-Length: 1000\r\n", `{"model":`))
		if took := time.Since(at); took > patience || !strings.HasPrefix(got, "HTTP/1.1 408") {
			t.Errorf("open for %v, got %.200q", took, got)
		}
	})
	t.Run("a connection without a request", func(t *testing.T) {
		at := time.Now()
		if _, err := r.raw(patience); err != nil || time.Since(at) > patience {
			t.Errorf("open for %v, error %v", time.Since(at), err)
		}
	})
	t.Run("declared large", func(t *testing.T) {
		if got, _ := r.raw(patience, post("Content-Length: 2000000\r\nExpect: 100-continue\r\n", "")); !strings.HasPrefix(got, "HTTP/1.1 413") {
			t.Errorf("got %.60q", got)
		}
	})
	t.Run("large without a length", func(t *testing.T) {
		piece := "10000\r\n" + strings.Repeat("a", 1<<16) + "\r\n"
		if got, _ := r.raw(patience, post("Transfer-Encoding: chunked\r\n", strings.Repeat(piece, 20))); got != "" && !strings.HasPrefix(got, "HTTP/1.1 413") {
			t.Errorf("got %.60q", got)
		}
	})
	t.Run("compression bomb", func(t *testing.T) {
		var b bytes.Buffer
		z := gzip.NewWriter(&b)
		_, _ = z.Write(bytes.Repeat([]byte("0"), 50<<20))
		z.Close()
		for _, e := range []string{"gzip", "deflate", "br", "zstd", "gzip, gzip", "x-gzip"} {
			resp := r.send("/v1/chat/completions", b.String(), "Content-Encoding", e)
			if resp.StatusCode != 415 {
				t.Errorf("%s: status %d", e, resp.StatusCode)
			}
		}
	})
	t.Run("all bodies together", func(t *testing.T) {
		var conns []net.Conn
		refused := false
		for range 8 {
			c, err := net.Dial("tcp", r.server.Listener.Addr().String())
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			_, _ = io.WriteString(c, post("Content-Length: 1000000\r\n", strings.Repeat("a", 700_000)))
			conns = append(conns, c)
		}
		for _, c := range conns {
			_ = c.SetReadDeadline(time.Now().Add(patience))
			line, _ := bufio.NewReader(c).ReadString('\n')
			refused = refused || strings.HasPrefix(line, "HTTP/1.1 503")
		}
		if !refused {
			t.Error("bodies of more than the limit were held")
		}
		if m := metrics(t, r.gateway); m["palladium_gateway_held_bytes"] != 0 {
			t.Errorf("%v bytes are still counted as held", m["palladium_gateway_held_bytes"])
		}
	})
	t.Run("slow upstream", func(t *testing.T) {
		if resp := r.send("/v1/chat/completions", chatPlain, "X-Upstream-Fault", "first=60s"); resp.StatusCode != 504 || resp.Header.Get("X-Palladium-Reason") != "upstream.slow" {
			t.Errorf("status %d", resp.StatusCode)
		}
	})
	t.Run("silent upstream", func(t *testing.T) {
		at := time.Now()
		if _, err := io.ReadAll(r.send("/v1/chat/completions", chatStream, "X-Upstream-Fault", "hang=3").Body); err == nil || time.Since(at) > patience {
			t.Errorf("ended after %v with error %v", time.Since(at), err)
		}
	})
	t.Run("expect", func(t *testing.T) {
		got, _ := r.raw(patience, post(fmt.Sprintf("Content-Length: %d\r\nExpect: 100-continue\r\nConnection: close\r\n", len(chatPlain)), chatPlain))
		if !strings.HasPrefix(got, "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK") {
			t.Errorf("got %.80q", got)
		}
	})
	if resp := r.send("/v1/chat/completions", chatPlain); resp.StatusCode != 200 {
		t.Errorf("after all that, status %d", resp.StatusCode)
	}
}

// A caller that reads nothing is let go of, and the upstream with it.
func TestSlowReader(t *testing.T) {
	r := start(t, func(o *gateway.Options, _ *rig) { o.Config.Limits.Write = 300 * time.Millisecond })
	c, err := net.Dial("tcp", r.server.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	_ = c.(*net.TCPConn).SetReadBuffer(4096)
	long := strings.Replace(chatStream, `"max_tokens":20`, `"max_tokens":100000000`, 1)
	_, _ = io.WriteString(c, post(fmt.Sprintf("Content-Length: %d\r\nX-Upstream-Fault: body=60000000\r\n", len(long)), long))
	wait, done := context.WithTimeout(context.Background(), 30*time.Second)
	defer done()
	if _, err := r.model.Await(wait, func(q upstream.Request) bool { return q.Outcome == upstream.Cancelled }); err != nil {
		t.Errorf("the upstream was not told: %v", err)
	}
	for range 3000 {
		if r.gateway.InFlight() == 0 {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Error("the exchange is still open")
}

// HTTP/2 streams that are opened and reset at once (CVE-2023-44487) keep no exchange open, and others are served on.
func TestRapidReset(t *testing.T) {
	r := start(t, func(o *gateway.Options, _ *rig) {
		o.Config.TLS.Cleartext2 = true
		o.Config.Limits.Streams = 50
	})
	c, err := net.Dial("tcp", r.server.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	_, _ = io.WriteString(c, http2.ClientPreface)
	f := http2.NewFramer(c, c)
	_ = f.WriteSettings()
	var block bytes.Buffer
	enc := hpack.NewEncoder(&block)
	go func() { _, _ = io.Copy(io.Discard, c) }()
	for i := range 5000 {
		block.Reset()
		for _, h := range [][2]string{{":method", "POST"}, {":scheme", "http"}, {":authority", "x"}, {":path", "/v1/chat/completions"},
			{"authorization", "Bearer " + key}, {"x-upstream-fault", "first=10s"}} {
			_ = enc.WriteField(hpack.HeaderField{Name: h[0], Value: h[1]})
		}
		id := uint32(2*i + 1)
		if f.WriteHeaders(http2.HeadersFrameParam{StreamID: id, BlockFragment: block.Bytes(), EndHeaders: true}) != nil ||
			f.WriteData(id, true, []byte(chatStream)) != nil || f.WriteRSTStream(id, http2.ErrCodeCancel) != nil {
			break // the gateway has had enough
		}
	}
	if resp := r.send("/v1/chat/completions", chatPlain); resp.StatusCode != 200 {
		t.Errorf("others get status %d", resp.StatusCode)
	}
	for range 3000 {
		if r.gateway.InFlight() == 0 {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Errorf("%d exchanges are still open", r.gateway.InFlight())
}

// Answers are the same over HTTP/2, and a cut stream is reset there.
func TestHTTP2(t *testing.T) {
	r := start(t, func(o *gateway.Options, _ *rig) { o.Config.TLS.Cleartext2 = true })
	p := new(http.Protocols)
	p.SetUnencryptedHTTP2(true)
	client := &http.Client{Transport: &http.Transport{Protocols: p, TLSClientConfig: &tls.Config{}}}
	defer client.CloseIdleConnections()
	get := func(fault string) (*http.Response, string, error) {
		req, _ := http.NewRequest(http.MethodPost, r.server.URL+"/v1/chat/completions", strings.NewReader(chatStream))
		req.Header.Set("Authorization", "Bearer "+key)
		req.Header.Set("X-Upstream-Fault", fault)
		resp, err := client.Do(req)
		if err != nil {
			return nil, "", err
		}
		defer resp.Body.Close()
		b, err := io.ReadAll(resp.Body)
		return resp, string(b), err
	}
	want := text(t, r.send("/v1/chat/completions", chatStream))
	resp, got, err := get("")
	if err != nil || resp.ProtoMajor != 2 || got != want {
		t.Errorf("error %v, got %s", err, got)
	}
	if _, got, err := get("cut=3"); err == nil {
		t.Errorf("a cut stream ended in good order: %s", tail(got))
	}
}
