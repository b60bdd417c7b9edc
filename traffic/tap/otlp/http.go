package otlp

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"io"
	"mime"
	"net/http"
	"strconv"
	"time"

	"go.opentelemetry.io/collector/pdata/plog/plogotlp"
	"go.opentelemetry.io/collector/pdata/ptrace/ptraceotlp"
	spb "google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
)

// The forms of a body.
const (
	protobufType = "application/x-protobuf"
	jsonType     = "application/json"
)

// signal is what differs between spans and log records.
type signal struct {
	json   func(protobuf []byte) ([]byte, error)
	answer func(rejected int64, reason string) answer
}

// answer is an export response.
type answer interface {
	MarshalProto() ([]byte, error)
	MarshalJSON() ([]byte, error)
}

func spanSignal() signal {
	return signal{
		json: func(b []byte) ([]byte, error) {
			r := ptraceotlp.NewExportRequest()
			if err := r.UnmarshalProto(b); err != nil {
				return nil, err
			}
			return r.MarshalJSON()
		},
		answer: func(rejected int64, reason string) answer {
			out := ptraceotlp.NewExportResponse()
			if rejected > 0 {
				out.PartialSuccess().SetRejectedSpans(rejected)
				out.PartialSuccess().SetErrorMessage(reason)
			}
			return out
		},
	}
}

func logSignal() signal {
	return signal{
		json: func(b []byte) ([]byte, error) {
			r := plogotlp.NewExportRequest()
			if err := r.UnmarshalProto(b); err != nil {
				return nil, err
			}
			return r.MarshalJSON()
		},
		answer: func(rejected int64, reason string) answer {
			out := plogotlp.NewExportResponse()
			if rejected > 0 {
				out.PartialSuccess().SetRejectedLogRecords(rejected)
				out.PartialSuccess().SetErrorMessage(reason)
			}
			return out
		},
	}
}

// newHTTP returns the server for OTLP over HTTP.
func (t *Tap) newHTTP() *http.Server {
	mux := http.NewServeMux()
	mux.HandleFunc("POST /v1/traces", t.receive(spanSignal()))
	mux.HandleFunc("POST /v1/logs", t.receive(logSignal()))
	return &http.Server{
		Handler: mux, ReadHeaderTimeout: 10 * time.Second, ReadTimeout: time.Minute, WriteTimeout: time.Minute + t.c.Wait,
		IdleTimeout: 2 * time.Minute, MaxHeaderBytes: 16 << 10, ErrorLog: quiet(),
	}
}

func (t *Tap) receive(s signal) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		form, _, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
		if err != nil || form != protobufType && form != jsonType {
			t.refuse(w, jsonType, causeForm, http.StatusUnsupportedMediaType, codes.InvalidArgument, "send application/x-protobuf or application/json")
			return
		}
		if !t.keys.Allows(r.Header.Get("Authorization")) {
			w.Header().Set("WWW-Authenticate", "Bearer")
			t.refuse(w, form, causeIdentity, http.StatusUnauthorized, codes.Unauthenticated, "send one of the tokens as Authorization: Bearer")
			return
		}
		release := t.take()
		if release == nil {
			t.refuse(w, form, causeBusy, http.StatusTooManyRequests, codes.ResourceExhausted, "too many requests at once; try again")
			return
		}
		defer release()
		document, cause, err := t.body(w, r)
		if err == nil && form == protobufType {
			cause = causeForm
			document, err = s.json(document)
		} else if err == nil && !json.Valid(document) {
			cause, err = causeForm, errors.New("not JSON")
		}
		switch {
		case err == nil:
		case cause == causeSize:
			t.refuse(w, form, cause, http.StatusRequestEntityTooLarge, codes.InvalidArgument, "the request is larger than is taken: have the exporter send smaller batches")
			return
		case errors.Is(err, errEncoding):
			t.refuse(w, form, cause, http.StatusUnsupportedMediaType, codes.InvalidArgument, "compress with gzip, or not at all")
			return
		default:
			t.refuse(w, form, cause, http.StatusBadRequest, codes.InvalidArgument, "the request cannot be read as "+form)
			return
		}
		t.bytes.Add(int64(len(document)))
		rejected, reason, err := t.accept(r.Context(), "otlp:http", document)
		switch {
		case err == nil:
			t.requests[overHTTP].Add(1)
			succeed(w, form, s.answer(rejected, reason))
		case errors.Is(err, context.DeadlineExceeded): // no room in time
			t.say(w, form, http.StatusTooManyRequests, codes.ResourceExhausted, "observations cannot be taken so fast; try again")
		default:
			t.say(w, form, http.StatusServiceUnavailable, codes.Unavailable, "observations cannot be kept at the moment; try again")
		}
	}
}

var errEncoding = errors.New("unknown content encoding")

// body reads a request's body, uncompressed. The cause goes with the error.
func (t *Tap) body(w http.ResponseWriter, r *http.Request) ([]byte, cause, error) {
	in := io.Reader(http.MaxBytesReader(w, r.Body, int64(t.c.Request)))
	switch r.Header.Get("Content-Encoding") {
	case "", "identity":
	case "gzip":
		z, err := gzip.NewReader(in)
		if err != nil {
			return nil, blame(err), err
		}
		in = z
	default:
		return nil, causeForm, errEncoding
	}
	var b bytes.Buffer
	if n := r.ContentLength; n > 0 && n <= int64(t.c.Request) {
		b.Grow(int(n) + bytes.MinRead)
	}
	n, err := b.ReadFrom(io.LimitReader(in, int64(t.c.Request)+1))
	switch {
	case err != nil:
		return nil, blame(err), err
	case n > int64(t.c.Request):
		return nil, causeSize, errors.New("too large")
	}
	return b.Bytes(), 0, nil
}

func blame(err error) cause {
	var large *http.MaxBytesError
	if errors.As(err, &large) {
		return causeSize
	}
	return causeForm
}

func succeed(w http.ResponseWriter, form string, a answer) {
	marshal := a.MarshalProto
	if form == jsonType {
		marshal = a.MarshalJSON
	}
	b, err := marshal()
	if err != nil {
		b = nil // an empty response is a success too
	}
	write(w, form, http.StatusOK, b)
}

func (t *Tap) refuse(w http.ResponseWriter, form string, c cause, status int, code codes.Code, says string) {
	t.refused[c].Add(1)
	t.say(w, form, status, code, says)
}

// say answers with an error, in the form of the request, and with when to try again where that can help.
func (t *Tap) say(w http.ResponseWriter, form string, status int, code codes.Code, says string) {
	if status == http.StatusTooManyRequests || status == http.StatusServiceUnavailable {
		w.Header().Set("Retry-After", strconv.FormatInt(max(1, int64((t.c.Retry+time.Second-1)/time.Second)), 10))
	}
	m := &spb.Status{Code: int32(code), Message: says}
	var b []byte
	var err error
	if form == jsonType {
		b, err = protojson.Marshal(m)
	} else {
		b, err = proto.Marshal(m)
	}
	if err != nil {
		b = nil
	}
	write(w, form, status, b)
}

func write(w http.ResponseWriter, form string, status int, b []byte) {
	w.Header().Set("Content-Type", form)
	w.Header().Set("Content-Length", strconv.Itoa(len(b)))
	w.WriteHeader(status)
	_, _ = w.Write(b) // whoever left needs no answer
}
