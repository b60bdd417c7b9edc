package verdict

import (
	"bytes"
	"errors"
	"fmt"
	"reflect"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/palladium-guard/palladium"
)

func noon() time.Time { return time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC) }

// made returns a verdict that holds from an hour ago for the given hours.
func made(id, account string, m palladium.Measure, hours int) palladium.Verdict {
	v := palladium.Verdict{
		ID: id, Account: account, Campaign: "c1", Stage: palladium.StageAct, Measure: m, Reason: "campaign.extraction",
		Issued: noon().Add(-time.Hour), Expires: noon().Add(time.Duration(hours) * time.Hour), Appeal: "A-" + id,
	}
	switch m {
	case palladium.MeasureSlow:
		v.Delay, v.TokensPerSecond = 2*time.Second, 12.5
	case palladium.MeasureBudget:
		v.Tokens = 1000
	case palladium.MeasureSmaller:
		v.Model = "small"
	}
	return v
}

func shadow(v palladium.Verdict) palladium.Verdict {
	v.Shadow = true
	return v
}

func table(t testing.TB, list ...palladium.Verdict) *Table {
	t.Helper()
	tab, err := New(1, noon(), list)
	if err != nil {
		t.Fatal(err)
	}
	return tab
}

func TestFind(t *testing.T) {
	future := made("f", "a", palladium.MeasureSuspend, 5)
	future.Issued = noon().Add(time.Minute)
	ever := made("e", "a", palladium.MeasureSlow, 5)
	ever.Issued = time.Time{}
	for _, c := range []struct {
		name     string
		list     []palladium.Verdict
		enforced string // id; "" for none
		shadow   string
	}{
		{"no verdict", nil, "", ""},
		{"of another account", []palladium.Verdict{made("1", "b", palladium.MeasureSuspend, 1)}, "", ""},
		{"one", []palladium.Verdict{made("1", "a", palladium.MeasureObserve, 1)}, "1", ""},
		{"expired", []palladium.Verdict{made("1", "a", palladium.MeasureSuspend, 0)}, "", ""},
		{"not yet issued", []palladium.Verdict{future}, "", ""},
		{"since ever", []palladium.Verdict{ever}, "e", ""},
		{"the strictest", []palladium.Verdict{made("1", "a", palladium.MeasureSlow, 1), made("2", "a", palladium.MeasureSuspend, 1), made("3", "a", palladium.MeasureBudget, 1)}, "2", ""},
		{"the strictest in force", []palladium.Verdict{made("1", "a", palladium.MeasureSlow, 1), made("2", "a", palladium.MeasureSuspend, 0)}, "1", ""},
		{"equally strict: the one that lasts", []palladium.Verdict{made("1", "a", palladium.MeasureSlow, 1), made("2", "a", palladium.MeasureSlow, 2)}, "2", ""},
		{"equal in all: the first id", []palladium.Verdict{made("2", "a", palladium.MeasureSlow, 1), made("1", "a", palladium.MeasureSlow, 1)}, "1", ""},
		{"shadow alone enforces nothing", []palladium.Verdict{shadow(made("1", "a", palladium.MeasureSuspend, 1))}, "", "1"},
		{"shadow beside a milder one", []palladium.Verdict{shadow(made("1", "a", palladium.MeasureSuspend, 1)), made("2", "a", palladium.MeasureSlow, 1)}, "2", "1"},
		{"an account that begins alike", []palladium.Verdict{made("1", "aa", palladium.MeasureSlow, 1), made("2", "", palladium.MeasureSlow, 1)}[:1], "", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := table(t, c.list...).Find("a", noon())
			if s.Enforced != (c.enforced != "") || s.Verdict.ID != c.enforced {
				t.Errorf("enforced %v %q, want %q", s.Enforced, s.Verdict.ID, c.enforced)
			}
			if s.Shadowed != (c.shadow != "") || s.Shadow.ID != c.shadow {
				t.Errorf("shadow %v %q, want %q", s.Shadowed, s.Shadow.ID, c.shadow)
			}
		})
	}
}

// A gateway whose clock is behind enforces what was in force when the table was made, also once the table has travelled.
func TestClockBehind(t *testing.T) {
	v := made("1", "a", palladium.MeasureSuspend, 1)
	v.Issued = noon()
	later := made("2", "b", palladium.MeasureSuspend, 1)
	later.Issued = noon().Add(time.Minute)
	tab := table(t, v, later)
	data, err := tab.MarshalBinary()
	if err != nil {
		t.Fatal(err)
	}
	read, err := Decode(data)
	if err != nil {
		t.Fatal(err)
	}
	for _, tab := range []*Table{tab, read} {
		if s := tab.Find("a", noon().Add(-3*time.Hour)); !s.Enforced {
			t.Error("a verdict waits for the gateway's clock")
		}
		if s := tab.Find("b", noon()); s.Enforced {
			t.Error("a verdict is in force before it was issued")
		}
		if s := tab.Find("a", noon().Add(2*time.Hour)); s.Enforced {
			t.Error("a verdict outlives its end")
		}
	}
}

