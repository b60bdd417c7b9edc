package main

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/palladium-guard/palladium"
	"github.com/palladium-guard/palladium/app"
	"github.com/palladium-guard/palladium/traffic/tap/file"
)

func TestPlain(t *testing.T) {
	for in, want := range map[string]string{
		"a b":              "a b",
		"a\x1b[2Jb\nc":     `a\x1b[2Jb\nc`,
		"a\u202eb\x00\x7f": `a\u202eb\x00\x7f`,
		"ümlaut":           "ümlaut",
	} {
		if got := plain(in); got != want {
			t.Errorf("%q: got %q, want %q", in, got, want)
		}
	}
}

func TestThousands(t *testing.T) {
	for n, want := range map[int64]string{0: "0", 999: "999", 1000: "1,000", 1234567: "1,234,567", -1000: "-1,000", -999: "-999"} {
		if got := thousands(n); got != want {
			t.Errorf("%d: got %s, want %s", n, got, want)
		}
	}
}

func TestProgressSaysHowFarItIs(t *testing.T) {
	p := file.Progress{Read: 50, Total: 200, Exchanges: 1_200_000, Rejected: 3}
	for _, c := range []struct {
		width int
		since time.Duration
		p     file.Progress
		want  string
	}{
		{0, 10 * time.Second, p, "reading  25 %, 30s left, 1,200,000 exchanges, 120,000/s, 3 skipped"},
		{120, 10 * time.Second, p, "reading [======                  ]  25 %, 30s left, 1,200,000 exchanges, 120,000/s, 3 skipped"},
		{30, 10 * time.Second, p, "reading  25 %, 30s left, 1,20"},
		{0, 0, file.Progress{}, "reading 0 exchanges"},
		{0, 0, file.Progress{Looking: true, Read: 3, Total: 2}, "looking for accounts 100 %"},
	} {
		v := &watcher{width: c.width}
		if got := v.describe(c.p, c.since); got != c.want {
			t.Errorf("got  %q\nwant %q", got, c.want)
		}
	}
}

func TestTheBarGivesWayToLines(t *testing.T) {
	var b bytes.Buffer
	v := newWatcher(&b, false)
	v.width, v.shown = 80, time.Time{}
	v.progress(file.Progress{Read: 1, Total: 4})
	v.reject(palladium.Reject{File: "a\n.jsonl", Line: 7, Reason: "invalid JSON"})
	v.kept(app.Kept{Exchanges: 1500, Upto: time.Date(2026, 5, 3, 0, 0, 0, 0, time.UTC)})
	v.close()
	want := "\r\x1b[Kreading  25 %, 0 exchanges\r\x1b[Kskipped a\\n.jsonl:7: invalid JSON\nkept: 1,500 exchanges up to 2026-05-03T00:00:00Z\n"
	if b.String() != want {
		t.Errorf("got %q", b.String())
	}
}

func TestReasonsAreCountedApartUpToALimit(t *testing.T) {
	var b bytes.Buffer
	v := newWatcher(&b, false)
	for i := range 200 {
		v.reject(palladium.Reject{File: "f", Reason: strings.Repeat("x", i) + fmt.Sprint(i)})
	}
	v.close()
	if len(v.byReason) > reasons+1 || len(v.sample) != listed || !strings.Contains(b.String(), "skipped in all: 150, other reasons") {
		t.Errorf("%d reasons, %d samples", len(v.byReason), len(v.sample))
	}
}
