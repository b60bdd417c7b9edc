package archive

import (
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"

	"github.com/palladium-guard/palladium/store/place"
)

// bucket starts the S3 server that PALLADIUM_TEST_S3 names, a versitygw, and makes a bucket in it.
func bucket(t *testing.T) Place { return open3(t, serve3(t)) }

func serve3(t *testing.T) (addr string) {
	server := os.Getenv("PALLADIUM_TEST_S3")
	if server == "" {
		t.Skip("SKIPPED: no S3-compatible server: build github.com/versity/versitygw/cmd/versitygw and name it in PALLADIUM_TEST_S3")
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr = l.Addr().String()
	l.Close()
	cmd := exec.Command(server, "--port", addr, "--quiet", "posix", t.TempDir())
	cmd.Env = append(os.Environ(), "ROOT_ACCESS_KEY=tester", "ROOT_SECRET_KEY=testsecret")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	client, err := minio.New(addr, &minio.Options{Creds: credentials.NewStaticV4("tester", "testsecret", ""), Region: "us-east-1"})
	if err != nil {
		t.Fatal(err)
	}
	for try := 0; ; try++ {
		if err = client.MakeBucket(t.Context(), "tests", minio.MakeBucketOptions{Region: "us-east-1"}); err == nil {
			return addr
		}
		if try == 100 {
			t.Fatal(err)
		}
		time.Sleep(50 * time.Millisecond)
	}
}

func open3(t *testing.T, addr string) Place {
	secret := filepath.Join(t.TempDir(), "credentials")
	if err := os.WriteFile(secret, []byte("tester\ntestsecret\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	b, err := place.OpenBucket(place.S3{URL: "http://" + addr, Bucket: "tests", Prefix: "archive", Region: "us-east-1", Credentials: secret})
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func put(data []byte) func(io.Writer) error {
	return func(w io.Writer) error {
		_, err := w.Write(data)
		return err
	}
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}
