package archive

import (
	"cmp"
	"context"
	"errors"
	"io/fs"
	"slices"
)

// Recent returns the ids of the exchanges that are among the last n rows of the log, oldest first, as it was before this Writer was
// given anything: who goes on with the log can leave out what is in it. It reads two columns.
func (w *Writer) Recent(ctx context.Context, n uint64) ([]uint64, error) {
	for try := 0; ; try++ {
		out, err := w.archive.recent(ctx, w.log, n)
		if !errors.Is(err, fs.ErrNotExist) || try == 20 { // gone: merged meanwhile
			return out, err
		}
	}
}

func (a *Archive) recent(ctx context.Context, log string, n uint64) ([]uint64, error) {
	h, tag, err := a.head(ctx, log)
	if err != nil || tag == "" {
		return nil, err
	}
	after := h.Place - min(n, h.Place)
	files, err := a.files(ctx, observations)
	if err != nil {
		return nil, err
	}
	files = slices.DeleteFunc(files, func(f file) bool { return f.log != log })
	type row struct{ place, id uint64 }
	var rows []row
	var places, ids []uint64
	for _, s := range shelves(files) {
		parts, _ := cover(s.files)
		for _, p := range parts {
			if p.last <= after {
				continue
			}
			f, closes, err := a.openPart(ctx, p, false)
			if err != nil {
				return nil, err
			}
			for g := range f.Groups() {
				c := f.Columns(g)
				places, ids = slices.Grow(places[:0], c.Rows())[:c.Rows()], slices.Grow(ids[:0], c.Rows())[:c.Rows()]
				c.Hashes("seq", places)
				c.Hashes("exchange_id", ids)
				if err = errors.Join(c.Err(), ctx.Err()); err != nil {
					break
				}
				for i, at := range places {
					if at > after && at > p.after {
						rows = append(rows, row{at, ids[i]})
					}
				}
			}
			closes()
			if err != nil {
				return nil, err
			}
		}
	}
	slices.SortFunc(rows, func(a, b row) int { return cmp.Compare(a.place, b.place) })
	out := make([]uint64, len(rows))
	for i, r := range rows {
		out[i] = r.id
	}
	return out, nil
}
