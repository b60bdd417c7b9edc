package credential

import (
	"cmp"
	"context"
	"crypto/subtle"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/palladium-guard/palladium/store/lines"
	"github.com/palladium-guard/palladium/store/watch"
	"github.com/palladium-guard/palladium/traffic/gateway"
)

// Why a key is not changed.
var (
	ErrUnknownKey = errors.New("no key has this id: palladium key list shows those there are")
	ErrEnded      = errors.New("key is revoked or has expired: create a new one")
)

// Keys are the Palladium keys of one file, held in memory. The file has one JSON object a line; the last line of an id
// counts. Several processes may read and change it at once: each change is made under a lock, on disk before it returns,
// and seen by those that Watch. It is safe for concurrent use.
type Keys struct {
	file *lines.File

	change sync.Mutex      // one change at a time in this process
	all    sync.Map        // id -> *Key
	seen   map[string]bool // ids of a file that is being read from the top; nil otherwise
	lines  int             // since the file was written whole
	bad    error           // the first line that could not be read
	count  atomic.Int64
	fail   atomic.Pointer[error]
}

// OpenKeys reads the keys of the file of that path. A file that does not exist holds none: Create makes it.
func OpenKeys(path string) (*Keys, error) {
	k := &Keys{file: lines.New(path)}
	if err := k.Reload(); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("read the keys: %w", err)
	}
	return k, nil
}

// Path returns the path of the key file.
func (k *Keys) Path() string { return k.file.Path() }

// Reload takes in what was added to the file. When it cannot be read, the keys that are known go on to hold; a line that
// cannot be read is passed over, so that it hides no revocation after it. Either is returned, and Err tells.
func (k *Keys) Reload() error {
	k.change.Lock()
	defer k.change.Unlock()
	return k.done(k.file.Read((*taker)(k)))
}

// done ends a reading: keys that a file written anew no longer has are dropped.
func (k *Keys) done(err error) error {
	if err != nil {
		k.fail.Store(&err)
		return err
	}
	if k.seen != nil && k.bad == nil {
		k.all.Range(func(id, _ any) bool {
			if !k.seen[id.(string)] {
				k.all.Delete(id)
			}
			return true
		})
	}
	if k.seen != nil {
		k.count.Store(int64(len(k.seen)))
		k.seen = nil
	}
	if k.bad != nil {
		bad := k.bad
		k.fail.Store(&bad)
		return bad
	}
	k.fail.Store(nil)
	return nil
}

// Err returns why the last attempt to read the file failed; nil when it did not.
func (k *Keys) Err() error {
	if p := k.fail.Load(); p != nil {
		return *p
	}
	return nil
}

// Len returns the number of keys, those that have ended included.
func (k *Keys) Len() int { return int(k.count.Load()) }

// taker takes lines of the file in.
type taker Keys

// Reset begins the set anew; what is there stays in force until the reading ends.
func (t *taker) Reset() {
	t.seen = make(map[string]bool)
	t.lines, t.bad = 0, nil
}

// Line takes one key.
func (t *taker) Line(n int, text []byte) error {
	t.lines++
	key, err := parseKey(text)
	if err != nil {
		if t.bad == nil {
			t.bad = fmt.Errorf("%s: line %d: %w", t.file.Path(), n, err)
		}
		return nil
	}
	if t.seen != nil {
		t.seen[key.ID] = true
	}
	if _, old := t.all.Swap(key.ID, key); !old && t.seen == nil {
		t.count.Add(1)
	}
	return nil
}

// Watch takes in what other processes change, within milliseconds, until ctx ends. After each attempt it calls told with
// its outcome; told may be nil.
func (k *Keys) Watch(ctx context.Context, told func(error)) {
	watch.File(ctx, k.file.Path(), 0, func() {
		err := k.Reload()
		if told != nil {
			told(err)
		}
	})
	_ = k.Reload() // what changed before the watch began; Err tells of a failure
}

// Find returns the caller of the key whose text is presented, at the time now. It reads memory only. Errors wrap
// gateway.ErrCredential, ErrExpired or ErrRevoked and say nothing of the text.
func (k *Keys) Find(text string, now time.Time) (gateway.Caller, error) {
	secret, err := ParseSecret(text)
	if err != nil {
		return gateway.Caller{}, fmt.Errorf("%w: %w", gateway.ErrCredential, err)
	}
	key, sum := k.get(secret.ID()), secret.sum()
	if key == nil {
		key = new(Key)
	}
	// Every digest is compared, in constant time, so that the time taken says nothing of how much agrees.
	match := 0
	for i := range key.Digests {
		d := &key.Digests[i]
		held := d.Until.IsZero() || now.Before(d.Until)
		if subtle.ConstantTimeCompare(d.SHA256[:], sum[:]) == 1 && held {
			match = 1
		}
	}
	if match == 0 {
		return gateway.Caller{}, gateway.ErrCredential
	}
	switch key.State(now) {
	case "revoked":
		return gateway.Caller{}, gateway.ErrRevoked
	case "expired":
		return gateway.Caller{}, gateway.ErrExpired
	}
	c := key.caller("key", key.ID)
	c.Expires = key.Expires
	return c, nil
}

func (k *Keys) get(id string) *Key {
	v, ok := k.all.Load(id)
	if !ok {
		return nil
	}
	return v.(*Key)
}

