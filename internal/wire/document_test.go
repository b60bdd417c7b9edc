package wire

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"unicode/utf16"
)

func TestReadRefuses(t *testing.T) {
	utf := func() string {
		var b []byte
		for _, u := range utf16.Encode([]rune(`{"a":1}`)) {
			b = append(b, byte(u), byte(u>>8))
		}
		return string(b)
	}()
	for _, c := range []struct {
		name, body string
		want       error
	}{
		{"duplicate", `{"a":1,"a":2}`, ErrDuplicate},
		{"duplicate by escape", `{"logprobs":false,"\u006cogprobs":true}`, ErrDuplicate},
		{"duplicate deep", `{"a":[{"b":{"c":1,"c":1}}]}`, ErrDuplicate},
		{"second document", `{"a":1}{"a":2}`, ErrTrailing},
		{"trailing text", `{"a":1} x`, ErrTrailing},
		{"trailing NUL", "{\"a\":1}\x00", ErrTrailing},
		{"invalid UTF-8", "{\"a\":\"\xff\"}", ErrUTF8},
		{"invalid UTF-8 in a name", "{\"a\xc0\x80\":1}", ErrUTF8},
		{"lone surrogate", `{"a":"\ud800"}`, ErrUTF8},
		{"byte order mark", "\uFEFF{\"a\":1}", ErrSyntax},
		{"UTF-16", utf, ErrSyntax},
		{"comment", `{"a":1/**/}`, ErrSyntax},
		{"trailing comma", `{"a":1,}`, ErrSyntax},
		{"single quotes", `{'a':1}`, ErrSyntax},
		{"NaN", `{"a":NaN}`, ErrSyntax},
		{"infinity", `{"a":Infinity}`, ErrSyntax},
		{"hexadecimal", `{"a":0x10}`, ErrSyntax},
		{"leading zero", `{"a":01}`, ErrSyntax},
		{"plus sign", `{"a":+1}`, ErrSyntax},
		{"control character", "{\"a\":\"\x01\"}", ErrSyntax},
		{"bad escape", `{"a":"\x41"}`, ErrSyntax},
		{"cut", `{"a":`, ErrSyntax},
		{"nothing", ``, ErrSyntax},
		{"list", `[1]`, ErrObject},
		{"string", `"a"`, ErrObject},
		{"deep", strings.Repeat(`{"a":`, MaxDepth+1) + `1` + strings.Repeat(`}`, MaxDepth+1), ErrDepth},
		{"many members", `{"a":1` + strings.Join(numbered(MaxMembers), "") + `}`, ErrMany},
		{"many values", `{"a":[` + strings.Repeat("0,", MaxValues) + `0,0]}`, ErrMany},
	} {
		var d Document
		err := d.Read([]byte(c.body))
		if !errors.Is(err, c.want) {
			t.Errorf("%s: got %v, want %v", c.name, err, c.want)
		}
	}
	var d Document
	err := d.Read([]byte(`{"sk-secret-name":1,"sk-secret-name":2}`))
	if err == nil || strings.Contains(err.Error(), "secret") {
		t.Errorf("got %v", err)
	}
}

func numbered(n int) []string {
	out := make([]string, n)
	for i := range out {
		out[i] = fmt.Sprintf(`,"m%d":1`, i)
	}
	return out
}

func TestReadPlaces(t *testing.T) {
	const body = " {\n\"a\" : [1, {\"b\":\"}\"}] ,\"\\u0062c\":\"x\\\"y\", \"n\":-1.5e3,\"t\":true,\"z\":null }\n"
	var d Document
	for range 2 { // its memory is used again
		if err := d.Read([]byte(body)); err != nil {
			t.Fatal(err)
		}
	}
	want := []struct{ name, at, value string }{
		{"a", `"a" : [1, {"b":"}"}]`, `[1, {"b":"}"}]`}, {"bc", `"\u0062c":"x\"y"`, `"x\"y"`}, {"n", `"n":-1.5e3`, `-1.5e3`},
		{"t", `"t":true`, "true"}, {"z", `"z":null`, "null"},
	}
	if len(d.Members) != len(want) {
		t.Fatalf("got %d members", len(d.Members))
	}
	for i, w := range want {
		m := d.Members[i]
		if m.Name != w.name || string(m.At.Of(d.Body)) != w.at || string(m.Value.Of(d.Body)) != w.value {
			t.Errorf("got %q %q %q, want %+v", m.Name, m.At.Of(d.Body), m.Value.Of(d.Body), w)
		}
	}
	parts := Parts(nil, d.Body, d.Members[0].Value)
	if len(parts) != 2 || string(parts[0].Value.Of(d.Body)) != "1" || string(parts[1].At.Of(d.Body)) != `{"b":"}"}` {
		t.Errorf("got %+v", parts)
	}
	if d.Find("t") != 3 || d.Find("T") != -1 || Unquote(d.Members[1].Value.Of(d.Body)) != `x"y` {
		t.Error("a member is not found, or found by another spelling")
	}
}

