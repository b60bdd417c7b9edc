package report

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/palladium-guard/palladium"
)

// tally counts the groups of a report by what is asked of the reader.
type tally struct {
	act, review, watch, linked int
}

func tallyOf(r *palladium.Report) tally {
	t := tally{linked: len(r.Linked)}
	for i := range r.Campaigns {
		switch r.Campaigns[i].Stage {
		case palladium.StageAct:
			t.act++
		case palladium.StageReview:
			t.review++
		default:
			t.watch++
		}
	}
	return t
}

// headline is the answer of the whole scan in one sentence.
func headline(r *palladium.Report) string {
	t := tallyOf(r)
	var tail []string
	if t.watch > 0 {
		tail = append(tail, plural(int64(t.watch), "candidate")+" to watch")
	}
	if t.linked > 0 {
		s := plural(int64(t.linked), "linked group") + " that "
		if t.linked == 1 {
			s += "is not extraction"
		} else {
			s += "are not extraction"
		}
		tail = append(tail, s)
	}
	head := "No campaign to act on or to review"
	if n := t.act + t.review; n > 0 {
		var parts []string
		if t.act > 0 {
			parts = append(parts, count(int64(t.act))+" to act on")
		}
		if t.review > 0 {
			parts = append(parts, count(int64(t.review))+" to review")
		}
		head = plural(int64(n), "campaign") + ": " + strings.Join(parts, ", ")
	}
	return strings.Join(append([]string{head}, tail...), "; ") + "."
}

// scope says what was read and of what time.
func scope(r *palladium.Report) string {
	if r.Counts.Exchanges == 0 {
		if r.Counts.Rejected > 0 {
			return "No exchange was read; " + skipped(r.Counts.Rejected) + "."
		}
		return "No exchange was read."
	}
	full := dates{}
	s := fmt.Sprintf("Read %s of %s, %s to %s (UTC)", plural(r.Counts.Exchanges, "exchange"), plural(r.Counts.Accounts, "account"),
		full.day(r.Window.From), full.day(r.Window.To))
	if r.Counts.Rejected > 0 {
		s += "; " + skipped(r.Counts.Rejected)
	}
	return s + "."
}

func skipped(n int64) string {
	if n == 1 {
		return "1" + nb + "record was skipped"
	}
	return plural(n, "record") + " were skipped"
}

// Claim says in one sentence what a campaign of so many accounts is, as seen at a time, no surer than its stage. It holds no
// name. Numbers and units are joined by no-break spaces.
func Claim(c *palladium.Campaign, accounts int, at time.Time) string {
	return claim(c, accounts, at, datesOf(c.First, at))
}

func claim(c *palladium.Campaign, accounts int, at time.Time, d dates) string {
	n := plural(int64(accounts), "account")
	one, many := " may be extracting; too little is known to say so", " may be one operator; too little is known to call it extraction"
	switch c.Stage {
	case palladium.StageAct:
		one, many = " is extracting", " are one operator and are extracting"
	case palladium.StageReview:
		one, many = " may be extracting", " look like one operator and may be extracting"
	case palladium.StageLinked:
		many = " are one operator, whose use is not extraction"
	}
	s := n + many
	if accounts == 1 {
		s = n + one
	}
	drawn := short(c.Tokens.Output) + " output tokens"
	if c.Tokens.Output == 0 {
		drawn = plural(c.Exchanges, "exchange")
	}
	switch {
	case running(c.Last, at):
		return fmt.Sprintf("%s: %s since %s, still running.", s, drawn, d.day(c.First))
	case d.day(c.First) == d.day(c.Last):
		return fmt.Sprintf("%s: %s on %s, silent since.", s, drawn, d.day(c.First))
	}
	return fmt.Sprintf("%s: %s from %s to %s, silent since.", s, drawn, d.day(c.First), d.day(c.Last))
}

// stageWord is the label of a stage, and what it asks for.
func stageWord(s palladium.Stage) (label, asks string) {
	switch s {
	case palladium.StageAct:
		return "act", "safe to enforce automatically under the policy in force"
	case palladium.StageReview:
		return "review", "for a person to decide; nothing should be enforced unseen"
	case palladium.StageLinked:
		return "linked", "one operator, but not extraction; nothing to do"
	}
	return "watch", "neither yet; look again when more has been recorded"
}

// strength puts a p-value into a word. The figure always stands beside it.
func strength(p float64) string {
	switch {
	case p != p:
		return "not known"
	case p <= 1e-6:
		return "overwhelming"
	case p <= 1e-4:
		return "very strong"
	case p <= 1e-2:
		return "strong"
	case p <= 0.05:
		return "moderate"
	case p <= 0.2:
		return "weak"
	}
	return "none"
}

// verdictWords is strength as the opening of a sentence.
func verdictWords(p float64) string {
	if p != p {
		return "Not known."
	}
	return capital(strings.Replace(strength(p), "none", "no", 1)) + " evidence."
}

// operatorTest says what the one-operator test found, as a frequency that a reader can check against experience.
func operatorTest(p float64) string {
	return "accounts that act on their own would look this much alike " + often(p)
}

// extractionTest says what the extraction test found.
func extractionTest(p float64) string {
	return "ordinary groups under one operator look this much like extraction " + often(p)
}

func often(p float64) string {
	s := oneIn(p)
	if p > 0.2 {
		return strings.Replace(s, " in ", " times in ", 1) + ": this says little"
	}
	return strings.Replace(strings.Replace(s, "1 in ", "1 time in ", 1), "2 in ", "2 times in ", 1)
}

