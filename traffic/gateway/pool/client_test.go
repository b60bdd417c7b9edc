package pool

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// talk is an upstream of which every connection is given to serve, and a client for it.
func talk(t testing.TB, serve func(c net.Conn)) (*client, *atomic.Int64) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	opened := new(atomic.Int64)
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			opened.Add(1)
			go func() {
				defer c.Close()
				serve(c)
			}()
		}
	}()
	c := dialing(l.Addr().String())
	t.Cleanup(c.close)
	return c, opened
}

func dialing(addr string) *client {
	return newClient(addr, time.Minute, func(ctx context.Context, network, addr string) (net.Conn, error) {
		var d net.Dialer
		c, err := d.DialContext(ctx, network, addr)
		if err != nil {
			return nil, &dialError{err}
		}
		return c, nil
	})
}

func get(t testing.TB, c *client, method, body string) (*http.Response, error) {
	t.Helper()
	req, err := http.NewRequest(method, "http://"+c.addr+"/v1/x?y=z", nil)
	if err != nil {
		t.Fatal(err)
	}
	return c.send(context.Background(), req, []byte(body))
}

// says serves requests with the bytes of answer, in pieces of n bytes.
func says(answer string, n int) func(net.Conn) {
	return func(c net.Conn) {
		in := bufio.NewReader(c)
		for {
			req, err := http.ReadRequest(in)
			if err != nil {
				return
			}
			_, _ = io.Copy(io.Discard, req.Body)
			for rest := answer; rest != ""; {
				piece := rest[:min(n, len(rest))]
				rest = rest[len(piece):]
				if _, err := io.WriteString(c, piece); err != nil {
					return
				}
				if n < len(answer) {
					time.Sleep(50 * time.Microsecond)
				}
			}
			if strings.Contains(answer, "X-End") {
				return
			}
		}
	}
}

