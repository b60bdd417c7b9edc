package place

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"
)

// Bucket is a place in an S3-compatible store. A PUT and the completion of an upload in parts are atomic there, so that whatever
// has its name is whole. Small files are swapped with If-Match, and where a store does not know that, without it.
type Bucket struct {
	client         *minio.Client
	bucket, prefix string // prefix is empty or ends in a slash
	shown          string
}

// OpenBucket makes what is needed to speak to the store; it does not speak to it yet.
func OpenBucket(c S3) (*Bucket, error) {
	host, secure, err := c.parse()
	if err != nil {
		return nil, err
	}
	creds := credentials.NewChainCredentials([]credentials.Provider{
		&credentials.EnvAWS{}, &credentials.EnvMinio{}, &credentials.FileAWSCredentials{},
		&credentials.IAM{Client: &http.Client{Timeout: 5 * time.Second}},
	})
	if c.Credentials != "" {
		id, secret, err := readCredentials(c.Credentials)
		if err != nil {
			return nil, err
		}
		creds = credentials.NewStaticV4(id, secret, "")
	}
	client, err := minio.New(host, &minio.Options{Creds: creds, Secure: secure, Region: c.Region, TrailingHeaders: secure})
	if err != nil {
		return nil, fmt.Errorf("reach the bucket: %w: check its URL", err)
	}
	client.SetAppInfo("palladium", "1")
	b := &Bucket{client: client, bucket: c.Bucket, shown: "s3://" + c.Bucket}
	if p := strings.Trim(c.Prefix, "/"); p != "" {
		b.prefix = p + "/"
		b.shown += "/" + p
	}
	return b, nil
}

// readCredentials reads a file of two lines: the id of the access key, and the secret.
func readCredentials(path string) (id, secret string, err error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return "", "", fmt.Errorf("read the credentials of the bucket: %w", err)
	}
	lines := strings.Fields(string(data))
	if len(lines) != 2 {
		return "", "", fmt.Errorf("read the credentials of the bucket: %s: write the id of the access key on one line and the secret on the next", path)
	}
	return lines[0], lines[1], nil
}

// String is its address, s3://….
func (b *Bucket) String() string { return b.shown }

func (b *Bucket) key(name string) string { return b.prefix + name }

// failed gives an error of the store its place and an absent object the name that Go knows it by.
func (b *Bucket) failed(what string, err error) error {
	if err == nil {
		return nil
	}
	switch r := minio.ToErrorResponse(err); {
	case r.Code == minio.NoSuchKey || r.Code == "NotFound" && r.StatusCode == http.StatusNotFound:
		err = fs.ErrNotExist
	case r.Code == minio.NoSuchBucket:
		err = fmt.Errorf("the bucket %s is not there: make it first", b.bucket)
	case r.StatusCode == http.StatusForbidden:
		err = fmt.Errorf("%s: check the credentials and what they may do", r.Code)
	}
	return fmt.Errorf("%s %s: %w", what, b.shown, err)
}

// List gives the files below a folder with their sizes.
func (b *Bucket) List(ctx context.Context, under string) (map[string]int64, error) {
	out := map[string]int64{}
	for o := range b.client.ListObjectsIter(ctx, b.bucket, minio.ListObjectsOptions{Prefix: b.key(under) + "/", Recursive: true}) {
		if o.Err != nil {
			return nil, b.failed("list", o.Err)
		}
		out[strings.TrimPrefix(o.Key, b.prefix)] = o.Size
	}
	return out, ctx.Err()
}

// partBytes is how much of a file of unknown length is sent at once, and held in memory until then. With 10,000 parts, files may have
// 156 GiB.
const partBytes = 16 << 20

// Put makes a file of what write writes: whole and durable when it returns. When it fails, it may have been done all the same.
func (b *Bucket) Put(ctx context.Context, name string, write func(io.Writer) error) error {
	r, w := io.Pipe()
	var wrote error
	done := make(chan struct{})
	go func() {
		defer close(done)
		wrote = write(w)
		w.CloseWithError(wrote) // nil is the end of the file
	}()
	_, err := b.client.PutObject(ctx, b.bucket, b.key(name), r, -1, minio.PutObjectOptions{
		PartSize: partBytes, ContentType: "application/vnd.apache.parquet", NumThreads: 1,
	})
	r.Close() // lets write end
	<-done
	if wrote != nil && !errors.Is(wrote, io.ErrClosedPipe) && (err == nil || errors.Is(err, wrote)) {
		return wrote
	}
	return b.failed("write to", err)
}

// Open opens a file; whole says that most of it will be read, so that it is copied to the local disk first. The error is fs.ErrNotExist
// when it is not there.
func (b *Bucket) Open(ctx context.Context, name string, whole bool) (Blob, error) {
	info, err := b.client.StatObject(ctx, b.bucket, b.key(name), minio.StatObjectOptions{})
	if err != nil {
		return nil, b.failed("read from", err)
	}
	r := &ranges{ctx: ctx, b: b, name: name, etag: info.ETag, size: info.Size}
	if !whole {
		return r, nil
	}
	f, err := os.CreateTemp("", "palladium-place-*")
	if err != nil {
		return nil, fmt.Errorf("make room for a copy of %s: %w", name, err)
	}
	os.Remove(f.Name()) // lives as long as it is open, where the system allows
	if _, err := io.Copy(f, io.NewSectionReader(r, 0, r.size)); err != nil {
		f.Close()
		os.Remove(f.Name())
		return nil, err
	}
	return copied{local{f, r.size}}, nil
}

