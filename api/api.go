// Package api is the operator's HTTP API: the door through which people and their programs investigate, decide, undo and
// answer for it. This package holds what every operation needs (the contract in OpenAPI, who may do what, sign-in checked,
// requests from other sites refused, the ledger, idempotency, live events); the packages below it hold the operations.
package api

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"time"

	"github.com/palladium-guard/palladium/store/catalog"
)

// Handle answers requests that have passed. An error that is no Problem, nor one of the catalog's, becomes a 500.
type Handle func(q *Request) (*Answer, error)

// Route joins an operation of the contract with what answers it.
type Route struct {
	Op     string // operationId
	Handle Handle
}

// Authenticator says who sends a request.
type Authenticator interface {
	// Identify returns the zero Principal for a request without credentials, or with a cookie that stands for nobody
	// now. A token that is not good is a Problem.
	Identify(r *http.Request) (Principal, error)
	// Cookie is the name of the cookie that holds the session.
	Cookie() string
}

// Ledger is where acts are written down before they are done.
type Ledger interface {
	// Append writes a statement and returns its index. What it acknowledges is durable.
	Append(ctx context.Context, kind string, statement []byte) (index int64, err error)
}

// The kinds of the API's statements.
const (
	KindAct  = "palladium/act/v1"  // somebody asks for a change
	KindRead = "palladium/read/v1" // somebody is about to be shown accounts
)

// Options are what the API stands on. Routes, Auth, Ledger and Catalog must be given.
type Options struct {
	Routes  []Route
	Auth    Authenticator
	Ledger  Ledger
	Catalog *catalog.Store
	// Origin is scheme and host under which people reach the site, such as https://palladium.example.com. Requests for
	// another host are refused. Empty takes any, which suits tests alone.
	Origin string
	// Proxies are the addresses of proxies whose X-Forwarded-For is believed.
	Proxies []netip.Prefix
	Log     *slog.Logger
	Now     func() time.Time // time.Now when nil

	MaxBody  int64         // of most requests, bytes; 1 MiB when zero
	MaxLarge int64         // of requests that list accounts; 16 MiB when zero
	Timeout  time.Duration // of one request; 30 s when zero
	Rate     float64       // requests a second of one user, ten times as many at once; 50 when zero
	Poll     time.Duration // how often a live stream looks for change that it was not told of; 5 s when zero
}

// Server is the API. It implements http.Handler for all paths below /api/.
type Server struct {
	o        Options
	origin   *url.URL
	contract *contract
	mux      *http.ServeMux
	seen     *readings
	rate     *Limiter
	public   *Limiter
	live     *audience
	metrics  *metrics
}

// New makes the API. Every operation of the contract must have exactly one route.
func New(o Options) (*Server, error) {
	if o.Auth == nil || o.Ledger == nil || o.Catalog == nil {
		return nil, errors.New("api needs an authenticator, a ledger and a catalog")
	}
	o.defaults()
	s := &Server{o: o, mux: http.NewServeMux(), seen: newReadings(), live: newAudience(),
		rate: NewLimiter(o.Rate, int(10*o.Rate)), public: NewLimiter(10, 60)}
	s.metrics = newMetrics(s)
	if o.Origin != "" {
		u, err := url.Parse(o.Origin)
		if err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http" {
			return nil, fmt.Errorf("origin %q is not a scheme and a host: write it as https://palladium.example.com", o.Origin)
		}
		s.origin = u
	}
	var err error
	if s.contract, err = readContract(openAPI); err != nil {
		return nil, err
	}
	routes := map[string]Handle{"getOpenAPI": s.openAPI, "streamEvents": s.stream}
	for _, r := range o.Routes {
		if routes[r.Op] != nil {
			return nil, fmt.Errorf("operation %s has two routes", r.Op)
		}
		routes[r.Op] = r.Handle
	}
	for id, handle := range routes {
		op := s.contract.operations[id]
		if op == nil {
			return nil, fmt.Errorf("route %s is not in the OpenAPI document", id)
		}
		s.mux.Handle(op.pattern(), s.serve(op, handle))
	}
	for id := range s.contract.operations {
		if routes[id] == nil {
			return nil, fmt.Errorf("operation %s of the OpenAPI document has no route", id)
		}
	}
	s.mux.HandleFunc("/", s.nowhere)
	return s, nil
}

func (o *Options) defaults() {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	o.MaxBody, o.MaxLarge = cmp.Or(o.MaxBody, 1<<20), cmp.Or(o.MaxLarge, 16<<20)
	o.Timeout, o.Poll = cmp.Or(o.Timeout, 30*time.Second), cmp.Or(o.Poll, 5*time.Second)
	o.Rate = cmp.Or(o.Rate, 50)
}

// ServeHTTP answers requests below /api/.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) { s.mux.ServeHTTP(w, r) }

