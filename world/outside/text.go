package outside

import (
	"cmp"
	"fmt"
	"io/fs"
	"math"
	"slices"
	"strings"

	"github.com/palladium-guard/palladium"
	"github.com/palladium-guard/palladium/internal/graph"
	"github.com/palladium-guard/palladium/internal/stats"
	"github.com/palladium-guard/palladium/traffic/measure"
)

const (
	// frequentAt is how many lines must hold a shingle before it counts, as accounts in linkage.
	frequentAt = 3
	// SameTemplate is the least weighted Jaccard similarity of the frequent shingles of two lines of one template. It
	// is one half because that is where more is shared than not; it was not chosen on the data.
	SameTemplate = 0.5
)

// LogResult is how well shared shingles recover the templates of one system's log lines.
type LogResult struct {
	System           string
	Lines, Templates int
	Found            int     // groups found
	GroupingAccuracy float64 // share of lines whose found group has exactly the lines of the true one
	ARI              float64
	Bare             int     // lines without any frequent shingle; those alike in all words are grouped
	Blanked          float64 // grouping accuracy of a plain baseline: lines alike once what holds a digit is a blank
}

// Systems lists the systems of the log collection.
func Systems() []string {
	return []string{"Android", "Apache", "BGL", "HDFS", "HPC", "Hadoop", "HealthApp", "Linux", "Mac", "OpenSSH", "OpenStack",
		"Proxifier", "Spark", "Thunderbird", "Windows", "Zookeeper"}
}

// Logs takes the lines of every system as prompts through m, groups them by shared frequent shingles, and compares the
// groups with the true templates. Two lines are of one template when the frequent shingles that they share weigh at
// least SameTemplate of all that they hold, weights being log(1+N/df); groups are the connected components. Grouping
// accuracy is that of Zhu et al., "Tools and benchmarks for automated log parsing", ICSE-SEIP 2019. Measuring takes any
// word that begins with a digit for the same number, and nothing else is done to the lines.
func Logs(fsys fs.FS, m *measure.Meter) ([]LogResult, error) {
	var out []LogResult
	for _, system := range Systems() {
		var texts, truth []string
		err := table(fsys, "loghub/"+system+"_structured.csv.gz", []string{"Content", "EventId"}, func(c []string) error {
			texts, truth = append(texts, c[0]), append(truth, c[1])
			return nil
		})
		if err != nil {
			return nil, err
		}
		label, bare := mine(m, texts)
		out = append(out, LogResult{System: system, Lines: len(texts), Templates: len(sizes(truth)), Found: len(sizes(label)),
			GroupingAccuracy: GroupingAccuracy(label, truth), ARI: stats.ARI(label, truth), Bare: bare,
			Blanked: GroupingAccuracy(blanked(texts), truth)})
	}
	return out, nil
}

// MeanLog returns the mean of every figure over the systems.
func MeanLog(all []LogResult) LogResult {
	mean, n := LogResult{System: "mean"}, float64(len(all))
	for _, r := range all {
		mean.Lines, mean.Templates, mean.Found, mean.Bare = mean.Lines+r.Lines, mean.Templates+r.Templates, mean.Found+r.Found, mean.Bare+r.Bare
		mean.GroupingAccuracy += r.GroupingAccuracy / n
		mean.ARI += r.ARI / n
		mean.Blanked += r.Blanked / n
	}
	mean.Lines, mean.Templates, mean.Found, mean.Bare = mean.Lines/len(all), mean.Templates/len(all), mean.Found/len(all), mean.Bare/len(all)
	return mean
}

// blanked labels texts by their words, with every word that holds a digit blanked.
func blanked(texts []string) []string {
	out := make([]string, len(texts))
	for i, s := range texts {
		words := strings.Fields(s)
		for j, w := range words {
			if strings.ContainsAny(w, "0123456789") {
				words[j] = "*"
			}
		}
		out[i] = strings.Join(words, " ")
	}
	return out
}

// GroupingAccuracy is the share of items whose predicted group consists of exactly the items of their true group. It is
// NaN without items.
func GroupingAccuracy[P, T comparable](pred []P, truth []T) float64 {
	type cell struct {
		p P
		t T
	}
	cells := map[cell]int{}
	for i := range pred {
		cells[cell{pred[i], truth[i]}]++
	}
	rows, cols, right := sizes(pred), sizes(truth), 0
	for c, n := range cells {
		if rows[c.p] == n && cols[c.t] == n {
			right += n
		}
	}
	return float64(right) / float64(len(pred))
}

// prompts measures each text as the only message of an exchange and calls keep with its shingles, which are reused.
func prompts(m *measure.Meter, texts []string, keep func(i int, o *palladium.Observation)) {
	o := new(palladium.Observation)
	e := &palladium.Exchange{Messages: []palladium.Message{{Role: "user"}}}
	for i, s := range texts {
		e.Messages[0].Text = s
		m.Measure(e, o)
		keep(i, o)
	}
}