func TestAppealAt(t *testing.T) {
	for _, c := range [][3]string{
		{"", "", ""}, {"https://a.example/appeal", "", "https://a.example/appeal"}, {"", "R-1", "R-1"},
		{"https://a.example/appeal", "R-1", "https://a.example/appeal (reference R-1)"},
		{"https://a.example/appeal/{reference}", "R-1", "https://a.example/appeal/R-1"}, {"https://a.example/{reference}", "a/b", "https://a.example/a%2Fb"},
	} {
		if got := AppealAt(c[0], c[1]); got != c[2] {
			t.Errorf("%q with %q gives %q, not %q", c[0], c[1], got, c[2])
		}
	}
}

func TestNames(t *testing.T) {
	for name, want := range map[string]bool{"a": true, strings.Repeat("x", 255): true, "ü": true, "": false, strings.Repeat("x", 256): false, "odd\xff": false, "nul\x00": false} {
		if Names(name) != want {
			t.Errorf("%.20q: %v", name, !want)
		}
	}
}

func TestFindAgreesWithMeasures(t *testing.T) {
	all := palladium.Measures()
	for i, mild := range all {
		for _, strict := range all[i+1:] {
			s := table(t, made("1", "a", strict, 1), made("2", "a", mild, 9)).Find("a", noon())
			if s.Verdict.Measure != strict {
				t.Errorf("%s won over %s", s.Verdict.Measure, strict)
			}
		}
	}
}

func TestRefused(t *testing.T) {
	change := func(f func(*palladium.Verdict)) palladium.Verdict {
		v := made("v7", "a", palladium.MeasureSuspend, 1)
		f(&v)
		return v
	}
	for want, v := range map[string]palladium.Verdict{
		"names no account":          change(func(v *palladium.Verdict) { v.Account = "" }),
		"measure \"ban\" is none":   change(func(v *palladium.Verdict) { v.Measure = "ban" }),
		"no reason code":            change(func(v *palladium.Verdict) { v.Reason = "" }),
		"holds for ever":            change(func(v *palladium.Verdict) { v.Expires = time.Time{} }),
		"expires before":            change(func(v *palladium.Verdict) { v.Expires = v.Issued }),
		"outside the years":         change(func(v *palladium.Verdict) { v.Expires = v.Expires.AddDate(5000, 0, 0) }),
		"negative":                  change(func(v *palladium.Verdict) { v.Delay = -1 }),
		"neither delay nor":         change(func(v *palladium.Verdict) { v.Measure = palladium.MeasureSlow }),
		"campaign, but names none":  change(func(v *palladium.Verdict) { v.Measure, v.Campaign = palladium.MeasureBudget, "" }),
		"smaller model answer, but": change(func(v *palladium.Verdict) { v.Measure = palladium.MeasureSmaller }),
		"longer than":               change(func(v *palladium.Verdict) { v.Appeal = strings.Repeat("x", 2000) }),
	} {
		_, err := New(1, noon(), []palladium.Verdict{v})
		if !errors.Is(err, ErrVerdict) || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), "v7") {
			t.Errorf("got %v, want %q", err, want)
		}
	}
	v := made("1", "a", palladium.MeasureSlow, 1)
	if _, err := New(1, noon(), []palladium.Verdict{v, v}); err == nil || !strings.Contains(err.Error(), "stands twice") {
		t.Errorf("the same verdict twice: %v", err)
	}
}

// many returns verdicts as a judge gives them: each account its id and appeal, campaigns of 500.
func many(n int) []palladium.Verdict {
	out := make([]palladium.Verdict, n)
	all := palladium.Measures()
	for i := range out {
		out[i] = made(fmt.Sprintf("v-2026-11-23-%08d", i), fmt.Sprintf("acct_%016x", uint64(i)*0x9e3779b97f4a7c15), all[i%len(all)], 24+i%48)
		out[i].Campaign = fmt.Sprintf("c%06d", i/500)
		out[i].Appeal = fmt.Sprintf("AP-%010d", i)
		out[i].Issued = out[i].Issued.Add(time.Duration(i) * time.Microsecond)
	}
	return out
}

