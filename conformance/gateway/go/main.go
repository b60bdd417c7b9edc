// Command gateway runs the cases with openai-go and anthropic-sdk-go: what a program using them sees, a line for each
// case. It is a module of its own, so that the product does not depend on the clients that it is tested with.
package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// setting is where the clients are pointed; conformance/gateway/run sets it.
type setting struct {
	base, key, road, upstream, model string
	number                           atomic.Int64
}

// result is what a case shows: plain values that do not depend on the road taken.
type result = map[string]any

// client is one SDK.
type client interface {
	name() string
	plain(s *setting) result
	stream(s *setting) result
	tools(s *setting) result
	usage(s *setting) result
	// whole says text and returns the answer; read streams it and calls each for every delta until each returns false.
	whole(ctx context.Context, s *setting, o call, text string) (string, error)
	read(ctx context.Context, s *setting, o call, text string, each func() bool) (result, error)
	failure(err error) result
}

// call is how one call is made.
type call struct {
	fault, tag string
	retries    int
}

func (s *setting) call(client, name, fault string) call {
	tag := fmt.Sprintf("%s-%s-%s-%d", s.road, client, strings.ReplaceAll(name, " ", "-"), s.number.Add(1))
	return call{fault: strings.Trim(fault+",tag="+tag, ","), tag: tag}
}

// request is the upstream's view of one request.
type request struct {
	Ended   time.Time
	Header  http.Header
	Size    int64
	Digest  string
	Outcome string
}

func (s *setting) seen(tag string) []request {
	res, err := http.Get(s.upstream + "/_upstream/seen?tag=" + url.QueryEscape(tag))
	if err != nil {
		return nil
	}
	defer res.Body.Close()
	var out []request
	if json.NewDecoder(res.Body).Decode(&out) != nil {
		return nil
	}
	return out
}

// left says how the upstream saw a caller leave at the time at.
func (s *setting) left(tag string, at time.Time) result {
	until := time.Now().Add(3 * time.Second)
	for {
		all := s.seen(tag)
		if n := len(all); n > 0 && (all[n-1].Outcome != "running" || time.Now().After(until)) {
			late := all[n-1].Ended.Sub(at)
			fmt.Fprintf(os.Stderr, "# %s %s: cancelled %d ms after the caller left\n", s.road, tag, late.Milliseconds())
			return result{"outcome": all[n-1].Outcome, "soon": late < time.Second, "attempts": n}
		}
		if time.Now().After(until) {
			return result{"outcome": "never seen"}
		}
		time.Sleep(10 * time.Millisecond)
	}
}

func digest(text string) string {
	sum := sha256.Sum256([]byte(text))
	return hex.EncodeToString(sum[:8])
}

func always() bool { return true }

// told words an error the same on every road: addresses and ids are left out.
func told(err error) string {
	text := regexp.MustCompile(`req_[0-9a-f]+`).ReplaceAllString(err.Error(), "req_*")
	return regexp.MustCompile(`127\.0\.0\.1:\d+`).ReplaceAllString(text, "*")
}

func attempt(c client, f func() (any, error)) any {
	v, err := f()
	if err == nil {
		return v
	}
	out := c.failure(err)
	out["message"] = told(err)
	if errors.Is(err, context.DeadlineExceeded) {
		out["failed"] = "deadline"
	}
	return out
}

func faults(s *setting, c client, ctx context.Context) result {
	once := s.call(c.name(), "errors", "status=429,times=2,retry=20ms")
	once.retries = 3
	recovered := attempt(c, func() (any, error) { return c.whole(ctx, s, once, "again") })
	never := s.call(c.name(), "errors", "status=500,noretry")
	never.retries = 2
	out := result{"recovered": recovered, "attempts": len(s.seen(once.tag))}
	out["told"] = attempt(c, func() (any, error) { return c.whole(ctx, s, never, "again") })
	out["toldAttempts"] = len(s.seen(never.tag))
	for _, status := range []int{400, 403, 404, 409, 413, 422, 429, 500, 502, 529} {
		o := s.call(c.name(), "errors", fmt.Sprintf("status=%d", status))
		out[fmt.Sprint(status)] = attempt(c, func() (any, error) { return c.whole(ctx, s, o, "no") })
		out[fmt.Sprint(status, " streamed")] = attempt(c, func() (any, error) { return c.read(ctx, s, o, "no", always) })
	}
	out["mid"] = attempt(c, func() (any, error) { return c.read(ctx, s, s.call(c.name(), "errors", "error=4"), "x", always) })
	return out
}

