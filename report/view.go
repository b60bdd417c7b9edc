package report

import (
	"fmt"
	"html/template"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/palladium-guard/palladium"
)

// pageView is what page.html shows. All strings are plain text; the template escapes them.
type pageView struct {
	Policy                          string
	Style, Script, Symbols          template.HTML
	Marks                           []marks
	Headline, Scope, From, To       string
	Act, Review, Watch              string
	Rows                            []rowView
	Omitted                         string
	Campaigns                       []campaignView
	Linked                          []linkedView
	LinkedCount, LinkedNote, Footer string
	Rejects                         []rejectView
	RejectNote                      string
	Sources                         []string
}

type rowView struct {
	Stage, ID, Name, Accounts, Output, Active, Before string
	X, W, Mark                                        string
	Shown                                             bool
}

type linkedView struct {
	ID, Name, Accounts, Why, More string
	N                             int
	Some                          []string
}

type rejectView struct{ At, Why string }

type factView struct{ Name, Value, Note string }

type testView struct{ Strength, Says string }

type evidenceView struct{ Family, Name, Says, Accounts, Times, Share, Nats string }

type accountView struct {
	Name, Sure, Membership, Exchanges, Output, First, Last string
	N, OutputN, FirstN, LastN                              int64
	Marks                                                  marks
}

type campaignView struct {
	Index                         int
	Stage, ID, Name, Size, Claim  string
	Facts                         []factView
	Operator, Extraction          testView
	Calibration, Keys             string
	Evidence                      []evidenceView
	Counter, WhyStage, WouldClear []string
	Timeline                      *timelineView
	Graph                         *graphView
	Features                      []featureView
	Trials                        []trialView
	Accounts                      []accountView
	AccountsNote                  string
}

func newPage(r *palladium.Report, m Meta) *pageView {
	full := dates{}
	v := &pageView{
		Symbols: symbols(), Headline: headline(r), Scope: strings.Join(append([]string{scope(r)}, sentences(m.Notes)...), " "), From: full.day(r.Window.From), To: full.day(r.Window.To),
		Act: "act", Review: "review", Watch: "watch", Footer: footer(m),
	}
	d := datesOf(r.Window.From, r.Window.To)
	shown := min(len(r.Campaigns), maxSections)
	for i := range r.Campaigns {
		if i == maxOverview {
			v.Omitted = count(int64(len(r.Campaigns)-maxOverview)) + " more are in --format json. "
			break
		}
		v.Rows = append(v.Rows, newRow(&r.Campaigns[i], r.Window, d, i < shown))
	}
	if len(r.Campaigns) > shown {
		v.Omitted += fmt.Sprintf("The first %d have a part of this page; palladium explain tells about every one.", shown)
	}
	for i := range shown {
		v.Campaigns = append(v.Campaigns, newCampaign(i, &r.Campaigns[i], r, d, shown))
	}
	v.Marks = v.marks()
	v.addLinked(r.Linked)
	for _, j := range m.Rejects[:min(len(m.Rejects), 20)] {
		at := label(j.File, maxID)
		if j.Line > 0 {
			at += ":" + strconv.FormatInt(j.Line, 10)
		}
		v.Rejects = append(v.Rejects, rejectView{at, sentence(j.Reason)})
	}
	if len(v.Rejects) > 0 {
		v.RejectNote = capital(skipped(max(r.Counts.Rejected, int64(len(m.Rejects))))) + "; a skipped record changes nothing else. Among them:"
	}
	for _, s := range m.Sources[:min(len(m.Sources), 100)] {
		v.Sources = append(v.Sources, label(s, 200))
	}
	if n := len(m.Sources) - len(v.Sources); n > 0 {
		v.Sources = append(v.Sources, "and "+count(int64(n))+" more")
	}
	return v
}

