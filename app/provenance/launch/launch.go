// Package launch starts a program that loads a model only if the model is what it should be: verified, inspected, allowed
// by policy, and the load written down first.
package launch

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"

	"github.com/palladium-guard/palladium/app/provenance"
	"github.com/palladium-guard/palladium/proof/ledger"
	"github.com/palladium-guard/palladium/weights/guard"
	"github.com/palladium-guard/palladium/weights/inspect"
	"github.com/palladium-guard/palladium/weights/signing"
)

var (
	// ErrRefused is wrapped when policy does not let a model be loaded.
	ErrRefused = errors.New("policy does not allow to load the model")
	// ErrChanged is wrapped when files of a model changed after they had been verified.
	ErrChanged = errors.New("the model changed after it was verified")
	// ErrModel is wrapped when it is not clear which model the command loads.
	ErrModel = errors.New("it is not clear which model the command loads")
)

// Lineage grades where a model comes from. Grade returns claimed, measured or recomputed, the weakest on the way to the
// roots; none when nothing is recorded, broken when the way to the roots does not hold.
type Lineage interface {
	Grade(ctx context.Context, r *provenance.Report) (string, error)
}

// NoLineage is a Lineage that has nothing recorded.
type NoLineage struct{}

// Grade returns none.
func (NoLineage) Grade(context.Context, *provenance.Report) (string, error) { return "none", nil }

// Options say what is started, and on which conditions.
type Options struct {
	Command []string // with its arguments; empty to check only
	Models  []string // that the command loads; found among its arguments when empty
	Policy  []byte   // guard.Default when nil
	Copy    string   // copy the model below this folder, check the copy, and have the command load that

	Verify  provenance.VerifyOptions // Model is set for each
	Lineage Lineage                  // NoLineage when nil

	Ledger ledger.Ledger // the load is written to it first; none when nil
	Name   string        // of the ledger
	// Proved returns the ledger in which a proof shows the signature with this SHA-256, in hex, to be, empty for none; nil
	// without.
	Proved func(signature string) (ledger string, err error)
}

// Model is what was found out about one model.
type Model struct {
	Path     string             `json:"path"`
	Copied   string             `json:"copied_to,omitempty"`
	Report   *provenance.Report `json:"signature,omitempty"` // nil when it was refused
	Refused  string             `json:"refused,omitempty"`   // why verification refused it
	Verdict  inspect.Verdict    `json:"verdict"`
	Findings []string           `json:"findings,omitempty"` // rules, sorted
	Lineage  string             `json:"lineage"`
	Proved   string             `json:"proved_by_ledger,omitempty"`
	Broken   []guard.Broken     `json:"broken_rules,omitempty"`

	unsafe []string
	state  snapshot
}

// Decision is what Check found. It is also the statement that goes into the ledger.
type Decision struct {
	Load     bool     `json:"load"`
	Models   []*Model `json:"models"`
	Program  string   `json:"program,omitempty"` // without its arguments, which may hold secrets
	Policy   string   `json:"policy_sha256"`
	Revision string   `json:"policy_revision,omitempty"`
	Host     string   `json:"host,omitempty"`
	Stopped  string   `json:"stopped,omitempty"` // why the command of a load that was allowed did not start after all
	Entry    *uint64  `json:"-"`                 // number of the ledger's entry

	Command []string `json:"-"` // as it is to be started
	program string   // file of it
	refusal error
	ledger  ledger.Ledger
}

// Check verifies and inspects the models, asks the policy, and writes the outcome to the ledger: a refusal as well as a
// load. The decision is returned with errors that wrap ErrRefused too. Start starts the command.
func Check(ctx context.Context, o *Options) (d *Decision, err error) {
	text := o.Policy
	if text == nil {
		text = guard.Default()
	}
	policy, err := guard.Load(text)
	if err != nil {
		return nil, err
	}
	paths, err := models(o)
	if err != nil {
		return nil, err
	}
	sum := sha256.Sum256(text)
	d = &Decision{Load: true, Policy: hex.EncodeToString(sum[:]), Revision: policy.Revision(), Command: slices.Clone(o.Command), ledger: o.Ledger}
	defer func() {
		if err != nil {
			d.removeCopies()
		}
	}()
	d.Host, _ = os.Hostname() // a name more in the record; none is no reason to stop
	if len(o.Command) > 0 {
		d.Program = filepath.Base(o.Command[0])
		if d.program, err = exec.LookPath(o.Command[0]); err != nil {
			return d, fmt.Errorf("find the command: %w", err)
		}
	}
	for _, path := range paths {
		m := &Model{Path: path, Lineage: "none"}
		d.Models = append(d.Models, m)
		if o.Copy != "" {
			if m.Copied, err = copyModel(ctx, path, o.Copy); err != nil {
				return d, fmt.Errorf("copy the model: %w", err)
			}
			d.Command = replaceModel(d.Command, path, m.Copied)
		}
		if err := m.examine(ctx, o); err != nil {
			return d, err
		}
		m.Broken = policy.Decide(m.facts(o))
		if len(m.Broken) > 0 {
			d.Load = false
		}
	}
	if !d.Load {
		d.refusal = d.reasons()
	} else if err := d.unchanged(); err != nil {
		return d, err
	}
	if err := d.record(ctx); err != nil {
		return d, err
	}
	return d, d.refusal
}

// place is where the files lie that are examined and loaded.
func (m *Model) place() string { return cmp.Or(m.Copied, m.Path) }

