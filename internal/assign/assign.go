// Package assign solves the linear assignment problem.
package assign

import (
	"fmt"
	"math"
)

// Minimise gives each of n rows a column of its own such that the sum of their costs is least. cost has n rows of m
// columns, n <= m, and is changed where it has no finite
// number: that counts as 1e30. The result has the column of each row. It panics when the sizes do not fit.
//
// Shortest augmenting paths with dual prices, in O(n² m): Jonker and Volgenant, "A shortest augmenting path algorithm
// for dense and sparse linear assignment problems" (1987), in the rectangular form of Crouse, "On implementing 2D
// rectangular assignment algorithms" (2016).
func Minimise(cost []float32, n, m int) []int {
	if n > m || len(cost) != n*m {
		panic(fmt.Sprintf("assign: %d costs for %d rows and %d columns", len(cost), n, m))
	}
	for i, c := range cost {
		if !(c > -1e30 && c < 1e30) {
			cost[i] = 1e30
		}
	}
	s := solver{
		cost: cost, m: m, rowOf: fill(m, -1), colOf: fill(n, -1), u: make([]float64, n), v: make([]float64, m),
		dist: make([]float64, m), via: make([]int, m), todo: make([]int, m),
	}
	s.greedy(n)
	for row := range n {
		if s.colOf[row] < 0 {
			s.augment(row)
		}
	}
	return s.colOf
}

type solver struct {
	cost         []float32
	m            int
	rowOf, colOf []int
	u, v         []float64 // prices: cost[i,j] - u[i] - v[j] >= 0, and 0 where assigned
	dist         []float64 // of each column from the row that is to be placed
	via          []int     // row before the column on the shortest path
	todo         []int     // columns not yet reached
	rows, cols   []int     // reached, in order; cols has none for the first row
}

func fill(n, v int) []int {
	s := make([]int, n)
	for i := range s {
		s[i] = v
	}
	return s
}

// greedy gives each row its cheapest column when it is free, which most are when the answer is plain.
func (s *solver) greedy(n int) {
	for i := range n {
		best, at := float32(math.MaxFloat32), -1
		for j, c := range s.cost[i*s.m : (i+1)*s.m] {
			if c < best {
				best, at = c, j
			}
		}
		if at < 0 {
			continue
		}
		s.u[i] = float64(best)
		if s.rowOf[at] < 0 {
			s.rowOf[at], s.colOf[i] = i, at
		}
	}
}

func (s *solver) augment(row int) {
	for j := range s.todo[:s.m] {
		s.todo[j], s.dist[j] = j, math.Inf(1)
	}
	todo := s.todo[:s.m]
	s.rows, s.cols = append(s.rows[:0], row), s.cols[:0]
	reach, i, sink := 0.0, row, -1
	for sink < 0 {
		c := s.cost[i*s.m : (i+1)*s.m]
		least, at := math.Inf(1), 0
		shift := reach - s.u[i]
		for k, j := range todo {
			if d := shift + float64(c[j]) - s.v[j]; d < s.dist[j] {
				s.dist[j], s.via[j] = d, i
			}
			if d := s.dist[j]; d < least || d == least && s.rowOf[j] < 0 {
				least, at = d, k
			}
		}
		reach = least
		j := todo[at]
		s.cols = append(s.cols, j)
		todo[at] = todo[len(todo)-1]
		todo = todo[:len(todo)-1]
		if s.rowOf[j] < 0 {
			sink = j
		} else {
			i = s.rowOf[j]
			s.rows = append(s.rows, i)
		}
	}
	s.u[row] += reach
	for k, j := range s.cols[:len(s.cols)-1] {
		s.u[s.rows[k+1]] += reach - s.dist[j]
		s.v[j] -= reach - s.dist[j]
	}
	for j := sink; ; {
		i := s.via[j]
		s.rowOf[j] = i
		s.colOf[i], j = j, s.colOf[i]
		if i == row {
			return
		}
	}
}
