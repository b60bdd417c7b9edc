package serve

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/palladium-guard/palladium/app/live"
)

func TestDetectorPart(t *testing.T) {
	for name, c := range map[string]struct {
		f    live.Figures
		ok   bool
		says string
	}{
		"well":      {live.Figures{Taken: 3}, true, "3 observations taken in; this one decides"},
		"in a look": {live.Figures{Delay: 59 * time.Second}, true, "this one decides"},
		"late":      {live.Figures{Delay: 90 * time.Second, Look: 80 * time.Second}, false, "have waited for 1m30s to be taken in, and detector.max_delay is 1m0s: the last look took 1m20s"},
		"not kept":  {live.Figures{Err: errors.New("no room")}, false, "no room"},
		"both":      {live.Figures{Err: errors.New("no room"), Delay: time.Hour}, false, "no room; observations have waited for 1h0m0s"},
	} {
		if p := detectorPart(c.f, true, time.Minute); p.OK != c.ok || !strings.Contains(p.Says, c.says) {
			t.Errorf("%s: %v, %q", name, p.OK, p.Says)
		}
	}
}