func TestEncoding(t *testing.T) {
	list := many(1000)
	ever := made("z", "acct_x", palladium.MeasureSlow, 1)
	ever.Issued = time.Time{}
	list = append(list, ever, shadow(made("z2", "acct_x", palladium.MeasureSuspend, 1)), made("z3", "acct_x", palladium.MeasureBudget, 1))
	for _, tab := range []*Table{table(t), table(t, list...)} {
		data, err := tab.MarshalBinary()
		if err != nil {
			t.Fatal(err)
		}
		back, err := Decode(data)
		if err != nil {
			t.Fatal(err)
		}
		if back.Version() != tab.Version() || !back.Made().Equal(tab.Made()) || back.Len() != tab.Len() {
			t.Fatal("version, time or length differ")
		}
		want := map[string]palladium.Verdict{}
		for v := range tab.All() {
			want[v.ID] = v
		}
		for v := range back.All() {
			if !reflect.DeepEqual(v, want[v.ID]) {
				t.Fatalf("read %+v, wrote %+v", v, want[v.ID])
			}
			if !reflect.DeepEqual(back.Find(v.Account, noon()), tab.Find(v.Account, noon())) {
				t.Fatalf("account %s differs", v.Account)
			}
		}
		again, _ := back.MarshalBinary()
		if !bytes.Equal(again, data) {
			t.Fatal("a table that was read is written differently")
		}
	}
}

func TestDamage(t *testing.T) {
	data, err := table(t, many(3)...).MarshalBinary()
	if err != nil {
		t.Fatal(err)
	}
	for i := range data {
		bad := bytes.Clone(data)
		bad[i] ^= 0x10
		if _, err := Decode(bad); !errors.Is(err, ErrEncoding) {
			t.Fatalf("byte %d changed: %v", i, err)
		}
		if _, err := Decode(data[:i]); !errors.Is(err, ErrEncoding) {
			t.Fatalf("cut at %d: %v", i, err)
		}
	}
	newer := bytes.Clone(data)
	newer[len(magic)] = 2
	if _, err := Decode(newer); err == nil || !strings.Contains(err.Error(), "is of format 2, this program reads format 1") {
		t.Fatalf("another format: %v", err)
	}
}

func TestHolder(t *testing.T) {
	h := NewHolder(time.Minute)
	at := noon()
	state := func(want State) {
		t.Helper()
		if s, got := h.Find("a", at); got != want || h.Status(at).State != want || got.Reliable() != (want == Current) {
			t.Fatalf("state %s (%+v), want %s", got, s, want)
		}
	}
	state(Unknown)
	h.Fail(errors.New("no such file"))
	state(Unreadable)
	v2, _ := New(2, at, []palladium.Verdict{made("1", "a", palladium.MeasureSuspend, 1)})
	if err := h.Swap(v2, at); err != nil {
		t.Fatal(err)
	}
	state(Current)
	at = at.Add(2 * time.Minute)
	state(Stale)
	if err := h.Swap(v2, at); err != nil { // confirmed
		t.Fatal(err)
	}
	state(Current)
	if err := h.Swap(table(t), at); !errors.Is(err, ErrOlder) {
		t.Fatalf("an older table was taken: %v", err)
	}
	h.Fail(errors.New("line 7"))
	state(Unreadable)
	if s, _ := h.Find("a", at); !s.Enforced {
		t.Fatal("the table before a failure was dropped")
	}
	if s := h.Status(at); s.Version != 2 || s.Len != 1 || s.Err == nil || s.Age != 0 {
		t.Fatalf("status %+v", s)
	}
}

func TestSwapBesideReaders(t *testing.T) {
	h := NewHolder(0)
	var readers sync.WaitGroup
	stop := make(chan struct{})
	for range 3 {
		readers.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
					s, _ := h.Find("a", noon())
					if s.Enforced && s.Verdict.ID != s.Verdict.Campaign {
						t.Error("a reader saw parts of two tables")
					}
				}
			}
		})
	}
	for i := range uint64(300) {
		v := made(fmt.Sprint(i), "a", palladium.MeasureSlow, 1)
		v.Campaign = v.ID
		tab, err := New(i, noon(), []palladium.Verdict{v})
		if err != nil {
			t.Fatal(err)
		}
		if err := h.Swap(tab, noon()); err != nil {
			t.Fatal(err)
		}
	}
	close(stop)
	readers.Wait()
}

func TestFindAllocatesNothing(t *testing.T) {
	h := NewHolder(0)
	if err := h.Swap(table(t, many(1000)...), noon()); err != nil {
		t.Fatal(err)
	}
	account := many(8)[7].Account
	if n := testing.AllocsPerRun(1000, func() { h.Find(account, noon()); h.Find("nobody", noon()) }); n != 0 {
		t.Fatalf("a lookup allocates %v times", n)
	}
}

