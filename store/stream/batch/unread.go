package batch

import (
	"errors"
	"fmt"
	"sync"
	"time"
)

// Unread counts the batches that readers could not read and passed over, once for each reader that met one. It is safe for concurrent
// use; the zero Unread has met none.
type Unread struct {
	mu             sync.Mutex
	damaged, newer passed
	told           time.Time
}

// passed are batches that were passed over for one reason.
type passed struct {
	n    int64
	at   uint64 // position of the last of them
	when time.Time
}

// How often the log is told of batches that are passed over, and for how long the last one shows in health.
const (
	tellUnread = time.Minute
	showUnread = time.Hour
)

// Add counts the batch at a position that could not be read because of err. It reports how many there were by now, and whether the log
// is to be told: of the first at once, and of more that follow at most once a minute.
func (u *Unread) Add(at uint64, err error, now time.Time) (n int64, tell bool) {
	u.mu.Lock()
	defer u.mu.Unlock()
	p := &u.damaged
	if errors.Is(err, ErrFormat) {
		p = &u.newer
	}
	first := p.n == 0
	p.n++
	p.at, p.when = at, now
	if tell = first || now.Sub(u.told) >= tellUnread; tell {
		u.told = now
	}
	return u.damaged.n + u.newer.n, tell
}

// Counts returns how many were passed over since they were damaged, and since they were of a newer format.
func (u *Unread) Counts() (damaged, newer int64) {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.damaged.n, u.newer.n
}

// Health reports whether none was passed over within the last hour, and says what to do about those that were.
func (u *Unread) Health(now time.Time) (ok bool, says string) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if p := u.newer; p.n > 0 && now.Sub(p.when) < showUnread {
		says = fmt.Sprintf("batches of a newer version were passed over, as this one does not read their format: %d since the start, the last at position %d: "+
			"update this process to the version of the gateways and taps that write them; until then what they observe is not looked at here", p.n, p.at)
	}
	if p := u.damaged; p.n > 0 && now.Sub(p.when) < showUnread {
		if says != "" {
			says += "; "
		}
		says += fmt.Sprintf("damaged batches were passed over: %d since the start, the last at position %d: "+
			"look at the disks of the stream's servers, and at what else writes to its subject", p.n, p.at)
	}
	if says != "" {
		return false, says
	}
	return true, fmt.Sprintf("passed over since the start: %d", u.damaged.n+u.newer.n)
}
