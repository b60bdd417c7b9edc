package api

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"strconv"
	"strings"
	"time"

	jsonv2 "github.com/go-json-experiment/json"
)

// Principal is who sends a request.
type Principal struct {
	ID      string // of the user
	Name    string
	Role    Role
	Scopes  []Scope // of a token; nil for a session, which may all that its role may
	Token   string  // id of the token; empty for a session
	Session string  // id of the session; empty for a token
	Expires time.Time
}

// Actor is how the ledger and the history name p.
func (p *Principal) Actor() string {
	switch {
	case p.ID == "":
		return "anonymous"
	case p.Token != "":
		return p.ID + " by token:" + p.Token
	}
	return p.ID
}

// Request is a request that has passed: its sender may do this, its parameters and body have the form of the contract.
type Request struct {
	*http.Request
	By  Principal // zero on public operations
	ID  string    // of the request, as in the log
	Now time.Time

	s       *Server
	op      *operation
	body    []byte
	session bool // it carries a cookie

	// What goes into the ledger about it.
	index int64 // of the statement; -1 before
}

// Param returns a parameter of path, query or header; "" when it is not given.
func (q *Request) Param(name string) string {
	for i := range q.op.params {
		if p := &q.op.params[i]; p.name == name {
			text, _ := p.of(q.Request)
			return text
		}
	}
	return ""
}

// List returns the parts of a parameter that holds a list.
func (q *Request) List(name string) []string {
	text := q.Param(name)
	if text == "" {
		return nil
	}
	return strings.Split(text, ",")
}

// Int returns a whole number, or otherwise when it is not given.
func (q *Request) Int(name string, otherwise int64) int64 {
	n, err := strconv.ParseInt(q.Param(name), 10, 64)
	if err != nil {
		return otherwise
	}
	return n
}

// Limit returns how many items a page may have.
func (q *Request) Limit() int { return int(q.Int("limit", 50)) }

// Decode reads the body, which has been checked, into v.
func (q *Request) Decode(v any) error {
	if err := jsonv2.Unmarshal(q.body, v); err != nil {
		return BadRequest("body cannot be read: %s", clip(err.Error()))
	}
	return nil
}

// readBody takes the body in, no longer than most, and checks it.
func (q *Request) readBody(w http.ResponseWriter, most int64) error {
	if q.op.body == nil {
		return q.noBody()
	}
	if kind, _, err := mime.ParseMediaType(q.Header.Get("Content-Type")); err != nil || kind != "application/json" {
		return &Problem{Status: http.StatusUnsupportedMediaType, Code: "unsupported_media", Detail: "the body must be application/json"}
	}
	data, err := io.ReadAll(http.MaxBytesReader(w, q.Body, most))
	if err != nil {
		var large *http.MaxBytesError
		if errors.As(err, &large) {
			return &Problem{Status: http.StatusRequestEntityTooLarge, Code: "too_large", Detail: fmt.Sprintf("the body is larger than %d bytes", most)}
		}
		return BadRequest("body was not received whole")
	}
	var v any
	if err := jsonv2.Unmarshal(data, &v); err != nil { // refuses duplicate names and what is no UTF-8
		return BadRequest("body is not JSON in its strict form")
	}
	q.body = data
	if p := q.op.checkBody(v); p != nil {
		return p
	}
	return nil
}

// noBody refuses what an operation that takes no body is sent.
func (q *Request) noBody() error {
	var one [1]byte
	if n, _ := io.ReadFull(q.Body, one[:]); n > 0 && q.op.method != http.MethodGet {
		// {} is let pass: many clients send it where they have nothing to say.
		rest, _ := io.ReadAll(io.LimitReader(q.Body, 64))
		if strings.TrimSpace(string(one[:])+string(rest)) != "{}" {
			return BadRequest("this takes no body")
		}
	}
	return nil
}

// Answer is what a request gets.
type Answer struct {
	Status   int    // 200 when zero
	JSON     any    // the body, unless Raw or Stream is given
	Raw      []byte // with Type
	Type     string // media type of Raw
	File     string // name under which Raw is offered to be saved
	Revision int64  // of what is shown: becomes part of the ETag
	Location string
	Cookies  []*http.Cookie
	Stream   func(w http.ResponseWriter) error

	repeated bool
}

// OK answers with v.
func OK(v any) (*Answer, error) { return &Answer{JSON: v}, nil }

// Created answers with v that was made, and stands at path below the API's base.
func Created(path string, v any) (*Answer, error) {
	return &Answer{Status: http.StatusCreated, JSON: v, Location: base + path}, nil
}

// Done answers without a body.
func Done() (*Answer, error) { return &Answer{Status: http.StatusNoContent}, nil }

// Page is a page of a list. Next is the cursor of the one after it, empty at the end.
type Page[T any] struct {
	Items []T    `json:"items"`
	Next  string `json:"next"`
}

// NewPage returns a page whose items are never null.
func NewPage[T any](items []T, next string) Page[T] {
	if items == nil {
		items = []T{}
	}
	return Page[T]{items, next}
}

// Counted is a page with the number of items on all pages.
type Counted[T any] struct {
	Page[T]
	Total int64 `json:"total"`
}

// NewCounted returns a page whose items are never null. It asks count, which gives the number on all pages, unless the page is all.
func NewCounted[T any](q *Request, items []T, next string, count func(context.Context) (int64, error)) (Counted[T], error) {
	out := Counted[T]{NewPage(items, next), int64(len(items))}
	if q.Param("cursor") == "" && next == "" {
		return out, nil
	}
	var err error
	out.Total, err = count(q.Context())
	return out, err
}

// OKCounted answers with such a page.
func OKCounted[T any](q *Request, items []T, next string, count func(context.Context) (int64, error)) (*Answer, error) {
	page, err := NewCounted(q, items, next, count)
	if err != nil {
		return nil, err
	}
	return OK(page)
}

// Cursor hides a position so that nobody leans on its form.
func Cursor(v any) string {
	data, err := json.Marshal(v)
	if err != nil {
		return ""
	}
	return base64.RawURLEncoding.EncodeToString(data)
}

// ReadCursor reads a position that Cursor has made; the empty text leaves v as it is.
func ReadCursor(text string, v any) error {
	if text == "" {
		return nil
	}
	data, err := base64.RawURLEncoding.DecodeString(text)
	if err == nil {
		err = jsonv2.Unmarshal(data, v, jsonv2.RejectUnknownMembers(true))
	}
	if err != nil {
		return BadRequest("cursor is not one that a page before gave")
	}
	return nil
}

// Revision reads the version that a change is made to from If-Match.
func (q *Request) Revision() (int64, error) {
	text := q.Header.Get("If-Match")
	if text == "" {
		return 0, &Problem{Status: http.StatusPreconditionRequired, Code: "if_match_required", Detail: "send the ETag of what was read as If-Match"}
	}
	number, _, _ := strings.Cut(strings.Trim(strings.TrimPrefix(text, "W/"), `"`), ".")
	n, err := strconv.ParseInt(number, 10, 64)
	if err != nil {
		return 0, Changed()
	}
	return n, nil
}

// Changed is the problem of a change that is made to what is no longer there.
func Changed() *Problem {
	return &Problem{Status: http.StatusPreconditionFailed, Code: "changed", Detail: "somebody else has changed it since it was read: fetch it anew, then change it"}
}
