// Package place keeps files in a folder or in an S3-compatible store: whole and durable, or not there. Names are slash-separated and
// relative; those that end in .tmp are the place's own.
package place

import (
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"strings"
	"time"
)

// Blob is an open file, to be read in pieces.
type Blob = interface {
	io.ReaderAt
	io.Closer
	Size() int64
}

// S3 is a bucket in an S3-compatible store.
type S3 struct {
	URL    string `yaml:"url"` // of the store; default https://s3.amazonaws.com
	Bucket string `yaml:"bucket"`
	Prefix string `yaml:"prefix"` // of all names
	Region string `yaml:"region"` // asked of the store when empty
	// Credentials is a file with the id of an access key on its first line and the secret on its second. Empty: those of the environment
	// (AWS_ACCESS_KEY_ID …), of ~/.aws/credentials, or of the machine's role.
	Credentials string `yaml:"credentials"`
}

// stale is the age at which what is half written is nobody's any more.
const stale = 24 * time.Hour

var errURL = errors.New("write the URL of the store as https://HOST or http://HOST:PORT")

// Check says what cannot be.
func (c *S3) Check() error {
	if c.Bucket == "" {
		return errors.New("name the bucket")
	}
	_, _, err := c.parse()
	return err
}

// parse splits the URL of the store.
func (c *S3) parse() (host string, secure bool, err error) {
	if c.URL == "" {
		return "s3.amazonaws.com", true, nil
	}
	u, err := url.Parse(c.URL)
	if err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http" || u.User != nil || strings.Trim(u.Path, "/") != "" || u.RawQuery != "" {
		return "", false, errURL
	}
	return u.Host, u.Scheme == "https", nil
}

// Address reads a place as it is named on a command line: a folder, or s3://BUCKET/PREFIX, for which s3.Bucket is set then. The store's
// URL and region come from the environment, as the tools of AWS read it: AWS_ENDPOINT_URL_S3 or AWS_ENDPOINT_URL, AWS_REGION.
func Address(where string) (folder string, s3 S3, err error) {
	rest, ok := strings.CutPrefix(where, "s3://")
	if !ok {
		if scheme, _, is := strings.Cut(where, "://"); is {
			return "", s3, fmt.Errorf("%s:// is no place that is known: name a folder or s3://BUCKET/PREFIX", scheme)
		}
		return where, s3, nil
	}
	s3.Bucket, s3.Prefix, _ = strings.Cut(rest, "/")
	if s3.Bucket == "" {
		return "", s3, errors.New("name the bucket: s3://BUCKET/PREFIX")
	}
	s3.URL, s3.Region = os.Getenv("AWS_ENDPOINT_URL_S3"), os.Getenv("AWS_REGION")
	if s3.URL == "" {
		s3.URL = os.Getenv("AWS_ENDPOINT_URL")
	}
	if s3.Region == "" {
		s3.Region = os.Getenv("AWS_DEFAULT_REGION")
	}
	return "", s3, nil
}
