package pedigree

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/palladium-guard/palladium/app/provenance"
	"github.com/palladium-guard/palladium/proof/ledger"
	"github.com/palladium-guard/palladium/weights/lineage"
	"github.com/palladium-guard/palladium/weights/signing"
)

// Observation says how a command is watched.
type Observation string

// The ways.
const (
	Auto  Observation = "auto" // Trace where the system allows it
	Trace Observation = "trace"
	None  Observation = "none"
)

// RecordOptions say what step is recorded.
type RecordOptions struct {
	Store   *Store
	Step    lineage.Step
	Inputs  []Declared
	Outputs []Declared
	Command []string // empty when the step is done already
	Observe Observation

	Transformation *lineage.Transformation
	Measures       []lineage.Measure
	Note           string

	With    provenance.Signer // nil writes a statement that nobody signed
	Trust   []signing.Trust   // to look up the origins of the inputs
	Reading provenance.Reading
	Ledger  ledger.Ledger // the statement is written to it before it is kept; none when nil

	Stdin          io.Reader
	Stdout, Stderr io.Writer
}

// Recorded is what was recorded.
type Recorded struct {
	ID        string             `json:"id"`
	Path      string             `json:"path"`
	Signed    bool               `json:"signed"`
	Statement *lineage.Statement `json:"statement"`
	Entry     *uint64            `json:"ledger_entry,omitempty"`
	Warnings  []string           `json:"warnings,omitempty"`
}

// Record hashes the inputs, runs the command, hashes inputs and outputs, and keeps a statement of it all. A command that
// fails, and inputs that change meanwhile, are recorded as such: Verify tells of them. When the command cannot be started
// or an output is not there, nothing is kept.
func Record(ctx context.Context, o RecordOptions) (*Recorded, error) {
	records, err := o.Store.Load(o.Trust)
	if err != nil {
		return nil, err
	}
	s := &lineage.Statement{Step: o.Step, Transformation: o.Transformation, Measures: o.Measures, Note: o.Note}
	graph := lineage.NewGraph(records)
	for _, d := range o.Inputs {
		a, err := readArtifact(ctx, d, o.Reading)
		if err != nil {
			return nil, fmt.Errorf("read the input: %w", err)
		}
		a.Statement = graph.Origin(&a)
		s.Inputs = append(s.Inputs, a)
	}
	r := &Recorded{Statement: s, Signed: o.With != nil}
	s.Source = sourceOf(ctx)
	if len(o.Command) > 0 {
		if err := o.run(ctx, r); err != nil {
			return nil, err
		}
		if err := o.again(ctx, r); err != nil {
			return nil, err
		}
	}
	for _, d := range o.Outputs {
		a, err := readArtifact(ctx, d, o.Reading)
		if c := s.Command; err != nil && c != nil && c.Status != 0 {
			return nil, fmt.Errorf("the command ended with status %d, and nothing is recorded: read the output: %w", c.Status, err)
		}
		if err != nil {
			return nil, fmt.Errorf("read the output: %w", err)
		}
		s.Outputs = append(s.Outputs, a)
		for i := range s.Inputs {
			if s.Inputs[i].Identity() == a.Identity() {
				r.Warnings = append(r.Warnings, fmt.Sprintf("output %s is the same as input %s: nothing was made", a.Name, s.Inputs[i].Name))
			}
		}
	}
	s.Time = time.Now().UTC().Truncate(time.Second)
	payload, err := lineage.Encode(s)
	if err != nil {
		return nil, err
	}
	data := payload
	if o.With != nil {
		if data, err = o.With.Sign(ctx, payload); err != nil {
			return nil, err
		}
	} else {
		r.Warnings = append(r.Warnings, "nobody signed the statement: give --key")
	}
	if err := r.log(ctx, o.Ledger, data); err != nil {
		return nil, err
	}
	if r.ID, r.Path, err = o.Store.Put(data); err != nil {
		return nil, err
	}
	return r, nil
}

// log writes the statement, with its signature, to a ledger, unless that is nil.
func (r *Recorded) log(ctx context.Context, l ledger.Ledger, data []byte) error {
	if l == nil {
		return nil
	}
	receipt, err := l.Append(ctx, ledger.Statement{Type: r.Statement.Step.PredicateType(), Time: r.Statement.Time, Body: data})
	if err != nil {
		return fmt.Errorf("write the statement to the ledger: %w", err)
	}
	r.Entry = &receipt.Index
	return nil
}

// run runs the command and notes what it did.
func (o *RecordOptions) run(ctx context.Context, r *Recorded) error {
	s := r.Statement
	c := &lineage.Command{Arguments: redact(o.Command, os.Environ()), Environment: names(os.Environ()), Platform: runtime.GOOS + "/" + runtime.GOARCH}
	s.Command = c
	c.Started = time.Now().UTC().Truncate(time.Millisecond)
	ran, err := execute(ctx, o)
	if err != nil {
		return fmt.Errorf("run %s: %w", o.Command[0], err)
	}
	c.Finished = time.Now().UTC().Truncate(time.Millisecond)
	c.Status = ran.status
	if c.Status != 0 {
		r.Warnings = append(r.Warnings, fmt.Sprintf("the command ended with status %d", c.Status))
	}
	s.Observed = o.observed(ran, c.Started)
	if s.Observed.Note != "" {
		r.Warnings = append(r.Warnings, s.Observed.Note)
	}
	if n := len(s.Observed.Reads) + s.Observed.Lost; n > 0 {
		r.Warnings = append(r.Warnings, fmt.Sprintf("the command read %d files that are in no declared input; the first is %s", n, s.Observed.Reads[0].Path))
	}
	return nil
}

