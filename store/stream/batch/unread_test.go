package batch

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

// Each is counted, the log is told of the first of each kind and then once a minute, and health says for an hour what to do.
func TestUnread(t *testing.T) {
	var u Unread
	begin := time.Date(2026, 5, 4, 0, 0, 0, 0, time.UTC)
	if ok, says := u.Health(begin); !ok {
		t.Error(says)
	}
	newer, damaged := fmt.Errorf("read: %w", ErrFormat), fmt.Errorf("read: %w", ErrBatch)
	for i, c := range []struct {
		after time.Duration
		err   error
		tell  bool
	}{
		{0, newer, true}, {time.Second, newer, false}, {2 * time.Second, damaged, true}, {3 * time.Second, damaged, false},
		{62 * time.Second, newer, true}, {63 * time.Second, damaged, false}, {30 * time.Minute, damaged, true},
	} {
		if n, tell := u.Add(uint64(100+i), c.err, begin.Add(c.after)); n != int64(i+1) || tell != c.tell {
			t.Errorf("%d: %d counted, told %v", i, n, tell)
		}
	}
	if damaged, newer := u.Counts(); damaged != 4 || newer != 3 {
		t.Errorf("%d damaged, %d newer", damaged, newer)
	}
	for _, c := range []struct {
		after time.Duration
		says  []string
		ok    bool
	}{
		{31 * time.Minute, []string{"3 since the start, the last at position 104: update this process", "4 since the start, the last at position 106: look at the disks"}, false},
		{70 * time.Minute, []string{"damaged"}, false},
		{91 * time.Minute, []string{"passed over since the start: 7"}, true},
	} {
		ok, says := u.Health(begin.Add(c.after))
		for _, part := range c.says {
			if ok != c.ok || !strings.Contains(says, part) {
				t.Errorf("after %v: %v, %q", c.after, ok, says)
			}
		}
		if c.after == 70*time.Minute && strings.Contains(says, "newer") {
			t.Errorf("an old one still shows: %q", says)
		}
	}
}
