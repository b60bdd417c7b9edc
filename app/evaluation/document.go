package evaluation

import (
	"bytes"
	"fmt"
	"io"
	"math"
	"strings"
	"time"
)

// document writes Markdown and keeps the first error.
type document struct {
	w   io.Writer
	r   *Results
	err error
}

func (d *document) printf(format string, args ...any) {
	if d.err != nil {
		return
	}
	if _, err := fmt.Fprintf(d.w, format, args...); err != nil {
		d.err = fmt.Errorf("write the evaluation: %w", err)
	}
}

func (d *document) head(level int, text string) {
	d.printf("%s %s\n\n", strings.Repeat("#", level), text)
}

func (d *document) say(format string, args ...any) { d.printf(format+"\n\n", args...) }

// table is a Markdown table of which rows are being written.
type table struct{ d *document }

// table begins one. The first column holds text, and so do those whose head begins with '<'.
func (d *document) table(columns ...string) *table {
	rule := make([]string, len(columns))
	for i, c := range columns {
		rule[i] = "---:"
		if text, ok := strings.CutPrefix(c, "<"); ok || i == 0 {
			rule[i], columns[i] = "---", text
		}
	}
	d.printf("| %s |\n|%s|\n", strings.Join(columns, " | "), strings.Join(rule, "|"))
	return &table{d: d}
}

func (t *table) row(cells ...string) {
	t.d.printf("| %s |\n", strings.Join(cells, " | "))
}

func (t *table) end() { t.d.printf("\n") }

// caption says what is needed to make a section's tables again. what names the seeds.
func (d *document) caption(s Section, what string, args ...any) {
	o := &d.r.opt
	text := "own text"
	switch {
	case s == Outside:
		text = "whole files"
	case o.Data != nil:
		text = fmt.Sprintf("half %d of the data", o.half())
	}
	d.printf("_%s; %s; %s; version %s, commit %s; `%s`; %s; %s._\n\n", o.Date.UTC().Format(time.DateOnly), fmt.Sprintf(what, args...), text, o.Version, o.Commit,
		d.command(s), d.r.wallOf(s), d.r.machine)
}

// command is what makes one section again.
func (d *document) command(s Section) string {
	o := &d.r.opt
	c := "bin/palladium world evaluate"
	if o.DataName != "" {
		c += " --data " + o.DataName
	}
	if o.Seed != o.defaultSeed() {
		c += fmt.Sprintf(" --seed %d", o.Seed)
	}
	if o.Size == Quick {
		c += " --quick"
	}
	if s != "" {
		c += " --sections " + string(s)
	}
	return c
}

// wallOf says how long the worlds of a section took.
func (r *Results) wallOf(s Section) string {
	var sum time.Duration
	n := 0
	for i := range r.plays {
		p := &r.plays[i]
		ok := false
		switch s {
		case Campaigns, Baselines:
			ok = p.kind == kindSweep
		case Negatives:
			ok = p.kind == kindCrowd
		case Controls:
			ok = p.kind == kindControl
		case Calibration:
			ok = true
		}
		if ok {
			sum += p.wall
			n++
		}
	}
	all := fmt.Sprintf("the whole run took %s of wall time", r.wall.Round(time.Second))
	if n == 0 {
		return all
	}
	return fmt.Sprintf("%d worlds, %s of wall time one after another, %d at a time; %s", n, sum.Round(time.Second), r.opt.Workers, all)
}

// seeds names the least and the greatest seed of the worlds of kind k.
func (r *Results) seeds(k kind) string {
	lo, hi := uint64(math.MaxUint64), uint64(0)
	for i := range r.plays {
		if p := &r.plays[i]; p.kind == k {
			lo, hi = min(lo, p.scenario.Seed), max(hi, p.scenario.Seed)
		}
	}
	switch {
	case lo > hi:
		return "no seeds"
	case lo == hi:
		return fmt.Sprintf("seed %d", lo)
	}
	return fmt.Sprintf("seeds %d to %d", lo, hi)
}

// of lists the worlds of kind k.
func (r *Results) of(k kind) []*outcome {
	var out []*outcome
	for i := range r.plays {
		if r.plays[i].kind == k {
			out = append(out, &r.plays[i])
		}
	}
	return out
}

func f3(v float64) string {
	if math.IsNaN(v) {
		return "–"
	}
	return fmt.Sprintf("%.3f", v)
}

func percent(v float64) string {
	if math.IsNaN(v) {
		return "–"
	}
	return fmt.Sprintf("%.1f %%", 100*v)
}

// keptMark begins what stands at the end of the document and is not of this package: it stays when the document is written anew.
const keptMark = "<!-- kept by `make eval`: from here on other commands measure and write -->"

// Kept returns the part of a document that its next version ends with.
func Kept(old []byte) []byte {
	at := bytes.Index(old, []byte(keptMark))
	if at < 0 {
		return nil
	}
	return append([]byte("\n"), old[at:]...)
}

// Write writes the document.
func (r *Results) Write(w io.Writer) error {
	d := &document{w: w, r: r}
	d.head(1, "Evaluation")
	d.say("Written by `%s` (`make eval`); do not edit. Recall is the share of hostile accounts that are listed, precision the share of listed "+
		"accounts that are hostile. “At review” means at review or act. Leak is the share of a campaign's harvest drawn before it "+
		"first reached review; 1 when it never did. Bounds are Clopper and Pearson's, 95 %%.", d.command(""))
	if r.opt.Size != Full {
		d.say("**This is a short run to see that everything works. Its figures are not for the record.**")
	}
	d.summary()
	if r.opt.wants(Settings) {
		d.settings()
	}
	if r.opt.wants(Campaigns) {
		d.campaigns()
	}
	if r.opt.wants(Negatives) {
		d.negatives()
	}
	if r.opt.wants(Controls) {
		d.controls()
	}
	if r.opt.wants(Baselines) {
		d.baselines()
	}
	if r.opt.wants(Calibration) {
		d.calibration()
	}
	if r.opt.wants(Outside) {
		d.outside(r.outside)
	}
	return d.err
}

// settings states what was frozen before the run.
func (d *document) settings() {
	d.head(2, "Frozen settings")
	t := d.table("file", "SHA-256, first 8 bytes")
	for _, h := range ruleHashes() {
		t.row("`"+h[0]+"`", "`"+h[1]+"`")
	}
	t.end()
	d.say("The weights of `rules/extraction.json` were fitted on worlds with text of their own making and on worlds of half 0 of the data, with other seeds. " +
		"The halves have no template, no model-made instruction data, no person, no support intent and no arrival shape in common. The table for the record " +
		"is measured on half 1, short runs (`--quick`) on half 0, with the files above as the binary carries them.")
	d.say("How far half 1 is unseen: while the detector was built, worlds of that half with other seeds were played to see which failures are " +
		"systematic: some thirty with seeds from 1000 to 1611, the grid with seeds from 5000, 6000 and 9000, and a part of it from 12000. What was seen " +
		"there led to changes of rules and of the policy, of no fitted weight. None of those seeds is used for the record, so all accounts, " +
		"campaigns and times are new; the sources of text are not wholly unseen.")
	d.say("Worlds are simulated: real prompts and arrivals, dealt to invented accounts. What they do not show is written in `world/DESIGN.md`. " +
		"The simulator and the detector come from one house, so these figures say that the detector does what it was built for, not what it " +
		"will do against an operator who has read it.")
	d.caption(Settings, "seeds from %d on", d.r.opt.Seed)
}
