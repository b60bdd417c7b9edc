package notify

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"os"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/palladium-guard/palladium/internal/tlsfile"
)

// Config is the section `notify` of the configuration.
type Config struct {
	GiveUp time.Duration `yaml:"give_up"` // after this a message that cannot be delivered is given up and shown; 0: 24 hours
	Sinks  []Sink        `yaml:"sinks"`
}

// Sink is one place that is told. Exactly one of the pointers is set.
type Sink struct {
	Name    string        `yaml:"name"`    // small letters, digits, - and _; what is on its way is kept under this name
	Events  []string      `yaml:"events"`  // kinds, such as campaign.act or measure.*; empty: all
	Allow   []string      `yaml:"allow"`   // networks such as 10.1.0.0/16 that may be reached although they are not public
	Timeout time.Duration `yaml:"timeout"` // of one attempt; 0: 10 seconds
	TLS     TLS           `yaml:"tls"`

	Webhook      *Webhook      `yaml:"webhook"`
	Slack        *Slack        `yaml:"slack"`
	Alertmanager *Alertmanager `yaml:"alertmanager"`
	Syslog       *Syslog       `yaml:"syslog"`
	Mail         *Mail         `yaml:"mail"`
}

// TLS says how a sink proves itself, and how Palladium does. TLS 1.2 is the least.
type TLS struct {
	Files tlsfile.Client `yaml:",inline"`
	Name  string         `yaml:"name"` // in the sink's certificate, where it differs from its address
}

// The formats in which an event is written.
const (
	FormatPlain = ""     // Palladium's own
	FormatOCSF  = "ocsf" // OCSF Detection Finding, class 2004
)

// Webhook posts signed JSON as the Standard Webhooks specification says.
type Webhook struct {
	URL          string `yaml:"url"`
	SecretFile   string `yaml:"secret_file"` // holds whsec_… ; a second line is an older secret that signs as well, until receivers have changed
	SecretEnv    string `yaml:"secret_env"`
	Format       string `yaml:"format"`
	InsecureHTTP bool   `yaml:"insecure_http"` // allows http://
}

// Slack posts to an incoming webhook of Slack, or of what takes the same: Mattermost, Rocket.Chat, Discord. Its address is the secret.
type Slack struct {
	URLFile      string `yaml:"url_file"`
	URLEnv       string `yaml:"url_env"`
	InsecureHTTP bool   `yaml:"insecure_http"`
}

// Alertmanager posts alerts to the API v2 of each server of a cluster; one that takes them is enough.
type Alertmanager struct {
	URLs         []string          `yaml:"urls"`
	TokenFile    string            `yaml:"token_file"` // bearer token
	TokenEnv     string            `yaml:"token_env"`
	Labels       map[string]string `yaml:"labels"` // added to each alert
	Hold         time.Duration     `yaml:"hold"`   // how long an alert stands that nothing ends; 0: 24 hours
	InsecureHTTP bool              `yaml:"insecure_http"`
}

// Syslog writes RFC 5424 messages.
type Syslog struct {
	Address    string `yaml:"address"`    // host:port
	Network    string `yaml:"network"`    // tls (the default), tcp or udp
	Facility   string `yaml:"facility"`   // auth, authpriv (the default), or local0 to local7
	Enterprise int    `yaml:"enterprise"` // private enterprise number in the name of the structured data; 0: 32473, which is that of examples
	Format     string `yaml:"format"`
}

// Mail sends messages by SMTP.
type Mail struct {
	Server       string   `yaml:"server"` // host:port
	From         string   `yaml:"from"`
	To           []string `yaml:"to"`
	User         string   `yaml:"user"` // empty: no sign-in
	PasswordFile string   `yaml:"password_file"`
	PasswordEnv  string   `yaml:"password_env"`
	Security     string   `yaml:"security"` // starttls (the default), tls from the first byte, or insecure-none
}

// Check says what is wrong, without looking at files or the network.
func (c *Config) Check() error {
	var errs []error
	if c.GiveUp < 0 {
		errs = append(errs, errors.New("notify: give_up must not be negative"))
	}
	seen := map[string]bool{}
	for i := range c.Sinks {
		s := &c.Sinks[i]
		if err := s.check(); err != nil {
			errs = append(errs, fmt.Errorf("notify: sink %d %q: %w", i+1, s.Name, err))
		} else if seen[s.Name] {
			errs = append(errs, fmt.Errorf("notify: two sinks are named %q: rename one", s.Name))
		}
		seen[s.Name] = true
	}
	return errors.Join(errs...)
}

