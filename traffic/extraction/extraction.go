// Package extraction asks of a group of accounts that act for one operator whether they draw the model's answers to
// train another: how it uses the model, as figures, against benign groups that hang together as well.
//
// It knows nothing of how groups are found. A Test belongs to one goroutine.
package extraction

import (
	"math"

	"github.com/palladium-guard/palladium"
	"github.com/palladium-guard/palladium/internal/stats"
	"github.com/palladium-guard/palladium/internal/stats/cohesion"
)

// Test measures groups and compares them. Its null hypothesis: the group is one more benign linked group, exchangeable
// with those that it is compared with.
type Test struct {
	weights Weights
	usual   usual
}

// New returns a test that scores by w.
func New(w Weights) *Test { return &Test{weights: w} }

// Usual takes in a sample of all accounts: what Measure holds a group's use against.
func (t *Test) Usual(sample []*palladium.Profile) { t.usual = usualOf(sample) }

// Measure returns the Features of a group of size accounts, as a slice. group and s hold the same accounts in the same
// order: all of the group, or a sample of a large one.
func (t *Test) Measure(group []*palladium.Profile, s *cohesion.Sample, size int) []float64 {
	f := measure(group, s, size, t.usual)
	return f[:]
}

// Score returns the log-odds of what Measure returned; see Weights.Score. Features that are missing count as unknown.
func (t *Test) Score(features []float64) float64 {
	var f Features
	for i := copy(f[:], features); i < len(f); i++ {
		f[i] = math.NaN()
	}
	return t.weights.Score(&f)
}

// Names returns the name and the meaning of each of the features.
func (t *Test) Names() [][2]string {
	n := Names()
	return n[:]
}

// enoughAlike is the least number of references of like size for which the others are left out.
const enoughAlike = 100

// PValue is the conformal p-value of a group's score among the references: those of like size, up to five times as
// many or as few accounts, where there are a hundred, else all. It also returns how many the group was compared with;
// without any, p is 1. p is valid, P(p <= a) <= a, where score and references are exchangeable; see stats.Conformal.
func (t *Test) PValue(score float64, accounts int, references []palladium.LinkedUse) (p float64, compared int) {
	var like, all []float64
	for i := range references {
		r := &references[i]
		all = append(all, r.Score)
		if r.Accounts*5 >= accounts && r.Accounts <= accounts*5 {
			like = append(like, r.Score)
		}
	}
	if len(like) >= enoughAlike {
		all = like
	}
	if len(all) == 0 {
		return 1, 0
	}
	return stats.Conformal(all, score), len(all)
}
