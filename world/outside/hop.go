package outside

import (
	"cmp"
	"fmt"
	"io/fs"
	"math"
	"slices"
	"strconv"

	"github.com/palladium-guard/palladium/internal/graph"
	"github.com/palladium-guard/palladium/internal/stats"
)

// HopResult is how well linking and clustering recover known groups of Sybil accounts.
type HopResult struct {
	Accounts, Sybils, Groups int
	Resolution               float64 // chosen on the other half of the groups, in nats per pair
	Chosen                   HopHalf // the half on which it was chosen
	Test                     HopHalf // the half that counts
	Components               HopHalf // the same half under plain connected components
	KeptAccounts             int     // accounts that nobody accused
	KeptPulledIn             int     // of them, those in a community of MinGroup accounts or more with accused ones
	KeptGrouped              int     // and those in a community of MinGroup or more of any kind
	Ungrouped                int     // accused, but of no stated group: in the graph, not in the scores
	UngroupedFound           int     // of them, those in a community of MinGroup or more
}

// HopHalf scores one half of the groups.
type HopHalf struct {
	Groups, Sybils int
	Linked         int // accounts with at least one transfer to or from another account, listed or not
	Scores         Agreement
	LinkedScores   Agreement // over the accounts with a transfer alone
	WithKept       float64   // ARI over this half's accused and kept accounts, each kept one a group of its own
	InGroups       int       // accounts in a community of MinGroup or more
}

// Agreement compares a clustering with the true groups.
type Agreement struct {
	ARI, Purity, InversePurity    float64
	BCubedPrecision, BCubedRecall float64
}

// MinGroup is the least number of accounts of a community that a person would look at.
const MinGroup = 5

const (
	holderCap  = 200 // a token with more holders joins only its own account with them, not them with each other
	nearCap    = 3.0 // nats that a common beginning may add, as in the campaign search
	nearWithin = 0.8 // share of true siblings that are held to begin closely together, as there
)

// hop is the account graph.
type hop struct {
	names  map[string]int
	first  []int64 // first activity, Unix s
	sybil  []bool
	group  []string
	linked []bool
	tokens [][]uint32 // holders by token; token i below len(first) is account i itself
}

// Hop reads the accounts and transfers of the Hop airdrop's published Sybil accusations, links accounts and clusters
// them, and compares the communities with the accused groups.
//
// Each address is a token that it holds itself together with everybody it exchanged transfers with, as accounts of the
// product hold a payment instrument or a conversation. A pair of accounts weighs the sum over common tokens of
// log(N/df), in nats, with N accounts and df holders; a pair so linked gains up to nearCap for first activity close
// together, log(0.8 N / accounts that began between the two). Communities are those of Leiden under CPM. Groups and kept
// accounts are dealt into two halves by seed; the resolution is the one, out of a fixed grid, with the best ARI on the
// first half, in which every kept account counts as a group of its own. At resolution 0 communities are the connected
// components.
//
// Read the figures with this in mind: the published reports used transfers, and sometimes timing, to accuse. No direct
// transfer in the data joins two accused groups; what joins them, and kept accounts to them, is addresses that are no
// listed account, exchanges among them. So what is measured is how far rarity-weighted linking recovers, from
// fragments, groups that people drew from much the same evidence; and a kept account is one that was not found guilty,
// which is less than innocent.
//
// A few groups are a tenth of all accounts each, so the figures of one deal say little: Hop returns deals of them, dealt
// from seed on, to be read as a median and a range. All deals share one data set, so they are not independent.
func Hop(fsys fs.FS, seed uint64, deals int) ([]HopResult, error) {
	h, err := readHop(fsys)
	if err != nil {
		return nil, err
	}
	edges := h.edges()
	grid := [...]float64{0, 0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1, 3, 5, 8}
	var labels [len(grid)][]uint32
	for i, r := range grid {
		labels[i] = graph.Leiden(len(h.first), edges, r, seed)
	}
	out := make([]HopResult, deals)
	for d := range out {
		res := &out[d]
		halves := h.deal(seed, uint64(d))
		best := math.Inf(-1)
		var label []uint32
		for i, l := range labels {
			if s := h.half(l, halves, 0).WithKept; s > best {
				best, label, res.Resolution = s, l, grid[i]
			}
		}
		res.Chosen, res.Test = h.half(label, halves, 0), h.half(label, halves, 1)
		res.Components = h.half(labels[0], halves, 1)
		h.count(label, res)
	}
	return out, nil
}

func readHop(fsys fs.FS) (*hop, error) {
	h := &hop{names: map[string]int{}}
	err := table(fsys, "coordinated/hop_accounts.csv.gz", []string{"account", "first_ts", "sybil", "group"}, func(c []string) error {
		t, err := strconv.ParseInt(c[1], 10, 64)
		if err != nil {
			return fmt.Errorf("parse first activity: %w", err)
		}
		h.names[c[0]] = len(h.first)
		h.first, h.sybil, h.group = append(h.first, t), append(h.sybil, c[2] == "1"), append(h.group, c[3])
		return nil
	})
	if err != nil {
		return nil, err
	}
	h.linked = make([]bool, len(h.first))
	h.tokens = make([][]uint32, len(h.first))
	for i := range h.tokens {
		h.tokens[i] = []uint32{uint32(i)}
	}
	strangers := map[string]int{} // addresses that are no listed account: tokens without an account
	hold := func(owner string, by string) {
		a, ok := h.names[by]
		if !ok {
			return
		}
		h.linked[a] = true
		t, ok := h.names[owner]
		if !ok {
			if t, ok = strangers[owner]; !ok {
				t = len(h.tokens)
				strangers[owner] = t
				h.tokens = append(h.tokens, nil)
			}
		}
		h.tokens[t] = append(h.tokens[t], uint32(a))
	}
	err = table(fsys, "coordinated/hop_edges.csv.gz", []string{"from", "to"}, func(c []string) error {
		if c[0] != c[1] {
			hold(c[0], c[1])
			hold(c[1], c[0])
		}
		return nil
	})
	for i, list := range h.tokens {
		slices.Sort(list)
		h.tokens[i] = slices.Compact(list)
	}
	return h, err
}

