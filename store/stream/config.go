package stream

import (
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/palladium-guard/palladium/internal/size"
	"github.com/palladium-guard/palladium/internal/tlsfile"
)

// ErrConfig is wrapped by every error about a configuration.
var ErrConfig = errors.New("stream configuration refused")

// Config is the section stream of the configuration. The zero Config with a Dir is the embedded form. Url set: servers
// that run elsewhere. Cluster.Name set: this process and its peers are the servers.
type Config struct {
	URL         string `yaml:"url"`         // nats:// or tls:// addresses of servers, separated by commas
	TLS         TLS    `yaml:"tls"`         // towards url
	Credentials string `yaml:"credentials"` // .creds file towards url
	NKey        string `yaml:"nkey"`        // file with the seed of an nkey towards url
	TokenFile   string `yaml:"token_file"`  // file with a token towards url

	Dir     string  `yaml:"dir"` // where the embedded server, or this node of a cluster, keeps its files
	Cluster Cluster `yaml:"cluster"`
	Sync    Sync    `yaml:"sync"` // how often files are synced: always, or an interval such as 2s; for dir

	Name     string        `yaml:"name"`      // prefix of streams and subjects, so that several installations share servers
	Replicas int           `yaml:"replicas"`  // copies of each message: 1, 3 or 5; unset: 3 in a cluster, 1 else
	MaxBytes Bytes         `yaml:"max_bytes"` // what observations may take on disk, 10GiB unset; when it is taken, new ones are refused
	MaxAge   time.Duration `yaml:"max_age"`   // observations older than this are deleted even unread, 168h unset; negative: never
	Memory   Bytes         `yaml:"memory"`    // what each publisher may hold that is not acknowledged
	Compress bool          `yaml:"compress"`  // batches with S2: for slow networks
}

// TLS names PEM files.
type TLS = tlsfile.Client

// Cluster describes servers that processes of palladium form themselves.
type Cluster struct {
	Name       string   `yaml:"name"`
	Node       string   `yaml:"node"`        // this one's name; different on each, and the same after a restart
	Listen     string   `yaml:"listen"`      // host:port for the other nodes
	Peers      []string `yaml:"peers"`       // host:port of the other nodes; naming this one too does no harm
	SecretFile string   `yaml:"secret_file"` // file with the secret that all nodes share
	TLS        TLS      `yaml:"tls"`         // between nodes, both sides checked by ca; needed beyond loopback
}

// Defaults.
const (
	defaultName     = "palladium"
	defaultMaxBytes = 10 << 30
	defaultMaxAge   = 7 * 24 * time.Hour
	defaultMemory   = 64 << 20
	defaultSync     = 2 * time.Second
)

// Bytes is a size, such as 64KiB.
type Bytes = size.Bytes

// Sync is how often files are synced. Zero stands for the default of two seconds; SyncAlways for every write.
type Sync time.Duration

// SyncAlways syncs every write before it is acknowledged.
const SyncAlways Sync = -1

// String is what UnmarshalYAML reads; nothing for zero.
func (s Sync) String() string {
	switch s {
	case 0:
		return ""
	case SyncAlways:
		return "always"
	}
	return time.Duration(s).String()
}

// UnmarshalYAML reads always, or an interval.
func (s *Sync) UnmarshalYAML(n *yaml.Node) error {
	if n.Value == "always" {
		*s = SyncAlways
		return nil
	}
	d, err := time.ParseDuration(n.Value)
	if err != nil || d <= 0 {
		return fmt.Errorf("line %d: write always, or an interval such as 2s", n.Line)
	}
	*s = Sync(d)
	return nil
}

// copies is how many replicas are made of what is not there yet.
func (c *Config) copies() int {
	switch {
	case c.Replicas > 0:
		return c.Replicas
	case c.Cluster.Name != "":
		return 3
	}
	return 1
}

// Filled returns c with its defaults, or what is wrong with it.
func (c Config) Filled() (Config, error) {
	c, err := c.fill()
	if err != nil {
		return c, err
	}
	c.Replicas = c.copies()
	if c.MaxBytes == 0 {
		c.MaxBytes = defaultMaxBytes
	}
	if c.MaxAge == 0 {
		c.MaxAge = defaultMaxAge
	}
	return c, nil
}

