package stats

import (
	"cmp"
	"math"
	"slices"
)

// pair is a cell of the table of predicted label by true label.
type pair[P, T comparable] struct {
	p P
	t T
}

// crossTable counts items by predicted label, by true label and by both.
func crossTable[P, T comparable](pred []P, truth []T) (rows map[P]int, cols map[T]int, cells map[pair[P, T]]int) {
	sameLength(len(pred), len(truth))
	rows, cols, cells = map[P]int{}, map[T]int{}, map[pair[P, T]]int{}
	for i := range pred {
		rows[pred[i]]++
		cols[truth[i]]++
		cells[pair[P, T]{pred[i], truth[i]}]++
	}
	return rows, cols, cells
}

// ARI returns the adjusted Rand index of two labellings of the same items: 1 when they are the same partition, 0 in
// expectation when labels are dealt at random. Source: Hubert and Arabie, "Comparing partitions" (1985), eq. 5. Two
// labellings that leave nothing to chance (both all in one, or both all apart) give 1.
func ARI[P, T comparable](pred []P, truth []T) float64 {
	rows, cols, cells := crossTable(pred, truth)
	pairs := func(n int) float64 { return float64(n) * float64(n-1) / 2 }
	var sumCells, sumRows, sumCols float64 // whole numbers: the order of a map does not change their sum
	for _, n := range cells {
		sumCells += pairs(n)
	}
	for _, n := range rows {
		sumRows += pairs(n)
	}
	for _, n := range cols {
		sumCols += pairs(n)
	}
	all := pairs(len(pred))
	if all == 0 {
		return 1
	}
	expected, most := sumRows*sumCols/all, (sumRows+sumCols)/2
	if most == expected {
		return 1
	}
	return (sumCells - expected) / (most - expected)
}

// Purity returns the share of items whose predicted cluster has their true label as its commonest one, in (0,1].
// Many small clusters raise it; read it with InversePurity. It is NaN when there are no items.
func Purity[P, T comparable](pred []P, truth []T) float64 {
	_, _, cells := crossTable(pred, truth)
	best, sum := map[P]int{}, 0
	for c, n := range cells {
		best[c.p] = max(best[c.p], n)
	}
	for _, n := range best {
		sum += n
	}
	return float64(sum) / float64(len(pred))
}

// InversePurity is Purity with the roles exchanged: the share of items that lie in the largest piece of their true
// class. One cluster of everything raises it.
func InversePurity[P, T comparable](pred []P, truth []T) float64 { return Purity(truth, pred) }

// BCubed returns the mean over items of the share of their cluster that has their label (precision), and of the share
// of their class that is in their cluster (recall). Source: Bagga and Baldwin (1998); Amigó et al., "A comparison of
// extrinsic clustering evaluation metrics" (2009). Both are NaN when there are no items.
func BCubed[P, T comparable](pred []P, truth []T) (precision, recall float64) {
	rows, cols, cells := crossTable(pred, truth)
	for i := range pred { // item by item, so that the sum does not depend on the order of a map
		n := float64(cells[pair[P, T]{pred[i], truth[i]}])
		precision += n / float64(rows[pred[i]])
		recall += n / float64(cols[truth[i]])
	}
	n := float64(len(pred))
	return precision / n, recall / n
}

// Brier returns the mean squared difference between forecast probabilities and outcomes, in [0,1]; less is better.
// Source: Brier, "Verification of forecasts expressed in terms of probability" (1950), for two classes.
func Brier(p []float64, happened []bool) float64 {
	sameLength(len(p), len(happened))
	var sum float64
	for i, v := range p {
		d := v - outcome(happened[i])
		sum += d * d
	}
	return sum / float64(len(p))
}

// ECE returns the expected calibration error: forecasts are put into bins of equal width over [0,1], and the distance
// between mean forecast and share that happened is averaged with the bins' sizes as weights. Source: Naeini, Cooper,
// Hauskrecht, AAAI 2015. It is NaN without forecasts or without bins.
func ECE(p []float64, happened []bool, bins int) float64 {
	sameLength(len(p), len(happened))
	if len(p) == 0 || bins < 1 {
		return math.NaN()
	}
	gap := make([]float64, bins) // sum of forecast minus outcome
	for i, v := range p {
		if math.IsNaN(v) {
			return math.NaN()
		}
		b := min(max(int(v*float64(bins)), 0), bins-1)
		gap[b] += v - outcome(happened[i])
	}
	var sum float64
	for _, g := range gap {
		sum += math.Abs(g)
	}
	return sum / float64(len(p))
}

// PRAUC returns the area under the precision-recall curve as average precision, the sum of precision times gain in
// recall over falling thresholds; items of one score enter together. It does not interpolate, which would flatter
// (Davis and Goadrich, ICML 2006). A ranking at random gives the share of positives. It is NaN without positives.
func PRAUC(score []float64, positive []bool) float64 {
	sameLength(len(score), len(positive))
	idx := make([]int, len(score))
	total := 0
	for i := range idx {
		idx[i] = i
		if positive[i] {
			total++
		}
	}
	if total == 0 {
		return math.NaN()
	}
	slices.SortFunc(idx, func(a, b int) int { return cmp.Compare(score[b], score[a]) })
	var area float64
	for i, hits := 0, 0; i < len(idx); {
		j, gain := i, 0
		for ; j < len(idx) && cmp.Compare(score[idx[j]], score[idx[i]]) == 0; j++ {
			if positive[idx[j]] {
				gain++
			}
		}
		hits += gain
		area += float64(hits) / float64(j) * float64(gain) / float64(total)
		i = j
	}
	return area
}

func outcome(happened bool) float64 {
	if happened {
		return 1
	}
	return 0
}
