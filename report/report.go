// Package report shows the outcome of a scan to people and to programs: the report format as JSON, plain words for
// a terminal, an explanation of one campaign or account, and one self-contained HTML page.
//
// It is an engine: it takes values and a writer, reads no clock and opens no file, and the same report always gives
// the same bytes. Whatever comes from traffic (account ids above all) is treated as hostile: control characters and
// text-direction marks are shown as escapes in the terminal and on the page, and the page escapes all values.
package report

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/palladium-guard/palladium"
)

// JSON writes r in the report format, version palladium.ReportSchema: one indented object and a line feed.
//
// Detail is left out, an empty list is [] and never null, times are RFC 3339 in UTC, and the order is fixed: campaigns
// by stage (act, review, watch), larger output first; accounts by membership; evidence in the order of
// palladium.Families; linked groups larger first. Characters that could command a terminal are written as \u escapes.
// A number that JSON cannot carry (NaN, infinity) is an error that names the campaign; nothing is written then.
func JSON(w io.Writer, r *palladium.Report) error {
	out := ordered(r)
	for i := range out.Campaigns {
		out.Campaigns[i].Detail = nil
	}
	for i := range out.Linked {
		out.Linked[i].Detail = nil
	}
	return encode(w, out)
}

// JSONDetail writes r as JSON does, with each group's Detail, which the report format does not fix.
func JSONDetail(w io.Writer, r *palladium.Report) error { return encode(w, ordered(r)) }

func encode(w io.Writer, out *palladium.Report) error {
	for i := range out.Campaigns {
		if err := finite(&out.Campaigns[i]); err != nil {
			return err
		}
	}
	var buf bytes.Buffer
	enc := json.NewEncoder(&buf)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	if err := enc.Encode(out); err != nil {
		return fmt.Errorf("encode the report: %w", err)
	}
	if _, err := inert().WriteString(w, buf.String()); err != nil {
		return fmt.Errorf("write the report: %w", err)
	}
	return nil
}

// finite refuses the numbers that JSON cannot carry.
func finite(c *palladium.Campaign) error {
	bad := func(v float64) bool { return math.IsNaN(v) || math.IsInf(v, 0) }
	field := ""
	switch {
	case bad(c.OperatorP):
		field = "operator_p"
	case bad(c.ExtractionP):
		field = "extraction_p"
	case slices.ContainsFunc(c.Accounts, func(m palladium.Member) bool { return bad(m.Membership) }):
		field = "membership"
	case slices.ContainsFunc(c.Evidence, func(e palladium.Evidence) bool { return bad(e.Weight) }):
		field = "weight"
	default:
		return nil
	}
	return fmt.Errorf("encode campaign %s: %s is not a finite number; this is a fault of the detector, please report it", label(c.ID, 80), field)
}

// inert escapes, inside JSON strings, the characters that JSON allows bare and terminals may act on: DEL, the C1
// controls and the text-direction marks. None of them occurs outside a string.
func inert() *strings.Replacer {
	var pairs []string
	for _, span := range [][2]rune{{0x7f, 0x9f}, {0x061c, 0x061c}, {0x200b, 0x200f}, {0x202a, 0x202e}, {0x2066, 0x2069}, {0xfeff, 0xfeff}} {
		for r := span[0]; r <= span[1]; r++ {
			pairs = append(pairs, string(r), fmt.Sprintf(`\u%04x`, r))
		}
	}
	return strings.NewReplacer(pairs...)
}

// ordered returns a copy of r in the fixed order, with times in UTC and no nil list. It shares r's Details.
func ordered(r *palladium.Report) *palladium.Report {
	out := *r
	if out.Schema == "" {
		out.Schema = palladium.ReportSchema
	}
	out.Window.From, out.Window.To = r.Window.From.UTC(), r.Window.To.UTC()
	out.Campaigns = append(make([]palladium.Campaign, 0, len(r.Campaigns)), r.Campaigns...)
	for i := range out.Campaigns {
		orderCampaign(&out.Campaigns[i])
	}
	slices.SortFunc(out.Campaigns, func(a, b palladium.Campaign) int {
		return cmp.Or(cmp.Compare(stageRank(a.Stage), stageRank(b.Stage)), cmp.Compare(b.Tokens.Output, a.Tokens.Output),
			cmp.Compare(b.Exchanges, a.Exchanges), cmp.Compare(a.ID, b.ID))
	})
	out.Linked = append(make([]palladium.Linked, 0, len(r.Linked)), r.Linked...)
	for i := range out.Linked {
		out.Linked[i].Accounts = orderMembers(out.Linked[i].Accounts)
	}
	slices.SortFunc(out.Linked, func(a, b palladium.Linked) int {
		return cmp.Or(cmp.Compare(len(b.Accounts), len(a.Accounts)), cmp.Compare(a.ID, b.ID))
	})
	return &out
}

func orderCampaign(c *palladium.Campaign) {
	c.First, c.Last = c.First.UTC(), c.Last.UTC()
	if c.DetectedAt != nil {
		at := c.DetectedAt.UTC()
		c.DetectedAt = &at
	}
	c.Accounts = orderMembers(c.Accounts)
	c.Evidence = orderEvidence(c.Evidence)
	c.CounterEvidence = append(make([]palladium.Counter, 0, len(c.CounterEvidence)), c.CounterEvidence...)
	c.Techniques = append(make([]string, 0, len(c.Techniques)), c.Techniques...)
	slices.Sort(c.Techniques)
}

func orderMembers(ms []palladium.Member) []palladium.Member {
	out := append(make([]palladium.Member, 0, len(ms)), ms...)
	slices.SortFunc(out, func(a, b palladium.Member) int {
		return cmp.Or(cmp.Compare(b.Membership, a.Membership), cmp.Compare(a.ID, b.ID))
	})
	return out
}

func orderEvidence(es []palladium.Evidence) []palladium.Evidence {
	rank := make(map[palladium.Family]int)
	for i, f := range palladium.Families() {
		rank[f] = i - 1000 // a family that is not on the list comes last
	}
	out := append(make([]palladium.Evidence, 0, len(es)), es...)
	slices.SortStableFunc(out, func(a, b palladium.Evidence) int {
		return cmp.Or(cmp.Compare(rank[a.Family], rank[b.Family]), cmp.Compare(a.Family, b.Family),
			cmp.Compare(b.Weight, a.Weight), cmp.Compare(a.Says, b.Says))
	})
	return out
}

func stageRank(s palladium.Stage) int {
	switch s {
	case palladium.StageAct:
		return 0
	case palladium.StageReview:
		return 1
	case palladium.StageWatch:
		return 2
	}
	return 3
}

// running reports whether a group last seen at last was still active when the window closed: within a day of its end.
func running(last, end time.Time) bool { return end.Sub(last) <= 24*time.Hour }
