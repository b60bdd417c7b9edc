package batch

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/palladium-guard/palladium"
)

// taken is a Sink that keeps copies.
type taken struct {
	accounts     []palladium.Account
	names        map[uint64]string
	observations []palladium.Observation
}

func (t *taken) Describe(a *palladium.Account) {
	c := *a
	c.Verified = slices.Clone(a.Verified)
	t.accounts = append(t.accounts, c)
}

func (t *taken) NameModel(hash uint64, name string) {
	if t.names == nil {
		t.names = map[uint64]string{}
	}
	t.names[hash] = name
}

func (t *taken) Observe(o *palladium.Observation) {
	c := *o
	c.Shingles, c.Terms, c.Chain = slices.Clone(o.Shingles), slices.Clone(o.Terms), slices.Clone(o.Chain)
	c.Quotes, c.Answers, c.Biased = slices.Clone(o.Quotes), slices.Clone(o.Answers), slices.Clone(o.Biased)
	t.observations = append(t.observations, c)
}

// full sets every field of v to something of its own, so that one that is not encoded is found.
func full(v reflect.Value, seed *uint64) {
	*seed++
	n := *seed * 0x9e3779b97f4a7c15
	if v.Type() == reflect.TypeFor[time.Time]() {
		v.Set(reflect.ValueOf(time.Unix(int64(n>>34), int64(n%1e9)).UTC()))
		return
	}
	switch v.Kind() {
	case reflect.Struct:
		for i := range v.NumField() {
			full(v.Field(i), seed)
		}
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 3, 3))
		for i := range 3 {
			full(v.Index(i), seed)
		}
	case reflect.Array:
		for i := range v.Len() {
			full(v.Index(i), seed)
		}
	case reflect.String:
		v.SetString("text " + time.Unix(int64(n>>34), 0).UTC().Format(time.RFC3339))
	case reflect.Float64:
		v.SetFloat(float64(n>>40) / 8)
	case reflect.Int, reflect.Int64:
		v.SetInt(int64(n))
	default:
		v.SetUint(n>>(64-v.Type().Bits()) | 1)
	}
}

// example is a batch in which every field of everything is set, and one of each with nothing set.
func example() (h Head, want taken) {
	seed := uint64(0)
	var a palladium.Account
	var o palladium.Observation
	full(reflect.ValueOf(&a).Elem(), &seed)
	full(reflect.ValueOf(&o).Elem(), &seed)
	second := o
	second.ID, second.Time = 7, -5
	want = taken{
		accounts:     []palladium.Account{a, {}},
		names:        map[uint64]string{0xfedc: "model-5", 0: ""},
		observations: []palladium.Observation{o, {}, second},
	}
	return Head{Source: "gateway", Instance: 0x0123456789abcdef, Number: 300}, want
}

func write(h Head, t *taken) []byte {
	var w Writer
	w.Begin(nil, h)
	for i := range t.accounts {
		w.Describe(&t.accounts[i])
	}
	for _, hash := range []uint64{0xfedc, 0} {
		w.NameModel(hash, t.names[hash])
	}
	for i := range t.observations {
		w.Observe(&t.observations[i])
	}
	return w.End()
}

// same compares what was read with what was written; empty lists are nil.
func same(t *testing.T, what string, got, want *taken) {
	t.Helper()
	for i := range got.observations {
		o := &got.observations[i]
		for _, f := range []*[]uint64{&o.Shingles, &o.Chain, &o.Quotes, &o.Answers} {
			if len(*f) == 0 {
				*f = nil
			}
		}
		if len(o.Terms) == 0 {
			o.Terms = nil
		}
		if len(o.Biased) == 0 {
			o.Biased = nil
		}
	}
	for i := range got.accounts {
		if len(got.accounts[i].Verified) == 0 {
			got.accounts[i].Verified = nil
		}
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("%s: read\n%+v\nwant\n%+v", what, got, want)
	}
}

