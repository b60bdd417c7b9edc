package baseline

import (
	"math"
	"strings"

	"github.com/palladium-guard/palladium"
	"github.com/palladium-guard/palladium/internal/stats"
	"github.com/zeebo/xxh3"
)

// Constants of the PRADA-like test.
const (
	PradaAccounts = 20_000 // accounts looked at, at most: the test costs a comparison with every earlier prompt
	PradaPrompts  = 200    // prompts looked at in each account; later ones are ignored
	PradaDelta    = 0.9    // the authors' demonstration value: flagged when W is below
	PradaLeast    = 40     // prompts before the first test
	pradaEvery    = 10     // prompts between tests, as in the authors' code
	pradaTrim     = 3      // distances further than this many standard deviations from their mean are dropped
)

// Prada is an adaptation of PRADA to prompts, without a language model. Source: Juuti, Szyller, Marchal, Asokan,
// "PRADA: protecting against DNN model stealing attacks", EuroS&P 2019. The distance of a prompt to the account's
// own earlier ones is the least of 1 - |a ∩ b| / sqrt(|a||b|) over their sets of hashed terms, that is one less the
// cosine. Honest prompts are held to have normally distributed distances: after PradaLeast prompts, and every ten from
// there, outliers are dropped and the account is flagged when the Shapiro-Wilk statistic is below PradaDelta.
//
// Unlike the paper there are no predicted classes, hence one set for each account, which keeps every prompt. Where all
// distances are equal the statistic is undefined and nobody is flagged.
//
// Of more accounts than its limit a sample is looked at, chosen by a hash of the id; Covers tells which.
type Prada struct {
	limit    int
	bound    uint64 // ids hashed above it are not looked at
	accounts map[string]*history
	mark     [1024]uint64 // bitmap over the terms of the newest prompt
}

type history struct {
	hash  uint64
	terms []uint16 // of all prompts, one after the other
	ends  []int32  // where each prompt's terms end
	dists []float64
	at    int64 // when flagged, Unix ms; 0 when not
}

// NewPrada returns a test that looks at no more than limit accounts.
func NewPrada(limit int) *Prada {
	return &Prada{limit: limit, bound: math.MaxUint64, accounts: map[string]*history{}}
}

// Name implements Baseline.
func (p *Prada) Name() string { return "PRADA-like" }

// Account implements Baseline: what is known of an account does not matter.
func (p *Prada) Account(*palladium.Account) {}

// Covers implements Sampled. It is settled when the stream has ended.
func (p *Prada) Covers(id string) bool { return xxh3.HashString(id) <= p.bound }

// Observe implements Baseline. Prompts without words are passed over.
func (p *Prada) Observe(o *palladium.Observation, _ *palladium.Exchange) {
	if len(o.Terms) == 0 {
		return
	}
	h := p.accounts[o.Account]
	if h == nil {
		hash := xxh3.HashString(o.Account)
		if hash > p.bound {
			return
		}
		h = &history{hash: hash}
		p.accounts[strings.Clone(o.Account)] = h
		if p.shrink(); hash > p.bound {
			return
		}
	}
	if len(h.ends) >= PradaPrompts {
		return
	}
	if len(h.ends) > 0 {
		h.dists = append(h.dists, p.distance(h, o.Terms))
	}
	h.terms = append(h.terms, o.Terms...)
	h.ends = append(h.ends, int32(len(h.terms)))
	n := len(h.ends)
	if h.at == 0 && n >= PradaLeast && (n-PradaLeast)%pradaEvery == 0 {
		if w := stats.ShapiroWilkW(trim(h.dists)); w < PradaDelta {
			h.at = o.Time
		}
	}
	if n == PradaPrompts { // done with
		h.terms, h.dists = nil, nil
	}
}

// shrink halves the sample when it has grown too large.
func (p *Prada) shrink() {
	for len(p.accounts) > p.limit {
		p.bound /= 2
		for id, h := range p.accounts {
			if h.hash > p.bound {
				delete(p.accounts, id)
			}
		}
	}
}

// distance returns the distance of a prompt to the nearest in h, in [0,1].
func (p *Prada) distance(h *history, terms []uint16) float64 {
	for _, t := range terms {
		p.mark[t>>6] |= 1 << (t & 63)
	}
	near, from := 0.0, int32(0)
	for _, end := range h.ends {
		both := uint64(0)
		for _, t := range h.terms[from:end] {
			both += p.mark[t>>6] >> (t & 63) & 1
		}
		near = max(near, float64(both)/math.Sqrt(float64(end-from)*float64(len(terms))))
		from = end
	}
	for _, t := range terms {
		p.mark[t>>6] = 0
	}
	return max(0, 1-near)
}

// trim returns x without what lies pradaTrim standard deviations from the mean or further.
func trim(x []float64) []float64 {
	var mean, sd float64
	for _, v := range x {
		mean += v / float64(len(x))
	}
	for _, v := range x {
		sd += (v - mean) * (v - mean) / float64(len(x))
	}
	sd = math.Sqrt(sd)
	out := make([]float64, 0, len(x))
	for _, v := range x {
		if math.Abs(v-mean) < pradaTrim*sd {
			out = append(out, v)
		}
	}
	return out
}

// Flagged implements Baseline.
func (p *Prada) Flagged() map[string]bool {
	out := map[string]bool{}
	for id, h := range p.accounts {
		if h.at != 0 {
			out[id] = true
		}
	}
	return out
}

// FlaggedAt implements Timed.
func (p *Prada) FlaggedAt() map[string]int64 {
	out := map[string]int64{}
	for id, h := range p.accounts {
		if h.at != 0 {
			out[id] = h.at
		}
	}
	return out
}
