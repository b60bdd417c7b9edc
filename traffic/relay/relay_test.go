package relay_test

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/palladium-guard/palladium/internal/wire"
	"github.com/palladium-guard/palladium/traffic/dialect/anthropic"
	"github.com/palladium-guard/palladium/traffic/dialect/openai"
	"github.com/palladium-guard/palladium/traffic/relay"
)

// purse is a reservation for one goroutine.
type purse int64

func (p *purse) Left() int64 { return int64(*p) }
func (p *purse) Draw(n int64) bool {
	if n > int64(*p) {
		return false
	}
	*p -= purse(n)
	return true
}

// delta is one event that brings one token.
func delta(text string) string {
	return `data: {"id":"c","choices":[{"index":0,"delta":{"content":"` + text + `"},"logprobs":{"content":[{"token":"x","logprob":-1}]},"finish_reason":null}],"usage":null}` + "\n\n"
}

const usage = `data: {"id":"c","choices":[],"usage":{"prompt_tokens":3,"completion_tokens":5,"total_tokens":8}}` + "\n\n"

// stream is an answer of n tokens.
func stream(n int) string {
	var b strings.Builder
	b.WriteString(": hello\n\n")
	for i := range n {
		b.WriteString(delta(fmt.Sprintf("t%d é ", i)))
	}
	return b.String() + usage + "data: [DONE]\n\n"
}

// result is what became of a stream.
type result struct {
	out    string
	ending relay.Ending
	answer relay.Answer
}

// pass relays a stream that comes in pieces of the sizes that size gives.
func pass(in []byte, o relay.Options, size func() int) *result {
	r := &result{}
	o.Streamed = true
	r.answer.Begin(o)
	for len(in) > 0 {
		n := min(max(size(), 1), len(in))
		chunk := bytes.Clone(in[:n]) // what is held back must not lie in a buffer that is used again
		got, end := r.answer.Follow(chunk)
		r.out += string(got)
		clear(chunk)
		if in = in[n:]; end != relay.Goes {
			r.ending = end
			r.answer.Close()
			return r
		}
	}
	r.out += string(r.answer.Rest())
	r.answer.Close()
	return r
}

func chat(rd wire.Redaction, left int64) relay.Options {
	p := purse(left)
	d := openai.New()
	return relay.Options{Semantics: d.Answer(wire.Chat), Redactor: d, Endpoint: wire.Chat, Redaction: rd, Reserved: &p, Text: 1 << 10}
}

func every(n int) func() int { return func() int { return n } }

// What policy does not touch passes byte for byte; the usage that nobody asked for goes, and so does its null; each with
// whatever pieces.
func TestPasses(t *testing.T) {
	in := stream(5)
	hidden := strings.ReplaceAll(strings.Replace(in, usage, "", 1), `,"usage":null`, "")
	for name, c := range map[string]struct {
		rd   wire.Redaction
		want string
	}{
		"nothing":  {wire.Redaction{}, in},
		"usage":    {wire.Redaction{UsageChunk: true}, hidden},
		"logprobs": {wire.Redaction{Logprobs: true}, strings.ReplaceAll(in, `{"content":[{"token":"x","logprob":-1}]}`, "null")},
	} {
		for _, size := range []int{1, 2, 7, 100, 1 << 20} {
			r := pass([]byte(in), chat(c.rd, 1000), every(size))
			if r.out != c.want || r.ending != relay.Goes {
				t.Errorf("%s in pieces of %d:\n got %q\nwant %q", name, size, r.out, c.want)
			}
			if r.answer.Drawn != 5 || r.answer.Tokens() != 5 || !r.answer.Scan.Ended || !r.answer.Scan.HasUsage || r.answer.Scan.Usage.Output != 5 {
				t.Errorf("%s in pieces of %d: %d drawn, %+v", name, size, r.answer.Drawn, r.answer.Scan.Tally)
			}
		}
	}
}

