package linkage

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"reflect"
	"testing"
	"time"

	"github.com/palladium-guard/palladium"
	"github.com/zeebo/xxh3"
)

func hashed(kind byte, s string) uint64 { return xxh3.HashStringSeed(s, uint64(kind)) }

func stateOptions() Options { return Options{Hash: hashed, RecallBits: 8} }

// traffic feeds x with exchanges from..to of one made-up stream.
func traffic(x *Index, from, to int) {
	for i := from; i < to; i++ {
		r := rand.New(rand.NewPCG(5, uint64(i)))
		a := r.IntN(40)
		id := fmt.Sprintf("account-%d", a)
		if i%7 == 0 {
			x.Describe(&palladium.Account{ID: id, Created: time.Unix(int64(i), 0), Organization: fmt.Sprint("o", a%3),
				Payment: fmt.Sprint("p", r.IntN(9)), Plan: "free", SignupIP: fmt.Sprintf("10.0.%d.1", r.IntN(5))})
		}
		o := palladium.Observation{Time: int64(i) * 90_000, Account: id, IP: r.Uint64N(30) + 1, Net: r.Uint64N(9) + 1,
			Client: r.Uint64N(4), System: r.Uint64N(5), Params: r.Uint64N(6), Model: r.Uint64N(3), Prompt: r.Uint64N(500) + 1,
			Words: 20, Turns: 1, Usage: palladium.Usage{Input: 10, Output: 50}}
		for range 8 {
			o.Shingles = append(o.Shingles, mix(r.Uint64N(300)))
			o.Terms = append(o.Terms, uint16(r.UintN(900)))
		}
		o.Chain = []uint64{mix(r.Uint64N(400))}
		o.Answers, o.Quotes = []uint64{mix(r.Uint64N(99)), mix(r.Uint64N(99))}, []uint64{mix(r.Uint64N(99)), mix(r.Uint64N(99))}
		x.NameModel(o.Model, fmt.Sprint("m", o.Model))
		x.Observe(&o)
		if i%500 == 0 {
			x.Dirty()
		}
	}
}

func saved(t testing.TB, x *Index) []byte {
	var b bytes.Buffer
	if err := x.Save(&b); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// equal compares all but the place of tokens in the hash table, which follows from its history.
func equal(t *testing.T, got, want *Index) {
	t.Helper()
	for _, x := range []*Index{got, want} {
		x.opt.Hash = nil
		x.table.rebuild()
		x.table0, x.topical, x.chosen, x.touched = palladium.Edge{}, direction{}, nil, 0
		if x.dirty == nil {
			x.dirty = []uint32{}
		}
	}
	if !reflect.DeepEqual(got, want) {
		g, w := reflect.ValueOf(got).Elem(), reflect.ValueOf(want).Elem()
		for i := range g.NumField() {
			if fmt.Sprint(g.Field(i)) != fmt.Sprint(w.Field(i)) {
				t.Errorf("%s differs", g.Type().Field(i).Name)
			}
		}
		t.Fatal("the indexes differ")
	}
}

func TestStateGoesOnWhereItWas(t *testing.T) {
	for _, cut := range []int{0, 1, 777, 3000} {
		want := New(stateOptions())
		traffic(want, 0, 4000)
		first := New(stateOptions())
		traffic(first, 0, cut)
		second, err := Load(bytes.NewReader(saved(t, first)), stateOptions())
		if err != nil {
			t.Fatal(err)
		}
		traffic(second, cut, 4000)
		equal(t, second, want)
	}
}

func TestDamagedStateIsRefusedOrHarmless(t *testing.T) {
	x := New(stateOptions())
	traffic(x, 0, 500)
	good := saved(t, x)
	for i := range 400 {
		data := bytes.Clone(good)
		switch r := rand.New(rand.NewPCG(9, uint64(i))); i % 3 {
		case 0:
			data = data[:r.IntN(len(data))]
		case 1:
			data[r.IntN(len(data))] ^= 1 << r.UintN(8)
		case 2:
			at := r.IntN(len(data))
			for j := at; j < min(at+64, len(data)); j++ {
				data[j] = byte(r.Uint32())
			}
		}
		if y, err := Load(bytes.NewReader(data), stateOptions()); err == nil && i%3 == 0 {
			t.Fatalf("a truncated state was loaded: %d of %d bytes, %d accounts", len(data), len(good), y.Accounts())
		}
	}
}

func FuzzLoad(f *testing.F) {
	x := New(stateOptions())
	traffic(x, 0, 50)
	f.Add(saved(f, x))
	f.Fuzz(func(t *testing.T, data []byte) {
		_, _ = Load(bytes.NewReader(data), stateOptions())
	})
}
