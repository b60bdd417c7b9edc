// Package lineage says from what a model was made: signed statements about each step from data to deployment, walked from
// a model back to its roots.
//
// A statement is an in-toto statement whose predicate type is this product's own, one for each kind of step. It takes
// bytes and returns values; who signed a statement, and where it is kept, is told to it.
package lineage

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
)

// The identifiers of statements.
const (
	StatementType = "https://in-toto.io/Statement/v1"
	// Namespace stands before the name of the step and Version in a predicate type.
	Namespace = "https://github.com/palladium-guard/palladium/lineage/"
	Version   = "/v1"
)

// The limits of a statement: it lists every file of its artifacts.
const (
	MaxStatement = 256 << 20 // bytes
	maxArtifacts = 10_000
)

// ErrFormat is wrapped by errors about bytes that are no statement of a step.
var ErrFormat = errors.New("lineage statement is malformed")

// Step is a kind of step in a model's life.
type Step string

// The steps.
const (
	Dataset    Step = "dataset"
	Training   Step = "training"
	Checkpoint Step = "checkpoint"
	FineTune   Step = "fine-tune"
	Merge      Step = "merge"
	Quantise   Step = "quantise"
	Convert    Step = "convert"
	Evaluate   Step = "evaluate"
	Deploy     Step = "deploy"
)

// Steps returns all steps, in the order in which they usually come.
func Steps() []Step {
	return []Step{Dataset, Training, Checkpoint, FineTune, Merge, Quantise, Convert, Evaluate, Deploy}
}

// PredicateType returns the type of the step's predicate.
func (s Step) PredicateType() string { return Namespace + string(s) + Version }

// uses reports whether the step uses a model and makes no other.
func (s Step) uses() bool { return s == Evaluate || s == Deploy }

// Role is what an artifact is to a step.
type Role string

// The roles. What is a Model, Adapter or Data must have an origin of its own; the others are taken as they are.
const (
	Model         Role = "model"
	Adapter       Role = "adapter"
	Data          Role = "dataset"
	Code          Role = "code"
	Configuration Role = "configuration"
	Report        Role = "report"
	Other         Role = "other"
)

// Roles returns all roles.
func Roles() []Role { return []Role{Model, Adapter, Data, Code, Configuration, Report, Other} }

// descends reports whether an artifact of the role must have an origin.
func (r Role) descends() bool { return r == Model || r == Adapter || r == Data }

// Statement is what somebody says about one step.
type Statement struct {
	Step           Step            `json:"step"`
	Inputs         []Artifact      `json:"inputs,omitempty"`
	Outputs        []Artifact      `json:"outputs,omitempty"`
	Transformation *Transformation `json:"transformation,omitempty"`
	Command        *Command        `json:"command,omitempty"`
	Source         *Source         `json:"source,omitempty"`
	Observed       *Observed       `json:"observed,omitempty"`
	Measures       []Measure       `json:"measures,omitempty"` // of an evaluation
	Time           time.Time       `json:"time"`               // when it was written, to the second
	Note           string          `json:"note,omitempty"`
}

// Transformation says how the outputs follow from the inputs, so that it can be done again.
type Transformation struct {
	Kind       string            `json:"kind"` // one of the package recompute
	Parameters map[string]string `json:"parameters,omitempty"`
}

// Command is what was run. Secrets are not in it.
type Command struct {
	Arguments   []string  `json:"arguments"`
	Environment []string  `json:"environment,omitempty"` // names only, sorted
	Platform    string    `json:"platform"`              // system and processor
	Started     time.Time `json:"started"`
	Finished    time.Time `json:"finished"`
	Status      int       `json:"exitStatus"`
}

// Source is the state of the folder from which the command ran.
type Source struct {
	Commit   string `json:"gitCommit"`
	URI      string `json:"uri,omitempty"` // of the remote, without credentials
	Modified bool   `json:"modified"`      // files differ from the commit, or are not in it
}

// Observed is what the command was seen to do with files.
type Observed struct {
	Method string `json:"method"`           // how: ptrace, or none
	Reads  []Seen `json:"reads,omitempty"`  // that are in no declared artifact
	Writes []Seen `json:"writes,omitempty"` // that are in no declared output
	System int    `json:"system,omitempty"` // files of the operating system that were read, not listed
	Lost   int    `json:"lost,omitempty"`   // files beyond what is listed
	Note   string `json:"note,omitempty"`
}

// Seen is a file that was opened.
type Seen struct {
	Path    string `json:"path"`
	Size    int64  `json:"size"`
	SHA256  string `json:"sha256,omitempty"` // after the command's end; empty when it was gone or could not be read
	Changed bool   `json:"changed,omitempty"`
}

// Measure is one figure of an evaluation.
type Measure struct {
	Name  string  `json:"name"`
	Value float64 `json:"value"`
}

// envelope is the in-toto statement around a Statement.
type envelope struct {
	Type          string    `json:"_type"`
	Subject       []subject `json:"subject"`
	PredicateType string    `json:"predicateType"`
	Predicate     Statement `json:"predicate"`
}

