package report

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/palladium-guard/palladium"
)

func textOf(t *testing.T, r *palladium.Report, o Options) string {
	t.Helper()
	var b bytes.Buffer
	if err := Text(&b, r, o); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func explained(t *testing.T, r *palladium.Report, id string, o Options) string {
	t.Helper()
	var b bytes.Buffer
	if err := Explain(&b, r, id, o); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// flat is s with all white space made one space, so that a test does not depend on where a line breaks.
func flat(s string) string { return strings.Join(strings.Fields(s), " ") }

// inOrder reports the first of parts that s does not hold after the part before it.
func inOrder(s string, parts ...string) string {
	for _, p := range parts {
		i := strings.Index(s, p)
		if i < 0 {
			return p
		}
		s = s[i+len(p):]
	}
	return ""
}

func TestTheFirstLineIsTheAnswer(t *testing.T) {
	campaigns := func(stages ...palladium.Stage) (cs []palladium.Campaign) {
		for i, s := range stages {
			cs = append(cs, palladium.Campaign{ID: fmt.Sprint("c", i), Stage: s})
		}
		return cs
	}
	act, review, watch := palladium.StageAct, palladium.StageReview, palladium.StageWatch
	for _, c := range []struct {
		campaigns []palladium.Campaign
		linked    int
		want      string
	}{
		{nil, 0, "No campaign to act on or to review."},
		{nil, 1, "No campaign to act on or to review; 1 linked group that is not extraction."},
		{campaigns(act, review), 3, "2 campaigns: 1 to act on, 1 to review; 3 linked groups that are not extraction."},
		{campaigns(act), 0, "1 campaign: 1 to act on."},
		{campaigns(review, review), 0, "2 campaigns: 2 to review."},
		{campaigns(watch), 0, "No campaign to act on or to review; 1 candidate to watch."},
		{campaigns(act, watch, watch), 2, "1 campaign: 1 to act on; 2 candidates to watch; 2 linked groups that are not extraction."},
	} {
		r := &palladium.Report{Campaigns: c.campaigns, Linked: make([]palladium.Linked, c.linked)}
		first, _, _ := strings.Cut(textOf(t, r, Options{Width: 40}), "\n")
		if first != c.want {
			t.Errorf("got %q, want %q", first, c.want)
		}
	}
}

func TestClaims(t *testing.T) {
	end := time.Date(2026, 5, 31, 0, 0, 0, 0, time.UTC)
	members := make([]palladium.Member, 412)
	c := palladium.Campaign{Stage: palladium.StageAct, Accounts: members, First: end.Add(-28 * 24 * time.Hour), Last: end.Add(-time.Hour), Tokens: palladium.Tokens{Output: 31e6}}
	quiet, single, odd := c, c, c
	quiet.Stage, quiet.Last = palladium.StageReview, end.Add(-19*24*time.Hour)
	single.Accounts, single.Last = members[:1], single.First.Add(time.Hour)
	odd.Stage, odd.Tokens, odd.Exchanges = palladium.StageWatch, palladium.Tokens{}, 1
	for _, x := range []struct {
		c    palladium.Campaign
		want string
	}{
		{c, "412 accounts are one operator and are extracting: 31.0 M output tokens since 3 May, still running."},
		{quiet, "412 accounts look like one operator and may be extracting: 31.0 M output tokens from 3 May to 12 May, silent since."},
		{single, "1 account is extracting: 31.0 M output tokens on 3 May, silent since."},
		{odd, "412 accounts may be one operator; too little is known to call it extraction: 1 exchange since 3 May, still running."},
	} {
		got := strings.ReplaceAll(claim(&x.c, len(x.c.Accounts), end, datesOf(c.First, end)), nb, " ")
		if got != x.want {
			t.Errorf("got %q, want %q", got, x.want)
		}
	}
}

func TestTextTellsTheWholeCase(t *testing.T) {
	out := flat(textOf(t, sample(412), Options{Rejects: sampleRejects()}))
	if miss := inOrder(out,
		"2 campaigns: 1 to act on, 1 to review; 2 candidates to watch; 3 linked groups",
		"Read 12,345,678 exchanges of 200,412 accounts, 1 May 2026 to 30 May 2026 (UTC); 14 records were skipped.",
		"ACT c-7f3a91", "412 accounts are one operator and are extracting", "since 3 May, still running.",
		"overwhelming: accounts that act on their own would look this much alike 1 time in 3 billion",
		"Extract AI Model (AML.T0024.002)",
		"Why we think so", "Sign-up data 370 of 412 1,600×", "Timing and load 412 of 412 450×",
		"What speaks against it", "12 % of the exchanges are ordinary",
		"What to do", "palladium explain c-7f3a91", "--html",
		"REVIEW c-1b22e0", "may be extracting", "What speaks against it",
		"To watch", "c-90aa01", "too little is known",
		"One operator, not extraction", "l-024c 212 accounts: A reseller",
		"Skipped", "may/api-03.jsonl.gz:88121", "and 11 more",
	); miss != "" {
		t.Errorf("%q is missing, or stands too early, in:\n%s", miss, out)
	}
}

func TestTextFitsItsWidth(t *testing.T) {
	r := sample(412)
	for _, width := range []int{0, 40, 64, 80, 120, 500} {
		limit := min(max(width, 40), 120)
		if width == 0 {
			limit = 80
		}
		for _, out := range []string{textOf(t, r, Options{Width: width, Rejects: sampleRejects()}), explained(t, r, "c-7f3a91", Options{Width: width}),
			explained(t, r, "acct-7f3a91-00100", Options{Width: width})} {
			for i, line := range strings.Split(out, "\n") {
				if n := columns(line); n > limit && i > 0 && strings.Contains(strings.TrimSpace(line), " ") && !strings.Contains(line, "palladium ") {
					t.Errorf("width %d: a line has %d columns: %q", width, n, line)
				}
				if strings.TrimRight(line, " ") != line {
					t.Errorf("width %d: a line ends in spaces: %q", width, line)
				}
			}
		}
	}
}

func TestTextIsPlainWithoutColour(t *testing.T) {
	r := sample(40)
	plain, colour := textOf(t, r, Options{}), textOf(t, r, Options{Color: true})
	if strings.ContainsRune(plain, 0x1b) {
		t.Error("escape codes without colour")
	}
	if !strings.Contains(colour, "\x1b[1;31mACT\x1b[0m") {
		t.Error("no colour where it was asked for")
	}
	var b strings.Builder
	for i := 0; i < len(colour); i++ {
		if colour[i] == 0x1b {
			i += strings.IndexByte(colour[i:], 'm')
			continue
		}
		b.WriteByte(colour[i])
	}
	if b.String() != plain {
		t.Error("colour changes the words or their places")
	}
}

func TestTextIsInert(t *testing.T) {
	r := sample(20)
	r.Campaigns[2].Evidence[0].Says = "quoted \x1b[2J\u202e"
	r.Campaigns[2].CounterEvidence[0].Says = "\x1b]8;;http://x\x07"
	r.Linked[0].WhyNotExtraction = "\x1b[31m"
	out := []string{textOf(t, r, Options{Rejects: []palladium.Reject{{File: "\x1b[1m", Reason: "\u009b1m"}}, HTMLPath: "\x1b"}), explained(t, r, "c-7", Options{})}
	for _, id := range hostileIDs()[:11] {
		out = append(out, explained(t, r, id, Options{}))
	}
	for _, s := range out {
		for _, c := range s {
			if c != '\n' && c < 0x20 || c >= 0x7f && c <= 0x9f || c >= 0x202a && c <= 0x202e {
				t.Fatalf("the text holds %U", c)
			}
		}
	}
}

func TestManyCampaignsStayReadable(t *testing.T) {
	r := sample(30)
	for i := range 300 {
		r.Campaigns = append(r.Campaigns, palladium.Campaign{ID: fmt.Sprintf("x-%03d", i), Stage: palladium.StageReview})
		r.Linked = append(r.Linked, palladium.Linked{ID: fmt.Sprintf("m-%03d", i)})
	}
	out := textOf(t, r, Options{Full: 3})
	if n := strings.Count(out, "Why we think so"); n != 3 {
		t.Errorf("%d campaigns in full, want 3", n)
	}
	for i := range 300 {
		if !strings.Contains(out, fmt.Sprintf("x-%03d", i)) {
			t.Fatalf("campaign %d is not named", i)
		}
	}
	if !strings.Contains(out, "and 293 more groups") {
		t.Error("the linked groups are not cut, or the cut is not said")
	}
}

func TestExplainACampaign(t *testing.T) {
	r := sample(412)
	full := explained(t, r, "c-7f3a91", Options{})
	if full != explained(t, r, "c-7", Options{}) {
		t.Error("a unique beginning is not taken for the campaign")
	}
	if miss := inOrder(flat(full), "412 accounts are one operator", "Which evidence joined the accounts", "Sign-up data", "3 independent kinds agree", "Strongest links", "work list 1",
		"What speaks against it", "12 %", "Test 1: is it one operator?", "1 time in 3 billion", "the two are averaged", "- day, ", "412 accounts, by chance", "factor", "weaker windows",
		"Test 2: is it extraction?", "1 time in 10,000", "Compared with: 212 linked groups", "topic coverage 412, against 96 and 240: above the usual range",
		"Why it is at act", "one operator below 1 in a million", "What would take it off the list", "You vouch", "Accounts", "400 between"); miss != "" {
		t.Errorf("%q is missing, or stands too early, in:\n%s", miss, full)
	}
	r.Campaigns[2].Detail = nil
	if out := explained(t, r, "c-7f3a91", Options{}); !strings.Contains(out, "Nothing more was kept") {
		t.Error("a campaign without detail does not say so")
	}
	if out := explained(t, r, "c-90aa01", Options{}); !strings.Contains(flat(out), noCounter) {
		t.Error("the absence of counter-evidence is not said")
	}
}

func TestExplainAnAccount(t *testing.T) {
	r := sample(412)
	out := flat(explained(t, r, "acct-7f3a91-00100", Options{}))
	if miss := inOrder(out, "Account acct-7f3a91-00100 is one of 412 in campaign c-7f3a91", "sure to belong", "Its own evidence", "others", "independent kinds agree", "What it shares",
		"What speaks against the campaign", "What would take this account off the list", "vouch for"); miss != "" {
		t.Errorf("%q is missing, or stands too early, in:\n%s", miss, out)
	}
	out = flat(explained(t, r, "g1-0003", Options{}))
	if miss := inOrder(out, "is in no campaign", "linked group l-024c", "A reseller"); miss != "" {
		t.Errorf("%q is missing in:\n%s", miss, out)
	}
	seen := func(id string) (palladium.MemberDetail, bool) {
		m := palladium.MemberDetail{ID: id, Exchanges: 31, First: r.Window.From, Last: r.Window.To}
		if id == "shares" {
			m.Evidence = []palladium.Evidence{{Family: palladium.Network, Says: "one address of a campus", Accounts: 55, Weight: 0.4},
				{Family: palladium.Identity, Says: "one card", Accounts: 1, Weight: 4}}
		}
		return m, id == "alone" || id == "shares"
	}
	if out := flat(explained(t, r, "shares", Options{Seen: seen})); !strings.Contains(out, "1 other ") || strings.Contains(out, "1 others") {
		t.Errorf("one other account is not said so in:\n%s", out)
	}
	for id, want := range map[string]string{"alone": "Nothing uncommon", "shares": "One address of a campus"} {
		out := flat(explained(t, r, id, Options{Seen: seen}))
		if miss := inOrder(out, "is in no campaign and in no linked group", "31 exchanges", want); miss != "" {
			t.Errorf("%q is missing in:\n%s", miss, out)
		}
	}
	outside := func(id string) (palladium.MemberDetail, bool) { return palladium.MemberDetail{}, id == "c-9" }
	if out := explained(t, r, "c-9", Options{Seen: outside}); !strings.HasPrefix(out, "Account c-9 is in no campaign") {
		t.Errorf("the beginning of a campaign's id hides the account of that very id:\n%s", out)
	}
	if err := Explain(&bytes.Buffer{}, r, "nobody", Options{Seen: seen}); !errors.Is(err, ErrUnknown) {
		t.Errorf("an account that never occurred gives %v", err)
	}
}

func TestExplainWhatIsNotThere(t *testing.T) {
	r := sample(412)
	for _, c := range []struct {
		id   string
		want error
		says string
	}{
		{"c-90a", ErrAmbiguous, "c-90aa01, c-90ab77"},
		{"c-7f3a92", ErrUnknown, "did you mean c-7f3a91"},
		{"ACCT-7F3A91-00100", ErrUnknown, "did you mean acct-7f3a91-00100"},
		{"something else entirely", ErrUnknown, "--format json"},
		{"", ErrUnknown, "(no name)"},
		{"\x1b[31m", ErrUnknown, `\x1b[31m`},
	} {
		var b bytes.Buffer
		if c.id == "" {
			r.Campaigns = slices.DeleteFunc(r.Campaigns, func(x palladium.Campaign) bool { return x.Stage == palladium.StageAct }) // it holds an account with no name
		}
		err := Explain(&b, r, c.id, Options{})
		if !errors.Is(err, c.want) || !strings.Contains(err.Error(), c.says) || b.Len() > 0 {
			t.Errorf("%q gives %v and %d bytes, want %q in it", c.id, err, b.Len(), c.says)
		}
	}
}

func TestNotes(t *testing.T) {
	notes := []string{"too few accounts to calibrate (2): nothing can be listed", "a file goes on\x1b[2J"}
	want := "Too few accounts to calibrate (2): nothing can be listed. A file goes on"
	if out := flat(textOf(t, sample(12), Options{Notes: notes})); !strings.Contains(out, want) || strings.Contains(out, "\x1b") {
		t.Errorf("no note in %s", out)
	}
	var b strings.Builder
	if err := HTML(&b, sample(12), Meta{Notes: notes}); err != nil || !strings.Contains(b.String(), want) {
		t.Errorf("no note on the page: %v", err)
	}
}