// mine labels texts by template. bare counts those without a frequent shingle.
func mine(m *measure.Meter, texts []string) (label []uint32, bare int) {
	held := make([][]uint64, len(texts))
	whole := make([]uint64, len(texts))
	df := map[uint64]int{}
	prompts(m, texts, func(i int, o *palladium.Observation) {
		set := slices.Clone(o.Shingles)
		slices.Sort(set)
		held[i], whole[i] = slices.Compact(set), o.Prompt
		for _, s := range held[i] {
			df[s]++
		}
	})
	// Lines with the same frequent shingles are one item; a line without any is known by its words.
	item, sets := map[string]uint32{}, [][]uint64{}
	of := make([]uint32, len(texts))
	for i := range held {
		held[i] = slices.DeleteFunc(held[i], func(s uint64) bool { return df[s] < frequentAt })
		key := fmt.Sprint(held[i])
		if len(held[i]) == 0 {
			bare++
			key = fmt.Sprint("whole ", whole[i])
		}
		n, ok := item[key]
		if !ok {
			n = uint32(len(sets))
			item[key] = n
			sets = append(sets, held[i])
		}
		of[i] = n
	}
	u := graph.NewUnionFind(len(sets))
	weight := func(s uint64) float64 { return math.Log1p(float64(len(texts)) / float64(df[s])) }
	overlaps(sets, weight, func(a, b uint32, both, either float64) {
		if both >= SameTemplate*either {
			u.Union(a, b)
		}
	})
	label = make([]uint32, len(texts))
	for i, n := range of {
		label[i] = u.Find(n)
	}
	return label, bare
}

// overlaps calls met for each pair a < b of sets that share an element, with the weight of their intersection and of
// their union. The sets are ascending.
func overlaps(sets [][]uint64, weight func(uint64) float64, met func(a, b uint32, both, either float64)) {
	holders := map[uint64][]uint32{}
	total := make([]float64, len(sets))
	for i, set := range sets {
		for _, s := range set {
			holders[s] = append(holders[s], uint32(i))
			total[i] += weight(s)
		}
	}
	both := make([]float64, len(sets))
	var touched []uint32
	for a, set := range sets {
		for _, s := range set {
			w, list := weight(s), holders[s]
			at, _ := slices.BinarySearch(list, uint32(a))
			for _, b := range list[at+1:] {
				if both[b] == 0 {
					touched = append(touched, b)
				}
				both[b] += w
			}
		}
		for _, b := range touched {
			met(uint32(a), b, both[b], total[a]+total[b]-both[b])
			both[b] = 0
		}
		touched = touched[:0]
	}
}

// PairResult is how well pairs of prompts of one template are linked at one weight.
type PairResult struct {
	Weight           float64 // least weight of a link, in nats
	Links            int
	Precision        float64 // share of links that join one template
	DatasetPrecision float64 // and of those that join templates of one data set, whose passages are the same
	Recall           float64 // share of pairs of one template that are linked
}

// TemplateResult is the linking of prompts made from known templates.
type TemplateResult struct {
	Prompts, Duplicates, Templates int // Duplicates were sent before in the same words, and are left out
	Pairs                          int // of one template
	At                             []PairResult
	NoShingle                      int // prompts without a shingle that frequentAt prompts hold
}

// Templates takes prompts of known templates through m and links those that share shingles held by at least frequentAt
// prompts, with weight log(N/df) each.
func Templates(fsys fs.FS, m *measure.Meter) (*TemplateResult, error) {
	var texts, names []string
	err := lines(fsys, "distill/t0_prompts.jsonl.gz", func(r *struct{ Template, Prompt string }) {
		texts, names = append(texts, r.Prompt), append(names, r.Template)
	})
	if err != nil {
		return nil, err
	}
	return linkTemplates(m, texts, names, 4, 8, 15, 25), nil
}

func linkTemplates(m *measure.Meter, texts, names []string, weights ...float64) *TemplateResult {
	res := &TemplateResult{}
	sets, of := [][]uint64{}, []string{}
	df, met := map[uint64]int{}, map[uint64]bool{}
	prompts(m, texts, func(i int, o *palladium.Observation) {
		if met[o.Prompt] {
			res.Duplicates++
			return
		}
		met[o.Prompt] = true
		set := slices.Clone(o.Shingles)
		slices.Sort(set)
		set = slices.Compact(set)
		for _, s := range set {
			df[s]++
		}
		sets, of = append(sets, set), append(of, names[i])
	})
	for i := range sets {
		sets[i] = slices.DeleteFunc(sets[i], func(s uint64) bool { return df[s] < frequentAt })
		if len(sets[i]) == 0 {
			res.NoShingle++
		}
	}
	res.Prompts = len(sets)
	for _, n := range sizes(of) {
		res.Templates++
		res.Pairs += n * (n - 1) / 2
	}
	slices.Sort(weights)
	links, right, near := make([]int, len(weights)), make([]int, len(weights)), make([]int, len(weights))
	weight := func(s uint64) float64 { return math.Log(float64(len(sets)) / float64(df[s])) }
	overlaps(sets, weight, func(a, b uint32, both, _ float64) {
		n, _ := slices.BinarySearchFunc(weights, both, func(w, both float64) int { return cmp.Compare(w, math.Nextafter(both, math.Inf(1))) })
		same, kin := of[a] == of[b], dataset(of[a]) == dataset(of[b])
		for i := range n {
			links[i]++
			if same {
				right[i]++
			}
			if kin {
				near[i]++
			}
		}
	})
	for i, w := range weights {
		res.At = append(res.At, PairResult{Weight: w, Links: links[i], Precision: float64(right[i]) / float64(links[i]),
			DatasetPrecision: float64(near[i]) / float64(links[i]), Recall: float64(right[i]) / float64(res.Pairs)})
	}
	return res
}

// dataset is the first word of a template's name: the data set, or the collection that it is part of.
func dataset(template string) string {
	if i := strings.IndexAny(template, "_-/"); i > 0 {
		return template[:i]
	}
	return template
}
