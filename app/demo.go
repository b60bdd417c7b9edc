package app

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"

	"github.com/palladium-guard/palladium"
	"github.com/palladium-guard/palladium/traffic/tap/file"
	"github.com/palladium-guard/palladium/world"
	"github.com/palladium-guard/palladium/world/record"
	"github.com/palladium-guard/palladium/world/score"
)

// Demo is a small world with a campaign in it, on text of its own making.
type Demo struct {
	Truth   *world.Truth
	Summary record.Summary // of what was written
	Traffic string         // folder with the recorded traffic and the truth
}

// MakeDemo writes the world to the folder traffic in dir, which it makes.
func MakeDemo(dir string, seed uint64) (*Demo, error) {
	s, ok := world.Preset("demo")
	if !ok {
		return nil, errors.New("find the scenario demo: the program carries none of that name")
	}
	s.Seed = seed
	w, err := world.New(s, world.OwnCorpus(seed))
	if err != nil {
		return nil, err
	}
	d := &Demo{Traffic: filepath.Join(dir, "traffic")}
	if err := record.Free(d.Traffic); err != nil {
		return nil, err
	}
	if d.Summary, err = record.Write(w, d.Traffic, true, nil); err != nil {
		return nil, err
	}
	d.Truth = w.Truth()
	return d, nil
}

// Find scans the traffic as a scan of these files would, but under a key that is always the same, so that the demo can
// be repeated. It is not told the truth.
func (d *Demo) Find(ctx context.Context, progress func(file.Progress)) (*palladium.Report, error) {
	r, stats, err := Scan(ctx, ScanOptions{Paths: []string{d.Traffic}, Key: new([32]byte), Progress: progress})
	if err == nil && stats.Interrupted {
		err = fmt.Errorf("scan the world: %w", context.Cause(ctx))
	}
	return r, err
}

// Score compares a report with the truth.
func (d *Demo) Score(r *palladium.Report) *score.Scores { return score.Score(r, d.Truth) }
