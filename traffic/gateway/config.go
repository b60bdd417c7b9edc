package gateway

import (
	"errors"
	"fmt"
	"net/url"
	"strings"
	"time"

	"github.com/palladium-guard/palladium/internal/size"
	"github.com/palladium-guard/palladium/internal/tlsfile"
	"github.com/palladium-guard/palladium/internal/wildcard"
	"github.com/palladium-guard/palladium/traffic/gateway/header"
	"github.com/palladium-guard/palladium/traffic/gateway/pool"
)

// Config is the gateway section of the configuration file. Its zero value, filled by Fill, serves on the loopback
// address without TLS.
type Config struct {
	Listen    string        `yaml:"listen"` // host:port for callers
	TLS       TLS           `yaml:"tls"`
	Admin     Admin         `yaml:"admin"`
	Limits    Limits        `yaml:"limits"`
	Headers   header.Config `yaml:"headers"`
	Upstreams []pool.Config `yaml:"upstreams"`
	Routes    []RouteConfig `yaml:"routes"`
	Models    []ModelConfig `yaml:"models"`
	Failure   Failure       `yaml:"failure"`    // what routes do that say nothing of their own
	Appeal    string        `yaml:"appeal"`     // address given with every refusal that a verdict causes; {reference} stands for the verdict's
	Verify    string        `yaml:"verify"`     // address where an account holder can verify, given with step-up
	KeepAlive time.Duration `yaml:"keep_alive"` // silence after which a stream is kept alive; negative: never
	Observe   Observe       `yaml:"observe"`
	Verdicts  Verdicts      `yaml:"verdicts"`
	State     string        `yaml:"state"`   // directory for the budgets' journal and the measuring key; empty: nothing is kept
	Outlive   string        `yaml:"outlive"` // whose end a drawn budget outlives at once: process or machine
	Usage     string        `yaml:"usage"`   // ask: have streams end with their usage, and hide it from who did not ask; off
}

// TLS names the files of the callers' listener. They are read again when they change.
type TLS struct {
	Certificate string `yaml:"certificate"` // PEM, leaf first
	Key         string `yaml:"key"`
	ClientCA    string `yaml:"client_ca"`    // PEM; certificates of others end the handshake
	RequireCert bool   `yaml:"require_cert"` // connections without one end too
	Cleartext2  bool   `yaml:"h2c"`          // speak HTTP/2 without TLS too, for a proxy in front
}

// Admin is the operator's listener.
type Admin struct {
	Listen    string `yaml:"listen"`     // host:port; empty: none
	TokenFile string `yaml:"token_file"` // holds the bearer token that every admin endpoint but health wants
}

// Observe says what becomes of finished exchanges.
type Observe struct {
	Off    bool   `yaml:"off"`
	Dir    string `yaml:"dir"`    // folder in which observations are kept, a file a day; empty: they are counted only
	Queue  int    `yaml:"queue"`  // exchanges that may wait to be measured
	Memory Bytes  `yaml:"memory"` // bytes of text that may wait with them
	Answer Bytes  `yaml:"answer"` // bytes of an answer that are measured
	// Proxies are networks whose word is taken for where a request comes from; Claims names the headers that say it.
	Proxies []string          `yaml:"proxies"`
	Claims  map[string]string `yaml:"claims"` // ip, tls, headers, asn, country, device
}

// Verdicts says where the table of verdicts comes from.
type Verdicts struct {
	File   string        `yaml:"file"`    // JSON, JSON Lines or the encoded table; read again when it changes
	MaxAge time.Duration `yaml:"max_age"` // older than this the table is not relied on; 0: any age
}

// Limits bound what a caller can make the gateway hold.
type Limits struct {
	Header       Bytes         `yaml:"header"`         // request line and headers
	Body         Bytes         `yaml:"body"`           // of a request
	Memory       Bytes         `yaml:"memory"`         // request bodies held at once, all callers together
	Answer       Bytes         `yaml:"answer"`         // of an answer that policy must see whole before it passes
	InFlight     int           `yaml:"in_flight"`      // exchanges at once
	HeaderTime   time.Duration `yaml:"header_time"`    // to receive the headers
	BodyTime     time.Duration `yaml:"body_time"`      // to receive the body
	FirstByte    time.Duration `yaml:"first_byte"`     // for the upstream's response headers
	Idle         time.Duration `yaml:"idle"`           // silence of the upstream within an answer
	Write        time.Duration `yaml:"write"`          // for the caller to take what was sent
	KeepOpen     time.Duration `yaml:"keep_open"`      // a caller's connection without a request
	Connect      time.Duration `yaml:"connect"`        // to an upstream
	UpstreamIdle time.Duration `yaml:"upstream_idle"`  // an upstream's connection without a request
	Streams      int           `yaml:"h2_streams"`     // of one HTTP/2 connection at once
	Drain        time.Duration `yaml:"drain"`          // for open answers when the gateway stops
	DrainNotice  time.Duration `yaml:"drain_notice"`   // between "not ready" and the end of new connections
	Longest      time.Duration `yaml:"longest_answer"` // of any exchange; 0: no bound
}

// RouteConfig changes a built-in endpoint or opens another path.
type RouteConfig struct {
	Path    string   `yaml:"path"`    // as in the request; a trailing * opens all below
	Methods []string `yaml:"methods"` // of an opened path; GET when not given
	Open    *bool    `yaml:"open"`    // false denies a built-in endpoint
	Failure Failure  `yaml:"failure"`
	Dialect string   `yaml:"dialect"` // openai or anthropic: whose errors an opened path speaks
}