func (v *pageView) addLinked(ls []palladium.Linked) {
	v.LinkedCount = count(int64(len(ls)))
	for i, l := range ls {
		if i == maxLinked {
			v.LinkedNote = fmt.Sprintf("The largest %d of %s groups are shown; all are in --format json.", maxLinked, count(int64(len(ls))))
			break
		}
		g := linkedView{ID: label(l.ID, maxID), Name: label(l.ID, maxID), Accounts: count(int64(len(l.Accounts))), N: len(l.Accounts), Why: sentence(l.WhyNotExtraction)}
		for _, a := range l.Accounts[:min(3, len(l.Accounts))] {
			g.Some = append(g.Some, label(a.ID, 40))
		}
		if n := len(l.Accounts) - len(g.Some); n > 0 {
			g.More = "and " + count(int64(n)) + " more"
		}
		v.Linked = append(v.Linked, g)
	}
}

func footer(m Meta) string {
	s := "Made by Palladium"
	if m.Version != "" {
		s += " " + label(m.Version, 80)
	}
	if !m.Made.IsZero() {
		s += " on " + dates{}.minute(m.Made) + " UTC"
	}
	return s + ". This page holds account ids: treat it as you treat your logs. It loads nothing from any network."
}

func newRow(c *palladium.Campaign, w palladium.Window, d dates, shown bool) rowView {
	at := func(t time.Time) float64 {
		whole := w.To.Sub(w.From)
		if whole <= 0 {
			return 0
		}
		return 200 * min(1, max(0, float64(t.Sub(w.From))/float64(whole)))
	}
	stage, _ := stageWord(c.Stage)
	x := at(c.First)
	v := rowView{
		Stage: stage, ID: label(c.ID, maxID), Name: label(c.ID, maxID), Shown: shown, Before: "not yet",
		Accounts: count(int64(len(c.Accounts))), Output: short(c.Tokens.Output), X: coord(x), W: coord(max(2, at(c.Last)-x)),
		Active: d.day(c.First) + " to " + d.day(c.Last),
	}
	if c.DetectedAt != nil {
		v.Mark = coord(at(*c.DetectedAt))
		v.Active += ", detected " + d.minute(*c.DetectedAt)
		v.Before = leaked(c)
	}
	return v
}

func newCampaign(index int, c *palladium.Campaign, r *palladium.Report, d dates, shown int) campaignView {
	stage, _ := stageWord(c.Stage)
	v := campaignView{
		Index: index, Stage: stage, ID: label(c.ID, maxID), Name: label(c.ID, maxID), Size: count(int64(len(c.Accounts))), Claim: claim(c, len(c.Accounts), r.Window.To, d),
		Facts:      facts(c, d),
		Operator:   testView{verdictWords(c.OperatorP), capital(operatorTest(c.OperatorP)) + "."},
		Extraction: testView{verdictWords(c.ExtractionP), capital(extractionTest(c.ExtractionP)) + "."},
	}
	v.Evidence, v.Keys = evidenceViews(c), keySentence(c.Evidence)
	for _, e := range c.CounterEvidence {
		v.Counter = append(v.Counter, sentence(capital(prose(e.Says))))
	}
	if len(v.Counter) == 0 {
		v.Counter = []string{noCounter}
	}
	v.Accounts, v.AccountsNote = accountViews(c, d, rowLimit(r.Campaigns[:shown]))
	if c.Detail == nil {
		return v
	}
	if c.Detail.Calibration != "" {
		v.Calibration = sentence(c.Detail.Calibration)
	}
	v.WhyStage, v.WouldClear = sentences(c.Detail.WhyStage), sentences(c.Detail.WouldClear)
	nodes, bars := maxNodes, maxBars
	if shown > 12 {
		nodes, bars = maxNodes*12/shown, maxBars/2
	}
	v.Timeline = newTimeline(c, d, bars)
	v.Graph = newGraph(c, nodes)
	v.Features = featureViews(c.Detail.Features)
	v.Trials = trialViews(c.Detail.Days, d)
	return v
}

func sentences(ss []string) []string {
	var out []string
	for _, s := range ss {
		out = append(out, sentence(capital(prose(s))))
	}
	return out
}

