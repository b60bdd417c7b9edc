package report

import (
	"bytes"
	"cmp"
	"fmt"
	"io"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/palladium-guard/palladium"
)

// Options says how the text forms look and what the caller knows beyond the report.
type Options struct {
	Color bool // whether w takes ANSI colours; the caller has looked at NO_COLOR and at the terminal
	Width int  // columns; 0 is 80; held between 40 and 120

	Rejects []palladium.Reject // samples of the records skipped; the total stands in the report
	Notes   []string           // what the reader should know of how the report came about, a sentence each
	Full    int                // campaigns shown in full before the rest get a line each; 0 is 12

	Explain  string // the command that explains one id; "" is "palladium explain"
	HTMLPath string // where the page was written; "" suggests --html

	// Seen returns what was seen of an account that is in no group: what it drew, and in Evidence what it shares with
	// how many others. It reports false when the account never occurred. Nil when the caller keeps no accounts.
	Seen func(account string) (palladium.MemberDetail, bool)
}

func (o Options) explain() string { return cmp.Or(o.Explain, "palladium explain") }

// Text writes what a person reads after a scan: the answer in the first line, then each campaign at act and review
// with the case for and against it, then the candidates to watch, the linked groups, and the records skipped.
func Text(w io.Writer, r *palladium.Report, o Options) error {
	r = ordered(r)
	p := newPrinter(o)
	p.buf.WriteString(p.bold(headline(r)) + "\n") // one line whatever the width: programs look at it too
	p.say(0, p.faint(scope(r)))
	p.say(0, strings.Join(sentences(o.Notes), " "))
	d := datesOf(r.Window.From, r.Window.To)
	full := cmp.Or(o.Full, 12)
	var brief, watch []*palladium.Campaign
	for i := range r.Campaigns {
		c := &r.Campaigns[i]
		switch {
		case stageRank(c.Stage) >= stageRank(palladium.StageWatch):
			watch = append(watch, c)
		case full > 0:
			full--
			p.campaign(c, r, d, o)
		default:
			brief = append(brief, c)
		}
	}
	p.briefly("More campaigns", brief, len(brief), r, d)
	p.briefly("To watch", watch, 10, r, d)
	p.linked(r.Linked)
	p.rejects(r.Counts.Rejected, o.Rejects)
	return p.flush(w)
}

func (p *printer) campaign(c *palladium.Campaign, r *palladium.Report, d dates, o Options) {
	p.rule(c.Stage, c.ID)
	p.say(0, p.bold(claim(c, len(c.Accounts), r.Window.To, d)))
	p.blank()
	p.field("drew", drawn(c.Exchanges, c.Tokens))
	p.field("when", fmt.Sprintf("%s to %s UTC (%s)", d.minute(c.First), d.minute(c.Last), span(c.Last.Sub(c.First))))
	p.field("detected", beforeDetection(c, d))
	if c.Detail != nil && len(c.Detail.Models) > 0 {
		p.field("models", shares(c.Detail.Models, 4))
	}
	p.field("one operator", strength(c.OperatorP)+": "+operatorTest(c.OperatorP))
	p.field("extraction", strength(c.ExtractionP)+": "+extractionTest(c.ExtractionP))
	if len(c.Techniques) > 0 {
		names := make([]string, len(c.Techniques))
		for i, t := range c.Techniques {
			names[i] = technique(t)
		}
		p.field("technique", strings.Join(names, "; "))
	}
	p.heading("Why we think so")
	p.evidence(c.Evidence, "of "+count(int64(len(c.Accounts))))
	p.heading("What speaks against it")
	p.counter(c.CounterEvidence)
	p.heading("What to do")
	_, asks := stageWord(c.Stage)
	p.item(capital(asks) + ".")
	explain, open := o.explain()+" "+shellWord(label(c.ID, 64)), "palladium scan --html FILE"
	if o.HTMLPath != "" {
		open = "open " + shellWord(label(o.HTMLPath, 0))
	}
	wide := max(columns(explain), columns(open))
	p.command(pad(explain, wide), "every reason, and what would clear it")
	p.command(pad(open, wide), "timeline, links and accounts on one page")
}

// evidence is one line for each family: how many accounts show it (of ends the count), how much likelier that is under
// one operator than by chance, and what it says.
func (p *printer) evidence(es []palladium.Evidence, of string) {
	if len(es) == 0 {
		p.item("No evidence was kept with this report.")
		return
	}
	p.say(4, p.faint("(accounts that show it; how many times likelier that is under one operator)"))
	var rows []tableRow
	for _, e := range es {
		rows = append(rows, tableRow{e.Family, e.Accounts, e.Weight, sentence(capital(prose(e.Says)))})
	}
	p.table(rows, " "+of)
}