// Answers are read as net/http reads them where they are clear, and refused where they are not; connections are used
// again only behind a whole answer.
func TestAnswers(t *testing.T) {
	long := strings.Repeat("0123456789", 1000)
	for _, k := range []struct {
		name, answer, body string
		bad, broken        bool // no answer at all; an answer that breaks off
		once               bool // the connection is not used again
	}{
		{name: "sized", answer: "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", body: "hello"},
		{name: "long", answer: fmt.Sprintf("HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s", len(long), long), body: long},
		{name: "empty", answer: "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"},
		{name: "no content", answer: "HTTP/1.1 204 No Content\r\n\r\n"},
		{name: "no reason", answer: "HTTP/1.1 200\r\nContent-Length: 0\r\n\r\n"},
		{name: "chunked", answer: "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nhel\r\n2;x=y\r\nlo\r\n0\r\n\r\n", body: "hello"},
		{name: "chunked long", answer: "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2710\r\n" + long + "\r\n00\r\n\r\n", body: long},
		{name: "trailer", answer: "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\nX-Sum: 1\r\n\r\n", body: "a"},
		{name: "interim", answer: "HTTP/1.1 103 Early Hints\r\nLink: a\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\na", body: "a"},
		{name: "close", answer: "HTTP/1.1 200 OK\r\nConnection: Close\r\nContent-Length: 1\r\n\r\na", body: "a", once: true},
		{name: "to the end", answer: "HTTP/1.1 200 OK\r\nX-End: 1\r\n\r\nhello", body: "hello", once: true},
		{name: "1.0", answer: "HTTP/1.0 200 OK\r\nX-End: 1\r\n\r\nhello", body: "hello", once: true},
		{name: "big head", answer: "HTTP/1.1 200 OK\r\nX-Long: " + long + "\r\nContent-Length: 1\r\n\r\na", body: "a"},
		{name: "two lengths, the same", answer: "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\na", body: "a"},
		{name: "more than said", answer: "HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nab", body: "a", once: true},
		{name: "length and chunks", answer: "HTTP/1.1 200 OK\r\nContent-Length: 9\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\n\r\n", body: "a", once: true},

		{name: "cut", answer: "HTTP/1.1 200 OK\r\nX-End: 1\r\nContent-Length: 9\r\n\r\nhello", body: "hello", broken: true, once: true},
		{name: "cut chunks", answer: "HTTP/1.1 200 OK\r\nX-End: 1\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n", body: "hello", broken: true, once: true},
		{name: "cut in the end", answer: "HTTP/1.1 200 OK\r\nX-End: 1\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n", body: "hello", broken: true, once: true},
		{name: "bare line feed", answer: "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\nhello\r\n0\r\n\r\n", broken: true, once: true},
		{name: "no size", answer: "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n\r\nhello", broken: true, once: true},
		{name: "sign", answer: "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n+5\r\nhello", broken: true, once: true},
		{name: "huge size", answer: "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n8000000000000000\r\nhello", broken: true, once: true},
		{name: "longer than its size", answer: "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhello\r\n0\r\n\r\n", body: "he", broken: true, once: true},
		{name: "trailer that frames", answer: "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nContent-Length: 5\r\n\r\n", broken: true, once: true},

		{name: "two lengths", answer: "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab", bad: true, once: true},
		{name: "signed length", answer: "HTTP/1.1 200 OK\r\nContent-Length: +1\r\n\r\na", bad: true, once: true},
		{name: "list of lengths", answer: "HTTP/1.1 200 OK\r\nContent-Length: 1, 1\r\n\r\na", bad: true, once: true},
		{name: "unknown coding", answer: "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", bad: true, once: true},
		{name: "chunks in 1.0", answer: "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", bad: true, once: true},
		{name: "folded", answer: "HTTP/1.1 200 OK\r\nA: b\r\n c\r\n\r\n", bad: true, once: true},
		{name: "blank in a name", answer: "HTTP/1.1 200 OK\r\nContent-Length : 1\r\n\r\na", bad: true, once: true},
		{name: "zero byte", answer: "HTTP/1.1 200 OK\r\nA: \x00\r\n\r\n", bad: true, once: true},
		{name: "line feed in a value", answer: "HTTP/1.1 200 OK\r\nA: b\nC: d\r\n\r\n", bad: true, once: true},
		{name: "other protocol", answer: "HTTP/2.0 200 OK\r\n\r\n", bad: true, once: true},
		{name: "switched", answer: "HTTP/1.1 101 Switching Protocols\r\n\r\n", bad: true, once: true},
		{name: "no number", answer: "HTTP/1.1 2x0 OK\r\n\r\n", bad: true, once: true},
		{name: "endless head", answer: "HTTP/1.1 200 OK\r\n" + strings.Repeat("A: "+long+"\r\n", 40), bad: true, once: true},
	} {
		for _, piece := range []int{1 << 20, 1000, 1} {
			if piece == 1 && (len(k.answer) > 1000 || k.name == "more than said") { // what comes too late is not seen
				continue
			}
			t.Run(fmt.Sprintf("%s by %d", k.name, piece), func(t *testing.T) {
				c, opened := talk(t, says(k.answer, piece))
				for range 2 {
					resp, err := get(t, c, "POST", "{}")
					if err != nil {
						if !k.bad {
							t.Fatal(err)
						}
						continue
					}
					body, err := io.ReadAll(resp.Body)
					resp.Body.Close()
					switch {
					case k.bad:
						t.Fatalf("status %d, %q and %v", resp.StatusCode, body, err)
					case (err != nil) != k.broken, !k.broken && string(body) != k.body, !strings.HasPrefix(k.body, string(body)):
						t.Fatalf("%q and %v", body, err)
					case k.name == "trailer" && resp.Trailer.Get("X-Sum") != "1":
						t.Fatalf("trailer %v", resp.Trailer)
					}
					time.Sleep(time.Millisecond)
				}
				if n := opened.Load(); (n == 2) != k.once {
					t.Errorf("2 requests took %d connections", n)
				}
			})
		}
	}
}

