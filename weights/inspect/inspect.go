// Package inspect says what would run when the files of a model are loaded. It reads them by content, resolves and
// runs nothing, and calls a file safe only when every part of it is known to be.
//
// This package holds the nouns: verdicts, findings, the file under inspection with its bounds, and the dispatch by
// content. The packages below it each know some formats; a table of [Format] brings them together.
package inspect

import (
	"context"
	"fmt"
	"io"
)

// Verdict grades a file or a finding. A greater one is worse.
type Verdict uint8

// The verdicts.
const (
	Safe       Verdict = iota // every part is understood, and nothing runs
	Unknown                   // not understood, or not to its end: not safe
	Suspicious                // what no honest tool writes, or code that is not on the list of what is harmless
	Hostile                   // runs commands, reaches outside of the model, or deceives readers on purpose
)

// Verdicts lists all verdicts, mildest first.
func Verdicts() []Verdict { return []Verdict{Safe, Unknown, Suspicious, Hostile} }

// String returns the verdict in one lower-case word.
func (v Verdict) String() string {
	switch v {
	case Safe:
		return "safe"
	case Unknown:
		return "unknown"
	case Suspicious:
		return "suspicious"
	case Hostile:
		return "hostile"
	}
	return fmt.Sprintf("verdict(%d)", uint8(v))
}

// MarshalText writes the verdict as its word.
func (v Verdict) MarshalText() ([]byte, error) { return []byte(v.String()), nil }

// UnmarshalText reads what MarshalText writes.
func (v *Verdict) UnmarshalText(text []byte) error {
	for _, w := range Verdicts() {
		if string(text) == w.String() {
			*v = w
			return nil
		}
	}
	return fmt.Errorf("unknown verdict %q: use safe, unknown, suspicious or hostile", text)
}

// Finding is one reason for a verdict.
type Finding struct {
	Rule    Rule    `json:"rule"`
	Verdict Verdict `json:"verdict"`          // Safe for what is worth knowing and harmless
	Member  string  `json:"member,omitempty"` // inside the file, outermost first, joined by "!"; empty for the file itself
	Offset  int64   `json:"offset"`           // in that member, in bytes; -1 where it has no place
	Text    string  `json:"text"`             // one line, with names that the file holds quoted and cut
}

// Report is what is known of one file.
type Report struct {
	Path     string    `json:"path"`
	Size     int64     `json:"size"`
	Format   string    `json:"format"` // by content; several are joined by "+", empty for none
	Verdict  Verdict   `json:"verdict"`
	Findings []Finding `json:"findings"` // in the order of their discovery; never nil
}

// Limits bound the work on one file, whatever it claims. What lies beyond is reported and makes the file unknown.
type Limits struct {
	Depth    int   // containers within containers
	Members  int   // of all containers together
	Findings int   // kept in a report
	Held     int64 // bytes of unpacked members kept in memory
	Unpacked int64 // bytes unpacked in all, counting what is unpacked twice
	Ratio    int64 // unpacked bytes for each byte of the file, checked beyond 64 MiB
}

// DefaultLimits keep an inspection within 64 MiB of memory.
func DefaultLimits() Limits {
	return Limits{Depth: 6, Members: 100_000, Findings: 200, Held: 8 << 20, Unpacked: 64 << 30, Ratio: 200}
}

// Format knows one kind of content.
type Format struct {
	Name       string
	Extensions []string         // lower case with the dot: names that promise this content
	Match      func(*File) bool // by content alone or, where content has no mark of its own, by content and name
	Fallback   bool             // counts only where no other format fits
	Scan       func(*File)      // reports into the file; panics on nothing that a file can hold
}

// Inspector inspects files. It is immutable and may be shared.
type Inspector struct {
	Formats []Format
	Limits  Limits
}

// Inspect reads the file of that path. R must not change meanwhile. The error is that of ctx: all else is a finding.
func (in *Inspector) Inspect(ctx context.Context, path string, r io.ReaderAt, size int64) (Report, error) {
	run := &run{ctx: ctx, in: in, report: Report{Path: path, Size: size, Findings: []Finding{}}, size: size}
	f := &File{Path: path, Size: size, r: r, run: run}
	run.report.Format = in.inspect(f)
	if run.lost > 0 {
		run.add(Finding{Rule: RuleLimit, Offset: -1, Text: fmt.Sprintf("%d more findings are not listed", run.lost)})
	}
	if err := ctx.Err(); err != nil {
		return Report{}, fmt.Errorf("inspect %s: %w", path, err)
	}
	return run.report, nil
}

// run is the inspection of one outermost file.
type run struct {
	ctx      context.Context
	in       *Inspector
	report   Report
	size     int64
	members  int
	held     int64
	unpacked int64
	lost     int
}

func (r *run) add(f Finding) {
	r.report.Verdict = max(r.report.Verdict, f.Verdict)
	r.report.Findings = append(r.report.Findings, f)
}

// seen reports whether the same thing has been said already.
func (r *run) seen(f Finding) bool {
	for _, g := range r.report.Findings {
		if g == f {
			return true
		}
	}
	return false
}
