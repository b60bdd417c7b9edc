package sha256pair

import (
	"bytes"
	"crypto/sha256"
	"math/rand/v2"
	"testing"
)

func TestWrite(t *testing.T) {
	w := New()
	if !w.fast {
		t.Log("this processor has no SHA extensions: what is tested is the way without them")
	}
	r := rand.New(rand.NewPCG(1, 2))
	text := make([]byte, 1<<16)
	for i := range text {
		text[i] = byte(r.Uint32())
	}
	part := func(longest int) []byte {
		n := r.IntN(longest + 1)
		at := r.IntN(len(text) - n + 1)
		return text[at : at+n]
	}
	for range 300 {
		a, b := sha256.New(), sha256.New()
		var p, q []byte
		for range r.IntN(6) {
			x, y := part(1<<14), part(1<<14)
			if r.IntN(2) == 0 {
				x, y = x[:len(x)/64*64], y[:len(y)/64*64]
			}
			w.Write(a, b, x, y)
			p, q = append(p, x...), append(q, y...)
		}
		if want := sha256.Sum256(p); !bytes.Equal(a.Sum(nil), want[:]) {
			t.Fatalf("first sum of %d bytes is %x, want %x", len(p), a.Sum(nil), want)
		}
		if want := sha256.Sum256(q); !bytes.Equal(b.Sum(nil), want[:]) {
			t.Fatalf("second sum of %d bytes is %x, want %x", len(q), b.Sum(nil), want)
		}
	}
}

func TestOtherHash(t *testing.T) {
	a, b := sha256.New224(), sha256.New()
	text := make([]byte, 1<<12)
	New().Write(a, b, text, text)
	x, y := sha256.Sum224(text), sha256.Sum256(text)
	if !bytes.Equal(a.Sum(nil), x[:]) || !bytes.Equal(b.Sum(nil), y[:]) {
		t.Error("another hash than SHA-256 gets another sum than by itself")
	}
}

func FuzzWrite(f *testing.F) {
	f.Add([]byte("abc"), []byte(""), 20)
	f.Add(make([]byte, 64), make([]byte, 64), 64)
	f.Fuzz(func(t *testing.T, p, q []byte, times int) {
		times = min(max(times, 1), 100)
		p, q = bytes.Repeat(p, times), bytes.Repeat(q, times)
		a, b := sha256.New(), sha256.New()
		New().Write(a, b, p, q)
		x, y := sha256.Sum256(p), sha256.Sum256(q)
		if !bytes.Equal(a.Sum(nil), x[:]) || !bytes.Equal(b.Sum(nil), y[:]) {
			t.Error("another sum")
		}
	})
}

func BenchmarkWrite(b *testing.B) {
	p, q := make([]byte, 128<<10), make([]byte, 128<<10)
	b.Run("one", func(b *testing.B) {
		b.SetBytes(128 << 10)
		h := sha256.New()
		for b.Loop() {
			h.Write(p)
		}
	})
	b.Run("two", func(b *testing.B) {
		b.SetBytes(2 * 128 << 10)
		w, g, h := New(), sha256.New(), sha256.New()
		for b.Loop() {
			w.Write(g, h, p, q)
		}
	})
}
