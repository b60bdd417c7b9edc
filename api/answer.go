package api

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"math"
	"mime"
	"net/http"
	"runtime/debug"
	"strconv"
	"strings"

	jsonv2 "github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/palladium-guard/palladium/store"
	"github.com/palladium-guard/palladium/store/catalog"
)

// encode writes v as the API writes JSON: no list is null, and nothing in it means anything to a page that takes it for HTML.
func encode(v any) ([]byte, error) {
	return jsonv2.Marshal(v, jsontext.EscapeForHTML(true), jsontext.AllowInvalidUTF8(true), jsonv2.Deterministic(true))
}

// render turns a JSON answer into bytes.
func (a *Answer) render() error {
	a.Status = max(a.Status, http.StatusOK)
	if a.Raw != nil || a.Stream != nil || a.Status == http.StatusNoContent || a.Location != "" && a.JSON == nil {
		return nil
	}
	body, err := encode(a.JSON)
	if err != nil {
		return fmt.Errorf("write answer as JSON: %w", err)
	}
	a.Raw, a.Type = body, "application/json"
	return nil
}

// write sends the answer.
func (q *Request) write(w http.ResponseWriter, a *Answer) error {
	if err := a.render(); err != nil {
		return err
	}
	h := w.Header()
	for _, c := range a.Cookies {
		http.SetCookie(w, c)
	}
	if a.Location != "" {
		h.Set("Location", a.Location)
	}
	if a.repeated {
		h.Set("Idempotency-Replayed", "true")
	}
	if a.Stream != nil {
		return a.Stream(w)
	}
	if a.Raw == nil {
		w.WriteHeader(a.Status)
		return nil
	}
	h.Set("Content-Type", a.Type)
	if a.File != "" {
		h.Set("Content-Disposition", mime.FormatMediaType("attachment", map[string]string{"filename": a.File}))
	}
	if a.Status == http.StatusOK || a.Status == http.StatusCreated {
		tag := a.tag()
		h.Set("ETag", tag)
		if q.Method == http.MethodGet && matches(q.Header.Get("If-None-Match"), tag) {
			w.WriteHeader(http.StatusNotModified)
			return nil
		}
	}
	h.Set("Content-Length", strconv.Itoa(len(a.Raw)))
	w.WriteHeader(a.Status)
	_, _ = w.Write(a.Raw) // who has gone needs no answer
	return nil
}

// tag is the ETag: the revision that a change is made to, and a digest of what is shown, which may change under it.
func (a *Answer) tag() string {
	sum := sha256.Sum256(a.Raw)
	digest := hex.EncodeToString(sum[:8])
	if a.Revision == 0 {
		return `"` + digest + `"`
	}
	return `"` + strconv.FormatInt(a.Revision, 10) + "." + digest + `"`
}

func matches(header, tag string) bool {
	for part := range strings.SplitSeq(header, ",") {
		if part = strings.TrimSpace(part); part != "" && strings.TrimPrefix(part, "W/") == tag {
			return true
		}
	}
	return false
}

// refuse sends a problem, and logs what is the site's own fault.
func (s *Server) refuse(w http.ResponseWriter, q *Request, err error) {
	p := s.problem(q, err)
	h := w.Header()
	h.Del("Location")
	h.Set("Content-Type", "application/problem+json")
	if p.Retry > 0 {
		h.Set("Retry-After", strconv.Itoa(int(math.Ceil(p.Retry.Seconds()))))
	}
	if p.Status == http.StatusUnauthorized && p.Code == "not_signed_in" {
		h.Set("WWW-Authenticate", `Bearer realm="palladium"`)
	}
	body, err := encode(problemBody{Type: "urn:palladium:problem:" + p.Code, Title: title(p.Code), Status: p.Status,
		Code: p.Code, Detail: p.Detail, Request: q.ID, Errors: p.Fields})
	if err != nil {
		body = []byte(`{}`)
	}
	w.WriteHeader(p.Status)
	_, _ = w.Write(body)
}

// problem turns an error into what the caller may know of it.
func (s *Server) problem(q *Request, err error) *Problem {
	var p *Problem
	switch {
	case errors.As(err, &p):
		return p
	case errors.Is(err, catalog.ErrNotFound):
		return NotFound(q.noun())
	case errors.Is(err, catalog.ErrConflict):
		if q.Header.Get("If-Match") != "" {
			return Changed()
		}
		return Conflict("somebody else has changed it meanwhile, or it is there already: fetch it anew")
	case errors.Is(err, catalog.ErrInvalid):
		return BadRequest("%s", clip(err.Error()))
	case errors.Is(err, context.Canceled):
		return Unavailable("the request was given up")
	}
	s.o.Log.Error("request failed", "operation", q.operation(), "request", q.ID, "error", err)
	switch {
	case errors.Is(err, store.ErrUnavailable):
		return Unavailable("the catalog's database cannot be reached: try again once health says that it is there, and look first whether it was done")
	case errors.Is(err, store.ErrBusy):
		return Unavailable("the catalog's database is busy: try again")
	case errors.Is(err, store.ErrFull):
		return Unavailable("the catalog's database has no room left: whoever runs it must make some")
	case errors.Is(err, context.DeadlineExceeded):
		return Unavailable("this took too long and was given up: ask for less, or try again")
	}
	return &Problem{Status: http.StatusInternalServerError, Code: "internal", Detail: "something went wrong here; the log has more under request " + q.ID}
}

func (q *Request) operation() string {
	if q.op == nil {
		return ""
	}
	return q.op.ID
}

// noun is what the path of the operation names, such as campaign.
func (q *Request) noun() string {
	if q.op == nil {
		return "address"
	}
	first, _, _ := strings.Cut(strings.TrimPrefix(q.op.path, "/"), "/")
	switch first {
	case "ledger":
		return "entry"
	case "policies":
		return "policy"
	case "allow", "me", "session":
		return "entry"
	}
	return strings.TrimSuffix(first, "s")
}

// rescue turns a panic into a problem; the log has the stack.
func (s *Server) rescue(w http.ResponseWriter, q *Request) {
	v := recover()
	if v == nil {
		return
	}
	if v == http.ErrAbortHandler {
		panic(v)
	}
	s.o.Log.Error("request panicked", "operation", q.operation(), "request", q.ID, "panic", fmt.Sprint(v), "stack", string(debug.Stack()))
	s.refuse(w, q, &Problem{Status: http.StatusInternalServerError, Code: "internal", Detail: "something went wrong here; the log has more under request " + q.ID})
}
