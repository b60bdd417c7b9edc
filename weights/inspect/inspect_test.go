package inspect

import (
	"bytes"
	"context"
	"errors"
	"io"
	"strings"
	"testing"
)

func TestVerdict(t *testing.T) {
	for _, v := range Verdicts() {
		text, _ := v.MarshalText()
		var got Verdict
		if err := got.UnmarshalText(text); err != nil || got != v {
			t.Errorf("%v reads back as %v, %v", v, got, err)
		}
	}
	if new(Verdict).UnmarshalText([]byte("fine")) == nil {
		t.Error("an unknown word is accepted")
	}
}

func TestDescriptions(t *testing.T) {
	seen := map[Rule]bool{}
	for _, d := range Descriptions() {
		if seen[d.Rule] || d.Short == "" || d.Help == "" {
			t.Errorf("%q is described twice or not at all", d.Rule)
		}
		seen[d.Rule] = true
	}
}

// one inspects content by one format that matches everything at the top.
func one(ctx context.Context, content string, scan func(*File)) (Report, error) {
	in := Inspector{Limits: DefaultLimits(), Formats: []Format{{Name: "top", Match: func(f *File) bool { return !strings.Contains(f.Path, "!") }, Scan: scan}}}
	return in.Inspect(ctx, "file", strings.NewReader(content), int64(len(content)))
}

func TestUnpack(t *testing.T) {
	long := strings.Repeat("0123456789", 1<<20) // more than is held
	var got []byte
	in := Inspector{Limits: DefaultLimits(), Formats: []Format{
		{Name: "inner", Match: func(f *File) bool { return strings.Contains(f.Path, "!") }, Scan: func(f *File) {
			if f.Size != int64(len(long)) {
				t.Errorf("size %d", f.Size)
			}
			for _, at := range []int64{9_000_005, 3, 9_000_005, f.Size - 2} { // forth and back
				got = append(got, f.Bytes(at, 4)...)
			}
		}},
		{Name: "outer", Match: func(f *File) bool { return !strings.Contains(f.Path, "!") }, Scan: func(f *File) {
			f.Unpack("m", func() (io.Reader, error) { return strings.NewReader(long), nil }, f.Size, RoleNone)
		}},
	}}
	r, err := in.Inspect(t.Context(), "file", bytes.NewReader(make([]byte, 1<<20)), 1<<20)
	if err != nil || string(got) != "56783456567889" || r.Verdict != Safe {
		t.Errorf("%q, %+v, %v", got, r, err)
	}
}

func TestMedium(t *testing.T) {
	in := Inspector{Limits: DefaultLimits(), Formats: []Format{{Name: "top", Match: func(*File) bool { return true }, Scan: func(f *File) { f.Bytes(10, 10) }}}}
	r, err := in.Inspect(t.Context(), "file", strings.NewReader("short"), 100) // as if it was cut meanwhile
	if err != nil || r.Verdict != Unknown || r.Findings[0].Rule != RuleUnreadable {
		t.Errorf("%+v, %v", r, err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	if _, err := one(ctx, "x", func(*File) { cancel() }); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
}

func TestFindings(t *testing.T) {
	r, err := one(t.Context(), "x", func(f *File) {
		for i := range 1000 {
			f.Report(RuleTail, Unknown, int64(i), "one of many")
			f.Report(RuleTail, Unknown, 0, "one of many")
		}
		f.Report(RuleTail, Hostile, 0, "the last one")
	})
	if err != nil || r.Verdict != Hostile || len(r.Findings) != DefaultLimits().Findings+1 {
		t.Errorf("%v, %d findings, %v", r.Verdict, len(r.Findings), err)
	}
	if got := Quote("a\nb\x00\xff\u202e" + strings.Repeat("x", 200)); !strings.HasPrefix(got, `"a\u000ab\u0000\xff\u202exxx`) || len(got) > 120 {
		t.Errorf("quoted as %s", got)
	}
}

func TestJSON(t *testing.T) {
	for text, ok := range map[string]bool{
		`{"a": [1, {"b": null}]}`: true, ` [] `: true, `1`: true, `{"a":1} x`: false, `{"a":1`: false, ``: false, `{"a":}`: false,
		strings.Repeat("[", 200):              false,
		`"` + strings.Repeat("x", 3<<20):      false,
		strings.Repeat("1", 10_000):           false,
		`["` + strings.Repeat(`\"`, 99):       false,
		`["` + strings.Repeat(`\"`, 9) + `"]`: true,
	} {
		if err := ReadJSON(strings.NewReader(text), func(JSONEvent) error { return nil }); (err == nil) != ok {
			t.Errorf("%.40q: %v", text, err)
		}
	}
	again := ""
	if err := ReadJSON(strings.NewReader(`{"a":{"b":1,"b":2},"c":[{"b":1},{"b":2}],"\u0061":3}`), func(e JSONEvent) error {
		if e.Again {
			again += strings.Join(e.Path, ".") + " "
		}
		return nil
	}); err != nil || again != "a.b a " {
		t.Errorf("%q, %v", again, err)
	}
}