type subject struct {
	Name   string            `json:"name"`
	Digest map[string]string `json:"digest"`
}

// subjects returns what the statement is about: its outputs or, when it has none, the models that it uses.
func (s *Statement) subjects() (out []subject) {
	for i := range s.Outputs {
		out = append(out, subject{s.Outputs[i].Name, s.Outputs[i].Digest})
	}
	if len(out) > 0 {
		return out
	}
	for i := range s.Inputs {
		if a := &s.Inputs[i]; a.Role == Model {
			out = append(out, subject{a.Name, a.Digest})
		}
	}
	return out
}

// Encode returns the statement as it is signed: an in-toto statement in one line. Two equal statements have equal bytes.
func Encode(s *Statement) ([]byte, error) {
	if err := s.Check(); err != nil {
		return nil, err
	}
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(envelope{Type: StatementType, Subject: s.subjects(), PredicateType: s.Step.PredicateType(), Predicate: *s}); err != nil {
		return nil, fmt.Errorf("write the statement: %w", err)
	}
	if b.Len() > MaxStatement {
		return nil, fmt.Errorf("write the statement: it would have more than %d bytes: declare fewer files", MaxStatement)
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), nil
}

// IsStatement reports whether data is an in-toto statement of this product's namespace, well formed or not.
func IsStatement(data []byte) bool {
	var e struct {
		Type          string `json:"_type"`
		PredicateType string `json:"predicateType"`
	}
	return json.Unmarshal(data, &e) == nil && e.Type == StatementType && strings.HasPrefix(e.PredicateType, Namespace)
}

// Parse reads what Encode wrote, and nothing else: bytes that could be read in two ways, with another order of keys, keys
// twice or keys unknown, are refused. Errors wrap ErrFormat.
func Parse(data []byte) (*Statement, error) {
	if len(data) > MaxStatement {
		return nil, fmt.Errorf("%w: more than %d bytes", ErrFormat, MaxStatement)
	}
	var e envelope
	d := json.NewDecoder(bytes.NewReader(data))
	d.DisallowUnknownFields()
	if err := d.Decode(&e); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrFormat, err)
	}
	if e.Type != StatementType {
		return nil, fmt.Errorf("%w: type %q is not %s", ErrFormat, e.Type, StatementType)
	}
	if e.PredicateType != e.Predicate.Step.PredicateType() {
		return nil, fmt.Errorf("%w: predicate type %q is not that of step %q", ErrFormat, e.PredicateType, e.Predicate.Step)
	}
	again, err := Encode(&e.Predicate)
	if err != nil {
		return nil, err
	}
	if !bytes.Equal(again, data) {
		return nil, fmt.Errorf("%w: it is not written as this program writes statements, or its subjects are not its outputs", ErrFormat)
	}
	return &e.Predicate, nil
}

// ID returns what a statement is called: SHA-256, in hex, of its bytes.
func ID(payload []byte) string {
	sum := sha256.Sum256(payload)
	return hex.EncodeToString(sum[:])
}

// Check returns an error that wraps ErrFormat when the statement contradicts itself.
func (s *Statement) Check() error {
	fail := func(format string, args ...any) error {
		return fmt.Errorf("%w: "+format, append([]any{ErrFormat}, args...)...)
	}
	if !slices.Contains(Steps(), s.Step) {
		return fail("step %q is none of %v", s.Step, Steps())
	}
	if len(s.Inputs)+len(s.Outputs) > maxArtifacts {
		return fail("it has more than %d inputs and outputs", maxArtifacts)
	}
	if len(s.subjects()) == 0 {
		return fail("step %s has no output", s.Step)
	}
	if len(s.Outputs) == 0 && !s.Step.uses() {
		return fail("step %s has no output", s.Step)
	}
	for _, list := range [][]Artifact{s.Inputs, s.Outputs} {
		seen := map[string]bool{}
		for i := range list {
			a := &list[i]
			if err := a.Check(); err != nil {
				return err
			}
			if seen[a.Name] {
				return fail("artifact %q is listed twice", a.Name)
			}
			seen[a.Name] = true
		}
	}
	if c := s.Command; c != nil && len(c.Arguments) == 0 {
		return fail("the command has no name")
	}
	if t := s.Transformation; t != nil && t.Kind == "" {
		return fail("the transformation has no kind")
	}
	if s.Source != nil && !isHex(s.Source.Commit, 20) && !isHex(s.Source.Commit, 32) {
		return fail("%q is no git commit", s.Source.Commit)
	}
	if s.Time.IsZero() || s.Time.Location() != time.UTC || s.Time.Nanosecond() != 0 {
		return fail("its time is not in whole seconds of UTC")
	}
	return nil
}

func isHex(s string, size int) bool {
	if len(s) != 2*size {
		return false
	}
	for i := range len(s) {
		if c := s[i]; (c < '0' || c > '9') && (c < 'a' || c > 'f') {
			return false
		}
	}
	return true
}
