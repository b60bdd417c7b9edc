package live

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/palladium-guard/palladium"
	"github.com/palladium-guard/palladium/store/stream"
)

// A detector whose stream has lost its end, or was made anew, goes on with what is there, and what it knew stays known.
func TestGoesOnOverGap(t *testing.T) {
	ctx := context.Background()
	put := func(s *stream.Stream, from, to uint64) {
		t.Helper()
		p := s.Publisher("test")
		for id := from; id <= to; id++ {
			o := &palladium.Observation{ID: id, Time: time.Date(2026, 5, 4, 0, 0, int(id), 0, time.UTC).UnixMilli(), Account: "a"}
			if err := p.ObserveWait(ctx, o); err != nil {
				t.Fatal(err)
			}
		}
		if err := p.Flush(ctx); err != nil {
			t.Fatal(err)
		}
	}
	for name, older := range map[string]bool{"its end was lost": true, "made anew": false} {
		t.Run(name, func(t *testing.T) {
			other, dir := t.TempDir(), t.TempDir()
			var is *stream.Stream
			if older {
				is = openStream(t, other)
				put(is, 5, 12)
				time.Sleep(1100 * time.Millisecond) // positions begin at the second in which a stream is made
			}
			was := openStream(t, t.TempDir())
			put(was, 1, 10)
			end, err := was.Last(ctx)
			if err != nil {
				t.Fatal(err)
			}
			var said bytes.Buffer
			opt := Options{Dir: dir, Key: [32]byte{7}, Log: slog.New(slog.NewTextHandler(&said, nil))}
			d, err := Open(opt)
			if err != nil {
				t.Fatal(err)
			}
			until(t, d, was, end)
			if err := was.Close(); err != nil {
				t.Fatal(err)
			}
			if !older {
				time.Sleep(1100 * time.Millisecond)
				is = openStream(t, other)
				put(is, 5, 12)
			}
			defer is.Close()
			if d, err = Open(opt); err != nil {
				t.Fatal(err)
			}
			run, cancel := context.WithTimeout(ctx, 20*time.Second)
			defer cancel()
			done := make(chan error, 1)
			go func() { done <- d.Run(run, is) }()
			for d.Figures().Taken < 12 && run.Err() == nil {
				time.Sleep(5 * time.Millisecond)
			}
			cancel()
			if err := <-done; err != nil && !errors.Is(err, context.Canceled) {
				t.Fatal(err)
			}
			if f := d.Figures(); f.Taken != 12 || f.Twice != 6 || f.Gaps != 1 || !strings.Contains(said.String(), "observations were lost") {
				t.Errorf("%+v\n%s", f, said.String())
			}
		})
	}
}
