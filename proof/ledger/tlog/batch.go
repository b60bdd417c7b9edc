//go:build unix && !solaris && !aix

package tlog

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"github.com/transparency-dev/tessera"

	"github.com/palladium-guard/palladium/proof/ledger"
)

// write owns the order of the log: it gathers statements, syncs them to disk, and only then queues their entries.
func (l *Log) write() {
	defer close(l.batches)
	for p := range l.work {
		batch, size := []*pending{p}, len(p.body)
	gather:
		for len(batch) < maxBatch && size < maxBatchBytes {
			select {
			case p, ok := <-l.work:
				if !ok {
					break gather
				}
				batch, size = append(batch, p), size+len(p.body)
			default:
				break gather
			}
		}
		if err := l.writeBatch(batch, size); err != nil {
			l.fail(err)
			for _, p := range batch {
				p.answer <- answer{err: err}
			}
			continue
		}
		l.batches <- batch
	}
}

func (l *Log) writeBatch(batch []*pending, size int) error {
	if err := l.failure(); err != nil {
		return err
	}
	pack := make([]byte, 0, size+4*len(batch))
	for _, p := range batch {
		pack = ledger.AppendPack(pack, p.body)
	}
	if err := writeSynced(l.dir, ledger.PackPath(l.next), pack); err != nil {
		return explain("write the statements", err)
	}
	for _, p := range batch {
		p.index = l.next
		p.future = l.add(context.Background(), tessera.NewEntry(p.entry.Marshal()))
		p.body = nil
		l.next++
	}
	return nil
}

// explain adds what to do about errors of the disk.
func explain(act string, err error) error {
	switch {
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT):
		return fmt.Errorf("%s: %w: make room on the disk of the ledger; nothing that was acknowledged is lost", act, err)
	case errors.Is(err, syscall.EROFS), errors.Is(err, os.ErrPermission):
		return fmt.Errorf("%s: %w: let this user write to the folder of the ledger", act, err)
	}
	return fmt.Errorf("%s: %w", act, err)
}

// acknowledge waits for the entries of each batch, and for a checkpoint over them.
func (l *Log) acknowledge() {
	defer close(l.done)
	for batch := range l.batches {
		var err error
		for _, p := range batch {
			i, e := p.future()
			switch {
			case e != nil:
				err = explain("write the entry", e)
			case i.Index != p.index:
				err = fmt.Errorf("write the entry: it became number %d instead of %d: somebody else writes to the folder", i.Index, p.index)
			default:
				continue
			}
			break
		}
		if err == nil {
			err = l.publish(batch)
		}
		if err != nil {
			l.fail(err)
			for _, p := range batch {
				p.answer <- answer{err: err}
			}
		}
	}
}

// publish waits for the checkpoint and answers. It answers nobody when it returns an error.
func (l *Log) publish(batch []*pending) error {
	var raw []byte
	if !l.o.Unpublished {
		size := batch[len(batch)-1].index + 1
		var err error
		if raw, err = l.awaitCheckpoint(size); err != nil {
			return err
		}
	}
	for _, p := range batch {
		p.answer <- answer{receipt: ledger.Receipt{Index: p.index, Entry: p.entry, Checkpoint: raw}}
	}
	return nil
}

func (l *Log) awaitCheckpoint(size uint64) ([]byte, error) {
	fsys := os.DirFS(l.dir)
	until := time.Now().Add(l.o.Patience)
	for {
		cp, err := ledger.ReadCheckpoint(fsys, l.o.Trust)
		if err == nil && cp.Size >= size {
			return cp.Raw, nil
		}
		if time.Now().After(until) {
			if err == nil {
				err = fmt.Errorf("the last one is over %d of %d entries", cp.Size, size)
			}
			return nil, fmt.Errorf("wait for the checkpoint: %w: see whether the disk has room and enough witnesses answer; the entry itself is on disk", err)
		}
		time.Sleep(publishPoll)
	}
}

// treeSize reads how many entries tessera's tree has.
func treeSize(dir string) (uint64, error) {
	data, err := os.ReadFile(filepath.Join(dir, stateDir, "treeState"))
	if err != nil {
		return 0, fmt.Errorf("read the size of the tree: %w", err)
	}
	var state struct {
		Size uint64 `json:"size"`
	}
	if err := json.Unmarshal(data, &state); err != nil {
		return 0, fmt.Errorf("read the size of the tree: %w", err)
	}
	return state.Size, nil
}

// dropOrphans removes the statements of entries that a killed writer never came to write. Left there, they would be taken
// for those of entries to come.
func dropOrphans(dir string, next uint64) error {
	for {
		first, ok, err := ledger.LastPack(os.DirFS(dir))
		if err != nil || !ok || first < next {
			return err
		}
		path := filepath.Join(dir, filepath.FromSlash(ledger.PackPath(first)))
		if err := os.Remove(path); err != nil {
			return err
		}
		if err := syncDir(filepath.Dir(path)); err != nil {
			return err
		}
	}
}
