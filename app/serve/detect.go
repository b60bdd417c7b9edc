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
	"sync/atomic"
	"time"

	"github.com/palladium-guard/palladium"
	"github.com/palladium-guard/palladium/app"
	"github.com/palladium-guard/palladium/app/live"
	"github.com/palladium-guard/palladium/app/telemetry"
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
	if h.o.Traces != nil {
		opt.Looked = h.looked
	}
	if h.file.Detector.Policy != "" {
		var err error
		if opt.Policy, err = os.ReadFile(h.file.Detector.Policy); err != nil {
			return fmt.Errorf("read the judge's policy: %w", err)
		}
	}
	var err error
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
		for ctx.Err() == nil {
			err := h.stream.Lead(ctx, detectorLease, h.self, leaseTime, func(ctx context.Context) error {
				leading.Store(true)
				defer leading.Store(false)
				h.log.Info("this detector decides")
				h.carryOut(ctx, found)
				return nil
			})
			if err != nil && ctx.Err() == nil {
				h.log.Warn("the detector's lease is lost; another may decide meanwhile", "error", err)
				select {
				case <-ctx.Done():
				case <-time.After(time.Second):
				}
			}
		}
	})
	return nil
}

// carryOut carries out policy on what is found, for as long as this detector leads.
func (h *house) carryOut(ctx context.Context, found <-chan *palladium.Report) {
	actor := live.NewActor(h.board)
	again := time.NewTicker(actEvery)
	defer again.Stop()
	r := h.det.Latest()
	for {
		if r != nil {
			acted, err := actor.Act(ctx, r)
			switch {
			case err != nil && ctx.Err() == nil:
				h.log.Error("policy is not carried out; it is tried again", "error", err)
			case err == nil:
				h.told(r, &acted)
			}
		}
		select {
		case <-ctx.Done():
			return
		case r = <-found:
		case <-again.C:
			r = h.det.Latest()
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
	if h.o.Acted != nil {
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
