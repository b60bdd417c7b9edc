package app

import (
	"bytes"
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/palladium-guard/palladium"
	"github.com/palladium-guard/palladium/rules"
	"github.com/palladium-guard/palladium/store/archive"
	"github.com/palladium-guard/palladium/traffic/dialect"
	"github.com/palladium-guard/palladium/traffic/dialect/litellm"
	"github.com/palladium-guard/palladium/traffic/dialect/native"
	"github.com/palladium-guard/palladium/traffic/dialect/otlp"
	"github.com/palladium-guard/palladium/traffic/extraction"
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
	RecallBits   int    // size of the memory of recent text, see linkage.Options; a kept state has its own

	// StateDir is a directory in which the state is kept, so that a later scan continues: files, or parts of files, that
	// were taken in are passed by. It is made when it does not exist. Empty keeps nothing.
	StateDir string
	// SaveEvery is the time between two snapshots of the state during a scan; 0 is a minute, or more where snapshots take
	// so long that they would slow the scan down.
	SaveEvery time.Duration
	// RejectsFile is where each record that is skipped is written, as one JSON object a line with file, line and reason.
	// Empty writes none.
	RejectsFile string
	// Key is the secret behind all hashes; nil is a random one. A state has its own.
	Key *[32]byte
	// Archive is read in place of Paths: observations that were measured already, under Key.
	Archive *archive.Archive

	// The functions below are called on the goroutine of Scan and may be nil.
	Progress func(file.Progress)
	Rejected func(palladium.Reject) // told of each record that is skipped
	Kept     func(Kept)             // told of each snapshot once it is on disk
	Failed   func(error)            // told of each snapshot that could not be taken; the next one is tried in its time
}

// ScanStats says what a scan did.
type ScanStats struct {
	file.Stats
	Interrupted bool // ctx was done before the end: the report is on what was read until then
	Continued   bool // an earlier state was taken up
	// Notes say, a line each, what the reader of the report should know of how it came about: that there was nothing to
	// read, or too little to find anything in, or more than was read.
	Notes []string
}

// scan is one run over recorded traffic. But for the workers' measuring, all of it happens on one goroutine.
type scan struct {
	opt      ScanOptions
	cues     *measure.Cues
	det      *Detector
	seen     *file.Seen
	folder   *folder // nil without a state
	saved    time.Time
	pause    time.Duration // until the next snapshot
	rejected int64
	keyless  bool // no key was given
	stats    ScanStats
}

// Scan reads recorded traffic and reports the campaigns found. When ctx is done it stops between two exchanges and
// reports on those before. With a state, what was read is kept before it is reported on; when that or the list of
// skipped records fails, the report comes with the error. Errors say what the operator can do.
func Scan(ctx context.Context, opt ScanOptions) (*palladium.Report, ScanStats, error) {
	c, stats, err := Inspect(ctx, opt)
	if c == nil {
		return nil, stats, err
	}
	return c.Report, stats, err
}

// Inspect does what Scan does, and keeps what is known of each account for questions.
func Inspect(ctx context.Context, opt ScanOptions) (*Case, ScanStats, error) {
	if opt.RejectsFile != "" {
		return listed(ctx, opt)
	}
	return inspect(ctx, opt)
}

func inspect(ctx context.Context, opt ScanOptions) (*Case, ScanStats, error) {
	s, err := newScan(opt)
	if err != nil {
		return nil, ScanStats{}, err
	}
	defer s.folder.close()
	if err := s.read(ctx); err != nil {
		return nil, s.stats, err
	}
	// A report looks once more at all groups, which a scan that goes on would not do here. So the state comes first.
	var failed error
	if s.folder != nil {
		failed = s.keep(s.stats.Position)
	}
	c := &Case{Report: s.det.Report(s.rejected), det: s.det}
	s.note()
	return c, s.stats, failed
}

func (s *scan) note() {
	add := func(note string) {
		if note != "" {
			s.stats.Notes = append(s.stats.Notes, note)
		}
	}
	if s.stats.Files == 0 && len(s.opt.Paths) > 0 {
		add("no file was read: in a directory, names of traffic files end in .jsonl, .ndjson, .json or .log, with .gz or .zst after it or not")
	}
	if n := s.stats.Rejected; n > 0 && s.stats.Exchanges+s.stats.Accounts+s.stats.Filtered+s.stats.Duplicates == 0 {
		hint := "name their format with --dialect, or see docs/formats.md"
		if s.opt.Dialect != "" {
			hint = "is --dialect " + s.opt.Dialect + " right?"
		}
		add(fmt.Sprintf("none of %d records could be read: %s", n, hint))
	}
	if s.stats.Held > 0 {
		add(fmt.Sprintf("files that go on at or after --until: %d; a later scan with this state reads them from there", s.stats.Held))
	}
	add(s.det.Short())
}

