package place

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/minio/minio-go/v7"
)

// place is what both kinds are tested for.
type place interface {
	List(ctx context.Context, folder string) (map[string]int64, error)
	Put(ctx context.Context, name string, write func(io.Writer) error) error
	Open(ctx context.Context, name string, whole bool) (Blob, error)
	Remove(ctx context.Context, names ...string) error
	Load(ctx context.Context, name string) ([]byte, string, error)
	Swap(ctx context.Context, name string, data []byte, tag string) (string, bool, error)
	Tidy(ctx context.Context) error
}

// newBucket starts the S3 server that PALLADIUM_TEST_S3 names, a versitygw, and makes a bucket in it.
func newBucket(t *testing.T) (*Bucket, string) {
	server := os.Getenv("PALLADIUM_TEST_S3")
	if server == "" {
		t.Skip("SKIPPED: no S3-compatible server: build github.com/versity/versitygw/cmd/versitygw and name it in PALLADIUM_TEST_S3")
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := l.Addr().String()
	l.Close()
	root, data := t.TempDir(), t.TempDir()
	cmd := exec.Command(server, "--port", addr, "--quiet", "posix", data)
	cmd.Env = append(os.Environ(), "ROOT_ACCESS_KEY=tester", "ROOT_SECRET_KEY=testsecret")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	secret := filepath.Join(root, "credentials")
	if err := os.WriteFile(secret, []byte("tester\ntestsecret\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	b, err := OpenBucket(S3{URL: "http://" + addr, Bucket: "tests", Prefix: "some/where", Region: "us-east-1", Credentials: secret})
	if err != nil {
		t.Fatal(err)
	}
	for try := 0; ; try++ {
		err = b.client.MakeBucket(t.Context(), "tests", minio.MakeBucketOptions{Region: "us-east-1"})
		if err == nil {
			return b, addr
		}
		if try == 100 {
			t.Fatal(err)
		}
		time.Sleep(50 * time.Millisecond)
	}
}

func each(t *testing.T, test func(t *testing.T, at place)) {
	t.Run("folder", func(t *testing.T) { test(t, Folder(filepath.Join(t.TempDir(), "made", "when needed"))) })
	t.Run("bucket", func(t *testing.T) {
		b, _ := newBucket(t)
		test(t, b)
	})
}

func bytesOf(data []byte) func(io.Writer) error {
	return func(w io.Writer) error {
		_, err := w.Write(data)
		return err
	}
}

func TestFiles(t *testing.T) {
	each(t, func(t *testing.T, at place) {
		ctx := t.Context()
		if l, err := at.List(ctx, "data"); err != nil || len(l) != 0 {
			t.Fatalf("an empty place lists %v, %v", l, err)
		}
		if _, err := at.Open(ctx, "data/a", false); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("a file that is not there: %v", err)
		}
		r := rand.New(rand.NewPCG(1, 2))
		want := map[string][]byte{}
		for i, n := range []int{0, 1, 100, blockBytes, 3*blockBytes + 17, partBytes + 5, 2*partBytes + 1} {
			data := make([]byte, n)
			for i := range data {
				data[i] = byte(r.Uint32())
			}
			want[fmt.Sprintf("data/date=2026-05-04/%d.x", i)] = data
		}
		for name, data := range want {
			for range 2 { // the second is in the place of the first
				err := at.Put(ctx, name, func(w io.Writer) error {
					for d := data; len(d) > 0; {
						n, err := w.Write(d[:min(len(d), 1<<20-7)])
						if err != nil {
							return err
						}
						d = d[n:]
					}
					return nil
				})
				if err != nil {
					t.Fatal(err)
				}
			}
		}
		l, err := at.List(ctx, "data")
		if err != nil || len(l) != len(want) {
			t.Fatalf("%v, %v", l, err)
		}
		for name, data := range want {
			if l[name] != int64(len(data)) {
				t.Errorf("%s has %d bytes in the list, of %d", name, l[name], len(data))
			}
			for _, whole := range []bool{true, false} {
				check(t, at, name, data, whole)
			}
		}
		names := slices.Collect(maps.Keys(want))
		if err := at.Remove(ctx, append(names, "data/never")...); err != nil {
			t.Fatal(err)
		}
		if l, err := at.List(ctx, "data"); err != nil || len(l) != 0 {
			t.Errorf("after removal: %v, %v", l, err)
		}
	})
}

func check(t *testing.T, at place, name string, data []byte, whole bool) {
	f, err := at.Open(t.Context(), name, whole)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if f.Size() != int64(len(data)) {
		t.Errorf("%s has %d bytes, of %d", name, f.Size(), len(data))
	}
	got, err := io.ReadAll(io.NewSectionReader(f, 0, f.Size()+1))
	if err != nil || !bytes.Equal(got, data) {
		t.Errorf("%s: other bytes, %v", name, err)
	}
	if n := len(data); n > 20 {
		p := make([]byte, 20)
		for _, off := range []int{0, 5, n/2 - 3, n - 20} {
			if _, err := f.ReadAt(p, int64(off)); err != nil || !bytes.Equal(p, data[off:off+20]) {
				t.Errorf("%s at %d: %v", name, off, err)
			}
		}
		if k, err := f.ReadAt(p, int64(n-3)); k != 3 || !errors.Is(err, io.EOF) {
			t.Errorf("%s at its end: %d, %v", name, k, err)
		}
	}
}

// What fails while it is written leaves nothing under its name, and what was there as it was.
func TestHalfWritten(t *testing.T) {
	each(t, func(t *testing.T, at place) {
		broken := errors.New("broken")
		for _, before := range [][]byte{nil, []byte("as it was")} {
			if before != nil {
				if err := at.Put(t.Context(), "data/x", bytesOf(before)); err != nil {
					t.Fatal(err)
				}
			}
			for _, n := range []int{0, 10, partBytes + 10, 2*partBytes + 10} {
				err := at.Put(t.Context(), "data/x", func(w io.Writer) error {
					if _, err := w.Write(make([]byte, n)); err != nil {
						return err
					}
					return broken
				})
				if !errors.Is(err, broken) {
					t.Errorf("%d bytes: %v", n, err)
				}
			}
			got, _, err := at.Load(t.Context(), "data/x")
			if err != nil || !bytes.Equal(got, before) {
				t.Errorf("%q, %v", got, err)
			}
			if l, err := at.List(t.Context(), "data"); err != nil || len(l) > 1 || before == nil && len(l) > 0 {
				t.Errorf("%v, %v", l, err)
			}
		}
	})
}

func TestSwap(t *testing.T) {
	each(t, func(t *testing.T, at place) {
		ctx := t.Context()
		if data, tag, err := at.Load(ctx, "inner/x"); err != nil || tag != "" || data != nil {
			t.Fatalf("%q, %q, %v", data, tag, err)
		}
		if _, ok, err := at.Swap(ctx, "inner/x", []byte("one"), "0123"); ok || err != nil {
			t.Errorf("what is not there was swapped: %t, %v", ok, err)
		}
		first, ok, err := at.Swap(ctx, "inner/x", []byte("one"), "")
		if !ok || err != nil || first == "" {
			t.Fatalf("%q, %t, %v", first, ok, err)
		}
		if _, ok, err := at.Swap(ctx, "inner/x", []byte("other"), ""); ok || err != nil {
			t.Errorf("what is there was made: %t, %v", ok, err)
		}
		if again, ok, err := at.Swap(ctx, "inner/x", []byte("one"), ""); !ok || err != nil || again != first {
			t.Errorf("what is tried again: %q, %t, %v", again, ok, err)
		}
		second, ok, err := at.Swap(ctx, "inner/x", []byte("two"), first)
		if !ok || err != nil {
			t.Fatalf("%q, %t, %v", second, ok, err)
		}
		if _, ok, err := at.Swap(ctx, "inner/x", []byte("late"), first); ok || err != nil {
			t.Errorf("what had changed was swapped: %t, %v", ok, err)
		}
		if data, tag, err := at.Load(ctx, "inner/x"); string(data) != "two" || tag != second || err != nil {
			t.Errorf("%q, %q, %v", data, tag, err)
		}
	})
}

func TestLock(t *testing.T) {
	d := Folder(t.TempDir())
	unlock, ok, err := d.Lock("inner/a.lock")
	if !ok || err != nil {
		t.Fatal(ok, err)
	}
	if _, ok, err := d.Lock("inner/a.lock"); ok || err != nil {
		t.Errorf("locked twice: %t, %v", ok, err)
	}
	unlock()
	if unlock, ok, err := d.Lock("inner/a.lock"); !ok || err != nil {
		t.Errorf("not unlocked: %t, %v", ok, err)
	} else {
		unlock()
	}
}

func TestTidyFolder(t *testing.T) {
	root := t.TempDir()
	d := Folder(root)
	for name, age := range map[string]time.Duration{"a/old.1.tmp": 25 * time.Hour, "a/new.1.tmp": time.Hour, "a/old": 100 * time.Hour} {
		if err := d.Put(t.Context(), name+"x", bytesOf(nil)); err != nil {
			t.Fatal(err)
		}
		at := time.Now().Add(-age)
		if err := errors.Join(os.Rename(filepath.Join(root, name+"x"), filepath.Join(root, name)), os.Chtimes(filepath.Join(root, name), at, at)); err != nil {
			t.Fatal(err)
		}
	}
	if l, err := d.List(t.Context(), "a"); err != nil || len(l) != 1 {
		t.Errorf("%v, %v", l, err)
	}
	if err := d.Tidy(t.Context()); err != nil {
		t.Fatal(err)
	}
	left, err := filepath.Glob(filepath.Join(root, "a", "*"))
	if err != nil || len(left) != 2 {
		t.Errorf("%v, %v", left, err)
	}
}

func TestTidyBucket(t *testing.T) {
	b, _ := newBucket(t)
	core := minio.Core{Client: b.client}
	if _, err := core.NewMultipartUpload(t.Context(), b.bucket, b.key("a/x"), minio.PutObjectOptions{}); err != nil {
		t.Fatal(err)
	}
	if err := b.Tidy(t.Context()); err != nil { // too young to be removed
		t.Fatal(err)
	}
	n := 0
	for range b.client.ListIncompleteUploads(t.Context(), b.bucket, b.prefix, true) {
		n++
	}
	if n != 1 {
		t.Errorf("%d unfinished uploads", n)
	}
}

// An answer that breaks off is asked for again, and a store that is not there is an error that says where it should be.
func TestBucketTrouble(t *testing.T) {
	b, addr := newBucket(t)
	data := bytes.Repeat([]byte("palladium"), 500_000)
	if err := b.Put(t.Context(), "data/x", bytesOf(data)); err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	go cutting(l, addr, 1<<20+300<<10)
	url := "http://" + l.Addr().String()
	cut, err := OpenBucket(S3{URL: url, Bucket: b.bucket, Prefix: b.prefix, Region: "us-east-1", Credentials: credentialsOf(t)})
	if err != nil {
		t.Fatal(err)
	}
	check(t, cut, "data/x", data, true)
	check(t, cut, "data/x", data, false)

	none, err := OpenBucket(S3{URL: "http://127.0.0.1:1", Bucket: "tests", Region: "us-east-1", Credentials: credentialsOf(t)})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
	defer cancel()
	if _, err := none.List(ctx, "data"); err == nil || !strings.Contains(err.Error(), "s3://tests") {
		t.Errorf("a store that is not there: %v", err)
	}
	gone, err := OpenBucket(S3{URL: "http://" + addr, Bucket: "nothing", Region: "us-east-1", Credentials: credentialsOf(t)})
	if err != nil {
		t.Fatal(err)
	}
	if err := gone.Put(t.Context(), "x", bytesOf(nil)); err == nil || !strings.Contains(err.Error(), "make it first") {
		t.Errorf("a bucket that is not there: %v", err)
	}
}

func credentialsOf(t *testing.T) string {
	path := filepath.Join(t.TempDir(), "c")
	if err := os.WriteFile(path, []byte("tester\ntestsecret\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// cutting forwards connections and cuts each off after so many bytes of answers.
func cutting(l net.Listener, to string, after int64) {
	for {
		in, err := l.Accept()
		if err != nil {
			return
		}
		go func() {
			defer in.Close()
			out, err := net.Dial("tcp", to)
			if err != nil {
				return
			}
			defer out.Close()
			go func() { _, _ = io.Copy(out, in) }()
			_, _ = io.CopyN(in, out, after)
		}()
	}
}

func TestAddress(t *testing.T) {
	t.Setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9000")
	t.Setenv("AWS_ENDPOINT_URL_S3", "")
	t.Setenv("AWS_REGION", "eu-central-1")
	for where, want := range map[string]string{
		"/var/lib/x": "folder /var/lib/x", "x": "folder x", "s3://b": "bucket b http://127.0.0.1:9000 eu-central-1", "s3://b/p/q": "bucket b p/q http://127.0.0.1:9000 eu-central-1",
		"s3:///p": "error", "gs://b": "error",
	} {
		folder, s3, err := Address(where)
		got := "folder " + folder
		switch {
		case err != nil:
			got = "error"
		case s3.Bucket != "":
			got = strings.Join(strings.Fields("bucket "+s3.Bucket+" "+s3.Prefix+" "+s3.URL+" "+s3.Region), " ")
		}
		if got != want {
			t.Errorf("%s is %s, want %s (%v)", where, got, want, err)
		}
	}
	for _, url := range []string{"127.0.0.1:9000", "ftp://x", "https://u:p@x", "https://x/path", "https://x?y", "://"} {
		if err := (&S3{Bucket: "b", URL: url}).Check(); err == nil {
			t.Errorf("%s was taken", url)
		}
	}
}
