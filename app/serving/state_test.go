package serving

import (
	"io"
	"log/slog"
	"time"

	"github.com/palladium-guard/palladium/traffic/budget"
)

func newLog(w io.Writer) *slog.Logger { return slog.New(slog.NewTextHandler(w, nil)) }

// usedToday is the account's output tokens.
func usedToday(s *site) int64 {
	return s.ledger.Used(time.Now(), budget.Account, "acme", budget.Day).Output
}
