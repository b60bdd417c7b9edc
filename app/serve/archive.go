package serve

import (
	"context"
	"path/filepath"
	"time"

	"github.com/palladium-guard/palladium/app"
	"github.com/palladium-guard/palladium/app/archiving"
	"github.com/palladium-guard/palladium/config"
)

// archiveLease is the name of the lease of the process that writes the archive.
const archiveLease = "archive"

// fillArchive has one process keep its archive in the state directory. Where several share a stream, one of them writes, and that may be
// another tomorrow: a place that all of them reach has to be named.
func fillArchive(f *config.File, state string) {
	if f.Archive.Off || f.Archive.Dir != "" || f.Archive.S3.Bucket != "" {
		return
	}
	if f.Archive.Off = f.Stream.URL != "" || f.Stream.Cluster.Name != ""; !f.Archive.Off {
		f.Archive.Dir = filepath.Join(state, "archive")
	}
}

// startArchive writes what comes through the stream to the archive, in one process at a time.
func (h *house) startArchive(ctx context.Context) error {
	if h.file.Archive.Off {
		if err := h.stream.Retire(ctx, archiving.StreamReader); err != nil { // it would keep what nobody reads
			h.log.Warn("the stream cannot forget that an archive was written; it is tried at the next start", "error", err)
		}
		h.log.Info("no archive is kept: name archive.dir or archive.s3 to have one")
		return nil
	}
	a, err := app.OpenArchive(h.file.Archive, h.log)
	if err != nil {
		return err
	}
	h.launch(ctx, "archive", archiver{archiving.NewFollower(a, h.key, h.clock.Now, h.log), h})
	h.log.Info("observations are archived", "place", a)
	return nil
}

// archiver writes while it holds the lease.
type archiver struct {
	*archiving.Follower
	h *house
}

// Run tries again whatever goes wrong: the stream keeps what is not written.
func (a archiver) Run(ctx context.Context) error {
	for ctx.Err() == nil {
		err := a.h.stream.Lead(ctx, archiveLease, a.h.self, leaseTime, func(ctx context.Context) error {
			return a.Follower.Run(ctx, a.h.stream)
		})
		if err != nil && ctx.Err() == nil {
			a.h.log.Error("the archive is not written; it is tried again", "error", err)
		}
		select {
		case <-ctx.Done():
		case <-time.After(2 * time.Second):
		}
	}
	return nil
}
