// Package admin is the operator's listener of the gateway: health, readiness, metrics, profiles, and what changes who
// may call and how. Nothing of it is ever served to callers.
package admin

import (
	"crypto/sha256"
	"crypto/subtle"
	"encoding/json"
	"errors"
	"io"
	"log"
	"net/http"
	"net/http/pprof"
	"time"

	"github.com/palladium-guard/palladium"
	"github.com/palladium-guard/palladium/traffic/gateway"
)

// Keys revokes credentials. Revoke returns ErrUnknown for an id that it does not know.
type Keys interface {
	Revoke(id, reason string) error
}

// Verdicts takes verdicts to enforce, in place of all that stand.
type Verdicts interface {
	Replace([]palladium.Verdict) error
}

// ErrUnknown says that there is no such credential.
var ErrUnknown = errors.New("no credential has this id: list them with `palladium key list`")

// Options are what the listener serves.
type Options struct {
	Token    string                        // what the operator sends as Authorization: Bearer; empty: only health is served
	Health   func() (parts []gateway.Part) // one for each thing that can fail
	Metrics  http.Handler
	Keys     Keys                                      // nil: none are kept here
	Verdicts Verdicts                                  // nil: none are taken here
	Parse    func([]byte) ([]palladium.Verdict, error) // reads a list of verdicts
	Reload   func() error
}

const maxBody = 256 << 20

// New returns the server. Health and readiness need no token, since they hold nothing but names of parts; all else does.
func New(o Options) *http.Server {
	a := &server{o: o, token: sha256.Sum256([]byte(o.Token))}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /livez", a.live)
	mux.HandleFunc("GET /healthz", a.health)
	mux.HandleFunc("GET /readyz", a.ready)
	guarded := http.NewServeMux()
	guarded.Handle("GET /metrics", o.Metrics)
	guarded.HandleFunc("GET /debug/pprof/", pprof.Index)
	guarded.HandleFunc("GET /debug/pprof/cmdline", http.NotFound) // a command line may hold addresses
	guarded.HandleFunc("GET /debug/pprof/profile", pprof.Profile)
	guarded.HandleFunc("GET /debug/pprof/symbol", pprof.Symbol)
	guarded.HandleFunc("GET /debug/pprof/trace", pprof.Trace)
	guarded.HandleFunc("POST /keys/{id}/revoke", a.revoke)
	guarded.HandleFunc("PUT /verdicts", a.verdicts)
	guarded.HandleFunc("POST /reload", a.reload)
	mux.Handle("/", a.guard(guarded))
	return &http.Server{
		Handler: mux, ReadHeaderTimeout: 10 * time.Second, ReadTimeout: 5 * time.Minute, IdleTimeout: 2 * time.Minute, MaxHeaderBytes: 16 << 10,
		ErrorLog: log.New(io.Discard, "", 0),
	}
}

type server struct {
	o     Options
	token [sha256.Size]byte
}

// guard lets through who sends the token. Digests are compared, so that the time taken tells nothing of the token.
func (a *server) guard(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		got := r.Header.Get("Authorization")
		const scheme = "Bearer "
		if len(got) > len(scheme) && got[:len(scheme)] == scheme {
			got = got[len(scheme):]
		}
		sum := sha256.Sum256([]byte(got))
		if a.o.Token == "" || subtle.ConstantTimeCompare(sum[:], a.token[:]) != 1 {
			w.Header().Set("WWW-Authenticate", "Bearer")
			say(w, http.StatusUnauthorized, map[string]string{"error": "send the admin token as Authorization: Bearer"})
			return
		}
		next.ServeHTTP(w, r)
	})
}

// health says of each part whether it works. It answers 200 as long as the process does: a restart mends no upstream.
func (a *server) health(w http.ResponseWriter, _ *http.Request) {
	parts := a.o.Health()
	status := "ok"
	for _, p := range parts {
		if !p.OK {
			status = "degraded"
		}
	}
	say(w, http.StatusOK, report{status, parts})
}

// live answers as long as the process can: what it depends on is not asked, since a restart mends none of it.
func (a *server) live(w http.ResponseWriter, _ *http.Request) {
	say(w, http.StatusOK, map[string]string{"status": "alive"})
}

// ready answers 503 when the gateway should get no traffic, and names the parts that are the reason; with ?verbose, all
// parts.
func (a *server) ready(w http.ResponseWriter, r *http.Request) {
	parts := a.o.Health()
	failing := []gateway.Part{}
	for _, p := range parts {
		if p.Needed && !p.OK {
			failing = append(failing, p)
		}
	}
	status, word := http.StatusOK, "ready"
	if len(failing) > 0 {
		status, word = http.StatusServiceUnavailable, "not ready"
	}
	if r.URL.Query().Has("verbose") {
		failing = parts
	}
	say(w, status, report{word, failing})
}

type report struct {
	Status string         `json:"status"`
	Parts  []gateway.Part `json:"parts"`
}

func (a *server) revoke(w http.ResponseWriter, r *http.Request) {
	if a.o.Keys == nil {
		say(w, http.StatusNotImplemented, map[string]string{"error": "no key file is configured"})
		return
	}
	var in struct {
		Reason string `json:"reason"`
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, 4096))
	if err == nil && len(body) > 0 {
		err = json.Unmarshal(body, &in)
	}
	if err != nil {
		say(w, http.StatusBadRequest, map[string]string{"error": `send nothing, or {"reason":"…"}`})
		return
	}
	switch err := a.o.Keys.Revoke(r.PathValue("id"), in.Reason); {
	case errors.Is(err, ErrUnknown):
		say(w, http.StatusNotFound, map[string]string{"error": err.Error()})
	case err != nil:
		say(w, http.StatusInternalServerError, map[string]string{"error": err.Error()})
	default:
		say(w, http.StatusOK, map[string]string{"status": "revoked"})
	}
}

func (a *server) verdicts(w http.ResponseWriter, r *http.Request) {
	if a.o.Verdicts == nil || a.o.Parse == nil {
		say(w, http.StatusNotImplemented, map[string]string{"error": "verdicts come from a file here: change the file"})
		return
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	if err != nil {
		say(w, http.StatusRequestEntityTooLarge, map[string]string{"error": "the list is longer than 256 MiB or did not arrive"})
		return
	}
	list, err := a.o.Parse(body)
	if err == nil {
		err = a.o.Verdicts.Replace(list)
	}
	if err != nil {
		say(w, http.StatusBadRequest, map[string]string{"error": err.Error()})
		return
	}
	say(w, http.StatusOK, map[string]any{"status": "in force", "verdicts": len(list)})
}

func (a *server) reload(w http.ResponseWriter, _ *http.Request) {
	if err := a.o.Reload(); err != nil {
		say(w, http.StatusBadRequest, map[string]string{"error": err.Error()})
		return
	}
	say(w, http.StatusOK, map[string]string{"status": "reloaded"})
}

func say(w http.ResponseWriter, status int, v any) {
	b, err := json.Marshal(v)
	if err != nil {
		status, b = http.StatusInternalServerError, []byte(`{}`)
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_, _ = w.Write(append(b, '\n')) // whoever left needs no answer
}
