package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

func us(d time.Duration) string { return fmt.Sprintf("%.0f", float64(d.Nanoseconds())/1e3) }

// cost measures core time of the target's processes an answer, and latency, unary and streamed.
func cost(ctx context.Context, o options) error {
	f, err := start(ctx, o, "tokens=50")
	if err != nil {
		return err
	}
	defer f.stop()
	for _, kind := range []string{"unary", "stream"} {
		body := ask(1, kind == "stream", 0)
		for _, clients := range []int{1, 16} {
			n := o.requests
			if clients == 1 {
				n /= 5
			}
			turns := map[string][]turn{}
			for round := -1; round < o.rounds; round++ { // the first is to warm up
				for _, t := range f.targets {
					process := t
					if t.cmd == nil {
						process = f.upstream
					}
					r, err := volley(ctx, t, process, clients, n, body)
					if err != nil {
						return err
					}
					if round >= 0 {
						turns[t.name] = append(turns[t.name], r)
					}
				}
			}
			f.tell(kind, clients, n, o.rounds, turns)
		}
	}
	return nil
}

func (f *fleet) tell(kind string, clients, n, rounds int, turns map[string][]turn) {
	fmt.Printf("\n%s, %d client(s), %d requests a turn, %d rounds. Core time of direct is that of the upstream.\n\n", kind, clients, n, rounds)
	fmt.Println("| target | core µs each | x ReverseProxy (min to max) | p50 µs | p99 µs | p50 x ReverseProxy | p99 x ReverseProxy | first byte p50 µs | each s |")
	fmt.Println("|---|---|---|---|---|---|---|---|---|")
	for _, t := range f.targets {
		var cores, ratio, p50, p99, p50r, p99r, first, rate []float64
		for i, r := range turns[t.name] {
			plain := turns["ReverseProxy"][i]
			each := func(r turn) float64 { return float64(r.cpu.Nanoseconds()) / 1e3 / float64(r.n) }
			cores, ratio = append(cores, each(r)), append(ratio, each(r)/each(plain))
			a, b := quantile(r.times, 0.5), quantile(plain.times, 0.5)
			c, d := quantile(r.times, 0.99), quantile(plain.times, 0.99)
			p50, p99 = append(p50, float64(a)), append(p99, float64(c))
			p50r, p99r = append(p50r, float64(a)/float64(b)), append(p99r, float64(c)/float64(d))
			first, rate = append(first, float64(quantile(r.first, 0.5))), append(rate, float64(r.n)/r.wall.Seconds())
		}
		lo, hi := ratio[0], ratio[0]
		for _, v := range ratio {
			lo, hi = min(lo, v), max(hi, v)
		}
		at := func(v []float64) string { return us(time.Duration(median(v))) }
		fmt.Printf("| %s | %.0f | %.2f (%.2f to %.2f) | %s | %s | %.2f | %.2f | %s | %.0f |\n", t.name, median(cores), median(ratio), lo, hi,
			at(p50), at(p99), median(p50r), median(p99r), at(first), median(rate))
	}
}

// pace measures the gaps between the tokens of streams that send one each 20 ms.
func pace(ctx context.Context, o options) error {
	const clients, tokens = 50, 40
	f, err := start(ctx, o, fmt.Sprintf("pace=20ms,tokens=%d", tokens))
	if err != nil {
		return err
	}
	defer f.stop()
	fmt.Printf("\nPaced streams: %d at once, %d tokens 20 ms apart, %d rounds.\n\n", clients, tokens, o.rounds)
	fmt.Println("| target | gap p1 ms | p50 | p99 | p99.9 | gaps under 1 ms | core µs a stream | first token p50 ms |")
	fmt.Println("|---|---|---|---|---|---|---|---|")
	gaps, firsts, cores := map[string][]time.Duration{}, map[string][]time.Duration{}, map[string][]float64{}
	body := ask(2, true, 0)
	for range o.rounds {
		for _, t := range f.targets {
			process := t
			if t.cmd == nil {
				process = f.upstream
			}
			before := process.cpu()
			var mu sync.Mutex
			var wg sync.WaitGroup
			var failed error
			for range clients {
				wg.Go(func() {
					g, first, err := gapsOf(ctx, t, body)
					mu.Lock()
					defer mu.Unlock()
					gaps[t.name], firsts[t.name], failed = append(gaps[t.name], g...), append(firsts[t.name], first), errors.Join(failed, err)
				})
			}
			wg.Wait()
			if failed != nil {
				return fmt.Errorf("%s: %w", t.name, failed)
			}
			cores[t.name] = append(cores[t.name], float64((process.cpu()-before).Microseconds())/clients)
		}
	}
	for _, t := range f.targets {
		g := gaps[t.name]
		ms := func(q float64) string { return fmt.Sprintf("%.2f", float64(quantile(g, q).Microseconds())/1e3) }
		tight := 0
		for _, d := range g {
			if d < time.Millisecond {
				tight++
			}
		}
		fmt.Printf("| %s | %s | %s | %s | %s | %.2f %% | %.0f | %.1f |\n", t.name, ms(0.01), ms(0.5), ms(0.99), ms(0.999), 100*float64(tight)/float64(len(g)),
			median(cores[t.name]), float64(quantile(firsts[t.name], 0.5).Microseconds())/1e3)
	}
	return nil
}

