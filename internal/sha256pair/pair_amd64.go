package sha256pair

// blocks hashes n blocks at p into the state a and n blocks at q into b.
//
//go:noescape
func blocks(a, b *[8]uint32, p, q *byte, n int)

// supported reports whether the processor has the instructions that blocks uses.
func supported() bool