// again hashes the inputs a second time. One that is also an output is the step's to change.
func (o *RecordOptions) again(ctx context.Context, r *Recorded) error {
	for i, d := range o.Inputs {
		if slices.ContainsFunc(o.Outputs, func(out Declared) bool { return nameOf(out.Path) == nameOf(d.Path) }) {
			continue
		}
		after, err := readArtifact(ctx, d, o.Reading)
		if err != nil && !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, provenance.ErrRefused) {
			return fmt.Errorf("read the input again: %w", err)
		}
		before := &r.Statement.Inputs[i]
		if err != nil || after.Identity() != before.Identity() {
			before.Changed = true
			r.Warnings = append(r.Warnings, fmt.Sprintf("input %s changed while the command ran: record the step again when nothing writes to it", before.Name))
		}
	}
	return nil
}

// names returns the names of environment variables, sorted.
func names(environ []string) (out []string) {
	for _, e := range environ {
		if name, _, ok := strings.Cut(e, "="); ok && name != "" {
			out = append(out, name)
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

const hidden = "[hidden]"

// redact hides what looks like a secret in a command: values of options and variables whose name says so, credentials in
// URLs, and the values of the environment's own secrets.
func redact(command, environ []string) []string {
	var secrets []string
	for _, e := range environ {
		if name, value, ok := strings.Cut(e, "="); ok && secretive(name) && len(value) >= 6 {
			secrets = append(secrets, value)
		}
	}
	slices.SortFunc(secrets, func(a, b string) int { return cmp.Compare(len(b), len(a)) })
	out := slices.Clone(command)
	next := false
	for i, arg := range out {
		for _, s := range secrets {
			arg = strings.ReplaceAll(arg, s, hidden)
		}
		name, value, assigned := strings.Cut(arg, "=")
		switch {
		case next && !strings.HasPrefix(arg, "-"):
			arg = hidden
		case assigned && secretive(name) && value != "":
			arg = name + "=" + hidden
		default:
			arg = hideUser(arg)
		}
		next = !assigned && strings.HasPrefix(arg, "-") && secretive(arg)
		out[i] = strings.ToValidUTF8(arg, "?")
	}
	return out
}

// secretive reports whether a name is that of a secret.
func secretive(name string) bool {
	name = strings.ToLower(name)
	for _, word := range []string{"token", "secret", "password", "passwd", "passphrase", "api-key", "api_key", "apikey", "access_key", "access-key", "private_key", "private-key", "credential", "bearer", "authorization"} {
		if strings.Contains(name, word) {
			return !strings.Contains(name, "tokenizer") && !strings.Contains(name, "tokens")
		}
	}
	return false
}

// hideUser hides what stands before the @ of a URL.
func hideUser(s string) string {
	scheme, rest, ok := strings.Cut(s, "://")
	if !ok {
		return s
	}
	host, path, slash := strings.Cut(rest, "/")
	at := strings.LastIndexByte(host, '@')
	if at < 0 {
		return s
	}
	s = scheme + "://" + hidden + host[at:]
	if slash {
		s += "/" + path
	}
	return s
}

// Declare adds artifacts of one role.
func (o *RecordOptions) Declare(to *[]Declared, role lineage.Role, paths []string) {
	for _, p := range paths {
		*to = append(*to, Declared{Role: role, Path: p})
	}
}

// Made returns the role of what the step makes.
func (o *RecordOptions) Made() lineage.Role {
	switch o.Step {
	case lineage.Dataset:
		return lineage.Data
	case lineage.Evaluate, lineage.Deploy:
		return lineage.Report
	}
	return lineage.Model
}

// Check returns an error about what cannot be recorded, before anything is read or run.
func (o *RecordOptions) Check() error {
	if !slices.Contains(lineage.Steps(), o.Step) {
		return fmt.Errorf("unknown step %q", o.Step)
	}
	if o.Observe != Auto && o.Observe != Trace && o.Observe != None {
		return fmt.Errorf("unknown way to observe %q", o.Observe)
	}
	uses := o.Step == lineage.Evaluate || o.Step == lineage.Deploy
	models := slices.ContainsFunc(o.Inputs, func(d Declared) bool { return d.Role == lineage.Model })
	switch {
	case uses && !models:
		return fmt.Errorf("step %s is about a model: give --model", o.Step)
	case !uses && len(o.Outputs) == 0:
		return fmt.Errorf("step %s makes something: give --output", o.Step)
	}
	for _, list := range [][]Declared{o.Inputs, o.Outputs} {
		seen := map[string]bool{}
		for _, d := range list {
			name := nameOf(d.Path)
			if seen[name] {
				return fmt.Errorf("%s is declared twice", name)
			}
			seen[name] = true
		}
	}
	return nil
}

// Changed reports whether an input changed while the command ran.
func (r *Recorded) Changed() bool {
	return slices.ContainsFunc(r.Statement.Inputs, func(a lineage.Artifact) bool { return a.Changed })
}
