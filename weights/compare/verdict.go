package compare

import (
	"fmt"
	"math"
)

// judge draws the conclusion.
func (r *Report) judge() {
	because := func(format string, args ...any) { r.Reasons = append(r.Reasons, fmt.Sprintf(format, args...)) }
	o, d, in, at := r.Overlap, r.Distance, r.Independence, r.Attention

	same := false
	if o != nil && o.All {
		same = true
		because("all %d recognised matrices are equal to the byte%s", o.Tensors, renamed(o))
	}
	if d != nil && d.Recast >= 0.999 {
		same = true
		because("one model's weights, rounded to the other's element type, are the other's: %.4f of %d samples", d.Recast, d.Samples)
	}
	if d != nil && d.Cosine >= equalCosine && !same && r.A.Layers == r.B.Layers && d.Bits < 1.5 && r.A.Types != r.B.Types {
		same = true
		because("weights in the same places are equal but for rounding: cosine %.6f", d.Cosine)
	}
	derived := r.derived(because)
	calm := r.calm(because, same || derived)
	switch {
	case same:
		r.Relation = Same
	case derived:
		r.Relation = Derived
	case calm:
		r.Relation = Unrelated
	default:
		r.Relation = CannotTell
		if in == nil && at == nil {
			because("no test of independence could be made")
		} else {
			because("the tests suffice neither for saying that the models are related nor for saying that they are not")
		}
	}
}

// derived lists what tells that the models were not trained apart.
func (r *Report) derived(because func(string, ...any)) bool {
	found := false
	if o := r.Overlap; o != nil && o.Tensors > 0 && !o.All {
		found = true
		because("%d of %d and %d recognised matrices are equal to the byte%s", o.Tensors, o.OfA, o.OfB, renamed(o))
	}
	if in := r.Independence; in != nil && in.LogP <= math.Log(Alpha) {
		found = true
		because("were the models trained apart, neurons would be as alike with p = %s (tests of %d layers)", Power(in.LogP), in.Layers)
	}
	if at := r.Attention; at != nil && at.Sigma >= DerivedSigma {
		found = true
		because("attention agrees by %.3f, %.0f standard deviations above chance", at.Score, at.Sigma)
	}
	return found
}

// calm says whether tests that could have seen a relation see none.
func (r *Report) calm(because func(string, ...any), decided bool) bool {
	in, at := r.Independence, r.Attention
	if decided || in == nil || at == nil || in.Layers*in.Neurons < 128 || at.Inputs < 32 {
		return false
	}
	if o := r.Overlap; o != nil && o.Tensors > 0 {
		return false
	}
	if t := in.Tokens; t != nil && t.Matched != nil && t.Matched.LogP < math.Log(calmP) {
		because("neurons do the same to tokens, whatever the order they are in: p = %s, which shared texts may explain", Power(t.Matched.LogP))
		return false
	}
	if in.LogP < math.Log(calmP) || at.Sigma > CalmSigma {
		return false
	}
	because("neurons are as alike as those of models trained apart: p = %s", Power(in.LogP))
	because("attention agrees by %.3f, %.1f standard deviations from chance", at.Score, at.Sigma)
	return true
}

func renamed(o *Overlap) string {
	if o.Renamed == 0 {
		return ""
	}
	return fmt.Sprintf(", %d of them under other names", o.Renamed)
}

// Power writes a probability whose natural logarithm is given, also when it is too small for a float64.
func Power(logP float64) string {
	if logP > math.Log(1e-3) {
		return fmt.Sprintf("%.3f", math.Exp(logP))
	}
	ten := logP / math.Ln10
	exp := math.Floor(ten)
	return fmt.Sprintf("%.1fe%.0f", math.Pow(10, ten-exp), exp)
}
