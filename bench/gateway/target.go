package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// target is one way to the upstream. The process of direct is the upstream itself.
type target struct {
	name  string
	addr  string // host:port
	key   string // what callers show
	exact bool   // passes bytes through
	cmd   *exec.Cmd
}

// fleet is an upstream with everything that stands in front of it.
type fleet struct {
	upstream *target
	targets  []*target // direct first
	keys     string    // the gateway's file of keys
	keyID    string
}

func (f *fleet) stop() {
	for _, t := range append([]*target{f.upstream}, f.targets...) {
		if t != nil && t.cmd != nil && t.cmd.Process != nil {
			_ = t.cmd.Process.Signal(syscall.SIGTERM)
			done := make(chan struct{})
			go func() { _ = t.cmd.Wait(); close(done) }()
			select {
			case <-done:
			case <-time.After(3 * time.Second):
				_ = t.cmd.Process.Kill()
				<-done
			}
			t.cmd = nil
		}
	}
}

func (f *fleet) target(name string) *target {
	for _, t := range f.targets {
		if t.name == name {
			return t
		}
	}
	return nil
}

const secret = "upstream-secret"

// start starts an upstream that does fault to every request, and the targets named; all when none is.
func start(ctx context.Context, o options, fault string, names ...string) (*fleet, error) {
	f := &fleet{}
	dir, err := os.MkdirTemp(o.dir, "fleet")
	if err != nil {
		return nil, err
	}
	up := &target{name: "direct", key: secret, exact: true, addr: free()}
	up.cmd = exec.CommandContext(ctx, o.palladium, "upstream", "--listen", up.addr, "--key", secret, "--log", "-1", "--fault", fault)
	f.upstream = up
	if err := up.launch(dir); err != nil {
		return nil, err
	}
	f.targets = []*target{{name: up.name, key: up.key, exact: true, addr: up.addr}}
	for name, open := range map[string]func(context.Context, options, string, *fleet) (*target, error){
		"nginx": openNginx, "ReverseProxy": openReverseProxy, "Palladium": openPalladium, "GoModel": openGoModel,
	} {
		if !slices.Contains(o.targets, name) || len(names) > 0 && !slices.Contains(names, name) {
			continue
		}
		t, err := open(ctx, o, dir, f)
		if err == nil && t != nil {
			err = t.launch(dir)
		}
		if err != nil {
			f.stop()
			return nil, fmt.Errorf("start %s: %w", name, err)
		}
		if t != nil {
			f.targets = append(f.targets, t)
		}
	}
	f.sort()
	return f, nil
}

func (f *fleet) sort() {
	var out []*target
	for _, name := range []string{"direct", "nginx", "ReverseProxy", "Palladium", "GoModel"} {
		if t := f.target(name); t != nil {
			out = append(out, t)
		}
	}
	f.targets = out
}

// launch starts the process and waits until it listens.
func (t *target) launch(dir string) error {
	log, err := os.Create(filepath.Join(dir, t.name+".log"))
	if err != nil {
		return err
	}
	t.cmd.Stdout, t.cmd.Stderr = log, log
	if err := t.cmd.Start(); err != nil {
		return err
	}
	for range 600 {
		if c, err := net.Dial("tcp", t.addr); err == nil {
			return c.Close()
		}
		time.Sleep(50 * time.Millisecond)
	}
	said, _ := os.ReadFile(log.Name())
	return fmt.Errorf("%s does not listen on %s: %s", t.name, t.addr, said)
}

func free() string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		panic(err)
	}
	defer l.Close()
	return l.Addr().String()
}

func openNginx(ctx context.Context, _ options, dir string, f *fleet) (*target, error) {
	path, err := exec.LookPath("nginx")
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench: nginx is left out: it is not installed")
		return nil, nil
	}
	t := &target{name: "nginx", key: secret, exact: true, addr: free()}
	conf := fmt.Sprintf(`daemon off; worker_processes auto; pid %[1]s/nginx.pid; error_log %[1]s/nginx-error.log;
events { worker_connections 16384; }
worker_rlimit_nofile 65536;
http {
  access_log off; client_body_temp_path %[1]s/t1; proxy_temp_path %[1]s/t2; fastcgi_temp_path %[1]s/t3; uwsgi_temp_path %[1]s/t4; scgi_temp_path %[1]s/t5;
  keepalive_requests 1000000; client_max_body_size 32m;
  upstream model { server %[2]s; keepalive 512; keepalive_requests 1000000; }
  server { listen %[3]s; location / {
    proxy_pass http://model; proxy_http_version 1.1; proxy_set_header Connection ""; proxy_buffering off; proxy_read_timeout 1h;
  } }
}
`, dir, f.upstream.addr, t.addr)
	file := filepath.Join(dir, "nginx.conf")
	if err := os.WriteFile(file, []byte(conf), 0o600); err != nil {
		return nil, err
	}
	t.cmd = exec.CommandContext(ctx, path, "-c", file, "-p", dir)
	return t, nil
}

func openReverseProxy(ctx context.Context, _ options, _ string, f *fleet) (*target, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	t := &target{name: "ReverseProxy", key: secret, exact: true, addr: free()}
	t.cmd = exec.CommandContext(ctx, self, "rproxy", t.addr, "http://"+f.upstream.addr)
	return t, nil
}