// What is sent is what net/http's server reads.
func TestRequests(t *testing.T) {
	type sent struct {
		*http.Request
		body []byte
	}
	requests := make(chan sent, 1)
	s := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		requests <- sent{r, body}
	}))
	defer s.Close()
	c := dialing(strings.TrimPrefix(s.URL, "http://"))
	defer c.close()
	for _, size := range []int{0, 10, inlineBody, 8 << 20} {
		want := bytes.Repeat([]byte("x"), size)
		req, _ := http.NewRequest("POST", s.URL+"/v1/a%2Fb?c=d", nil)
		req.Header = http.Header{"A": {"1", "2"}, "User-Agent": nil, "lower-case": {"x"}}
		resp, err := c.send(context.Background(), req, want)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if got := <-requests; got.Method != "POST" || got.RequestURI != "/v1/a%2Fb?c=d" || !bytes.Equal(got.body, want) || len(got.Header["A"]) != 2 || got.UserAgent() != "" || got.Header.Get("Lower-Case") != "x" {
			t.Errorf("got %s %s with %d bytes and %v", got.Method, got.RequestURI, len(got.body), got.Header)
		}
	}
	for _, h := range []http.Header{{"A": {"b\r\nC: d"}}, {"A\r\nB": {"c"}}, {"": {"c"}}} {
		req, _ := http.NewRequest("POST", s.URL, nil)
		req.Header = h
		if _, err := c.send(context.Background(), req, nil); !errors.Is(err, errHeader) {
			t.Errorf("%q was sent: %v", h, err)
		}
	}
}

// A connection that the upstream has closed meanwhile is replaced; one that it broke behind a request is not.
func TestStale(t *testing.T) {
	c, opened := talk(t, func(c net.Conn) {
		if _, err := http.ReadRequest(bufio.NewReader(c)); err == nil {
			_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
		}
	})
	for range 3 {
		resp, err := get(t, c, "POST", "")
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		time.Sleep(10 * time.Millisecond)
	}
	if opened.Load() != 3 {
		t.Errorf("%d connections", opened.Load())
	}
	c, opened = talk(t, func(c net.Conn) { _, _ = http.ReadRequest(bufio.NewReader(c)) })
	if _, err := get(t, c, "POST", ""); err == nil || opened.Load() != 1 {
		t.Errorf("%v with %d connections", err, opened.Load())
	}
}

// The context ends a request at once: while it connects, is written, waits for an answer or reads one.
func TestCancelled(t *testing.T) {
	gone := make(chan struct{}, 8)
	silent := func(begin string, read bool) func(net.Conn) {
		return func(c net.Conn) {
			_, _ = io.WriteString(c, begin)
			if read {
				_, _ = io.Copy(io.Discard, c)
				gone <- struct{}{}
			} else {
				time.Sleep(200 * time.Millisecond)
			}
		}
	}
	for name, k := range map[string]struct {
		begin string
		read  bool
		body  int
	}{
		"headers":     {read: true},
		"body":        {begin: "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhe", read: true},
		"chunks":      {begin: "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhe", read: true},
		"written":     {body: 64 << 20},
		"half a head": {begin: "HTTP/1.1 200 OK\r\n", read: true},
	} {
		t.Run(name, func(t *testing.T) {
			c, _ := talk(t, silent(k.begin, k.read))
			ctx, cancel := context.WithCancel(context.Background())
			time.AfterFunc(30*time.Millisecond, cancel)
			req, _ := http.NewRequest("POST", "http://x/", nil)
			resp, err := c.send(ctx, req, make([]byte, k.body))
			if err == nil {
				_, err = io.ReadAll(resp.Body)
				resp.Body.Close()
			}
			if err == nil || ctx.Err() == nil {
				t.Errorf("error %v", err)
			}
			if k.read {
				select {
				case <-gone:
				case <-time.After(time.Minute):
					t.Error("the upstream does not notice")
				}
			}
			if len(c.spare) != 0 {
				t.Error("the connection is kept")
			}
		})
	}
}

