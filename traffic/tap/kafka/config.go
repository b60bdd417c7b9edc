package kafka

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/sasl"
	"github.com/twmb/franz-go/pkg/sasl/oauth"
	"github.com/twmb/franz-go/pkg/sasl/plain"
	"github.com/twmb/franz-go/pkg/sasl/scram"

	"github.com/palladium-guard/palladium/internal/size"
	"github.com/palladium-guard/palladium/internal/tlsfile"
)

// Config is the section taps.kafka of the configuration. Without brokers there is no such tap.
type Config struct {
	Brokers  []string      `yaml:"brokers"`  // host:port of some; the others are learnt from them
	Topics   []string      `yaml:"topics"`   // names
	Group    string        `yaml:"group"`    // consumer group, which keeps the position; palladium when empty
	Instance string        `yaml:"instance"` // name of this process in the group: it may restart without a rebalance
	Dialect  string        `yaml:"dialect"`  // of all records; empty to tell it by looking at each
	Start    string        `yaml:"start"`    // where a group without a position begins: earliest (the default) or latest
	Batch    int           `yaml:"batch"`    // records that are taken in and committed together, at most; 4096 when 0
	Fetch    size.Bytes    `yaml:"fetch"`    // bytes that one fetch asks for; 16MiB when 0
	Session  time.Duration `yaml:"session"`  // silence after which the group takes a process for dead; 30s when 0
	Drain    time.Duration `yaml:"drain"`    // at the end, for the batch in hand; 10s when 0
	TLS      TLS           `yaml:"tls"`
	SASL     SASL          `yaml:"sasl"`
}

// TLS says how brokers prove themselves, and how this process does. Its certificate is read again for each connection.
type TLS struct {
	On    bool           `yaml:"on"`
	Files tlsfile.Client `yaml:",inline"`
}

// SASL says how this process proves who it is. Secrets stand in files, which are read again for each connection.
type SASL struct {
	Mechanism    string `yaml:"mechanism"` // plain, scram-sha-256, scram-sha-512 or oauthbearer; empty: none
	User         string `yaml:"user"`
	PasswordFile string `yaml:"password_file"` // holds the password, or the token of oauthbearer
}

func or[T comparable](v *T, d T) {
	var zero T
	if *v == zero {
		*v = d
	}
}

// Fill puts the defaults where nothing was said.
func (c *Config) Fill() {
	or(&c.Group, "palladium")
	or(&c.Start, "earliest")
	or(&c.Batch, 4096)
	or(&c.Fetch, 16<<20)
	or(&c.Session, 30*time.Second)
	or(&c.Drain, 10*time.Second)
	c.SASL.Mechanism = strings.ToLower(c.SASL.Mechanism)
}

// Check says what is wrong with a filled Config, all of it at once; nil when nothing is.
func (c *Config) Check() error {
	var errs []error
	add := func(wrong bool, format string, args ...any) {
		if wrong {
			errs = append(errs, fmt.Errorf("taps.kafka: "+format, args...))
		}
	}
	add(len(c.Brokers) == 0, "brokers: name at least one broker as host:port")
	for _, b := range c.Brokers {
		_, _, err := net.SplitHostPort(b)
		add(err != nil, "brokers: %q is not host:port", b)
	}
	add(len(c.Topics) == 0, "topics: name at least one topic")
	add(c.Start != "earliest" && c.Start != "latest", "start must be earliest or latest")
	add(c.Batch < 1 || c.Batch > 1<<20, "batch must lie between 1 and 1048576")
	add(c.Fetch < 1<<10 || c.Fetch > 1<<30, "fetch must lie between 1KiB and 1GiB")
	add(c.Session < 6*time.Second || c.Session > 30*time.Minute, "session must lie between 6s and 30m, which brokers allow")
	add(c.Drain < 0, "drain must not be negative")
	pair := c.TLS.Files.Check()
	add(pair != nil, "tls: %w", pair)
	add(!c.TLS.On && c.TLS != TLS{}, "tls: files are named, but on is not true")
	s := &c.SASL
	switch s.Mechanism {
	case "":
		add(s.User != "" || s.PasswordFile != "", "sasl: name a mechanism: plain, scram-sha-256, scram-sha-512 or oauthbearer")
	case "plain", "scram-sha-256", "scram-sha-512", "oauthbearer":
		add(s.User == "" && s.Mechanism != "oauthbearer", "sasl: give user")
		add(s.PasswordFile == "", "sasl: give password_file: a file that holds the secret")
		open := s.Mechanism == "plain" || s.Mechanism == "oauthbearer"
		add(open && !c.TLS.On && !c.local(), "sasl: %s sends the secret as it is: turn tls on", s.Mechanism)
	default:
		add(true, "sasl: mechanism must be plain, scram-sha-256, scram-sha-512 or oauthbearer")
	}
	return errors.Join(errs...)
}

