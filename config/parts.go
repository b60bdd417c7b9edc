package config

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/palladium-guard/palladium"
	"github.com/palladium-guard/palladium/store/archive"
	"github.com/palladium-guard/palladium/store/place"
	"github.com/palladium-guard/palladium/traffic/tap/kafka"
	"github.com/palladium-guard/palladium/traffic/tap/otlp"
)

// Detector is the section detector: how the live detector runs.
type Detector struct {
	Dir       string        `yaml:"dir"`        // where the state is kept; empty: in the state directory
	Policy    string        `yaml:"policy"`     // file of the judge's policy; empty: the one that the program carries
	Every     time.Duration `yaml:"every"`      // exchange time between two looks; 0: an hour, as in a scan
	SaveEvery time.Duration `yaml:"save_every"` // between two snapshots; 0: a minute, or more where they take long
	MaxDelay  time.Duration `yaml:"max_delay"`  // health is degraded while an observation waits for longer to be taken in; 0: a minute
	Without   []string      `yaml:"without"`    // families of evidence that are switched off
}

// Late is how long an observation may wait to be taken in before health is degraded.
func (c *Detector) Late() time.Duration { return cmp.Or(c.MaxDelay, time.Minute) }

// Check says what is wrong.
func (c *Detector) Check() error {
	for _, name := range c.Without {
		if !slices.Contains(palladium.Families(), palladium.Family(name)) {
			return fmt.Errorf("detector: without: %q is no family of evidence", name)
		}
	}
	if c.Every < 0 || c.SaveEvery < 0 || c.MaxDelay < 0 {
		return fmt.Errorf("detector: every, save_every and max_delay must not be negative")
	}
	return nil
}

// Families returns those that are switched off.
func (c *Detector) Families() map[palladium.Family]bool {
	out := map[palladium.Family]bool{}
	for _, name := range c.Without {
		out[palladium.Family(name)] = true
	}
	return out
}

// Taps is the section taps: traffic that comes by other ways than the gateway.
type Taps struct {
	Files []string     `yaml:"files"` // files and folders of recorded traffic and of account records, followed as they grow
	Kafka kafka.Config `yaml:"kafka"`
	OTLP  otlp.Config  `yaml:"otlp"`
}

// Fill puts the defaults where nothing was said.
func (t *Taps) Fill() {
	t.Kafka.Fill()
	t.OTLP.Fill()
}

// Check says what is wrong with the taps that are named.
func (t *Taps) Check() error {
	var errs []error
	if len(t.Kafka.Brokers) > 0 || len(t.Kafka.Topics) > 0 {
		errs = append(errs, t.Kafka.Check())
	}
	if t.OTLP.GRPC != "" || t.OTLP.HTTP != "" {
		errs = append(errs, t.OTLP.Check())
	}
	return errors.Join(errs...)
}

// Ledger is the section ledger: where acts are written down before they are done.
type Ledger struct {
	Off     bool   `yaml:"off"`
	Dir     string `yaml:"dir"`     // of the log; empty: in the state directory
	Key     string `yaml:"key"`     // file of the log's private key; made with the log where both are missing
	Public  string `yaml:"public"`  // file of its public key: keep a copy elsewhere
	Witness string `yaml:"witness"` // file of a witness policy; empty: none are asked
}

// Archive is the section archive: where observations are kept, to hunt in and to scan again.
type Archive struct {
	Off            bool     `yaml:"off"`
	Dir            string   `yaml:"dir"` // a folder of this machine; empty, without a bucket: in the state directory
	S3             place.S3 `yaml:"s3"`  // or a bucket of an S3-compatible store
	archive.Config `yaml:",inline"`
}

// Check says what is wrong.
func (c *Archive) Check() error {
	if c.Dir != "" && c.S3.Bucket != "" {
		return fmt.Errorf("archive: name dir or s3.bucket, not both")
	}
	if c.S3 != (place.S3{}) {
		if err := c.S3.Check(); err != nil {
			return fmt.Errorf("archive: s3: %w", err)
		}
	}
	filled := c.Config
	filled.Fill()
	return filled.Check()
}

// API is the section api: the operator's API and console.
type API struct {
	Off         bool          `yaml:"off"`
	Listen      string        `yaml:"listen"`      // host:port; empty: 127.0.0.1:8090
	Origin      string        `yaml:"origin"`      // scheme and host under which people reach it; empty: follows from listen
	Certificate string        `yaml:"certificate"` // PEM files; without them a proxy in front must speak TLS, except on loopback
	Key         string        `yaml:"key"`
	Proxies     []string      `yaml:"proxies"` // networks whose X-Forwarded-For is believed
	Name        string        `yaml:"name"`    // of the site, on appeal pages and dossiers
	Review      time.Duration `yaml:"review"`  // time in which an appeal is decided; 0: 7 days
}
