//go:build unix && !solaris && !aix

package tlog

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/transparency-dev/tessera"
	"github.com/transparency-dev/tessera/storage/posix"
	"k8s.io/klog/v2"

	"github.com/palladium-guard/palladium/proof/ledger"
)

const (
	maxBatch      = 4096     // statements written and synced together
	maxBatchBytes = 32 << 20 // of such statements, before the next batch is begun
	batchAge      = 2 * time.Millisecond
	publishEvery  = 100 * time.Millisecond // the shortest interval between checkpoints that tessera allows
	publishPoll   = 3 * time.Millisecond
	inFlight      = 2    // batches whose tree is being written: meanwhile the next one grows
	maxGrown      = 1024 // batches that wait for a checkpoint
	lockName      = "lock"
	stateDir      = ".state" // tessera's own
)

// Log is an open ledger. It implements ledger.Ledger.
type Log struct {
	dir     string
	o       Options
	lock    *os.File
	add     tessera.AddFn
	stop    func(context.Context) error
	cancel  context.CancelFunc
	work    chan *group
	batches chan []*group // their statements are on disk
	grown   chan []*group // so are their entries and the tree over them
	done    chan struct{} // the goroutines have ended

	mu     sync.RWMutex // guards closed, and work against sends after it was closed
	closed bool

	next   uint64 // index of the next entry; owned by the writing goroutine
	failMu sync.Mutex
	failed error
}

// group is what one caller appends together.
type group struct {
	statements []pending
	size       int
	answer     chan answer // one is sent, never more
}

// pending is a statement on its way.
type pending struct {
	body   []byte // nil once it is on disk
	entry  ledger.Entry
	future tessera.IndexFuture
	index  uint64
}

type answer struct {
	checkpoint []byte
	err        error
}

func (g *group) last() uint64 { return g.statements[len(g.statements)-1].index }

// Create makes an empty log in the folder dir, which must not exist or be empty.
func Create(ctx context.Context, dir string, o Options) error {
	entries, err := os.ReadDir(dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("create the ledger: %w", err)
	}
	if len(entries) > 0 {
		return fmt.Errorf("create the ledger: %s is not empty: a ledger is begun in a folder of its own", dir)
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return fmt.Errorf("create the ledger: %w", err)
	}
	l, err := start(ctx, dir, o)
	if err != nil {
		return err
	}
	if err := l.Close(); err != nil {
		return err
	}
	return syncDir(filepath.Dir(filepath.Clean(dir)))
}

// Open opens the log in dir for writing. Only one process can: errors wrap ErrBusy for a second one, and those of package
// ledger for a log that does not bear out its own checkpoint or does not follow o.Known.
func Open(ctx context.Context, dir string, o Options) (*Log, error) {
	if _, err := os.Stat(filepath.Join(dir, ledger.CheckpointPath)); err != nil {
		return nil, fmt.Errorf("open the ledger: %w: `palladium ledger init` makes one", err)
	}
	return start(ctx, dir, o)
}

func start(ctx context.Context, dir string, o Options) (l *Log, err error) {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.HTTP == nil {
		o.HTTP = http.DefaultClient
	}
	if o.WitnessTimeout == 0 {
		o.WitnessTimeout = tessera.DefaultWitnessTimeout
	}
	if o.Patience == 0 {
		o.Patience = 2*o.WitnessTimeout + 20*time.Second
	}
	quiet()
	lock, err := takeLock(filepath.Join(dir, lockName))
	if err != nil {
		return nil, fmt.Errorf("open the ledger %s: %w", dir, err)
	}
	defer func() {
		if err != nil {
			lock.Close()
		}
	}()
	if err := intact(dir, &o); err != nil {
		return nil, fmt.Errorf("open the ledger %s: %w", dir, err)
	}
	opts := tessera.NewAppendOptions().WithCheckpointSigner(o.Signer).WithBatching(maxBatch, batchAge).
		WithCheckpointInterval(publishEvery).WithCheckpointRepublishInterval(0)
	if len(o.Policy) > 0 {
		group, err := tessera.NewWitnessGroupFromPolicy(o.Policy)
		if err != nil {
			return nil, fmt.Errorf("read the witness policy: %w", err)
		}
		opts = opts.WithWitnesses(group, &tessera.WitnessOptions{Timeout: o.WitnessTimeout})
	}
	driver, err := posix.New(ctx, posix.Config{Path: dir, HTTPClient: o.HTTP})
	if err != nil {
		return nil, fmt.Errorf("open the ledger %s: %w", dir, err)
	}
	running, cancel := context.WithCancel(context.WithoutCancel(ctx))
	app, stop, reader, err := tessera.NewAppender(running, driver, opts)
	if err != nil {
		cancel()
		return nil, fmt.Errorf("open the ledger %s: %w", dir, err)
	}
	next, err := reader.NextIndex(ctx)
	if err != nil {
		cancel()
		return nil, fmt.Errorf("open the ledger %s: %w", dir, err)
	}
	if err := dropOrphans(dir, next); err != nil {
		cancel()
		return nil, fmt.Errorf("open the ledger %s: %w", dir, err)
	}
	sweep(filepath.Dir(filepath.Join(dir, filepath.FromSlash(ledger.PackPath(next)))))
	l = &Log{
		dir: dir, o: o, lock: lock, add: app.Add, stop: stop, cancel: cancel, next: next,
		work: make(chan *group, maxBatch), batches: make(chan []*group, inFlight), grown: make(chan []*group, maxGrown),
		done: make(chan struct{}),
	}
	go l.write()
	go l.grow()
	go l.publish()
	return l, nil
}