// reverseProxy is the plain peer: the standard library's proxy, with the request's body read first, since without that
// it cuts streams short (golang.org/issue/40747).
func reverseProxy(addr, upstream string) error {
	u, err := url.Parse(upstream)
	if err != nil {
		return err
	}
	p := httputil.NewSingleHostReverseProxy(u)
	p.FlushInterval = -1
	p.Transport = &http.Transport{MaxIdleConnsPerHost: 1024, DisableCompression: true}
	return http.ListenAndServe(addr, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b, err := io.ReadAll(http.MaxBytesReader(w, r.Body, 32<<20))
		if err != nil {
			http.Error(w, "body", http.StatusBadRequest)
			return
		}
		r.Body, r.ContentLength = io.NopCloser(bytes.NewReader(b)), int64(len(b))
		p.ServeHTTP(w, r)
	}))
}

// openPalladium starts the gateway as shipped, with everything on: a key, the default request policy, budgets with their
// journal, an empty verdict table, and observation.
func openPalladium(ctx context.Context, o options, dir string, f *fleet) (*target, error) {
	t := &target{name: "Palladium", exact: true, addr: free()}
	f.keys = filepath.Join(dir, "keys.jsonl")
	out, err := exec.CommandContext(ctx, o.palladium, "key", "create", "--keys", f.keys, "--account", "bench", "--plan", "bench", "--expires", "1d").Output()
	if err != nil {
		return nil, fmt.Errorf("create key: %w", err)
	}
	t.key = strings.TrimSpace(string(out))
	f.keyID = strings.Split(t.key, "_")[1]
	state := "state: " + filepath.Join(dir, "state")
	if o.forget {
		state = ""
	}
	plan := "{requests: 1G, input: 900G, output: 900G}"
	conf := fmt.Sprintf(`gateway:
  listen: %s
  %s
  limits: {in_flight: 20000}
  upstreams:
    - url: http://%s
      secret_file: %s/secret
credentials:
  keys: %s
budget:
  plans:
    bench:
      per_minute: {requests: 1G, tokens: 900G}
      account: {day: %[6]s, month: %[6]s}
      organization: {day: %[6]s, month: %[6]s}
`, t.addr, state, f.upstream.addr, dir, f.keys, plan)
	file := filepath.Join(dir, "palladium.yaml")
	if err := errors.Join(os.WriteFile(filepath.Join(dir, "secret"), []byte(secret), 0o600), os.WriteFile(file, []byte(conf), 0o600)); err != nil {
		return nil, err
	}
	t.cmd = exec.CommandContext(ctx, o.palladium, "gateway", "--config", file)
	return t, nil
}

func openGoModel(ctx context.Context, o options, dir string, f *fleet) (*target, error) {
	if o.gomodel == "" {
		return nil, nil
	}
	path, err := filepath.Abs(o.gomodel)
	if err != nil {
		return nil, err
	}
	t := &target{name: "GoModel", key: "sk-bench-0123456789", addr: free()}
	_, port, _ := strings.Cut(t.addr, ":")
	t.cmd = exec.CommandContext(ctx, path)
	t.cmd.Dir = dir
	t.cmd.Env = append(os.Environ(), "PORT="+port, "GOMODEL_MASTER_KEY="+t.key, "OPENAI_API_KEY="+secret, "OPENAI_BASE_URL=http://"+f.upstream.addr+"/v1",
		"MODEL_LIST_URL=", "CONFIGURED_PROVIDER_MODELS_MODE=allowlist", "OPENAI_MODELS="+model, "LOG_LEVEL=error")
	return t, nil
}

// processes lists the target's process and its children.
func (t *target) processes() []string {
	pid := strconv.Itoa(t.cmd.Process.Pid)
	out := []string{pid}
	b, _ := os.ReadFile("/proc/" + pid + "/task/" + pid + "/children")
	return append(out, strings.Fields(string(b))...)
}

// cpu is the time that the target's processes have been on a core, summed over threads, as the scheduler counts it.
func (t *target) cpu() time.Duration {
	var sum time.Duration
	for _, pid := range t.processes() {
		files, _ := filepath.Glob("/proc/" + pid + "/task/*/schedstat")
		for _, file := range files {
			b, err := os.ReadFile(file)
			if err != nil {
				continue
			}
			ns, _ := strconv.ParseInt(strings.Fields(string(b))[0], 10, 64)
			sum += time.Duration(ns)
		}
	}
	return sum
}

// resident is the memory of the target's processes in bytes.
func (t *target) resident() int64 {
	var sum int64
	for _, pid := range t.processes() {
		f, err := os.Open("/proc/" + pid + "/status")
		if err != nil {
			continue
		}
		for s := bufio.NewScanner(f); s.Scan(); {
			if rest, ok := strings.CutPrefix(s.Text(), "VmRSS:"); ok {
				kb, _ := strconv.ParseInt(strings.Fields(rest)[0], 10, 64)
				sum += kb << 10
			}
		}
		_ = f.Close()
	}
	return sum
}