func facts(c *palladium.Campaign, d dates) []factView {
	out := []factView{
		{"Accounts", count(int64(len(c.Accounts))), ""},
		{"Output tokens", short(c.Tokens.Output), short(c.Tokens.Input) + " tokens in"},
		{"Exchanges", short(c.Exchanges), ""},
		{"First seen", d.minute(c.First), ""},
		{"Last seen", d.minute(c.Last), "all times in UTC"},
	}
	if n := len(c.Accounts); n > 0 {
		out[2].Note = short(c.Exchanges/int64(n)) + " an account"
	}
	if c.Tokens.Reasoning > 0 {
		out[1].Note += "; " + short(c.Tokens.Reasoning) + " out were reasoning"
	}
	if c.DetectedAt != nil {
		out = append(out, factView{"Detected", d.minute(*c.DetectedAt), leaked(c) + " of the exchanges were drawn by then (" + count(c.ExchangesBeforeDetection) + ")"})
	}
	if c.Detail != nil && len(c.Detail.Models) > 0 {
		first, rest, _ := strings.Cut(shares(c.Detail.Models, 4), ", ")
		out = append(out, factView{"Models", first, rest})
	}
	for i, t := range c.Techniques {
		name, id, _ := strings.Cut(technique(t), " (")
		if i == 0 {
			out = append(out, factView{"MITRE ATLAS technique", name, strings.TrimSuffix(id, ")")})
			continue
		}
		out[len(out)-1].Note += "; " + technique(t)
	}
	return out
}

func evidenceViews(c *palladium.Campaign) []evidenceView {
	var out []evidenceView
	for _, e := range c.Evidence {
		name, _ := familyWords(e.Family)
		share := float64(e.Accounts) / float64(max(1, len(c.Accounts)))
		out = append(out, evidenceView{
			Family: familyClass(e.Family), Name: name, Says: sentence(capital(prose(e.Says))),
			Accounts: count(int64(e.Accounts)) + nb + "of" + nb + count(int64(len(c.Accounts))), Times: ratio(e.Weight),
			Share: coord(60 * min(1, max(0, share))), Nats: coord(60 * min(1, max(0, e.Weight/10))), // a family is capped at 10 nats
		})
	}
	return out
}

// rowLimit is how many accounts each campaign may show, so that all together stay within allRows.
func rowLimit(cs []palladium.Campaign) int {
	limit := maxRows
	for ; limit > 25; limit = limit * 9 / 10 {
		sum := 0
		for i := range cs {
			sum += min(limit, len(cs[i].Accounts))
		}
		if sum <= allRows {
			break
		}
	}
	return limit
}

// accountViews is the first limit accounts, surest first.
func accountViews(c *palladium.Campaign, d dates, limit int) ([]accountView, string) {
	details := memberDetails(c.Detail)
	out := make([]accountView, 0, min(limit, len(c.Accounts)))
	for _, m := range c.Accounts[:min(limit, len(c.Accounts))] {
		v := accountView{Name: label(m.ID, maxID), Sure: percent(m.Membership), Membership: coord(1000 * m.Membership)}
		if det := details[m.ID]; det != nil {
			v.N, v.Exchanges = det.Exchanges, count(det.Exchanges)
			v.OutputN, v.Output = det.Tokens.Output, short(det.Tokens.Output)
			v.FirstN, v.First = det.First.Unix(), d.minute(det.First)
			v.LastN, v.Last = det.Last.Unix(), d.minute(det.Last)
			v.Marks = newMarks(det.Evidence)
		}
		out = append(out, v)
	}
	if len(out) < len(c.Accounts) {
		return out, fmt.Sprintf("The surest %s of %s accounts are shown; palladium scan --format json lists all.", count(int64(len(out))), count(int64(len(c.Accounts))))
	}
	return out, plural(int64(len(out)), "account") + "."
}

// coord writes a number for an SVG attribute, to a tenth.
func coord(v float64) string {
	if math.IsNaN(v) || math.IsInf(v, 0) {
		return "0"
	}
	return strconv.FormatFloat(math.Round(v*10)/10, 'f', -1, 64)
}
