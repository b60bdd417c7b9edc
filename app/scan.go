package app

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/palladium-guard/palladium"
	"github.com/palladium-guard/palladium/rules"
	"github.com/palladium-guard/palladium/traffic/campaign"
	"github.com/palladium-guard/palladium/traffic/dialect"
	"github.com/palladium-guard/palladium/traffic/dialect/litellm"
	"github.com/palladium-guard/palladium/traffic/dialect/native"
	"github.com/palladium-guard/palladium/traffic/dialect/otlp"
	"github.com/palladium-guard/palladium/traffic/judge"
	"github.com/palladium-guard/palladium/traffic/measure"
	"github.com/palladium-guard/palladium/traffic/tap/file"
)

// Formats is the table of the formats of recorded traffic, in the order in which they are tried.
func Formats() []dialect.Format {
	return []dialect.Format{native.Format(), litellm.Format(), otlp.Format()}
}

// ScanOptions says what is scanned and how.
type ScanOptions struct {
	Paths        []string  // files, directories, or "-" for Stdin
	Stdin        io.Reader // read when Paths name "-"
	Dialect      string    // name of the format of all files; empty to tell it by looking
	Since, Until time.Time // limits of the exchanges' time, Since <= time < Until; zero is no limit
	Without      map[palladium.Family]bool
	Policy       []byte // in its YAML form; nil for the one that the program carries
	Workers      int    // goroutines that decode and measure; 0 is one for each core

	// Key is the secret behind all hashes. Nil takes the state's, or without a state a random one.
	Key *[32]byte

	// The functions below are called on the goroutine of Scan and may be nil.
	Progress func(file.Progress)
	Rejected func(palladium.Reject) // told of each record that is skipped
}

// ScanStats says what a scan did.
type ScanStats struct {
	file.Stats
	Interrupted bool // ctx was done before the end: the report is on what was read until then
}

// measured is what a worker hands on of one exchange.
type measured struct {
	obs   palladium.Observation
	model string // name behind obs.Model, owned by the worker
}

// scan is one run over recorded traffic. But for the workers' measuring, all of it happens on one goroutine.
type scan struct {
	opt      ScanOptions
	cues     *measure.Cues
	det      *Detector
	rejected int64
	model    uint64 // hash of the model named last
	stats    ScanStats
}

// Scan reads recorded traffic and reports the campaigns found. When ctx is done it stops between two exchanges and
// reports on those before. Its errors say what the operator can do.
func Scan(ctx context.Context, opt ScanOptions) (*palladium.Report, ScanStats, error) {
	s, err := newScan(opt)
	if err != nil {
		return nil, ScanStats{}, err
	}
	if err := s.read(ctx); err != nil {
		return nil, s.stats, err
	}
	return s.det.Report(s.rejected), s.stats, nil
}

func newScan(opt ScanOptions) (*scan, error) {
	if opt.Policy == nil {
		opt.Policy = rules.Policy()
	}
	policy, err := judge.Load(opt.Policy)
	if err != nil {
		return nil, err
	}
	if opt.Key == nil {
		opt.Key = new([32]byte)
		_, _ = rand.Read(opt.Key[:]) // never fails
	}
	cues, err := measure.ParseCues(bytes.NewReader(rules.Cues()))
	if err != nil {
		return nil, fmt.Errorf("read the cues that the program carries: %w", err)
	}
	return &scan{opt: opt, cues: cues, det: NewDetector(DetectorOptions{
		Hash: measure.New(*opt.Key, nil).Hash, Without: opt.Without, Policy: policy, Weights: campaign.DefaultWeights(),
	})}, nil
}

// read takes in all that the options name.
func (s *scan) read(ctx context.Context) error {
	o := file.Options{
		Paths: s.opt.Paths, Stdin: s.opt.Stdin, Formats: Formats(), Dialect: s.opt.Dialect,
		Since: s.opt.Since, Until: s.opt.Until, Workers: s.opt.Workers, Progress: s.opt.Progress,
		Rejected: func(r palladium.Reject) {
			s.rejected++
			if s.opt.Rejected != nil {
				s.opt.Rejected(r)
			}
		},
	}
	describe := func(a *palladium.Account) error {
		s.det.Describe(a)
		return nil
	}
	var err error
	s.stats.Stats, err = file.Read(ctx, o, s.measurer, describe, s.observe)
	if err != nil && ctx.Err() != nil && errors.Is(err, ctx.Err()) {
		s.stats.Interrupted = true
		return nil
	}
	return err
}

// measurer makes one worker's measuring function.
func (s *scan) measurer(int) func(*palladium.Exchange, *measured) {
	meter := measure.New(*s.opt.Key, s.cues)
	names := map[uint64]string{}
	return func(e *palladium.Exchange, m *measured) {
		meter.Measure(e, &m.obs)
		name, ok := names[m.obs.Model]
		if !ok {
			name = strings.Clone(e.Model)
			if len(names) < maxModels {
				names[m.obs.Model] = name
			}
		}
		m.model = name
	}
}

// maxModels is how many model names a worker remembers; where there are more, each is copied anew.
const maxModels = 4096

// observe takes in a batch.
func (s *scan) observe(b file.Batch[measured]) error {
	for i := range b.Items {
		m := &b.Items[i]
		if m.obs.Model != s.model {
			s.model = m.obs.Model
			s.det.NameModel(s.model, m.model)
		}
		s.det.Observe(&m.obs)
	}
	return nil
}