func (s *Sink) check() error {
	if s.Name == "" || len(s.Name) > 60 || strings.Trim(s.Name, "abcdefghijklmnopqrstuvwxyz0123456789-_") != "" {
		return errors.New("give it a name of small letters, digits, - and _")
	}
	set := 0
	for _, on := range []bool{s.Webhook != nil, s.Slack != nil, s.Alertmanager != nil, s.Syslog != nil, s.Mail != nil} {
		if on {
			set++
		}
	}
	if set != 1 {
		return errors.New("name exactly one of webhook, slack, alertmanager, syslog, mail")
	}
	if s.Timeout < 0 || s.Timeout > time.Minute {
		return errors.New("timeout must lie between 0 and 1m")
	}
	if err := s.TLS.Files.Check(); err != nil {
		return fmt.Errorf("tls: %w", err)
	}
	if _, err := s.networks(); err != nil {
		return err
	}
	for _, pattern := range s.Events {
		if !slices.ContainsFunc(Kinds(), func(k string) bool { return matches(pattern, k) }) {
			return fmt.Errorf("events: nothing is called %q; there are %s", pattern, strings.Join(Kinds(), ", "))
		}
	}
	switch {
	case s.Webhook != nil:
		return s.Webhook.check()
	case s.Slack != nil:
		return oneOf("url", s.Slack.URLFile, s.Slack.URLEnv)
	case s.Alertmanager != nil:
		return s.Alertmanager.check()
	case s.Syslog != nil:
		return s.Syslog.check()
	}
	return s.Mail.check()
}

func (w *Webhook) check() error {
	if err := oneOf("secret", w.SecretFile, w.SecretEnv); err != nil {
		return err
	}
	if err := checkFormat(w.Format); err != nil {
		return err
	}
	return checkURL(w.URL, w.InsecureHTTP)
}

func (a *Alertmanager) check() error {
	if len(a.URLs) == 0 {
		return errors.New("urls: name a server, such as https://alertmanager.example.com")
	}
	for _, u := range a.URLs {
		if err := checkURL(u, a.InsecureHTTP); err != nil {
			return err
		}
	}
	if a.TokenFile != "" && a.TokenEnv != "" {
		return errors.New("name token_file or token_env, not both")
	}
	if a.Hold < 0 {
		return errors.New("hold must not be negative")
	}
	return nil
}

func (s *Syslog) check() error {
	if err := checkAddress("address", s.Address); err != nil {
		return err
	}
	if !slices.Contains([]string{"", "tls", "tcp", "udp"}, s.Network) {
		return fmt.Errorf("network %q is none of tls, tcp, udp", s.Network)
	}
	if _, ok := facility(s.Facility); !ok {
		return fmt.Errorf("facility %q is none of auth, authpriv, local0 to local7", s.Facility)
	}
	if s.Enterprise < 0 {
		return errors.New("enterprise must not be negative")
	}
	return checkFormat(s.Format)
}

func (m *Mail) check() error {
	if err := checkAddress("server", m.Server); err != nil {
		return err
	}
	if m.From == "" || len(m.To) == 0 {
		return errors.New("name the sender in from and at least one receiver in to")
	}
	if !slices.Contains([]string{"", "starttls", "tls", "insecure-none"}, m.Security) {
		return fmt.Errorf("security %q is none of starttls, tls, insecure-none", m.Security)
	}
	if m.User == "" {
		return nil
	}
	if m.Security == "insecure-none" {
		return errors.New("a password is not sent in the clear: leave out user, or use starttls or tls")
	}
	return oneOf("password", m.PasswordFile, m.PasswordEnv)
}

func checkFormat(f string) error {
	if f != FormatPlain && f != FormatOCSF {
		return fmt.Errorf("format %q is not known: write ocsf, or leave it out", f)
	}
	return nil
}

func checkAddress(key, at string) error {
	if host, port, err := net.SplitHostPort(at); err != nil || host == "" || port == "" {
		return fmt.Errorf("%s: write host:port", key)
	}
	return nil
}

// checkURL does not quote the address: it may hold a secret.
func checkURL(text string, insecure bool) error {
	u, err := url.Parse(text)
	switch {
	case err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http":
		return errors.New("the address is no URL such as https://example.com/hook")
	case u.User != nil:
		return errors.New("put no password into the address: name it in a file")
	case u.Scheme == "http" && !insecure:
		return errors.New("the address is http://, which anybody on the way can read: use https://, or set insecure_http")
	}
	return nil
}

func oneOf(what, file, env string) error {
	if (file == "") == (env == "") {
		return fmt.Errorf("name %s_file or %s_env", what, what)
	}
	return nil
}

// secret reads what a file or a variable of the environment holds. Both empty: "".
func secret(what, file, env string) (string, error) {
	if env != "" {
		if v := strings.TrimSpace(os.Getenv(env)); v != "" {
			return v, nil
		}
		return "", fmt.Errorf("read %s_env: %s is not set in the environment", what, env)
	}
	if file == "" {
		return "", nil
	}
	b, err := os.ReadFile(file)
	if err != nil {
		return "", fmt.Errorf("read %s_file: %w", what, err)
	}
	v := strings.TrimSpace(string(b))
	if v == "" {
		return "", fmt.Errorf("read %s_file: %s is empty", what, file)
	}
	return v, nil
}

func (s *Sink) networks() ([]netip.Prefix, error) {
	var out []netip.Prefix
	for _, text := range s.Allow {
		p, err := netip.ParsePrefix(text)
		if err != nil {
			return nil, fmt.Errorf("allow: %q is no network such as 10.1.0.0/16", text)
		}
		out = append(out, p.Masked())
	}
	return out, nil
}

// wants reports whether the sink is told of a kind of event.
func (s *Sink) wants(kind string) bool {
	return len(s.Events) == 0 || slices.ContainsFunc(s.Events, func(p string) bool { return matches(p, kind) })
}

func matches(pattern, kind string) bool {
	ok, err := path.Match(pattern, kind)
	return err == nil && ok
}
