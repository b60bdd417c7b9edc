package linkage

import (
	"math"
	"math/bits"

	"github.com/palladium-guard/palladium"
)

// count updates the plain counters of p.
func count(p *palladium.Profile, o *palladium.Observation) {
	if p.Exchanges == 0 {
		p.First, p.Last = o.Time, o.Time
		p.Slot = uint32(o.Time / palladium.SlotMillis)
	} else if gap := o.Time - p.Last; gap >= 0 {
		bump16(&p.Gaps[min(bits.Len64(uint64(gap)/250)/2, len(p.Gaps)-1)])
	}
	p.First, p.Last = min(p.First, o.Time), max(p.Last, o.Time)
	p.Exchanges++
	load(p, o.Time, o.Usage.Output)
	bump16(&p.Hours[uint64(o.Time/3600000)%24])
	bump16(&p.Lengths[min(bits.Len32(o.Words), len(p.Lengths)-1)])
	p.Words += uint64(o.Words)
	p.MaxTokens += uint64(o.MaxTokens)
	p.Input += uint64(max(o.Usage.Input, 0))
	p.Output += uint64(max(o.Usage.Output, 0))
	p.Reasoning += uint64(max(o.Usage.Reasoning, 0))
	if o.Usage.Output > 0 {
		p.WithOutput++
	}
	if o.Turns <= 1 {
		p.Single++
	}
	if o.Outcome.Status == 429 {
		p.Limited++
	}
	if o.System != 0 {
		p.WithSystem++
	}
	if o.Tools != 0 {
		p.WithTools++
	}
	for c := o.Cues; c != 0; c &= c - 1 {
		if i := bits.TrailingZeros16(uint16(c)); i < len(p.Cues) {
			bump16(&p.Cues[i])
		}
	}
	if o.Cues&palladium.CueProbe != 0 {
		p.Probes++
	}
}

// load counts the exchange and the output tokens that it drew in its 6-hour slot and clears the slots that were skipped.
func load(p *palladium.Profile, t, output int64) {
	s := uint32(t / palladium.SlotMillis)
	if s > p.Slot {
		if s-p.Slot >= palladium.SlotCount {
			clear(p.Loads[:])
			clear(p.Drawn[:])
		} else {
			for i := p.Slot + 1; i <= s; i++ {
				p.Loads[i%palladium.SlotCount], p.Drawn[i%palladium.SlotCount] = 0, 0
			}
		}
		p.Slot = s
	}
	if p.Slot-s < palladium.SlotCount {
		bump16(&p.Loads[s%palladium.SlotCount])
		d := &p.Drawn[s%palladium.SlotCount]
		*d = uint32(min(int64(*d)+max(output, 0), math.MaxUint32))
	}
}

func bump16(c *uint16) {
	if *c < math.MaxUint16 {
		*c++
	}
}

// keepSmallest keeps h when it is among the smallest distinct hashes seen: a bottom-k sketch (Cohen and Kaplan 2007).
func keepSmallest(k *[palladium.PromptKeep]uint32, h uint32) {
	last := len(k) - 1
	if h >= k[last] || h == math.MaxUint32 {
		return
	}
	i := last
	for i > 0 && k[i-1] >= h {
		if k[i-1] == h {
			return
		}
		i--
	}
	copy(k[i+1:], k[i:last])
	k[i] = h
}

// reservoir is a uniform sample of the accounts seen (Vitter 1985, algorithm R).
type reservoir struct {
	accounts []uint32
	seen     uint64
	rng      uint64
}

const reservoirSize = 2048

func (r *reservoir) join(a uint32) {
	r.seen++
	if len(r.accounts) < reservoirSize {
		r.accounts = append(r.accounts, a)
		return
	}
	r.rng ^= r.rng << 13
	r.rng ^= r.rng >> 7
	r.rng ^= r.rng << 17
	if j := r.rng % r.seen; j < reservoirSize {
		r.accounts[j] = a
	}
}
