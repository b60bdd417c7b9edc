package campaign

import "math"

// DefaultWeights returns the coefficients that the product ships with.
func DefaultWeights() Weights {
	w := Weights{Bias: -3}
	for i := range w.Lo {
		w.Lo[i], w.Hi[i] = math.Inf(-1), math.Inf(1)
	}
	w.Coef[ftCues], w.Lo[ftCues], w.Hi[ftCues] = 3, 0, 1
	w.Coef[ftSingle] = 0.5
	w.Coef[ftTemplated] = 0.5
	w.Coef[ftFresh] = 1
	w.Coef[ftFlat] = 1.5
	w.Coef[ftEven] = 1
	w.Coef[ftOutput], w.Lo[ftOutput], w.Hi[ftOutput] = 0.3, -1, 2
	w.Coef[ftRho] = 0.5
	w.Coef[ftTopical] = 2
	w.Coef[ftApart] = 1
	w.Coef[ftSize], w.Hi[ftSize] = 0.3, 8
	w.Coef[ftProbing] = 3
	w.Coef[ftSystem] = -1
	return w
}

// TrialP exposes the p-values of the last one-operator test by family, for tests and fitting.
func (g *Group) TrialP() [famCount]float64 { return g.trial.p }

// Features returns the inputs of the extraction score as of the last fit.
func (g *Group) Features() Features { return g.features }
