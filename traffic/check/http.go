package check

import (
	"encoding/json"
	"io"
	"net/http"
	"net/textproto"
	"strconv"
	"strings"
	"time"
)

// maxQuestion is the longest question in JSON form, in bytes.
const maxQuestion = 64 << 10

// newHTTP returns the server for checks over HTTP.
func (d *Door) newHTTP() *http.Server {
	return &http.Server{
		Handler: d.handler(), ReadHeaderTimeout: 10 * time.Second, ReadTimeout: 30 * time.Second, IdleTimeout: 2 * time.Minute,
		MaxHeaderBytes: 64 << 10, ErrorLog: quiet(),
	}
}

func (d *Door) handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("/auth", d.subrequest)
	mux.HandleFunc("POST /v1/check", d.question)
	return mux
}

// subrequest answers a gateway that passes on the headers of its caller's request and goes by the status alone: 204 to
// let it pass, else the status for the caller.
func (d *Door) subrequest(w http.ResponseWriter, r *http.Request) {
	if !d.keys.Allows(r.Header.Get("X-Palladium-Token")) {
		d.unknown() // not 401, which would tell the caller that its own credential is at fault
		a := refuse(http.StatusServiceUnavailable, "check.token", "The gateway may not ask.")
		d.reply(w, &a, "http")
		return
	}
	q := question{now: time.Now(), path: original(r.Header)}
	q.identity = d.identify(r.Header.Values, func() *http.Request { return r })
	a := d.decide(&q)
	if a.Allow && !d.hold(r.Context(), &a, d.c.Hold.HTTP) {
		return
	}
	d.reply(w, &a, "http")
}

// original is the path of the caller's request, as nginx, Traefik and Caddy are wont to say it.
func original(h http.Header) string {
	for _, name := range [...]string{"X-Original-Uri", "X-Forwarded-Uri"} {
		if v := h.Values(name); len(v) == 1 {
			path, _, _ := strings.Cut(v[0], "?")
			return path
		}
	}
	return ""
}

func (d *Door) reply(w http.ResponseWriter, a *Answer, form string) {
	d.meters.count(form, a)
	h := w.Header()
	a.header(func(name, value string) { h[textproto.CanonicalMIMEHeaderKey(name)] = []string{value} })
	h["Cache-Control"] = []string{"no-store"}
	if a.Allow {
		w.WriteHeader(http.StatusNoContent)
		return
	}
	if a.Status == http.StatusUnauthorized {
		h["Www-Authenticate"] = []string{"Bearer"} // nginx passes it on
	}
	body := problem(a)
	h["Content-Type"] = []string{"application/problem+json"}
	h["Content-Length"] = []string{strconv.Itoa(len(body))}
	w.WriteHeader(a.Status)
	_, _ = w.Write(body) // whoever left needs no answer
}

// problem is a refusal for the caller: a problem document (RFC 9457) that also has the error object which clients of the
// model APIs read.
func problem(a *Answer) []byte {
	type inner struct {
		Message string `json:"message"`
		Type    string `json:"type"`
		Code    string `json:"code"`
	}
	b, err := json.Marshal(struct {
		Type    string     `json:"type"`
		Title   string     `json:"title"`
		Status  int        `json:"status"`
		Detail  string     `json:"detail"`
		Code    string     `json:"code"`
		Appeal  string     `json:"appeal,omitempty"`
		Verify  string     `json:"verify,omitempty"`
		Expires *time.Time `json:"expires,omitempty"`
		Error   inner      `json:"error"`
	}{"about:blank", http.StatusText(a.Status), a.Status, a.Says, a.Reason, a.Appeal, a.Verify, a.Expires,
		inner{a.Says, kind(a.Status), a.Reason}})
	if err != nil { // of strings and numbers alone: it cannot fail
		return []byte("{}")
	}
	return append(b, '\n')
}

// kind is the type of error that clients of the model APIs know a status by.
func kind(status int) string {
	switch status {
	case http.StatusUnauthorized:
		return "authentication_error"
	case http.StatusForbidden:
		return "permission_error"
	case http.StatusTooManyRequests:
		return "rate_limit_error"
	}
	return "api_error"
}

// question answers a program. It is told all, at once: what is to wait is its own to wait for.
func (d *Door) question(w http.ResponseWriter, r *http.Request) {
	token := r.Header.Get("X-Palladium-Token")
	or(&token, r.Header.Get("Authorization"))
	if !d.keys.Allows(token) {
		d.unknown()
		w.Header().Set("WWW-Authenticate", "Bearer")
		say(w, http.StatusUnauthorized, map[string]string{"error": "send one of the tokens as Authorization: Bearer"})
		return
	}
	var in struct {
		Account string            `json:"account"`
		Path    string            `json:"path"`
		Headers map[string]string `json:"headers"` // of the caller's request, where they say who it is
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxQuestion))
	if err == nil {
		err = json.Unmarshal(body, &in)
	}
	if err != nil {
		say(w, http.StatusBadRequest, map[string]string{"error": `send {"account":"…"} or {"headers":{…}}, and "path" where routes differ`})
		return
	}
	q := question{now: time.Now(), path: in.Path}
	switch {
	case len(in.Account) > longestAccount:
		q.identity.Reason = "account.invalid"
	case in.Account != "":
		q.identity.Account = in.Account
	default:
		h := http.Header{}
		for name, value := range in.Headers {
			h.Add(name, value)
		}
		q.identity = d.identify(h.Values, func() *http.Request { return &http.Request{Header: h} })
	}
	a := d.decide(&q)
	d.meters.count("json", &a)
	say(w, http.StatusOK, &a)
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