func TestPatch(t *testing.T) {
	const body = `{ "a":1, "b" : [1,2,3],"c":{"x":1 , "y":2} }`
	for _, c := range []struct {
		name, want string
		change     func(p *Patch, d *Document)
	}{
		{"nothing", body, func(p *Patch, d *Document) {}},
		{"first", `{ "b" : [1,2,3],"c":{"x":1 , "y":2} }`, func(p *Patch, d *Document) { p.Remove(0) }},
		{"middle", `{ "a":1,"c":{"x":1 , "y":2} }`, func(p *Patch, d *Document) { p.Remove(1) }},
		{"last", `{ "a":1, "b" : [1,2,3] }`, func(p *Patch, d *Document) { p.Remove(2) }},
		{"first two", `{ "c":{"x":1 , "y":2} }`, func(p *Patch, d *Document) { p.Remove(1); p.Remove(0); p.Remove(1) }},
		{"last two", `{ "a":1 }`, func(p *Patch, d *Document) { p.Remove(1); p.Remove(2) }},
		{"ends", `{ "b" : [1,2,3] }`, func(p *Patch, d *Document) { p.Remove(0); p.Remove(2) }},
		{"all", `{  }`, func(p *Patch, d *Document) { p.Remove(0); p.Remove(1); p.Remove(2) }},
		{"all, one added", `{"n":1  }`, func(p *Patch, d *Document) {
			p.Remove(0)
			p.Remove(1)
			p.Remove(2)
			p.Add("n", []byte("1"))
		}},
		{"added", `{"n":1, "a":1, "b" : [1,2,3],"c":{"x":1 , "y":2} }`, func(p *Patch, d *Document) { p.Set(d, "n", []byte("1")) }},
		{"set", `{ "a":5, "b" : [1,2,3],"c":{"x":1 , "y":2} }`, func(p *Patch, d *Document) { p.Set(d, "a", []byte("5")) }},
		{"set twice", `{ "a":6, "b" : [1,2,3],"c":{"x":1 , "y":2} }`, func(p *Patch, d *Document) {
			p.Set(d, "a", []byte("5"))
			p.Set(d, "a", []byte("6"))
		}},
		{"set what is removed", `{"a":7, "b" : [1,2,3],"c":{"x":1 , "y":2} }`, func(p *Patch, d *Document) {
			p.Remove(0)
			p.Set(d, "a", []byte("7"))
		}},
		{"replaced within what is removed", `{ "a":1, "b" : [1,2,3] }`, func(p *Patch, d *Document) {
			p.Replace(Parts(nil, d.Body, d.Members[2].Value)[0].Value, []byte("9"))
			p.Remove(2)
		}},
		{"elements", `{ "a":1, "b" : [2],"c":{"y":2} }`, func(p *Patch, d *Document) {
			p.Cut(Parts(nil, d.Body, d.Members[1].Value), 0, 2)
			p.Cut(Parts(nil, d.Body, d.Members[2].Value), 0)
		}},
		{"all elements", `{ "a":1, "b" : [],"c":{"x":1 , "y":2} }`, func(p *Patch, d *Document) {
			p.Cut(Parts(nil, d.Body, d.Members[1].Value), 0, 1, 2)
		}},
	} {
		var d Document
		if err := d.Read([]byte(body)); err != nil {
			t.Fatal(err)
		}
		var p Patch
		c.change(&p, &d)
		got := string(p.Apply(nil, &d))
		if got != c.want || !json.Valid([]byte(got)) {
			t.Errorf("%s: got %s, want %s", c.name, got, c.want)
		}
		if p.Empty() != (c.name == "nothing") {
			t.Errorf("%s: Empty is %v", c.name, p.Empty())
		}
		if p.Reset(); !p.Empty() {
			t.Errorf("%s: not empty after Reset", c.name)
		}
	}
}

