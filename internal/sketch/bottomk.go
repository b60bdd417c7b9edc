package sketch

// K is how many hashes a BottomK keeps.
const K = 32

// BottomK keeps the K smallest distinct hashes of a stream, a uniform sample of its distinct items that is the same
// sample in every stream: two of them tell how much two streams share. 128 bytes. Source: Cohen and Kaplan,
// "Summarizing data using bottom-k sketches" (2007). Only the upper 32 bits of a hash count.
//
// Stored are complements, largest first, so that zero means absent.
type BottomK [K]uint32

// Add offers a hash and says whether the sketch changed.
func (s *BottomK) Add(hash uint64) bool {
	v := max(^uint32(hash>>32), 1)
	if v <= s[K-1] {
		return false
	}
	lo, hi := 0, K-1 // first place whose value is v or less
	for lo < hi {
		if mid := (lo + hi) / 2; s[mid] > v {
			lo = mid + 1
		} else {
			hi = mid
		}
	}
	if s[lo] == v {
		return false
	}
	copy(s[lo+1:], s[lo:K-1])
	s[lo] = v
	return true
}

// Len returns how many hashes are kept, K at most.
func (s *BottomK) Len() int {
	n := 0
	for n < K && s[n] != 0 {
		n++
	}
	return n
}

// Distinct estimates how many distinct hashes were added: exact below K, then (K-1) over the share of the range that
// the K smallest fill, with a relative standard error of about 1/sqrt(K-2), 18 %.
func (s *BottomK) Distinct() float64 {
	if s[K-1] == 0 {
		return float64(s.Len())
	}
	const span = 1 << 32
	return (K - 1) * span / (span - float64(s[K-1]))
}

// Shared compares two sketches: of is the size of a uniform sample of the union of both streams' distinct items, K at
// most, and shared is how many of the sample are in both. Given the Jaccard similarity J of the streams, shared is
// hypergeometric, close to Binomial(of, J).
func (s *BottomK) Shared(o *BottomK) (shared, of int) {
	i, j := 0, 0
	for of < K {
		var a, b uint32
		if i < K {
			a = s[i]
		}
		if j < K {
			b = o[j]
		}
		if a == 0 && b == 0 {
			return shared, of
		}
		if a == b {
			shared++
		}
		if a >= b {
			i++
		}
		if b >= a {
			j++
		}
		of++
	}
	return shared, of
}

// Jaccard estimates the size of the intersection over that of the union of the two streams' distinct items, without
// bias, with standard error sqrt(J(1-J)/K) or less. Two empty streams give 0.
func (s *BottomK) Jaccard(o *BottomK) float64 {
	shared, of := s.Shared(o)
	if of == 0 {
		return 0
	}
	return float64(shared) / float64(of)
}

// Merge makes s the sketch of both streams.
func (s *BottomK) Merge(o *BottomK) {
	for _, v := range o {
		if v <= s[K-1] { // smaller ones follow
			return
		}
		s.Add(uint64(^v) << 32)
	}
}
