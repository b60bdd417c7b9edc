package live

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/palladium-guard/palladium/app"
	"github.com/palladium-guard/palladium/store/stream"
	"github.com/palladium-guard/palladium/store/stream/snapshot"
)

// kept is a snapshot on disk. The file stays readable when the next takes its place.
type kept struct {
	position stream.Position
	file     *os.File
}

// offer lets Share have the snapshot that was kept, in the place of one that it has not taken.
func (d *Detector) offer() error {
	if d.opt.Shared == nil {
		return nil
	}
	f, err := os.Open(d.path())
	if err != nil {
		return fmt.Errorf("hand on the detector's state: %w", err)
	}
	for k := (kept{d.book.Position, f}); ; {
		select {
		case d.kept <- k:
			return nil
		default:
		}
		select {
		case old := <-d.kept: // perhaps one that Share has just put back
			_ = old.file.Close() // it was read only
		default:
		}
	}
}

// How often what could not be handed on is tried again, and how long a detector without a state waits for one.
const (
	shareAgain = time.Second
	shareWait  = 15 * time.Second
)

// Share hands each snapshot that is kept to the detectors that stand by, and then lets the stream forget what is in it, until ctx
// ends. It is for the detector that leads; it may run beside Run.
func (d *Detector) Share(ctx context.Context, from Source) {
	if d.opt.Shared == nil {
		return
	}
	for {
		var k kept
		select {
		case <-ctx.Done():
			return
		case k = <-d.kept:
		}
		for !d.share(ctx, &k, from) {
			select {
			case <-ctx.Done():
				select {
				case d.kept <- k: // for when it leads again
				default:
					_ = k.file.Close()
				}
				return
			case newer := <-d.kept:
				_ = k.file.Close()
				k = newer
			case <-time.After(shareAgain):
			}
		}
		_ = k.file.Close()
	}
}

// share hands one snapshot on; false means that it has to be tried again.
func (d *Detector) share(ctx context.Context, k *kept, from Source) bool {
	_, err := k.file.Seek(0, io.SeekStart)
	if err == nil {
		err = d.opt.Shared.Put(ctx, reader, uint64(k.position), k.file)
	}
	if errors.Is(err, snapshot.ErrOlder) {
		d.unshared.Store(nil)
		return true
	}
	if err == nil {
		err = from.Release(ctx, reader, k.position)
	}
	if err == nil {
		d.unshared.Store(nil)
		return true
	}
	if ctx.Err() == nil {
		err = fmt.Errorf("hand on the detector's state: %w: it is tried again, and until then the stream keeps what is in it", err)
		if d.unshared.Swap(&err) == nil {
			d.opt.Log.Warn("the detector's state is not handed on", "error", err)
		}
	}
	return false
}

// begin makes sure that the state is the newest that is to be had, and that the stream keeps what comes after it.
func (d *Detector) begin(ctx context.Context, from Source) error {
	if d.opt.Shared == nil {
		d.need(ctx, from, d.book.Position)
		return nil
	}
	said := false
	for until := time.Now().Add(shareWait); ; {
		after, ready, err := d.ready(ctx, from)
		switch {
		case ready:
			d.need(ctx, from, after)
			return nil
		case errors.Is(err, app.ErrState):
			return err
		case err == nil && time.Now().After(until):
			d.opt.Log.Warn("the beginning of the stream is gone, and nobody hands a state on: this detector begins with what the stream still holds, and finds less than one that has seen all")
			d.need(ctx, from, 0)
			return nil
		case err != nil && !said && ctx.Err() == nil:
			said = true
			d.opt.Log.Warn("the detector waits for the stream, to begin with the newest state", "error", err)
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(250 * time.Millisecond):
		}
	}
}

// ready takes the shared state where that is newer, and reports whether the detector can go on from the state that it has. After is
// what the shared state holds.
func (d *Detector) ready(ctx context.Context, from Source) (after stream.Position, ready bool, err error) {
	version, err := d.opt.Shared.Version(ctx, reader)
	after = stream.Position(version)
	switch {
	case err != nil && d.book.Position > 0:
		d.opt.Log.Warn("whether there is a newer state is not known; this detector begins with its own", "error", err)
		return 0, true, nil
	case err != nil:
		return 0, false, err
	case after > d.book.Position:
		_, err = d.take(ctx)
		return after, err == nil, err
	case d.book.Position > 0:
		return after, true, nil
	}
	whole, err := from.Whole(ctx)
	return 0, whole, err
}

// need has the stream keep what comes after the position, whatever others release.
func (d *Detector) need(ctx context.Context, from Source, after stream.Position) {
	if err := from.Release(ctx, reader, after); err != nil && ctx.Err() == nil {
		d.opt.Log.Warn("the stream does not know yet what the detector still needs", "error", err)
	}
}

// take puts the shared state in the place of this one's, where that is newer, and reports whether it is.
func (d *Detector) take(ctx context.Context) (newer bool, err error) {
	err = d.opt.Shared.Get(ctx, reader, func(version uint64, in io.Reader) error {
		if newer = stream.Position(version) > d.book.Position; !newer {
			return nil
		}
		return d.load(in)
	})
	if err != nil {
		return false, fmt.Errorf("take the state that was handed on: %w", err)
	}
	if newer {
		d.look, d.grew = false, true
		d.opt.Log.Info("the detector goes on from the state that was handed on", "position", d.book.Position)
	}
	return newer, nil
}

// overGap has the reading go on where the stream no longer holds what comes next, as after a long pause, a loss of power or a stream
// that was made anew: from the state that was handed on where that is newer, else with what the stream still holds. A detector that
// lacks some observations is better than none, and than a gateway that ends with it. What is read again counts once.
func (d *Detector) overGap(ctx context.Context, from Source, gap error) error {
	for said := false; d.opt.Shared != nil; {
		newer, err := d.take(ctx)
		if newer && err == nil {
			return nil
		}
		if errors.Is(err, app.ErrState) {
			return errors.Join(gap, err)
		}
		if err == nil || errors.Is(err, snapshot.ErrNone) {
			break
		}
		if !said && ctx.Err() == nil {
			said = true
			d.opt.Log.Error("the stream has forgotten what this detector needs next, and whether there is a newer state is not known; it is tried again", "error", err)
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(shareAgain):
		}
	}
	d.gaps.Add(1)
	d.opt.Log.Error("observations were lost before they were taken in; the detector goes on with what the stream still holds", "error", gap)
	d.book.Position = 0
	d.position.Store(0)
	d.need(ctx, from, 0)
	return ctx.Err()
}
