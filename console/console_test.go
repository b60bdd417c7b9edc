package console

import (
	"bytes"
	"compress/gzip"
	"errors"
	"io"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
)

func open(t *testing.T) (*httptest.Server, fs.FS) {
	t.Helper()
	h, err := Handler()
	if err != nil {
		t.Fatal(err)
	}
	s := httptest.NewServer(h)
	t.Cleanup(s.Close)
	root, err := fs.Sub(dist, "dist")
	if err != nil {
		t.Fatal(err)
	}
	return s, root
}

// ask sends a request as it stands: no path is cleaned and no encoding added.
func ask(t *testing.T, s *httptest.Server, method, path string, header ...string) (*http.Response, []byte) {
	t.Helper()
	r, err := http.NewRequest(method, s.URL, nil)
	if err != nil {
		t.Fatal(err)
	}
	r.URL.Opaque = path
	for i := 0; i+1 < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	a, err := (&http.Transport{DisableCompression: true}).RoundTrip(r)
	if err != nil {
		t.Fatal(err)
	}
	defer a.Body.Close()
	body, err := io.ReadAll(a.Body)
	if err != nil {
		t.Fatal(err)
	}
	return a, body
}

func TestPaths(t *testing.T) {
	s, _ := open(t)
	for _, c := range []struct {
		method, path string
		status       int
		page         bool
	}{
		{"GET", "/", 200, true},
		{"GET", "/queue", 200, true},
		{"HEAD", "/queue", 200, false},
		{"GET", "/queue?view=all&at=c0018", 200, true},
		{"GET", "/campaigns/c0018", 200, true},
		{"GET", "/campaigns/c0018/graph", 200, true},
		{"GET", "/accounts/user%2F7", 200, true},
		{"GET", "/ledger/12", 200, true},
		{"GET", "/favicon.ico", 200, false},
		{"POST", "/queue", 405, false},
		{"DELETE", "/", 405, false},
		{"GET", "/appeal/abc", 404, false}, // the public page is the API's
		{"GET", "/api/v1/campaigns", 404, false},
		{"GET", "/queues", 404, false},
		{"GET", "/metrics", 404, false},
		{"GET", "/index.html", 404, false},
		{"GET", "/dist/index.html", 404, false},
		{"GET", "/assets/", 404, false},
		{"GET", "/assets/index.js", 404, false},
		{"GET", "/assets/../index.html", 404, false},
		{"GET", "/../console.go", 404, false},
		{"GET", "/%2e%2e/console.go", 404, false},
		{"GET", "/campaigns//x", 404, false},
	} {
		a, body := ask(t, s, c.method, c.path)
		if a.StatusCode != c.status {
			t.Errorf("%s %s: status %d, want %d", c.method, c.path, a.StatusCode, c.status)
		}
		if page := bytes.Contains(body, []byte(`<div id="app">`)); page != c.page {
			t.Errorf("%s %s: sends the page: %v, want %v", c.method, c.path, page, c.page)
		}
		if a.Header.Get("X-Content-Type-Options") != "nosniff" {
			t.Errorf("%s %s: may be sniffed", c.method, c.path)
		}
		if c.status == 200 && a.Header.Get("Content-Security-Policy") != policy {
			t.Errorf("%s %s: no content security policy", c.method, c.path)
		}
	}
}

// The page must not need anything that its policy forbids, and must name only files that are there.
func TestPage(t *testing.T) {
	s, _ := open(t)
	_, body := ask(t, s, "GET", "/")
	page := string(body)
	for _, forbidden := range []string{"<style", " style=", "javascript:", "http://", "https://", " on"} {
		if strings.Contains(page, forbidden) && forbidden != " on" || regexp.MustCompile(`\son[a-z]+=`).MatchString(page) {
			t.Errorf("the page holds %q", forbidden)
		}
	}
	for _, m := range regexp.MustCompile(`(?s)<script[^>]*>(.*?)</script>`).FindAllStringSubmatch(page, -1) {
		if strings.TrimSpace(m[1]) != "" {
			t.Error("the page holds a script of its own")
		}
	}
	names := regexp.MustCompile(`(?:src|href)="([^"]+)"`).FindAllStringSubmatch(page, -1)
	if len(names) < 3 {
		t.Fatalf("the page names %d files", len(names))
	}
	for _, m := range names {
		if !strings.HasPrefix(m[1], "/assets/") {
			t.Errorf("the page refers to %s", m[1])
		}
		if a, _ := ask(t, s, "GET", m[1]); a.StatusCode != 200 {
			t.Errorf("%s: status %d", m[1], a.StatusCode)
		}
	}
}

