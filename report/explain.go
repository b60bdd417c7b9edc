package report

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/palladium-guard/palladium"
)

// ErrUnknown is wrapped by Explain's error when nothing in the report, nor any account seen, goes by the id.
var ErrUnknown = errors.New("unknown id")

// ErrAmbiguous is wrapped by Explain's error when the id begins the ids of several groups.
var ErrAmbiguous = errors.New("ambiguous id")

// Explain says in plain words why a campaign, a linked group or an account stands where it stands: the evidence with
// its figures, what speaks against it, the two tests, the policy rules, and what would have to change.
//
// id is the id of a campaign or a linked group, or a beginning of it that no other shares, or an account id in full.
// An account in no group is said to be in none, with what was seen of it where o.Seen knows it. When nothing goes by
// the id, the error wraps ErrUnknown and names the nearest ids; nothing is written then.
func Explain(w io.Writer, r *palladium.Report, id string, o Options) error {
	r = ordered(r)
	p := newPrinter(o)
	d := datesOf(r.Window.From, r.Window.To)
	all := groups(r)
	holder, m := holderOf(all, id)
	seen, found := palladium.MemberDetail{}, false
	if holder.id == "" && o.Seen != nil {
		seen, found = o.Seen(id)
	}
	named, err := find(all, id, found || holder.id != "")
	if err != nil {
		return err
	}
	switch {
	case named.campaign != nil:
		p.explainCampaign(named.campaign, r, d, o)
	case named.linked != nil:
		p.explainLinked(named.linked, o)
	case holder.campaign != nil:
		p.member(r, holder.campaign, m, d, o)
	case holder.linked != nil:
		p.linkedMember(holder.linked, m, d, o)
	case found:
		p.outsider(id, seen, d)
	default:
		return unknown(all, id, o)
	}
	if named.id != "" && holder.id != "" {
		p.section("There is also an account of this id")
		p.say(2, "It belongs to "+label(holder.id, 64)+".")
	}
	return p.flush(w)
}

// group is a campaign or a linked group.
type group struct {
	id       string
	accounts []palladium.Member
	campaign *palladium.Campaign
	linked   *palladium.Linked
}

func groups(r *palladium.Report) []group {
	var out []group
	for i := range r.Campaigns {
		c := &r.Campaigns[i]
		out = append(out, group{c.ID, c.Accounts, c, nil})
	}
	for i := range r.Linked {
		l := &r.Linked[i]
		out = append(out, group{l.ID, l.Accounts, nil, l})
	}
	return out
}

// find returns the group that id names, or else, unless an account goes by it, the group whose id it alone begins; the
// zero group when there is none.
func find(all []group, id string, account bool) (group, error) {
	var hits []string
	var hit group
	for _, g := range all {
		if g.id == id && id != "" {
			return g, nil
		}
		if id != "" && !account && strings.HasPrefix(g.id, id) {
			hits, hit = append(hits, g.id), g
		}
	}
	if len(hits) > 1 {
		return group{}, fmt.Errorf("find %s: %w: it begins %s; give more of the id", label(id, 80), ErrAmbiguous, listed(hits, 5))
	}
	return hit, nil
}

// holderOf returns the group that holds an account, or the zero group.
func holderOf(all []group, account string) (group, palladium.Member) {
	for _, g := range all {
		if at := slices.IndexFunc(g.accounts, func(m palladium.Member) bool { return m.ID == account }); at >= 0 {
			return g, g.accounts[at]
		}
	}
	return group{}, palladium.Member{}
}

func listed(ids []string, limit int) string {
	var out []string
	for i, s := range ids {
		if i == limit {
			out = append(out, fmt.Sprintf("%d more", len(ids)-limit))
			break
		}
		out = append(out, label(s, 64))
	}
	return strings.Join(out, ", ")
}

// unknown is the error for an id that nothing goes by, with the nearest ids.
func unknown(all []group, id string, o Options) error {
	hint := "see the ids with palladium scan --format json"
	if near := nearest(all, id); len(near) > 0 {
		hint = "did you mean " + listed(near, 3) + "?"
	}
	if o.Seen == nil {
		hint += " An account in no group can only be looked up where the scan kept its state"
	}
	return fmt.Errorf("find %s: %w: no campaign, linked group or account goes by it; %s", label(id, 80), ErrUnknown, hint)
}