// tableRow is one piece of evidence: how many accounts show it, its weight in nats, and what it says.
type tableRow struct {
	family   palladium.Family
	accounts int
	weight   float64
	says     string
}

// table writes rows in columns; of stands after each count.
func (p *printer) table(rows []tableRow, of string) {
	wide, likely := 0, 0
	for _, r := range rows {
		wide, likely = max(wide, columns(count(int64(r.accounts)))), max(likely, columns(ratio(r.weight)))
	}
	for _, r := range rows {
		name, _ := familyWords(r.family)
		noun := of
		if of == " others" && r.accounts == 1 {
			noun = " other "
		}
		p.row(name, lead(count(int64(r.accounts)), wide)+noun+"  "+lead(ratio(r.weight), likely), r.says)
	}
}

func (p *printer) counter(cs []palladium.Counter) {
	if len(cs) == 0 {
		p.item(noCounter)
	}
	for _, c := range cs {
		p.item(sentence(capital(prose(c.Says))))
	}
}

// briefly gives each campaign a line, at most limit of them.
func (p *printer) briefly(title string, cs []*palladium.Campaign, limit int, r *palladium.Report, d dates) {
	if len(cs) == 0 {
		return
	}
	p.section(title)
	for i, c := range cs {
		if i == limit {
			p.say(2, p.faint("and "+count(int64(len(cs)-limit))+" more; all are in --format json"))
			break
		}
		stage, _ := stageWord(c.Stage)
		name := label(c.ID, 24)
		if title != "To watch" {
			name += " (" + stage + ")"
		}
		p.entry(name, claim(c, len(c.Accounts), r.Window.To, d))
	}
}

func (p *printer) linked(ls []palladium.Linked) {
	if len(ls) == 0 {
		return
	}
	p.section("One operator, not extraction")
	const limit = 10
	for i, l := range ls {
		if i == limit {
			p.say(2, p.faint("and "+plural(int64(len(ls)-limit), "more group")+"; all are in --format json"))
			break
		}
		p.entry(label(l.ID, 24), plural(int64(len(l.Accounts)), "account")+": "+sentence(l.WhyNotExtraction))
	}
}

// rejects counts the skipped records by reason and shows the first few.
func (p *printer) rejects(total int64, rs []palladium.Reject) {
	if total == 0 && len(rs) == 0 {
		return
	}
	p.section("Skipped")
	const limit = 5
	for _, r := range rs[:min(limit, len(rs))] {
		at := label(r.File, 48)
		if r.Line > 0 {
			at += ":" + fmt.Sprint(r.Line)
		}
		p.entry(at, sentence(r.Reason))
	}
	if rest := max(total, int64(len(rs))) - int64(min(limit, len(rs))); rest > 0 && len(rs) > 0 {
		p.say(2, p.faint("and "+count(rest)+" more"))
	} else if len(rs) == 0 {
		p.say(2, capital(skipped(total))+": not valid, or lacking a required field.")
	}
}

// shares lists the largest parts of a whole.
func shares(ss []palladium.Share, limit int) string {
	ss = slices.Clone(ss)
	slices.SortFunc(ss, func(a, b palladium.Share) int {
		return cmp.Or(cmp.Compare(b.Share, a.Share), cmp.Compare(a.Name, b.Name))
	})
	var out []string
	for i, s := range ss {
		if i == limit {
			out = append(out, count(int64(len(ss)-limit))+" others")
			break
		}
		out = append(out, label(s.Name, 32)+" "+percent(s.Share))
	}
	return strings.Join(out, ", ")
}

// printer lays text out in columns. Errors are kept for flush.
type printer struct {
	buf   bytes.Buffer
	width int
	color bool
}

func newPrinter(o Options) *printer {
	return &printer{width: min(max(cmp.Or(o.Width, 80), 40), 120), color: o.Color}
}

func (p *printer) flush(w io.Writer) error {
	text := bytes.ReplaceAll(p.buf.Bytes(), []byte(nb), []byte(" "))
	if _, err := w.Write(text); err != nil {
		return fmt.Errorf("write the report: %w", err)
	}
	return nil
}

func (p *printer) sgr(code, s string) string {
	if !p.color {
		return s
	}
	// Each word carries its own attributes, so that a wrapped line keeps them and indents stay plain.
	words := strings.Split(s, " ")
	for i, w := range words {
		if w != "" {
			words[i] = "\x1b[" + code + "m" + w + "\x1b[0m"
		}
	}
	return strings.Join(words, " ")
}

