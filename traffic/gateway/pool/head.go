package pool

import (
	"bytes"
	"errors"
	"net/http"
	"net/textproto"
	"strconv"
	"strings"
)

// maxHead bounds the head of an answer, and its trailers, in bytes.
const maxHead = 256 << 10

// maxInterim is how many answers of 1xx may precede the one that counts.
const maxInterim = 8

var (
	errHead    = errors.New("the head of the answer is not HTTP/1.1")
	errLength  = errors.New("the answer does not say clearly where its body ends")
	errTooLong = errors.New("the head of the answer is too long")
)

// head reads the head of the answer, without those that only announce it.
func (k *conn) head(method string) (*http.Response, error) {
	for range maxInterim {
		text, err := k.headText()
		if err != nil {
			return nil, err
		}
		resp, err := parseHead(text, method)
		if err != nil {
			return nil, err
		}
		if resp.StatusCode >= 200 {
			return resp, nil
		}
		if resp.StatusCode == http.StatusSwitchingProtocols {
			return nil, errHead
		}
	}
	return nil, errHead
}

// headText reads up to the empty line that ends a head, and returns what stands before it.
func (k *conn) headText() (string, error) {
	var long []byte // what did not fit the buffer
	seen := 0       // unread bytes in which there is no end
	for {
		if k.r < k.w {
			unread := (*k.buf)[k.r:k.w]
			if len(long) == 0 {
				if i := bytes.Index(unread[max(0, seen-3):], []byte("\r\n\r\n")); i >= 0 {
					i += max(0, seen-3)
					k.r += i + 4
					return string(unread[:i]), nil
				}
				seen = len(unread)
			} else {
				from := max(0, len(long)-3)
				long = append(long, unread...)
				k.r = k.w
				if i := bytes.Index(long[from:], []byte("\r\n\r\n")); i >= 0 {
					i += from
					k.r -= len(long) - (i + 4)
					return string(long[:i]), nil
				}
			}
			if k.buf != nil && k.w == len(*k.buf) && k.r < k.w {
				long = append(long, (*k.buf)[k.r:k.w]...)
				k.r = k.w
			}
			if len(long) > maxHead {
				return "", errTooLong
			}
		}
		if err := k.more(); err != nil {
			return "", err
		}
	}
}

// parseHead reads a head, strictly: what could be read in two ways is an error. ContentLength is -1 where it is not given.
func parseHead(text, method string) (*http.Response, error) {
	line, rest, _ := strings.Cut(text, "\r\n")
	resp := &http.Response{ProtoMajor: 1, ContentLength: -1}
	switch {
	case strings.HasPrefix(line, "HTTP/1.1 "):
		resp.Proto, resp.ProtoMinor = "HTTP/1.1", 1
	case strings.HasPrefix(line, "HTTP/1.0 "):
		resp.Proto = "HTTP/1.0"
	default:
		return nil, errHead
	}
	resp.Status = line[len("HTTP/1.1 "):]
	code := resp.Status
	if len(code) < 3 || len(code) > 3 && code[3] != ' ' || !fieldValue(code) {
		return nil, errHead
	}
	for _, c := range []byte(code[:3]) {
		if c-'0' > 9 {
			return nil, errHead
		}
		resp.StatusCode = 10*resp.StatusCode + int(c-'0')
	}
	if resp.StatusCode < 100 {
		return nil, errHead
	}
	var err error
	if resp.Header, err = parseFields(rest); err != nil {
		return nil, err
	}
	return resp, frame(resp, method)
}

// parseFields reads header lines.
func parseFields(text string) (http.Header, error) {
	n := strings.Count(text, "\r\n") + 1
	h := make(http.Header, n)
	values := make([]string, 0, n)
	for text != "" {
		var line string
		line, text, _ = strings.Cut(text, "\r\n")
		name, value, ok := strings.Cut(line, ":")
		if !ok || !token(name) || !fieldValue(value) {
			return nil, errHead // continued lines too, which begin with a blank
		}
		name = textproto.CanonicalMIMEHeaderKey(name)
		value = strings.Trim(value, " \t")
		if before, ok := h[name]; ok {
			h[name] = append(before[:len(before):len(before)], value)
			continue
		}
		values = append(values, value)
		h[name] = values[len(values)-1:]
	}
	for name, v := range h {
		h[name] = v[:len(v):len(v)]
	}
	return h, nil
}

// frame settles where the body ends (RFC 9112, section 6.3), and whether the connection can be used again: Close says no.
func frame(resp *http.Response, method string) error {
	h := resp.Header
	resp.Close = resp.ProtoMinor == 0
	for _, list := range h["Connection"] {
		for name := range strings.SplitSeq(list, ",") {
			switch name = strings.TrimSpace(name); {
			case strings.EqualFold(name, "close"):
				resp.Close = true
			case strings.EqualFold(name, "keep-alive") && resp.ProtoMinor == 0 && len(h["Connection"]) == 1:
				resp.Close = false
			}
		}
	}
	te, chunked := h["Transfer-Encoding"]
	cl, sized := h["Content-Length"]
	if chunked {
		if resp.ProtoMinor == 0 || len(te) != 1 || !strings.EqualFold(te[0], "chunked") {
			return errLength
		}
		if sized {
			resp.Close = true // somebody between may have read it the other way
			delete(h, "Content-Length")
		}
		delete(h, "Transfer-Encoding")
		resp.TransferEncoding = []string{"chunked"}
	}
	if sized && !chunked {
		for _, v := range cl {
			if v != cl[0] {
				return errLength
			}
		}
		n, err := strconv.ParseUint(cl[0], 10, 63)
		if err != nil {
			return errLength
		}
		resp.ContentLength = int64(n)
		h["Content-Length"] = cl[:1]
	}
	if names := h["Trailer"]; len(names) > 0 && chunked {
		resp.Trailer = http.Header{}
	}
	if bodiless(resp.StatusCode, method) {
		resp.TransferEncoding = nil
		if method != http.MethodHead {
			resp.ContentLength = 0
		}
	} else if !chunked && !sized {
		resp.Close = true
	}
	return nil
}

func bodiless(status int, method string) bool {
	return method == http.MethodHead || status < 200 || status == http.StatusNoContent || status == http.StatusNotModified
}