// A million accounts with a verdict take less than 100 MB: a quarter of them, whose index is as full, a quarter of it.
func TestSize(t *testing.T) {
	if testing.Short() {
		t.Skip("builds a large table")
	}
	n := 250_000
	heap := func() uint64 {
		var m runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	list := many(n)
	before := heap()
	tab := table(t, list...)
	size := heap() - before
	runtime.KeepAlive(list)
	t.Logf("%d verdicts take %.1f MB", n, float64(size)/1e6)
	if size > 25e6 {
		t.Errorf("%d bytes, more than 25 MB", size)
	}
	if s := tab.Find(list[n-1].Account, noon()); s.Verdict.ID != list[n-1].ID {
		t.Error("the last account is not found")
	}
}

func TestReadList(t *testing.T) {
	lines := `
{"account":"a","measure":"slow","reason":"manual","delay":"1.5s","expires":"2026-12-01T00:00:00Z"}

{"id":"x","account":"b","measure":"slow","reason":"manual","delay":2000000000,"expires":"2026-12-01T00:00:00Z","shadow":true}
`
	array := "[" + strings.ReplaceAll(strings.TrimSpace(lines), "\n\n", ",\n") + "]"
	for _, text := range []string{lines, "\ufeff" + lines, array} {
		got, err := ReadList([]byte(text))
		if err != nil || len(got) != 2 || got[0].Delay != 1500*time.Millisecond || got[1].Delay != 2*time.Second || !got[1].Shadow {
			t.Fatalf("%v, %+v", err, got)
		}
		if !strings.HasPrefix(got[0].ID, "line-") || got[1].ID != "x" {
			t.Fatalf("ids %q and %q", got[0].ID, got[1].ID)
		}
	}
	if got, err := ReadList(nil); err != nil || len(got) != 0 {
		t.Fatalf("an empty list: %v", err)
	}
	if got, err := ReadList([]byte("[]")); err != nil || len(got) != 0 {
		t.Fatalf("an empty array: %v", err)
	}
	good := `{"account":"a","measure":"suspend","reason":"r","expires":"2026-12-01T00:00:00Z"}`
	for text, want := range map[string]string{
		good + "\n" + `{"account":"a","mesure":"slow"}`:                    `line 2: json: unknown field "mesure"`,
		good + "\n\n" + `{"account":"a","measure":"suspend","reason":"r"}`: "line 3: it has no time of expiry",
		`{"account":"a","measure":"slow","delay":"soon"}`:                  `line 1: delay "soon" is not a duration`,
		`{"account":"a","measure":"slow","delay":[]}`:                      "neither a number of nanoseconds",
		"[" + good:               "does not end",
		"[" + good + "] " + good: "something follows",
		good + "\nhello":         "line 2: invalid character",
	} {
		if _, err := ReadList([]byte(text)); !errors.Is(err, ErrList) || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", text, err, want)
		}
	}
}

func FuzzDecode(f *testing.F) {
	for _, n := range []int{0, 1, 5} {
		data, err := table(f, many(n)...).MarshalBinary()
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data[:len(data)-32])
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		tab, err := Decode(seal(body))
		if err != nil {
			return
		}
		var list []palladium.Verdict
		for v := range tab.All() {
			list = append(list, v)
			tab.Find(v.Account, noon())
		}
		if _, err := New(tab.Version(), tab.Made(), list); err != nil {
			t.Fatalf("a table was read that cannot be made: %v", err)
		}
	})
}

func FuzzReadList(f *testing.F) {
	f.Add([]byte(`[{"account":"a","measure":"suspend","reason":"r","expires":"2026-12-01T00:00:00Z"}]`))
	f.Add([]byte(`{"account":"a","measure":"slow","reason":"r","delay":"2s","expires":"2026-12-01T00:00:00Z"}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		list, err := ReadList(data)
		if err != nil {
			if !errors.Is(err, ErrList) {
				t.Fatal(err)
			}
			return
		}
		for i := range list {
			if err := check(&list[i]); err != nil {
				t.Fatal(err)
			}
		}
	})
}

func BenchmarkFind(b *testing.B) {
	list := many(1_000_000)
	h := NewHolder(0)
	if err := h.Swap(table(b, list...), noon()); err != nil {
		b.Fatal(err)
	}
	for _, c := range []struct {
		name string
		of   func(i int) string
	}{{"hit", func(i int) string { return list[i*7919%len(list)].Account }}, {"miss", func(int) string { return "acct_nobody" }}} {
		b.Run(c.name, func(b *testing.B) {
			b.ReportAllocs()
			i := 0
			for b.Loop() {
				h.Find(c.of(i), noon())
				i++
			}
		})
	}
}