// gapsOf reads one stream and returns the times between the arrivals of its tokens.
func gapsOf(ctx context.Context, t *target, body []byte) (gaps []time.Duration, first time.Duration, err error) {
	c := &client{t: t}
	defer c.close()
	began := time.Now()
	res, err := c.send(ctx, body, "")
	if err != nil {
		return nil, 0, err
	}
	chunk := make([]byte, 16<<10)
	var last time.Time
	for {
		n, err := res.Body.Read(chunk)
		now := time.Now()
		for range bytes.Count(chunk[:n], []byte(`"delta":{"content":"`)) {
			if last.IsZero() {
				first = now.Sub(began)
			} else {
				gaps = append(gaps, now.Sub(last))
			}
			last = now
		}
		if errors.Is(err, io.EOF) {
			return gaps, first, nil
		}
		if err != nil {
			return gaps, first, err
		}
	}
}

// integrity sends many different streams and compares every byte with what the upstream says directly. One in twenty is
// cut by the upstream, and must not look like an end.
func integrity(ctx context.Context, o options) error {
	f, err := start(ctx, o, "")
	if err != nil {
		return err
	}
	defer f.stop()
	const kinds = 97
	type sample struct {
		body []byte
		want [32]byte
		text string
	}
	samples := make([]sample, kinds)
	c := &client{t: f.targets[0]}
	for i := range samples {
		b := ask(i, true, 3+i%60)
		got, _, err := c.once(ctx, b, "tokens=80")
		if err != nil {
			return err
		}
		samples[i] = sample{b, sum(got), said(got)}
	}
	c.close()
	fmt.Printf("\nChecked streams, %d at each level, one in twenty cut by the upstream. GoModel passes no headers, so none is cut there, and it\nwrites events anew, so its text is compared.\n\n", o.streams)
	fmt.Println("| target | at once | streams | cut by the upstream | truncated | ended silently | altered or reordered | refused | streams a second |")
	fmt.Println("|---|---|---|---|---|---|---|---|---|")
	for _, level := range o.levels {
		for _, t := range f.targets {
			n := o.streams
			if t.name != "Palladium" {
				n = min(n, max(o.streams/10, 1000)) // the others are here to show that the check is fair
			}
			var next, cuts, truncated, silent, altered, refused atomic.Int64
			began := time.Now()
			var wg sync.WaitGroup
			for range level {
				wg.Go(func() {
					c := &client{t: t}
					defer c.close()
					for i := next.Add(1); i <= int64(n) && ctx.Err() == nil; i = next.Add(1) {
						s := samples[i%kinds]
						fault := "tokens=80"
						cut := i%20 == 0 && t.exact
						if cut {
							fault += fmt.Sprintf(",cut=%d", 1+i%3)
							cuts.Add(1)
						}
						if t.name == "GoModel" {
							fault = ""
						}
						got, _, err := c.once(ctx, s.body, fault)
						switch {
						case cut && err == nil:
							silent.Add(1)
						case cut:
						case err != nil && len(got) == 0, err != nil && strings.HasPrefix(err.Error(), "status"):
							refused.Add(1)
						case err != nil:
							truncated.Add(1)
						case !bytes.Contains(got, []byte("data: [DONE]")):
							silent.Add(1)
						case t.exact && sum(got) != s.want:
							altered.Add(1)
						case !t.exact && !strings.HasSuffix(said(got), "\x00end"):
							silent.Add(1)
						}
					}
				})
			}
			wg.Wait()
			fmt.Printf("| %s | %d | %d | %d | %d | %d | %d | %d | %.0f |\n", t.name, level, n, cuts.Load(), truncated.Load(), silent.Load(), altered.Load(), refused.Load(),
				float64(n)/time.Since(began).Seconds())
		}
	}
	return ctx.Err()
}

