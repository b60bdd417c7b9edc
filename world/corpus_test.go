package world

import (
	"os"
	"path/filepath"
	"testing"
)

func TestRealTextPlays(t *testing.T) {
	dir := filepath.Join("..", "..", "shared", "data")
	if _, err := os.Stat(dir); err != nil {
		t.Skip("no ../shared/data beside the repository: worlds of real text are not tested")
	}
	c, err := LoadCorpus(os.DirFS(dir), 1)
	if err != nil {
		t.Fatal(err)
	}
	s, _ := Preset("mixed")
	s.Benign, s.Days = Population(400), 5
	w, err := New(s, c)
	if err != nil {
		t.Fatal(err)
	}
	prompts, n := map[string]string{}, 0
	for e, m := range w.Marked() {
		check(t, e)
		if m.Harvest && e.Outcome.Status == 200 {
			n++
			prompts[e.Messages[0].Text] = e.Account
		}
	}
	for e, m := range w.Marked() {
		if m.Campaign < 0 {
			if _, shared := prompts[e.Messages[0].Text]; shared && len(e.Messages[0].Text) > 60 {
				t.Errorf("%s, honest, says what a campaign says: %.80q", e.Account, e.Messages[0].Text)
			}
		}
	}
	if len(prompts) < n/3 {
		t.Errorf("%d distinct prompts of %d", len(prompts), n)
	}
	if truth := w.Truth(); len(truth.Campaigns) != 4 {
		t.Errorf("%d campaigns", len(truth.Campaigns))
	}
}