func abort(s *setting, c client, ctx context.Context) result {
	out := result{}
	for what, fault := range map[string]string{"mid": "pace=20ms,tokens=500", "hung": "hang=3,tokens=50"} {
		o := s.call(c.name(), "abort", fault)
		ctx, cancel := context.WithCancel(ctx)
		n := 0
		var at time.Time
		_, _ = c.read(ctx, s, o, "long", func() bool {
			if n++; n == 3 {
				at = time.Now()
				cancel()
			}
			return n < 3
		})
		cancel()
		out[what] = s.left(o.tag, at)
	}
	for what, fault := range map[string]string{"before": "first=30s", "quiet": "quiet=30s"} {
		o := s.call(c.name(), "abort", fault)
		ctx, cancel := context.WithCancel(ctx)
		var at time.Time
		go func() {
			for until := time.Now().Add(5 * time.Second); len(s.seen(o.tag)) == 0 && time.Now().Before(until); {
				time.Sleep(20 * time.Millisecond)
			}
			at = time.Now()
			cancel()
		}()
		said := attempt(c, func() (any, error) { return c.read(ctx, s, o, "long", always) })
		out[what] = result{"told": said, "seen": s.left(o.tag, at)}
	}
	return out
}

func slow(s *setting, c client, ctx context.Context) result {
	o := s.call(c.name(), "slow", "first=700ms,quiet=500ms,pace=30ms,tokens=15,ping=200ms")
	out := result{"slow": attempt(c, func() (any, error) { return c.read(ctx, s, o, "slowly", always) })}
	o = s.call(c.name(), "slow", "first=5s")
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	out["timeout"] = attempt(c, func() (any, error) { return c.whole(ctx, s, o, "slowly") })
	out["upstream"] = s.left(o.tag, time.Now())
	return out
}

func cut(s *setting, c client, ctx context.Context) result {
	n := 0
	count := func() bool { n++; return true }
	out := result{"stream": attempt(c, func() (any, error) {
		return c.read(ctx, s, s.call(c.name(), "cut", "cut=3,tokens=30"), "x", count)
	})}
	out["got"] = n
	out["whole"] = attempt(c, func() (any, error) { return c.whole(ctx, s, s.call(c.name(), "cut", "cut=3"), "x") })
	out["early"] = attempt(c, func() (any, error) { return c.read(ctx, s, s.call(c.name(), "cut", "stop=3"), "x", always) })
	return out
}

func large(s *setting, c client, ctx context.Context) result {
	up := s.call(c.name(), "large", "")
	said := attempt(c, func() (any, error) { return c.whole(ctx, s, up, strings.Repeat("a word and another, ", 4<<20/20)) })
	out := result{"up": said, "size": int64(0)}
	if all := s.seen(up.tag); len(all) > 0 {
		out["size"] = all[0].Size
	}
	out["down"] = attempt(c, func() (any, error) {
		text, err := c.whole(ctx, s, s.call(c.name(), "large", "body=7000"), "big")
		return digest(text), err
	})
	return out
}

func concurrent(s *setting, c client, ctx context.Context) result {
	all := make([]string, 48)
	var wg sync.WaitGroup
	for i := range all {
		wg.Go(func() {
			o := s.call(c.name(), "many", fmt.Sprintf("split=%d,tokens=%d", 5+i%9, 60+i))
			b, _ := json.Marshal(attempt(c, func() (any, error) { return c.read(ctx, s, o, fmt.Sprint("number ", i), always) }))
			all[i] = string(b)
		})
	}
	wg.Wait()
	different, failed := map[string]bool{}, 0
	for _, a := range all {
		different[a] = true
		if strings.Contains(a, `"failed"`) {
			failed++
		}
	}
	return result{"digest": digest(strings.Join(all, "")), "different": len(different), "failed": failed}
}

func main() {
	s := &setting{base: os.Getenv("BASE"), key: os.Getenv("KEY"), road: os.Getenv("ROAD"), upstream: os.Getenv("UPSTREAM"), model: os.Getenv("MODEL")}
	if s.base == "" || s.key == "" || s.road == "" || s.upstream == "" {
		fmt.Fprintln(os.Stderr, "set BASE, KEY, ROAD and UPSTREAM; conformance/gateway/run does")
		os.Exit(2)
	}
	if s.model == "" {
		s.model = "test-model"
	}
	with := func(f func(*setting, client, context.Context) result) func(context.Context, client) result {
		return func(ctx context.Context, c client) result { return f(s, c, ctx) }
	}
	cases := []struct {
		name string
		run  func(context.Context, client) result
	}{
		{"plain", func(_ context.Context, c client) result { return c.plain(s) }},
		{"stream", func(_ context.Context, c client) result { return c.stream(s) }},
		{"tools", func(_ context.Context, c client) result { return c.tools(s) }},
		{"usage", func(_ context.Context, c client) result { return c.usage(s) }},
		{"errors and retries", with(faults)}, {"abort", with(abort)}, {"slow upstream", with(slow)}, {"cut upstream", with(cut)},
		{"large body", with(large)}, {"concurrent", with(concurrent)},
	}
	for _, c := range []client{openAI{}, anthropicGo{}} {
		for _, k := range cases {
			if only := os.Getenv("CASE"); only != "" && only != k.name {
				continue
			}
			ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
			b, err := json.Marshal(k.run(ctx, c))
			cancel()
			if err != nil {
				fmt.Fprintln(os.Stderr, err)
				os.Exit(1)
			}
			fmt.Printf("%s\t%s\t%s\n", c.name(), k.name, b)
		}
	}
}