// edges returns the weighted pairs of accounts.
func (h *hop) edges() []graph.Edge {
	n := float64(len(h.first))
	sum := map[[2]uint32]float64{}
	join := func(a, b uint32, w float64) {
		if a != b && w > 0 {
			sum[[2]uint32{min(a, b), max(a, b)}] += w
		}
	}
	for t, list := range h.tokens {
		if len(list) < 2 {
			continue
		}
		w := math.Log(n / float64(len(list)))
		switch {
		case len(list) <= holderCap:
			for i, a := range list {
				for _, b := range list[i+1:] {
					join(a, b, w)
				}
			}
		case t < len(h.first):
			for _, b := range list {
				join(uint32(t), b, w)
			}
		}
	}
	order := slices.Clone(h.first)
	slices.Sort(order)
	out := make([]graph.Edge, 0, len(sum))
	for p, w := range sum {
		out = append(out, graph.Edge{A: p[0], B: p[1], W: w + near(order, h.first[p[0]], h.first[p[1]])})
	}
	slices.SortFunc(out, func(x, y graph.Edge) int { return cmp.Or(cmp.Compare(x.A, y.A), cmp.Compare(x.B, y.B)) })
	return out
}

// near weighs two beginnings: how few of all accounts, whose beginnings are order, began between them.
func near(order []int64, a, b int64) float64 {
	lo, _ := slices.BinarySearch(order, min(a, b))
	hi, _ := slices.BinarySearch(order, max(a, b)+1)
	return min(max(math.Log(nearWithin*float64(len(order))/float64(hi-lo)), 0), nearCap)
}

// deal gives each group to half 0 or 1.
func (h *hop) deal(seed, stream uint64) map[string]int {
	var names []string
	met := map[string]bool{}
	for i, g := range h.group {
		if h.sybil[i] && g != "" && !met[g] {
			met[g] = true
			names = append(names, g)
		}
	}
	slices.Sort(names)
	r := stats.Rand(seed, stream)
	r.Shuffle(len(names), func(i, j int) { names[i], names[j] = names[j], names[i] })
	out := map[string]int{}
	for i, g := range names {
		out[g] = i % 2
	}
	return out
}

func (h *hop) half(label []uint32, halves map[string]int, which int) HopHalf {
	var out HopHalf
	size := sizes(label)
	met := map[string]bool{}
	var pred, linkedPred []uint32
	var truth, linkedTruth []string
	var allPred []uint32
	var allTruth []string
	for i, g := range h.group {
		if !h.sybil[i] && i%2 == which { // ids are random, so is the order of the file
			allPred, allTruth = append(allPred, label[i]), append(allTruth, "kept "+strconv.Itoa(i))
		}
		if side, ok := halves[g]; !ok || side != which || !h.sybil[i] {
			continue
		}
		met[g] = true
		pred, truth = append(pred, label[i]), append(truth, g)
		if h.linked[i] {
			out.Linked++
			linkedPred, linkedTruth = append(linkedPred, label[i]), append(linkedTruth, g)
		}
		if size[label[i]] >= MinGroup {
			out.InGroups++
		}
	}
	out.Groups, out.Sybils = len(met), len(pred)
	out.WithKept = stats.ARI(append(allPred, pred...), append(allTruth, truth...))
	out.Scores, out.LinkedScores = agree(pred, truth), agree(linkedPred, linkedTruth)
	return out
}

func (h *hop) count(label []uint32, res *HopResult) {
	res.Accounts = len(h.first)
	size, bad := sizes(label), map[uint32]bool{}
	groups := map[string]bool{}
	for i, s := range h.sybil {
		if s {
			res.Sybils++
			bad[label[i]] = true
			if h.group[i] == "" {
				res.Ungrouped++
			} else {
				groups[h.group[i]] = true
			}
		}
	}
	res.Groups = len(groups)
	for i, s := range h.sybil {
		big := size[label[i]] >= MinGroup
		switch {
		case s && big && h.group[i] == "":
			res.UngroupedFound++
		case !s:
			res.KeptAccounts++
			if big {
				res.KeptGrouped++
			}
			if big && bad[label[i]] {
				res.KeptPulledIn++
			}
		}
	}
}

func sizes[L comparable](label []L) map[L]int {
	n := map[L]int{}
	for _, l := range label {
		n[l]++
	}
	return n
}

func agree[P, T comparable](pred []P, truth []T) Agreement {
	a := Agreement{ARI: stats.ARI(pred, truth), Purity: stats.Purity(pred, truth), InversePurity: stats.InversePurity(pred, truth)}
	a.BCubedPrecision, a.BCubedRecall = stats.BCubed(pred, truth)
	return a
}
