package campaign

import (
	"bytes"
	"encoding/json"
	"fmt"
)

// ParseWeights reads the coefficients of the extraction score: a JSON object with version 1, a bias, and for each
// feature that counts its coefficient, the range to which the feature is clipped, and what it counts as where it is unknown. Unknown features are refused.
func ParseWeights(data []byte) (Weights, error) {
	var file struct {
		Version  int     `json:"version"`
		Bias     float64 `json:"bias"`
		Features map[string]struct {
			Coef, Lo, Hi, Mid float64
		} `json:"features"`
	}
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&file); err != nil {
		return Weights{}, fmt.Errorf("read the extraction weights: %w", err)
	}
	if file.Version != 1 {
		return Weights{}, fmt.Errorf("read the extraction weights: version %d is not 1: use a file made for this release", file.Version)
	}
	w := Weights{Bias: file.Bias}
	known := 0
	for i, n := range FeatureNames() {
		if f, ok := file.Features[n[0]]; ok {
			w.Coef[i], w.Lo[i], w.Hi[i], w.Mid[i] = f.Coef, f.Lo, f.Hi, f.Mid
			known++
		}
	}
	if known != len(file.Features) {
		return Weights{}, fmt.Errorf("read the extraction weights: %d of its features are unknown to this release", len(file.Features)-known)
	}
	return w, nil
}
