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
	var held *group // taken, and too much for the batch
	for {
		g := held
		if held = nil; g == nil {
			var ok bool
			if g, ok = <-l.work; !ok {
				return
			}
		}
		batch, count, size := []*group{g}, len(g.statements), g.size
	gather:
		for {
			select {
			case g, ok := <-l.work:
				if !ok {
					break gather
				}
				if count+len(g.statements) > maxBatch || size+g.size > maxBatchBytes {
					held = g
					break gather
				}
				batch, count, size = append(batch, g), count+len(g.statements), size+g.size
			default:
				break gather
			}
		}
		if err := l.writeBatch(batch, count, size); err != nil {
			l.refuse(batch, err)
			continue
		}
		l.batches <- batch
	}
}

// refuse tells a batch, and all that come after it, that it is not acknowledged.
func (l *Log) refuse(batch []*group, err error) {
	l.fail(err)
	if !errors.Is(err, ErrStopped) {
		err = fmt.Errorf("%w: %w", ErrStopped, err)
	}
	for _, g := range batch {
		g.answer <- answer{err: err}
	}
}

func (l *Log) writeBatch(batch []*group, count, size int) error {
	if err := l.failure(); err != nil {
		return err
	}
	pack := make([]byte, 0, size+4*count)
	for _, g := range batch {
		for i := range g.statements {
			pack = ledger.AppendPack(pack, g.statements[i].body)
		}
	}
	if err := writeSynced(l.dir, ledger.PackPath(l.next), pack); err != nil {
		return explain("write the statements", err)
	}
	for _, g := range batch {
		for i := range g.statements {
			p := &g.statements[i]
			p.index = l.next
			p.future = l.add(context.Background(), tessera.NewEntry(p.entry.Marshal()))
			p.body = nil
			l.next++
		}
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

// grow waits for the entries of each batch, and the tree over them.
func (l *Log) grow() {
	defer close(l.grown)
	for batch := range l.batches {
		if err := inTree(batch); err != nil {
			l.refuse(batch, err)
			continue
		}
		l.grown <- batch
	}
}

// inTree waits until tessera has written the entries of a batch.
func inTree(batch []*group) error {
	for _, g := range batch {
		for i := range g.statements {
			p := &g.statements[i]
			index, err := p.future()
			switch {
			case err != nil:
				return explain("write the entry", err)
			case index.Index != p.index:
				return fmt.Errorf("write the entry: it became number %d instead of %d: somebody else writes to the folder", index.Index, p.index)
			}
			p.future = nil
		}
	}
	return nil
}

// publish waits for a checkpoint over each batch, and answers. One checkpoint is over many.
func (l *Log) publish() {
	defer close(l.done)
	var cp ledger.Checkpoint
	for batch := range l.grown {
		size := batch[len(batch)-1].last() + 1
		if !l.o.Unpublished && cp.Size < size {
			now, err := l.awaitCheckpoint(size)
			if err != nil {
				l.refuse(batch, err)
				continue
			}
			cp = *now
		}
		for _, g := range batch {
			g.answer <- answer{checkpoint: cp.Raw}
		}
	}
}

func (l *Log) awaitCheckpoint(size uint64) (*ledger.Checkpoint, error) {
	fsys := os.DirFS(l.dir)
	until := time.Now().Add(l.o.Patience)
	for {
		cp, err := ledger.ReadCheckpoint(fsys, l.o.Trust)
		if err == nil && cp.Size >= size {
			return cp, nil
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
