package evaluation

import (
	"bytes"
	"context"
	"errors"
	"math"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/palladium-guard/palladium"
	"github.com/palladium-guard/palladium/internal/stats"
	"github.com/palladium-guard/palladium/traffic/campaign"
	"github.com/palladium-guard/palladium/world"
	"github.com/palladium-guard/palladium/world/score"
)

func tiny(sections ...Section) Options {
	return Options{Size: Tiny, Sections: sections, Date: time.Date(2026, 5, 4, 0, 0, 0, 0, time.UTC), Version: "v", Commit: "c"}
}

func written(t *testing.T, opt Options) string {
	t.Helper()
	r, err := Run(t.Context(), opt)
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	if err := r.Write(&b); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// figures drops what may differ between two runs: the captions, which hold wall times.
func figures(text string) string {
	return regexp.MustCompile(`(?m)^_.*_$`).ReplaceAllString(text, "")
}

// One run shows that all sections come out, a second one that the figures are the same, whatever the number of workers.
func TestRunIsCompleteAndRepeatable(t *testing.T) {
	opt := tiny()
	var progress, verbose bytes.Buffer
	opt.Progress, opt.Verbose, opt.Workers = &progress, &verbose, 2
	text := written(t, opt)
	for _, want := range []string{"## Summary", "## Frozen settings", "## Campaigns", "Without identity and network", "## Hard negatives", "## Negative controls", "## Baselines",
		"SynchroTrap", "chosen in hindsight", "## Calibration", "operator_p", "extraction_p", "## Outside data", "Not measured", "rules/policy.yaml", "docs/PERFORMANCE.md",
		"version v, commit c", "seed 1000;", "not for the record"} {
		if !strings.Contains(text, want) {
			t.Errorf("the document lacks %q", want)
		}
	}
	if strings.Contains(text, "%!") || strings.Contains(text, "NaN") {
		t.Errorf("the document has a broken figure:\n%s", text)
	}
	if n, want := strings.Count(progress.String(), "\n"), len(plan(&opt)); n != want {
		t.Errorf("%d lines of progress for %d worlds", n, want)
	}
	if !strings.Contains(verbose.String(), "campaign-1") {
		t.Error("nothing is said of campaign-1")
	}
	opt = tiny(Campaigns)
	opt.Workers = 1
	again := figures(written(t, opt))
	if a, b := part(figures(text), "Campaigns"), part(again, "Campaigns"); a != b || a == "" {
		t.Errorf("campaigns differ between two runs:\n%s\n%s", a, b)
	}
	if strings.Contains(again, "## Baselines") {
		t.Error("a section that nobody asked for")
	}
}

// part returns the text of one section.
func part(text, name string) string {
	_, text, _ = strings.Cut(text, "\n## "+name+"\n")
	text, _, _ = strings.Cut(text, "\n## ")
	return strings.TrimSpace(text)
}

func TestRunOnData(t *testing.T) {
	if testing.Short() {
		t.Skip("reads the data folder")
	}
	dir, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	for filepath.Dir(dir) != dir {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			break
		}
		dir = filepath.Dir(dir)
	}
	data := filepath.Join(dir, "..", "shared", "data")
	if _, err := os.Stat(data); err != nil {
		t.Skip("the evaluation data is not beside the repository: ../shared/data")
	}
	opt := tiny(Negatives)
	opt.Data, opt.DataName = os.DirFS(data), "../shared/data"
	text := written(t, opt)
	for _, want := range []string{"half 0 of the data", "--data ../shared/data", "| **all** |", "campaign in the crowd"} {
		if !strings.Contains(text, want) {
			t.Errorf("the document lacks %q", want)
		}
	}
}

func TestRunStops(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := Run(ctx, tiny(Controls)); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want that it was cancelled", err)
	}
}

func TestPlan(t *testing.T) {
	seen := map[uint64]bool{}
	grids, styles := map[cell]int{}, map[string]int{}
	for _, p := range plan(&Options{Seed: DefaultSeed}) {
		s := &p.scenario
		if s.Seed < DefaultSeed || seen[s.Seed] {
			t.Errorf("%s has seed %d, used before or for tuning", s.Name, s.Seed)
		}
		seen[s.Seed] = true
		if p.kind != kindSweep {
			continue
		}
		if len(p.about) != len(s.Campaigns) || len(s.Campaigns) > 3 {
			t.Fatalf("%s: %d campaigns, %d described", s.Name, len(s.Campaigns), len(p.about))
		}
		for i, c := range s.Campaigns {
			if c.Accounts < 60 || c.Rate*c.Days < 47.9 || c.Start+c.Days > s.Days || c.Rate > 41 {
				t.Errorf("%s, campaign %d: %d accounts, %g prompts each, to day %g", s.Name, i, c.Accounts, c.Rate*c.Days, c.Start+c.Days)
			}
			if a := p.about[i]; a.Text != c.Text || a.Camouflage != c.Camouflage {
				t.Errorf("%s, campaign %d is not what is said of it", s.Name, i)
			} else if a.Special == "" {
				grids[cell{Text: a.Text, Camouflage: a.Camouflage, Network: a.Network}]++
				styles[a.Style]++
			}
		}
	}
	if len(grids) != 48 || styles[styleFull] != 96 || styles[styleRandom] != 48 {
		t.Errorf("%d cells, styles %v", len(grids), styles)
	}
	for c, n := range grids {
		if n != 3 {
			t.Errorf("cell %v comes %d times", c, n)
		}
	}
}

