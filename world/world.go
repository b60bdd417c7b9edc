package world

import (
	"cmp"
	"fmt"
	"github.com/palladium-guard/palladium/internal/arrival"
	"github.com/palladium-guard/palladium/internal/prose/corpus"
	"io/fs"
	"iter"
	"slices"
	"time"

	"github.com/palladium-guard/palladium"
)

// Corpus is what is said in a world, and how requests arrive.
type Corpus = corpus.Corpus

// OwnCorpus makes its own text. It needs no files.
func OwnCorpus(seed uint64) *Corpus { return corpus.Own(seed) }

// LoadCorpus reads real prompts and arrivals from a data folder. half is 0 or 1: the halves have no source in common,
// so that an evaluation can hold out what tuning has not seen.
func LoadCorpus(fsys fs.FS, half int) (*Corpus, error) { return corpus.Load(fsys, half) }

// World is a population ready to act. It is immutable but for what Exchanges has counted, so it must not be
// streamed from two goroutines at once.
type World struct {
	scenario Scenario
	corpus   *Corpus
	habits   *arrival.Habits
	shapes   []arrival.Shape
	tuples   []clientTuple
	accounts []palladium.Account
	truths   []AccountTruth // same order as accounts
	order    []int32        // accounts by id
	fleets   []CampaignTruth
	fresh    *cast // actors that have not acted yet; nil after the first run
	counted  bool  // a run has gone through to the end
	total    int64
}

// New makes the population of s with the texts of c.
func New(s Scenario, c *Corpus) (*World, error) {
	if err := s.check(); err != nil {
		return nil, err
	}
	if s.Start.IsZero() {
		s.Start = defaultStart()
	}
	if s.Style == (Style{}) {
		s.Style = DefaultStyle()
	}
	w := &World{scenario: s, corpus: c, tuples: clientTuples(c.Book), habits: &arrival.Habits{Gaps: c.Gaps, Hours: c.Hours}}
	for _, l := range c.Loads {
		w.shapes = append(w.shapes, arrival.NewShape(l.Rates, l.CV))
	}
	w.fresh = w.populate()
	w.accounts, w.truths, w.fleets = w.fresh.accounts, w.fresh.truths, w.fresh.fleets
	w.order = make([]int32, len(w.accounts))
	for i := range w.order {
		w.order[i] = int32(i)
	}
	slices.SortFunc(w.order, func(a, b int32) int { return cmp.Compare(w.accounts[a].ID, w.accounts[b].ID) })
	for i := 1; i < len(w.order); i++ {
		if w.accounts[w.order[i-1]].ID == w.accounts[w.order[i]].ID {
			return nil, fmt.Errorf("make accounts: id %s drawn twice, use another seed", w.accounts[w.order[i]].ID)
		}
	}
	return w, nil
}

// Scenario returns what the world was made from, defaults filled in.
func (w *World) Scenario() Scenario { return w.scenario }

// Accounts yields the account records that the operator has, by id. The style decides which exist and what they
// hold. The record belongs to the world: read it, do not change it.
func (w *World) Accounts() iter.Seq[*palladium.Account] {
	return func(yield func(*palladium.Account) bool) {
		for _, i := range w.order {
			if w.truths[i].Recorded && !yield(&w.accounts[i]) {
				return
			}
		}
	}
}

// Mark is the truth of one exchange.
type Mark struct {
	Campaign int  // index into Truth.Campaigns; -1 for honest accounts
	Harvest  bool // of a campaign: what it is there for, as opposed to camouflage
}

// Exchanges yields the exchanges in time order. The exchange is reused: what is kept must be copied (its strings
// may be kept).
func (w *World) Exchanges() iter.Seq[*palladium.Exchange] {
	return func(yield func(*palladium.Exchange) bool) {
		for e := range w.Marked() {
			if !yield(e) {
				return
			}
		}
	}
}

// Marked yields what Exchanges yields, each with its truth.
func (w *World) Marked() iter.Seq2[*palladium.Exchange, Mark] {
	return func(yield func(*palladium.Exchange, Mark) bool) {
		k := w.fresh
		w.fresh = nil
		if k == nil {
			k = w.populate()
		}
		g := newStage(w, k)
		for g.step() {
			if !yield(&g.e, g.mark) {
				return
			}
		}
		w.truths, w.fleets, w.total, w.counted = k.truths, k.fleets, g.count, true
	}
}

// Truth returns who is who and what was harvested when. When the exchanges have not been streamed to the end yet,
// it plays them through by itself first.
func (w *World) Truth() *Truth {
	if !w.counted {
		for range w.Marked() { //nolint:revive // played for its counts
		}
	}
	t := &Truth{Scenario: w.scenario.Name, Seed: w.scenario.Seed, Start: w.scenario.Start, Days: w.scenario.Days,
		Step: TruthStep, Exchanges: w.total, Campaigns: slices.Clone(w.fleets)}
	for _, i := range w.order {
		t.Accounts = append(t.Accounts, w.truths[i])
	}
	return t
}

// TruthStep is the length of a step of the harvest timeline.
const TruthStep = 5 * time.Minute

// Truth is what a report is compared with.
type Truth struct {
	Scenario  string          `json:"scenario"`
	Seed      uint64          `json:"seed"`
	Start     time.Time       `json:"start"`
	Days      float64         `json:"days"`
	Step      time.Duration   `json:"step"` // of the harvest timelines, in nanoseconds
	Exchanges int64           `json:"exchanges"`
	Accounts  []AccountTruth  `json:"-"` // by id
	Campaigns []CampaignTruth `json:"-"`
}

// AccountTruth is the truth of one account.
type AccountTruth struct {
	ID        string `json:"account"`
	Class     Class  `json:"class"`
	Campaign  string `json:"campaign,omitempty"`
	Group     string `json:"group,omitempty"` // benign accounts of one cause: an organisation, a course, an address
	Recorded  bool   `json:"recorded"`        // the operator has an account record
	Exchanges int64  `json:"exchanges"`
}

// CampaignTruth is the truth of one campaign.
type CampaignTruth struct {
	ID         string       `json:"campaign"`
	Spec       CampaignSpec `json:"spec"`
	Accounts   []string     `json:"accounts"`
	Harvest    int64        `json:"harvest"`    // exchanges, refused ones included
	Camouflage int64        `json:"camouflage"` // exchanges, refused ones included
	Timeline   []uint32     `json:"timeline"`   // harvest exchanges in each step from the world's start
}

// HarvestBefore returns how many exchanges the campaign had harvested by t.
func (c *CampaignTruth) HarvestBefore(t, start time.Time, step time.Duration) int64 {
	var n int64
	for i, k := range c.Timeline {
		from := start.Add(time.Duration(i) * step)
		switch {
		case !t.After(from):
			return n
		case t.Before(from.Add(step)):
			return n + int64(float64(k)*float64(t.Sub(from))/float64(step))
		}
		n += int64(k)
	}
	return n
}

// Negative reports whether c is a negative control: nothing in what it does can tell its accounts from strangers.
func (c *CampaignSpec) Negative() bool { return c.Text == TextPeople || c.Text == TextPersona }