// nearest returns up to three ids of groups and accounts within a third of id's length in edits, nearest first.
func nearest(all []group, id string) []string {
	if id == "" || len(id) > 256 {
		return nil
	}
	byDistance := make(map[int][]string)
	limit := max(1, len(id)/3)
	try := func(s string) {
		if n := len(s) - len(id); n <= limit && -n <= limit {
			away := edits(strings.ToLower(id), strings.ToLower(s))
			byDistance[away] = append(byDistance[away], s)
		}
	}
	for _, g := range all {
		try(g.id)
		for _, m := range g.accounts {
			try(m.ID)
		}
	}
	var out []string
	for away := 0; away <= limit && len(out) < 3; away++ {
		slices.Sort(byDistance[away])
		out = append(out, byDistance[away]...)
	}
	return out[:min(3, len(out))]
}

// edits is the Levenshtein distance of a and b in bytes.
func edits(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := diagonal
			if a[i] != b[j] {
				cost = 1 + min(diagonal, row[j], row[j+1])
			}
			diagonal, row[j+1] = row[j+1], cost
		}
	}
	return row[len(b)]
}

func (p *printer) explainCampaign(c *palladium.Campaign, r *palladium.Report, d dates, o Options) {
	stage, asks := stageWord(c.Stage)
	p.say(0, p.bold(claim(c, len(c.Accounts), r.Window.To, d)))
	p.say(0, p.faint(fmt.Sprintf("Campaign %s, stage %s: %s.", label(c.ID, 64), stage, asks)))
	p.blank()
	p.field("drew", drawn(c.Exchanges, c.Tokens))
	p.field("when", fmt.Sprintf("%s to %s UTC (%s)", d.minute(c.First), d.minute(c.Last), span(c.Last.Sub(c.First))))
	p.field("detected", beforeDetection(c, d))

	p.section("Which evidence joined the accounts")
	p.evidence(c.Evidence, "of "+count(int64(len(c.Accounts))))
	p.say(4, keySentence(c.Evidence))
	if c.Detail != nil && len(c.Detail.Links) > 0 {
		p.links("Strongest links", c.Detail.Links, 8)
	}
	p.section("What speaks against it")
	p.counter(c.CounterEvidence)
	p.operator(c, d)
	p.extraction(c)
	if c.Detail == nil {
		p.section("Nothing more was kept")
		p.say(2, "This report carries no detail. Explain from the state of the scan, or scan again, to see the policy rules and what would clear the campaign.")
		return
	}
	p.list("Why it is at "+stage, c.Detail.WhyStage)
	p.list("What would take it off the list", c.Detail.WouldClear)
	p.roster(c.Accounts, memberDetails(c.Detail), o)
}

// operator is the one-operator test with its windows.
func (p *printer) operator(c *palladium.Campaign, d dates) {
	p.section("Test 1: is it one operator?")
	p.say(2, verdictWords(c.OperatorP)+" "+capital(operatorTest(c.OperatorP))+".")
	if c.Detail == nil || len(c.Detail.Days) == 0 {
		return
	}
	p.say(2, "Each window was tested by itself against chance: a look is at all that the accounts shared since the group was first seen, a day at their loads in fresh traffic. The factor is the bet it won against independent accounts; that of the k-th look is divided by k(k + 1), the price of looking again, and so may be small where chance is too. What looks win adds up, what days win multiplies, and the two are averaged. The probability above is one over that. The strongest windows:")
	days := slices.Clone(c.Detail.Days)
	slices.SortStableFunc(days, func(a, b palladium.OperatorTrial) int { return cmp.Compare(b.E, a.E) })
	for _, t := range days[:min(5, len(days))] {
		p.item(fmt.Sprintf("%s: %s, by chance %s, factor %s", window(t, d), plural(int64(t.Accounts), "account"), oneIn(t.P), power(t.E)))
	}
	if rest := len(days) - 5; rest > 0 {
		p.say(4, p.faint("and "+plural(int64(rest), "weaker window")))
	}
}