// serve is what every request passes through, in this order: site, sender, rate, right, origin, form, repetition, ledger.
func (s *Server) serve(op *operation, handle Handle) http.Handler {
	return s.metrics.counted(op.ID, func(w http.ResponseWriter, r *http.Request) {
		ctx, cancel := context.WithTimeout(r.Context(), s.o.Timeout)
		defer cancel()
		if op.ID == "streamEvents" {
			ctx = r.Context()
		}
		control := http.NewResponseController(w)
		deadline := time.Now().Add(s.o.Timeout)
		_, _ = control.SetReadDeadline(deadline), control.SetWriteDeadline(deadline.Add(s.o.Timeout)) // not all writers can
		q := &Request{Request: r.WithContext(ctx), ID: requestID(), Now: s.o.Now().UTC(), s: s, op: op, index: -1}
		Harden(w.Header())
		w.Header().Set("X-Request-Id", q.ID)
		defer s.rescue(w, q)
		err := s.admit(w, q)
		var a *Answer
		if err == nil {
			a, err = s.once(q, handle)
		}
		if err == nil {
			err = q.write(w, a)
		}
		if err != nil {
			s.refuse(w, q, err)
		}
	})
}

// admit checks all that must hold before an operation begins.
func (s *Server) admit(w http.ResponseWriter, q *Request) (err error) {
	if err := s.checkHost(q.Request); err != nil {
		return err
	}
	if q.By, err = s.o.Auth.Identify(q.Request); err != nil {
		if late := s.throttle(q); late != nil { // who tries tokens is a stranger
			return late
		}
		return err
	}
	if _, err := q.Cookie(s.o.Auth.Cookie()); err == nil && q.By.Token == "" {
		q.session = true
	}
	for _, check := range []func(*Request) error{s.throttle, (*Request).mayCall, s.checkOrigin} {
		if err := check(q); err != nil {
			return err
		}
	}
	if p := q.op.checkParams(q.Request); p != nil {
		return p
	}
	most := s.o.MaxBody
	if q.op.Large {
		most = s.o.MaxLarge
	}
	return q.readBody(w, most)
}

// throttle makes those wait who ask too often.
func (s *Server) throttle(q *Request) error {
	limiter, who := s.public, s.ClientIP(q.Request)
	if q.By.ID != "" {
		limiter, who = s.rate, q.By.ID
	}
	if wait := limiter.Wait(who, time.Now()); wait > 0 {
		return TooMany(wait)
	}
	return nil
}

// mayCall checks role and scope.
func (q *Request) mayCall() error {
	op := &q.op.Operation
	switch {
	case op.Public():
		return nil
	case q.By.ID == "":
		return &Problem{Status: http.StatusUnauthorized, Code: "not_signed_in", Detail: "sign in, or send a token that has not expired"}
	case !op.Allows(q.By.Role):
		return Forbidden("role %s may not do this (%s)", q.By.Role, op.ID)
	case q.By.Token != "" && !op.within(q.By.Scopes):
		return Forbidden("this token may not do this: it needs scope %s", op.Scope)
	}
	return nil
}

// within reports whether a token with these scopes may call the operation.
func (o *Operation) within(scopes []Scope) bool {
	if o.Scope == ScopeSession {
		return false
	}
	for _, s := range scopes {
		if s == o.Scope {
			return true
		}
	}
	return false
}

// May returns the operations that p may call, in the order of the table.
func (p *Principal) May() (ids []string) {
	for _, o := range Operations() {
		if !o.Public() && o.Allows(p.Role) && (p.Token == "" || o.within(p.Scopes)) {
			ids = append(ids, o.ID)
		}
	}
	return ids
}

func (s *Server) openAPI(*Request) (*Answer, error) {
	return &Answer{Raw: s.contract.json, Type: "application/json"}, nil
}

// nowhere answers for paths that no operation has, and for methods that a path has not.
func (s *Server) nowhere(w http.ResponseWriter, r *http.Request) {
	q := &Request{Request: r, ID: requestID()}
	Harden(w.Header())
	w.Header().Set("X-Request-Id", q.ID)
	var allowed []string
	for _, method := range []string{http.MethodGet, http.MethodPost, http.MethodPatch, http.MethodDelete} {
		try := r.Clone(r.Context())
		try.Method = method
		if _, pattern := s.mux.Handler(try); pattern != "/" {
			allowed = append(allowed, method)
		}
	}
	if len(allowed) == 0 {
		s.refuse(w, q, NotFound("address"))
		return
	}
	w.Header().Set("Allow", strings.Join(allowed, ", "))
	s.refuse(w, q, &Problem{Status: http.StatusMethodNotAllowed, Code: "method_not_allowed", Detail: "allowed here: " + strings.Join(allowed, ", ")})
}

func requestID() string {
	var b [12]byte
	_, _ = rand.Read(b[:]) // never fails
	return hex.EncodeToString(b[:])
}
