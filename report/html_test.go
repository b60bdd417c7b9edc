package report

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"html"
	"math"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/palladium-guard/palladium"
)

func pageOf(t *testing.T, r *palladium.Report) string {
	t.Helper()
	var b bytes.Buffer
	m := Meta{Version: "1.2.3", Made: time.Date(2026, 6, 1, 8, 0, 0, 0, time.UTC), Sources: []string{"may/api-03.jsonl.gz"}, Rejects: sampleRejects()}
	if err := HTML(&b, r, m); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// TestPageLook keeps the sample page where -artifacts is given, for looking at in a browser.
func TestPageLook(t *testing.T) {
	if err := os.WriteFile(filepath.Join(t.ArtifactDir(), "report.html"), []byte(pageOf(t, sample(412))), 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestPageShowsTheWholeCase(t *testing.T) {
	out := html.UnescapeString(pageOf(t, sample(412)))
	if miss := inOrder(strings.ReplaceAll(out, nb, " "), "<title>2 campaigns", `<nav aria-label=`, `href="#c-7f3a91"`, "<main", "<h1", "Campaigns and candidates", `class="mark"`, "not yet", "Records skipped", "88121",
		`<section id="c-7f3a91"`, "412 accounts are one operator and are extracting", "Detected", "4 May 02:00", "Is it one operator?", "1 time in 3 billion", "Is it extraction?", "Compared with",
		"Why we think so", "370 of 412", "1,600×", "What speaks against it", "12 % of the exchanges", "What would take it off the list", "Why it is at this stage",
		"What was drawn, over time", `role="img"`, `class="early"`, "The same as a table", "What links the accounts", `class="graph"`, "The evidence in the drawing",
		"Beside ordinary groups", "Above the usual range", "window by window", "1 in", `type="search"`, "412 accounts.",
		`<section id="c-1b22e0"`, `<section id="page-linked"`, "A reseller", "1.2.3 on 1 June 2026 08:00 UTC"); miss != "" {
		t.Errorf("%q is missing, or stands too early", miss)
	}
}

func TestPagePolicyAdmitsOnlyItself(t *testing.T) {
	out := pageOf(t, sample(40))
	policy := html.UnescapeString(regexp.MustCompile(`Content-Security-Policy" content="([^"]*)"`).FindStringSubmatch(out)[1])
	if !strings.HasPrefix(policy, "default-src 'none'; ") || strings.Contains(policy, "unsafe") {
		t.Errorf("policy %s", policy)
	}
	for _, element := range []string{"style", "script"} {
		bodies := regexp.MustCompile(`(?s)<`+element+`[^>]*>(.*?)</`+element+`>`).FindAllStringSubmatch(out, -1)
		if len(bodies) != 1 {
			t.Fatalf("%d %s elements, want 1", len(bodies), element)
		}
		sum := sha256.Sum256([]byte(bodies[0][1]))
		if want := element + "-src 'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "'"; !strings.Contains(policy, want) {
			t.Errorf("the policy does not hold %s", want)
		}
	}
	// The policy blocks style attributes and inline handlers, so there must be none; and no address of any network.
	for _, tag := range regexp.MustCompile(`<[a-zA-Z][^>]*>`).FindAllString(out, -1) {
		if m := regexp.MustCompile(`\s(style|on\w+|src|action|srcset|ping|background)\s*=`).FindString(tag); m != "" && !strings.Contains(tag, "&") {
			t.Errorf("%s holds %s", tag, m)
		}
		if m := regexp.MustCompile(`href="([^"]*)"`).FindStringSubmatch(tag); m != nil && !strings.HasPrefix(m[1], "#") {
			t.Errorf("%s leads out of the page", tag)
		}
	}
	if m := regexp.MustCompile(`(?i)(https?:)?//[a-z]+\.[a-z]|@import|url\(`).FindString(out); m != "" {
		t.Errorf("the page names an address: %s", m)
	}
}

func TestPageEscapesEverything(t *testing.T) {
	r := sample(40)
	bad := `</script><script>alert(1)</script><img src=x onerror=alert(2)>"'` + "\u202e\x1b\x00"
	c := &r.Campaigns[2]
	c.ID = bad
	c.Techniques = []string{bad}
	c.Evidence[0] = palladium.Evidence{Family: palladium.Family(bad), Says: bad, Accounts: 1, Weight: 1}
	c.CounterEvidence[0].Says = bad
	d := c.Detail
	d.Calibration, d.WhyStage, d.WouldClear = bad, []string{bad}, []string{bad}
	d.Models[0].Name, d.Features[0].Name, d.Features[0].Says = bad, bad, bad
	for i := range d.Links {
		d.Links[i].Token += bad
		d.Links[i].Family = palladium.Family(bad)
	}
	d.Members[0].Evidence[0].Family = palladium.Family(bad)
	r.Linked[0] = palladium.Linked{ID: bad, WhyNotExtraction: bad, Accounts: []palladium.Member{{ID: bad}}}
	var b bytes.Buffer
	if err := HTML(&b, r, Meta{Version: bad, Sources: []string{bad}, Rejects: []palladium.Reject{{File: bad, Reason: bad}}}); err != nil {
		t.Fatal(err)
	}
	out := b.String()
	if n := strings.Count(out, "<script"); n != 1 {
		t.Errorf("%d script elements, want 1", n)
	}
	for _, s := range []string{"<img", "alert(1)</script>", "<b>x", "\u202e", "\x1b", "\x00", "\u009b", "ZgotmplZ", "javascript:"} {
		if strings.Contains(out, s) {
			t.Errorf("the page holds %q", s)
		}
	}
	if !strings.Contains(out, "&lt;img src=x onerror=alert(2)&gt;") {
		t.Error("the hostile value is not shown at all")
	}
}

func TestPageIsWellFormed(t *testing.T) {
	out := pageOf(t, sample(40))
	out = regexp.MustCompile(`(?s)<(script|style)>.*?</(script|style)>`).ReplaceAllString(out, "")
	void := map[string]bool{"meta": true, "input": true, "br": true}
	var open []string
	for _, m := range regexp.MustCompile(`<(/?)([a-zA-Z][a-zA-Z0-9]*)[^>]*?(/?)>`).FindAllStringSubmatch(out, -1) {
		switch name := m[2]; {
		case void[name] || m[3] == "/":
		case m[1] == "":
			open = append(open, name)
		case len(open) == 0 || open[len(open)-1] != name:
			t.Fatalf("</%s> closes %v", name, open)
		default:
			open = open[:len(open)-1]
		}
	}
	if len(open) > 0 {
		t.Errorf("left open: %v", open)
	}
	seen := make(map[string]bool)
	for _, m := range regexp.MustCompile(`\sid="([^"]*)"`).FindAllStringSubmatch(out, -1) {
		if seen[m[1]] {
			t.Errorf("the id %s occurs twice", m[1])
		}
		seen[m[1]] = true
	}
	for _, m := range regexp.MustCompile(`href="#([^"]*)"`).FindAllStringSubmatch(out, -1) {
		if !seen[m[1]] {
			t.Errorf("#%s leads nowhere", m[1])
		}
	}
	for _, m := range regexp.MustCompile(`<svg[^>]*>`).FindAllString(out, -1) {
		if !strings.Contains(m, "aria-label=") && !strings.Contains(m, "aria-hidden=") {
			t.Errorf("%s has no text alternative and is not hidden", m)
		}
	}
	if n, m := strings.Count(out, "<th>"), strings.Count(out, "<th "); n > 0 || m == 0 {
		t.Errorf("%d table headers without a scope", n)
	}
	if strings.Contains(out, "NaN") || strings.Contains(out, "Inf") || strings.Contains(out, "%!") {
		t.Error("a figure went wrong")
	}
}

func TestPageStaysSmall(t *testing.T) {
	const limit = 5 << 20
	big := sample(24_000)
	wide := sample(600)
	for i := range 150 {
		c := wide.Campaigns[2]
		c.ID = fmt.Sprintf("c-x%05d", i)
		wide.Campaigns = append(wide.Campaigns, c)
	}
	for _, c := range wide.Campaigns[2:3] { // shared by the 150 others: ids as long as an attacker likes
		for i := range c.Accounts {
			id := strings.Repeat("长", 3000) + fmt.Sprint(i)
			for j := range c.Detail.Links {
				if c.Detail.Links[j].Account == c.Accounts[i].ID {
					c.Detail.Links[j].Account = id
				}
			}
			c.Accounts[i].ID, c.Detail.Members[i].ID = id, id
		}
	}
	for range 20_000 {
		wide.Linked = append(wide.Linked, wide.Linked[0])
	}
	for name, r := range map[string]*palladium.Report{"24,000 accounts": big, "154 campaigns": wide} {
		start := time.Now()
		out := pageOf(t, r)
		t.Logf("%s: %d bytes in %v", name, len(out), time.Since(start).Round(time.Millisecond))
		if len(out) > limit {
			t.Errorf("%s: %d bytes, limit %d", name, len(out), limit)
		}
	}
	out := html.UnescapeString(pageOf(t, big))
	if !strings.Contains(out, "The surest 1,000 of 24,000 accounts are shown") {
		t.Error("the cut is not said")
	}
}

func TestPageOfNothing(t *testing.T) {
	for name, r := range map[string]*palladium.Report{
		"empty":        {},
		"bare":         {Campaigns: []palladium.Campaign{{ID: "c", Stage: palladium.StageReview, Detail: &palladium.Detail{}}, {ID: "d", Stage: palladium.StageWatch}}, Linked: []palladium.Linked{{ID: "l"}}},
		"not a number": {Campaigns: []palladium.Campaign{{ID: "c", Stage: palladium.StageAct, OperatorP: math.NaN(), ExtractionP: math.Inf(1), Evidence: []palladium.Evidence{{Weight: math.NaN()}}, Detail: &palladium.Detail{Features: []palladium.Feature{{Value: math.NaN()}, {Value: math.Inf(1)}}, Days: []palladium.OperatorTrial{{E: 0}, {E: math.Inf(1)}, {P: math.NaN(), E: math.NaN()}}}}}},
	} {
		var b bytes.Buffer
		if err := HTML(&b, r, Meta{}); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if out := b.String(); strings.Contains(out, "NaN") || strings.Contains(out, "%!") {
			t.Errorf("%s: a figure went wrong", name)
		}
		for _, c := range r.Campaigns {
			explained(t, r, c.ID, Options{})
		}
		textOf(t, r, Options{})
	}
}

func TestDrawingIsBoundedAndInside(t *testing.T) {
	for _, n := range []int{2, 40, 3000} {
		links := sample(n).Campaigns[2].Detail.Links
		g := draw(links, maxNodes, 800, 540)
		if got := len(g.tokens) + len(g.accounts); got > maxNodes || got != len(g.at) || len(g.edges) == 0 && n > 2 {
			t.Errorf("%d accounts: %d nodes, %d places, %d edges", n, got, len(g.at), len(g.edges))
		}
		for _, p := range g.at {
			if !(p.x >= 0 && p.x <= 800 && p.y >= 0 && p.y <= 540) {
				t.Fatalf("%d accounts: a node at %v", n, p)
			}
		}
		for _, e := range g.edges {
			if e.token >= len(g.tokens) || e.account >= len(g.accounts) {
				t.Fatalf("an edge to nowhere: %v", e)
			}
		}
	}
}

func TestTimelineIsMergedWithoutLoss(t *testing.T) {
	c := build("c", palladium.StageAct, 10, time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC), time.Date(2026, 12, 1, 0, 0, 0, 0, time.UTC), 5)
	out, step := merge(c.Detail.Timeline, maxBars)
	var a, b palladium.Draw
	for _, w := range c.Detail.Timeline {
		a.Exchanges, a.Tokens.Output = a.Exchanges+w.Exchanges, a.Tokens.Output+w.Tokens.Output
	}
	for _, w := range out {
		b.Exchanges, b.Tokens.Output = b.Exchanges+w.Exchanges, b.Tokens.Output+w.Tokens.Output
	}
	if len(out) > maxBars || a != b || step%(6*time.Hour) != 0 {
		t.Errorf("%d steps of %v hold %v, want at most %d with %v", len(out), step, b, maxBars, a)
	}
}

func TestTimelineSaysWhatItLeavesOut(t *testing.T) {
	first, last := time.Date(2026, 5, 1, 0, 0, 0, 0, time.UTC), time.Date(2026, 5, 20, 0, 0, 0, 0, time.UTC)
	c := build("c", palladium.StageAct, 10, first, last, 5)
	d := datesOf(first, last)
	if v := newTimeline(&c, d, maxBars); v.Earlier != "" {
		t.Errorf("a whole timeline is said to lack something: %s", v.Earlier)
	}
	c.Detail.Timeline = c.Detail.Timeline[len(c.Detail.Timeline)/2:]
	at := first.Add(time.Hour)
	c.DetectedAt = &at
	v := newTimeline(&c, d, maxBars)
	if !strings.Contains(v.Earlier, "drawn before") || v.Mark != "" || !strings.Contains(v.Detected, "1"+nb+"May") {
		t.Errorf("half a timeline: %q, detected %q at %q", v.Earlier, v.Detected, v.Mark)
	}
}

func BenchmarkPageOf24000(b *testing.B) {
	r := sample(24_000)
	for b.Loop() {
		if err := HTML(&bytes.Buffer{}, r, Meta{}); err != nil {
			b.Fatal(err)
		}
	}
}
