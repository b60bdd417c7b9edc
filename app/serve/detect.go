package serve

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/palladium-guard/palladium"
	"github.com/palladium-guard/palladium/app"
	"github.com/palladium-guard/palladium/app/live"
	"github.com/palladium-guard/palladium/app/telemetry"
	"github.com/palladium-guard/palladium/store/catalog"
	"github.com/palladium-guard/palladium/store/stream/aside"
	"github.com/palladium-guard/palladium/store/stream/snapshot"
)

// leaseTime is how long the leading detector's word holds without being renewed: another takes over after that.
const leaseTime = 6 * time.Second

// detectorLease is the lease's name.
const detectorLease = "detector"

// actEvery is how often policy is carried out although nothing new was found: decisions are renewed before they lapse.
const actEvery = time.Minute

// detect starts the detector. All detectors read the stream, so that one that stands by knows what the leading one knows; only
// the leading one decides.
func (h *house) detect(ctx context.Context) error {
	var leading atomic.Bool
	h.leads = leading.Load
	found := make(chan *palladium.Report, 1)
	opt := live.Options{
		Dir: h.file.Detector.Dir, Key: h.key, Every: h.file.Detector.Every, Without: h.file.Detector.Families(), SaveEvery: h.file.Detector.SaveEvery, Log: h.log,
		Found: func(r *palladium.Report) {
			select {
			case <-found: // an older one that nobody took
			default:
			}
			found <- r
		},
	}
	if h.shared() {
		opt.Shared = snapshot.New(h.stream)
	}
	if h.o.Traces != nil {
		opt.Looked = h.looked
	}
	var err error
	if h.file.Detector.Policy != "" {
		if opt.Policy, err = os.ReadFile(h.file.Detector.Policy); err != nil {
			return fmt.Errorf("read the judge's policy: %w", err)
		}
	}
	if h.det, err = live.Open(opt); err != nil {
		return err
	}
	if err := h.takeJudge(ctx); err != nil {
		return err
	}
	h.work.Go(func() {
		if err := h.det.Run(ctx, source{h.stream}); err != nil && ctx.Err() == nil {
			h.failed <- fmt.Errorf("run the detector: %w", err)
		}
	})
	h.work.Go(func() {
		for h.caughtUp(ctx) {
			err := h.stream.Lead(ctx, detectorLease, h.self, leaseTime, func(ctx context.Context) error {
				leading.Store(true)
				defer leading.Store(false)
				return h.lead(ctx, found)
			})
			if err != nil && ctx.Err() == nil {
				h.log.Warn("this detector decides no more; another may meanwhile", "error", err)
			}
			select {
			case <-ctx.Done():
			case <-time.After(time.Second):
			}
		}
	})
	return nil
}

// near is how many batches a detector may be behind that decides: less than a second of traffic.
const near = 64

// caughtUp waits until the detector has taken in what the stream holds: one that is behind would undo what was decided on what it has
// not seen yet. False: ctx has ended.
func (h *house) caughtUp(ctx context.Context) bool {
	said := false
	for {
		n, err := h.stream.Behind(ctx, h.det.Figures().Position)
		if err == nil && n <= near && h.det.Ready() {
			return true
		}
		if err == nil && !said && n > near {
			said = true
			h.log.Info("this detector decides once it has taken in what waits in the stream", "batches", n)
		}
		select {
		case <-ctx.Done():
			return false
		case <-time.After(250 * time.Millisecond):
		}
	}
}

// lead decides for as long as ctx holds. From when the catalog knows that this detector leads, what one that led before still has to
// write is refused there, also where that was stopped and wakes after its lease.
func (h *house) lead(ctx context.Context, found <-chan *palladium.Report) error {
	if n, err := h.stream.Behind(ctx, h.det.Figures().Position); err != nil || n > near { // it was stopped for a while
		return errors.Join(err, fmt.Errorf("it is %d batches behind", n))
	}
	fenced, err := h.cat.Lead(ctx, detectorLease)
	if err != nil {
		return err
	}
	h.log.Info("this detector decides")
	var work sync.WaitGroup
	defer work.Wait()
	ctx, stop := context.WithCancel(fenced)
	defer stop()
	work.Go(func() { h.det.Share(ctx, source{h.stream}) })
	work.Go(func() { aside.Keep(ctx, h.stream, h.file.Stream.Cluster.Node, h.log) })
	work.Go(func() { h.board.Forget(ctx, h.file.Catalog.Keep) })
	return h.carryOut(ctx, found)
}

// carryOut carries out policy on what is found, for as long as this detector leads. It returns why it does not lead any more.
func (h *house) carryOut(ctx context.Context, found <-chan *palladium.Report) error {
	actor := live.NewActor(h.board)
	again := time.NewTicker(actEvery)
	defer again.Stop()
	stands := func() (r *palladium.Report, restored bool) {
		if r = h.det.Latest(); r != nil {
			return r, false
		}
		return h.det.Standing(), true
	}
	r, restored := stands()
	for {
		var acted live.Acted
		var err error
		switch {
		case r == nil: // there is nothing to go by yet
			acted, err = actor.Ease(ctx)
		case restored: // it is in the catalog already, with more than a state says
			acted, err = actor.Again(ctx, r)
		default:
			acted, err = actor.Act(ctx, r)
		}
		switch {
		case errors.Is(err, catalog.ErrFenced):
			return err
		case err != nil && ctx.Err() == nil:
			h.log.Error("policy is not carried out; it is tried again", "error", err)
		case err == nil:
			h.told(r, &acted)
		}
		select {
		case <-ctx.Done():
			return nil
		case r = <-found:
			restored = false
		case <-h.board.Other():
			r, restored = stands()
		case <-again.C:
			r, restored = stands()
		}
	}
}

func (h *house) told(r *palladium.Report, a *live.Acted) {
	for i := range a.Decided {
		d := &a.Decided[i]
		h.log.Info("decided", "decision", d.ID, "campaign", d.Campaign, "measure", d.Measure, "accounts", d.Accounts, "state", d.State)
	}
	for _, id := range a.Withdrawn {
		h.log.Info("withdrawn", "decision", id)
	}
	if h.o.Acted != nil && r != nil {
		h.o.Acted(r, *a)
	}
}

// looked sends a span for a look.
func (h *house) looked(begun, ended time.Time, found *palladium.Report) {
	l := telemetry.Look{
		Start: begun, End: ended, Until: found.Window.To, Observations: found.Counts.Exchanges, Accounts: int(found.Counts.Accounts), Campaigns: map[string]int{},
	}
	for i := range found.Campaigns {
		l.Campaigns[string(found.Campaigns[i].Stage)]++
	}
	h.o.Traces.Look(&l)
}

// measuringKey reads the installation's key, and makes it where there is none.
func measuringKey(path string) (key [32]byte, err error) {
	old, err := os.ReadFile(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		_, _ = rand.Read(key[:]) // never fails
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			return key, fmt.Errorf("make the measuring key: %w", err)
		}
		if err := app.WriteFile(path, func(w io.Writer) error { _, err := w.Write(key[:]); return err }); err != nil {
			return key, fmt.Errorf("make the measuring key: %w", err)
		}
		return key, nil
	case err != nil:
		return key, fmt.Errorf("read the measuring key: %w", err)
	case len(old) != len(key):
		return key, fmt.Errorf("read the measuring key: %s has %d bytes, not %d: restore it from a copy", path, len(old), len(key))
	}
	return [32]byte(old), nil
}
