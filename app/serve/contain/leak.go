package contain

import (
	"fmt"
	"io"
	"math"
	"slices"
	"strings"
	"time"
)

// Cause says by which gap output tokens got through after act.
type Cause int

// The causes, in the order of the table.
const (
	UnderWay  Cause = iota // answers begun before the first measure and ended after it, and requests between a decision and its reaching the gateways
	NotJoined              // accounts that had called before act, were not under the first measure, and were put under one later
	Newcomer               // accounts that called first after act, until the first look after that: nothing can be known of them before
	Late                   // the same accounts from that look on, until they were put under a measure
	Never                  // accounts that no measure was ever put on
	Allowance              // what the measure itself allows each day
	Lapsed                 // accounts that were under a measure and are not any more: it expired, was withdrawn or renewed late
	causes
)

// Causes lists them.
func Causes() []Cause {
	out := make([]Cause, causes)
	for i := range out {
		out[i] = Cause(i)
	}
	return out
}

// String says in words what the cause is.
func (c Cause) String() string {
	return [causes]string{"under way", "not joined at act", "new, before a look", "new, joined late", "never joined", "daily allowance", "lapsed"}[c]
}

// Split is output tokens by cause.
type Split [causes]int64

// caller is what is known of one account of a campaign.
type caller struct {
	first  time.Time // its first request
	looked time.Time // the first look after that; zero: not yet
	put    bool      // it was under a measure that was in force
	got    Split
}

// cause says why the request of account c at the given time got something.
func (c *caller) cause(under, awaited bool, act time.Time) Cause {
	switch {
	case under:
		return Allowance
	case awaited:
		return UnderWay
	case c.put:
		return Lapsed
	case c.first.Before(act):
		return NotJoined
	case c.looked.IsZero():
		return Newcomer
	}
	return Late
}

// settle adds up what an account got: what was waited for in vain was not late but never.
func (s *Split) settle(c *caller) {
	if !c.put {
		c.got[Never] += c.got[NotJoined] + c.got[Late]
		c.got[NotJoined], c.got[Late] = 0, 0
	}
	for i, n := range c.got {
		s[i] += n
	}
}

// Cell is one kind of campaign, played with several seeds.
type Cell struct {
	Name string
	Runs []*Outcome
}

// campaigns returns the campaigns of all runs.
func (c *Cell) campaigns() (out []*Campaign) {
	for _, o := range c.Runs {
		for i := range o.Campaigns {
			out = append(out, &o.Campaigns[i])
		}
	}
	return out
}

// Leaks returns the leaks of the campaigns that came to act, least first, and how many never did.
func (c *Cell) Leaks() (leaks []float64, never int) {
	for _, k := range c.campaigns() {
		if l := k.Leak(); !math.IsNaN(l) {
			leaks = append(leaks, l)
		} else {
			never++
		}
	}
	slices.Sort(leaks)
	return leaks, never
}

// Honest returns how many honest accounts were under measures, and how many of their requests were cut.
func (c *Cell) Honest() (accounts int, requests int64) {
	for _, o := range c.Runs {
		accounts, requests = accounts+o.Honest, requests+o.Refused
	}
	return accounts, requests
}

func median(sorted []float64) float64 {
	if len(sorted) == 0 {
		return math.NaN()
	}
	return (sorted[(len(sorted)-1)/2] + sorted[len(sorted)/2]) / 2
}

func percent(v float64) string {
	if math.IsNaN(v) {
		return "–"
	}
	return fmt.Sprintf("%.2f", 100*v)
}

// Target is the most of what shadow mode lets through that a campaign may get once measures are on.
const Target = 0.01

// WriteCells writes one row a cell in Markdown: what campaigns got, and by which gap.
func WriteCells(w io.Writer, cells []Cell) error {
	var b strings.Builder
	b.WriteString("| campaign | reached act | got %, median | worst | within 1 % | honest accounts under measures | their requests cut |")
	for _, k := range Causes() {
		fmt.Fprintf(&b, " %s |", k)
	}
	b.WriteString("\n|---|---:|---:|---:|---:|---:|---:|" + strings.Repeat("---:|", int(causes)) + "\n")
	for i := range cells {
		c := &cells[i]
		leaks, never := c.Leaks()
		worst, within := math.NaN(), 0
		for _, l := range leaks {
			if worst = l; l <= Target {
				within++
			}
		}
		honest, refused := c.Honest()
		fmt.Fprintf(&b, "| %s | %d of %d | %s | %s | %d of %d | %d | %d |", c.Name, len(leaks), len(leaks)+never, percent(median(leaks)), percent(worst), within, len(leaks), honest, refused)
		for _, share := range c.means() {
			fmt.Fprintf(&b, " %s |", percent(share))
		}
		b.WriteString("\n")
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// means returns, by cause, the mean share of the draw over the campaigns that came to act.
func (c *Cell) means() (out [causes]float64) {
	n := 0.0
	for _, k := range c.campaigns() {
		if math.IsNaN(k.Leak()) {
			continue
		}
		n++
		for i, got := range k.Split {
			out[i] += float64(got) / float64(k.Draw)
		}
	}
	for i := range out {
		out[i] /= max(n, 1)
	}
	return out
}

// WriteCampaigns writes one row a campaign in Markdown.
func WriteCampaigns(w io.Writer, seed uint64, o *Outcome) error {
	for i := range o.Campaigns {
		c := &o.Campaigns[i]
		act := "never"
		if !c.Act.IsZero() {
			act = c.Act.Sub(c.Begun).Round(time.Minute).String()
		}
		parts := make([]string, 0, causes)
		for _, k := range Causes() {
			parts = append(parts, percent(float64(c.Split[k])/float64(max(c.Draw, 1))))
		}
		if _, err := fmt.Fprintf(w, "| %d | %s | %d of %d | %s | %s | %d | %d |\n", seed, act, c.Covered, c.Accounts, percent(c.Leak()), strings.Join(parts, " | "),
			len(c.Names), o.Honest); err != nil {
			return err
		}
	}
	return nil
}
