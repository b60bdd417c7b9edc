package provenance

import (
	"bytes"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/palladium-guard/palladium/internal/filestamp"
	"github.com/palladium-guard/palladium/store"
	"github.com/palladium-guard/palladium/weights/manifest"
)

const (
	cacheKeyName = "key"
	cacheHeader  = "palladium digests 1"
	// settle is how old a file's last change must be before its digest is kept. A second write within the clock's
	// resolution would leave the same times behind.
	settle     = 2 * time.Second
	sampleSize = 4096
	maxCache   = 256 << 20
)

// Cache remembers digests of files between runs, for one model. A digest counts only for a file with the same device,
// inode, size, time of modification and time of change, to the nanosecond, and whose content bears it out at its
// beginning, its end and places that only the holder of the cache's key can know. The time of change is set by the kernel
// at every write, for memory maps see Settle, and cannot be set by the file's owner. The cache is authenticated with the key: a line that anybody else
// wrote is not believed. Who can set the machine's clock, write to the disk below the file system, or read the key, can
// deceive it: Paranoid, or no cache at all, re-reads everything.
type Cache struct {
	Paranoid bool // recall nothing; keep what is read

	dir, path string
	key       []byte
	device    uint64
	now       func() time.Time

	mu    sync.Mutex
	known map[cacheKey]cacheLine // of earlier runs
	used  map[cacheKey]cacheLine // of this run; replaces known
	fresh bool                   // used has what known has not
}

type cacheKey struct {
	Stamp manifest.Stamp `json:"stamp"`
	Unit  manifest.Unit  `json:"unit"`
}

type cacheLine struct {
	cacheKey
	Digest []byte `json:"digest"`
	Sample []byte `json:"sample"`
}

// OpenCache opens the digests kept in dir for the model at path, and makes dir and its key when they are not there. A
// cache that was changed by anybody else is an error, and so is a model on a file system whose times say nothing.
func OpenCache(dir, path string) (*Cache, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, fmt.Errorf("open the digest cache: %w", err)
	}
	root, ok := filestamp.Of(info)
	if err := filestamp.TimesHold(path); err != nil || !ok {
		return nil, fmt.Errorf("open the digest cache: %w", err)
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("open the digest cache: %w", err)
	}
	c := &Cache{dir: dir, device: root.Device, now: time.Now, known: map[cacheKey]cacheLine{}, used: map[cacheKey]cacheLine{}}
	if err := c.readKey(); err != nil {
		return nil, fmt.Errorf("open the digest cache: %w", err)
	}
	absolute, err := filepath.Abs(path)
	if err != nil {
		return nil, fmt.Errorf("open the digest cache: %w", err)
	}
	c.path = filepath.Join(dir, hex.EncodeToString(c.mac([]byte("model"), []byte(absolute))[:16]))
	if err := c.load(); err != nil {
		return nil, fmt.Errorf("open the digest cache: %w", err)
	}
	return c, nil
}

// DefaultCacheDir is where digests are kept when no directory is named.
func DefaultCacheDir() (string, error) {
	dir, err := os.UserCacheDir()
	if err != nil {
		return "", fmt.Errorf("find the digest cache: %w", err)
	}
	return filepath.Join(dir, "palladium", "digests"), nil
}

func (c *Cache) readKey() error {
	path := filepath.Join(c.dir, cacheKeyName)
	info, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		if err := makeKey(path); err != nil && !errors.Is(err, fs.ErrExist) { // another run may have just made one
			return err
		}
		info, err = os.Stat(path)
	}
	if err != nil {
		return err
	}
	if info.Mode().Perm()&0o077 != 0 {
		return fmt.Errorf("its key %s can be read by others: remove the directory", path)
	}
	if c.key, err = os.ReadFile(path); err != nil {
		return err
	}
	if len(c.key) != sha256.Size {
		return fmt.Errorf("its key %s has %d bytes, not %d: remove the directory", path, len(c.key), sha256.Size)
	}
	return nil
}

// makeKey writes a new key, whole and never over one that is there.
func makeKey(path string) error {
	key := make([]byte, sha256.Size)
	_, _ = rand.Read(key) // never fails
	temp := path + "." + rand.Text()
	defer os.Remove(temp)
	if err := store.ReplaceBytes(temp, 0o600, key); err != nil {
		return err
	}
	return os.Link(temp, path)
}

func (c *Cache) mac(purpose []byte, parts ...[]byte) []byte {
	h := hmac.New(sha256.New, c.key)
	for _, p := range append([][]byte{purpose}, parts...) {
		_ = binary.Write(h, binary.LittleEndian, int64(len(p)))
		h.Write(p)
	}
	return h.Sum(nil)
}