// familyWords returns the name of a family as a reader says it, and one sentence on what it is.
func familyWords(f palladium.Family) (name, gloss string) {
	switch f {
	case palladium.Identity:
		return "Sign-up data", "payment, device or registration details that the accounts share"
	case palladium.Network:
		return "Connections", "addresses and client fingerprints that the accounts share"
	case palladium.Template:
		return "Wording", "the same uncommon phrases, repeated by each account"
	case palladium.Continuity:
		return "Conversations", "a conversation or an answer given to one account that another sends on"
	case palladium.Twins:
		return "Same topics", "prompts drawn from one and the same mixture of topics"
	case palladium.Queue:
		return "One work list", "one list of tasks dealt out among the accounts without repeats"
	case palladium.Schedule:
		return "Timing and load", "equal loads, one taking over when another is stopped, born together"
	case palladium.Parameters:
		return "Settings", "a rare combination of request settings that the accounts share"
	}
	return label(string(f), 24), "a kind of evidence that this version has no description of"
}

// keyWords says what a group of families has in common.
func keyWords(k palladium.Key) string {
	switch k {
	case palladium.KeyWho:
		return "who they are"
	case palladium.KeyWhat:
		return "what they ask"
	}
	return "how they work"
}

// keysOf names the independent groups among the evidence, for the two-key rule.
func keysOf(es []palladium.Evidence) []string {
	var out []string
	for _, k := range []palladium.Key{palladium.KeyWho, palladium.KeyWhat, palladium.KeyHow} {
		if slices.ContainsFunc(es, func(e palladium.Evidence) bool { return e.Accounts > 0 && e.Family.Key() == k }) {
			out = append(out, keyWords(k))
		}
	}
	return out
}

// technique names a MITRE ATLAS technique where this version knows it.
func technique(id string) string {
	names := map[string]string{
		"AML.T0021":     "Establish Accounts",
		"AML.T0024":     "Exfiltration via AI Inference API",
		"AML.T0024.000": "Infer Training Data Membership",
		"AML.T0024.001": "Invert AI Model",
		"AML.T0024.002": "Extract AI Model",
		"AML.T0040":     "AI Model Inference API Access",
	}
	if n, ok := names[id]; ok {
		return n + " (" + id + ")"
	}
	return label(id, 40)
}

// label shows s, which may come from an attacker, in at most limit runes: whatever is not a plain visible character
// becomes an escape, and a long value loses its middle.
func label(s string, limit int) string {
	var b strings.Builder
	for i, n := 0, 0; i < len(s); n++ {
		r, size := utf8.DecodeRuneInString(s[i:])
		switch {
		case r == utf8.RuneError && size == 1:
			fmt.Fprintf(&b, `\x%02x`, s[i])
		case r == ' ' || unicode.IsPrint(r):
			b.WriteRune(r)
		default:
			q := strconv.QuoteRuneToASCII(r)
			b.WriteString(q[1 : len(q)-1])
		}
		i += size
	}
	out := []rune(b.String())
	if len(out) == 0 {
		return "(no name)"
	}
	if limit > 8 && len(out) > limit {
		tail := limit / 3
		return string(out[:limit-1-tail]) + "…" + string(out[len(out)-tail:])
	}
	return string(out)
}

// prose shows a sentence made by an engine; it may quote traffic, so it is made as harmless as a label.
func prose(s string) string {
	s = strings.Join(strings.Fields(s), " ")
	if s == "" {
		return ""
	}
	return label(s, 0)
}

// shellWord quotes s for a command line that a reader may copy.
func shellWord(s string) string {
	plain := func(r rune) bool {
		return r < utf8.RuneSelf && (unicode.IsLetter(r) || unicode.IsDigit(r) || strings.ContainsRune("._:/@+-", r))
	}
	if s != "" && strings.IndexFunc(s, func(r rune) bool { return !plain(r) }) < 0 {
		return s
	}
	return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
}

// sentence is prose that ends with a full stop.
func sentence(s string) string {
	s = prose(s)
	if s == "" || strings.ContainsAny(s[len(s)-1:], ".!?") {
		return s
	}
	return s + "."
}

// capital gives s a capital first letter.
func capital(s string) string {
	r, n := utf8.DecodeRuneInString(s)
	return string(unicode.ToUpper(r)) + s[n:]
}

// memberDetails maps each account of a group to its detail, where it was kept.
func memberDetails(d *palladium.Detail) map[string]*palladium.MemberDetail {
	if d == nil {
		return nil
	}
	out := make(map[string]*palladium.MemberDetail, len(d.Members))
	for i := range d.Members {
		out[d.Members[i].ID] = &d.Members[i]
	}
	return out
}

// leaked is the share of a campaign's exchanges that were drawn before its detection.
func leaked(c *palladium.Campaign) string {
	if c.Exchanges <= 0 {
		return "unknown"
	}
	return percent(float64(c.ExchangesBeforeDetection) / float64(c.Exchanges))
}

// beforeDetection says how much was gone when the campaign was first called.
func beforeDetection(c *palladium.Campaign, d dates) string {
	if c.DetectedAt == nil {
		return "not yet"
	}
	s := d.minute(*c.DetectedAt)
	if c.Exchanges > 0 {
		s += fmt.Sprintf(", after %s (%s of its draw)", plural(c.ExchangesBeforeDetection, "exchange"), leaked(c))
	}
	return s
}

// drawn lists what a group drew.
func drawn(exchanges int64, t palladium.Tokens) string {
	s := plural(exchanges, "exchange") + "; " + short(t.Input) + " tokens in, " + short(t.Output) + " out"
	if t.Reasoning > 0 {
		s += " (" + short(t.Reasoning) + " of them reasoning)"
	}
	return s
}

// noCounter stands where counter-evidence would, so that its absence is read and not overlooked.
const noCounter = "Nothing that was measured. That is not proof: what the traffic does not show cannot speak."