// fill returns c with the defaults that do not follow from what is there already, or what is wrong with it.
func (c Config) fill() (Config, error) {
	wrong := func(format string, a ...any) (Config, error) {
		return c, fmt.Errorf("%w: %w", ErrConfig, fmt.Errorf(format, a...))
	}
	if c.Name == "" {
		c.Name = defaultName
	}
	if strings.ContainsAny(c.Name, " .*>/\\\t\r\n") || len(c.Name) > 32 {
		return wrong("stream.name %q: use at most 32 letters, digits, - and _", c.Name)
	}
	switch {
	case c.URL != "" && c.Cluster.Name != "":
		return wrong("set stream.url for servers that run elsewhere, or stream.cluster for a cluster of these processes, not both")
	case c.URL == "" && c.Dir == "":
		return wrong("set stream.dir to a directory for the embedded stream, or stream.url to servers that run elsewhere")
	case c.URL == "" && (c.Credentials != "" || c.NKey != "" || c.TokenFile != "" || c.TLS != TLS{}):
		return wrong("stream.tls, credentials, nkey and token_file are for stream.url; a cluster has stream.cluster.tls and secret_file")
	case c.TLS.Check() != nil:
		return wrong("stream.tls: %w", c.TLS.Check())
	}
	if err := c.Cluster.check(); err != nil {
		return wrong("%w", err)
	}
	switch c.Replicas {
	case 0, 1, 3, 5:
	default:
		return wrong("stream.replicas is 1, 3 or 5, not %d", c.Replicas)
	}
	if c.Memory == 0 {
		c.Memory = defaultMemory
	}
	if c.Sync == 0 {
		c.Sync = Sync(defaultSync)
	}
	if c.Memory < 1<<20 || c.MaxBytes != 0 && c.MaxBytes < 1<<20 {
		return wrong("stream.memory and stream.max_bytes are at least 1MiB")
	}
	return c, nil
}

func (c *Cluster) check() error {
	if c.Name == "" {
		if c.Node != "" || c.Listen != "" || len(c.Peers) > 0 {
			return errors.New("set stream.cluster.name, the same on all nodes")
		}
		return nil
	}
	if c.Node == "" || c.Listen == "" || len(c.Peers) == 0 || c.SecretFile == "" {
		return errors.New("a cluster needs stream.cluster.node, listen, peers and secret_file")
	}
	if c.TLS.Check() != nil || c.TLS.CA != "" && c.TLS.Certificate == "" {
		return errors.New("set all of stream.cluster.tls: ca, certificate and key")
	}
	for _, a := range append([]string{c.Listen}, c.Peers...) {
		host, port, err := net.SplitHostPort(a)
		if err != nil {
			return fmt.Errorf("address %q in stream.cluster: write host:port", a)
		}
		if n, err := strconv.Atoi(port); err != nil || n < 1 || n > 65535 {
			return fmt.Errorf("address %q in stream.cluster: write a port from 1 to 65535", a)
		}
		ip := net.ParseIP(host)
		if c.TLS.Certificate == "" && host != "localhost" && (ip == nil || !ip.IsLoopback()) {
			return fmt.Errorf("address %q in stream.cluster is not on loopback: set stream.cluster.tls, as what travels there is not for others", a)
		}
	}
	return nil
}

// routes are the addresses of the other nodes.
func (c *Cluster) routes(secret string) (out []*url.URL) {
	for _, p := range c.Peers {
		if p != c.Listen {
			out = append(out, &url.URL{Scheme: "nats-route", User: url.UserPassword(clusterUser, secret), Host: p})
		}
	}
	return out
}

// clusterUser is the name under which nodes know each other; the secret counts.
const clusterUser = "palladium"

// load reads the files of t; nil where none are named. With mutual, both sides are checked by ca.
func load(t TLS, mutual bool) (*tls.Config, error) {
	switch {
	case t == TLS{}:
		return nil, nil
	case mutual:
		return t.Mutual()
	}
	return t.Config()
}

// secret reads the first line of a file.
func secret(path string) (string, error) {
	b, err := os.ReadFile(filepath.Clean(path))
	if err != nil {
		return "", fmt.Errorf("read a secret: %w", err)
	}
	line, _, _ := strings.Cut(strings.TrimSpace(string(b)), "\n")
	if line = strings.TrimSpace(line); len(line) < 16 {
		return "", fmt.Errorf("secret in %s is shorter than 16 characters: write a random one, such as of openssl rand -hex 32", path)
	}
	return line, nil
}
