package fitting

import "math"

// sign is what is held about a feature before the data are seen.
type sign int

const (
	out  sign = iota // left out
	up               // more of it never speaks against extraction
	down             // more of it never speaks for extraction
)

// term is how one feature enters the regression.
type term struct {
	sign   sign
	lo, hi float64 // the range it is clipped to; NaN: the 1 % and 99 % quantiles of eligible rows
	swap   float64 // chance that augmentation replaces it
}

// Some features follow what the operator logs and whose text a world is made of more than who uses the accounts:
// leaning on them is made to cost more.
const swapFirm, swapLoose = 0.05, 0.12

// terms gives the term of each feature by its name. DESIGN.md has the reason for each line.
func terms() map[string]term {
	nan := math.NaN()
	return map[string]term{
		"cues":      {up, 0, 0.7, swapLoose},
		"flat":      {up, nan, nan, swapFirm},
		"even":      {up, nan, nan, swapFirm},
		"output":    {up, -0.6, 0.55, swapLoose},
		"rho":       {up, nan, nan, swapFirm},
		"apart":     {up, nan, nan, swapFirm},
		"size":      {up, nan, 6, swapFirm},
		"pace":      {up, nan, nan, swapFirm},
		"probing":   {up, 0, 1, swapFirm},
		"system":    {down, -0.3, 0.2, swapLoose},
		"tools":     {down, nan, nan, swapFirm},
		"central":   {down, 0, 1, swapLoose},
		"payer":     {down, 0, 1, swapLoose},
		"young":     {up, 0, 1, swapFirm},
		"reasoning": {up, 0, nan, swapFirm},
		"single":    {}, "templated": {}, "topical": {}, "fresh": {}, "length": {}, "varied": {}, "distinct": {}, // left out
	}
}
