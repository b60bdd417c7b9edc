package tlog

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/palladium-guard/palladium/proof/ledger"
)

// NoMemory as Files.Seen has nothing remembered: a log that was rolled back whole is then not found out.
const NoMemory = "none"

const maxKey = 64 << 10

// Files name a ledger and what is needed to write or to believe it.
type Files struct {
	Dir     string // of the log
	Private string // the log's private key; only to write
	Public  string // its public key, from somewhere other than Dir; only to read, and that of Private when empty
	Policy  string // witness policy; none are asked for when empty
	Seen    string // keeps the last checkpoint seen; SeenPath when empty, NoMemory for none
}

// Init makes a key pair, then an empty log in Dir. The private key is written to Private, the public one to Public.
// Neither file may exist.
func (f *Files) Init(ctx context.Context, origin string) (public string, err error) {
	private, public, err := ledger.GenerateKey(rand.Reader, origin)
	if err != nil {
		return "", err
	}
	o, err := optionsFor(private, public, nil)
	if err != nil {
		return "", err
	}
	if err := writeNew(f.Private, private+"\n", 0o600); err != nil {
		return "", fmt.Errorf("write the private key: %w", err)
	}
	if err := writeNew(f.Public, public+"\n", 0o644); err != nil {
		os.Remove(f.Private)
		return "", fmt.Errorf("write the public key: %w", err)
	}
	if err := Create(ctx, f.Dir, o); err != nil {
		os.Remove(f.Private)
		os.Remove(f.Public)
		return "", err
	}
	return public, nil
}

func writeNew(path, text string, mode os.FileMode) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, mode)
	if err != nil {
		return err
	}
	_, err = f.WriteString(text)
	if err == nil {
		err = f.Sync()
	}
	if e := f.Close(); err == nil {
		err = e
	}
	if err != nil {
		os.Remove(path)
	}
	return err
}

func optionsFor(private, public string, policy []byte) (Options, error) {
	signer, err := ledger.ParseSigner(private)
	if err != nil {
		return Options{}, err
	}
	trust, err := ledger.ParseTrust(public, policy)
	if err != nil {
		return Options{}, err
	}
	return Options{Signer: signer, Trust: trust, Policy: policy}, nil
}

// Open opens the log for writing, with Private. A log that is not what it was when last seen is refused.
func (f *Files) Open(ctx context.Context) (*Writer, error) {
	private, err := readSmall(f.Private)
	if err != nil {
		return nil, fmt.Errorf("read the log's private key: %w", err)
	}
	public, err := ledger.PublicKey(string(private))
	if err != nil {
		return nil, err
	}
	policy, err := f.policy()
	if err != nil {
		return nil, err
	}
	o, err := optionsFor(string(private), public, policy)
	if err != nil {
		return nil, err
	}
	seen, err := f.seen(public)
	if err != nil {
		return nil, err
	}
	if o.Known, err = seen.load(o.Trust); err != nil {
		return nil, err
	}
	l, err := Open(ctx, f.Dir, o)
	if err != nil {
		return nil, err
	}
	return &Writer{Log: l, dir: f.Dir, trust: o.Trust, seen: seen}, nil
}

// Writer is an open log that remembers, when it is closed, how far it was seen to go.
type Writer struct {
	*Log
	dir   string
	trust ledger.Trust
	seen  seen
}

// Close closes the log.
func (w *Writer) Close() error {
	if err := w.Log.Close(); err != nil {
		return err
	}
	cp, err := ledger.ReadCheckpoint(os.DirFS(w.dir), ledger.Trust{Log: w.trust.Log})
	if err != nil {
		return err
	}
	return w.seen.advance(cp, w.trust)
}

// Trust reads the public key and the witness policy.
func (f *Files) Trust() (ledger.Trust, error) {
	t, _, err := f.trust()
	return t, err
}

func (f *Files) trust() (t ledger.Trust, public string, err error) {
	key, err := f.public()
	if err != nil {
		return t, "", err
	}
	policy, err := f.policy()
	if err != nil {
		return t, "", err
	}
	t, err = ledger.ParseTrust(string(key), policy)
	return t, strings.TrimSpace(string(key)), err
}

