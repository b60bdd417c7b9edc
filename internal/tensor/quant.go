package tensor

import (
	"encoding/binary"
	"fmt"
	"math"
)

// block decodes one block of a quantised type. Source of the layouts: ggml-common.h and ggml-quants.c of ggml.
func (d DType) block(dst []float32, b []byte) {
	scale := FromF16(binary.LittleEndian.Uint16(b))
	switch d {
	case Q8_0:
		for i := range dst {
			dst[i] = scale * float32(int8(b[2+i]))
		}
	case Q4_0:
		for i, q := range b[2:18] {
			dst[i] = scale * float32(int(q&0xf)-8)
			dst[i+16] = scale * float32(int(q>>4)-8)
		}
	case Q4_1:
		low := FromF16(binary.LittleEndian.Uint16(b[2:]))
		for i, q := range b[4:20] {
			dst[i] = scale*float32(q&0xf) + low
			dst[i+16] = scale*float32(q>>4) + low
		}
	case Q5_0:
		high := binary.LittleEndian.Uint32(b[2:])
		for i, q := range b[6:22] {
			dst[i] = scale * float32(int(uint32(q&0xf)|high>>i&1<<4)-16)
			dst[i+16] = scale * float32(int(uint32(q>>4)|high>>(i+16)&1<<4)-16)
		}
	case Q5_1:
		low, high := FromF16(binary.LittleEndian.Uint16(b[2:])), binary.LittleEndian.Uint32(b[4:])
		for i, q := range b[8:24] {
			dst[i] = scale*float32(uint32(q&0xf)|high>>i&1<<4) + low
			dst[i+16] = scale*float32(uint32(q>>4)|high>>(i+16)&1<<4) + low
		}
	case Q4_K, Q5_K:
		d.blockK45(dst, b)
	case Q6_K:
		blockK6(dst, b)
	}
}

// blockK45 decodes 256 elements: scale and minimum of the super-block, 8 pairs of 6 bits in 12 bytes, for Q5_K the fifth
// bits in 32 bytes, and nibbles.
func (d DType) blockK45(dst []float32, b []byte) {
	scale, low := FromF16(binary.LittleEndian.Uint16(b)), FromF16(binary.LittleEndian.Uint16(b[2:]))
	packed, qs := b[4:16], b[16:]
	var high []byte
	if d == Q5_K {
		high, qs = b[16:48], b[48:]
	}
	for g := range 8 {
		var s, m byte
		if g < 4 {
			s, m = packed[g]&63, packed[g+4]&63
		} else {
			s, m = packed[g+4]&0xf|packed[g-4]>>6<<4, packed[g+4]>>4|packed[g]>>6<<4
		}
		for i := range 32 {
			q := qs[g/2*32+i] >> (g % 2 * 4) & 0xf
			if high != nil {
				q |= high[i] >> g & 1 << 4
			}
			dst[g*32+i] = scale*float32(s)*float32(q) - low*float32(m)
		}
	}
}

// blockK6 decodes 256 elements: low nibbles in 128 bytes, upper pairs of bits in 64, 16 scales of a byte, and the scale
// of the super-block.
func blockK6(dst []float32, b []byte) {
	scale := FromF16(binary.LittleEndian.Uint16(b[208:]))
	for half := range 2 {
		low, high, scales := b[64*half:], b[128+32*half:], b[192+8*half:]
		for i := range 32 {
			for part := range 4 {
				q := low[i+part%2*32]>>(part/2*4)&0xf | high[i]>>(2*part)&3<<4
				dst[128*half+32*part+i] = scale * float32(int8(scales[i/16+2*part])) * float32(int(q)-32)
			}
		}
	}
}

// Encode converts whole blocks of 32-bit floats into F32, F16, BF16, Q8_0 or Q4_0, byte for byte as ggml's reference
// quantisers do (quantize_row_q8_0_ref, quantize_row_q4_0_ref). dst must hold them.
func (d DType) Encode(dst []byte, src []float32) error {
	n, size := d.Block()
	if n == 0 || len(src)%n != 0 || len(dst) < len(src)/n*size {
		return fmt.Errorf("encode a tensor: %d elements do not fill whole blocks of %q in %d bytes", len(src), string(d), len(dst))
	}
	switch d {
	case F32:
		for i, v := range src {
			binary.LittleEndian.PutUint32(dst[4*i:], math.Float32bits(v))
		}
	case F16:
		for i, v := range src {
			binary.LittleEndian.PutUint16(dst[2*i:], ToF16(v))
		}
	case BF16:
		for i, v := range src {
			binary.LittleEndian.PutUint16(dst[2*i:], ToBF16(v))
		}
	case Q8_0:
		for i := 0; i < len(src)/n; i++ {
			encodeQ8(dst[i*size:(i+1)*size], src[i*n:(i+1)*n])
		}
	case Q4_0:
		for i := 0; i < len(src)/n; i++ {
			encodeQ4(dst[i*size:(i+1)*size], src[i*n:(i+1)*n])
		}
	default:
		return fmt.Errorf("encode a tensor: %s can be read, not written", d)
	}
	return nil
}

func encodeQ8(dst []byte, src []float32) {
	var most float32
	for _, v := range src {
		most = max(most, float32(math.Abs(float64(v))))
	}
	scale := most / 127
	var inverse float32
	if scale != 0 {
		inverse = 1 / scale
	}
	binary.LittleEndian.PutUint16(dst, ToF16(scale))
	for i, v := range src {
		dst[2+i] = byte(int8(math.Round(float64(v * inverse)))) // half away from zero, as roundf
	}
}

func encodeQ4(dst []byte, src []float32) {
	var most, signed float32
	for _, v := range src {
		if a := float32(math.Abs(float64(v))); a > most {
			most, signed = a, v
		}
	}
	scale := signed / -8
	var inverse float32
	if scale != 0 {
		inverse = 1 / scale
	}
	binary.LittleEndian.PutUint16(dst, ToF16(scale))
	nibble := func(v float32) byte { return byte(min(15, int(float32(v*inverse)+8.5))) }
	for i := range 16 {
		dst[2+i] = nibble(src[i]) | nibble(src[i+16])<<4
	}
}