// Lines that end with two characters, wherever they are cut, are no empty lines: a named event stays one event.
func TestPassesCRLF(t *testing.T) {
	const thought = `{"type":"content_block_delta","index":0,"delta":{"type":"thinking_delta","thinking":"hm"}}`
	lines := func(data string) string { return "event: content_block_delta\r\nid: 7\r\ndata: " + data + "\r\n\r\n" }
	text := lines(`{"type":"content_block_delta","index":1,"delta":{"type":"text_delta","text":"hi"}}`)
	d := anthropic.New()
	o := relay.Options{Semantics: d.Answer(wire.Messages), Redactor: d, Endpoint: wire.Messages, Redaction: wire.Redaction{Reasoning: true}}
	whole := pass([]byte(text+lines(thought)+text), o, every(1<<20)).out
	if strings.Contains(whole, "hm") || strings.Count(whole, text) != 2 {
		t.Fatalf("got %q", whole)
	}
	for size := 1; size < 60; size++ {
		if got := pass([]byte(text+lines(thought)+text), o, every(size)).out; got != whole {
			t.Fatalf("in pieces of %d:\n got %q\nwant %q", size, got, whole)
		}
	}
}

// Where the cut lies between a carriage return and its line feed, both go with the event that they end, or with one that is
// left out.
func TestHidesUsageCRLF(t *testing.T) {
	hidden := `data: {"choices":[],"usage":{"prompt_tokens":1,"completion_tokens":2}}` + "\n\n"
	kept := stream(3)
	at := strings.Index(kept, "data: [DONE]")
	in := strings.ReplaceAll(kept[:at]+hidden+kept[at:], "\n", "\r\n")
	want := pass([]byte(in), chat(wire.Redaction{UsageChunk: true}, 1000), every(1<<20)).out
	if strings.Contains(want, "prompt_tokens") || !strings.HasSuffix(want, "\r\n\r\ndata: [DONE]\r\n\r\n") {
		t.Fatalf("got %q", want)
	}
	for size := 1; size < 80; size++ {
		if got := pass([]byte(in), chat(wire.Redaction{UsageChunk: true}, 1000), every(size)).out; got != want {
			t.Errorf("in pieces of %d:\n got %q\nwant %q", size, got, want)
		}
	}
}

// A stream that meets its limit ends between two events, never with the end mark; at most the event that was being
// passed when the limit came near goes beyond it.
func TestEndsAtTheLimit(t *testing.T) {
	in := stream(40)
	for _, rd := range []wire.Redaction{{}, {UsageChunk: true}, {Logprobs: true}} {
		for _, size := range []int{1, 3, 50, 170, 1000, 1 << 20} {
			for _, left := range []int64{0, 1, 17, 39} {
				r := pass([]byte(in), chat(rd, left), every(size))
				n := int64(strings.Count(r.out, `"content":"t`))
				if r.ending != relay.Met || !r.answer.Stopped || r.answer.Drawn != left {
					t.Errorf("limit %d in pieces of %d: ending %d, %d drawn", left, size, r.ending, r.answer.Drawn)
				}
				if n < left || n > left+1 {
					t.Errorf("limit %d in pieces of %d: %d tokens passed", left, size, n)
				}
				if strings.Contains(r.out, "[DONE]") || r.out != "" && !strings.HasSuffix(r.out, "\n\n") || !r.answer.Between() {
					t.Errorf("limit %d in pieces of %d: it ends with %q", left, size, r.out[max(0, len(r.out)-60):])
				}
			}
			if r := pass([]byte(in), chat(rd, 40), every(size)); r.ending != relay.Goes || !strings.Contains(r.out, "[DONE]") {
				t.Errorf("a limit that is just met ends the stream, in pieces of %d", size)
			}
		}
	}
}

// An event that is larger than what is held back passes unfinished, and the stream still ends behind it.
func TestGiant(t *testing.T) {
	giant := delta(strings.Repeat("a", 300_000))
	in := delta("t0") + giant + delta("t2") + "data: [DONE]\n\n"
	for _, rd := range []wire.Redaction{{}, {UsageChunk: true}} {
		want := in
		if rd.UsageChunk {
			want = strings.ReplaceAll(in, `,"usage":null`, "")
		}
		if r := pass([]byte(in), chat(rd, 100), every(4000)); r.out != want {
			t.Errorf("%+v: %d bytes, wanted %d", rd, len(r.out), len(want))
		}
		r := pass([]byte(in), chat(rd, 1), every(4000))
		if r.ending != relay.Met || !strings.HasSuffix(r.out, "\n\n") || strings.Contains(r.out, "t2") {
			t.Errorf("%+v: ending %d, it ends with %q", rd, r.ending, r.out[len(r.out)-40:])
		}
	}
}