// examine verifies and inspects. Errors are those that leave the question open; a refusal is an answer.
func (m *Model) examine(ctx context.Context, o *Options) (err error) {
	if m.state, err = settled(ctx, m.place()); err != nil {
		return fmt.Errorf("look at the model: %w", err)
	}
	v := o.Verify
	v.Model = m.place()
	r, err := provenance.Verify(ctx, v)
	var refused *provenance.Refused
	switch {
	case err == nil:
		m.Report = r
	case errors.As(err, &refused), errors.Is(err, provenance.ErrRefused), errors.Is(err, signing.ErrUntrusted), errors.Is(err, signing.ErrFormat):
		m.Refused = err.Error()
	default:
		return err
	}
	found, err := provenance.Inspect(ctx, []string{m.place()})
	if err != nil {
		return fmt.Errorf("inspect the model: %w", err)
	}
	for i := range found.Files {
		f := &found.Files[i]
		if r != nil && sameFile(f.Path, r.Signature) {
			continue // verification has read all of it
		}
		m.Verdict = max(m.Verdict, f.Verdict)
		if f.Verdict != inspect.Safe {
			m.unsafe = append(m.unsafe, f.Path)
		}
		for _, finding := range f.Findings {
			m.Findings = append(m.Findings, string(finding.Rule))
		}
	}
	slices.Sort(m.Findings)
	m.Findings = slices.Compact(m.Findings)
	if r == nil {
		return nil
	}
	if o.Lineage != nil {
		if m.Lineage, err = o.Lineage.Grade(ctx, r); err != nil {
			return fmt.Errorf("grade the lineage: %w", err)
		}
	}
	if o.Proved != nil {
		if m.Proved, err = o.Proved(r.Sum); err != nil {
			return err
		}
	}
	return nil
}

func (m *Model) facts(o *Options) *guard.Facts {
	f := &guard.Facts{
		Verdict: m.Verdict.String(), Findings: m.Findings, Unsafe: m.unsafe, Lineage: m.Lineage, Ledger: o.Name, Proved: m.Proved,
	}
	r := m.Report
	if r == nil {
		return f
	}
	f.Signed, f.Method, f.Dialect, f.Root = true, string(r.Method), fmt.Sprint(r.Dialect), r.Root
	f.Signer = cmp.Or(r.Signer.Identity, r.Signer.Subject, r.Signer.Key)
	f.Names, f.Issuer = r.Signer.Names, r.Signer.Issuer
	f.Files, f.Bytes, f.Unsigned = r.Files, r.Bytes, r.Unsigned
	for _, left := range r.Ignored {
		f.Ignored = append(f.Ignored, left.Path)
	}
	return f
}

// reasons says why the models are not loaded.
func (d *Decision) reasons() error {
	text := ""
	for _, m := range d.Models {
		for _, b := range m.Broken {
			text += fmt.Sprintf("\n  %s: rule %q: %s: %s", m.Path, b.Rule, b.Because, b.Found)
		}
		if len(m.Broken) > 0 && m.Refused != "" {
			text += "\n  " + m.Refused
		}
		for _, path := range m.unsafe[:min(len(m.unsafe), 5)] {
			text += "\n  not safe: " + path
		}
	}
	return fmt.Errorf("%w:%s", ErrRefused, text)
}

// record writes the decision to the ledger. Without an entry nothing is loaded.
func (d *Decision) record(ctx context.Context) error {
	if d.ledger == nil {
		return nil
	}
	body, err := json.Marshal(d)
	if err != nil {
		return fmt.Errorf("write the decision down: %w", err)
	}
	kind := ledger.TypeLoad
	if !d.Load {
		kind = ledger.TypeRefusal
	}
	r, err := d.ledger.Append(ctx, ledger.Statement{Type: kind, Body: body})
	if err != nil {
		return errors.Join(d.refusal, fmt.Errorf("write the decision to the ledger: %w", err))
	}
	d.Entry = &r.Index
	return nil
}

// unchanged looks whether the files are still those that were verified.
func (d *Decision) unchanged() error {
	for _, m := range d.Models {
		now, err := take(m.place())
		if err != nil {
			return fmt.Errorf("%w: %s: %w", ErrChanged, m.place(), err)
		}
		if what := m.state.differs(now); what != "" {
			return fmt.Errorf("%w: %s: nothing was started: find out who writes to it, or use --copy", ErrChanged, what)
		}
	}
	return nil
}

// Start replaces this process by the command, after a last look at the files. It returns only with an error or, where
// a process cannot be replaced, with the command's exit status. When ctx has ended, as by a signal, nothing is started. A
// load that was written to the ledger and does not come about is followed there by a refusal.
func (d *Decision) Start(ctx context.Context) (status int, err error) {
	if !d.Load {
		return 0, d.refusal
	}
	if len(d.Command) == 0 {
		return 0, nil
	}
	if err = d.unchanged(); err == nil {
		err = ctx.Err()
	}
	if err == nil {
		status, err = replace(d.program, d.Command)
	}
	if err != nil {
		d.removeCopies()
		d.Load, d.Stopped = false, err.Error()
		err = errors.Join(err, d.record(context.WithoutCancel(ctx)))
	}
	return status, err
}

// removeCopies removes the copies of models that are not loaded.
func (d *Decision) removeCopies() {
	for _, m := range d.Models {
		if m.Copied != "" {
			removeCopy(filepath.Dir(m.Copied))
		}
	}
}