// An upstream may answer before it has read all of a long request, and need not read the rest.
func TestEarlyAnswer(t *testing.T) {
	c, _ := talk(t, func(c net.Conn) {
		if _, err := http.ReadRequest(bufio.NewReader(c)); err == nil {
			_, _ = io.WriteString(c, "HTTP/1.1 413 Too Large\r\nContent-Length: 2\r\n\r\nno")
			time.Sleep(time.Second)
		}
	})
	req, _ := http.NewRequest("POST", "http://x/", nil)
	resp, err := c.send(context.Background(), req, make([]byte, 32<<20))
	if err != nil {
		t.Fatal(err)
	}
	if b, err := io.ReadAll(resp.Body); string(b) != "no" || err != nil || resp.StatusCode != 413 {
		t.Errorf("%q, %v", b, err)
	}
	resp.Body.Close()
	if len(c.spare) != 0 {
		t.Error("a connection with half a request is kept")
	}
}

// What is idle is closed after its time, and the memory of what waits is given back.
func TestIdle(t *testing.T) {
	closed := make(chan struct{}, 1)
	c, _ := talk(t, func(c net.Conn) {
		says("HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\na", 100)(c)
		closed <- struct{}{}
	})
	c.idle = 30 * time.Millisecond
	resp, err := get(t, c, "GET", "")
	if err != nil {
		t.Fatal(err)
	}
	_, _ = io.ReadAll(resp.Body)
	resp.Body.Close()
	c.mu.Lock()
	if len(c.spare) != 1 || c.spare[0].buf != nil {
		t.Error("the connection is not kept, or holds memory")
	}
	c.mu.Unlock()
	select {
	case <-closed:
	case <-time.After(time.Minute):
		t.Error("it stays open")
	}
}

// A body that ends in good order is the one that net/http reads.
func FuzzAnswer(f *testing.F) {
	f.Add([]byte("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"), 3)
	f.Add([]byte("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nhel\r\n2;x=y\r\nlo\r\n0\r\nA: b\r\n\r\n"), 7)
	f.Add([]byte("HTTP/1.0 200 OK\r\nConnection: keep-alive\r\n\r\nhello"), 100)
	f.Add([]byte("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 404 Not Found\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\nx"), 1)
	f.Fuzz(func(t *testing.T, answer []byte, piece int) {
		near, far := net.Pipe()
		c := &client{}
		c.smalls.New = func() any { b := make([]byte, smallRead); return &b }
		c.bigs.New = func() any { b := make([]byte, bigRead); return &b }
		go func() {
			for rest, n := answer, max(1, piece%5000); len(rest) > 0; {
				if _, err := far.Write(rest[:min(n, len(rest))]); err != nil {
					return
				}
				rest = rest[min(n, len(rest)):]
			}
			far.Close()
		}()
		defer near.Close()
		k, err := newConn(c, near)
		if err != nil {
			t.Fatal(err)
		}
		resp, err := k.head("POST")
		if err != nil {
			return
		}
		b := &answerBody{k: k, stop: func() bool { return true }}
		b.begin(resp, "POST")
		body, err := io.ReadAll(b)
		if err != nil {
			return
		}
		in := bufio.NewReaderSize(bytes.NewReader(answer), maxHead)
		for {
			want, err := http.ReadResponse(in, &http.Request{Method: "POST"})
			if err != nil {
				t.Fatalf("net/http does not read what was taken: %v", err)
			}
			if want.StatusCode < 200 {
				continue
			}
			all, err := io.ReadAll(want.Body)
			if err != nil || !bytes.Equal(all, body) || want.StatusCode != resp.StatusCode {
				t.Fatalf("read %d %q, net/http %d %q and %v", resp.StatusCode, body, want.StatusCode, all, err)
			}
			for name, v := range resp.Header {
				if strings.Join(want.Header[name], "|") != strings.Join(v, "|") {
					t.Fatalf("%s is %q, in net/http %q", name, v, want.Header[name])
				}
			}
			return
		}
	})
}