func newScan(opt ScanOptions) (*scan, error) {
	if opt.Policy == nil {
		opt.Policy = rules.Policy()
	}
	s := &scan{opt: opt, seen: new(file.Seen), pause: cmp.Or(opt.SaveEvery, time.Minute), saved: time.Now()}
	if opt.StateDir != "" {
		var err error
		if s.folder, err = openFolder(opt.StateDir); err != nil {
			return nil, err
		}
		s.opt.Key = &s.folder.key
	} else if opt.Key == nil {
		s.keyless, s.opt.Key = true, new([32]byte)
		_, _ = rand.Read(s.opt.Key[:]) // never fails
	}
	err := s.prepare()
	if err == nil && s.folder != nil {
		s.stats.Continued, err = s.folder.load(s)
	}
	if err != nil {
		s.folder.close()
		return nil, err
	}
	return s, nil
}

// prepare makes an empty detector.
func (s *scan) prepare() error {
	var err error
	if s.cues, err = Cues(); err != nil {
		return err
	}
	s.det, err = Prepare(*s.opt.Key, s.opt.Policy, DetectorOptions{Without: s.opt.Without, RecallBits: s.opt.RecallBits})
	return err
}

// Cues returns the extraction cues that the program carries.
func Cues() (*measure.Cues, error) {
	c, err := measure.ParseCues(bytes.NewReader(rules.Cues()))
	if err != nil {
		return nil, fmt.Errorf("read the cues that the program carries: %w", err)
	}
	return c, nil
}

// Prepare returns a detector without state, with the weights that the program carries and a policy in its YAML form, nil
// for the one that the program carries. What it needs of opt are Without, RecallBits and Every.
func Prepare(key [32]byte, policy []byte, opt DetectorOptions) (*Detector, error) {
	var err error
	if policy == nil {
		policy = rules.Policy()
	}
	if opt.Policy, err = judge.Load(policy); err != nil {
		return nil, err
	}
	if opt.Weights, err = extraction.ParseWeights(rules.Extraction()); err != nil {
		return nil, fmt.Errorf("read the weights that the program carries: %w", err)
	}
	opt.Hash = measure.New(key, nil).Hash
	return NewDetector(opt), nil
}

// read takes in all that the options name.
func (s *scan) read(ctx context.Context) error {
	if s.opt.Archive != nil {
		return s.readArchive(ctx)
	}
	o := file.Options{
		Paths: s.opt.Paths, Stdin: s.opt.Stdin, Formats: Formats(), Dialect: s.opt.Dialect,
		Since: s.opt.Since, Until: s.opt.Until, Workers: s.opt.Workers, Progress: s.opt.Progress,
		Seen: s.seen,
		Rejected: func(r palladium.Reject) {
			s.rejected++
			if s.opt.Rejected != nil {
				s.opt.Rejected(r)
			}
		},
	}
	if s.folder != nil {
		o.Resume, o.Hold = s.folder.past, true
	}
	var err error
	s.stats.Stats, err = Feed(ctx, o, *s.opt.Key, s.cues, s)
	if err != nil && ctx.Err() != nil && errors.Is(err, ctx.Err()) {
		s.stats.Interrupted = true
		return nil
	}
	return err
}

// Describe takes in what is known of an account.
func (s *scan) Describe(a *palladium.Account) error {
	s.det.Describe(a)
	return nil
}

// NameModel takes in the name of a model.
func (s *scan) NameModel(hash uint64, name string) { s.det.NameModel(hash, name) }

// Observe takes in one exchange.
func (s *scan) Observe(o *palladium.Observation) error {
	s.det.Observe(o)
	return nil
}

// Reached keeps the state when it is time.
func (s *scan) Reached(at []file.Position) error {
	if s.folder != nil && time.Since(s.saved) >= s.pause {
		if err := s.keep(at); err != nil && s.opt.Failed != nil {
			s.opt.Failed(err) // what is read since is not lost: the next snapshot has it
		}
	}
	return nil
}

// keep takes a snapshot of the state, with the files taken in up to the given positions.
func (s *scan) keep(at []file.Position) error {
	k, err := s.folder.save(s, at)
	s.saved = time.Now()
	if s.opt.SaveEvery == 0 {
		s.pause = max(time.Minute, 20*k.Took)
	}
	if err == nil && s.opt.Kept != nil {
		s.opt.Kept(k)
	}
	return err
}
