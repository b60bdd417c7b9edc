package admin

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/palladium-guard/palladium"
	"github.com/palladium-guard/palladium/traffic/gateway"
)

type keys struct{ id, reason string }

func (k *keys) Revoke(id, reason string) error {
	switch id {
	case "none":
		return ErrUnknown
	case "broken":
		return errors.New("write keys: disk full")
	}
	k.id, k.reason = id, reason
	return nil
}

type verdicts []palladium.Verdict

func (v *verdicts) Replace(list []palladium.Verdict) error { *v = list; return nil }

// Every path wants the token but health, which shows nothing but parts; each answers as it should.
func TestPaths(t *testing.T) {
	parts := []gateway.Part{{Name: "a", OK: true, Needed: true}, {Name: "b"}}
	k, v := &keys{}, &verdicts{}
	reload := error(nil)
	full := Options{
		Token: "token-of-16-chars", Health: func() []gateway.Part { return parts }, Keys: k, Verdicts: v, Reload: func() error { return reload },
		Metrics: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("figures")) }),
		Parse: func(b []byte) ([]palladium.Verdict, error) {
			if string(b) != "[]" {
				return nil, errors.New("no list")
			}
			return make([]palladium.Verdict, 2), nil
		},
	}
	bare := full
	bare.Keys, bare.Verdicts, bare.Token = nil, nil, ""
	for _, c := range []struct {
		o                         *Options
		method, path, token, body string
		status                    int
		has                       string
	}{
		{&full, "GET", "/healthz", "", "", 200, `"degraded"`},
		{&full, "GET", "/readyz", "", "", 200, `"ready","parts":[]`},
		{&full, "GET", "/readyz?verbose", "", "", 200, `"name":"b","ok":false`},
		{&full, "GET", "/livez", "", "", 200, "alive"},
		{&full, "HEAD", "/livez", "", "", 200, ""},
		{&full, "GET", "/metrics", "", "", 401, "token"},
		{&full, "GET", "/metrics", "Bearer token-of-16-char", "", 401, "token"},
		{&full, "GET", "/metrics", "Bearer ", "", 401, "token"},
		{&full, "GET", "/metrics", "Bearer token-of-16-chars", "", 200, "figures"},
		{&full, "GET", "/anything", "", "", 401, "token"},
		{&full, "GET", "/anything", "Bearer token-of-16-chars", "", 404, ""},
		{&full, "GET", "/keys/x/revoke", "Bearer token-of-16-chars", "", 405, ""},
		{&full, "POST", "/keys/x/revoke", "Bearer token-of-16-chars", `{"reason":"leaked"}`, 200, "revoked"},
		{&full, "POST", "/keys/none/revoke", "Bearer token-of-16-chars", "", 404, "no credential"},
		{&full, "POST", "/keys/broken/revoke", "Bearer token-of-16-chars", "", 500, "disk full"},
		{&full, "POST", "/keys/x/revoke", "Bearer token-of-16-chars", "{", 400, "reason"},
		{&full, "POST", "/keys/x/revoke", "Bearer token-of-16-chars", strings.Repeat(" ", 5000), 400, "reason"},
		{&full, "PUT", "/verdicts", "Bearer token-of-16-chars", "[]", 200, `"verdicts":2`},
		{&full, "PUT", "/verdicts", "Bearer token-of-16-chars", "{", 400, "no list"},
		{&full, "POST", "/reload", "Bearer token-of-16-chars", "", 200, "reloaded"},
		{&full, "GET", "/debug/pprof/cmdline", "Bearer token-of-16-chars", "", 404, ""},
		{&bare, "GET", "/healthz", "", "", 200, "parts"},
		{&bare, "GET", "/metrics", "", "", 401, "token"}, // no token lets nobody in
		{&bare, "GET", "/metrics", "Bearer ", "", 401, "token"},
	} {
		req := httptest.NewRequest(c.method, c.path, strings.NewReader(c.body))
		if c.token != "" {
			req.Header.Set("Authorization", c.token)
		}
		w := httptest.NewRecorder()
		New(*c.o).Handler.ServeHTTP(w, req)
		if w.Code != c.status || !strings.Contains(w.Body.String(), c.has) {
			t.Errorf("%s %s %q: status %d, wanted %d: %.200s", c.method, c.path, c.token, w.Code, c.status, w.Body)
		}
	}
	if k.id != "x" || k.reason != "leaked" && k.reason != "" || len(*v) != 2 {
		t.Errorf("revoked %+v, verdicts %v", k, *v)
	}
	parts[0].OK = false
	reload = errors.New("line 3: unknown key")
	bare.Token = full.Token
	for path, want := range map[string]int{"GET /livez": 200, "GET /readyz": 503, "GET /readyz?verbose": 503, "POST /reload": 400, "PUT /verdicts": 501, "POST /keys/x/revoke": 501} {
		method, p, _ := strings.Cut(path, " ")
		req := httptest.NewRequest(method, p, nil)
		req.Header.Set("Authorization", "Bearer "+full.Token)
		w := httptest.NewRecorder()
		New(bare).Handler.ServeHTTP(w, req)
		if w.Code != want {
			t.Errorf("%s: status %d, wanted %d", path, w.Code, want)
		}
	}
}