// public reads the public key, or takes it from the private one when only that is named.
func (f *Files) public() ([]byte, error) {
	if f.Public == "" && f.Private != "" {
		private, err := readSmall(f.Private)
		if err != nil {
			return nil, fmt.Errorf("read the log's private key: %w", err)
		}
		public, err := ledger.PublicKey(string(private))
		return []byte(public), err
	}
	key, err := readSmall(f.Public)
	if err != nil {
		return nil, fmt.Errorf("read the log's public key: %w", err)
	}
	return key, nil
}

func (f *Files) policy() ([]byte, error) {
	if f.Policy == "" {
		return nil, nil
	}
	data, err := readSmall(f.Policy)
	if err != nil {
		return nil, fmt.Errorf("read the witness policy: %w", err)
	}
	if len(strings.TrimSpace(string(data))) == 0 {
		return nil, fmt.Errorf("read the witness policy: %s is empty: name witnesses and a quorum", f.Policy)
	}
	return data, nil
}

// Verify checks the whole log, and that it follows what was last seen of it; then remembers how far it was seen.
func (f *Files) Verify(ctx context.Context) (*ledger.Report, error) {
	t, public, err := f.trust()
	if err != nil {
		return nil, err
	}
	seen, err := f.seen(public)
	if err != nil {
		return nil, err
	}
	known, err := seen.load(t)
	if err != nil {
		return nil, err
	}
	r, err := ledger.Verify(ctx, os.DirFS(f.Dir), t, known)
	if err != nil {
		return nil, err
	}
	return r, seen.advance(r.Checkpoint, t)
}

// SeenPath is where the last checkpoint of the log with this public key is kept unless another file is named: by user,
// away from the log.
func SeenPath(public string) (string, error) {
	dir := os.Getenv("XDG_STATE_HOME")
	if !filepath.IsAbs(dir) {
		home, err := os.UserHomeDir()
		if err != nil {
			return "", fmt.Errorf("find where the last checkpoint seen is kept: %w: name a file with --seen, or --seen %s", err, NoMemory)
		}
		dir = filepath.Join(home, ".local", "state")
	}
	return filepath.Join(dir, "palladium", "ledgers", ledger.KeyID(public)+".checkpoint"), nil
}

func (f *Files) seen(public string) (seen, error) {
	if f.Seen == NoMemory {
		return "", nil
	}
	if f.Seen != "" {
		return seen(f.Seen), nil
	}
	path, err := SeenPath(public)
	return seen(path), err
}

// seen is the file with the last checkpoint seen; empty for none.
type seen string

func (s seen) load(t ledger.Trust) (*ledger.Checkpoint, error) {
	if s == "" {
		return nil, nil
	}
	data, err := readSmall(string(s))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	var cp *ledger.Checkpoint
	if err == nil { // today's witnesses need not have signed it
		cp, err = ledger.OpenCheckpoint(data, ledger.Trust{Log: t.Log})
	}
	if err != nil {
		return nil, fmt.Errorf("read the checkpoint last seen, %s: %w: find out why before you remove it", s, err)
	}
	return cp, nil
}

// advance keeps cp, unless a longer one was kept in the meantime.
func (s seen) advance(cp *ledger.Checkpoint, t ledger.Trust) error {
	if s == "" {
		return nil
	}
	fail := func(err error) error { return fmt.Errorf("keep the checkpoint seen: %w", err) }
	dir, name := filepath.Split(string(s))
	if dir == "" {
		dir = "."
	}
	if err := makeDirs(filepath.Clean(dir)); err != nil {
		return fail(err)
	}
	unlock, err := waitLock(string(s) + ".lock")
	if err != nil {
		return fail(err)
	}
	defer unlock()
	old, err := s.load(t)
	if err != nil {
		return err
	}
	if old != nil && old.Size >= cp.Size {
		return nil
	}
	if err := writeSynced(dir, name, cp.Raw); err != nil {
		return fail(err)
	}
	return nil
}

func readSmall(path string) ([]byte, error) { return readLimited(path, maxKey) }

func readLimited(path string, limit int64) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, limit+1))
	if err == nil && int64(len(data)) > limit {
		err = fmt.Errorf("%s has more than %d bytes", path, limit)
	}
	return data, err
}
