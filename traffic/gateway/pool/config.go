package pool

import (
	"errors"
	"fmt"
	"net/url"
	"os"
	"slices"
	"strings"
	"time"
)

// Config is one server of models.
type Config struct {
	Name       string        `yaml:"name"`
	URL        string        `yaml:"url"`    // https://host[:port][/prefix]; a trailing /v1 is the same as none
	Weight     int           `yaml:"weight"` // share among those that serve a model; 1 when not given
	Models     []string      `yaml:"models"` // with '*'; empty: all
	SecretFile string        `yaml:"secret_file"`
	SecretEnv  string        `yaml:"secret_env"`
	Auth       string        `yaml:"auth"` // header for the secret: bearer, x-api-key, api-key; empty: the dialect's own
	Health     Health        `yaml:"health"`
	CA         string        `yaml:"ca"` // PEM file of authorities to trust in place of the system's
	Timeout    time.Duration `yaml:"first_byte"`
}

// Health is how an upstream is watched.
type Health struct {
	Path    string        `yaml:"path"` // asked with GET; 2xx is healthy; empty: only watched by its answers
	Every   time.Duration `yaml:"every"`
	Fails   int           `yaml:"fails"`   // connection failures or failed checks in a row that take it out
	Eject   time.Duration `yaml:"eject"`   // first time out; doubles up to 16 times as long
	Timeout time.Duration `yaml:"timeout"` // of a check
}

// Fill puts the defaults where nothing was said. n is the upstream's place in the list, from 1.
func (u *Config) Fill(n int) {
	or(&u.Name, fmt.Sprintf("upstream%d", n))
	or(&u.Weight, 1)
	or(&u.Health.Every, 5*time.Second)
	or(&u.Health.Fails, 3)
	or(&u.Health.Eject, time.Second)
	or(&u.Health.Timeout, 2*time.Second)
}

func or[T comparable](v *T, d T) {
	var zero T
	if *v == zero {
		*v = d
	}
}

// Check says what is wrong with a filled Config; nil when nothing is.
func (u *Config) Check() error {
	var errs []error
	if _, err := u.base(); err != nil {
		errs = append(errs, err)
	}
	if u.Weight < 0 {
		errs = append(errs, errors.New("weight must not be negative"))
	}
	if u.SecretFile != "" && u.SecretEnv != "" {
		errs = append(errs, errors.New("give secret_file or secret_env, not both"))
	}
	if !slices.Contains([]string{"", "bearer", "x-api-key", "api-key"}, u.Auth) {
		errs = append(errs, errors.New("auth must be bearer, x-api-key or api-key"))
	}
	return errors.Join(errs...)
}

// base is the address that a path such as /v1/models is appended to.
func (u *Config) base() (*url.URL, error) {
	b, err := url.Parse(u.URL)
	if err != nil || b.Host == "" || b.Scheme != "http" && b.Scheme != "https" {
		return nil, errors.New("url must be an address such as http://127.0.0.1:8000")
	}
	if b.User != nil || b.RawQuery != "" || b.Fragment != "" {
		return nil, errors.New("url must hold no password, query or fragment: secrets go into secret_file or secret_env")
	}
	b.Path = strings.TrimSuffix(strings.TrimSuffix(b.Path, "/"), "/v1")
	b.RawPath = ""
	return b, nil
}

// secret reads the upstream's secret; "" when it has none. Errors never hold it.
func (u *Config) secret() (string, error) {
	var s string
	switch {
	case u.SecretFile != "":
		b, err := os.ReadFile(u.SecretFile)
		if err != nil {
			return "", fmt.Errorf("read the secret of upstream %s: %w", u.Name, err)
		}
		s = string(b)
	case u.SecretEnv != "":
		if s = os.Getenv(u.SecretEnv); s == "" {
			return "", fmt.Errorf("read the secret of upstream %s: the variable %s is not set", u.Name, u.SecretEnv)
		}
	default:
		return "", nil
	}
	s = strings.TrimSpace(s)
	for _, r := range s {
		if r <= ' ' || r > '~' {
			return "", fmt.Errorf("read the secret of upstream %s: it holds a character that a header cannot carry", u.Name)
		}
	}
	if s == "" {
		return "", fmt.Errorf("read the secret of upstream %s: it is empty", u.Name)
	}
	return s, nil
}
