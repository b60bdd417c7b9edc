package live

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/palladium-guard/palladium"
	"github.com/palladium-guard/palladium/traffic/verdict"
)

// VerdictTable is the name under which the table of verdicts is published.
const VerdictTable = "verdicts"

// Tables carries tables to gateways, whole.
type Tables interface {
	Put(ctx context.Context, name string, version uint64, data []byte) error
	// TableVersion is that of the table that is there, 0 where there is none.
	TableVersion(ctx context.Context, name string) (uint64, error)
}

// Kick has Publish look at once.
func (b *Board) Kick() {
	select {
	case b.kick <- struct{}{}:
	default:
	}
}

// How often what has expired is written down, and how often a failed publication is tried again.
const (
	expireEvery = 30 * time.Second
	retryEvery  = 500 * time.Millisecond
)

// Publish brings every change of verdicts to the gateways until ctx ends, whichever process made it. older reports whether an
// error of Put says that a newer table is there already.
func (b *Board) Publish(ctx context.Context, to Tables, older func(error) bool) {
	changed := b.cat.Changed(ctx)
	expire := time.NewTicker(expireEvery)
	defer expire.Stop()
	retry := time.NewTimer(0)
	defer retry.Stop()
	for ctx.Err() == nil {
		select {
		case <-ctx.Done():
			return
		case <-b.kick:
		case <-changed:
		case <-retry.C:
		case <-expire.C:
			b.expire(ctx)
			if v, err := to.TableVersion(ctx, VerdictTable); err == nil && v < b.published.Load() {
				b.published.Store(0) // the stream has lost it
			}
		}
		err := b.publish(ctx, to)
		if err != nil && older(err) {
			err = b.overtake(ctx, to)
		}
		if err != nil && ctx.Err() == nil {
			b.log.Error("verdicts cannot be published; gateways keep the ones before, which expire by themselves", "error", err)
			retry.Reset(retryEvery)
		}
	}
}

// expire writes down what has ended. Nothing undoes that, so the board's clock must be one that is believed.
func (b *Board) expire(ctx context.Context) {
	if _, err := b.cat.Expire(ctx, b.now().UTC()); err != nil && ctx.Err() == nil {
		b.log.Error("what has expired cannot be written down; gateways hold to the times all the same", "error", err)
	}
}

func (b *Board) publish(ctx context.Context, to Tables) error {
	begun := time.Now()
	version, err := b.cat.VerdictVersion(ctx)
	if err != nil {
		return fmt.Errorf("read the version of verdicts: %w", err)
	}
	if version+1 == b.published.Load() {
		return nil
	}
	now := b.now().UTC()
	list, version, err := b.cat.VerdictsInForce(ctx, now)
	if err != nil {
		return fmt.Errorf("read the verdicts in force: %w", err)
	}
	t, err := verdict.New(version+1, now, list) // a table of version 0 would be no news to anybody
	if errors.Is(err, verdict.ErrVerdict) {
		list = slices.DeleteFunc(list, func(v palladium.Verdict) bool {
			err := verdict.Check(&v)
			if err != nil {
				b.log.Error("a verdict cannot be brought to gateways and is left out, the others are not", "error", err)
			}
			return err != nil
		})
		t, err = verdict.New(version+1, now, list)
	}
	if err != nil {
		return err
	}
	data, err := t.AppendBinary(nil)
	if err != nil {
		return fmt.Errorf("write the table of verdicts: %w", err)
	}
	if err := to.Put(ctx, VerdictTable, t.Version(), data); err != nil {
		return err
	}
	b.published.Store(t.Version())
	b.took.Store(int64(time.Since(begun)))
	b.log.Info("verdicts are published", "verdicts", len(list), "version", t.Version())
	return nil
}

// overtake is for when gateways have a newer table than the one that was to be published. Mostly another process was faster. A
// catalog that has never had that version is an older copy, put in place by other means than palladium catalog restore: it is the
// truth all the same, and what it holds would else not reach gateways for as long as its version is lower.
func (b *Board) overtake(ctx context.Context, to Tables) error {
	given, err := to.TableVersion(ctx, VerdictTable)
	if err != nil || given == 0 {
		return err
	}
	if version, err := b.cat.VerdictVersion(ctx); err != nil || version+1 == given {
		if err == nil {
			b.published.Store(given) // another process was faster
		}
		return err
	}
	raised, err := b.cat.RaiseVerdicts(ctx, given-1)
	if err == nil && raised {
		b.log.Warn("gateways have newer verdicts than the catalog has ever had: was its database replaced by an older copy? What it holds takes the place of those", "version", given)
		b.Kick()
	}
	return err
}

// Published returns the version of verdicts that gateways were given last, and how long that took.
func (b *Board) Published() (version uint64, took time.Duration) {
	return b.published.Load(), time.Duration(b.took.Load())
}
