package api

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"net/http"
	"time"

	"github.com/palladium-guard/palladium/store/catalog"
)

// keptFor is how long an answer is kept for a repetition of its request.
const keptFor = 24 * time.Hour

// kept is what is stored of an answer.
type kept struct {
	Raw      []byte `json:"raw,omitempty"`
	Type     string `json:"type,omitempty"`
	Revision int64  `json:"revision,omitempty"`
	Location string `json:"location,omitempty"`
}

// once records the request and carries it out; a repetition under the same Idempotency-Key gets the answer again.
func (s *Server) once(q *Request, handle Handle) (*Answer, error) {
	key := q.Header.Get("Idempotency-Key")
	if key == "" || q.By.ID == "" || q.Param("Idempotency-Key") == "" {
		return s.carryOut(q, handle)
	}
	sum := sha256.New()
	for _, part := range []string{q.Method, q.URL.Path, q.Header.Get("If-Match"), string(q.body)} {
		sum.Write([]byte(part))
		sum.Write([]byte{0})
	}
	claim := catalog.Request{Key: q.By.ID + "|" + q.By.Token + "|" + key, Digest: hex.EncodeToString(sum.Sum(nil)), Expires: q.Now.Add(keptFor)}
	if q.op.Secret {
		claim.Digest = "" // not even a digest of a secret is kept
	}
	held, claimed, err := s.o.Catalog.ClaimRequest(q.Context(), claim, q.Now)
	if err != nil {
		return nil, err
	}
	if !claimed {
		return s.repeat(q, held, claim)
	}
	a, err := s.carryOut(q, handle)
	if err == nil {
		err = a.render()
	}
	if err != nil {
		if drop := s.o.Catalog.DropRequest(q.Context(), claim.Key); drop != nil {
			s.o.Log.Warn("idempotency key stays taken", "request", q.ID, "error", drop)
		}
		return nil, err
	}
	var answer []byte
	if !q.op.Secret {
		if answer, err = json.Marshal(kept{a.Raw, a.Type, a.Revision, a.Location}); err != nil {
			return nil, err
		}
	}
	if err := s.o.Catalog.FinishRequest(q.Context(), claim.Key, a.Status, answer); err != nil {
		s.o.Log.Warn("answer is not kept for a repetition", "request", q.ID, "error", err) // what was asked for is done all the same
	}
	return a, nil
}

// repeat answers a request that was sent before.
func (s *Server) repeat(q *Request, held, claim catalog.Request) (*Answer, error) {
	switch {
	case held.Digest != claim.Digest:
		return nil, &Problem{Status: http.StatusUnprocessableEntity, Code: "key_reused", Detail: "this Idempotency-Key was used for another request: take a new one"}
	case !held.Done:
		return nil, Conflict("the request with this Idempotency-Key is still being carried out, or was cut off: look at what it would have changed")
	case q.op.Secret:
		return nil, &Problem{Status: http.StatusConflict, Code: "secret_shown", Detail: "this was done before with this Idempotency-Key, and its secret is shown once only"}
	}
	var k kept
	if err := json.Unmarshal(held.Answer, &k); err != nil {
		return nil, err
	}
	return &Answer{Status: held.Status, Raw: k.Raw, Type: k.Type, Revision: k.Revision, Location: k.Location, repeated: true}, nil
}

func (s *Server) carryOut(q *Request, handle Handle) (*Answer, error) {
	if err := q.record(); err != nil {
		return nil, err
	}
	return handle(q)
}
