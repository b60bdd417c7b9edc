// Command gateway measures the gateway beside its peers in one run: nothing in between, nginx, a plain ReverseProxy of
// Go's standard library with the request buffered, and GoModel where it was built. Every process is on this machine and
// listens on the loopback alone; targets take turns round by round, and each figure is a ratio within the run.
//
// It is a module of its own so that nothing of it is part of the product, and needs the standard library only.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"runtime"
	"slices"
	"strings"
	"time"
)

// options are the sizes of a run.
type options struct {
	palladium, gomodel string
	parts              []string
	rounds, requests   int
	streams            int
	levels             []int
	open               int
	targets            []string
	forget             bool
	dir                string
}

func main() {
	if len(os.Args) > 1 && os.Args[1] == "rproxy" {
		fail(reverseProxy(os.Args[2], os.Args[3]))
		return
	}
	if len(os.Args) > 1 && os.Args[1] == "drive" {
		fail(drive(context.Background(), os.Args[2:]))
		return
	}
	var o options
	var parts, levels, targets string
	flag.StringVar(&o.palladium, "palladium", "bin/palladium", "the `FILE` to measure")
	flag.StringVar(&o.gomodel, "gomodel", "", "GoModel's `FILE`, left out when empty")
	flag.StringVar(&parts, "parts", "cost,pace,integrity,memory,revoke", "what to measure")
	flag.IntVar(&o.rounds, "rounds", 5, "rounds in which every target has its turn")
	flag.IntVar(&o.requests, "requests", 2000, "requests of a turn; a fifth of it with one client")
	flag.IntVar(&o.streams, "streams", 100_000, "streams that are checked at each level of concurrency")
	flag.StringVar(&levels, "levels", "1,16,256", "concurrency of the checked streams")
	flag.IntVar(&o.open, "open", 10_000, "streams held open for memory")
	flag.StringVar(&targets, "targets", "nginx,ReverseProxy,Palladium,GoModel", "what to measure beside direct; cost needs ReverseProxy")
	flag.BoolVar(&o.forget, "forget", false, "run Palladium without a journal of budgets, which costs a trip to the disk")
	flag.Parse()
	o.targets = strings.Split(targets, ",")
	o.parts = strings.Split(parts, ",")
	for l := range strings.SplitSeq(levels, ",") {
		var n int
		if _, err := fmt.Sscan(l, &n); err != nil || n < 1 {
			fail(fmt.Errorf("read levels: %q is no concurrency", l))
		}
		o.levels = append(o.levels, n)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	fail(run(ctx, o))
}

// drive keeps a gateway busy for whoever wants to profile it: drive HOST:PORT KEY CLIENTS REQUESTS [stream].
func drive(ctx context.Context, args []string) error {
	if len(args) < 4 {
		return fmt.Errorf("drive wants HOST:PORT KEY CLIENTS REQUESTS [stream]")
	}
	var clients, n int
	if _, err := fmt.Sscan(args[2]+" "+args[3], &clients, &n); err != nil {
		return fmt.Errorf("read the number of clients and of requests: %w", err)
	}
	t := &target{name: args[0], addr: args[0], key: args[1]}
	r, err := volley(ctx, t, nil, clients, n, ask(1, len(args) > 4, 0))
	fmt.Printf("%d in %s, p50 %s, p99 %s\n", r.n, r.wall.Round(time.Millisecond), quantile(r.times, 0.5), quantile(r.times, 0.99))
	return err
}

func fail(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// run measures the parts that were asked for and prints Markdown.
func run(ctx context.Context, o options) error {
	dir, err := os.MkdirTemp("", "bench")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	o.dir = dir
	started := time.Now()
	fmt.Printf("%s, %d cores, %s, %s. Load when it started: %s.\n", cpuModel(), runtime.NumCPU(), runtime.Version(), started.UTC().Format("2006-01-02 15:04 MST"), load())
	for _, p := range []struct {
		name string
		run  func(context.Context, options) error
	}{{"cost", cost}, {"pace", pace}, {"integrity", integrity}, {"memory", memory}, {"revoke", revoke}} {
		if !slices.Contains(o.parts, p.name) {
			continue
		}
		if err := p.run(ctx, o); err != nil {
			return fmt.Errorf("%s: %w", p.name, err)
		}
	}
	fmt.Printf("\nTook %s. Load when it ended: %s.\n", time.Since(started).Round(time.Second), load())
	return nil
}

func load() string {
	b, _ := os.ReadFile("/proc/loadavg")
	return strings.Join(strings.Fields(string(b))[:3], " ")
}

func cpuModel() string {
	b, _ := os.ReadFile("/proc/cpuinfo")
	for line := range strings.Lines(string(b)) {
		if name, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(name) == "model name" {
			return strings.TrimSpace(value)
		}
	}
	return runtime.GOARCH
}
