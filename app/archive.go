package app

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"

	"github.com/palladium-guard/palladium"
	"github.com/palladium-guard/palladium/config"
	"github.com/palladium-guard/palladium/store/archive"
	"github.com/palladium-guard/palladium/store/place"
	"github.com/palladium-guard/palladium/traffic/tap/file"
)

// OpenArchive opens the archive that a section names. log may be nil.
func OpenArchive(c config.Archive, log *slog.Logger) (*archive.Archive, error) {
	if err := c.Check(); err != nil {
		return nil, err
	}
	switch {
	case c.S3.Bucket != "":
		b, err := place.OpenBucket(c.S3)
		if err != nil {
			return nil, err
		}
		return archive.Open(c.Config, b, log)
	case c.Dir == "":
		return nil, errors.New("open the archive: name a folder or s3://BUCKET/PREFIX")
	}
	return archive.Open(c.Config, place.Folder(c.Dir), log)
}

// ArchiveAt is the section for a place as it is named on a command line: a folder, or s3://BUCKET/PREFIX.
func ArchiveAt(where string) (c config.Archive, err error) {
	if c.Dir, c.S3, err = place.Address(where); err != nil {
		err = fmt.Errorf("open the archive: %w", err)
	}
	return c, err
}

// ReadMeasuringKey reads the file of an installation's measuring key: that of serve, of the gateway's state, or of a scan's.
func ReadMeasuringKey(path string) (key [32]byte, err error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return key, fmt.Errorf("read the measuring key: %w", err)
	}
	if len(data) != len(key) {
		return key, fmt.Errorf("read the measuring key: %s has %d bytes, not %d: name the right file, or restore it from a copy", path, len(data), len(key))
	}
	return [32]byte(data), nil
}

// KeyCheck is a number that tells measuring keys apart and tells nothing of them.
func KeyCheck(key [32]byte) uint64 { return keyCheck(key) }

// readArchive takes in what the archive holds: it was measured when it was written.
func (s *scan) readArchive(ctx context.Context) error {
	if s.opt.StateDir != "" || len(s.opt.Paths) > 0 {
		return errors.New("read the archive: it is read alone, without files and without a state")
	}
	if s.keyless {
		if err := s.opt.Archive.Known(ctx); err != nil {
			return err
		}
		s.stats.Notes = append(s.stats.Notes, "without the measuring key of the archive, what accounts gave when they signed up is not compared with what their connections show: name it with --key")
	} else if err := s.opt.Archive.Bind(ctx, keyCheck(*s.opt.Key), false); err != nil {
		return err
	}
	err := s.opt.Archive.Read(ctx, s.opt.Since, s.opt.Until, &past{scan: s})
	switch {
	case err != nil && ctx.Err() != nil && errors.Is(err, ctx.Err()):
		s.stats.Interrupted = true
		return nil
	case err == nil && s.stats.Exchanges == 0:
		s.stats.Notes = append(s.stats.Notes, fmt.Sprintf("the archive in %s holds no exchange of that time", s.opt.Archive))
	case err == nil:
		err = s.tellRemoved(ctx)
	}
	return err
}

// tellRemoved notes that retention has taken away some of what campaigns are found by.
func (s *scan) tellRemoved(ctx context.Context) error {
	st, err := s.opt.Archive.Status(ctx)
	if err != nil {
		return err
	}
	if less := st.Files - st.Kept["all"]; less > 0 {
		s.stats.Notes = append(s.stats.Notes, fmt.Sprintf("retention has removed fingerprints or hashes of connections from %d of the archive's %d files: what rests on them is not found any more", less, st.Files))
	}
	return nil
}

// past takes in an archive.
type past struct{ *scan }

// Describe takes in what is known of an account.
func (p *past) Describe(a *palladium.Account) {
	p.stats.Accounts++
	p.det.Describe(a)
}

// Observe takes in one exchange.
func (p *past) Observe(o *palladium.Observation) {
	p.stats.Exchanges++
	p.det.Observe(o)
	if p.opt.Progress != nil && p.stats.Exchanges%512 == 0 {
		p.opt.Progress(file.Progress{Exchanges: p.stats.Exchanges})
	}
}
