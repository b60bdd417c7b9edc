package score

import (
	"fmt"
	"io"
	"text/tabwriter"
)

// Text writes s for people.
func Text(w io.Writer, s *Scores) error {
	out := &quiet{w: w}
	out.printf("World %s, seed %d: %d accounts, %d of them honest, %d campaigns.\n\n", s.World, s.Seed, s.Accounts, s.Benign, len(s.Campaigns))
	tab := tabwriter.NewWriter(out, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(tab, "accounts\tprecision\tat least\trecall\tat least\tfalse\tper million\t95 % interval\t")
	for _, l := range []struct {
		name string
		l    Level
	}{{"act", s.Act}, {"review or act", s.Review}} {
		fmt.Fprintf(tab, "%s\t%.4f\t%.4f\t%.4f\t%.4f\t%d\t%.1f\t%.1f to %.1f\t\n", l.name, l.l.Precision, l.l.PrecisionLow, l.l.Recall, l.l.RecallLow,
			l.l.False, l.l.FalsePerMillion, l.l.FalseLow, l.l.FalseHigh)
	}
	fmt.Fprintln(tab)
	flush(out, tab)
	campaigns(out, "campaign", s.Campaigns)
	if len(s.Campaigns) > 0 {
		out.printf("Median share leaked before detection: %.1f %%.\n\n", 100*s.MedianLeak)
	}
	campaigns(out, "negative control (to stay undetected)", s.Negatives)
	tab = tabwriter.NewWriter(out, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(tab, "honest class\taccounts\tact\treview or act\twatch\tlinked\tact per million, at most\t")
	for _, c := range s.Classes {
		fmt.Fprintf(tab, "%s\t%d\t%d\t%d\t%d\t%d\t%.0f\t\n", c.Class, c.Accounts, c.Act, c.Review, c.Watch, c.Linked, c.ActHigh)
	}
	fmt.Fprintln(tab)
	flush(out, tab)
	tab = tabwriter.NewWriter(out, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(tab, "groups of one owner\tgroups\treported as linked\t")
	for _, g := range s.Groups {
		fmt.Fprintf(tab, "%s\t%d\t%d\t\n", g.Class, g.Groups, g.Linked)
	}
	flush(out, tab)
	return out.err
}

func campaigns(out *quiet, title string, list []CampaignScore) {
	if len(list) == 0 {
		return
	}
	tab := tabwriter.NewWriter(out, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintf(tab, "%s\taccounts\teach\ttext\tcover\tstage\tact\treview\tany\tpurity\tparts\tleak\thours\t\n", title)
	for _, c := range list {
		stage, hours := string(c.Stage), fmt.Sprintf("%.1f", c.Hours)
		if stage == "" {
			stage = "none"
		}
		if c.Leak == 1 {
			hours = "-"
		}
		fmt.Fprintf(tab, "%s\t%d\t%.0f\t%s\t%.0f %%\t%s\t%.3f\t%.3f\t%.3f\t%.3f\t%d\t%.1f %%\t%s\t\n", c.ID, c.Accounts, c.PerAccount, c.Spec.Text,
			100*c.Spec.Camouflage, stage, c.RecallAct, c.RecallReview, c.RecallAny, c.Purity, c.Parts, 100*c.Leak, hours)
	}
	fmt.Fprintln(tab)
	flush(out, tab)
}

// quiet keeps the first error of a writer.
type quiet struct {
	w   io.Writer
	err error
}

func (q *quiet) Write(p []byte) (int, error) {
	if q.err != nil {
		return 0, q.err
	}
	n, err := q.w.Write(p)
	if err != nil {
		q.err = fmt.Errorf("write scores: %w", err)
	}
	return n, q.err
}

func (q *quiet) printf(format string, args ...any) { fmt.Fprintf(q, format, args...) }

func flush(q *quiet, tab *tabwriter.Writer) {
	if err := tab.Flush(); err != nil && q.err == nil {
		q.err = err
	}
}