func TestSectionsAloneHaveTheSameWorlds(t *testing.T) {
	all := plan(&Options{Seed: 7})
	for _, s := range Sections() {
		for _, p := range plan(&Options{Seed: 7, Sections: []Section{s}}) {
			same := slices.ContainsFunc(all, func(q play) bool { return q.scenario.Seed == p.scenario.Seed && q.scenario.Name == p.scenario.Name })
			if !same {
				t.Errorf("section %s plays %s with a seed of its own", s, p.scenario.Name)
			}
		}
	}
}

func TestParseSections(t *testing.T) {
	if got, err := ParseSections([]string{"campaigns", " outside"}); err != nil || !slices.Equal(got, []Section{Campaigns, Outside}) {
		t.Errorf("got %v, %v", got, err)
	}
	if _, err := ParseSections([]string{"speed"}); err == nil || !strings.Contains(err.Error(), "calibration") {
		t.Errorf("got %v, want an error that names the sections", err)
	}
}

func TestHypercube(t *testing.T) {
	const n = 12
	for d := range 3 {
		parts := map[int]bool{}
		for _, u := range hypercube(n, 3, stats.Rand(1, 2)) {
			parts[int(u[d]*n)] = true
		}
		if len(parts) != n {
			t.Errorf("coordinate %d takes %d of %d parts", d, len(parts), n)
		}
	}
}

func TestTally(t *testing.T) {
	at := time.Unix(0, 0)
	var sum tally
	for _, c := range []score.CampaignScore{
		{Accounts: 100, RecallReview: 1, RecallAct: 0.5, Leak: 0.02, Purity: 1, Parts: 1, DetectedAt: &at},
		{Accounts: 300, RecallReview: 0.6, Leak: 1, Purity: 0.3, Parts: 1}, // merged into another
		{Accounts: 100, Leak: 1},
	} {
		sum.add(&c)
	}
	if sum.recall() != 280.0/500 || sum.found != 1 || sum.merged != 1 || stats.Median(sum.leaks) != 1 || sum.act != 50 {
		t.Errorf("got %+v, recall %g", sum, sum.recall())
	}
	if got := spreadOf(sum.reviews); got != "0.600 / 0.533 / 0.000" {
		t.Errorf("spread %s", got)
	}
	if empty := (&tally{}); !math.IsNaN(empty.recall()) {
		t.Error("recall without campaigns is a number")
	}
}

func TestVerdicts(t *testing.T) {
	for want, g := range map[string]target{
		"met":                  atLeast("a", 0.9, 0.9, ""),
		"**missed by 0.0100**": atLeast("a", 0.9, 0.89, ""),
		"not measured":         atLeast("a", 0.9, math.NaN(), ""),
		"**missed by 3 accounts**": {
			short: 3, unit: "accounts"},
	} {
		if got := g.verdict(); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}

// What is not measured is never called met.
func TestNothingMeasuredIsNothingMet(t *testing.T) {
	for _, g := range (&Results{}).targets() {
		if got := g.verdict(); got != "not measured" {
			t.Errorf("%s: %s without a measurement", g.name, got)
		}
	}
}

func TestLost(t *testing.T) {
	all := []group{
		{members: map[string]int{"a": 50}, stage: palladium.StageAct, truth: ofCampaign},
		{members: map[string]int{"a": 20}, stage: palladium.StageWatch, truth: ofCampaign, facts: campaign.Facts{OperatorRejected: true, Keys: 1}},
		{members: map[string]int{"a": 5, "tool-1": 40}, truth: mixed},
	}
	got := map[string]int{}
	lost([]score.CampaignScore{{ID: "a", Accounts: 100}}, all, got)
	want := map[string]int{"evidence of a single key": 20, "in a group of mostly others that is not listed": 5, inNoGroup: 25}
	for k, n := range want {
		if got[k] != n {
			t.Errorf("%s: %d, want %d", k, got[k], n)
		}
	}
	if len(got) != len(want) {
		t.Errorf("got %v", got)
	}
}

func TestShareBelow(t *testing.T) {
	if got := shareBelow([]float64{0.1, 0.2, 0.01, 1}, 0.1); !strings.HasPrefix(got, "0.500 (") {
		t.Errorf("got %s", got)
	}
	if shareBelow(nil, 0.1) != "–" {
		t.Error("a share of nothing")
	}
}

func TestOwned(t *testing.T) {
	for class, want := range map[world.Class]bool{world.ClassOrganization: true, world.ClassReseller: true, world.ClassTool: false, world.ClassCohort: false} {
		if owned(class) != want {
			t.Errorf("class %s", class)
		}
	}
}

type full struct{}

func (full) Write([]byte) (int, error) { return 0, errors.New("full") }

func TestWriteSaysThatItCouldNot(t *testing.T) {
	if err := (&Results{}).Write(full{}); err == nil {
		t.Error("no error")
	}
}

func TestKept(t *testing.T) {
	own, rest := "# Evaluation\n\nfigures\n", keptMark+"\n\n## Containment\n\nfigures of others\n"
	for _, c := range []struct{ name, old, want string }{
		{"no document", "", ""},
		{"nothing of others", own, ""},
		{"others' part", own + "\n" + rest, "\n" + rest},
	} {
		if got := string(Kept([]byte(c.old))); got != c.want {
			t.Errorf("%s: %q, want %q", c.name, got, c.want)
		}
		if again := string(Kept([]byte(own + c.want))); again != c.want {
			t.Errorf("%s, once more: %q", c.name, again)
		}
	}
}