// Revoked reports whether the credential of that id, as in gateway.Caller, was revoked.
func (k *Keys) Revoked(id string) bool {
	key := k.get(id)
	return key != nil && !key.Revoked.IsZero()
}

// List returns all keys, oldest first. They hold no secret and must not be changed.
func (k *Keys) List() []*Key {
	var out []*Key
	k.all.Range(func(_, v any) bool {
		out = append(out, v.(*Key))
		return true
	})
	slices.SortFunc(out, func(a, b *Key) int { return cmp.Or(a.Created.Compare(b.Created), strings.Compare(a.ID, b.ID)) })
	return out
}

// Create makes a key at the time now. Expires may be zero. The secret is drawn from random, which must be unpredictable,
// and cannot be had again.
func (k *Keys) Create(now time.Time, random io.Reader, g Grant, expires time.Time, note string) (*Key, Secret, error) {
	if err := g.check(); err != nil {
		return nil, Secret{}, fmt.Errorf("create a key: %w", err)
	}
	if !expires.IsZero() && !expires.After(now) {
		return nil, Secret{}, errors.New("create a key: it would have expired already")
	}
	if !name(note) {
		return nil, Secret{}, fmt.Errorf("create a key: its note is longer than %d bytes, or cannot be printed", maxName)
	}
	id, err := newID(random)
	if err != nil {
		return nil, Secret{}, err
	}
	secret, err := newSecret(random, id)
	if err != nil {
		return nil, Secret{}, err
	}
	key := &Key{
		ID: id, Grant: g, Note: note, Created: now.UTC().Truncate(time.Second), Expires: expires.UTC().Truncate(time.Second),
		Digests: []Digest{{SHA256: secret.sum()}},
	}
	if err := k.update(func() (*Key, error) { return key, nil }); err != nil {
		return nil, Secret{}, fmt.Errorf("create a key: %w", err)
	}
	return key, secret, nil
}

// Rotate gives a key a new secret. The one before is good for the time of overlap from now on; any older one is not.
func (k *Keys) Rotate(now time.Time, random io.Reader, id string, overlap time.Duration) (*Key, Secret, error) {
	if overlap < 0 {
		return nil, Secret{}, errors.New("rotate a key: the overlap is negative")
	}
	secret, err := newSecret(random, id)
	if err != nil {
		return nil, Secret{}, err
	}
	var key *Key
	err = k.update(func() (*Key, error) {
		old := k.get(id)
		if old == nil || old.foreign() {
			return nil, ErrUnknownKey
		}
		if old.State(now) != "active" {
			return nil, ErrEnded
		}
		key = old.clone()
		key.Rotated = now.UTC().Truncate(time.Second)
		last := key.Digests[len(key.Digests)-1]
		last.Until = now.UTC().Add(overlap)
		key.Digests = []Digest{last, {SHA256: secret.sum()}}
		if overlap == 0 {
			key.Digests = key.Digests[1:]
		}
		return key, nil
	})
	if err != nil {
		return nil, Secret{}, fmt.Errorf("rotate a key: %w", err)
	}
	return key, secret, nil
}

// Revoke ends the credential of that id for good: a key, or, with an id that has a colon, a token's subject, a
// certificate or a trusted identity, as gateway.Caller names it. To revoke twice changes nothing. The result is the
// credential as it stands.
func (k *Keys) Revoke(now time.Time, id, reason string) (*Key, error) {
	if !name(reason) || !name(id) {
		return nil, fmt.Errorf("revoke a key: the id or the reason is longer than %d bytes, or cannot be printed", maxName)
	}
	var key *Key
	err := k.update(func() (*Key, error) {
		key = k.get(id)
		switch {
		case key == nil && !strings.Contains(id, ":"):
			return nil, ErrUnknownKey
		case key == nil:
			key = &Key{ID: id, Created: now.UTC().Truncate(time.Second)}
		case !key.Revoked.IsZero():
			return nil, nil
		default:
			key = key.clone()
		}
		key.Revoked, key.Reason = now.UTC().Truncate(time.Second), reason
		return key, nil
	})
	if err != nil {
		return nil, fmt.Errorf("revoke a key: %w", err)
	}
	return key, nil
}

// update writes the key that make returns; nil writes nothing. The file is written whole once most of its lines no longer
// count.
func (k *Keys) update(make func() (*Key, error)) error {
	k.change.Lock()
	defer k.change.Unlock()
	err := k.file.Update((*taker)(k), func() (lines.Change, error) {
		_ = k.done(nil) // a line that cannot be read does not keep others from being revoked
		key, err := make()
		if err != nil || key == nil {
			return lines.Change{}, err
		}
		if k.bad != nil || k.lines < 64 || k.lines < 2*k.Len() {
			line, err := json.Marshal(key)
			return lines.Change{Lines: [][]byte{line}}, err
		}
		c := lines.Change{Whole: true}
		all := k.List()
		if at := slices.IndexFunc(all, func(o *Key) bool { return o.ID == key.ID }); at >= 0 {
			all[at] = key
		} else {
			all = append(all, key)
		}
		for _, o := range all {
			line, err := json.Marshal(o)
			if err != nil {
				return lines.Change{}, err
			}
			c.Lines = append(c.Lines, line)
		}
		return c, nil
	})
	if err == nil {
		_ = k.done(nil)
	}
	return err
}
