package check

import (
	"errors"
	"fmt"
	"net/textproto"
	"net/url"
	"strings"
	"time"

	"github.com/palladium-guard/palladium/internal/urlpath"
	"github.com/palladium-guard/palladium/store/secret"
)

// Config is the section check of the configuration. Without an address nothing is answered.
type Config struct {
	HTTP     string        `yaml:"http"` // host:port for checks over HTTP; empty: none
	GRPC     string        `yaml:"grpc"` // host:port for Envoy's external authorisation; empty: none
	Identity secret.Server `yaml:",inline"`
	Account  Account       `yaml:"account"`
	Failure  Failure       `yaml:"failure"` // what is answered when verdicts cannot be relied on: open (the default) or closed
	Mode     Mode          `yaml:"mode"`    // enforce (the default) or shadow
	Hold     Hold          `yaml:"hold"`
	Appeal   string        `yaml:"appeal"` // address for appeals, given with every refusal that a verdict causes
	Verify   string        `yaml:"verify"` // address where an account holder can verify, given with step-up
	Routes   []Route       `yaml:"routes"`
}

// Account says how the account that asks is known.
type Account struct {
	// Header is set by the gateway that asks, over whatever its caller sent under that name. Empty: none.
	Header string `yaml:"header"`
	// Credential has the caller's own credential decide, as in the section credentials, where no header names an account.
	Credential bool `yaml:"credential"`
	// Missing is what is answered when no account is known: refuse (the default) or pass.
	Missing string `yaml:"missing"`
}

// Hold says how long the answer may be kept back where a verdict slows an account down. A check that is not held tells the
// delay, and the gateway that asked applies it.
type Hold struct {
	HTTP   time.Duration `yaml:"http"` // 30s when not given; negative: tell only
	GRPC   time.Duration `yaml:"grpc"` // tell only when not given: Envoy gives up on a check after 200 ms by default
	AtOnce int           `yaml:"at_once"`
}

// Route changes what is answered for some paths.
type Route struct {
	Path    string  `yaml:"path"` // a trailing /* takes all below
	Failure Failure `yaml:"failure"`
	Mode    Mode    `yaml:"mode"`
	Skip    bool    `yaml:"skip"` // always pass, whoever asks
}

// Failure is what is answered when the table of verdicts cannot be relied on.
type Failure string

// The ways to fail.
const (
	FailOpen   Failure = "open"   // by what the table says that is there
	FailClosed Failure = "closed" // 503
)

// Mode says whether verdicts are enforced.
type Mode string

// The modes.
const (
	Enforce Mode = "enforce"
	Shadow  Mode = "shadow" // pass, and tell what would have been answered
)

func or[T comparable](v *T, d T) {
	var zero T
	if *v == zero {
		*v = d
	}
}

// Fill puts the defaults where nothing was said.
func (c *Config) Fill() {
	or(&c.Failure, FailOpen)
	or(&c.Mode, Enforce)
	or(&c.Account.Missing, "refuse")
	or(&c.Hold.HTTP, 30*time.Second)
	or(&c.Hold.AtOnce, 10_000)
	c.Account.Header = textproto.CanonicalMIMEHeaderKey(c.Account.Header)
	for i := range c.Routes {
		or(&c.Routes[i].Failure, c.Failure)
		or(&c.Routes[i].Mode, c.Mode)
	}
}

// Check says what is wrong with a filled Config, all of it at once; nil when nothing is.
func (c *Config) Check() error {
	var errs []error
	add := func(wrong bool, format string, args ...any) {
		if wrong {
			errs = append(errs, fmt.Errorf("check: "+format, args...))
		}
	}
	add(c.HTTP == "" && c.GRPC == "", "give an address: http, grpc or both")
	for _, address := range []string{c.HTTP, c.GRPC} {
		if address != "" {
			err := c.Identity.Check(address)
			add(err != nil, "%w", err)
		}
	}
	add(c.Account.Header == "" && !c.Account.Credential, "account: say how an account is known: give header, or set credential")
	add(c.Account.Header != "" && strings.ContainsAny(c.Account.Header, " :\r\n"), "account: header %q is no header's name", c.Account.Header)
	add(strings.HasPrefix(c.Account.Header, headerPrefix), "account: header: names with %s are this program's own", headerPrefix)
	add(c.Account.Missing != "refuse" && c.Account.Missing != "pass", "account: missing must be refuse or pass")
	add(!c.Failure.known(), "failure must be open or closed")
	add(!c.Mode.known(), "mode must be enforce or shadow")
	add(c.Hold.AtOnce < 1, "hold: at_once must be at least 1")
	for _, r := range c.Routes {
		add(!strings.HasPrefix(r.Path, "/"), "routes: path %q must start with /", r.Path)
		i := strings.IndexByte(r.Path, '*')
		add(i >= 0 && (i != len(r.Path)-1 || !strings.HasSuffix(r.Path, "/*")), "routes: path %q: only a trailing /* is understood", r.Path)
		add(!r.Failure.known(), "routes: %s: failure must be open or closed", r.Path)
		add(!r.Mode.known(), "routes: %s: mode must be enforce or shadow", r.Path)
	}
	for name, v := range map[string]string{"appeal": c.Appeal, "verify": c.Verify} {
		u, err := url.Parse(v)
		add(v != "" && (err != nil || u.Scheme == ""), "%s must be an address such as https://example.com/%s", name, name)
	}
	return errors.Join(errs...)
}

func (f Failure) known() bool { return f == FailOpen || f == FailClosed }
func (m Mode) known() bool    { return m == Enforce || m == Shadow }

// route returns what counts for a path: the longest that fits. A path that servers read differently fits none.
func (c *Config) route(path string) Route {
	best := Route{Failure: c.Failure, Mode: c.Mode}
	if !urlpath.Plain(path) {
		return best
	}
	for _, r := range c.Routes {
		prefix, below := strings.CutSuffix(r.Path, "*")
		fits := path == r.Path || below && strings.HasPrefix(path, prefix) && len(path) > len(prefix)
		if fits && len(r.Path) > len(best.Path) {
			best = r
		}
	}
	return best
}
