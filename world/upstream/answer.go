package upstream

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"math/rand/v2"
	"slices"
	"strings"
)

// answer is what is said, before a dialect words it.
type answer struct {
	id      string
	reason  []string // tokens of thought
	choices [][]string
	calls   []call // of the first choice
	limited bool   // the request's own limit ended it
	prompt  int    // tokens of the request
	giant   int    // words of a giant event; 0 when there is none
}

// call is one call of a tool.
type call struct {
	id, name string
	pieces   []string // of the arguments, a token each
}

// arguments joins the pieces.
func (c call) arguments() string { return strings.Join(c.pieces, "") }

// output is the number of tokens of the whole answer.
func (a *answer) output() int {
	n := len(a.reason)
	for _, c := range a.choices {
		n += max(len(c), a.giant)
	}
	for _, c := range a.calls {
		n += 1 + len(c.pieces)
	}
	return n
}

// ask is what a request wants, whatever its dialect.
type ask struct {
	model    string
	text     []string // everything said so far
	tools    []tool
	called   bool // tools may be called now: the caller spoke last
	parallel bool
	schema   any // the answer must be JSON of this schema; nil for plain text
	limit    int // tokens; 0 for none
	choices  int
	thinks   bool
}

// tool is a function that a model may call.
type tool struct {
	name   string
	schema any
}

// giantWord is what a giant event is made of.
const giantWord = "abcdefg "

// Count is the number of tokens of a text: its words.
func Count(text string) int { return len(strings.Fields(text)) }

// draw makes the answer to q. It depends on nothing but q and f.
func (x *exchange) draw(q ask) *answer {
	f := x.fault
	name, _, _ := strings.Cut(q.model, "!")
	h := sha256.New()
	for _, t := range append([]string{name}, q.text...) {
		h.Write(binary.AppendUvarint(nil, uint64(len(t))))
		h.Write([]byte(t))
	}
	h.Sum(x.seed[:0])
	rng := rand.New(rand.NewPCG(binary.LittleEndian.Uint64(x.seed[16:]), binary.LittleEndian.Uint64(x.seed[24:])))
	a := &answer{id: x.id()}
	for _, t := range q.text {
		a.prompt += Count(t)
	}
	wanted := f.Tokens
	if wanted == 0 {
		wanted = 8 + rng.IntN(24)
	}
	left := wanted
	if q.limit > 0 && q.limit < wanted {
		left, a.limited = q.limit, true
	}
	if f.Body > 0 {
		a.giant = f.Body / len(giantWord)
		a.limited = q.limit > 0 && q.limit < a.giant
		if a.limited {
			a.giant = q.limit
		}
		left = a.giant
	} else if q.thinks {
		a.reason = words(rng, min(left, 4+wanted/4))
		left = max(left-len(a.reason), 0)
	}
	for range max(q.choices, 1) {
		a.choices = append(a.choices, x.say(rng, q, left))
	}
	if len(q.tools) > 0 && q.called {
		a.choices, a.limited, a.giant = [][]string{nil}, false, 0
		n := 1
		if q.parallel {
			n = min(2, len(q.tools))
		}
		for i := range n {
			t := q.tools[i]
			a.calls = append(a.calls, call{id: a.id + string(rune('a'+i)), name: t.name, pieces: pieces(sample(rng, t.schema))})
		}
	}
	return a
}

func (x *exchange) say(rng *rand.Rand, q ask, n int) []string {
	switch {
	case x.fault.Body > 0:
		return []string{strings.Repeat(giantWord, n)}
	case q.schema != nil:
		return pieces(sample(rng, q.schema))
	default:
		return words(rng, n)
	}
}

// words makes n tokens of text: joined, they have as many words.
func words(rng *rand.Rand, n int) []string {
	vocabulary := [...]string{
		" the", " model", " answers", " with", " care", " größe", " naïve", " 数据", " 🙂", " señor", " a", " of", " tokens",
		" \"quoted\"", " back\\slash", " line\n", " tab\t", " <tag>", " data:", " [DONE]", " and", " so", " on", " café", " été", " 한국어",
	}
	out := make([]string, n)
	for i := range out {
		out[i] = vocabulary[rng.IntN(len(vocabulary))]
	}
	if n > 0 {
		out[0] = strings.TrimLeft(out[0], " ")
	}
	return out
}

// pieces cuts a value's JSON where a tokenizer might.
func pieces(v any) []string {
	text := string(encode(v))
	var out []string
	for len(text) > 0 {
		n := min(6, len(text))
		for n < len(text) && text[n]&0xC0 == 0x80 {
			n++
		}
		out, text = append(out, text[:n]), text[n:]
	}
	return out
}

// sample makes a value that fits a JSON schema, as far as it is about types, properties, items and enumerations.
func sample(rng *rand.Rand, schema any) any {
	s, ok := schema.(map[string]any)
	if !ok {
		return map[string]any{}
	}
	if list, ok := s["enum"].([]any); ok && len(list) > 0 {
		return list[rng.IntN(len(list))]
	}
	if list, ok := s["anyOf"].([]any); ok && len(list) > 0 {
		return sample(rng, list[0])
	}
	kind, _ := s["type"].(string)
	if list, ok := s["type"].([]any); ok && len(list) > 0 {
		kind, _ = list[0].(string)
	}
	switch kind {
	case "string":
		return strings.TrimLeft(strings.Join(words(rng, 2), ""), " ")
	case "integer", "number":
		return rng.IntN(100)
	case "boolean":
		return rng.IntN(2) == 0
	case "null":
		return nil
	case "array":
		return []any{sample(rng, s["items"])}
	}
	out := map[string]any{}
	properties, _ := s["properties"].(map[string]any)
	names := make([]string, 0, len(properties))
	for name := range properties {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		out[name] = sample(rng, properties[name])
	}
	return out
}

// plain collects the text of a message's content: a string, or a list of parts in any dialect.
func plain(content any, out *[]string) {
	switch v := content.(type) {
	case string:
		*out = append(*out, v)
	case []any:
		for _, part := range v {
			plain(part, out)
		}
	case map[string]any:
		for _, key := range []string{"text", "content", "output", "thinking", "input", "arguments"} {
			if inner, ok := v[key]; ok {
				plain(inner, out)
			}
		}
	case json.RawMessage:
		var inner any
		if json.Unmarshal(v, &inner) == nil {
			plain(inner, out)
		}
	}
}