// local reports whether all brokers are of this machine.
func (c *Config) local() bool {
	for _, b := range c.Brokers {
		host, _, _ := net.SplitHostPort(b)
		ip, err := netip.ParseAddr(host)
		if host != "localhost" && (err != nil || !ip.IsLoopback()) {
			return false
		}
	}
	return true
}

// Bounds of what a broker can make the client hold.
const maxDecompressed = 256 << 20 // bytes of one batch of records

// options are the client's.
func (c *Config) options() ([]kgo.Opt, error) {
	start := kgo.NewOffset().AtStart()
	if c.Start == "latest" {
		start = kgo.NewOffset().AtEnd()
	}
	opts := []kgo.Opt{
		kgo.ClientID("palladium"), kgo.SeedBrokers(c.Brokers...), kgo.ConsumeTopics(c.Topics...), kgo.ConsumerGroup(c.Group),
		kgo.ConsumeStartOffset(start), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), // what is still there is not passed by
		kgo.DisableAutoCommit(), kgo.BlockRebalanceOnPoll(), kgo.Balancers(kgo.CooperativeStickyBalancer()),
		kgo.FetchIsolationLevel(kgo.ReadCommitted()), kgo.FetchMaxBytes(int32(c.Fetch)), kgo.FetchMaxPartitionBytes(int32(min(c.Fetch, 4<<20))),
		kgo.SessionTimeout(c.Session), kgo.HeartbeatInterval(c.Session / 10), kgo.RebalanceTimeout(max(c.Session, time.Minute)),
		kgo.MaxDecompressBatchBytes(maxDecompressed), kgo.DisableClientMetrics(),
	}
	if c.Instance != "" {
		opts = append(opts, kgo.InstanceID(c.Instance))
	}
	if c.TLS.On {
		t, err := c.TLS.Files.Config()
		if err != nil {
			return nil, fmt.Errorf("tls: %w", err)
		}
		opts = append(opts, kgo.DialTLSConfig(t))
	}
	if c.SASL.Mechanism != "" {
		if _, err := c.SASL.secret(); err != nil {
			return nil, err
		}
		opts = append(opts, kgo.SASL(c.SASL.mechanism()))
	}
	return opts, nil
}

func (s *SASL) secret() (string, error) {
	b, err := os.ReadFile(s.PasswordFile)
	if err != nil {
		return "", fmt.Errorf("read the secret for the brokers: %w", err)
	}
	secret := strings.TrimRight(string(b), "\r\n")
	if secret == "" {
		return "", fmt.Errorf("read the secret for the brokers: %s is empty", s.PasswordFile)
	}
	return secret, nil
}

func (s *SASL) mechanism() sasl.Mechanism {
	switch s.Mechanism {
	case "plain":
		return plain.Plain(func(context.Context) (plain.Auth, error) {
			secret, err := s.secret()
			return plain.Auth{User: s.User, Pass: secret}, err
		})
	case "oauthbearer":
		return oauth.Oauth(func(context.Context) (oauth.Auth, error) {
			secret, err := s.secret()
			return oauth.Auth{Token: secret}, err
		})
	}
	auth := func(context.Context) (scram.Auth, error) {
		secret, err := s.secret()
		return scram.Auth{User: s.User, Pass: secret}, err
	}
	if s.Mechanism == "scram-sha-512" {
		return scram.Sha512(auth)
	}
	return scram.Sha256(auth)
}