// What is left when the upstream breaks off within an event passes as it came.
func TestRest(t *testing.T) {
	in := delta("t0") + `data: {"choi`
	for _, rd := range []wire.Redaction{{}, {UsageChunk: true}} {
		if r := pass([]byte(in), chat(rd, 100), every(5)); !strings.HasSuffix(r.out, `data: {"choi`) {
			t.Errorf("%+v: it ends with %q", rd, r.out)
		}
	}
}

// The zero value passes everything; a body is followed and drawn from nothing.
func TestBody(t *testing.T) {
	var a relay.Answer
	if got, end := a.Follow([]byte("x")); string(got) != "x" || end != relay.Goes || a.Between() {
		t.Error("the zero value follows")
	}
	a.Body([]byte("x"))
	a.Close()
	d := anthropic.New()
	a.Begin(relay.Options{Semantics: d.Answer(wire.Messages), Redactor: d, Endpoint: wire.Messages, Text: 64})
	for _, p := range []string{`{"type":"message","content":[{"type":"text","te`, `xt":"hi"}],"usage":{"input_tokens":2,"output_tokens":7}}`} {
		a.Body([]byte(p))
	}
	a.Close()
	a.Close()
	if a.Scan.Usage.Output != 7 || !a.Scan.Ended || string(a.Scan.Text) != "hi" {
		t.Errorf("%+v, text %q", a.Scan.Tally, a.Scan.Text)
	}
}

// FuzzFollow relays any bytes in any pieces: without a limit the pieces make no difference; what policy does not touch is
// untouched; a limit is never exceeded by more than the event that was under way.
func FuzzFollow(f *testing.F) {
	f.Add([]byte(stream(3)), uint64(1), uint8(2), uint8(0))
	f.Add([]byte(strings.ReplaceAll(stream(2), "\n", "\r\n")), uint64(2), uint8(1), uint8(1))
	f.Add([]byte("event: a\rdata: {}\r\r\ndata: [DO\ndata: NE]\n\n"+usage+delta("x")), uint64(3), uint8(9), uint8(2))
	f.Add([]byte("data: {\"usage\":  null , \"choices\":[]}\n\n\xef\xbb\xbfdata: 1"), uint64(4), uint8(0), uint8(1))
	f.Add([]byte("data: {\"usage\": ghoiues\":0]}\r\n\ufeffdat\": 1"), uint64(5), uint8(0), uint8(2))
	f.Fuzz(func(t *testing.T, in []byte, seed uint64, left, mode uint8) {
		rd := []wire.Redaction{{}, {UsageChunk: true}, {Logprobs: true, UsageChunk: true}, {Reasoning: true}}[mode%4]
		if len(in) > 64<<10 {
			return // an event that is too large to hold back passes in pieces
		}
		pieces := func() func() int {
			r := rand.New(rand.NewPCG(seed, 0))
			return func() int { return 1 + r.IntN(40) }
		}
		whole := pass(in, chat(rd, 1<<40), every(1<<20))
		cut := pass(in, chat(rd, 1<<40), pieces())
		if whole.out != cut.out || whole.ending != cut.ending || whole.ending == relay.Goes && whole.answer.Drawn != cut.answer.Drawn {
			t.Fatalf("pieces make a difference:\n%q (%d, %d drawn)\n%q (%d, %d drawn)", whole.out, whole.ending, whole.answer.Drawn, cut.out, cut.ending, cut.answer.Drawn)
		}
		if !rd.Any() && whole.out != string(in) {
			t.Fatalf("changed:\n%q\n%q", in, whole.out)
		}
		if whole.ending == relay.Goes && whole.answer.Drawn != whole.answer.Tokens() {
			t.Fatalf("%d tokens, %d drawn", whole.answer.Tokens(), whole.answer.Drawn)
		}
		for _, size := range []func() int{every(1 << 20), pieces()} {
			r := pass(in, chat(rd, int64(left)), size)
			if r.answer.Drawn > int64(left) {
				t.Fatalf("%d drawn of %d", r.answer.Drawn, left)
			}
			if rd.Any() {
				continue
			}
			if !strings.HasPrefix(string(in), r.out) {
				t.Fatalf("not the beginning of what came: %q", r.out)
			}
			var s wire.Scanner
			s.Reset(openai.New().Answer(wire.Chat), true, nil)
			s.Scan([]byte(r.out))
			if int64(s.Deltas) > int64(left)+1 || r.ending == relay.Met && !s.AtBoundary() {
				t.Fatalf("%d tokens of %d passed; at the end of an event: %v", s.Deltas, left, s.AtBoundary())
			}
		}
	})
}