// extraction is the extraction test with its inputs.
func (p *printer) extraction(c *palladium.Campaign) {
	p.section("Test 2: is it extraction?")
	p.say(2, verdictWords(c.ExtractionP)+" "+capital(extractionTest(c.ExtractionP))+".")
	if c.Detail == nil {
		return
	}
	if c.Detail.Calibration != "" {
		p.say(2, "Compared with: "+sentence(c.Detail.Calibration))
	}
	if len(c.Detail.Features) == 0 {
		return
	}
	p.say(2, "Beside ordinary groups under one operator (their middle, and the value that 95 in 100 stay below):")
	for _, f := range c.Detail.Features {
		p.wrap("    "+pad(label(f.Name, 24), 24)+" ", 29, fmt.Sprintf("%s, against %s and %s: %s. %s", measure(f.Value), measure(f.P50),
			measure(f.P95), place(f), sentence(capital(prose(f.Says)))))
	}
}

// place says where a feature's value lies in the range of the reference groups.
func place(f palladium.Feature) string {
	switch {
	case f.Value > f.P95:
		return "above the usual range"
	case f.Value > f.P50:
		return "in the upper half of the usual range"
	}
	return "ordinary"
}

// keySentence says how many independent groups of evidence agree.
func keySentence(es []palladium.Evidence) string {
	switch ks := keysOf(es); len(ks) {
	case 0:
		return ""
	case 1:
		return "All of it is of one kind (" + ks[0] + "), so one mistake could explain it; enforcement needs two."
	default:
		return fmt.Sprintf("%d independent kinds agree: %s.", len(ks), strings.Join(ks, ", "))
	}
}

// links lists the strongest tokens, with how many accounts hold each among the links that were kept.
func (p *printer) links(title string, ls []palladium.Link, limit int) {
	p.heading(title)
	ts := tokensOf(ls)
	var rows []tableRow
	for _, t := range ts[:min(limit, len(ts))] {
		rows = append(rows, tableRow{t.family, t.accounts, t.weight, label(t.name, 60)})
	}
	p.table(rows, "")
	if len(ts) > limit {
		p.say(4, p.faint("and "+count(int64(len(ts)-limit))+" more"))
	}
}

func (p *printer) list(title string, items []string) {
	if len(items) == 0 {
		return
	}
	p.section(title)
	for _, s := range sentences(items) {
		p.item(s)
	}
}

// roster shows the surest and the least sure accounts of a group.
func (p *printer) roster(ms []palladium.Member, details map[string]*palladium.MemberDetail, o Options) {
	p.section("Accounts")
	line := func(m palladium.Member) {
		s := percent(m.Membership) + " sure to belong"
		if det := details[m.ID]; det != nil {
			s += "; " + plural(det.Exchanges, "exchange") + ", " + short(det.Tokens.Output) + " output tokens"
		}
		p.entry(label(m.ID, 48), s)
	}
	const head, tail = 8, 4
	for i, m := range ms {
		if i < head || i >= len(ms)-tail {
			line(m)
		} else if i == head {
			p.say(2, p.faint(fmt.Sprintf("… %s between; all are in --format json", count(int64(len(ms)-head-tail)))))
		}
	}
	if len(ms) > 0 {
		p.command(o.explain()+" "+shellWord(label(ms[len(ms)-1].ID, 64)), "one account and its own evidence")
	}
}

func (p *printer) explainLinked(l *palladium.Linked, o Options) {
	p.say(0, p.bold(plural(int64(len(l.Accounts)), "account")+" under one operator whose use is not extraction."))
	p.say(0, p.faint("Linked group "+label(l.ID, 64)+". Nothing to do."))
	p.section("Why it is not extraction")
	p.item(sentence(l.WhyNotExtraction))
	if l.Detail != nil {
		if l.Detail.WhyNot != "" && l.Detail.WhyNot != l.WhyNotExtraction {
			p.item(sentence(l.Detail.WhyNot))
		}
		if len(l.Detail.Links) > 0 {
			p.links("What links the accounts", l.Detail.Links, 8)
		}
		p.list("What the policy said", l.Detail.WhyStage)
	}
	p.roster(l.Accounts, memberDetails(l.Detail), o)
}

