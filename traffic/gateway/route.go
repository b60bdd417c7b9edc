package gateway

import (
	"net/http"
	"slices"
	"strings"

	"github.com/palladium-guard/palladium/internal/urlpath"
	"github.com/palladium-guard/palladium/internal/wire"
)

// Endpoint is one built-in path.
type Endpoint struct {
	Name    string // as in Scopes and in metrics
	Path    string
	Method  string
	Kind    wire.Endpoint
	Dialect string // openai or anthropic: whose requests, answers and errors it speaks
}

// The names of the dialects.
const (
	openAI    = "openai"
	anthropic = "anthropic"
)

// Endpoints lists what is served without being opened by policy.
func Endpoints() []Endpoint {
	return []Endpoint{
		{"chat", "/v1/chat/completions", http.MethodPost, wire.Chat, openAI},
		{"responses", "/v1/responses", http.MethodPost, wire.Responses, openAI},
		{"completions", "/v1/completions", http.MethodPost, wire.Completions, openAI},
		{"embeddings", "/v1/embeddings", http.MethodPost, wire.Embeddings, openAI},
		{"models", "/v1/models", http.MethodGet, wire.Models, openAI},
		{"models", "/v1/models/*", http.MethodGet, wire.Models, openAI},
		{"messages", "/v1/messages", http.MethodPost, wire.Messages, anthropic},
		{"count_tokens", "/v1/messages/count_tokens", http.MethodPost, wire.CountTokens, anthropic},
	}
}

// route is an endpoint with what the configuration says of it.
type route struct {
	Endpoint
	prefix  string // of a path that ends with a star; else ""
	methods []string
	failure Failure
	opened  bool // not built in: passed without policy on its content
	meters  *routeMeters
}

// policed reports whether requests have a body that names a model and is held to policy.
func (r *route) policed() bool { return !r.opened && r.Method == http.MethodPost }

// table finds routes.
type table struct {
	exact    map[string]*route
	prefixes []*route // longest first
}

func newTable(cfg *Config, m *meters) *table {
	t := &table{exact: map[string]*route{}}
	add := func(r *route) {
		r.meters = m.route(r.Name)
		if p, ok := strings.CutSuffix(r.Path, "*"); ok {
			r.prefix = p
			t.prefixes = append(t.prefixes, r)
		} else {
			t.exact[r.Path] = r
		}
	}
	for _, e := range Endpoints() {
		r := &route{Endpoint: e, methods: []string{e.Method}, failure: cfg.Failure}
		deny := false
		for _, c := range cfg.Routes {
			if c.Path == e.Path {
				r.failure, deny = c.Failure, c.Open != nil && !*c.Open
			}
		}
		if !deny {
			add(r)
		}
	}
	for _, c := range cfg.Routes {
		if builtIn(c.Path) || c.Open != nil && !*c.Open {
			continue
		}
		r := &route{Endpoint: Endpoint{Name: "opened", Path: c.Path, Dialect: c.Dialect}, methods: c.Methods, failure: c.Failure, opened: true}
		if len(r.methods) == 0 {
			r.methods = []string{http.MethodGet}
		}
		add(r)
	}
	slices.SortStableFunc(t.prefixes, func(a, b *route) int { return len(b.prefix) - len(a.prefix) })
	return t
}

func builtIn(path string) bool {
	return slices.ContainsFunc(Endpoints(), func(e Endpoint) bool { return e.Path == path })
}

// find returns the route for a request; nil when the path is denied. allowed is false when only the method is wrong.
func (t *table) find(r *http.Request) (rt *route, allowed bool) {
	path := r.URL.Path
	rt = t.exact[path]
	if rt == nil {
		for _, p := range t.prefixes {
			if len(path) > len(p.prefix) && strings.HasPrefix(path, p.prefix) {
				rt = p
				break
			}
		}
	}
	// A model's name may hold a slash, which clients encode; elsewhere an encoded path is read differently by different servers.
	if rt == nil || r.URL.RawPath != "" && rt.Name != "models" || !urlpath.Plain(path) {
		return nil, false
	}
	return rt, slices.Contains(rt.methods, r.Method)
}

// headerDialect guesses the dialect of a request whose path says nothing.
func headerDialect(h http.Header) string {
	if len(h["Anthropic-Version"]) > 0 {
		return anthropic
	}
	return openAI
}