func (p *printer) bold(s string) string  { return p.sgr("1", s) }
func (p *printer) faint(s string) string { return p.sgr("2", s) }
func (p *printer) blank()                { p.buf.WriteByte('\n') }

// rule opens a campaign: its stage and its id in a line across the page.
func (p *printer) rule(s palladium.Stage, id string) {
	word, _ := stageWord(s)
	word = strings.ToUpper(word)
	code := map[palladium.Stage]string{palladium.StageAct: "1;31", palladium.StageReview: "1;33"}[s]
	name := label(id, 48)
	left := max(3, p.width-columns(word)-columns(name)-5)
	p.blank()
	p.buf.WriteString(p.sgr(cmp.Or(code, "1;36"), word) + "  " + p.bold(name) + " " + p.faint(strings.Repeat("─", left)) + "\n")
}

func (p *printer) section(s string) {
	p.blank()
	p.say(0, p.bold(s))
}

func (p *printer) heading(s string) {
	p.blank()
	p.say(2, p.bold(s))
}

// say writes s as a paragraph of the page's width, all lines indented alike; nothing when s is empty.
func (p *printer) say(indent int, s string) {
	if s != "" {
		p.wrap(strings.Repeat(" ", indent), indent, s)
	}
}

func (p *printer) item(s string) { p.wrap("    - ", 6, s) }

// field is a short name and what belongs to it.
func (p *printer) field(name, s string) { p.wrap("  "+p.faint(pad(name, 13))+" ", 16, s) }

// row is a line of a three-column table; on a narrow page the last column goes below.
func (p *printer) row(name, figure, s string) {
	first := "    " + pad(name, 16) + " " + figure + "  "
	if n := columns(first); p.width-n >= 32 {
		p.wrap(first, n, s)
		return
	}
	p.buf.WriteString(strings.TrimRight(first, " ") + "\n")
	p.say(8, s)
}

// entry is a name and a sentence; a long name has a line of its own.
func (p *printer) entry(name, s string) {
	if columns(name) <= 20 && p.width >= 60 {
		p.wrap("  "+pad(name, 20)+"  ", 24, s)
		return
	}
	p.buf.WriteString("  " + name + "\n")
	p.say(6, s)
}

// command is something to type, with what it shows.
func (p *printer) command(line, what string) {
	full := "    " + pad(p.bold(line), 34) + "  " + what
	if columns(full) <= p.width {
		p.buf.WriteString(full + "\n")
		return
	}
	p.buf.WriteString("    " + p.bold(strings.TrimRight(line, " ")) + "\n")
	p.say(8, p.faint(what))
}

// wrap writes first, then s broken at spaces; the lines after the first are indented by hang columns.
func (p *printer) wrap(first string, hang int, s string) {
	p.buf.WriteString(first)
	at, fresh := columns(first), true
	for _, word := range strings.Fields(strings.ReplaceAll(s, nb, "\x00")) {
		word = strings.ReplaceAll(word, "\x00", nb)
		n := columns(word)
		if !fresh && at+1+n > p.width {
			p.buf.WriteString("\n" + strings.Repeat(" ", hang))
			at, fresh = hang, true
		}
		if !fresh {
			p.buf.WriteByte(' ')
			at++
		}
		p.buf.WriteString(word)
		at, fresh = at+n, false
	}
	p.buf.WriteByte('\n')
}

// pad fills s with spaces to n columns.
func pad(s string, n int) string { return s + strings.Repeat(" ", max(0, n-columns(s))) }

// lead puts spaces before s to n columns.
func lead(s string, n int) string { return strings.Repeat(" ", max(0, n-columns(s))) + s }

// columns counts the terminal cells of s: colour codes and combining marks take none, East Asian wide forms two.
func columns(s string) int {
	n := 0
	for i := 0; i < len(s); {
		if s[i] == 0x1b {
			if end := strings.IndexByte(s[i:], 'm'); end >= 0 {
				i += end + 1
				continue
			}
		}
		r, size := utf8.DecodeRuneInString(s[i:])
		i += size
		switch {
		case unicode.In(r, unicode.Mn, unicode.Me):
		case wide(r):
			n += 2
		default:
			n++
		}
	}
	return n
}

func wide(r rune) bool {
	return r >= 0x1100 && (r <= 0x115f || r >= 0x2e80 && r <= 0xa4cf || r >= 0xac00 && r <= 0xd7a3 ||
		r >= 0xf900 && r <= 0xfaff || r >= 0xfe30 && r <= 0xfe6f || r >= 0xff00 && r <= 0xff60 ||
		r >= 0xffe0 && r <= 0xffe6 || r >= 0x1f300 && r <= 0x1faff || r >= 0x20000 && r <= 0x3fffd)
}
