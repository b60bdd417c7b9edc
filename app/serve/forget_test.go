package serve

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/palladium-guard/palladium"
	"github.com/palladium-guard/palladium/store/catalog"
)

// The detector that decides deletes what ended longer ago than catalog.keep, and with forever nothing.
func TestForgets(t *testing.T) {
	if testing.Short() {
		t.Skip("starts processes")
	}
	for _, c := range []struct {
		keep string
		gone bool
	}{{"forever", false}, {"30d", true}} {
		dir := t.TempDir()
		url := "sqlite:" + filepath.Join(dir, "c.db")
		if err := os.WriteFile(filepath.Join(dir, "token"), []byte(adminKey), 0o600); err != nil {
			t.Fatal(err)
		}
		cat, err := catalog.Open(t.Context(), catalog.Config{URL: url}, nil, true)
		if err != nil {
			t.Fatal(err)
		}
		defer cat.Close()
		now := time.Now().UTC()
		for id, ended := range map[string]time.Time{"old": now.AddDate(0, 0, -100), "new": now.AddDate(0, 0, -10)} {
			if _, err := cat.PutDecision(t.Context(), catalog.Decision{ID: id, Measure: palladium.MeasureObserve, Reason: "r", By: "ana", At: ended.Add(-time.Hour), Expires: ended, State: catalog.StateExpired}); err != nil {
				t.Fatal(err)
			}
		}
		p := startPart(t, dir, "detector", "gateway: {admin: {listen: \"%ADMIN\", token_file: \""+dir+"/token\"}}\nledger: {off: true}\narchive: {off: true}\nenforcement: {hold: 48h}\ncatalog: {url: \""+url+"\", keep: "+c.keep+"}\n")
		there := func(id string) bool {
			_, err := cat.GetDecision(t.Context(), id)
			if err != nil && !errors.Is(err, catalog.ErrNotFound) {
				t.Fatal(err)
			}
			return err == nil
		}
		if c.gone {
			p.until("the old decision being gone", func() bool { return !there("old") })
		} else {
			p.until("this one deciding", func() bool { return strings.Contains(p.said(), "this detector decides") })
			time.Sleep(500 * time.Millisecond)
		}
		if there("old") == c.gone || !there("new") {
			t.Errorf("keep %s: old is there %v, new %v", c.keep, there("old"), there("new"))
		}
		p.kill()
	}
}
