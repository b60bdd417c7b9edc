package upstream

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"time"
)

// FaultHeader carries a fault in a request. The same text may stand behind an exclamation mark in the model's name,
// for callers that cannot set a header: "test-model!pace=20ms+cut=5".
const FaultHeader = "X-Upstream-Fault"

// Fault is what a request asks to be done to it. Its written form is a list of name=value, joined by + or commas; the
// names are those below. The zero value is a plain answer.
type Fault struct {
	Status  int           // status=429: refuse with this status
	Times   int           // times=2: refuse only the first two of equal requests; 0 refuses them all
	Retry   time.Duration // retry=50ms: retry-after-ms, and retry-after in whole seconds, on a refusal
	NoRetry bool          // noretry: x-should-retry: false on a refusal
	First   time.Duration // first=2s: wait before the response headers
	Quiet   time.Duration // quiet=2s: after the headers of a stream, wait before its first event
	Pace    time.Duration // pace=20ms: time of a token; an answer that is no stream takes as long in all
	Tokens  int           // tokens=40: tokens of the answer, unless the request's own limit is lower
	Cut     int           // cut=5: break the connection after so many tokens; in the middle of an answer that is no stream
	Hang    int           // hang=5: after so many tokens of a stream, send nothing until the caller leaves
	Error   int           // error=5: after so many tokens of a stream, send an error event and end
	Stop    int           // stop=5: after so many tokens, end a stream in good order but without its closing events
	Split   int           // split=7: write a stream in pieces of so many bytes, each flushed: events and runes break
	Join    int           // join=4: write so many events at once
	Ping    time.Duration // ping=1s: a comment, or the dialect's ping event, whenever a stream was silent for so long
	Body    int           // body=1000000: so many bytes of text in one event; every eight are a token
	CRLF    bool          // crlf: end the lines of a stream with carriage return and line feed
	Gzip    bool          // gzip: compress an answer that is no stream, for callers that accept it
	Unknown bool          // unknown: a stream carries events of a type that nobody knows
	NoUsage bool          // nousage: leave the usage out
	Tag     string        // tag=x: does nothing; tells requests apart in Seen, and for times
}

// ParseFault reads the written form of a fault.
func ParseFault(text string) (Fault, error) { return parse(Fault{}, text) }

// parse reads text over what f has already.
func parse(f Fault, text string) (Fault, error) {
	split := func(r rune) bool { return r == '+' || r == ',' || r == ' ' || r == ';' }
	for word := range strings.FieldsFuncSeq(text, split) {
		name, value, _ := strings.Cut(word, "=")
		if err := f.set(name, value); err != nil {
			return f, err
		}
	}
	return f, nil
}

func (f *Fault) set(name, value string) error {
	if n := f.number(name); n != nil {
		i, err := strconv.Atoi(value)
		if err != nil || i < 0 {
			return fmt.Errorf("read fault: %s wants a number that is not negative, as in %s=5", name, name)
		}
		*n = i
		return nil
	}
	if d := f.duration(name); d != nil {
		v, err := time.ParseDuration(value)
		if err != nil || v < 0 {
			return fmt.Errorf("read fault: %s wants a duration, as in %s=20ms", name, name)
		}
		*d = v
		return nil
	}
	switch name {
	case "noretry":
		f.NoRetry = true
	case "crlf":
		f.CRLF = true
	case "gzip":
		f.Gzip = true
	case "unknown":
		f.Unknown = true
	case "nousage":
		f.NoUsage = true
	case "tag":
		f.Tag = value
	default:
		return fmt.Errorf("read fault: %q is unknown, palladium upstream --help lists the names", name)
	}
	return nil
}

func (f *Fault) number(name string) *int {
	switch name {
	case "status":
		return &f.Status
	case "times":
		return &f.Times
	case "tokens":
		return &f.Tokens
	case "cut":
		return &f.Cut
	case "hang":
		return &f.Hang
	case "error":
		return &f.Error
	case "stop":
		return &f.Stop
	case "split":
		return &f.Split
	case "join":
		return &f.Join
	case "body":
		return &f.Body
	}
	return nil
}

func (f *Fault) duration(name string) *time.Duration {
	switch name {
	case "retry":
		return &f.Retry
	case "first":
		return &f.First
	case "quiet":
		return &f.Quiet
	case "pace":
		return &f.Pace
	case "ping":
		return &f.Ping
	}
	return nil
}

// counter numbers equal requests.
type counter struct {
	mu   sync.Mutex
	seen map[string]int
}

func newCounter() *counter { return &counter{seen: make(map[string]int)} }

// counted is how many different requests are told apart before counting starts anew.
const counted = 1 << 16

func (c *counter) next(key string) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.seen) >= counted {
		clear(c.seen)
	}
	c.seen[key]++
	return c.seen[key]
}

func compressed(b []byte) []byte {
	var out bytes.Buffer
	z := gzip.NewWriter(&out)
	_, _ = z.Write(b) // a bytes.Buffer takes everything
	_ = z.Close()
	return out.Bytes()
}

func decimal(n int64) string { return strconv.FormatInt(n, 10) }
