package main

import (
	"cmp"
	"fmt"
	"io"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/palladium-guard/palladium"
	"github.com/palladium-guard/palladium/app"
	"github.com/palladium-guard/palladium/traffic/tap/file"
)

const (
	listed    = 20 // skipped records shown one by one
	reasons   = 50 // different reasons that are counted apart
	drawEvery = 100 * time.Millisecond
	lineEvery = 5 * time.Second
)

// watcher tells the operator, on standard error, how far a scan is and what it skips. All its methods are called on
// the scan's goroutine.
type watcher struct {
	w        io.Writer
	quiet    bool
	width    int // columns of the terminal; 0 when w is none
	started  time.Time
	shown    time.Time
	bar      bool // the last line is a bar
	looking  bool
	sample   []palladium.Reject
	rejected int
	byReason map[string]int
}

func newWatcher(w io.Writer, quiet bool) *watcher {
	now := time.Now()
	v := &watcher{w: w, quiet: quiet, started: now, shown: now, byReason: map[string]int{}}
	if width, ok := terminal(w); ok && os.Getenv("TERM") != "dumb" {
		v.width, v.shown = width, time.Time{}
	}
	return v
}

func (v *watcher) progress(p file.Progress) {
	if v.quiet {
		return
	}
	now := time.Now()
	if p.Looking != v.looking {
		v.looking, v.started = p.Looking, now // rates are of one phase
	}
	every := lineEvery
	if v.width > 0 {
		every = drawEvery
	}
	if now.Sub(v.shown) < every {
		return
	}
	v.shown = now
	text := v.describe(p, now.Sub(v.started))
	if v.width == 0 {
		fmt.Fprintln(v.w, text)
		return
	}
	v.bar = true
	fmt.Fprintf(v.w, "\r\x1b[K%s", text)
}

// describe says how far the scan is, on a terminal with a bar.
func (v *watcher) describe(p file.Progress, since time.Duration) string {
	what := "reading"
	if p.Looking {
		what = "looking for accounts"
	}
	var parts []string
	if p.Total > 0 {
		share := min(float64(p.Read)/float64(p.Total), 1)
		parts = append(parts, fmt.Sprintf("%3.0f %%", 100*share))
		if v.width >= 100 {
			const cells = 24
			full := int(share * cells)
			what += " [" + strings.Repeat("=", full) + strings.Repeat(" ", cells-full) + "]"
		}
		if share > 0.01 && since > time.Second {
			left := time.Duration(float64(since) * (1 - share) / share)
			parts = append(parts, left.Round(time.Second).String()+" left")
		}
	}
	if !p.Looking {
		parts = append(parts, thousands(p.Exchanges)+" exchanges")
		if s := since.Seconds(); s > 0.5 {
			parts = append(parts, thousands(int64(float64(p.Exchanges)/s))+"/s")
		}
	}
	if p.Rejected > 0 {
		parts = append(parts, thousands(p.Rejected)+" skipped")
	}
	text := what + " " + strings.Join(parts, ", ")
	if v.width > 0 && len(text) >= v.width {
		text = text[:v.width-1]
	}
	return text
}

// reject counts a skipped record, and lists the first ones.
func (v *watcher) reject(r palladium.Reject) {
	v.rejected++
	reason := numberless(r.Reason)
	if _, known := v.byReason[reason]; !known && len(v.byReason) >= reasons {
		reason = "other reasons"
	}
	v.byReason[reason]++
	if v.rejected > listed {
		return
	}
	v.sample = append(v.sample, r)
	if v.quiet {
		return
	}
	at := r.File
	if r.Line > 0 {
		at += ":" + strconv.FormatInt(r.Line, 10)
	}
	v.say(fmt.Sprintf("skipped %s: %s", plain(at), plain(r.Reason)))
	if v.rejected == listed {
		v.say("further records that are skipped are only counted; --rejects FILE lists all")
	}
}

// kept tells of a snapshot that is on disk.
func (v *watcher) kept(k app.Kept) {
	line := fmt.Sprintf("kept: %s exchanges", thousands(k.Exchanges))
	if !k.Upto.IsZero() {
		line += " up to " + k.Upto.Format(time.RFC3339)
	}
	v.say(line)
}

// failed tells of a snapshot that could not be taken while the scan goes on.
func (v *watcher) failed(err error) {
	v.wipe()
	fmt.Fprintf(v.w, "palladium: warning: %s\n", plain(err.Error()))
}

// notes tells what the reader of a report that has no place for it should know.
func (v *watcher) notes(all []string) {
	for _, n := range all {
		v.say("note: " + plain(n))
	}
}

// say prints a line of its own.
func (v *watcher) say(line string) {
	if v.quiet {
		return
	}
	v.wipe()
	fmt.Fprintln(v.w, line)
}

func (v *watcher) wipe() {
	if v.bar {
		v.bar = false
		fmt.Fprint(v.w, "\r\x1b[K")
	}
}

// close ends the bar and counts what was skipped by reason.
func (v *watcher) close() {
	v.wipe()
	if v.quiet || v.rejected <= listed {
		return
	}
	names := make([]string, 0, len(v.byReason))
	for name := range v.byReason {
		names = append(names, name)
	}
	slices.SortFunc(names, func(a, b string) int { return cmp.Or(cmp.Compare(v.byReason[b], v.byReason[a]), cmp.Compare(a, b)) })
	for _, name := range names {
		fmt.Fprintf(v.w, "skipped in all: %s, %s\n", thousands(int64(v.byReason[name])), plain(name))
	}
}

// numberless puts # for each run of digits, so that reasons that differ in a position count as one.
func numberless(s string) string {
	var b strings.Builder
	digits := false
	for _, r := range s {
		if r >= '0' && r <= '9' {
			if !digits {
				b.WriteByte('#')
			}
			digits = true
			continue
		}
		digits = false
		b.WriteRune(r)
	}
	return strings.ReplaceAll(b.String(), "RFC #", "RFC 3339") // a name, not a number
}

// plain makes text from outside safe to print: one line, without control characters or text-direction marks.
func plain(s string) string {
	var b strings.Builder
	for _, r := range s {
		if strconv.IsPrint(r) {
			b.WriteRune(r)
		} else {
			b.WriteString(strings.Trim(strconv.QuoteRuneToASCII(r), "'"))
		}
	}
	return b.String()
}

func thousands(n int64) string {
	s := strconv.FormatInt(n, 10)
	for i := len(s) - 3; i > 0 && s[i-1] != '-'; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}