// memory holds many streams open after their first token.
func memory(ctx context.Context, o options) error {
	var files syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &files); err != nil {
		return err
	}
	if most := (int(files.Max) - 300) / 2; o.open > most {
		fmt.Printf("\nA process may have %d files open here, two for each stream that passes through it: %d streams in place of %d.\n", files.Max, most, o.open)
		o.open = most
	}
	fmt.Printf("\n%d open streams.\n\n| target | resident before MB | with them MB | KB a stream |\n|---|---|---|---|\n", o.open)
	for _, name := range []string{"nginx", "ReverseProxy", "Palladium", "GoModel"} {
		f, err := start(ctx, o, "hang=1,tokens=3", name)
		if err != nil {
			return err
		}
		t := f.target(name)
		if t == nil {
			f.stop()
			continue
		}
		err = f.hold(ctx, t, o.open)
		f.stop()
		if err != nil {
			return err
		}
	}
	return nil
}

func (f *fleet) hold(ctx context.Context, t *target, n int) error {
	body := ask(3, true, 0)
	clients := make([]*client, 0, n)
	defer func() {
		for _, c := range clients {
			c.close()
		}
	}()
	time.Sleep(500 * time.Millisecond)
	before := t.resident()
	var mu sync.Mutex
	var wg sync.WaitGroup
	var next atomic.Int64
	var failed error
	for range 64 {
		wg.Go(func() {
			for next.Add(1) <= int64(n) && ctx.Err() == nil {
				c := &client{t: t}
				res, err := c.send(ctx, body, "")
				if err == nil {
					var b [512]byte
					_, err = res.Body.Read(b[:])
				}
				mu.Lock()
				clients = append(clients, c)
				if err != nil {
					failed = err
				}
				mu.Unlock()
				c.buf = nil
			}
		})
	}
	wg.Wait()
	if failed != nil {
		return fmt.Errorf("%s: %w", t.name, failed)
	}
	time.Sleep(5 * time.Second)
	with := t.resident()
	fmt.Printf("| %s | %.0f | %.0f | %.1f |\n", t.name, float64(before)/1e6, float64(with)/1e6, float64(with-before)/float64(n)/1e3)
	return nil
}

// revoke measures how long after the revocation of a key a running gateway still serves it.
func revoke(ctx context.Context, o options) error {
	fmt.Printf("\nRevocation by `palladium key revoke` to the first refusal.\n\n")
	var after, whole []time.Duration
	for range 10 {
		f, err := start(ctx, o, "tokens=1", "Palladium")
		if err != nil {
			return err
		}
		t := f.target("Palladium")
		c := &client{t: t}
		body := ask(4, false, 0)
		if _, _, err := c.once(ctx, body, ""); err != nil {
			f.stop()
			return err
		}
		began := time.Now()
		done := make(chan error, 1)
		go func() {
			done <- exec.CommandContext(ctx, o.palladium, "key", "revoke", f.keyID, "--keys", f.keys, "--reason", "bench").Run()
		}()
		var refused time.Time
		for refused.IsZero() && time.Since(began) < 10*time.Second {
			if _, _, err := c.once(ctx, body, ""); err != nil && strings.HasPrefix(err.Error(), "status 401") {
				refused = time.Now()
			} else if err != nil {
				f.stop()
				return err
			}
		}
		err = <-done
		st, statErr := os.Stat(f.keys)
		c.close()
		f.stop()
		if err := errors.Join(err, statErr); err != nil {
			return err
		}
		after, whole = append(after, max(refused.Sub(st.ModTime()), 0)), append(whole, refused.Sub(began))
	}
	ms := func(d time.Duration) float64 { return float64(d.Microseconds()) / 1e3 }
	fmt.Printf("From the change of the file: median %.1f ms, most %.1f ms. With the start of the command: median %.1f ms, most %.1f ms. 10 times.\n",
		ms(quantile(after, 0.5)), ms(quantile(after, 1)), ms(quantile(whole, 0.5)), ms(quantile(whole, 1)))
	return nil
}
