// Package console serves the web console: the built files of console/ui, embedded, behind a content security policy that
// lets nothing run and nothing be fetched but them and the API beside them.
package console

import (
	"embed"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"slices"
	"strings"
)

//go:generate make -C .. console

//go:embed all:dist
var dist embed.FS

// policy is the content security policy of every answer. default-src covers scripts, styles, fonts, pictures, connections and
// workers: none but this origin's, none in the page itself. What becomes markup or the address of a script must come out of one
// of the two named trusted types: Svelte's templates, which are constants of the build, and the console's own workers.
const policy = "default-src 'self'; object-src 'none'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'; " +
	"require-trusted-types-for 'script'; trusted-types svelte-trusted-html palladium"

// Handler returns what answers for the console at the root of a host: GET and HEAD of its assets, of /favicon.ico, and of the
// page for each address that the console knows. Everything else is 404, so that it can stand behind other handlers as their
// fallback. It needs nothing, keeps the files in memory and is safe for concurrent use.
func Handler() (http.Handler, error) {
	root, err := fs.Sub(dist, "dist")
	if err != nil {
		return nil, fmt.Errorf("open the embedded console: %w", err)
	}
	return handler(root)
}

// routes are the first segments of the addresses that the page answers for, as console/ui/src/shell/routes.ts has them.
func routes() []string {
	return []string{
		"", "signin", "queue", "campaigns", "linked", "accounts", "hunt", "decisions", "cases", "appeals", "approvals", "allow",
		"policies", "credentials", "artifacts", "ledger", "system", "users", "settings",
	}
}

type server struct {
	page   *file
	icon   *file
	assets map[string]*file // by path with leading slash
	routes []string
}

func handler(root fs.FS) (http.Handler, error) {
	s := &server{assets: make(map[string]*file), routes: routes()}
	files, err := load(root)
	if err != nil {
		return nil, err
	}
	for name, f := range files {
		switch {
		case name == "index.html":
			s.page = f
		case strings.HasPrefix(name, "assets/"):
			f.immutable = true // its name changes with its content
			s.assets["/"+name] = f
			if strings.HasPrefix(name, "assets/mark-") {
				s.icon = f
			}
		}
	}
	if s.page == nil || s.icon == nil {
		return nil, fmt.Errorf("the embedded console is not whole: run `make console` and build again")
	}
	return s, nil
}

// ServeHTTP answers a request.
func (s *server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Referrer-Policy", "no-referrer")
	f := s.find(r.URL.EscapedPath())
	if f == nil {
		lost(w, r)
		return
	}
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		h.Set("Allow", "GET, HEAD")
		http.Error(w, "use GET", http.StatusMethodNotAllowed)
		return
	}
	h.Set("Content-Security-Policy", policy) // of the files too: a worker runs under that of its own script
	if f == s.page {
		h.Set("X-Frame-Options", "DENY")
		h.Set("Cross-Origin-Opener-Policy", "same-origin")
		h.Set("Cross-Origin-Resource-Policy", "same-origin")
		h.Set("Permissions-Policy", "camera=(), geolocation=(), microphone=(), payment=(), usb=()")
	}
	f.serve(w, r)
}

// lost answers for an address that is nowhere: a person gets a way back, a program a line.
func lost(w http.ResponseWriter, r *http.Request) {
	if !strings.Contains(r.Header.Get("Accept"), "text/html") {
		http.NotFound(w, r)
		return
	}
	w.Header().Set("Content-Security-Policy", policy)
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.WriteHeader(http.StatusNotFound)
	_, _ = io.WriteString(w, `<!doctype html><html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">`+
		`<meta name="color-scheme" content="light dark"><title>No such page · Palladium</title>`+
		`<main><h1>There is no page at this address</h1><p><a href="/queue">To the queue</a></p></main></html>`) // the reader has left if it fails
}

// find takes the path as it was sent: what stands encoded in it is a part of an id, not of the address.
func (s *server) find(path string) *file {
	if f := s.assets[path]; f != nil {
		return f
	}
	if path == "/favicon.ico" {
		return s.icon
	}
	first, _, _ := strings.Cut(strings.TrimPrefix(path, "/"), "/")
	if !strings.HasPrefix(path, "/") || strings.Contains(path, "//") || !slices.Contains(s.routes, first) {
		return nil
	}
	return s.page
}
