package archiving

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"text/tabwriter"
	"time"

	"github.com/palladium-guard/palladium/app"
	"github.com/palladium-guard/palladium/config"
	"github.com/palladium-guard/palladium/store/archive"
)

// Open opens the archive at a place as it is named on a command line, kept as the configuration in a file says. Without a place, the
// configuration names it; without a file, it is kept as it is by default.
func Open(where, file string) (*archive.Archive, error) {
	var c config.Archive
	if file != "" {
		data, err := os.ReadFile(file)
		if err != nil {
			return nil, fmt.Errorf("read the configuration: %w", err)
		}
		f, err := config.Parse(data)
		if err != nil {
			return nil, fmt.Errorf("read %s: %w", file, err)
		}
		c = f.Archive
	}
	if where != "" {
		at, err := app.ArchiveAt(where)
		if err != nil {
			return nil, err
		}
		c.Dir, c.S3 = at.Dir, at.S3
	}
	return app.OpenArchive(c, nil)
}

// Key reads the file of the measuring key, and makes it where there is none.
func Key(path string) (key [32]byte, made bool, err error) {
	if _, err := os.Stat(path); !errors.Is(err, fs.ErrNotExist) {
		key, err := app.ReadMeasuringKey(path)
		return key, false, err
	}
	_, _ = rand.Read(key[:]) // never fails
	err = app.WriteFile(path, func(w io.Writer) error {
		_, err := w.Write(key[:])
		return err
	})
	if err != nil {
		return key, false, fmt.Errorf("make the measuring key: %w", err)
	}
	return key, true, nil
}

// Compact merges files of hours that are over and says what came of it.
func Compact(ctx context.Context, a *archive.Archive, out io.Writer) error {
	return compared(ctx, a, out, a.Compact)
}

// Expire removes what is over and says what came of it.
func Expire(ctx context.Context, a *archive.Archive, out io.Writer) error {
	return compared(ctx, a, out, a.Expire)
}

func compared(ctx context.Context, a *archive.Archive, out io.Writer, do func(context.Context, time.Time) error) error {
	before, err := a.Status(ctx)
	if err != nil {
		return err
	}
	failed := do(ctx, time.Now())
	after, err := a.Status(ctx)
	if err != nil {
		return errors.Join(failed, err)
	}
	_, err = fmt.Fprintf(out, "%d files of %s are %d of %s now\n", before.Files, size(before.Bytes), after.Files, size(after.Bytes))
	return errors.Join(failed, err)
}

// Show writes the status for people.
func Show(out io.Writer, s *archive.Status) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintf(w, "archive\t%s\n", s.Where)
	if s.Files > 0 {
		fmt.Fprintf(w, "observations\t%s to %s, %d hours\n", s.First.Format("2006-01-02 15:04Z"), s.Last.Add(time.Hour).Format("2006-01-02 15:04Z"), s.Hours)
	}
	fmt.Fprintf(w, "files\t%d, %s; %d could be merged\n", s.Files, size(s.Bytes), s.Loose)
	for _, kept := range []string{"all", "fingerprints", "connection", "counts"} {
		if n := s.Kept[kept]; n > 0 {
			fmt.Fprintf(w, "  with %s\t%d\n", map[string]string{
				"all": "all fields", "fingerprints": "fingerprints, without connections", "connection": "connections, without fingerprints", "counts": "counts only",
			}[kept], n)
		}
	}
	fmt.Fprintf(w, "accounts\t%s\n", size(s.Accounts))
	for _, l := range s.Logs {
		newest := "no exchange"
		if !l.Newest.IsZero() {
			newest = "newest exchange " + l.Newest.Format(time.RFC3339)
		}
		fmt.Fprintf(w, "log %s\t%d rows, %s, written %s\n", l.Name, l.Rows, newest, l.Written.UTC().Format(time.RFC3339))
	}
	return w.Flush()
}

func size(n int64) string {
	switch {
	case n < 1<<20:
		return fmt.Sprintf("%.1f KiB", float64(n)/(1<<10))
	case n < 1<<30:
		return fmt.Sprintf("%.1f MiB", float64(n)/(1<<20))
	}
	return fmt.Sprintf("%.1f GiB", float64(n)/(1<<30))
}
