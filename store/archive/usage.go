package archive

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"runtime"
	"slices"
	"sync"
	"time"

	"github.com/palladium-guard/palladium"
	"github.com/palladium-guard/palladium/internal/table"
)

// Usage is what an account used.
type Usage struct {
	Exchanges int64
	Tokens    palladium.Tokens
	Models    map[string]Draw // by name; 16 hexadecimal digits of the hash where the name is not known, empty where there was none
}

// Draw is what was drawn from one model.
type Draw struct {
	Exchanges int64
	Tokens    palladium.Tokens
}

func (d *Draw) add(o *Draw) {
	d.Exchanges += o.Exchanges
	d.Tokens.Input += o.Tokens.Input
	d.Tokens.Output += o.Tokens.Output
	d.Tokens.Reasoning += o.Tokens.Reasoning
}

// Usage adds up what each account used from a time, inclusive, to another, exclusive; zero times are no limits. It reads a few columns
// only, on all cores. What a Writer still holds back is not among it.
func (a *Archive) Usage(ctx context.Context, from, to time.Time) (map[string]*Usage, error) {
	for try := 0; ; try++ {
		out, err := a.usage(ctx, from, to)
		if !errors.Is(err, fs.ErrNotExist) || try == 20 { // gone: merged meanwhile
			return out, err
		}
	}
}

func (a *Archive) usage(ctx context.Context, from, to time.Time) (map[string]*Usage, error) {
	names, err := a.names(ctx)
	if err != nil {
		return nil, err
	}
	files, err := a.files(ctx, days(from, to)...)
	if err != nil {
		return nil, err
	}
	var parts []part
	for _, s := range shelves(hours(files, from, to)) {
		p, _ := cover(s.files)
		parts = append(parts, p...)
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	work := make(chan part)
	tallies := make([]*tally, min(runtime.GOMAXPROCS(0), max(len(parts), 1)))
	var wg sync.WaitGroup
	for i := range tallies {
		t := &tally{archive: a, from: int64(math.MinInt64), to: int64(math.MaxInt64), ids: map[string]uint32{}}
		if !from.IsZero() {
			t.from = from.UnixMilli()
		}
		if !to.IsZero() {
			t.to = to.UnixMilli()
		}
		tallies[i] = t
		wg.Go(func() {
			for p := range work {
				if err := t.count(ctx, p); err != nil {
					cancel(err)
					return
				}
			}
		})
	}
	for _, p := range parts {
		select {
		case work <- p:
			continue
		case <-ctx.Done():
		}
		break
	}
	close(work)
	wg.Wait()
	if err := context.Cause(ctx); err != nil {
		return nil, err
	}
	out := map[string]*Usage{}
	for _, t := range tallies {
		t.into(out, names)
	}
	return out, nil
}

// tally is what one goroutine has counted.
type tally struct {
	archive  *Archive
	from, to int64 // Unix ms
	ids      map[string]uint32
	accounts []tallied

	// Columns of a group of rows.
	account                  []uint32 // ids
	model                    []uint64
	times                    []int64
	places                   []uint64
	input, output, reasoning []int64
}

type tallied struct {
	name  string
	draws []modelDraw
}

type modelDraw struct {
	model uint64
	Draw
}

func (t *tally) into(out map[string]*Usage, names map[uint64]string) {
	for i := range t.accounts {
		acc := &t.accounts[i]
		u := out[acc.name]
		if u == nil && len(acc.draws) > 0 {
			u = &Usage{Models: map[string]Draw{}}
			out[acc.name] = u
		}
		for j := range acc.draws {
			d := &acc.draws[j]
			name, ok := names[d.model]
			if !ok && d.model != 0 {
				name = fmt.Sprintf("%016x", d.model)
			}
			sum := u.Models[name]
			sum.add(&d.Draw)
			u.Models[name] = sum
			u.Exchanges += d.Exchanges
			u.Tokens.Input += d.Tokens.Input
			u.Tokens.Output += d.Tokens.Output
			u.Tokens.Reasoning += d.Tokens.Reasoning
		}
	}
}

// count adds a file.
func (t *tally) count(ctx context.Context, p part) error {
	f, closes, err := t.archive.openPart(ctx, p, false)
	if err != nil {
		return err
	}
	defer closes()
	for i := range f.Groups() {
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := t.group(p, f.Columns(i)); err != nil {
			return err
		}
	}
	return nil
}

func (t *tally) group(p part, c *table.Columns) error {
	n := c.Rows()
	t.account, t.model = grown(t.account, n), grown(t.model, n)
	t.input, t.output, t.reasoning = grown(t.input, n), grown(t.output, n), grown(t.reasoning, n)
	c.Strings("account", t.account, t.id)
	c.Hashes("model", t.model)
	c.Numbers("input_tokens", t.input)
	c.Numbers("output_tokens", t.output)
	c.Numbers("reasoning_tokens", t.reasoning)
	hour, _ := parseHour(p.folder)
	whole := p.after == 0 && hour*hourMS >= t.from && (hour+1)*hourMS <= t.to
	if !whole {
		t.times, t.places = grown(t.times, n), grown(t.places, n)
		c.Numbers("time", t.times)
		c.Hashes("seq", t.places)
	}
	if c.Err() != nil {
		return c.Err()
	}
	for i := range n {
		if !whole && (t.times[i] < t.from || t.times[i] >= t.to || t.places[i] <= p.after) {
			continue
		}
		d := t.accounts[t.account[i]].draw(t.model[i])
		d.Exchanges++
		d.Tokens.Input += t.input[i]
		d.Tokens.Output += t.output[i]
		d.Tokens.Reasoning += t.reasoning[i]
	}
	return nil
}

func grown[T any](s []T, n int) []T { return slices.Grow(s[:0], n)[:n] }

func (t *tally) id(name []byte) uint32 {
	id, ok := t.ids[string(name)]
	if !ok {
		id = uint32(len(t.accounts))
		s := string(name)
		t.ids[s] = id
		t.accounts = append(t.accounts, tallied{name: s})
	}
	return id
}

func (t *tallied) draw(model uint64) *Draw {
	for i := range t.draws {
		if t.draws[i].model == model {
			return &t.draws[i].Draw
		}
	}
	t.draws = append(t.draws, modelDraw{model: model})
	return &t.draws[len(t.draws)-1].Draw
}
