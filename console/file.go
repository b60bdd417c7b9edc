package console

import (
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"io/fs"
	"net/http"
	"path"
	"strconv"
	"strings"
)

// form is one way in which a file is sent.
type form struct {
	encoding string // as in Content-Encoding; empty for the plain file
	data     []byte
	etag     string
}

// file is an embedded file in all its forms, the smallest first and the plain one last.
type file struct {
	kind      string // Content-Type
	immutable bool
	forms     []form
}

// load reads all files below root, each with the compressed forms that lie beside it.
func load(root fs.FS) (map[string]*file, error) {
	files := make(map[string]*file)
	err := fs.WalkDir(root, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || isPacked(name) {
			return err
		}
		kind := kindOf(name)
		if kind == "" {
			return nil
		}
		f := &file{kind: kind}
		for _, c := range []struct{ suffix, encoding string }{{".br", "br"}, {".gz", "gzip"}, {"", ""}} {
			data, err := fs.ReadFile(root, name+c.suffix)
			if err != nil && c.suffix != "" {
				continue // small files have no packed form
			}
			if err != nil {
				return fmt.Errorf("read the embedded console: %w", err)
			}
			sum := sha256.Sum256(data)
			f.forms = append(f.forms, form{c.encoding, data, `"` + base64.RawURLEncoding.EncodeToString(sum[:15]) + `"`})
		}
		files[name] = f
		return nil
	})
	return files, err
}

func isPacked(name string) bool {
	return strings.HasSuffix(name, ".gz") || strings.HasSuffix(name, ".br")
}

// kindOf returns the content type by the name, "" for files that are not served. The system's own table is not asked: it
// differs from machine to machine.
func kindOf(name string) string {
	switch path.Ext(name) {
	case ".html":
		return "text/html; charset=utf-8"
	case ".js":
		return "text/javascript; charset=utf-8"
	case ".css":
		return "text/css; charset=utf-8"
	case ".svg":
		return "image/svg+xml"
	}
	return ""
}

func (f *file) serve(w http.ResponseWriter, r *http.Request) {
	c := f.choose(r.Header.Values("Accept-Encoding"))
	h := w.Header()
	h.Set("Vary", "Accept-Encoding")
	h.Set("ETag", c.etag)
	h.Set("Cache-Control", "no-cache")
	if f.immutable {
		h.Set("Cache-Control", "public, max-age=31536000, immutable")
	}
	if matches(r.Header.Values("If-None-Match"), c.etag) {
		w.WriteHeader(http.StatusNotModified)
		return
	}
	h.Set("Content-Type", f.kind)
	h.Set("Content-Length", strconv.Itoa(len(c.data)))
	if c.encoding != "" {
		h.Set("Content-Encoding", c.encoding)
	}
	if r.Method == http.MethodHead {
		return
	}
	_, _ = w.Write(c.data) // the client is gone: there is nobody to tell
}

// choose returns the smallest form that the client takes. A weight of zero refuses; other weights are no reason to send more.
func (f *file) choose(accept []string) *form {
	for i := range f.forms {
		if e := f.forms[i].encoding; e == "" || accepts(accept, e) {
			return &f.forms[i]
		}
	}
	return &f.forms[len(f.forms)-1]
}

func accepts(values []string, encoding string) bool {
	for _, v := range values {
		for item := range strings.SplitSeq(v, ",") {
			name, weight, _ := strings.Cut(item, ";")
			if !strings.EqualFold(strings.TrimSpace(name), encoding) {
				continue
			}
			q, ok := strings.CutPrefix(strings.ToLower(strings.ReplaceAll(weight, " ", "")), "q=")
			if n, err := strconv.ParseFloat(q, 64); ok && err == nil && n == 0 {
				return false
			}
			return true
		}
	}
	return false
}

func matches(values []string, etag string) bool {
	for _, v := range values {
		for item := range strings.SplitSeq(v, ",") {
			item = strings.TrimPrefix(strings.TrimSpace(item), "W/")
			if item == "*" || item == etag {
				return true
			}
		}
	}
	return false
}