// copied is a file of the bucket on the local disk.
type copied struct{ local }

func (c copied) Close() error {
	err := c.File.Close()
	os.Remove(c.Name()) // where it could not be removed while open
	return err
}

// ranges reads a file of the bucket in blocks, of which it keeps some.
type ranges struct {
	ctx  context.Context
	b    *Bucket
	name string
	etag string
	size int64

	mu     sync.Mutex
	blocks map[int64][]byte
	order  []int64 // of arrival
}

const (
	blockBytes = 1 << 20
	blocksKept = 32
)

func (r *ranges) Size() int64 { return r.size }

func (r *ranges) Close() error { return nil }

func (r *ranges) ReadAt(p []byte, off int64) (n int, err error) {
	for n < len(p) && off < r.size {
		block, err := r.block(off / blockBytes)
		if err != nil {
			return n, err
		}
		k := copy(p[n:], block[off%blockBytes:])
		n += k
		off += int64(k)
	}
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}

func (r *ranges) block(i int64) ([]byte, error) {
	r.mu.Lock()
	data, ok := r.blocks[i]
	r.mu.Unlock()
	if ok {
		return data, nil
	}
	var err error
	for try := range 4 { // the client sends a request again by itself, but not where an answer breaks off
		if try > 0 {
			select {
			case <-r.ctx.Done():
				return nil, r.ctx.Err()
			case <-time.After(time.Duration(try) * 200 * time.Millisecond):
			}
		}
		if data, err = r.fetch(i); err == nil || r.ctx.Err() != nil || errors.Is(err, fs.ErrNotExist) {
			break
		}
	}
	if err != nil {
		return nil, err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.blocks == nil {
		r.blocks = map[int64][]byte{}
	}
	if _, ok := r.blocks[i]; !ok {
		if len(r.order) == blocksKept {
			delete(r.blocks, r.order[0])
			r.order = r.order[1:]
		}
		r.blocks[i] = data
		r.order = append(r.order, i)
	}
	return data, nil
}

func (r *ranges) fetch(i int64) ([]byte, error) {
	var o minio.GetObjectOptions
	from, to := i*blockBytes, min((i+1)*blockBytes, r.size)
	if err := errors.Join(o.SetRange(from, to-1), o.SetMatchETag(r.etag)); err != nil {
		return nil, err
	}
	core := minio.Core{Client: r.b.client}
	body, _, _, err := core.GetObject(r.ctx, r.b.bucket, r.b.key(r.name), o)
	if err != nil {
		return nil, r.b.failed("read from", err)
	}
	defer body.Close()
	data := make([]byte, to-from)
	if _, err := io.ReadFull(body, data); err != nil {
		return nil, r.b.failed("read from", err)
	}
	return data, nil
}

// Remove removes files. One that is not there is no error.
func (b *Bucket) Remove(ctx context.Context, names ...string) error {
	for _, name := range names { // one by one: not every store knows how to remove many
		err := b.failed("remove from", b.client.RemoveObject(ctx, b.bucket, b.key(name), minio.RemoveObjectOptions{}))
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}

// Load reads a small file, with a tag for what it holds. The tag is empty when it is not there.
func (b *Bucket) Load(ctx context.Context, name string) ([]byte, string, error) {
	core := minio.Core{Client: b.client}
	body, info, _, err := core.GetObject(ctx, b.bucket, b.key(name), minio.GetObjectOptions{})
	if err = b.failed("read from", err); errors.Is(err, fs.ErrNotExist) {
		return nil, "", nil
	} else if err != nil {
		return nil, "", err
	}
	defer body.Close()
	data, err := io.ReadAll(io.LimitReader(body, 1<<30))
	return data, info.ETag, b.failed("read from", err)
}

// Swap replaces a small file of that tag, empty: makes it, and returns the new tag; ok is false when the file has another.
func (b *Bucket) Swap(ctx context.Context, name string, data []byte, tag string) (string, bool, error) {
	o := minio.PutObjectOptions{ContentType: "application/json"}
	if tag == "" {
		o.SetMatchETagExcept("*")
	} else {
		o.SetMatchETag(tag)
	}
	info, err := b.client.PutObject(ctx, b.bucket, b.key(name), strings.NewReader(string(data)), int64(len(data)), o)
	if r := minio.ToErrorResponse(err); r.StatusCode == http.StatusPreconditionFailed || r.StatusCode == http.StatusConflict ||
		r.StatusCode == http.StatusNotFound && tag != "" && r.Code != minio.NoSuchBucket {
		// It may have been this very call, whose answer was lost.
		if now, found, err := b.Load(ctx, name); err == nil && string(now) == string(data) {
			return found, true, nil
		}
		return "", false, nil
	}
	return info.ETag, err == nil, b.failed("write to", err)
}

// Lock does nothing: Swap tells when another writes too.
func (b *Bucket) Lock(string) (unlock func(), ok bool, err error) { return func() {}, true, nil }

// Tidy removes uploads in parts that crashes left unfinished more than a day ago.
func (b *Bucket) Tidy(ctx context.Context) error {
	for u := range b.client.ListIncompleteUploads(ctx, b.bucket, b.prefix, true) {
		if u.Err != nil {
			return b.failed("list", u.Err)
		}
		if time.Since(u.Initiated) > stale {
			if err := b.client.RemoveIncompleteUpload(ctx, b.bucket, u.Key); err != nil {
				return b.failed("remove from", err)
			}
		}
	}
	return ctx.Err()
}
