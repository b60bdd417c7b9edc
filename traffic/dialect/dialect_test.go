package dialect

import (
	"errors"
	"math"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/valyala/fastjson"

	"github.com/palladium-guard/palladium"
)

func TestParseTime(t *testing.T) {
	for _, s := range []string{"2026-05-03T12:00:00Z", "2026-05-03T12:00:00.5Z", "2026-05-03T12:00:00.123456789+02:00",
		"2026-05-03T12:00:00.1234567891234Z", "2024-02-29T23:59:59-23:59", "2000-02-29T00:00:00+00:00", "1900-03-01T00:00:00Z",
		"0001-01-01T00:00:01Z", "0000-12-31T00:00:00Z", "9999-12-31T23:59:59.999Z", "1969-12-31T23:59:59Z", "2026-05-03T12:00:00,5Z"} {
		want, err := time.Parse(time.RFC3339Nano, s)
		got, ok := ParseTime(s)
		if err != nil || !ok || !got.Equal(want) || got.Location() != time.UTC {
			t.Errorf("%s: got %v, %v, want %v, %v", s, got, ok, want, err)
		}
	}
	for s, plain := range map[string]string{"2026-05-03t12:00:00.5z": "2026-05-03T12:00:00.5Z", "2026-05-03T12:00:00+02:00": "2026-05-03T10:00:00Z",
		"2016-12-31T23:59:60Z": "2017-01-01T00:00:00Z", "2017-01-01T00:59:60.25+01:00": "2017-01-01T00:00:00.25Z"} {
		want, _ := time.Parse(time.RFC3339Nano, plain)
		if got, ok := ParseTime(s); !ok || !got.Equal(want) || got.Location() != time.UTC {
			t.Errorf("%s: got %v, %v", s, got, ok)
		}
	}
	for _, s := range []string{"2026-05-03T12:00:60Z", "2026-05-03T23:59:61Z", "2026-05-03t23:59Z", "", "now", "2026-05-03", "2026-05-03T12:00:00", "2026-05-03 12:00:00Z", "2026-13-03T12:00:00Z",
		"2026-02-29T12:00:00Z", "1900-02-29T12:00:00Z", "2026-04-31T12:00:00Z", "2026-05-03T24:00:00Z", "2026-05-03T12:60:00Z",
		"2026-05-03T12:00:00.Z", "2026-05-03T12:00:00+0200", "2026-05-03T12:00:00Zulu", "2026-05-0xT12:00:00Z"} {
		if got, ok := ParseTime(s); ok {
			t.Errorf("%q was read as %v", s, got)
		}
	}
}

func FuzzParseTime(f *testing.F) {
	f.Add("2026-05-03T12:00:00.123456789+02:00")
	f.Add("0000-02-29T23:59:59Z")
	f.Fuzz(func(t *testing.T, s string) {
		want, err := time.Parse(time.RFC3339Nano, s)
		got, ok := ParseTime(s)
		if strings.ContainsAny(s, "tz") || strings.Contains(s, ":60") {
			return // RFC 3339 admits these, time.Parse does not
		}
		if ok != (err == nil) || (ok && !got.Equal(want)) {
			t.Fatalf("%q: got %v, %v, want %v, %v", s, got, ok, want, err)
		}
	})
}

func TestReasons(t *testing.T) {
	for _, err := range []error{Missing("a"), WrongType("a", "b"), WrongTime("a"), Syntax(3, "x"), ErrTooLong,
		CheckUTF8([]byte("é\xff")), Left([]error{Missing("a"), Missing("b")})} {
		if !IsReason(err) {
			t.Errorf("no reason: %v", err)
		}
	}
	if err := CheckUTF8([]byte("é\xff")); !strings.Contains(err.Error(), "byte 2") {
		t.Error(err)
	}
	if CheckUTF8([]byte("é\uFFFD")) != nil || Left(nil) != nil || IsReason(errors.New("x")) {
		t.Error("something fine is an error")
	}
}

func TestTurn(t *testing.T) {
	for _, c := range []struct {
		json string
		want []palladium.Message
		text string
	}{
		{`"a"`, []palladium.Message{{Role: "r", Text: "a"}}, "a"},
		{`null`, []palladium.Message{{Role: "r"}}, ""},
		{`[]`, []palladium.Message{{Role: "r"}}, ""},
		{`{"type":"text","text":"a"}`, []palladium.Message{{Role: "r", Text: "a"}}, "a"},
		{`[{"type":"image"},{"type":"text","content":"a"},"b",5]`,
			[]palladium.Message{{Role: "r", Text: "a\nb"}, {Role: "r", Digest: "xxh3:"}, {Role: "r", Digest: "xxh3:"}}, "a\nb"},
		{`7`, []palladium.Message{{Role: "r", Digest: "xxh3:"}}, ""},
	} {
		v := fastjson.MustParse(c.json)
		got := Turn([]palladium.Message{{Role: "before"}}, "r", v)[1:]
		for i := range got {
			got[i].Digest = got[i].Digest[:min(5, len(got[i].Digest))]
		}
		if !reflect.DeepEqual(got, c.want) || Joined(v) != c.text {
			t.Errorf("%s: got %+v and %q", c.json, got, Joined(v))
		}
	}
	a, b := Digest(fastjson.MustParse(`{"u":1}`)), Digest(fastjson.MustParse(`{ "u" : 1 }`))
	if a != b || a == Digest(fastjson.MustParse(`{"u":2}`)) {
		t.Errorf("digests %s and %s", a, b)
	}
	system, rest := SplitSystem([]palladium.Message{{Role: "system", Text: "a"}, {Role: "developer", Text: "b"}, {Role: "user"}, {Role: "system"}})
	if system != "a\nb" || len(rest) != 2 || rest[0].Role != "user" {
		t.Errorf("got %q and %v", system, rest)
	}
}

func TestNumbers(t *testing.T) {
	for json, want := range map[string]int64{`5`: 5, `"5"`: 5, `-0`: 0, `5.0`: 5, `1e3`: 1000, `9223372036854775807`: 1<<63 - 1} {
		if n, ok := Whole(fastjson.MustParse(json)); !ok || n != want {
			t.Errorf("%s: got %d, %v", json, n, ok)
		}
	}
	for _, json := range []string{`5.5`, `"x"`, `null`, `[]`, `1e30`, `"NaN"`} {
		if n, ok := Whole(fastjson.MustParse(json)); ok {
			t.Errorf("%s: got %d", json, n)
		}
	}
	if _, ok := Number(fastjson.MustParse(`"NaN"`)); ok {
		t.Error("NaN is taken for a number")
	}
	for _, at := range []float64{1777809600.2504, 1777809600250, 1777809600250400, 1777809600250400000} {
		if ms, ok := UnixMilli(at); !ok || ms != 1777809600250 {
			t.Errorf("%g: got %d", at, ms)
		}
	}
	for _, at := range []float64{0, -1, 1e21, math.NaN(), math.Inf(1)} {
		if ms, ok := UnixMilli(at); ok {
			t.Errorf("%g: got %d", at, ms)
		}
	}
}