// member explains one account of a campaign.
func (p *printer) member(r *palladium.Report, c *palladium.Campaign, m palladium.Member, d dates, o Options) {
	stage, asks := stageWord(c.Stage)
	p.say(0, p.bold(fmt.Sprintf("Account %s is one of %s in campaign %s: %s sure to belong.", label(m.ID, 80),
		count(int64(len(c.Accounts))), label(c.ID, 64), percent(m.Membership))))
	p.say(0, p.faint("The campaign is at "+stage+": "+asks+". "+claim(c, len(c.Accounts), r.Window.To, d)))
	det := memberDetails(c.Detail)[m.ID]
	p.ownEvidence(m.ID, det, c.Detail, d)
	p.section("What speaks against the campaign")
	p.counter(c.CounterEvidence)
	if m.Membership < 0.9 {
		p.item("This account's own place in it is not sure: " + percent(m.Membership) + ".")
	}
	p.section("What would take this account off the list")
	p.item("Evidence that it is run by someone else: its own links, listed above, explained by an innocent cause.")
	p.item("A relation that you vouch for (tenant, reseller, cohort, internal) in its account record.")
	if c.Detail != nil {
		for _, s := range c.Detail.WouldClear {
			p.item("For the whole campaign: " + sentence(prose(s)))
		}
	}
	p.blank()
	p.command(o.explain()+" "+shellWord(label(c.ID, 64)), "the whole campaign and its two tests")
}

func (p *printer) linkedMember(l *palladium.Linked, m palladium.Member, d dates, o Options) {
	p.say(0, p.bold(fmt.Sprintf("Account %s is in no campaign. It is one of %s in linked group %s, whose use is not extraction.",
		label(m.ID, 80), count(int64(len(l.Accounts))), label(l.ID, 64))))
	p.section("Why it is not extraction")
	p.item(sentence(l.WhyNotExtraction))
	p.ownEvidence(m.ID, memberDetails(l.Detail)[m.ID], l.Detail, d)
	p.blank()
	p.command(o.explain()+" "+shellWord(label(l.ID, 64)), "the whole group")
}

// ownEvidence is what one account itself drew and shares.
func (p *printer) ownEvidence(id string, det *palladium.MemberDetail, group *palladium.Detail, d dates) {
	if det == nil {
		p.section("Its own evidence")
		p.item("Not kept with this report; explain from the state of the scan to see it.")
		return
	}
	p.blank()
	p.field("drew", drawn(det.Exchanges, det.Tokens))
	p.field("when", fmt.Sprintf("%s to %s UTC", d.minute(det.First), d.minute(det.Last)))
	p.section("Its own evidence")
	own := orderEvidence(det.Evidence)
	p.evidence(own, "others")
	p.say(4, keySentence(own))
	if group != nil {
		mine := make(map[tokenKey]bool)
		for _, l := range group.Links {
			mine[tokenKey{l.Family, l.Token}] = mine[tokenKey{l.Family, l.Token}] || l.Account == id
		}
		shared := slices.DeleteFunc(slices.Clone(group.Links), func(l palladium.Link) bool { return !mine[tokenKey{l.Family, l.Token}] })
		if len(shared) > 0 {
			p.links("What it shares", shared, 8)
		}
	}
}

// outsider is an account that is in no group.
func (p *printer) outsider(id string, seen palladium.MemberDetail, d dates) {
	p.say(0, p.bold("Account "+label(id, 80)+" is in no campaign and in no linked group."))
	p.blank()
	p.field("drew", drawn(seen.Exchanges, seen.Tokens))
	p.field("when", fmt.Sprintf("%s to %s UTC", d.minute(seen.First), d.minute(seen.Last)))
	p.section("What it shares with others")
	if len(seen.Evidence) == 0 {
		p.item("Nothing uncommon. No account is judged alone, so there is nothing to explain.")
		return
	}
	own := orderEvidence(seen.Evidence)
	p.evidence(own, "others")
	p.say(2, "That was too little, or of too few independent kinds, to join it to a group.")
}
