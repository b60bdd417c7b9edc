package extraction

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
)

// Weights are the coefficients of the extraction score, a log-odds: Bias + sum of Coef[i] * feature i, after each
// feature is clipped to [Lo[i], Hi[i]]. A feature that the traffic does not show (NaN) counts as Mid[i], half-way
// between the classes. They are fitted by ridge logistic regression on simulated groups.
type Weights struct {
	Bias   float64
	Coef   Features
	Lo, Hi Features
	Mid    Features
}

// Score returns the log-odds that the group's use is extraction rather than that of a benign linked group. It orders
// groups; what it is worth is said by the reference groups.
func (w *Weights) Score(f *Features) float64 {
	s := w.Bias
	for i, c := range w.Coef {
		v := f[i]
		if math.IsNaN(v) {
			v = w.Mid[i]
		}
		s += c * min(max(v, w.Lo[i]), w.Hi[i])
	}
	return s
}

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
	for i, n := range Names() {
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
