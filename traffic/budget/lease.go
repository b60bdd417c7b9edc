package budget

import "context"

// Lease is where several gateways will draw portions of one cap from a store that they share, so that a cap holds over
// all of them. No gateway has one yet: each holds its caps alone, and n gateways beside each other let n times a cap
// through.
type Lease interface {
	// Take asks for up to want of the cap of p in the window that starts at start, and returns what was granted, which
	// may be nothing. What is granted and not given back counts as drawn once the window ends.
	Take(ctx context.Context, p Principal, period Period, start int64, want Amount) (Amount, error)
	// Return gives back what will not be drawn.
	Return(ctx context.Context, p Principal, period Period, start int64, unused Amount) error
}