func TestForms(t *testing.T) {
	s, root := open(t)
	name := asset(t, root, "base-", ".js")
	plain, err := fs.ReadFile(root, strings.TrimPrefix(name, "/"))
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ accept, encoding string }{
		{"", ""}, {"identity", ""}, {"deflate", ""}, {"gzip", "gzip"}, {"GZIP;q=0.5", "gzip"}, {"gzip, deflate, br, zstd", "br"}, {"br;q=0, gzip", "gzip"},
		{"br; q=0.0,gzip;q=0", ""}, {"xgzip", ""},
	} {
		a, body := ask(t, s, "GET", name, "Accept-Encoding", c.accept)
		if got := a.Header.Get("Content-Encoding"); got != c.encoding {
			t.Errorf("accept %q: sent as %q, want %q", c.accept, got, c.encoding)
		}
		if a.Header.Get("Vary") != "Accept-Encoding" || !strings.Contains(a.Header.Get("Cache-Control"), "immutable") {
			t.Errorf("accept %q: caches are not told: %v", c.accept, a.Header)
		}
		if c.encoding == "gzip" {
			z, err := gzip.NewReader(bytes.NewReader(body))
			if err != nil {
				t.Fatal(err)
			}
			if body, err = io.ReadAll(z); err != nil {
				t.Fatal(err)
			}
		}
		if c.encoding != "br" && !bytes.Equal(body, plain) {
			t.Errorf("accept %q: another content than the file's", c.accept)
		}
		if again, none := ask(t, s, "GET", name, "Accept-Encoding", c.accept, "If-None-Match", `"x", W/`+a.Header.Get("ETag")); again.StatusCode != 304 || len(none) != 0 {
			t.Errorf("accept %q: status %d when nothing changed", c.accept, again.StatusCode)
		}
	}
	if a, _ := ask(t, s, "GET", "/queue"); a.Header.Get("Cache-Control") != "no-cache" {
		t.Error("the page may be kept unasked: an update would not be seen")
	}
}

// What a reader fetches before opening a graph stays small.
func TestSize(t *testing.T) {
	_, root := open(t)
	size := func(prefix, suffix string) int {
		name := strings.TrimPrefix(asset(t, root, prefix, suffix), "/")
		data, err := fs.ReadFile(root, name+".gz")
		if errors.Is(err, fs.ErrNotExist) { // too small to pack
			data, err = fs.ReadFile(root, name)
		}
		if err != nil {
			t.Fatal(err)
		}
		return len(data)
	}
	first := size("base-", ".js") + size("base-", ".css") + size("index-", ".js") + size("index-", ".css")
	work := first + size("Queue-", ".js") + size("Queue-", ".css") + size("Campaign-", ".js") + size("Campaign-", ".css")
	all := 0
	packed, err := fs.Glob(root, "assets/*.gz")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range packed {
		if !strings.Contains(name, "graph-") && !strings.Contains(name, "layout.worker-") {
			data, err := fs.ReadFile(root, name)
			if err != nil {
				t.Fatal(err)
			}
			all += len(data)
		}
	}
	t.Logf("gzip: %d bytes for every view, %d with queue and campaign, %d for all views but the graph, %d for the graph", first, work, all, size("graph-", ".js"))
	if all > 150_000 {
		t.Errorf("all views but the graph take %d bytes, more than 150,000", all)
	}
	if !strings.Contains(policy, "default-src 'self'") || strings.Contains(policy, "unsafe") {
		t.Error("the policy lets in too much")
	}
}

func asset(t *testing.T, root fs.FS, prefix, suffix string) string {
	t.Helper()
	names, err := fs.Glob(root, "assets/"+prefix+"*"+suffix)
	if err != nil || len(names) == 0 {
		t.Fatalf("no asset %s…%s: %v", prefix, suffix, err)
	}
	return "/" + names[0]
}

// The page knows its addresses from routes.ts; a route that is missing here would be a dead link after a reload.
func TestRoutes(t *testing.T) {
	source, err := os.ReadFile("ui/src/shell/routes.ts")
	if err != nil {
		t.Skipf("the source of the console is not here: %v", err)
	}
	var want []string
	for _, m := range regexp.MustCompile(`pattern: "/([^/"]*)`).FindAllStringSubmatch(string(source), -1) {
		if !slices.Contains(want, m[1]) {
			want = append(want, m[1])
		}
	}
	got := routes()
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Errorf("served are %q, the console knows %q", got, want)
	}
}

func TestNotWhole(t *testing.T) {
	if _, err := handler(os.DirFS(t.TempDir())); err == nil || !strings.Contains(err.Error(), "make console") {
		t.Errorf("an empty build is served: %v", err)
	}
}

// A person at an address that is nowhere is shown the way back, and nothing of what was asked for.
func TestLost(t *testing.T) {
	h, err := Handler()
	if err != nil {
		t.Fatal(err)
	}
	r := httptest.NewRequest("GET", "/nowhere-%3Cscript%3E", nil)
	r.Header.Set("Accept", "text/html,application/xhtml+xml")
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	if body := w.Body.String(); w.Code != 404 || !strings.Contains(body, `href="/queue"`) || strings.Contains(body, "nowhere") || w.Header().Get("Content-Security-Policy") == "" {
		t.Errorf("%d %q", w.Code, body)
	}
}