// load reads the lines: a header, one line of JSON for each unit, and the authentication code of all before it.
func (c *Cache) load() error {
	data, err := readSmall(c.path, maxCache)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	i := bytes.LastIndexByte(bytes.TrimSuffix(data, []byte("\n")), '\n')
	tag, err := hex.DecodeString(string(bytes.TrimSpace(data[i+1:])))
	if err != nil || !hmac.Equal(tag, c.mac([]byte("lines"), []byte(c.path), data[:i+1])) {
		return fmt.Errorf("%s was not written with its key, or is damaged: remove it, then run again", c.path)
	}
	lines := bytes.Split(bytes.TrimSuffix(data[:i+1], []byte("\n")), []byte("\n"))
	if string(lines[0]) != cacheHeader {
		return nil // of another version
	}
	for _, text := range lines[1:] {
		var l cacheLine
		if err := json.Unmarshal(text, &l); err != nil {
			return fmt.Errorf("%s is damaged: remove it, then run again", c.path)
		}
		c.known[l.cacheKey] = l
	}
	return nil
}

// Save writes what this run has read or recalled. A run that did not come to its end keeps what earlier ones knew as well.
func (c *Cache) Save(complete bool) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !complete {
		for k, l := range c.known {
			if _, ok := c.used[k]; !ok {
				c.used[k] = l
			}
		}
	}
	if !c.fresh && len(c.used) == len(c.known) {
		return nil
	}
	var b bytes.Buffer
	b.WriteString(cacheHeader + "\n")
	e := json.NewEncoder(&b)
	for _, l := range c.used {
		if err := e.Encode(l); err != nil {
			return fmt.Errorf("keep digests: %w", err)
		}
	}
	tag := c.mac([]byte("lines"), []byte(c.path), b.Bytes())
	b.WriteString(hex.EncodeToString(tag) + "\n")
	if err := store.ReplaceBytes(c.path, 0o600, b.Bytes()); err != nil {
		return fmt.Errorf("keep digests: %w", err)
	}
	return nil
}

// Recall implements manifest.Memory.
func (c *Cache) Recall(content io.ReaderAt, s manifest.Stamp, u manifest.Unit) ([]byte, bool) {
	k := cacheKey{s, u}
	c.mu.Lock()
	l, ok := c.known[k]
	c.mu.Unlock()
	if !ok || c.Paranoid || s.Device != c.device {
		return nil, false
	}
	sample, err := c.sample(content, k)
	if err != nil || !hmac.Equal(sample, l.Sample) {
		return nil, false
	}
	c.mu.Lock()
	c.used[k] = l
	c.mu.Unlock()
	return l.Digest, true
}

// Settle implements manifest.Memory. Writes through a memory map set the time of change when they first touch a page, and
// not again before the page was written back: so it is, before the file is read. The file's last change is compared with
// the time before that, so that no page can be touched at the same tick of the clock as that change.
func (c *Cache) Settle(content io.ReaderAt, s manifest.Stamp) bool {
	limit := c.now().Add(-settle).UnixNano()
	if s.Device != c.device || s.Change > limit || s.Modified > limit {
		return false
	}
	f, ok := content.(interface{ Sync() error })
	return ok && f.Sync() == nil
}

// Keep implements manifest.Memory.
func (c *Cache) Keep(content io.ReaderAt, s manifest.Stamp, u manifest.Unit, digest []byte) {
	k := cacheKey{s, u}
	sample, err := c.sample(content, k)
	if err != nil {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	l := cacheLine{cacheKey: k, Digest: digest, Sample: sample}
	if old, ok := c.known[k]; !ok || !bytes.Equal(old.Digest, digest) {
		c.fresh = true
	}
	c.used[k] = l
}

// sample is the authentication code of some of the unit's bytes: its first and last ones, and two runs at places that
// follow from the key.
func (c *Cache) sample(content io.ReaderAt, k cacheKey) ([]byte, error) {
	id, err := json.Marshal(k)
	if err != nil {
		return nil, err
	}
	size := k.Unit.End - k.Unit.Start
	at := []int64{0}
	if span := size - sampleSize; span > 0 {
		at = append(at, span)
		where := c.mac([]byte("where"), id)
		for i := range 2 {
			at = append(at, int64(binary.LittleEndian.Uint64(where[8*i:])%uint64(span)))
		}
	}
	parts := [][]byte{id}
	for _, offset := range at {
		buf := make([]byte, min(size, sampleSize))
		if _, err := content.ReadAt(buf, k.Unit.Start+offset); err != nil && !errors.Is(err, io.EOF) {
			return nil, err
		}
		parts = append(parts, buf)
	}
	return c.mac([]byte("sample"), parts...), nil
}

// CacheFor opens the cache in dir, or in the default directory when dir is empty, for a model that is a directory or file.
func CacheFor(dir, path string, paranoid bool) (*Cache, error) {
	if dir == "" {
		var err error
		if dir, err = DefaultCacheDir(); err != nil {
			return nil, err
		}
	}
	c, err := OpenCache(dir, path)
	if err != nil {
		return nil, err
	}
	c.Paranoid = paranoid
	return c, nil
}
