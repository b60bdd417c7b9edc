package pedigree

import (
	"context"
	"fmt"

	"github.com/palladium-guard/palladium/app/provenance"
	"github.com/palladium-guard/palladium/weights/compare"
	"github.com/palladium-guard/palladium/weights/lineage"
)

// MeasureWeights says whether the weights of one model are derived from those of another, by comparing them. It refutes
// nothing: what cannot be told, or looks unrelated, may be far away for good reasons, and stays a claim with that remark.
func MeasureWeights(ctx context.Context, parent, child string) (lineage.Evidence, error) {
	r, err := provenance.Compare(ctx, provenance.Weights{Path: parent}, provenance.Weights{Path: child}, compare.Options{})
	if err != nil {
		if ctx.Err() != nil {
			return lineage.Evidence{}, ctx.Err()
		}
		return lineage.Evidence{Grade: lineage.Claimed, Detail: fmt.Sprintf("not measured: %s", err)}, nil
	}
	detail := fmt.Sprintf("weights compared: %s", r.Relation)
	if len(r.Reasons) > 0 {
		detail += ": " + r.Reasons[0]
	}
	if r.Relation == compare.Same || r.Relation == compare.Derived {
		return lineage.Evidence{Grade: lineage.Measured, Detail: detail}, nil
	}
	return lineage.Evidence{Grade: lineage.Claimed, Detail: detail}, nil
}
