package main

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

const model = "test-model"

// ask is the body of a chat request, about as long as a short question.
func ask(n int, stream bool, limit int) []byte {
	more := ""
	if stream {
		more = `,"stream":true,"stream_options":{"include_usage":true}`
	}
	if limit > 0 {
		more += fmt.Sprintf(`,"max_tokens":%d`, limit)
	}
	text := fmt.Sprintf("question %d: %s", n, strings.Repeat("what would you say to somebody who asks about this? ", 5))
	return fmt.Appendf(nil, `{"model":%q,"messages":[{"role":"system","content":"answer in few words"},{"role":"user","content":%q}]%s}`, model, text, more)
}

// client is one caller with one connection. One goroutine owns it.
type client struct {
	t    *target
	conn net.Conn
	in   *bufio.Reader
	buf  []byte
}

func (c *client) close() {
	if c.conn != nil {
		_ = c.conn.Close()
		c.conn = nil
	}
}

// send writes a request and returns the response with its headers read.
func (c *client) send(ctx context.Context, body []byte, fault string) (*http.Response, error) {
	if c.conn == nil {
		var d net.Dialer
		conn, err := d.DialContext(ctx, "tcp", c.t.addr)
		if err != nil {
			return nil, err
		}
		c.conn, c.in = conn, bufio.NewReaderSize(conn, 4<<10)
	}
	c.buf = fmt.Appendf(c.buf[:0], "POST /v1/chat/completions HTTP/1.1\r\nHost: %s\r\nAuthorization: Bearer %s\r\nContent-Type: application/json\r\nAccept: */*\r\nUser-Agent: bench\r\nContent-Length: %d\r\n", c.t.addr, c.t.key, len(body))
	if fault != "" {
		c.buf = fmt.Appendf(c.buf, "X-Upstream-Fault: %s\r\n", fault)
	}
	c.buf = append(append(c.buf, "\r\n"...), body...)
	if _, err := c.conn.Write(c.buf); err != nil {
		c.close()
		return nil, err
	}
	res, err := http.ReadResponse(c.in, nil)
	if err != nil {
		c.close()
	}
	return res, err
}

// once sends a request and reads the whole answer. On an error what had come is returned with it.
func (c *client) once(ctx context.Context, body []byte, fault string) (answer []byte, first time.Duration, err error) {
	began := time.Now()
	res, err := c.send(ctx, body, fault)
	if err != nil {
		return nil, 0, err
	}
	var out bytes.Buffer
	chunk := make([]byte, 16<<10)
	for {
		n, err := res.Body.Read(chunk)
		if n > 0 && first == 0 {
			first = time.Since(began)
		}
		out.Write(chunk[:n])
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			c.close()
			return out.Bytes(), first, err
		}
	}
	if res.Close {
		c.close()
	}
	if res.StatusCode != http.StatusOK {
		return out.Bytes(), first, fmt.Errorf("status %d: %.200s", res.StatusCode, out.String())
	}
	return out.Bytes(), first, nil
}

// turn is what a target did with a number of requests.
type turn struct {
	wall, cpu    time.Duration
	times, first []time.Duration
	n            int
}

// volley sends n requests from as many clients as given and waits for them. The core time counted is that of process,
// which may be nil.
func volley(ctx context.Context, t *target, process *target, clients, n int, body []byte) (turn, error) {
	var next atomic.Int64
	var mu sync.Mutex
	var firstErr error
	out := turn{n: n}
	var before time.Duration
	if process != nil {
		before = process.cpu()
	}
	began := time.Now()
	var wg sync.WaitGroup
	for range clients {
		wg.Go(func() {
			c := &client{t: t}
			defer c.close()
			var times, first []time.Duration
			for next.Add(1) <= int64(n) && ctx.Err() == nil {
				at := time.Now()
				_, f, err := c.once(ctx, body, "")
				if err != nil {
					mu.Lock()
					firstErr = errors.Join(firstErr, err)
					mu.Unlock()
					return
				}
				times, first = append(times, time.Since(at)), append(first, f)
			}
			mu.Lock()
			out.times, out.first = append(out.times, times...), append(out.first, first...)
			mu.Unlock()
		})
	}
	wg.Wait()
	out.wall = time.Since(began)
	if process != nil {
		out.cpu = process.cpu() - before
	}
	if firstErr != nil {
		return out, fmt.Errorf("%s: %w", t.name, firstErr)
	}
	return out, ctx.Err()
}

// quantile returns the q-th part of the sorted times; it sorts them.
func quantile(times []time.Duration, q float64) time.Duration {
	if len(times) == 0 {
		return 0
	}
	slices.Sort(times)
	return times[min(int(q*float64(len(times))), len(times)-1)]
}

// median of ratios.
func median(v []float64) float64 {
	if len(v) == 0 {
		return 0
	}
	v = slices.Sorted(slices.Values(v))
	return v[len(v)/2]
}

// said is the text and the end of a stream whose bytes a target may have written anew.
func said(stream []byte) string {
	var out strings.Builder
	for line := range bytes.Lines(stream) {
		data, ok := bytes.CutPrefix(bytes.TrimSpace(line), []byte("data: "))
		if !ok {
			continue
		}
		if string(data) == "[DONE]" {
			out.WriteString("\x00end")
			continue
		}
		var k struct {
			Choices []struct {
				Delta struct{ Content string } `json:"delta"`
			} `json:"choices"`
		}
		if json.Unmarshal(data, &k) == nil && len(k.Choices) > 0 {
			out.WriteString(k.Choices[0].Delta.Content)
		}
	}
	return out.String()
}

func sum(b []byte) [32]byte { return sha256.Sum256(b) }