func golden(t *testing.T, name string, now []byte) []byte {
	t.Helper()
	path := filepath.Join("testdata", name)
	if os.Getenv("UPDATE_GOLDEN") != "" {
		if err := os.WriteFile(path, now, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// What version 1 has written is read for ever, and this build still writes it so.
func TestGolden(t *testing.T) {
	h, want := example()
	msg := write(h, &want)
	packed := Compress(msg, nil)
	if packed[1] != S2 || len(packed) >= len(msg) {
		t.Fatalf("compressed to %d of %d bytes, by %d", len(packed), len(msg), packed[1])
	}
	if !bytes.Equal(golden(t, "v1.batch", msg), msg) {
		t.Error("this build writes something else than the first version; was that meant?")
	}
	var r Reader
	for _, name := range []string{"v1.batch", "v1.s2.batch"} {
		b := golden(t, name, map[string][]byte{"v1.batch": msg, "v1.s2.batch": packed}[name])
		if got, err := r.Head(b); err != nil || got != h {
			t.Errorf("%s: head %+v, %v", name, got, err)
		}
		var got taken
		if head, err := r.Read(b, &got); err != nil || head != h {
			t.Errorf("%s: head %+v, %v", name, head, err)
		}
		same(t, name, &got, &want)
	}
}

// edit rewrites the fields of a message in the wire format, records within it too.
func edit(b []byte, level string, change func(level string, field protowire.Number, raw []byte) []byte) (out []byte) {
	for len(b) > 0 {
		field, kind, n := protowire.ConsumeField(b)
		_ = kind
		num, typ, tag := protowire.ConsumeTag(b)
		raw := b[:n]
		if typ == protowire.BytesType && level == "batch" && (num == batchAccount || num == batchName || num == batchObservation) {
			body, _ := protowire.ConsumeBytes(b[tag:])
			name := map[protowire.Number]string{batchAccount: "account", batchName: "name", batchObservation: "observation"}[num]
			raw = protowire.AppendBytes(protowire.AppendTag(nil, num, typ), edit(body, name, change))
		}
		out = append(out, change(level, field, raw)...)
		b = b[n:]
	}
	return append(out, change(level, 0, nil)...) // the end
}

// A newer build adds fields of any kind anywhere: this one reads what it knows.
func TestNewer(t *testing.T) {
	h, want := example()
	msg := write(h, &want)
	newer := edit(msg[2:], "batch", func(_ string, field protowire.Number, raw []byte) []byte {
		if field == batchString { // places in the dictionary stay
			return raw
		}
		out := protowire.AppendVarint(protowire.AppendTag(nil, 100, protowire.VarintType), 1<<60)
		out = protowire.AppendFixed64(protowire.AppendTag(out, 1000, protowire.Fixed64Type), 5)
		out = protowire.AppendFixed32(protowire.AppendTag(out, 1001, protowire.Fixed32Type), 5)
		out = protowire.AppendString(protowire.AppendTag(out, 1002, protowire.BytesType), "new")
		if field != 0 { // a known field of another kind is not known either
			out = protowire.AppendFixed32(protowire.AppendTag(out, field, protowire.Fixed32Type), 5)
		}
		return append(out, raw...)
	})
	var r Reader
	var got taken
	head, err := r.Read(append([]byte{Format, Plain}, newer...), &got)
	if err != nil || head != h {
		t.Fatal(head, err)
	}
	same(t, "newer", &got, &want)
}

// An older build lacks a field: it is zero, and nothing else is.
func TestOlder(t *testing.T) {
	h, whole := example()
	msg := write(h, &whole)
	var r Reader
	for field := protowire.Number(1); field <= obsCached; field++ {
		older := edit(msg[2:], "batch", func(level string, f protowire.Number, raw []byte) []byte {
			if level == "observation" && f == field {
				return nil
			}
			return raw
		})
		var got taken
		if _, err := r.Read(append([]byte{Format, Plain}, older...), &got); err != nil {
			t.Fatalf("without field %d: %v", field, err)
		}
		gone := missing(reflect.ValueOf(got.observations[0]), reflect.ValueOf(whole.observations[0]), "")
		if len(gone) != 1 {
			t.Errorf("without field %d, missing is %v", field, gone)
		}
	}
}

// missing names the leaves in which got is zero and want is not.
func missing(got, want reflect.Value, name string) (out []string) {
	if got.Kind() == reflect.Struct {
		for i := range got.NumField() {
			out = append(out, missing(got.Field(i), want.Field(i), name+"."+got.Type().Field(i).Name)...)
		}
		return out
	}
	empty := got.IsZero() || got.Kind() == reflect.Slice && got.Len() == 0
	if empty != want.IsZero() || !empty && !reflect.DeepEqual(got.Interface(), want.Interface()) {
		out = append(out, name)
	}
	return out
}

func TestRefuses(t *testing.T) {
	h, want := example()
	msg := write(h, &want)
	with := func(at int, v byte) []byte { b := bytes.Clone(msg); b[at] = v; return b }
	for name, c := range map[string]struct {
		msg []byte
		err error
	}{
		"empty":               {nil, ErrBatch},
		"a byte":              {msg[:1], ErrBatch},
		"another format":      {with(0, 2), ErrFormat},
		"another compression": {with(1, 2), ErrFormat},
		"not compressed":      {with(1, S2), ErrBatch},
		"cut":                 {msg[:len(msg)/2], ErrBatch},
		"a group":             {[]byte{Format, Plain, 9<<3 | 3}, ErrBatch},
		"too long":            {make([]byte, MaxMessage+1), ErrBatch},
		"claims a lot":        {append([]byte{Format, S2}, 0xff, 0xff, 0xff, 0xff, 0x0f, 0, 0), ErrBatch},
		"no such string":      {[]byte{Format, Plain, batchObservation<<3 | span, 2, obsAccount << 3, 1}, ErrBatch},
		"a cut list":          {[]byte{Format, Plain, batchObservation<<3 | span, 3, obsShingles<<3 | span, 1, 0}, ErrBatch},
	} {
		var r Reader
		if _, err := r.Read(c.msg, &taken{}); !errors.Is(err, c.err) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// What is too long is left out, and the batch stays whole.
func TestTooLong(t *testing.T) {
	long := strings.Repeat("x", MaxRecord+1)
	var w Writer
	w.Begin(nil, Head{Source: "s", Instance: 1, Number: 1})
	if w.Describe(&palladium.Account{ID: long}) || w.NameModel(1, long) || w.Observe(&palladium.Observation{Account: long}) ||
		w.Observe(&palladium.Observation{Shingles: make([]uint64, MaxRecord/8)}) {
		t.Error("took what is too long")
	}
	if !w.Observe(&palladium.Observation{Account: "a", ID: 3}) || w.Observations() != 1 || w.Records() != 1 {
		t.Error("did not take what fits")
	}
	var r Reader
	var got taken
	if _, err := r.Read(w.End(), &got); err != nil || len(got.observations) != 1 || got.observations[0].ID != 3 || got.observations[0].Account != "a" {
		t.Errorf("%+v, %v", got, err)
	}
}

// Strings that are given may change afterwards: the dictionary goes by what was written.
func TestDictionary(t *testing.T) {
	var w Writer
	w.Begin(nil, Head{Source: "s", Instance: 1, Number: 1})
	for _, s := range []string{"a", "b", "a", "", "b"} {
		w.Observe(&palladium.Observation{Account: s, Outcome: palladium.Outcome{Finish: "a"}})
	}
	var r Reader
	var got taken
	if _, err := r.Read(w.End(), &got); err != nil {
		t.Fatal(err)
	}
	for i, s := range []string{"a", "b", "a", "", "b"} {
		if o := got.observations[i]; o.Account != s || o.Outcome.Finish != "a" {
			t.Errorf("%d is %q, %q", i, o.Account, o.Outcome.Finish)
		}
	}
	if len(r.strings) != 3 {
		t.Errorf("dictionary of %d", len(r.strings)-1)
	}
}

// Writing and reading a batch of what was met before allocates nothing.
func TestAllocations(t *testing.T) {
	h, want := example()
	var w Writer
	var r Reader
	buf := make([]byte, 0, 64<<10)
	round := func() {
		w.Begin(buf, h)
		for i := range want.observations {
			w.Observe(&want.observations[i])
		}
		if _, err := r.Read(w.End(), nothing{}); err != nil {
			t.Fatal(err)
		}
	}
	if n := testing.AllocsPerRun(100, round); n > 0 {
		t.Errorf("%v allocations", n)
	}
}

type nothing struct{}

func (nothing) Describe(*palladium.Account)    {}
func (nothing) NameModel(uint64, string)       {}
func (nothing) Observe(*palladium.Observation) {}

func FuzzRead(f *testing.F) {
	h, want := example()
	msg := write(h, &want)
	f.Add(msg)
	f.Add(Compress(msg, nil))
	f.Add([]byte{Format, Plain, batchObservation<<3 | span, 2, obsAccount << 3, 0})
	f.Fuzz(func(t *testing.T, msg []byte) {
		var r Reader
		var first, second taken
		head, err := r.Read(msg, &first)
		if got, herr := r.Head(msg); err == nil && herr != nil {
			t.Fatalf("the whole is read, its head is not: %+v %v", got, herr)
		}
		if err != nil {
			return
		}
		// What is read is written and read again without a change.
		var w Writer
		w.Begin(nil, head)
		for i := range first.accounts {
			w.Describe(&first.accounts[i])
		}
		for hash, name := range first.names {
			w.NameModel(hash, name)
		}
		for i := range first.observations {
			w.Observe(&first.observations[i])
		}
		again, err := r.Read(w.End(), &second)
		if err != nil || again != head {
			t.Fatalf("%+v, %v", again, err)
		}
		if a, b := flat(&first), flat(&second); a != b {
			t.Fatalf("read %s, then %s", a, b)
		}
	})
}

func BenchmarkWrite(b *testing.B) {
	_, want := example()
	var w Writer
	buf := make([]byte, 0, 64<<10)
	for i := range b.N {
		if i%16 == 0 {
			w.Begin(buf, Head{Source: "s", Instance: 1, Number: uint64(i)})
		}
		w.Observe(&want.observations[0])
	}
}

func BenchmarkRead(b *testing.B) {
	_, want := example()
	var w Writer
	w.Begin(nil, Head{Source: "s", Instance: 1, Number: 1})
	for range 16 {
		w.Observe(&want.observations[0])
	}
	msg := w.End()
	var r Reader
	for i := 0; i < b.N; i += 16 {
		if _, err := r.Read(msg, nothing{}); err != nil {
			b.Fatal(err)
		}
	}
}
