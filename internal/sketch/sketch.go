// Package sketch keeps summaries of streams in fixed space: distinct counts, samples that can be compared, frequent
// items, histograms, and what was seen lately. It knows nothing of the product.
//
// All but Recent are plain arrays of integers: they may be embedded by value in large slices, copied, compared with
// ==, and written to disk as they are. Their zero value is empty and ready, and no method allocates. None is safe for
// use by several goroutines. Hashes passed in must be uniform over their range, and keyed where the items come from
// people who would profit from a collision.
package sketch

import (
	"math"
	"math/bits"
)

// HLL6 estimates how many distinct hashes were added, in 64 bytes, with a standard error of 13 %. HyperLogLog of
// Flajolet, Fusy, Gandouet, Meunier (2007) with 64-bit hashes and the estimator of Ertl, "New cardinality estimation
// algorithms for HyperLogLog sketches" (2017), algorithm 6, which needs no correction at either end.
type HLL6 [64]uint8

// HLL8 is HLL6 in 256 bytes with a standard error of 6.5 %.
type HLL8 [256]uint8

// Add counts a hash and says whether the sketch changed.
func (s *HLL6) Add(hash uint64) bool { return addHLL(&s[hash>>58], hash<<6|1<<5) }

// Add counts a hash and says whether the sketch changed.
func (s *HLL8) Add(hash uint64) bool { return addHLL(&s[hash>>56], hash<<8|1<<7) }

func addHLL(register *uint8, rest uint64) bool {
	rank := uint8(bits.LeadingZeros64(rest)) + 1
	if rank <= *register {
		return false
	}
	*register = rank
	return true
}

// Merge makes s the sketch of both streams.
func (s *HLL6) Merge(o *HLL6) { mergeHLL(s[:], o[:]) }

// Merge makes s the sketch of both streams.
func (s *HLL8) Merge(o *HLL8) { mergeHLL(s[:], o[:]) }

func mergeHLL(s, o []uint8) {
	for i, r := range o {
		s[i] = max(s[i], r)
	}
}

// Estimate returns the estimated number of distinct hashes.
func (s *HLL6) Estimate() float64 { return estimateHLL(s[:], 58) }

// Estimate returns the estimated number of distinct hashes.
func (s *HLL8) Estimate() float64 { return estimateHLL(s[:], 56) }

// estimateHLL takes the registers and q, the bits of a hash that do not choose the register.
func estimateHLL(registers []uint8, q int) float64 {
	var count [66]int
	for _, r := range registers {
		count[min(int(r), q+1)]++
	}
	m := float64(len(registers))
	z := m * tau(1-float64(count[q+1])/m)
	for k := q; k >= 1; k-- {
		z = 0.5 * (z + float64(count[k]))
	}
	z += m * sigma(float64(count[0])/m)
	return m * m / (2 * math.Ln2 * z)
}

// sigma returns x + sum over k >= 1 of x^(2^k) 2^(k-1).
func sigma(x float64) float64 {
	if x == 1 {
		return math.Inf(1)
	}
	y, z := 1.0, x
	for {
		x *= x
		next := z + x*y
		if next == z {
			return z
		}
		z, y = next, 2*y
	}
}

// tau returns (1 - x - sum over k >= 1 of (1 - x^(2^-k))^2 2^-k) / 3.
func tau(x float64) float64 {
	if x == 0 || x == 1 {
		return 0
	}
	y, z := 1.0, 1-x
	for {
		x = math.Sqrt(x)
		y *= 0.5
		next := z - (1-x)*(1-x)*y
		if next == z {
			return z / 3
		}
		z = next
	}
}
