// Package tensor reads and writes the numbers of tensor files: element types, their sizes, and their conversion to and
// from 32-bit floats. It knows nothing of files.
package tensor

import (
	"encoding/binary"
	"fmt"
	"math"
)

// DType is the name of an element type, as safetensors and GGUF spell it.
type DType string

// The types that can be decoded.
const (
	F64    DType = "F64"
	F32    DType = "F32"
	F16    DType = "F16"
	BF16   DType = "BF16"
	F8E4M3 DType = "F8_E4M3" // the finite variant ("fn"): no infinities
	F8E5M2 DType = "F8_E5M2"
	Q8_0   DType = "Q8_0" // 32 elements: an F16 scale d and 32 signed bytes q; w = d q
	Q4_0   DType = "Q4_0" // 32 elements: an F16 scale d and 16 bytes of two nibbles; w = d (nibble - 8)
	Q4_1   DType = "Q4_1" // 32 elements: F16 scale d and minimum m; w = d nibble + m
	Q5_0   DType = "Q5_0"
	Q5_1   DType = "Q5_1"
	Q4_K   DType = "Q4_K" // 256 elements in eight groups, each with a 6-bit scale and minimum
	Q5_K   DType = "Q5_K"
	Q6_K   DType = "Q6_K" // 256 elements in sixteen groups, each with an 8-bit scale
)

// Block returns how many elements are stored together and in how many bytes; 0 and 0 when the type cannot be decoded.
func (d DType) Block() (elements, bytes int) {
	switch d {
	case F64:
		return 1, 8
	case F32:
		return 1, 4
	case F16, BF16:
		return 1, 2
	case F8E4M3, F8E5M2:
		return 1, 1
	case Q8_0:
		return 32, 34
	case Q4_0:
		return 32, 18
	case Q4_1:
		return 32, 20
	case Q5_0:
		return 32, 22
	case Q5_1:
		return 32, 24
	case Q4_K:
		return 256, 144
	case Q5_K:
		return 256, 176
	case Q6_K:
		return 256, 210
	}
	return 0, 0
}

// Decodable reports whether Decode knows the type.
func (d DType) Decodable() bool { n, _ := d.Block(); return n > 0 }

// Quantised reports whether elements share a scale.
func (d DType) Quantised() bool { n, _ := d.Block(); return n > 1 }

// Decode converts whole blocks: len(dst) elements, a multiple of the block, from the bytes that hold them.
func (d DType) Decode(dst []float32, src []byte) error {
	n, size := d.Block()
	if n == 0 {
		return fmt.Errorf("decode a tensor: the element type %q is not known", string(d))
	}
	if len(dst)%n != 0 || len(src) < len(dst)/n*size {
		return fmt.Errorf("decode a tensor: %d elements of %s in %d bytes are not whole blocks", len(dst), d, len(src))
	}
	switch d {
	case F64:
		for i := range dst {
			dst[i] = float32(math.Float64frombits(binary.LittleEndian.Uint64(src[8*i:])))
		}
	case F32:
		for i := range dst {
			dst[i] = math.Float32frombits(binary.LittleEndian.Uint32(src[4*i:]))
		}
	case F16:
		for i := range dst {
			dst[i] = FromF16(binary.LittleEndian.Uint16(src[2*i:]))
		}
	case BF16:
		for i := range dst {
			dst[i] = FromBF16(binary.LittleEndian.Uint16(src[2*i:]))
		}
	case F8E4M3:
		for i := range dst {
			dst[i] = fromE4M3(src[i])
		}
	case F8E5M2:
		for i := range dst {
			dst[i] = FromF16(uint16(src[i]) << 8)
		}
	default:
		for i := 0; i*n < len(dst); i++ {
			d.block(dst[i*n:(i+1)*n], src[i*size:(i+1)*size])
		}
	}
	return nil
}

// FromBF16 returns the value of a bfloat16.
func FromBF16(h uint16) float32 { return math.Float32frombits(uint32(h) << 16) }

// ToBF16 rounds to the nearest bfloat16, ties to even. A NaN stays one.
func ToBF16(f float32) uint16 {
	u := math.Float32bits(f)
	if u&0x7fffffff > 0x7f800000 {
		return uint16(u>>16) | 0x40
	}
	return uint16((u + 0x7fff + u>>16&1) >> 16)
}

// FromF16 returns the value of an IEEE 754 half.
func FromF16(h uint16) float32 {
	sign, exp, man := uint32(h&0x8000)<<16, uint32(h>>10&0x1f), uint32(h&0x3ff)
	switch exp {
	case 0:
		v := float32(man) * (1.0 / (1 << 24))
		return math.Float32frombits(math.Float32bits(v) | sign)
	case 31:
		return math.Float32frombits(sign | 0x7f800000 | man<<13)
	}
	return math.Float32frombits(sign | (exp+112)<<23 | man<<13)
}

// ToF16 rounds to the nearest IEEE 754 half, ties to even. What is too large becomes an infinity; a NaN stays one.
func ToF16(f float32) uint16 {
	u := math.Float32bits(f)
	sign, u := uint16(u>>16&0x8000), u&0x7fffffff
	switch {
	case u > 0x7f800000:
		return sign | 0x7e00
	case u >= 0x477ff000: // rounds to 65536 or more
		return sign | 0x7c00
	case u < 0x38800000: // below the smallest normal half: let the addition of 0.5 round
		half := math.Float32bits(math.Float32frombits(u) + 0.5)
		return sign | uint16(half-math.Float32bits(0.5))
	}
	u += 0xfff + u>>13&1
	return sign | uint16((u-(112<<23))>>13)
}

// fromE4M3 returns the value of an 8-bit float with 4 bits of exponent (bias 7), without infinities (OCP 8-bit
// floating point, E4M3).
func fromE4M3(b byte) float32 {
	exp, man := int(b>>3&0xf), float64(b&7)
	var v float64
	switch {
	case exp == 15 && man == 7:
		return float32(math.NaN())
	case exp == 0:
		v = math.Ldexp(man, -9)
	default:
		v = math.Ldexp(8+man, exp-10)
	}
	if b&0x80 != 0 {
		v = -v
	}
	return float32(v)
}
