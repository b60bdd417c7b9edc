package serving

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/palladium-guard/palladium/store/journal"
)

// A journal that takes nothing ends readiness and says why; one that could not be shortened only tells.
func TestBudgetsPart(t *testing.T) {
	full := errors.New("no space left on device")
	for _, c := range []struct {
		err        error
		ok, needed bool
		says       string
	}{
		{nil, true, true, ""},
		{fmt.Errorf("%w: %w", journal.ErrFailed, full), false, true, "see to its disk: no space left"},
		{fmt.Errorf("shorten the journal: %w", full), false, false, "shorten the journal: no space left"},
	} {
		if p := budgetsPart(c.err); p.OK != c.ok || p.Needed != c.needed || !strings.Contains(p.Says, c.says) {
			t.Errorf("%v: %+v", c.err, p)
		}
	}
}
