package snapshot

import (
	"bytes"
	"errors"
	"io"
	"math/rand/v2"
	"reflect"
	"runtime"
	"strings"
	"testing"
	"time"
)

type point struct {
	X int16
	y float64
}

type inner struct {
	name  string
	marks []point
	named map[string]*point
}

type outer struct {
	one     uint8
	at      time.Time
	none    []int
	empty   []int
	many    []uint32
	slabs   []*[3]point
	rings   [2][]string
	inner   inner
	gains   map[uint32]float32
	pcg     *rand.PCG
	rng     *rand.Rand
	left    func()
	nothing *point
}

func sample() *outer {
	o := &outer{one: 7, at: time.Date(2026, 5, 3, 1, 2, 3, 4, time.UTC), empty: []int{}, many: make([]uint32, 3_000_000),
		slabs: []*[3]point{{{1, 2}, {3, 4}, {5, 6}}, nil}, rings: [2][]string{{"a", ""}, nil},
		inner: inner{"ü", []point{{1, 0.5}}, map[string]*point{"k": {9, 9}, "nil": nil}},
		gains: map[uint32]float32{1: 2, 3: 4}, pcg: rand.NewPCG(1, 2)}
	for i := range o.many {
		o.many[i] = uint32(i * i)
	}
	o.pcg.Uint64()
	return o
}

func skips() []string { return []string{"outer.rng", "outer.left"} }

func TestWhatIsWrittenIsRead(t *testing.T) {
	want := sample()
	var b bytes.Buffer
	if err := Write(&b, want, skips()...); err != nil {
		t.Fatal(err)
	}
	pcg := rand.NewPCG(8, 9)
	got := &outer{pcg: pcg, rng: rand.New(pcg), gains: map[uint32]float32{77: 1}, many: make([]uint32, 5)}
	if err := Read(bytes.NewReader(b.Bytes()), got, skips()...); err != nil {
		t.Fatal(err)
	}
	rng := got.rng
	got.rng = nil
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v\nwant %+v", got.inner, want.inner)
	}
	if got.pcg != pcg || rng.Uint64() != rand.New(want.pcg).Uint64() {
		t.Error("the generator does not go on where it was")
	}
	if !got.at.Equal(want.at) || got.none != nil || got.empty == nil || got.left != nil || got.nothing != nil {
		t.Error("nil and empty are not told apart")
	}
}

func TestSlicesOfTheRightLengthAreReused(t *testing.T) {
	want := []uint64{1, 2, 3}
	var b bytes.Buffer
	if err := Write(&b, &want); err != nil {
		t.Fatal(err)
	}
	got := make([]uint64, 3)
	first := &got[0]
	if err := Read(&b, &got); err != nil || !reflect.DeepEqual(got, want) || first != &got[0] {
		t.Errorf("got %v, %v", got, err)
	}
}

func TestWhatCannotBeKeptIsNamed(t *testing.T) {
	for _, v := range []any{&outer{rng: rand.New(rand.NewPCG(1, 1))}, &struct{ F func() }{}, &struct{ C chan int }{}, &struct{ E error }{}} {
		if err := Write(io.Discard, v, "outer.left"); err == nil || !strings.Contains(err.Error(), "cannot be kept") {
			t.Errorf("%T: %v", v, err)
		}
	}
}

func TestFingerprint(t *testing.T) {
	type a struct{ X, Y int32 }
	same := Fingerprint(&[]a{})
	{
		type a struct{ X, Y int32 }
		if Fingerprint(&[]a{}) != same {
			t.Error("equal layouts differ")
		}
	}
	{
		type a struct{ X, Z int32 }
		if Fingerprint(&[]a{}) == same {
			t.Error("another field name goes unnoticed")
		}
	}
	{
		type a struct{ X, Y uint32 }
		if Fingerprint(&[]a{}) == same {
			t.Error("another type goes unnoticed")
		}
	}
	if Fingerprint(&outer{}, skips()...) == Fingerprint(&outer{}, "outer.left") {
		t.Error("another skip goes unnoticed")
	}
}

type limited struct{ n int }

var errFull = errors.New("no space left")

func (l *limited) Write(p []byte) (int, error) {
	if l.n -= len(p); l.n < 0 {
		return 0, errFull
	}
	return len(p), nil
}

func TestWriterErrorsAreReturned(t *testing.T) {
	for _, n := range []int{0, 100, 70_000, 5_000_000} {
		if err := Write(&limited{n}, sample(), skips()...); !errors.Is(err, errFull) {
			t.Errorf("after %d bytes: %v", n, err)
		}
	}
}

func TestEveryTruncationIsAnError(t *testing.T) {
	o := sample()
	o.many = o.many[:50]
	var b bytes.Buffer
	if err := Write(&b, o, skips()...); err != nil {
		t.Fatal(err)
	}
	for n := range b.Len() {
		if err := Read(bytes.NewReader(b.Bytes()[:n]), new(outer), skips()...); !errors.Is(err, io.ErrUnexpectedEOF) && !errors.Is(err, ErrDamaged) {
			t.Fatalf("%d bytes of %d: %v", n, b.Len(), err)
		}
	}
}

func TestAFalseLengthTakesLittleMemory(t *testing.T) {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	for _, v := range []any{&[]uint64{}, &[]string{}, &[]*point{}, &map[uint64]string{}, new(string)} {
		if err := Read(bytes.NewReader([]byte{0xff, 0xff, 0xff, 0xff, 0x0f, 1, 2, 3}), v); err == nil {
			t.Errorf("%T: no error", v)
		}
	}
	runtime.ReadMemStats(&after)
	if n := after.TotalAlloc - before.TotalAlloc; n > 64<<20 {
		t.Errorf("took %d bytes", n)
	}
}

func FuzzRead(f *testing.F) {
	o := sample()
	o.many = o.many[:5]
	var b bytes.Buffer
	if err := Write(&b, o, skips()...); err != nil {
		f.Fatal(err)
	}
	f.Add(b.Bytes())
	f.Add([]byte{0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01})
	f.Fuzz(func(t *testing.T, data []byte) {
		_ = Read(bytes.NewReader(data), new(outer), skips()...)
	})
}