// intact checks that a log that is already there is the one its checkpoint says, and follows the one seen.
func intact(dir string, o *Options) error {
	fsys := os.DirFS(dir)
	cp, err := ledger.ReadCheckpoint(fsys, ledger.Trust{Log: o.Trust.Log})
	if errors.Is(err, fs.ErrNotExist) {
		if o.Known != nil && o.Known.Size > 0 {
			return fmt.Errorf("%w: it is empty, and had %d entries when it was last seen", ledger.ErrRollback, o.Known.Size)
		}
		return nil
	}
	if err != nil {
		return err
	}
	if err := ledger.Follows(fsys, cp, o.Known); err != nil {
		return err
	}
	if err := ledger.Follows(fsys, cp, cp); err != nil {
		return err
	}
	size, err := treeSize(dir)
	if err != nil {
		return err
	}
	if size < cp.Size {
		return fmt.Errorf("%w: its tree has %d entries, its checkpoint %d", ledger.ErrRollback, size, cp.Size)
	}
	return nil
}

// quiet has tessera say nothing on standard error: what matters comes back as an error.
func quiet() {
	klog.LogToStderr(false)
	klog.SetOutput(io.Discard)
}

// Name returns the log's name.
func (l *Log) Name() string { return l.o.Signer.Name() }

// Append writes s and waits until it is durable and, unless o.Unpublished, a checkpoint covers it. All who append at the
// same time share the waiting.
func (l *Log) Append(ctx context.Context, s ledger.Statement) (ledger.Receipt, error) {
	r, err := l.AppendAll(ctx, []ledger.Statement{s})
	if err != nil {
		return ledger.Receipt{}, err
	}
	return r[0], nil
}

// AppendAll writes statements, and waits as Append does. When one of them is refused, none is written.
func (l *Log) AppendAll(ctx context.Context, statements []ledger.Statement) ([]ledger.Receipt, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	groups, err := l.groups(statements)
	if err != nil {
		return nil, err
	}
	for _, g := range groups {
		if err := l.send(ctx, g); err != nil {
			return nil, err
		}
	}
	out := make([]ledger.Receipt, 0, len(statements))
	for _, g := range groups {
		select {
		case a := <-g.answer:
			if a.err != nil {
				return nil, a.err
			}
			for i := range g.statements {
				out = append(out, ledger.Receipt{Index: g.statements[i].index, Entry: g.statements[i].entry, Checkpoint: a.checkpoint})
			}
		case <-ctx.Done():
			return nil, fmt.Errorf("append to the ledger: %w: the statement may still get in", ctx.Err())
		}
	}
	return out, nil
}

// groups checks statements, and divides them so that none is more than a batch.
func (l *Log) groups(statements []ledger.Statement) (out []*group, err error) {
	var g *group
	for _, s := range statements {
		if s.Time.IsZero() {
			s.Time = l.o.Now()
		}
		e, err := s.Entry()
		if err != nil {
			return nil, err
		}
		if g == nil || len(g.statements) == maxBatch || g.size+len(s.Body) > maxBatchBytes {
			g = &group{answer: make(chan answer, 1)}
			out = append(out, g)
		}
		// Who gives up waiting may use the body for something else.
		g.statements = append(g.statements, pending{body: bytes.Clone(s.Body), entry: e})
		g.size += len(s.Body)
	}
	return out, nil
}

func (l *Log) send(ctx context.Context, g *group) error {
	l.mu.RLock()
	defer l.mu.RUnlock()
	if l.closed {
		return ErrClosed
	}
	select {
	case l.work <- g:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Close waits for what was appended, and gives the folder free.
func (l *Log) Close() error {
	l.mu.Lock()
	if l.closed {
		l.mu.Unlock()
		return ErrClosed
	}
	l.closed = true
	close(l.work)
	l.mu.Unlock()
	<-l.done
	defer l.lock.Close()
	defer l.cancel()
	if err := l.failure(); err != nil {
		return nil // those who appended have been told
	}
	ctx, cancel := context.WithTimeout(context.Background(), l.o.Patience)
	defer cancel()
	if err := l.stop(ctx); err != nil {
		return fmt.Errorf("close the ledger: %w: the entries are safe; the next append signs a checkpoint over them", err)
	}
	return nil
}

func (l *Log) fail(err error) {
	l.failMu.Lock()
	defer l.failMu.Unlock()
	if l.failed == nil {
		l.failed = err
	}
}

func (l *Log) failure() error {
	l.failMu.Lock()
	defer l.failMu.Unlock()
	if l.failed == nil {
		return nil
	}
	return fmt.Errorf("%w: %w", ErrStopped, l.failed)
}
