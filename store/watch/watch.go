// Package watch tells when a file has changed: written to, replaced, or swapped behind a symbolic link.
package watch

import (
	"context"
	"os"
	"path/filepath"
	"time"

	"github.com/fsnotify/fsnotify"
)

// settle is how long a burst of changes is given to end.
const settle = 5 * time.Millisecond

// File calls changed once for every burst of changes to the file of that path, from one goroutine, until ctx ends. It
// follows notices of the system on the file's folder, and looks at the file itself every so often for file systems that
// give none: every is that interval, zero stands for two seconds. The file need not exist. When File returns, changes
// from then on are seen. Where the system gives no notices at all, the file is looked at twenty times a second.
func File(ctx context.Context, path string, every time.Duration, changed func()) {
	if every <= 0 {
		every = 2 * time.Second
	}
	var events chan fsnotify.Event
	var errs chan error
	w, err := fsnotify.NewWatcher()
	if err == nil {
		err = w.Add(filepath.Dir(path))
		if real, e := filepath.EvalSymlinks(path); e == nil && filepath.Dir(real) != filepath.Dir(path) && err == nil {
			err = w.Add(filepath.Dir(real))
		}
	}
	if err != nil {
		every = min(every, 50*time.Millisecond)
	}
	if w != nil {
		events, errs = w.Events, w.Errors
	}
	last := look(path)
	go func() {
		if w != nil {
			defer w.Close()
		}
		tick := time.NewTicker(every)
		defer tick.Stop()
		var quiet <-chan time.Time
		for {
			select {
			case <-ctx.Done():
				return
			case _, ok := <-events:
				if !ok {
					events = nil
				} else if quiet == nil {
					quiet = time.After(settle)
				}
				continue
			case _, ok := <-errs: // an overflow: look now
				if !ok {
					errs = nil
					continue
				}
			case <-quiet:
				quiet = nil
			case <-tick.C:
			}
			if now := look(path); !now.same(last) {
				last = now
				changed()
			}
		}
	}()
}

// sight is what one look at a file shows.
type sight struct {
	info os.FileInfo // nil when it is not there
}

func look(path string) sight {
	info, err := os.Stat(path)
	if err != nil {
		return sight{}
	}
	return sight{info}
}

func (s sight) same(o sight) bool {
	if s.info == nil || o.info == nil {
		return s.info == nil && o.info == nil
	}
	return os.SameFile(s.info, o.info) && s.info.Size() == o.info.Size() && s.info.ModTime().Equal(o.info.ModTime())
}
