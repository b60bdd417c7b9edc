package wire

import (
	"bytes"
	"encoding/json"
	"math/bits"
	"reflect"
	"testing"

	"github.com/go-json-experiment/json/jsontext"
)

// byLetter numbers names for tests: a is opaque, i is ignored, all others are entered.
func byLetter(name []byte) Name {
	switch string(name) {
	case "a":
		return Opaque
	case "i":
		return Ignored
	}
	return 2
}

// replaced is what Rewrite should make of v when it puts 7 in place of what is opaque.
func replaced(v any, depth int) any {
	if depth > pathDepth {
		return v
	}
	switch v := v.(type) {
	case map[string]any:
		for k := range v {
			switch k {
			case "a":
				v[k] = json.Number("7")
			case "i":
			default:
				v[k] = replaced(v[k], depth+1)
			}
		}
	case []any:
		for k := range v {
			v[k] = replaced(v[k], depth+1)
		}
	}
	return v
}

func decode(t *testing.T, b []byte) (v any) {
	d := json.NewDecoder(bytes.NewReader(b))
	d.UseNumber()
	if err := d.Decode(&v); err != nil {
		t.Fatalf("%q: %v", b, err)
	}
	return v
}

func FuzzRewrite(f *testing.F) {
	for _, s := range []string{`{"a":1,"b":{"a":[1,{"a":2}],"i":{"a":3}}}`, `[{"\u0061":"x\"}"},[[[[[[[{"a":1}]]]]]]]]`, `{"b":{"a" : null },"a":"\\"}`, `5`, `"a"`,
		`{"b":[true,false,null,-1.5e9,"",{}],"longer than any name that the lexer keeps in its own memory at all":{"a":1}}`} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		if !jsontext.Value(data).IsValid() {
			_, _ = Rewrite(nil, data, byLetter, func(uint64, []byte) []byte { return []byte("7") }) // it does not fall over
			return
		}
		out, err := Rewrite(nil, data, byLetter, func(path uint64, value []byte) []byte {
			if !json.Valid(value) || Name(path) != Opaque {
				t.Fatalf("%q is told as a value at %x", value, path)
			}
			return []byte("7")
		})
		if err != nil {
			t.Fatal(err)
		}
		if got, want := decode(t, out), replaced(decode(t, data), 1); !reflect.DeepEqual(got, want) && !longName(want) {
			t.Fatalf("%q became %q", data, out)
		}
	})
}

// longName reports whether a name within v is longer than those that the lexer knows: what it holds is passed over.
func longName(v any) bool {
	switch v := v.(type) {
	case map[string]any:
		for k, e := range v {
			q, _ := jsontext.AppendQuote(nil, k)
			if len(q) > 10 || longName(e) { // escapes make a name longer than it looks
				return true
			}
		}
	case []any:
		for _, e := range v {
			if longName(e) {
				return true
			}
		}
	}
	return false
}

func TestLexerNumbers(t *testing.T) {
	for text, want := range map[string]int64{"0": 0, "-7": -7, "12345": 12345, "5.0": 5, "1e3": 1000, "999999999999999999": 999999999999999999} {
		l := Lexer{Names: byLetter}
		for _, c := range []byte(text) { // in pieces
			l.Next([]byte{c})
		}
		_, tok := l.Next([]byte(" "))
		if n, ok := l.Int(); tok != Number || !ok || n != want {
			t.Errorf("%s: got %d, %v", text, n, ok)
		}
		if !l.Complete() {
			t.Errorf("%s is not complete", text)
		}
	}
	for _, text := range []string{"1.5", "1e400", "12345678901234567890", "-", "1e999999999999999999999999999999999999"} {
		l := Lexer{Names: byLetter}
		l.Next([]byte(text + " "))
		if n, ok := l.Int(); ok {
			t.Errorf("%s: got %d", text, n)
		}
	}
}

func TestLexerBroken(t *testing.T) {
	for _, text := range []string{`{,}`, `{"a" 1}`, `{"b":x}`, `[1 2]`, `{"b":1]`, `[1}`, `{} {}`, `{"b":1,}`, `]`, `{1:2}`} {
		l := Lexer{Names: byLetter}
		broken := 0
		for p := []byte(text); len(p) > 0; {
			n, tok := l.Next(p)
			if p = p[n:]; tok == Broken {
				broken++
			}
		}
		if broken != 1 || l.Complete() {
			t.Errorf("%s: told broken %d times, complete %v", text, broken, l.Complete())
		}
	}
}

func TestSpecial(t *testing.T) {
	for at := range 9 {
		for _, c := range []byte{'"', '\\'} {
			for _, fill := range []byte{0, 1, 'x', '"' + 1, '"' - 1, '\\' + 1, '\\' - 1, 0x80, 0xA2, 0xDC, 0xFF} {
				b := bytes.Repeat([]byte{fill}, 8)
				if at < 8 {
					b[at] = c
				}
				var w uint64
				for i, x := range b {
					w |= uint64(x) << (8 * i)
				}
				if got := special(w); got != at {
					t.Errorf("% x (%d leading zeros): got %d, want %d", b, bits.LeadingZeros64(w), got, at)
				}
			}
		}
	}
}
