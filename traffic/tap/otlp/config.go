package otlp

import (
	"errors"
	"fmt"
	"time"

	"github.com/palladium-guard/palladium/internal/size"
	"github.com/palladium-guard/palladium/store/secret"
)

// Config is the section taps.otlp of the configuration. Without an address there is no such tap.
type Config struct {
	GRPC     string        `yaml:"grpc"`    // host:port for OTLP over gRPC, such as 127.0.0.1:4317; empty: none
	HTTP     string        `yaml:"http"`    // host:port for OTLP over HTTP, such as 127.0.0.1:4318; empty: none
	Request  size.Bytes    `yaml:"request"` // bytes of a request, uncompressed; 16 MiB when 0
	AtOnce   int           `yaml:"at_once"` // requests in hand at once; 64 when 0. Memory is at most four times the product
	Wait     time.Duration `yaml:"wait"`    // for observations to be taken and kept; then the client is told to try again. 10s when 0
	Retry    time.Duration `yaml:"retry"`   // when clients are to try again; 2s when 0
	Identity secret.Server `yaml:",inline"` // certificate, key, client_ca, token_file, insecure
}

// Fill puts the defaults where nothing was said.
func (c *Config) Fill() {
	if c.Request == 0 {
		c.Request = 16 << 20
	}
	if c.AtOnce == 0 {
		c.AtOnce = 64
	}
	if c.Wait == 0 {
		c.Wait = 10 * time.Second
	}
	if c.Retry == 0 {
		c.Retry = 2 * time.Second
	}
}

// Check says what is wrong with a filled Config, all of it at once; nil when nothing is.
func (c *Config) Check() error {
	var errs []error
	add := func(wrong bool, format string, args ...any) {
		if wrong {
			errs = append(errs, fmt.Errorf("taps.otlp: "+format, args...))
		}
	}
	add(c.GRPC == "" && c.HTTP == "", "give an address: grpc, http or both")
	add(c.Request < 1<<10 || c.Request > 1<<30, "request must lie between 1024 and 1073741824 bytes")
	add(c.AtOnce < 1, "at_once must be at least 1")
	add(c.Wait < 0 || c.Retry < 0, "wait and retry must not be negative")
	for _, address := range []string{c.GRPC, c.HTTP} {
		if address != "" {
			err := c.Identity.Check(address)
			add(err != nil, "%w", err)
		}
	}
	return errors.Join(errs...)
}
