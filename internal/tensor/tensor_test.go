package tensor

import (
	"encoding/binary"
	"math"
	"math/rand/v2"
	"testing"
)

func TestHalvesSurviveARoundTrip(t *testing.T) {
	for h := range 1 << 16 {
		if f := FromF16(uint16(h)); !math.IsNaN(float64(f)) && ToF16(f) != uint16(h) {
			t.Fatalf("half %#x is %v, which is written %#x", h, f, ToF16(f))
		}
		if f := FromBF16(uint16(h)); !math.IsNaN(float64(f)) && ToBF16(f) != uint16(h) {
			t.Fatalf("bfloat %#x is %v, which is written %#x", h, f, ToBF16(f))
		}
	}
}

func TestRoundingIsToNearestEven(t *testing.T) {
	for _, c := range []struct {
		in   float32
		half uint16
		bf   uint16
	}{
		{1, 0x3c00, 0x3f80},
		{1 + 1.0/2048, 0x3c00, 0x3f80}, // halfway: to even
		{1 + 3.0/2048, 0x3c02, 0x3f80}, // halfway: to even, up
		{1 + 1.0/256, 0x3c04, 0x3f80},
		{1 + 3.0/256, 0x3c0c, 0x3f82},
		{65504, 0x7bff, 0x4780},
		{65519, 0x7bff, 0x4780},
		{65520, 0x7c00, 0x4780},
		{-1.0 / (1 << 24), 0x8001, 0xb380},
		{1.0 / (1 << 25), 0, 0x3300},
		{float32(math.Inf(-1)), 0xfc00, 0xff80},
	} {
		if got := ToF16(c.in); got != c.half {
			t.Errorf("half of %v: %#x, want %#x", c.in, got, c.half)
		}
		if got := ToBF16(c.in); got != c.bf {
			t.Errorf("bfloat of %v: %#x, want %#x", c.in, got, c.bf)
		}
	}
	if f := FromF16(ToF16(float32(math.NaN()))); f == f {
		t.Error("a NaN became a number")
	}
	if f := FromBF16(ToBF16(float32(math.NaN()))); f == f {
		t.Error("a NaN became a number")
	}
}

func TestQuantisedWithinAStep(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	src, dst := make([]float32, 4096), make([]float32, 4096)
	for i := range src {
		src[i] = float32(rng.NormFloat64() * 0.02)
	}
	for _, c := range []struct {
		d     DType
		steps float64
	}{{Q8_0, 0.57}, {Q4_0, 1.01}} {
		n, size := c.d.Block()
		buf := make([]byte, len(src)/n*size)
		if err := c.d.Encode(buf, src); err != nil {
			t.Fatal(err)
		}
		if err := c.d.Decode(dst, buf); err != nil {
			t.Fatal(err)
		}
		for i := range src {
			step := math.Abs(float64(FromF16(binary.LittleEndian.Uint16(buf[i/n*size:]))))
			if off := math.Abs(float64(src[i] - dst[i])); off > c.steps*step {
				t.Fatalf("%s: element %d is %v, read %v: off by %v steps", c.d, i, src[i], dst[i], off/step)
			}
		}
	}
}

// A block with known fields, decoded by hand after the layout in ggml-quants.c.
func TestLayouts(t *testing.T) {
	half := func(f float32) []byte { return binary.LittleEndian.AppendUint16(nil, ToF16(f)) }
	block := func(d DType, head ...[]byte) []byte {
		_, n := d.Block()
		b := make([]byte, 0, n)
		for _, h := range head {
			b = append(b, h...)
		}
		return b[:n]
	}
	k4 := block(Q4_K, half(2), half(1))
	k4[4+1], k4[4+5] = 3, 5              // group 1: scale 3, minimum 5
	k4[4+2], k4[4+10] = 0x40, 0x2<<4|0x7 // group 6: scale 7 + 16, minimum 2
	k4[16+4], k4[16+96+1] = 0x9<<4, 0x4  // group 1 element 4: 9; group 6 element 1: 4
	k5 := block(Q5_K, half(2), half(1))
	k5[4+1], k5[4+5] = 3, 5
	k5[16+4], k5[48+4] = 1<<1, 0x9<<4 // fifth bit of group 1 element 4
	k6 := block(Q6_K)
	copy(k6[208:], half(2))
	k6[192+2], k6[32+7], k6[128+7] = 0xfd, 0x5, 2<<2 // second part: scale -3, low 5, high 2: 37 - 32
	q51 := block(Q5_1, half(2), half(3))
	q51[4+2], q51[8+0] = 1, 0x6<<4 // element 16: 6 + 16
	q50 := block(Q5_0, half(2))
	q50[2+2], q50[6+0] = 1, 0x6<<4
	q41 := block(Q4_1, half(2), half(3))
	q41[4+5] = 0x7
	for _, c := range []struct {
		d    DType
		b    []byte
		at   int
		want float32
	}{
		{Q4_K, k4, 36, 2*3*9 - 5}, {Q4_K, k4, 193, 2*23*4 - 2}, {Q5_K, k5, 36, 2*3*25 - 5}, {Q6_K, k6, 39, 2 * -3 * 5},
		{Q5_1, q51, 16, 2*22 + 3}, {Q5_0, q50, 16, 2 * 6}, {Q5_0, q50, 0, 2 * -16}, {Q4_1, q41, 5, 2*7 + 3},
		{F8E4M3, []byte{0x7e}, 0, 448}, {F8E4M3, []byte{0x81}, 0, -1.0 / 512}, {F8E5M2, []byte{0x3c}, 0, 1},
	} {
		n, _ := c.d.Block()
		dst := make([]float32, n)
		if err := c.d.Decode(dst, c.b); err != nil {
			t.Fatal(err)
		}
		if dst[c.at] != c.want {
			t.Errorf("%s: element %d is %v, want %v", c.d, c.at, dst[c.at], c.want)
		}
	}
}

func TestRefusals(t *testing.T) {
	if err := DType("I64").Decode(make([]float32, 1), make([]byte, 8)); err == nil {
		t.Error("an unknown type is decoded")
	}
	if err := Q8_0.Decode(make([]float32, 31), make([]byte, 34)); err == nil {
		t.Error("half a block is decoded")
	}
	if err := BF16.Decode(make([]float32, 2), make([]byte, 3)); err == nil {
		t.Error("bytes are made up")
	}
	if err := Q6_K.Encode(make([]byte, 210), make([]float32, 256)); err == nil {
		t.Error("a type that cannot be written is written")
	}
}
