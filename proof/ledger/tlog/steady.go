package tlog

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/palladium-guard/palladium/proof/ledger"
)

// Steady is a Writer that outlives a failed write: it opens the log anew, as a process does that is started again, with the same
// checks of what is there. It is for processes that run for long; its methods may be called from several goroutines.
type Steady struct {
	files  *Files
	open   atomic.Pointer[Writer] // nil: a write has failed, and the log could not be opened since
	why    atomic.Pointer[error]  // of that
	closed atomic.Bool
	again  sync.Mutex // one opens; the others do not wait for it
	tried  time.Time  // when it was opened last; again guards it
}

// reopenEvery is the least time between two attempts to open the log anew.
const reopenEvery = time.Second

// Steady opens the log for writing, as Open does.
func (f *Files) Steady(ctx context.Context) (*Steady, error) {
	w, err := f.Open(ctx)
	if err != nil {
		return nil, err
	}
	s := &Steady{files: f}
	s.open.Store(w)
	return s, nil
}

// Append appends as Log.Append does. After a write that failed it returns what wraps ErrStopped until the log can be opened again,
// which an Append attempts. What was refused may be in the log all the same, as after any error of a write.
func (s *Steady) Append(ctx context.Context, statement ledger.Statement) (ledger.Receipt, error) {
	w, err := s.writer(ctx)
	if err != nil {
		return ledger.Receipt{}, err
	}
	r, err := w.Append(ctx, statement)
	if errors.Is(err, ErrStopped) && s.open.CompareAndSwap(w, nil) {
		s.why.Store(&err)
		_ = w.Close() // gives the folder free; what it says was said
	}
	return r, err
}

// writer returns the open log, and opens it where a write has failed before.
func (s *Steady) writer(ctx context.Context) (*Writer, error) {
	if w := s.open.Load(); w != nil {
		return w, nil
	}
	if s.closed.Load() {
		return nil, ErrClosed
	}
	if !s.again.TryLock() {
		return nil, s.stopped()
	}
	defer s.again.Unlock()
	if w := s.open.Load(); w != nil {
		return w, nil
	}
	if time.Since(s.tried) < reopenEvery {
		return nil, s.stopped()
	}
	defer func() { s.tried = time.Now() }()
	w, err := s.files.Open(ctx)
	if err != nil {
		if ctx.Err() == nil {
			err = fmt.Errorf("%w: %w", ErrStopped, err)
			s.why.Store(&err)
		}
		return nil, s.stopped()
	}
	s.open.Store(w)
	if s.closed.Load() && s.open.CompareAndSwap(w, nil) {
		return nil, errors.Join(ErrClosed, w.Close())
	}
	return w, nil
}

// stopped is why the log takes nothing.
func (s *Steady) stopped() error {
	if why := s.why.Load(); why != nil {
		return *why
	}
	return ErrStopped
}

// Close closes the log.
func (s *Steady) Close() error {
	if s.closed.Swap(true) {
		return ErrClosed
	}
	if w := s.open.Swap(nil); w != nil {
		return w.Close()
	}
	return nil
}
