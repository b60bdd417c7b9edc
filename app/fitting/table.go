package fitting

import (
	"bytes"
	"cmp"
	"fmt"
	"io"
	"maps"
	"math"
	"slices"
	"strings"

	"github.com/palladium-guard/palladium/traffic/extraction"
)

// WriteWeights writes the weights in the format that extraction.ParseWeights reads: features in the order of
// extraction.Names, those without influence left out.
func (m *Model) WriteWeights(w io.Writer) error {
	var b bytes.Buffer
	fmt.Fprintf(&b, "{\n  \"version\": 1,\n  \"bias\": %.4f,\n  \"features\": {", m.Weights.Bias)
	comma := ""
	for i, n := range extraction.Names() {
		if math.Abs(m.Weights.Coef[i]) < 5e-5 {
			continue
		}
		fmt.Fprintf(&b, "%s\n    %q: {\"coef\": %.4f, \"lo\": %.4f, \"hi\": %.4f, \"mid\": %.4f}", comma, n[0], m.Weights.Coef[i], m.Weights.Lo[i], m.Weights.Hi[i], m.Weights.Mid[i])
		comma = ","
	}
	b.WriteString("\n  }\n}\n")
	_, err := w.Write(b.Bytes())
	return err
}

// Level is what scores above a threshold. All scores are held out, all rows eligible.
type Level struct {
	Threshold float64
	Hostile   int            // rows of campaigns
	Campaigns int            // campaigns with such a row
	Honest    int            // rows of honest groups
	Groups    int            // honest groups with such a row
	Classes   map[string]int // honest rows by class
}

// AUC is the chance that an eligible row of a campaign scores higher than one of an honest group, ties counted half.
func (m *Model) AUC() float64 {
	won := 0.0
	honest := m.eligible(func(i int) bool { return !m.rows[i].Hostile })
	hostile := m.eligible(func(i int) bool { return m.rows[i].Hostile })
	for _, i := range hostile {
		for _, j := range honest {
			won += float64(1+cmp.Compare(m.scores[i], m.scores[j])) / 2
		}
	}
	return won / float64(len(hostile)*len(honest))
}

// Levels counts what scores above each threshold.
func (m *Model) Levels(thresholds ...float64) []Level {
	var out []Level
	for _, t := range thresholds {
		l := Level{Threshold: t, Classes: map[string]int{}}
		found, groups := map[string]bool{}, map[string]bool{}
		for _, i := range m.eligible(func(i int) bool { return m.scores[i] > t }) {
			if r := &m.rows[i]; r.Hostile {
				l.Hostile++
				found[r.key()] = true
			} else {
				l.Honest++
				groups[r.key()] = true
				l.Classes[r.Class]++
			}
		}
		l.Campaigns, l.Groups = len(found), len(groups)
		out = append(out, l)
	}
	return out
}

// key names the campaign, or the honest group.
func (r *Row) key() string {
	if r.Hostile {
		return fmt.Sprintf("world %d %s", r.World, r.Class)
	}
	return fmt.Sprintf("world %d group %s", r.World, r.Group)
}

// eligible lists the eligible rows that keep holds for.
func (m *Model) eligible(keep func(i int) bool) (out []int) {
	for i := range m.rows {
		if m.rows[i].Eligible && keep(i) {
			out = append(out, i)
		}
	}
	return out
}

// listed is how many of the worst rows of either kind the table names.
const listed = 12

// WriteTable writes what the weights are worth, for people.
func (m *Model) WriteTable(w io.Writer) error {
	b, worlds := bytes.Buffer{}, map[uint64]bool{}
	for i := range m.rows {
		worlds[m.rows[i].World] = true
	}
	all := m.Levels(math.Inf(-1))[0]
	fmt.Fprintf(&b, "%d rows of %d worlds; eligible are %d of %d campaigns and %d of %d honest groups\n", len(m.rows), len(worlds), all.Hostile, all.Campaigns, all.Honest, all.Groups)
	fmt.Fprintf(&b, "scores are held out: each world's by weights fitted on others; AUC of eligible rows %.4f\n\n", m.AUC())
	fmt.Fprintf(&b, "%9s  %13s  %9s  %11s  %13s\n", "score >", "campaign rows", "campaigns", "honest rows", "honest groups")
	for _, l := range m.Levels(-1, 0, 0.6, 1, 1.5, 2, 2.5, 3, 4) {
		fmt.Fprintf(&b, "%9.1f  %13d  %9d  %11d  %13d  %s\n", l.Threshold, l.Hostile, l.Campaigns, l.Honest, l.Groups, strings.Join(counts(l.Classes), ", "))
	}
	m.coefficients(&b)
	m.worst(&b)
	_, err := w.Write(b.Bytes())
	return err
}

func (m *Model) coefficients(b *bytes.Buffer) {
	order := indices(len(m.columns))
	slices.SortStableFunc(order, func(a, b int) int { return -cmp.Compare(math.Abs(m.beta[1+a]), math.Abs(m.beta[1+b])) })
	fmt.Fprintf(b, "\n%-10s  %9s  %9s  %8s  %8s\n", "feature", "of 1 sd", "as is", "from", "to")
	for _, j := range order {
		c := &m.columns[j]
		if m.beta[1+j] != 0 {
			fmt.Fprintf(b, "%-10s  %9.3f  %9.4f  %8.3f  %8.3f\n", c.name, m.beta[1+j], m.beta[1+j]/c.sd, c.term.lo, c.term.hi)
		}
	}
	fmt.Fprintf(b, "%-10s  %9.3f  %9.4f\n", "bias", m.beta[0], m.Weights.Bias)
}

// worst names the campaigns whose best row scores least and the honest groups whose best row scores most.
func (m *Model) worst(b *bytes.Buffer) {
	best := map[string]int{}
	for _, i := range m.eligible(func(int) bool { return true }) {
		k := m.rows[i].key()
		if j, ok := best[k]; !ok || m.scores[i] > m.scores[j] {
			best[k] = i
		}
	}
	var kinds [2][]int
	for _, i := range best {
		k := 1
		if m.rows[i].Hostile {
			k = 0
		}
		kinds[k] = append(kinds[k], i)
	}
	for k, title := range []string{"campaigns whose best row scores least", "honest groups whose best row scores most"} {
		way := float64(1 - 2*k)
		slices.SortFunc(kinds[k], func(x, y int) int { return cmp.Or(cmp.Compare(way*m.scores[x], way*m.scores[y]), x-y) })
		fmt.Fprintf(b, "\n%s\n", title)
		for _, i := range kinds[k][:min(listed, len(kinds[k]))] {
			r := &m.rows[i]
			fmt.Fprintf(b, "%7.2f  world %d day %.1f  %s of %d  %s\n", m.scores[i], r.World, r.Day, r.Class, r.Accounts, r.Spec)
		}
	}
}

// counts lists a count by key, the most first.
func counts(of map[string]int) (out []string) {
	for _, k := range slices.SortedFunc(maps.Keys(of), byCount(of)) {
		out = append(out, fmt.Sprintf("%s %d", k, of[k]))
	}
	return out
}