// ModelConfig is what the gateway must know of a model.
type ModelConfig struct {
	Name   string `yaml:"name"`   // with '*'; the first that fits counts
	Output int64  `yaml:"output"` // most tokens that one answer can have
	Input  int64  `yaml:"input"`  // most tokens that one request can have; 0: as many as it has bytes
}

// Failure is what a route does when a part that it depends on, such as the verdict table, cannot be had.
type Failure string

// The ways to fail.
const (
	FailOpen   Failure = "open"   // serve, by the table that is at hand if there is one
	FailClosed Failure = "closed" // refuse with 503
)

// Bytes is a size, such as 64KiB.
type Bytes = size.Bytes

func or[T comparable](v *T, d T) {
	var zero T
	if *v == zero {
		*v = d
	}
}

// Fill puts the defaults where nothing was said.
func (c *Config) Fill() {
	or(&c.Listen, "127.0.0.1:8080")
	or(&c.Failure, FailOpen)
	or(&c.KeepAlive, 15*time.Second)
	or(&c.Outlive, "process")
	or(&c.Usage, "ask")
	c.Headers.Fill()
	or(&c.Observe.Queue, 4096)
	or(&c.Observe.Memory, 64<<20)
	or(&c.Observe.Answer, 16<<10)
	l := &c.Limits
	or(&l.Header, 64<<10)
	or(&l.Body, 32<<20)
	or(&l.Memory, 1<<30)
	or(&l.Answer, 64<<20)
	or(&l.InFlight, 20_000)
	or(&l.HeaderTime, 10*time.Second)
	or(&l.BodyTime, 60*time.Second)
	or(&l.FirstByte, 10*time.Minute)
	or(&l.Idle, 5*time.Minute)
	or(&l.Write, time.Minute)
	or(&l.KeepOpen, 2*time.Minute)
	or(&l.Connect, 5*time.Second)
	// Uvicorn, in front of most model servers, closes a connection after 5 s without a request, and a request sent at that
	// moment is lost: so the gateway lets go first.
	or(&l.UpstreamIdle, 4*time.Second)
	or(&l.Streams, 250)
	or(&l.Drain, 10*time.Minute)
	for i := range c.Upstreams {
		u := &c.Upstreams[i]
		u.Fill(i + 1)
		or(&u.Timeout, l.FirstByte)
	}
	for i := range c.Routes {
		r := &c.Routes[i]
		or(&r.Failure, c.Failure)
		or(&r.Dialect, "openai")
	}
}

// Check says what is wrong with a filled Config, all of it at once; nil when nothing is.
func (c *Config) Check() error {
	var errs []error
	add := func(format string, args ...any) { errs = append(errs, fmt.Errorf("gateway: "+format, args...)) }
	if len(c.Upstreams) == 0 {
		add("name a server of models: upstreams is empty, and no --upstream URL is given")
	}
	names := map[string]bool{}
	for _, u := range c.Upstreams {
		if names[u.Name] {
			add("upstreams: two are named %s: give each a name of its own", u.Name)
		}
		names[u.Name] = true
		if err := u.Check(); err != nil {
			add("upstreams: %s: %w", u.Name, err)
		}
	}
	for _, r := range c.Routes {
		if !strings.HasPrefix(r.Path, "/") {
			add("routes: path %q must start with /", r.Path)
		}
		if i := strings.IndexByte(r.Path, '*'); i >= 0 && (i != len(r.Path)-1 || !strings.HasSuffix(r.Path, "/*")) {
			add("routes: path %q: only a trailing /* is understood", r.Path)
		}
		if !r.Failure.known() {
			add("routes: %s: failure must be open or closed", r.Path)
		}
		if r.Dialect != "openai" && r.Dialect != "anthropic" {
			add("routes: %s: dialect must be openai or anthropic", r.Path)
		}
	}
	if !c.Failure.known() {
		add("failure must be open or closed")
	}
	if err := tlsfile.CheckPair(c.TLS.Certificate, c.TLS.Key); err != nil {
		add("tls: %w", err)
	}
	if c.TLS.RequireCert && c.TLS.ClientCA == "" {
		add("tls: require_cert needs client_ca")
	}
	if c.TLS.ClientCA != "" && c.TLS.Certificate == "" {
		add("tls: client_ca needs certificate and key")
	}
	if c.Admin.Listen != "" && c.Admin.TokenFile == "" {
		add("admin: give token_file: a file with the token that the operator sends")
	}
	for name, address := range map[string]string{"appeal": c.Appeal, "verify": c.Verify} {
		if u, err := url.Parse(address); address != "" && (err != nil || u.Scheme == "") {
			add(name + " must be an address such as https://example.com/" + name + " or mailto:" + name + "@example.com")
		}
	}
	if c.Outlive != "process" && c.Outlive != "machine" {
		add("outlive must be process or machine")
	}
	if c.Usage != "ask" && c.Usage != "off" {
		add("usage must be ask or off")
	}
	for _, m := range c.Models {
		if m.Name == "" || m.Output <= 0 || m.Input < 0 {
			add("models: each needs a name, and an output of at least 1")
		}
	}
	return errors.Join(errs...)
}

// defaultOutput is what an answer can have in tokens when neither request nor configuration say.
const defaultOutput = 16384

// model returns what is configured of a model, or the default.
func (c *Config) model(name string) ModelConfig {
	for _, m := range c.Models {
		if wildcard.Match(m.Name, name) {
			return m
		}
	}
	return ModelConfig{Output: defaultOutput}
}

func (f Failure) known() bool { return f == FailOpen || f == FailClosed }
