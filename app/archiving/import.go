// Package archiving brings recorded traffic into an archive.
package archiving

import (
	"bytes"
	"cmp"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/zeebo/xxh3"

	"github.com/palladium-guard/palladium"
	"github.com/palladium-guard/palladium/app"
	"github.com/palladium-guard/palladium/store/archive"
	"github.com/palladium-guard/palladium/traffic/tap/file"
)

// Options say what is imported.
type Options struct {
	Paths   []string  // files, directories, or "-" for Stdin
	Stdin   io.Reader // read when Paths name "-"
	Dialect string    // name of the format of all files; empty to tell it by looking
	Workers int       // goroutines that decode and measure; 0 is one for each core
	Key     [32]byte  // the measuring key
	Log     string    // of the archive, that is written; empty: files

	// The functions below are called on the goroutine of Import and may be nil.
	Progress func(file.Progress)
	Rejected func(palladium.Reject) // told of each record that is skipped
}

// Stats says what an import did.
type Stats struct {
	file.Stats
	Interrupted bool // ctx was done before the end: the next import goes on from there
	Continued   bool // an earlier import of this log was continued
}

// FilesLog is the log of an archive that imports write when no other is named.
const FilesLog = "files"

// Import measures recorded traffic and writes it to the archive. How far each file was taken in is kept with what was written, so that an
// import that was stopped, however roughly, is continued by the next one, and files are read again only from where they have grown.
func Import(ctx context.Context, a *archive.Archive, o Options) (stats Stats, err error) {
	if err := a.Bind(ctx, app.KeyCheck(o.Key), true); err != nil {
		return stats, err
	}
	cues, err := app.Cues()
	if err != nil {
		return stats, err
	}
	w, err := a.Writer(context.WithoutCancel(ctx), archive.WriterOptions{Log: cmp.Or(o.Log, FilesLog), Tries: 6})
	if err != nil {
		return stats, err
	}
	// What is given up to a position is written even when ctx ends: to write it takes a moment, and to read it again longer.
	defer func() {
		end, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Minute)
		defer cancel()
		err = errors.Join(err, w.Close(end))
	}()
	im := &importer{w: w, seen: new(file.Seen), position: w.Durable()}
	saved, err := w.State(ctx)
	if err != nil {
		return stats, err
	}
	if saved != nil {
		if err := im.load(saved); err != nil {
			return stats, fmt.Errorf("go on with an import into %s: %w", a, err)
		}
		stats.Continued = true
	}
	stats.Stats, err = app.Feed(ctx, file.Options{
		Paths: o.Paths, Stdin: o.Stdin, Formats: app.Formats(), Dialect: o.Dialect, Workers: o.Workers, Resume: im.past, Seen: im.seen,
		Rejected: o.Rejected, Progress: o.Progress,
	}, o.Key, cues, im)
	if err != nil && (ctx.Err() == nil || !errors.Is(err, ctx.Err())) {
		return stats, err
	}
	stats.Interrupted = err != nil
	return stats, im.keep(stats.Position)
}

// importer is an app.Sink that writes to an archive.
type importer struct {
	w        *archive.Writer
	seen     *file.Seen
	past     []file.Position // files taken in by earlier imports
	position uint64          // counts what was kept
}

// Describe takes in what is known of an account.
func (im *importer) Describe(a *palladium.Account) error {
	im.w.Describe(a)
	return nil
}

// NameModel takes in the name of a model.
func (im *importer) NameModel(hash uint64, name string) { im.w.NameModel(hash, name) }

// Observe takes in one exchange.
func (im *importer) Observe(o *palladium.Observation) error {
	im.w.Observe(o)
	return nil
}

// Reached has written what was taken in when it is enough.
func (im *importer) Reached(at []file.Position) error {
	if !im.w.Full() {
		return nil
	}
	return im.keep(at)
}

// keep has all that was taken in written, with how far the files were read.
func (im *importer) keep(at []file.Position) error {
	state, err := im.save(at)
	if err != nil {
		return err
	}
	im.position++
	im.w.Note(state)
	return im.w.Position(im.position)
}

// The state of an import is the xxh3 of what follows, the length of the positions as JSON, these, and the ids that are known; numbers are
// little-endian, of 8 bytes.
func (im *importer) save(at []file.Position) ([]byte, error) {
	positions, err := json.Marshal(app.Positions(im.past, at))
	if err != nil {
		return nil, err
	}
	var b bytes.Buffer
	b.Write(make([]byte, 16))
	b.Write(positions)
	if err := im.seen.Save(&b); err != nil {
		return nil, fmt.Errorf("keep how far the files were read: %w", err)
	}
	out := b.Bytes()
	binary.LittleEndian.PutUint64(out[8:], uint64(len(positions)))
	binary.LittleEndian.PutUint64(out, xxh3.Hash(out[8:]))
	return out, nil
}

var errState = errors.New("what is kept of how far files were read is damaged: restore it from a copy, or import under another --log")

func (im *importer) load(b []byte) (err error) {
	if len(b) < 16 || binary.LittleEndian.Uint64(b) != xxh3.Hash(b[8:]) {
		return errState
	}
	n := binary.LittleEndian.Uint64(b[8:])
	if b = b[16:]; n > uint64(len(b)) {
		return errState
	}
	if err := json.Unmarshal(b[:n], &im.past); err != nil {
		return errState
	}
	im.seen, err = file.LoadSeen(bytes.NewReader(b[n:]))
	return err
}