func FuzzDocument(f *testing.F) {
	for _, s := range []string{`{"a":1}`, ` {"a" : [1,{"b":"\"}"}] ,"\u0062":null}`, `{"a":1,"a":2}`, `{}`, `{"a":"\ud83d\ude00"}`, `[`, `{"é":1e9}x`} {
		f.Add([]byte(s), uint16(3), uint16(5))
	}
	f.Fuzz(func(t *testing.T, body []byte, remove, set uint16) {
		var d Document
		before := bytes.Clone(body)
		if err := d.Read(body); err != nil {
			for _, known := range []error{ErrSyntax, ErrDuplicate, ErrUTF8, ErrTrailing, ErrDepth, ErrMany, ErrObject} {
				if errors.Is(err, known) {
					return
				}
			}
			t.Fatal(err)
		}
		// What is accepted means the same to encoding/json, member by member.
		var theirs map[string]json.RawMessage
		if err := json.Unmarshal(body, &theirs); err != nil || len(theirs) != len(d.Members) {
			t.Fatalf("%d members, they have %d, %v", len(d.Members), len(theirs), err)
		}
		for _, m := range d.Members {
			if !bytes.Equal(theirs[m.Name], m.Value.Of(body)) {
				t.Fatalf("%q is %q, they have %q", m.Name, m.Value.Of(body), theirs[m.Name])
			}
			sameParts(t, body, m)
		}
		// A changed document is valid and says what it should.
		var p Patch
		for i := range d.Members {
			switch {
			case remove>>(i%16)&1 == 1:
				p.Remove(i)
				delete(theirs, d.Members[i].Name)
			case set>>(i%16)&1 == 1:
				p.Replace(d.Members[i].Value, []byte(`[0]`))
				theirs[d.Members[i].Name] = json.RawMessage(`[0]`)
			}
		}
		if set&1 == 1 {
			p.Set(&d, "added\n", []byte("true"))
			theirs["added\n"] = json.RawMessage("true")
		}
		out := p.Apply(nil, &d)
		var changed map[string]json.RawMessage
		if err := json.Unmarshal(out, &changed); err != nil || !reflect.DeepEqual(changed, theirs) {
			t.Fatalf("%q became %q: %v", body, out, err)
		}
		if !bytes.Equal(before, body) {
			t.Fatal("the body was changed")
		}
	})
}

// sameParts holds Parts against encoding/json.
func sameParts(t *testing.T, body []byte, m Member) {
	parts := Parts(nil, body, m.Value)
	switch m.Kind {
	case '[':
		var theirs []json.RawMessage
		if err := json.Unmarshal(m.Value.Of(body), &theirs); err != nil || len(theirs) != len(parts) {
			t.Fatalf("%d elements, they have %d, %v", len(parts), len(theirs), err)
		}
		for i, p := range parts {
			if !bytes.Equal(theirs[i], p.Value.Of(body)) {
				t.Fatalf("element %q, they have %q", p.Value.Of(body), theirs[i])
			}
		}
	case '{':
		var theirs map[string]json.RawMessage
		if err := json.Unmarshal(m.Value.Of(body), &theirs); err != nil || len(theirs) != len(parts) {
			t.Fatalf("%d members, they have %d, %v", len(parts), len(theirs), err)
		}
		for _, p := range parts {
			if !bytes.Equal(theirs[p.Name], p.Value.Of(body)) {
				t.Fatalf("member %q, they have %q", p.Value.Of(body), theirs[p.Name])
			}
		}
	default:
		if len(parts) > 0 {
			t.Fatalf("%q has parts", m.Value.Of(body))
		}
	}
}

// What an attacker can make long must not be searched again and again.
func TestLinearTime(t *testing.T) {
	const size = 4 << 20
	body := []byte(`{"a":"` + strings.Repeat(`\n`, size/2) + `","b":[` + strings.Repeat(`"\"",`, MaxValues/2) + `1]}`)
	var d Document
	if err := d.Read(body); err != nil || len(d.Members) != 2 {
		t.Fatal(err)
	}
	if parts := Parts(nil, body, d.Members[1].Value); len(parts) != MaxValues/2+1 {
		t.Errorf("got %d parts", len(parts))
	}
	if n := lineEnd([]byte(strings.Repeat("x", 600) + "\r" + strings.Repeat("y", 600) + "\n")); n != 600 {
		t.Errorf("got %d", n)
	}
	crs, at := []byte(strings.Repeat("\r", size)), 0
	for at < len(crs) {
		at += lineEnd(crs[at:]) + 1
	}
	if eventEnd(crs, 0) != 1 || stringEnd([]byte(`ab`), 2) != 2 || stringEnd([]byte(`a\"b"c`), 0) != 4 {
		t.Error("an end is in the wrong place")
	}
}
