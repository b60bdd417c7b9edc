package gateway_test

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/palladium-guard/palladium"
	"github.com/palladium-guard/palladium/traffic/gateway"
	"github.com/palladium-guard/palladium/world/upstream"
)

// slowed is a rig whose caller gets so few tokens a second that each takes longer than the upstream may be silent and a caller
// may take to read.
func slowed(t *testing.T, keepAlive time.Duration) *rig {
	t.Helper()
	r := start(t, func(o *gateway.Options, _ *rig) {
		o.Config.TLS.Cleartext2 = true
		o.Config.KeepAlive = keepAlive
		o.Config.Limits.Idle, o.Config.Limits.Write = 200*time.Millisecond, 200*time.Millisecond
	})
	if err := r.swap(palladium.Verdict{Measure: palladium.MeasureSlow, TokensPerSecond: 1.6}); err != nil {
		t.Fatal(err)
	}
	return r
}

// An answer that the gateway holds back for longer than any of its limits arrives whole, in both versions of HTTP, with signs of
// life between its tokens and without.
func TestSlowIsNotCut(t *testing.T) {
	for _, version := range []int{1, 2} {
		for _, keepAlive := range []time.Duration{time.Hour, 50 * time.Millisecond} {
			for kind, body := range map[string]string{"stream": chatStream, "whole": chatPlain} {
				t.Run(fmt.Sprintf("HTTP%d %s %s", version, kind, keepAlive), func(t *testing.T) {
					t.Parallel()
					r := slowed(t, keepAlive)
					p := new(http.Protocols)
					p.SetHTTP1(version == 1)
					p.SetUnencryptedHTTP2(version == 2)
					client := &http.Client{Transport: &http.Transport{Protocols: p}}
					defer client.CloseIdleConnections()
					want := text(t, r.sendTo(r.up.URL, context.Background(), "/v1/chat/completions", body, "X-Upstream-Fault", "tokens=3"))
					req, err := http.NewRequest(http.MethodPost, r.server.URL+"/v1/chat/completions", strings.NewReader(body))
					if err != nil {
						t.Fatal(err)
					}
					req.Header.Set("Authorization", "Bearer "+key)
					req.Header.Set("X-Upstream-Fault", "tokens=3")
					at := time.Now()
					resp, err := client.Do(req)
					if err != nil {
						t.Fatal(err)
					}
					defer resp.Body.Close()
					got, err := io.ReadAll(resp.Body)
					if err != nil || strings.ReplaceAll(string(got), ": keep-alive\n\n", "") != want || resp.ProtoMajor != version {
						t.Errorf("%v after %v, got %s", err, time.Since(at), tail(string(got)))
					}
					if took := time.Since(at); took < 1200*time.Millisecond {
						t.Errorf("3 tokens took %v", took)
					}
				})
			}
		}
	}
}

// An upstream that falls silent in the middle of an answer that is held back is given up, as in any other.
func TestSlowUpstreamFallsSilent(t *testing.T) {
	r := slowed(t, 50*time.Millisecond)
	resp := r.send("/v1/chat/completions", chatStream, "X-Upstream-Fault", "tokens=3,hang=2")
	at := time.Now()
	got, err := io.ReadAll(resp.Body)
	if err == nil || strings.Contains(string(got), "[DONE]") {
		t.Errorf("%v, got %s", err, tail(string(got)))
	}
	if took := time.Since(at); took > 10*time.Second {
		t.Errorf("it took %v", took)
	}
}

// A caller that does not read is given up although its answer is held back.
func TestSlowCallerDoesNotRead(t *testing.T) {
	r := start(t, func(o *gateway.Options, _ *rig) {
		o.Config.KeepAlive = 50 * time.Millisecond
		o.Config.Limits.Write = 300 * time.Millisecond
	})
	if err := r.swap(palladium.Verdict{Measure: palladium.MeasureSlow, TokensPerSecond: 1e8}); err != nil {
		t.Fatal(err)
	}
	c, err := net.Dial("tcp", r.server.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	_ = c.(*net.TCPConn).SetReadBuffer(4096)
	long := strings.Replace(chatStream, `"max_tokens":20`, `"max_tokens":100000000`, 1)
	_, _ = io.WriteString(c, post(fmt.Sprintf("Content-Length: %d\r\nX-Upstream-Fault: tokens=300000\r\n", len(long)), long))
	wait, done := context.WithTimeout(context.Background(), 30*time.Second)
	defer done()
	if _, err := r.model.Await(wait, func(q upstream.Request) bool { return q.Outcome == upstream.Cancelled }); err != nil {
		t.Errorf("the upstream was not told: %v", err)
	}
}
