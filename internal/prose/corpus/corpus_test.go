package corpus

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"
)

// data returns the folder of real data beside the repository, or skips.
func data(t testing.TB) string {
	t.Helper()
	dir, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	for ; dir != filepath.Dir(dir); dir = filepath.Dir(dir) {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err != nil {
			continue
		}
		path := filepath.Join(dir, "..", "shared", "data")
		if _, err := os.Stat(path); err != nil {
			break
		}
		return path
	}
	t.Skip("no ../shared/data beside the repository: real text is not tested")
	return ""
}

func TestHalvesAndSidesAreApart(t *testing.T) {
	dir := data(t)
	key := func(f Form) string { return strings.Join(f.Parts, "\x00") }
	owner := map[string]string{}
	for half := range 2 {
		c, err := Load(os.DirFS(dir), half)
		if err != nil {
			t.Fatal(err)
		}
		t.Logf("half %d: %d threads, %d asks, %d intents, %d forms of applications, %d of attackers, %d and %d slot texts, %d generated, %d benchmarks (%d, …), %d shapes, %d gaps",
			half, len(c.Threads), len(c.Asks), len(c.Support), len(c.AppForms), len(c.Forms), len(c.AppSlots), len(c.Slots), len(c.Generated), len(c.Benches), len(c.Benches[0]), len(c.Loads), len(c.Gaps))
		if len(c.Threads) < 300 || len(c.Forms) < 60 || len(c.AppForms) < 60 || len(c.Slots) < 2000 || len(c.AppSlots) < 2000 || len(c.Loads) < 40 || len(c.Generated) < 1500 {
			t.Error("a part of the corpus is too small")
		}
		for side, forms := range map[string][]Form{"app": c.AppForms, "attacker": c.Forms} {
			for _, f := range forms {
				mine := side + string(rune('0'+half))
				if o := owner[key(f)]; o != "" && o != mine {
					t.Errorf("form of %s is also of %s: %.60q", mine, o, f.Parts[0])
				}
				owner[key(f)] = mine
			}
		}
	}
}

func TestLoadSaysWhatIsMissing(t *testing.T) {
	if _, err := Load(fstest.MapFS{}, 0); err == nil || !strings.Contains(err.Error(), "data folder") {
		t.Errorf("error %v", err)
	}
	if _, err := Load(fstest.MapFS{}, 2); err == nil {
		t.Error("half 2 accepted")
	}
}

func TestJinjaParts(t *testing.T) {
	for _, c := range []struct {
		in   string
		want int
	}{
		{"Read this passage with care and answer: {{ passage }} Question: {{q}} ||| {{a}}", 3},
		{"{% if x %} Decide whether the premise below supports it: {{p}} {% endif %}||| y", 2},
		{"{{a}}", 0}, {"no slot in this one at all, friends ||| b", 0}, {"open {{ never closed in this text of words", 0},
	} {
		if got := jinjaParts(c.in); len(got) != c.want {
			t.Errorf("%q: %q", c.in, got)
		}
	}
}

func FuzzJinjaParts(f *testing.F) {
	f.Add("a {{b}} c {% d %} {# e #} { f ||| g")
	f.Fuzz(func(_ *testing.T, s string) { jinjaParts(s) })
}
