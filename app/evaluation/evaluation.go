// Package evaluation measures the detector on worlds with a known truth and on outside data, and writes the figures as
// a Markdown document: targets on top, misses included, each table with what is needed to make it again.
//
// Settings are frozen: the rules that the binary carries are used as they are, and their hashes are printed. The same
// options give the same figures; only wall times differ.
package evaluation

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/palladium-guard/palladium/rules"
	"github.com/palladium-guard/palladium/traffic/measure"
	"github.com/palladium-guard/palladium/world"
	"github.com/palladium-guard/palladium/world/outside"
)

// Section is a part of the document.
type Section string

// The sections, in the order of the document. Calibration and Baselines are read off worlds of other sections, so
// they have worlds played that would otherwise not be.
const (
	Settings    Section = "settings"
	Campaigns   Section = "campaigns"
	Negatives   Section = "negatives"
	Controls    Section = "controls"
	Baselines   Section = "baselines"
	Calibration Section = "calibration"
	Outside     Section = "outside"
)

// Sections lists all sections in the order of the document.
func Sections() []Section {
	return []Section{Settings, Campaigns, Negatives, Controls, Baselines, Calibration, Outside}
}

// DefaultSeed is the first seed of an evaluation for the record. QuickSeed is that of short runs, which people make
// while they change the detector: what they see then must not be what is reported later.
const (
	DefaultSeed = 17000
	QuickSeed   = 1000
)

// half is the half of the data's sources that worlds take their text from. Weights were fitted on half 0, and short
// runs stay there, so that the other one is kept for the record.
func (o *Options) half() int {
	if o.Size == Full {
		return 1
	}
	return 0
}

func (o *Options) defaultSeed() uint64 {
	if o.Size == Full {
		return DefaultSeed
	}
	return QuickSeed
}

// Options say what to measure and how.
type Options struct {
	Data     fs.FS     // the data folder; nil: text is made up and outside data is left out
	DataName string    // how the document names it in commands, for example "../shared/data"
	Seed     uint64    // 0 means DefaultSeed, in short runs QuickSeed
	Size     Size      // how much is played
	Sections []Section // none means all
	Workers  int       // worlds played at a time; 0 means one for each core
	Date     time.Time // when the evaluation began, for the captions
	Version  string    // of the binary
	Commit   string
	Progress io.Writer // a line for each world played; nil for none
	Verbose  io.Writer // what stands behind each miss and each false alarm; nil for none
}

// Results is all that was measured.
type Results struct {
	opt     Options
	machine string
	plays   []outcome // in the order of the plan
	outside *outsideResults
	began   time.Time
	wall    time.Duration
}

// ParseSections reads a list of section names. Empty means all.
func ParseSections(names []string) ([]Section, error) {
	var out []Section
	for _, n := range names {
		s := Section(strings.TrimSpace(n))
		if !slices.Contains(Sections(), s) {
			return nil, fmt.Errorf("section %q is unknown, use some of %v", n, Sections())
		}
		out = append(out, s)
	}
	return out, nil
}

// wants reports whether the section is asked for.
func (o *Options) wants(s Section) bool {
	return len(o.Sections) == 0 || slices.Contains(o.Sections, s)
}

// Run plays the worlds of the sections asked for and measures. It takes minutes to tens of minutes, and ends early
// with the context's error.
func Run(ctx context.Context, opt Options) (*Results, error) {
	if opt.Seed == 0 {
		opt.Seed = opt.defaultSeed()
	}
	if opt.Workers <= 0 {
		opt.Workers = runtime.GOMAXPROCS(0)
	}
	r := &Results{opt: opt, machine: machine(), began: time.Now()}
	set, err := newSettings(&opt)
	if err != nil {
		return nil, err
	}
	if r.plays, err = playAll(ctx, &opt, set, plan(&opt)); err != nil {
		return nil, err
	}
	if opt.wants(Outside) && opt.Data != nil && ctx.Err() == nil {
		if r.outside, err = measureOutside(opt.Data, opt.Seed, opt.Size); err != nil {
			return nil, err
		}
	}
	r.wall = time.Since(r.began)
	return r, ctx.Err()
}

// corpus loads the text of the worlds.
func (o *Options) corpus() (*world.Corpus, error) {
	if o.Data == nil {
		return world.OwnCorpus(o.Seed), nil
	}
	c, err := world.LoadCorpus(o.Data, o.half())
	if err != nil {
		return nil, fmt.Errorf("load the texts of the evaluation: %w", err)
	}
	return c, nil
}

// hosting tells the networks of hosting companies, for the baseline that asks; nil without data.
func (o *Options) hosting() (func(asn uint32) bool, error) {
	if o.Data == nil {
		return nil, nil
	}
	is, err := outside.Datacenters(o.Data)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	return is, err
}

// meter measures for one world. Another seed hashes with another key.
func (s *settings) meter(seed uint64) *measure.Meter {
	return measure.New(sha256.Sum256([]byte(fmt.Sprintf("evaluation key %d", seed))), s.cues)
}

// ruleHashes lists the rule files in use with the start of their SHA-256.
func ruleHashes() [][2]string {
	short := func(b []byte) string {
		h := sha256.Sum256(b)
		return hex.EncodeToString(h[:8])
	}
	return [][2]string{
		{"rules/policy.yaml", short(rules.Policy())},
		{"rules/extraction.json", short(rules.Extraction())},
		{"rules/cues.yaml", short(rules.Cues())},
	}
}
