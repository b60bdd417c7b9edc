package measure_test

import (
	"bufio"
	"compress/gzip"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/palladium-guard/palladium"
	"github.com/palladium-guard/palladium/traffic/measure"
)

// dataDir finds ../shared/data beside the repository, or skips the test.
func dataDir(t testing.TB) string {
	t.Helper()
	dir, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	for ; ; dir = filepath.Dir(dir) {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			break
		}
		if dir == filepath.Dir(dir) {
			t.Skip("no go.mod above the test")
		}
	}
	dir = filepath.Join(filepath.Dir(dir), "shared", "data")
	if _, err := os.Stat(dir); err != nil {
		t.Skip("the evaluation data is not beside the repository: ../shared/data")
	}
	return dir
}

// prompts returns up to limit prompts of one data file.
func prompts(t testing.TB, path string, limit int) []string {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	lines := bufio.NewScanner(z)
	lines.Buffer(nil, 16<<20)
	for lines.Scan() && len(out) < limit {
		var r struct {
			Text, Prompt, Instruction, Input, Question, Jinja string
			Turns                                             []string
		}
		if err := json.Unmarshal(lines.Bytes(), &r); err != nil {
			t.Fatal(err)
		}
		s := r.Text + r.Prompt + r.Question + r.Jinja + r.Instruction
		if r.Input != "" {
			s += "\n" + r.Input
		}
		if len(r.Turns) > 0 {
			out = append(out, r.Turns...)
			continue
		}
		out = append(out, s)
	}
	if err := lines.Err(); err != nil {
		t.Fatal(err)
	}
	return out
}

// Each class of cue must be rare among people: under 2 % of the prompts of each set.
func TestCueRates(t *testing.T) {
	dir, m := dataDir(t), newMeter(t)
	show := os.Getenv("PALLADIUM_SHOW_CUES") != ""
	for _, kind := range []string{"human", "distill"} {
		files, err := filepath.Glob(filepath.Join(dir, kind, "*.gz"))
		if err != nil {
			t.Fatal(err)
		}
		for _, path := range files {
			name := strings.TrimSuffix(filepath.Base(path), ".jsonl.gz")
			all := prompts(t, path, 20_000)
			var met [16]int
			o := new(palladium.Observation)
			for _, p := range all {
				m.Measure(&palladium.Exchange{Messages: []palladium.Message{{Role: "user", Text: p}}}, o)
				for i := range met {
					if o.Cues>>i&1 != 0 {
						met[i]++
						if show && kind == "human" {
							t.Logf("%v %.400q", measure.CueNames(1<<i), p)
						}
					}
				}
			}
			var says []string
			for i, n := range met {
				if n == 0 {
					continue
				}
				share := float64(n) / float64(len(all))
				says = append(says, fmt.Sprintf("%s %.2f%%", measure.CueNames(1 << i)[0], 100*share))
				if kind == "human" && share >= 0.02 && n > 2 {
					t.Errorf("%s: %.1f%% of people's prompts show %v", name, 100*share, measure.CueNames(1<<i))
				}
			}
			t.Logf("%-7s %-24s %6d prompts: %s", kind, name, len(all), strings.Join(says, ", "))
		}
	}
}
